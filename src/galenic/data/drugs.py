"""Drugs as chemists write them (SMILES) and as models read them (fingerprints, atom graphs).

The only place of RDKit, beside `drug_properties`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator, rdMolDescriptors
from rdkit.Chem.MolStandardize import rdMolStandardize
from rdkit.rdBase import BlockLogs

from galenic.data.checks import first, require_columns, require_unique

SENSITIVE, RESISTANT = (0.102, 0.435, 0.824), (0.851, 0.478, 0.024)
"""Red, green and blue, 0 to 1: the colours of the same names in ``galenic.plots.palette``, which a test holds equal."""

# fmt: off
ELEMENTS = (
    "C", "N", "O", "S", "F", "Si", "P", "Cl", "Br", "Mg", "Na", "Ca", "Fe", "As", "Al",
    "I", "B", "V", "K", "Tl", "Yb", "Sb", "Sn", "Ag", "Pd", "Co", "Se", "Ti", "Zn", "H",
    "Li", "Ge", "Cu", "Au", "Ni", "Cd", "In", "Mn", "Zr", "Cr", "Pt", "Hg", "Pb", "Unknown",
)
# fmt: on
"""The 44 elements of the published atom features; whatever is not among them counts as the last."""
N_COUNTS = 11
"""Degree, hydrogens and implicit valence are one-hot over 0 to 10."""
N_ATOM_FEATURES = len(ELEMENTS) + 3 * N_COUNTS + 1

_ELEMENT_COLUMN = {symbol: column for column, symbol in enumerate(ELEMENTS)}


def standardise(drugs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Bring the structures of a drug table to one form, and say what was done.

    A salt or mixture becomes its largest organic fragment, charges are neutralised, and the SMILES is written in
    canonical isomeric form. A structure without any carbon (cisplatin written as ions) is kept whole: its largest
    fragment would be another compound.

    Parameters
    ----------
    drugs
        Index = drug ids, column ``smiles`` (text, missing where unknown); other columns are passed on.

    Returns
    -------
    drugs : DataFrame
        A copy with ``smiles`` in standard form and ``structure`` = first block of the InChIKey (the connectivity:
        stereoisomers share it). Both are missing where there is no SMILES or it does not parse.
    coverage : DataFrame
        Columns ``step, kept, dropped, why, examples``; one row for each thing that happened, none if nothing did.
        ``kept`` counts the drugs that have a structure in the end.

    Raises
    ------
    ValueError
        If there is no ``smiles`` column or an id stands twice.

    Examples
    --------
    >>> table = pd.DataFrame({"smiles": ["OCC", "CC(=O)[O-].[Na+]", None]}, index=["ethanol", "acetate", "unknown"])
    >>> standard, coverage = standardise(table)
    >>> standard["smiles"].tolist()[:2]
    ['CCO', 'CC(=O)O']
    >>> coverage["step"].tolist()
    ['no structure', 'salts stripped']
    """
    require_columns(drugs, ["smiles"], "the drug table")
    ids = drugs.index.astype(str)
    require_unique(ids, "drug ids")
    molecules = [_parse(text) for text in drugs["smiles"]]
    given = np.array([not _is_missing(text) for text in drugs["smiles"]], dtype=bool)
    known = np.array([molecule is not None for molecule in molecules], dtype=bool)
    standard = drugs.copy()
    standard.index = ids
    with BlockLogs():
        mains = [molecule and _main_part(molecule) for molecule in molecules]
        standard["smiles"] = [main and Chem.MolToSmiles(main) for main in mains]
        standard["structure"] = [main and (Chem.MolToInchiKey(main).split("-")[0] or None) for main in mains]

    several = np.array(
        [molecule is not None and len(Chem.GetMolFrags(molecule)) > 1 for molecule in molecules], dtype=bool
    )
    whole = np.array([main is not None and len(Chem.GetMolFrags(main)) > 1 for main in mains], dtype=bool)
    single = np.array([main is not None and main.GetNumAtoms() == 1 for main in mains], dtype=bool)
    shared = standard["structure"].duplicated(keep=False).to_numpy() & standard["structure"].notna().to_numpy()
    notes = [
        ("unparsable", given & ~known, True, "the SMILES does not parse; the structure is set missing"),
        ("no structure", ~given, True, "no SMILES is given; models that read structures leave these drugs out"),
        ("salts stripped", several & ~whole, False, "salts or mixtures; the largest organic fragment of each is kept"),
        ("no organic fragment", whole, False, "consist of several fragments without carbon; kept as given"),
        ("single atoms", single, False, "have a structure of one atom, which says little about them"),
        ("shared structure", shared, False, "share a structure with another id; split drugs by structure, not by id"),
    ]
    return standard, _coverage(notes, ids, known)


