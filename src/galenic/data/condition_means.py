"""Mean expression of every condition and of the controls of every context, in one pass over blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from galenic.data.checks import first
from galenic.data.perturbation import PerturbationColumns

BLOCK = 2**22
"""Values that are read at once."""
MOST_LOG = 50
"""Whole numbers above this are no logs, however few."""
FEWEST = 100
"""Of values other than 0, where two different ones above 1 and no fraction among them are counts."""


@dataclass(frozen=True, eq=False)
class ConditionMeans:
    """Means of conditions and of controls, in float64.

    Parameters
    ----------
    table
        One row a condition: ``context, perturbation``, (``dose``,) ``n_cells``.
    means
        ``(n_conditions, n_genes)``; NaN where no row of the condition was read.
    contexts
        Names of the contexts.
    control_means
        ``(n_contexts, n_genes)``; NaN where no control was read.
    control_counts
        ``(n_contexts,)``.
    variances, control_variances
        Of the same shapes where asked for: unbiased, over rows; NaN for a single row.
    """

    table: pd.DataFrame
    means: np.ndarray
    contexts: tuple[str, ...]
    control_means: np.ndarray
    control_counts: np.ndarray
    variances: np.ndarray | None = None
    control_variances: np.ndarray | None = None

    @property
    def context(self) -> np.ndarray:
        """Code of each condition's context, ``(n_conditions,)``."""
        return np.asarray(pd.Index(self.contexts).get_indexer(pd.Index(self.table["context"])))

    @property
    def effects(self) -> np.ndarray:
        """Means less those of the controls of the same context, ``(n_conditions, n_genes)``."""
        result: np.ndarray = self.means - self.control_means[self.context]
        return result


def condition_means(
    adata: AnnData,
    columns: PerturbationColumns,
    *,
    weights: np.ndarray | None = None,
    rows: np.ndarray | None = None,
    genes: np.ndarray | None = None,
    by_dose: bool = False,
    variances: bool = False,
    non_negative: bool = False,
) -> ConditionMeans:
    """Means, counts and variances of every condition and of every context's controls.

    Parameters
    ----------
    adata
        Cells or profiles x genes, in logs; dense or sparse, in memory or backed. One block of rows is read at a time.
    columns
        What :func:`galenic.data.perturbation.perturbation_columns` read from it.
    weights
        Weight of each row in its mean, ``(n_rows,)``.
    rows
        bool, ``(n_rows,)``: rows whose expression counts; of the others it is never looked at.
    genes
        Numbers of the columns that are wanted, in their order.
    by_dose
        Are doses conditions of their own?
    variances
        Compute variances too.
    non_negative
        Refuse values below 0.

    Raises
    ------
    ValueError
        If values are missing, infinite, negative where that is refused, or look like raw counts.

    Examples
    --------
    >>> from galenic.data.perturbation import perturbation_columns
    >>> obs = pd.DataFrame({"cell_type": ["B"] * 3, "perturbation": ["control", "x", "x"]}, index=["1", "2", "3"])
    >>> adata = AnnData(np.array([[1.0], [2.0], [4.5]], dtype="float32"), obs=obs)
    >>> found = condition_means(adata, perturbation_columns(adata))
    >>> found.means.tolist(), found.effects.tolist(), found.table["n_cells"].tolist()
    ([[3.25]], [[2.25]], [2])
    """
    table, codes = columns.conditions(by_dose=by_dose)
    n = len(table)
    # One group a condition, then one a context for its controls.
    group = np.where(columns.is_control, n + columns.context, codes)
    sums = Sums(n + len(columns.contexts), adata.n_vars if genes is None else len(genes), variances)
    seen = Seen(non_negative)
    wanted = np.ones(len(columns), dtype=bool) if rows is None else rows
    for numbers, part in blocks(adata, wanted, genes):
        seen.add(part, adata.obs_names[numbers])
        sums.add(part, group[numbers], None if weights is None else weights[numbers])
    seen.require_logs()
    means, spread = sums.means(), sums.variances()
    counts = np.bincount(group[wanted], minlength=n + len(columns.contexts))
    return ConditionMeans(
        table.assign(n_cells=counts[:n]),
        means[:n],
        columns.contexts,
        means[n:],
        counts[n:],
        None if spread is None else spread[:n],
        None if spread is None else spread[n:],
    )


