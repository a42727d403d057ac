"""Structures of drugs, their atoms coloured by what they contribute."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from galenic.plots.palette import DIVERGING, FLOOR
from galenic.plots.style import colour_bar, finished

APART = 0.09
"""Between the lines of a double bond, in lengths of a bond."""
ROOM = 0.8
"""Around the atoms, for their discs."""


def atom_map(atoms: pd.DataFrame) -> go.Figure:
    """A structure as RDKit lays it out.

    Parameters
    ----------
    atoms
        ``smiles, atom, element, contribution``, in the order of the atoms.
    """
    from rdkit import Chem
    from rdkit.Chem import rdDepictor
    from rdkit.rdBase import BlockLogs

    smiles = str(atoms["smiles"].iloc[0])
    with BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or molecule.GetNumAtoms() != len(atoms):
        n = "it does not parse" if molecule is None else f"it has {molecule.GetNumAtoms()}"
        raise ValueError(
            f"a structure is drawn from a SMILES with as many atoms as rows ({len(atoms)}); received {smiles!r}: {n}. "
            "Pass the rows of one drug."
        )
    rdDepictor.Compute2DCoords(molecule)
    places = molecule.GetConformer().GetPositions()[:, :2]
    figure = go.Figure()
    ends = [_lines(places[bond.GetBeginAtomIdx()], places[bond.GetEndAtomIdx()], bond.GetBondTypeAsDouble())
            for bond in molecule.GetBonds()]  # fmt: skip
    x, y = (np.concatenate([one[:, axis] for one in ends]) if ends else np.empty(0) for axis in (0, 1))
    figure.add_scatter(x=x.round(4), y=y.round(4), mode="lines", line={"color": FLOOR, "width": 1.5}, name="bonds",
                       hoverinfo="skip", showlegend=False)  # fmt: skip
    value = atoms["contribution"].to_numpy(float)
    strongest = float(np.abs(value).max()) or 1.0
    figure.add_scatter(
        x=places[:, 0].round(4), y=places[:, 1].round(4), mode="markers+text", name="atoms",
        text=["" if one == "C" else str(one) for one in atoms["element"]], textfont={"size": 13},
        customdata=[f"{one}{number}" for one, number in zip(atoms["element"], atoms["atom"], strict=True)],
        marker={"color": value.round(5), "colorscale": DIVERGING, "cmin": -strongest, "cmax": strongest, "size": 24,
                "colorbar": colour_bar("contribution", 0.6)},
        hovertemplate="%{customdata}: %{marker.color:+.3f}<extra></extra>", showlegend=False,
    )  # fmt: skip
    finished(figure, 360, "")
    across, up = ([float(axis.min()) - ROOM, float(axis.max()) + ROOM] for axis in places.T)
    figure.update_xaxes(showgrid=False, showticklabels=False, range=across)
    return figure.update_yaxes(showgrid=False, showticklabels=False, range=up, scaleanchor="x")


def _lines(start: np.ndarray, end: np.ndarray, order: float) -> np.ndarray:
    """One line of a bond, two of a double or aromatic one, three of a triple one; NaN between them."""
    way = end - start
    side = np.array([-way[1], way[0]]) * APART
    shifts = {1.0: [0.0], 3.0: [-1.0, 0.0, 1.0]}.get(order, [-0.5, 0.5])
    parts = [[start + shift * side, end + shift * side, np.full(2, np.nan)] for shift in shifts]
    return np.concatenate(parts)