def require_parsable(smiles: Iterable[str | None]) -> None:
    """Raise ``ValueError`` if a SMILES is missing or does not parse.

    Examples
    --------
    >>> require_parsable(["CCO", "c1ccccc1"])
    """
    _molecules(smiles)


def fingerprints(smiles: Sequence[str | None], *, radius: int = 2, n_bits: int = 2048) -> np.ndarray:
    """Morgan fingerprints: which circular substructures each drug has.

    Parameters
    ----------
    smiles
        One a drug; missing where there is no structure.
    radius
        Bonds around each atom (2 is ECFP4).
    n_bits
        Length of the fingerprint.

    Returns
    -------
    ndarray, (n_drugs, n_bits), uint8, 0 or 1

    Raises
    ------
    ValueError
        If a SMILES that is given does not parse.

    Warns
    -----
    UserWarning
        If structures are missing; their rows are all zero.

    Examples
    --------
    >>> fingerprints(["CCO", "OCC"]).sum(axis=1).tolist()
    [6, 6]
    """
    there = np.array([not _is_missing(text) for text in smiles], dtype=bool)
    bits = np.zeros((len(there), n_bits), dtype=np.uint8)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=n_bits)
    molecules = _molecules(text for text in smiles if not _is_missing(text))
    for row, molecule in zip(np.flatnonzero(there), molecules, strict=True):
        bits[row] = generator.GetFingerprintAsNumPy(molecule)
    if not there.all():
        warnings.warn(
            f"{int((~there).sum()):,} of {len(there):,} drugs have no structure "
            f"(first rows: {first(np.flatnonzero(~there))}); their fingerprints are all zero.",
            stacklevel=2,
        )
    return bits


