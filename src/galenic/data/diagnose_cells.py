"""What a file of single cells holds, and what in it will trouble a prediction of their sensitivity."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from galenic.data.cell_matrix import NAMES, Kind, kind_of_values
from galenic.data.checks import first
from galenic.data.genes import clean_names, kind_of_names, look_like_mouse
from galenic.data.read.coverage import Step, coverage_table, step
from galenic.data.read.matrices import open_h5ad

FEWEST_GENES = 200
"""Genes of a cell with counts below which published pipelines drop it: an empty droplet or debris."""
FEWEST_CELLS = 50
"""Cells below which their own means and standard deviations are not to be trusted."""
FEW_FOUND = 0.5
"""Share of a model's features that a file should have."""
SAMPLES = ("sample", "donor", "patient", "batch", "gsm", "orig.ident", "library", "replicate", "platform")
BLOCK = 4096
Finding = tuple[str, Literal["ok", "note", "warning", "error"], str, str]
WORDS: dict[Kind, tuple[Literal["ok", "note", "warning", "error"], str, str]] = {
    "counts": ("ok", "counts", "They become ln(1 + 10,000 x share of the cell's total)."),
    "log": ("ok", "logarithms", "They are taken as they are."),
    "linear": ("ok", "normalised, not logged (TPM, CPM)", "They become ln(1 + 10,000 x share of the cell's total)."),
    "scaled": (
        "warning",
        "already scaled: some are below 0",
        "They are aligned gene by gene all the same; what was scaled with other cells cannot be undone, and foundation "
        "models refuse them. Give counts where you have them.",
    ),
    "embedding": ("ok", "an embedding", ""),
}


@dataclass(frozen=True, eq=False)
class CellsSeen:
    """What one pass over the cells found.

    Attributes
    ----------
    kind
        Of the values.
    n_genes
        Genes above 0 of each cell, ``(n_cells,)``.
    total
        Sum of each cell, ``(n_cells,)``.
    n_bad
        Values that are missing or infinite.
    """

    kind: Kind
    n_genes: np.ndarray
    total: np.ndarray
    n_bad: int


def look(adata: AnnData) -> CellsSeen:
    """Go once over all cells, a block at a time, in memory or on disk.

    Examples
    --------
    >>> seen = look(AnnData(np.array([[3.0, 0.0], [0.0, 0.0]])))
    >>> seen.kind, seen.n_genes.tolist(), seen.total.tolist()
    ('counts', [1, 0], [3.0, 0.0])
    """
    n_genes, total, n_bad = np.zeros(adata.n_obs, dtype=np.int64), np.zeros(adata.n_obs), 0
    for start in range(0, adata.n_obs, BLOCK):
        rows = slice(start, start + BLOCK)
        part: Any = adata.X[rows]
        part = part.tocsr() if sparse.issparse(part) else np.asarray(part, dtype=np.float64)
        numbers = part.data if sparse.issparse(part) else part
        n_bad += int((~np.isfinite(numbers)).sum())
        n_genes[rows] = np.asarray((part > 0).sum(axis=1)).ravel()
        total[rows] = np.asarray(abs(part).sum(axis=1)).ravel()
    return CellsSeen(kind_of_values(adata.X), n_genes, total, n_bad)


def cells_to_keep(seen: CellsSeen, *, fewest_genes: int = FEWEST_GENES) -> tuple[np.ndarray, list[Step]]:
    """Which cells stay, and why others do not.

    Parameters
    ----------
    seen
        Of :func:`look`.
    fewest_genes
        Genes that a cell should have; only where values are counts, and where the file has as many genes.

    Returns
    -------
    keep : ndarray of bool
        ``(n_cells,)``.
    steps : list
        Rows of a coverage report.

    Examples
    --------
    >>> keep, steps = cells_to_keep(look(AnnData(np.array([[3.0, 1.0], [0.0, 0.0]]))), fewest_genes=2)
    >>> keep.tolist(), [row["dropped"] for row in steps]
    ([True, False], [1, 0])
    """
    some = seen.total > 0
    steps = [step("cells with counts", int(some.sum()), int((~some).sum()), "all their values are 0")]
    enough = some
    if seen.kind == "counts" and seen.n_genes.max(initial=0) >= fewest_genes:
        enough = some & (seen.n_genes >= fewest_genes)
        why = f"fewer than {fewest_genes} genes are above 0"
        steps.append(step("cells with enough genes", int(enough.sum()), int((some & ~enough).sum()), why))
    return enough, steps


