"""From profiles to perturbagens: what is known of each, and one vector for each, in bounded memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first
from galenic.data.drugs import standardise
from galenic.data.gctx.metadata import PROFILE_COLUMNS, canonical_profiles
from galenic.data.profiles import annotate
from galenic.data.response import COVERAGE_COLUMNS
from galenic.search.perturbagens import aggregate

OF_PERTURBAGENS = ("pert_name", "pert_type", "moa", "target", "smiles")
"""What is the same in all profiles of a perturbagen."""
OF_PROFILES = ("pert_id", "cell", "dose", "dose_unit", "time", "time_unit", "plate")
ROWS = 131_072
"""Vectors that are merged at a time."""


def profile_table(obs: pd.DataFrame) -> pd.DataFrame:
    """The columns of profiles that a search reads, under galenic's names; those that nothing is known of are absent.

    Examples
    --------
    >>> obs = pd.DataFrame({"pert_id": ["BRD-A"], "cell_id": ["A375"], "batch": [3]}, index=["p1"])
    >>> profile_table(obs).to_dict("list")
    {'pert_id': ['BRD-A'], 'cell': ['A375']}
    """
    names = {name for own, aliases in PROFILE_COLUMNS.items() for name in (own, *aliases)}
    table = canonical_profiles(obs[[column for column in obs if column in names]])
    known = [name for name in (*OF_PROFILES, *OF_PERTURBAGENS) if name in table and table[name].notna().any()]
    return table[known]


def perturbagen_table(profiles: pd.DataFrame) -> pd.DataFrame:
    """One row a perturbagen, sorted by id: the first that its profiles know of its name, type, mechanism, ...

    Examples
    --------
    >>> moa = [None, "HDAC inhibitor", None]
    >>> profiles = pd.DataFrame({"pert_id": ["x", "x", "y"], "moa": moa, "cell": list("abc")})
    >>> perturbagen_table(profiles).to_dict("index")
    {'x': {'n_cells': 2, 'moa': 'HDAC inhibitor'}, 'y': {'n_cells': 1, 'moa': None}}
    """
    groups = profiles.groupby("pert_id", sort=True, observed=True)
    columns = [name for name in OF_PERTURBAGENS if name in profiles]
    table = pd.DataFrame(index=pd.Index(sorted(profiles["pert_id"].unique()), name=None))
    if "cell" in profiles:
        table["n_cells"] = groups["cell"].nunique().reindex(table.index).astype(np.int64)
    for name in columns:
        table[name] = groups[name].first().reindex(table.index).astype("object")
    return table


def annotated(table: pd.DataFrame, annotations: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of perturbagens with what another table knows of them, and of how many each column is known.

    Parameters
    ----------
    table
        From :func:`perturbagen_table`; what it says stays.
    annotations
        As :func:`galenic.data.profiles.annotate` takes them: ``pert_id`` or ``pert_name``, and ``moa``, ...

    Examples
    --------
    >>> table = pd.DataFrame({"pert_name": ["Vorinostat", "x"]}, index=["BRD-K81418486", "y"])
    >>> known, _ = annotated(table, pd.DataFrame({"pert_name": ["vorinostat"], "moa": ["HDAC inhibitor"]}))
    >>> known["moa"].fillna("").tolist()
    ['HDAC inhibitor', '']
    """
    bare = AnnData(obs=table.assign(pert_id=table.index))
    known = annotate(bare, annotations).obs.drop(columns="pert_id")
    rows = []
    for name in (name for name in ("moa", "target", "smiles") if name in known):
        said = known[name].notna().to_numpy()
        why = "known of all" if said.all() else "nothing is known of them"
        rows.append((f"perturbagens with {name}", int(said.sum()), int((~said).sum()), why, first(table.index[~said])))
    return known, pd.DataFrame(rows, columns=list(COVERAGE_COLUMNS))


def with_structures(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table with structures in standard form, missing where they do not parse, and what was done."""
    if "smiles" not in table or table["smiles"].isna().all():
        return table.drop(columns="smiles", errors="ignore"), pd.DataFrame(columns=list(COVERAGE_COLUMNS))
    standard, coverage = standardise(table[["smiles"]])
    # The other steps speak of models that learn from structures.
    said = coverage[coverage["step"].isin(["unparsable", "salts stripped"])]
    return table.assign(smiles=standard["smiles"].to_numpy(dtype=object)), said


def merged(
    vectors: np.ndarray, rows: np.ndarray, codes: np.ndarray, how: str
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """One vector a perturbagen from the vectors of its profiles, some perturbagens at a time.

    Parameters
    ----------
    vectors
        Of all profiles, ``(n, n_dims)``; may be a memory map.
    rows, codes
        The profiles that count, and the number of the perturbagen of each, ``(n_rows,)``.
    how
        ``"mean"`` or ``"modz"``; see :func:`galenic.search.aggregate`.

    Returns
    -------
    present : ndarray
        Numbers of the perturbagens that have profiles, ascending.
    vectors : ndarray, (n_present, n_dims)
        Of length 1. Where directions cancel out to nothing, that of the first profile.
    table : DataFrame
        ``n_profiles``, ``agreement`` (mean cosine between its profiles, NaN for a single one), ``concentration``
        (kappa of the von Mises-Fisher distribution).

    Examples
    --------
    >>> present, mean, table = merged(np.eye(3), np.array([0, 1, 2]), np.array([4, 4, 7]), "mean")
    >>> present.tolist(), mean.astype(float).round(2).tolist(), table["agreement"].tolist()
    ([4, 7], [[0.71, 0.71, 0.0], [0.0, 0.0, 1.0]], [0.0, nan])
    """
    order = np.argsort(codes, kind="stable")
    present, sizes = np.unique(codes, return_counts=True)
    bounds = np.r_[0, np.cumsum(sizes)]
    result, tables = np.empty((len(present), vectors.shape[1]), dtype=np.float32), []
    start = 0
    while start < len(present):
        stop = max(start + 1, int(np.searchsorted(bounds, bounds[start] + ROWS, side="right")) - 1)
        chosen = order[bounds[start] : bounds[stop]]
        own, labels = np.asarray(vectors[rows[chosen]]), codes[chosen]
        some, table = aggregate(own, labels, how)
        lost = np.isnan(some).any(axis=1)
        some[lost] = own[bounds[start:stop][lost] - bounds[start]]
        result[start:stop] = some
        tables.append(table)
        start = stop
    counted = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["n", "resultant", "kappa"])
    n, length = counted["n"].to_numpy(dtype=np.float64), counted["resultant"].to_numpy(dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Of n unit vectors: the squared length of their sum is n plus all cosines between different ones.
        agreement = (n * length**2 - 1) / (n - 1)
    about = {"n_profiles": counted["n"], "agreement": agreement.round(6) + 0.0, "concentration": counted["kappa"]}
    return present, result, pd.DataFrame(about)