def tanimoto(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Shared bits over all bits of every pair of fingerprints; 0 where either is empty.

    Parameters
    ----------
    a, b
        Fingerprints, ``(n_a, n_bits)`` and ``(n_b, n_bits)``, 0 or 1.

    Returns
    -------
    ndarray, (n_a, n_b), float64, in [0, 1]

    Examples
    --------
    >>> tanimoto(np.array([[1, 1, 0]]), np.array([[1, 1, 0], [0, 1, 1]])).round(2).tolist()
    [[1.0, 0.33]]
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    both = a @ b.T
    either = a.sum(axis=1)[:, None] + b.sum(axis=1)[None, :] - both
    return np.divide(both, either, out=np.zeros_like(both), where=either > 0)


def similarity(a: Sequence[str], b: Sequence[str]) -> np.ndarray:
    """How alike structures are, as the mean of three views: circular substructures, pairs of atoms, chemical groups.

    Shared over all: of Morgan bits (radius 2), of counts of atom pairs, and of MACCS keys. Each is a positive
    definite kernel (Ralaivola et al., Neural Networks 2005), and so is their mean.

    Parameters
    ----------
    a, b
        SMILES.

    Returns
    -------
    ndarray, (n_a, n_b), float64, in [0, 1]
        1 where all three views are the same; a single atom has no pairs of atoms, and 2/3 with itself.

    Raises
    ------
    ValueError
        If a SMILES is missing or does not parse.

    Examples
    --------
    >>> similarity(["CCO"], ["OCC", "CCN", "c1ccccc1"]).round(2).tolist()
    [[1.0, 0.3, 0.0]]
    """
    views_a, views_b = _views(a), _views(b)
    if not views_a or not views_b:
        return np.zeros((len(a), len(b)))
    parts = [tanimoto(views_a[0], views_b[0]), _shared_counts(views_a[1], views_b[1]), tanimoto(views_a[2], views_b[2])]
    mean: np.ndarray = np.mean(parts, axis=0)
    return mean


def _views(smiles: Sequence[str]) -> tuple[np.ndarray, ...]:
    molecules = _molecules(smiles)
    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    pairs = rdFingerprintGenerator.GetAtomPairGenerator(fpSize=4096)
    if not molecules:
        return ()
    bits = np.stack([morgan.GetFingerprintAsNumPy(molecule) for molecule in molecules])
    counts = np.stack([pairs.GetCountFingerprintAsNumPy(molecule) for molecule in molecules])
    keys = np.array(
        [list(rdMolDescriptors.GetMACCSKeysFingerprint(molecule)) for molecule in molecules], dtype=np.uint8
    )
    return bits, counts.astype(np.float32), keys


def _shared_counts(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sum of the smaller over sum of the larger counts, of every pair of rows; 0 where both are empty."""
    sums = a.sum(axis=1)[:, None] + b.sum(axis=1)
    both = np.array([np.minimum(row, b).sum(axis=1) for row in a]).reshape(len(a), len(b))
    return np.divide(both, sums - both, out=np.zeros_like(both, dtype=np.float64), where=sums > both)


@dataclass(frozen=True, eq=False)
class DrugGraphs:
    """Atom graphs of drugs, padded to the largest.

    Parameters
    ----------
    atoms
        Features of each heavy atom, ``(n_drugs, max_atoms, 78)``, float32; rows of padding are zero.
    bonds
        Which atoms are bonded, ``(n_drugs, max_atoms, max_atoms)``, bool, symmetric, without self loops.
    mask
        Which rows are atoms, ``(n_drugs, max_atoms)``, bool.
    """

    atoms: np.ndarray
    bonds: np.ndarray
    mask: np.ndarray

    def __len__(self) -> int:
        return len(self.mask)


def graphs(smiles: Sequence[str]) -> DrugGraphs:
    """Atom graphs with the 78 atom features of GraphDRP (after DeepChem).

    Parameters
    ----------
    smiles
        One a drug.

    Returns
    -------
    DrugGraphs

    Raises
    ------
    ValueError
        If a SMILES is missing or does not parse.

    Notes
    -----
    One-hot element (44, the last = any other), degree (0-10), all hydrogens (0-10), implicit valence (0-10), and
    aromatic (0 or 1); each row divided by its own sum, so that a set feature is 1/4, or 1/5 in aromatic atoms. A count
    above 10 counts as 10 (the published code does so for hydrogens and valence and stops at a degree above 10).

    Examples
    --------
    >>> ethanol = graphs(["CCO"])
    >>> ethanol.atoms.shape, ethanol.bonds.sum().item(), ethanol.mask.sum().item()
    ((1, 3, 78), 4, 3)
    """
    molecules = _molecules(smiles)
    shape = (len(molecules), max((molecule.GetNumAtoms() for molecule in molecules), default=0))
    atoms = np.zeros((*shape, N_ATOM_FEATURES), dtype=np.float32)
    bonds = np.zeros((*shape, shape[1]), dtype=bool)
    mask = np.zeros(shape, dtype=bool)
    for row, molecule in enumerate(molecules):
        n_atoms = molecule.GetNumAtoms()
        mask[row, :n_atoms] = True
        bonds[row, :n_atoms, :n_atoms] = Chem.GetAdjacencyMatrix(molecule) > 0
        for i, atom in enumerate(molecule.GetAtoms()):
            atoms[row, i, _set_columns(atom)] = 1
    sums = atoms.sum(axis=-1, keepdims=True)
    return DrugGraphs(np.divide(atoms, sums, out=atoms, where=sums > 0), bonds, mask)


def atom_names(smiles: str) -> pd.DataFrame:
    """The heavy atoms of a drug in the order of :func:`graphs`: ``atom`` (number), ``element``, ``aromatic``.

    Examples
    --------
    >>> atom_names("CCO")["element"].tolist()
    ['C', 'C', 'O']
    """
    atoms = _molecules([smiles])[0].GetAtoms()
    return pd.DataFrame(
        [(atom.GetIdx(), atom.GetSymbol(), atom.GetIsAromatic()) for atom in atoms],
        columns=["atom", "element", "aromatic"],
    )


def draw_atoms(smiles: str, contributions: Sequence[float], *, width: int = 420, height: int = 300) -> str:
    """A drug as SVG, each atom in a disc that is blue below 0 (sensitivity) and orange above (resistance).

    Parameters
    ----------
    smiles
        The drug.
    contributions
        One finite number an atom, in the order of :func:`atom_names`; the largest by size is drawn at full strength.

    Returns
    -------
    str
        ``<svg>...</svg>``, with a transparent background; blank, with a warning, where RDKit lacks what it draws with.

    Raises
    ------
    ValueError
        If there are not as many numbers as atoms.

    Examples
    --------
    >>> draw_atoms("CCO", [0.1, 0.0, -0.4]).startswith("<svg")
    True
    """
    molecule = _molecules([smiles])[0]
    n_atoms = molecule.GetNumAtoms()
    if len(contributions) != n_atoms or not np.isfinite(contributions).all():
        raise ValueError(
            f"{n_atoms} atoms need as many finite numbers; received {len(contributions)}. Give one for each."
        )
    strongest = max((abs(value) for value in contributions), default=0.0) or 1.0
    colours = {}
    for atom, value in enumerate(map(float, contributions)):
        share, colour = abs(value) / strongest, SENSITIVE if value < 0 else RESISTANT
        colours[atom] = tuple(1 - share * (1 - part) for part in colour)
    discs = {"highlightAtoms": list(colours), "highlightAtomColors": colours, "highlightBonds": []}
    return _picture(molecule, width, height, discs)


def draw(smiles: str, *, width: int = 260, height: int = 190) -> str:
    """A drug as SVG, black with a transparent background.

    Raises
    ------
    ValueError
        If the SMILES is missing or does not parse.

    Examples
    --------
    >>> draw("CCO").startswith("<svg")
    True
    """
    return _picture(_molecules([smiles])[0], width, height, {})


def _picture(molecule: Chem.Mol, width: int, height: int, discs: dict[str, Any]) -> str:
    """SVG with discs behind the atoms, or without any all in black."""
    try:
        from rdkit.Chem.Draw import rdMolDraw2D
    except ImportError as error:
        # It is linked to libraries of X11, which small images of Linux lack: no reason to have no fit and no report.
        warnings.warn(
            f"structures are left blank, because RDKit cannot draw here ({error}). On Debian and Ubuntu: "
            "apt-get install libxrender1 libxext6.",
            stacklevel=3,
        )
        return f'<svg width="{width}px" height="{height}px" viewBox="0 0 {width} {height}"></svg>'
    drawer = rdMolDraw2D.MolDraw2DSVG(width, height)
    options: Any = drawer.drawOptions()
    options.clearBackground = False
    options.highlightRadius = 0.4
    if not discs:
        options.useBWAtomPalette()
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, molecule, **discs)
    drawer.FinishDrawing()
    text: str = drawer.GetDrawingText()
    return text[text.index("<svg") :]


def _set_columns(atom: Chem.Atom) -> list[int]:
    columns = [_ELEMENT_COLUMN.get(atom.GetSymbol(), len(ELEMENTS) - 1)]
    counts = (atom.GetDegree(), atom.GetTotalNumHs(), atom.GetNumImplicitHs())
    columns += [len(ELEMENTS) + i * N_COUNTS + min(count, N_COUNTS - 1) for i, count in enumerate(counts)]
    return [*columns, N_ATOM_FEATURES - 1] if atom.GetIsAromatic() else columns


def _main_part(molecule: Chem.Mol) -> Chem.Mol:
    """The neutral form of the largest organic fragment; the molecule itself if there is no carbon in it."""
    if not any(atom.GetSymbol() == "C" for atom in molecule.GetAtoms()):
        return molecule
    fragment = rdMolStandardize.LargestFragmentChooser(preferOrganic=True).choose(molecule)
    # Neutralising an aromatic anion (cyclopentadienyl) leaves no valid molecule; it keeps its charge.
    return Chem.MolFromSmiles(Chem.MolToSmiles(rdMolStandardize.Uncharger().uncharge(fragment))) or fragment


def _is_missing(text: object) -> bool:
    return not isinstance(text, str) or not text.strip()


def _parse(text: object) -> Chem.Mol | None:
    if _is_missing(text):
        return None
    with BlockLogs():
        return Chem.MolFromSmiles(str(text))


def _molecules(smiles: Iterable[str | None]) -> list[Chem.Mol]:
    smiles = list(smiles)
    parsed = [_parse(text) for text in smiles]
    bad = [text for text, molecule in zip(smiles, parsed, strict=True) if molecule is None]
    if bad:
        raise ValueError(
            f"every structure should be a SMILES that parses; {len(bad):,} of {len(smiles):,} are not "
            f"(first: {first(bad)}). Correct them, or drop those drugs."
        )
    return [molecule for molecule in parsed if molecule is not None]


def _coverage(notes: list[tuple[str, np.ndarray, bool, str]], ids: pd.Index, known: np.ndarray) -> pd.DataFrame:
    rows = []
    for step, affected, lost, why in notes:
        n = int(affected.sum())
        if n:
            dropped, reason = (n, why) if lost else (0, f"{n:,} {why}")
            rows.append((step, int(known.sum()), dropped, reason, first(ids[affected])))
    return pd.DataFrame(rows, columns=["step", "kept", "dropped", "why", "examples"])
