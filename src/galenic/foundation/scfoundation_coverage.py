"""What of a data set reaches scFoundation, and refusals of what it was not trained on."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import require_columns
from galenic.data.numbers import as_numbers
from galenic.data.read.coverage import coverage_table, step
from galenic.foundation.counts import LARGEST_LOG, CountRows, Look
from galenic.foundation.scfoundation_fields import ScFoundationFields
from galenic.foundation.scfoundation_genes import GeneOrder
from galenic.foundation.scfoundation_input import PER_CELL

if TYPE_CHECKING:
    from galenic.foundation.scfoundation import Prepared

AT_A_TIME = 2048
WITHIN = 2.0
"""Logged cells should sum to 10,000 when undone, give or take this factor: genes may have been left out."""


def require_kind(look: Look, where: str, fields: ScFoundationFields) -> None:
    """Refuse logarithms where counts are expected, and the other way round.

    Raises
    ------
    ValueError
        If the values contradict ``pre_normalised``.

    Warns
    -----
    UserWarning
        If logged single cells were not scaled to 10,000 counts.
    """
    if not fields.pre_normalised and look.are_logged:
        undo = "np.expm1 or 2 ** x - 1 undoes the logarithm" if fields.kind == "bulk" else "layers['counts'] or raw"
        raise ValueError(
            f"{where} should hold counts, which are logged on the way; it holds {look}. Give the counts ({undo}), or "
            "say pre_normalised=True (--pre-normalised) to have the values taken as they are."
        )
    if fields.pre_normalised and look.n and not look.are_logged:
        raise ValueError(
            f"with pre_normalised, {where} should hold logarithms: broken numbers up to {LARGEST_LOG:.0f}; it holds "
            f"{look}. Leave pre_normalised out, or name the layer of the logarithms."
        )
    if fields.pre_normalised and fields.kind == "single_cell" and look.n:
        off = look.undone / PER_CELL
        if not 1 / WITHIN <= off <= WITHIN:
            warnings.warn(
                f"logged cells should be log(1 + counts per 10,000), natural logarithm; undone, a cell of {where} sums "
                f"to {look.undone:,.0f}. The model reads them as other values: give the counts where you have them.",
                stacklevel=4,
            )


def totals_of(adata: AnnData, column: str | None) -> np.ndarray | None:
    """Counts of each cell from a column of ``obs``."""
    if column is None:
        return None
    require_columns(adata.obs, [column], "the table of cells")
    totals = as_numbers(adata.obs[column]).to_numpy(dtype=np.float64)
    bad = int((~(totals > 0) | ~np.isfinite(totals)).sum())
    if bad:
        raise ValueError(
            f"{column} should hold the counts of each cell, above 0; {bad:,} of {len(totals):,} are not. "
            "Name the column of totals before any scaling, or leave total_counts out."
        )
    return totals


def median_total(counts: CountRows, order: GeneOrder) -> float:
    """Median over samples of the counts in the genes of the model; samples without any do not count."""
    blocks = [
        np.asarray(order(counts(start, min(start + AT_A_TIME, counts.shape[0]))).sum(axis=1)).ravel()
        for start in range(0, counts.shape[0], AT_A_TIME)
    ]
    totals = np.concatenate(blocks)
    if not (totals > 0).any():
        raise ValueError(
            f"samples should have counts in genes of the model; none of {len(totals):,} has. Check the names of genes."
        )
    return float(np.median(totals[totals > 0]))


def coverage(prepared: Prepared, fields: ScFoundationFields) -> pd.DataFrame:
    """The report, columns ``step, kept, dropped, why, examples``."""
    n = prepared.counts.shape[0]
    lengths, target, source = [], [], []
    for start in range(0, n, AT_A_TIME):
        found = prepared(start, min(n, start + AT_A_TIME))
        lengths.append(found.lengths)
        ends = found.indptr[1:][found.lengths > 0]
        target.append(found.fields["value"][ends - 2])
        source.append(found.fields["value"][ends - 1])
    n_tokens, kept = np.concatenate(lengths), np.concatenate(lengths) > 0
    why = f"cells have at least {max(1, fields.min_genes):,} genes above 0; the others are not encoded (rows of NaN)"
    steps = [
        *prepared.order.coverage(),
        step("cells", kept.sum(), (~kept).sum(), why, prepared.counts.names[~kept]),
        step("values", prepared.look.n, 0, f"{prepared.look}, as seen in {prepared.look.n_cells:,} cells"),
    ]
    if kept.any():
        depths = f"T {_span(np.concatenate(target))}, S {_span(np.concatenate(source))}"
        steps.append(step("depth", kept.sum(), 0, depths))
        genes = n_tokens[kept] - 2
        span = f"{genes.min():,} to {genes.max():,} genes a cell, median {np.median(genes):,.0f}"
        steps.append(step("lengths", kept.sum(), 0, span))
    if prepared.target_sum is not None:
        steps.append(step("total of bulk", n, 0, f"each sample is scaled to {prepared.target_sum:,.4g}"))
    return coverage_table(steps)


def _span(values: np.ndarray) -> str:
    return f"{values.min():.2f}" if values.min() == values.max() else f"{values.min():.2f} to {values.max():.2f}"