def cell_findings(path: str | Path, *, features: Sequence[str] | None = None, rep: str | None = None) -> list[Finding]:
    """What a user should know of an h5ad file of cells before a prediction; it is not read whole.

    Parameters
    ----------
    path
        The file.
    features
        Features that a model needs, where one is at hand.
    rep
        Key of ``obsm`` that it reads them from; ``None``: genes.

    Returns
    -------
    list
        ``(finding, severity, detail, remedy)``: severity is ``"ok"``, ``"note"``, ``"warning"`` or ``"error"``
        (prediction refuses).
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(Observation|Variable) names are not unique")  # is told below
        adata = open_h5ad(path, backed=True)
    try:
        return findings_of_cells(adata, features=features, rep=rep)
    finally:
        adata.file.close()


def findings_of_cells(
    adata: AnnData, *, features: Sequence[str] | None = None, rep: str | None = None
) -> list[Finding]:
    """As :func:`cell_findings`, of cells.

    Examples
    --------
    >>> cells = AnnData(np.array([[3.0, 1.0], [0.0, 2.0]]), var=pd.DataFrame(index=["TP53", "EGFR"]))
    >>> [(name, severity) for name, severity, _, _ in findings_of_cells(cells)]
    [('single cells', 'ok'), ('values', 'ok'), ('few cells', 'note'), ('genes', 'ok')]
    """
    size = f"{adata.n_obs:,} cells x {adata.n_vars:,} genes"
    if not adata.n_obs:
        return [("single cells", "error", f"{size}: there are no cells", "Export the file again, or filter less.")]
    found: list[Finding] = [("single cells", "ok", size, "")]
    if adata.obsm:
        found.append(("embeddings", "ok", first([f"{key} ({adata.obsm[key].shape[1]})" for key in adata.obsm], 6), ""))
    if adata.n_vars and adata.X is not None:
        seen = look(adata)
        found += [*_values(seen, adata.obs_names), *_genes(adata)]
    elif rep is None:
        found.append(("values", "error", "there is no expression in X", "Write X, or name an embedding (--use-rep)."))
    twice = adata.obs_names[adata.obs_names.duplicated()].unique()
    if len(twice):
        detail = f"{len(twice):,} stand more than once (first: {first(twice)})"
        remedy = "Put the sample before them (anndata: obs_names_make_unique, or concat with index_unique='-')."
        found.append(("barcodes stand twice", "error", detail, remedy))
    if features is not None:
        found.append(_found(adata, features, rep))
    return [*found, *_samples(adata)]


def coverage_of_cells(adata: AnnData, features: Sequence[str], *, rep: str | None = None) -> pd.DataFrame:
    """The coverage table of a prediction: cells that have counts, features that were found.

    Examples
    --------
    >>> cells = AnnData(np.array([[3.0, 1.0], [0.0, 0.0]]), var=pd.DataFrame(index=["TP53", "EGFR"]))
    >>> coverage_of_cells(cells, ["TP53", "MYC"])[["step", "kept", "dropped"]].values.tolist()
    [['cells with counts', 1, 1], ['features of the model', 1, 1]]
    """
    steps = cells_to_keep(look(adata))[1] if rep is None else [step("cells", adata.n_obs, 0, "read")]
    known = set(_names(adata, rep))
    absent = [name for name in features if name not in known]
    why = "not in the file; they count as average" if absent else "all are in the file"
    return coverage_table(
        [*steps, step("features of the model", len(features) - len(absent), len(absent), why, absent)]
    )


def _values(seen: CellsSeen, barcodes: pd.Index) -> list[Finding]:
    severity, words, remedy = WORDS[seen.kind]
    # Of centred values those above 0 are only those above the mean.
    above = f"; the median cell has {np.median(seen.n_genes):,.0f} genes above 0"
    span = words if seen.kind == "scaled" else words + above
    found: list[Finding] = [("values", severity, span, remedy)]
    if seen.n_bad:
        found.append(
            ("values that are no numbers", "error", f"{seen.n_bad:,} are missing or infinite", "Fill them in.")
        )
    keep, steps = cells_to_keep(seen)
    for row in steps:
        if row["dropped"]:
            lost = barcodes[(seen.total == 0) if row["step"] == "cells with counts" else ~keep & (seen.total > 0)]
            detail = f"{row['dropped']:,} of {len(keep):,} cells: {row['why']} (first: {first(lost)})"
            remedy = (
                "They get no prediction."
                if row["step"] == "cells with counts"
                else "Leave them out: they may be debris."
            )
            found.append((row["step"], "note", detail, remedy))
    if not keep.any():
        found.append(("no cells", "error", "none is left", "Export the matrix again."))
    elif keep.sum() < FEWEST_CELLS:
        detail = f"{int(keep.sum()):,}; their own means need {FEWEST_CELLS} or more"
        found.append(
            ("few cells", "note", detail, "Fit with more cells of this domain as target, or mind the warning.")
        )
    return found


def _genes(adata: AnnData) -> list[Finding]:
    names = _raw_names(adata)
    kind, clean = kind_of_names(names[:2000]), pd.Index(clean_names(names))
    found: list[Finding] = []
    if look_like_mouse(names[:2000]):
        remedy = "Map them to human orthologues first; upper case is not a map."
        found.append(("mouse genes", "error", first(names), remedy))
    elif kind != "symbol":
        remedy = f"Put symbols into a column of var ({', '.join(NAMES[:3])})."
        found.append(("genes", "warning", f"{kind} ids, no symbols: {first(names)}", remedy))
    else:
        found.append(("genes", "ok", f"symbols: {first(names)}", ""))
    twice = clean[clean.duplicated()].unique()
    if len(twice):
        detail = f"{len(twice):,} stand more than once (first: {first(twice)})"
        found.append(("genes stand twice", "note", detail, "Counts of one gene are summed, other values averaged."))
    return found


def _found(adata: AnnData, features: Sequence[str], rep: str | None) -> Finding:
    if rep is not None and rep not in adata.obsm:
        detail = f"the model reads obsm[{rep!r}]; the file has {first(list(adata.obsm)) or 'none'}"
        return ("features of the model", "error", detail, "Compute it with 'galenic embed'.")
    known = set(_names(adata, rep))
    absent = [name for name in features if name not in known]
    n_found = len(features) - len(absent)
    detail = f"{n_found:,} of {len(features):,} are there" + (f" (missing: {first(absent)})" if absent else "")
    if n_found < FEW_FOUND * len(features):
        return ("features of the model", "error", detail, "Bring genes to the names of fitting.")
    return (
        "features of the model",
        "ok" if not absent else "note",
        detail,
        "Absent ones count as average." * bool(absent),
    )


def _samples(adata: AnnData) -> list[Finding]:
    by_case = {str(name).casefold(): str(name) for name in adata.obs}
    column = next((by_case[name] for name in SAMPLES if name in by_case), None)
    if column is None or adata.obs[column].nunique() < 2:
        return []
    counts = adata.obs[column].value_counts()
    detail = f"{len(counts):,} in {column!r}, {int(counts.min()):,} to {int(counts.max()):,} cells"
    remedy = f"Summaries and intervals by sample: --by {column}. If they were measured differently, predict one by one."
    return [("several samples", "note", detail, remedy)]


def _names(adata: AnnData, rep: str | None) -> list[str]:
    if rep is None:
        return clean_names(_raw_names(adata))
    values = adata.obsm[rep]
    if isinstance(values, pd.DataFrame):
        return [str(name) for name in values.columns]
    return [f"{rep}_{number}" for number in range(values.shape[1])]


def _raw_names(adata: AnnData) -> list[str]:
    names: Any = adata.var_names
    if kind_of_names(names[:2000]) != "symbol":
        names = next((adata.var[column] for column in NAMES if column in adata.var), names)
    return [str(name) for name in names]