def blocks(adata: AnnData, wanted: np.ndarray, genes: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, Any]]:
    """Numbers of the wanted rows, and those rows, a few megabytes at a time; sparse rows stay sparse."""
    X = adata.X
    size = max(1, BLOCK // max(1, adata.n_vars))
    for start in range(0, adata.n_obs, size):
        keep = np.flatnonzero(wanted[start : start + size])
        if len(keep) == 0:
            continue
        # Whole slices: files are read faster so than row by row.
        part = X[start : start + size]
        part = sparse.csr_matrix(part) if sparse.issparse(part) else np.asarray(part)
        part = part if len(keep) == part.shape[0] else part[keep]
        yield start + keep, part if genes is None else part[:, genes]


class Sums:
    """Weighted sums of rows by group, by a sparse one-hot matrix product."""

    def __init__(self, n_groups: int, n_genes: int, squares: bool = False) -> None:
        self.weight, self.weight_squared = np.zeros(n_groups), np.zeros(n_groups)
        self.sums = np.zeros((n_groups, n_genes))
        self.squares = np.zeros((n_groups, n_genes)) if squares else None

    def add(self, part: Any, groups: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Count a block of rows in, dense or sparse."""
        weights = np.ones(len(groups)) if weights is None else np.asarray(weights, dtype=np.float64)
        present, own = np.unique(groups, return_inverse=True)
        shape = (len(present), len(groups))
        one_hot = sparse.csr_matrix((weights, (own, np.arange(len(groups)))), shape=shape)
        self.sums[present] += _dense(one_hot @ part)
        if self.squares is not None:
            squared = part.astype(np.float64)
            squared = squared.multiply(squared).tocsr() if sparse.issparse(squared) else squared**2
            self.squares[present] += _dense(one_hot @ squared)
        self.weight += np.bincount(groups, weights, minlength=len(self.weight))
        self.weight_squared += np.bincount(groups, weights**2, minlength=len(self.weight))

    def means(self) -> np.ndarray:
        """Mean of each group, ``(n_groups, n_genes)``; NaN where it has no row."""
        return self.sums / np.where(self.weight > 0, self.weight, np.nan)[:, None]

    def variances(self) -> np.ndarray | None:
        """Unbiased variance of each group; NaN where it has one row."""
        if self.squares is None:
            return None
        # With equal weights this is n - 1.
        freedom = self.weight - self.weight_squared / np.where(self.weight > 0, self.weight, np.nan)
        around = np.maximum(self.squares - self.sums * self.means(), 0)
        return around / np.where(freedom > 1e-9, freedom, np.nan)[:, None]


@dataclass
class Seen:
    """What values were met so far, to refuse those that are no logarithms."""

    non_negative: bool = False
    highest: float = 0.0
    lowest: float = 0.0
    least_many: float = np.inf  # of the values above 1
    whole: bool = True
    filled: int = 0  # values other than 0
    rows: int = field(default=0)

    def add(self, part: Any, names: pd.Index) -> None:
        """Look at a block of rows; refuse missing, infinite and, where asked, negative values at once."""
        values = part.data if sparse.issparse(part) else part
        if not np.isfinite(values).all():
            wrong = _rows_where(part, lambda numbers: ~np.isfinite(numbers))
            raise ValueError(
                f"expression should be finite; {len(wrong):,} of {part.shape[0]:,} rows hold missing or infinite "
                f"values (first: {first(names[wrong])}). Leave out those rows or genes."
            )
        if self.non_negative and values.size and values.min() < 0:
            wrong = _rows_where(part, lambda numbers: numbers < 0)
            raise ValueError(
                f"expression should not be negative, as the output of this model is not; {len(wrong):,} of "
                f"{part.shape[0]:,} rows are (first: {first(names[wrong])}, lowest {values.min():.3g}). Choose an "
                "output that may be negative, or give logs of normalised counts instead of z-scores."
            )
        self.rows += part.shape[0]
        self.highest = max(self.highest, float(values.max(initial=0)))
        self.lowest = min(self.lowest, float(values.min(initial=0)))
        self.whole = self.whole and bool((values == np.rint(values)).all())
        if self.whole:
            self.filled += int(np.count_nonzero(values))
            self.least_many = min(self.least_many, float(values.min(initial=np.inf, where=values > 1)))

    @property
    def are_counts(self) -> bool:
        """Whether what was met looks like raw counts: logs of normalised counts are never all whole numbers."""
        # Shallow counts have a low maximum; noughts and ones, or rounded z-scores, may be something else.
        several = self.lowest >= 0 and self.filled >= FEWEST and self.least_many < self.highest
        return bool(self.rows) and self.whole and (several or self.highest > MOST_LOG)

    def require_logs(self) -> None:
        """Raise ``ValueError`` if what was met looks like raw counts."""
        if self.are_counts:
            raise ValueError(
                f"expression should be logs of normalised counts; all values of {self.rows:,} rows are whole numbers, "
                f"up to {self.highest:,.0f}: raw counts. Normalise first: divide by each row's total, multiply by "
                "10,000 and take log1p (scanpy: normalize_total, log1p)."
            )


def _rows_where(part: Any, test: Any) -> np.ndarray:
    if sparse.issparse(part):
        return np.unique(part.tocoo().row[test(part.tocoo().data)])
    return np.flatnonzero(test(part).any(axis=1))


def _dense(product: Any) -> np.ndarray:
    return np.asarray(product.toarray() if sparse.issparse(product) else product)
