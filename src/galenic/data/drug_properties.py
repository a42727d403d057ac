"""Simple properties of drugs that need no training, and the scaffolds that they are built on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors
from rdkit.Chem.Scaffolds import MurckoScaffold
from rdkit.rdBase import BlockLogs

from galenic.data.drugs import require_parsable

PROPERTIES = ("weight", "logp", "polar_area", "donors", "acceptors", "rotatable_bonds")


def properties(smiles: Sequence[str]) -> pd.DataFrame:
    """Properties that say how a drug gets into a cell, and nothing of what it does there.

    Parameters
    ----------
    smiles
        One a drug.

    Returns
    -------
    DataFrame, (n_drugs, 6), float64
        ``weight`` (Da), ``logp`` (Crippen), ``polar_area`` (topological, square angstrom), ``donors`` and ``acceptors``
        of hydrogen bonds, ``rotatable_bonds``; in the order of ``smiles``.

    Raises
    ------
    ValueError
        If a SMILES is missing or does not parse.

    Examples
    --------
    >>> properties(["CCO"]).round(1).iloc[0].tolist()
    [46.1, -0.0, 20.2, 1.0, 1.0, 0.0]
    """
    require_parsable(smiles)
    rows = np.empty((len(smiles), len(PROPERTIES)))
    with BlockLogs():
        for row, text in enumerate(smiles):
            molecule = Chem.MolFromSmiles(text)
            rows[row] = (
                rdMolDescriptors._CalcMolWt(molecule),
                rdMolDescriptors.CalcCrippenDescriptors(molecule)[0],
                rdMolDescriptors.CalcTPSA(molecule),
                rdMolDescriptors.CalcNumHBD(molecule),
                rdMolDescriptors.CalcNumHBA(molecule),
                rdMolDescriptors.CalcNumRotatableBonds(molecule),
            )
    return pd.DataFrame(rows, columns=list(PROPERTIES))


def scaffolds(smiles: Sequence[str]) -> list[str]:
    """Ring systems with what links them (Bemis and Murcko 1996), without stereochemistry, as SMILES.

    A drug without rings has no scaffold; its own SMILES stands in its place, so that such drugs are not taken for
    relatives of each other.

    Parameters
    ----------
    smiles
        One a drug.

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        If a SMILES is missing or does not parse.

    Examples
    --------
    >>> scaffolds(["Cc1ccccc1", "Oc1ccccc1", "CCO"])
    ['c1ccccc1', 'c1ccccc1', 'CCO']
    """
    require_parsable(smiles)
    found = []
    with BlockLogs():
        for text in smiles:
            molecule = Chem.MolFromSmiles(text)
            Chem.RemoveStereochemistry(molecule)
            core = Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(molecule))
            found.append(core or Chem.MolToSmiles(molecule))
    return found
