"""Differential expression of two groups of cells, and the agreement of two gene lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse, stats

from galenic.evaluate.checks import first
from galenic.evaluate.deltas import BLOCK, first_k, mean_rows, overlap_rows
from galenic.evaluate.statistics import benjamini_hochberg
from galenic.work.near import did_you_mean

TESTS = ("rank_sum", "welch")


def differential(
    X: Any, is_treated: np.ndarray, genes: Sequence[str] | None = None, *, test: str = "rank_sum"
) -> pd.DataFrame:
    """Test each gene for a difference between treated and control cells.

    Parameters
    ----------
    X
        Expression, ``(n_cells, n_genes)``, dense or scipy sparse; on a log scale, so that ``delta`` is a log ratio.
    is_treated
        Which cells are treated, ``(n_cells,)`` bool; the others are controls.
    genes
        Names of the genes; by default 0, 1, ...
    test
        ``"rank_sum"``: Wilcoxon's rank-sum test by the normal approximation, corrected for ties and continuity.
        ``"welch"``: the t-test for unequal variances.

    Returns
    -------
    pandas.DataFrame
        One row a gene: ``gene``, ``delta`` (mean treated minus mean control), ``statistic`` (U of the treated, or t),
        ``p_value`` (two-sided), ``q_value`` (Benjamini-Hochberg over the genes tested), ``n_treated``, ``n_control``.
        A gene that does not vary has no p-value: NaN.

    Raises
    ------
    ValueError
        For a mask of the wrong length or type, fewer than two cells in a group, or an unknown test.

    Notes
    -----
    Equal to ``scipy.stats.mannwhitneyu(method="asymptotic")`` and ``scipy.stats.ttest_ind(equal_var=False)``, a block
    of genes at a time. Cells of one well or animal are not independent: with replicates, test their means instead.

    Examples
    --------
    >>> X = np.array([[5.0, 1.0], [6.0, 2.0], [7.0, 1.5], [1.0, 1.7], [2.0, 1.1], [3.0, 2.1]])
    >>> differential(X, np.array([True] * 3 + [False] * 3), ["ISG15", "ACTB"])[["gene", "delta", "p_value"]].round(2)
        gene  delta  p_value
    0  ISG15   4.00     0.08
    1   ACTB  -0.13     0.66
    """
    X, is_treated = _checked(X, is_treated)
    if test not in TESTS:
        raise ValueError(
            f"test should be one of {', '.join(TESTS)}; received {test!r}. "
            f"{did_you_mean(test, TESTS, 'Choose one of those.')}"
        )
    n_genes = X.shape[1]
    if genes is not None and len(genes) != n_genes:
        raise ValueError(f"genes should name the {n_genes:,} columns; received {len(genes):,} names. Pass all of them.")
    function = _rank_sum if test == "rank_sum" else _welch
    width = max(1, BLOCK // len(is_treated))
    blocks = [function(_dense(X[:, start : start + width]), is_treated) for start in range(0, n_genes, width)]
    delta, statistic, p_value = np.concatenate(blocks, axis=1) if blocks else np.zeros((3, 0))
    return pd.DataFrame(
        {
            "gene": np.arange(n_genes) if genes is None else np.asarray(genes),
            "delta": delta,
            "statistic": statistic,
            "p_value": p_value,
            "q_value": benjamini_hochberg(p_value),
            "n_treated": int(is_treated.sum()),
            "n_control": int((~is_treated).sum()),
        }
    )


def de_overlap(truth: np.ndarray, prediction: np.ndarray, k: int) -> np.ndarray:
    """Share of the first k genes of the truth that are among the first k of the prediction.

    Parameters
    ----------
    truth, prediction
        What orders the genes, smallest first: p-values, ranks or minus the size of the effect,
        ``(n_conditions, n_genes)``. NaN is last; genes tied for the last places share them.
    k
        Length of the lists.

    Returns
    -------
    numpy.ndarray
        ``(n_conditions,)``, 1 is best, k / n_genes is chance; NaN where there are fewer than k genes.

    Raises
    ------
    ValueError
        For arrays of different shapes.

    Examples
    --------
    >>> de_overlap(np.array([[0.01, 0.02, 0.5, 0.9]]), np.array([[0.01, 0.8, 0.02, 0.9]]), k=2)
    array([0.5])
    """
    truth, prediction = _same_shape(truth, prediction)
    return overlap_rows(first_k(truth, k), first_k(prediction, k))


def precision_at_k(is_de: np.ndarray, prediction: np.ndarray, k: int) -> np.ndarray:
    """Share of the first k genes of the prediction that are truly differentially expressed.

    Parameters
    ----------
    is_de
        Which genes are, ``(n_conditions, n_genes)`` bool: ``q_values < 0.05``.
    prediction
        What orders the genes of the prediction, smallest first, as in :func:`de_overlap`.
    k
        Length of the list.

    Returns
    -------
    numpy.ndarray
        ``(n_conditions,)``; chance is the share of genes that are. NaN for a condition without any, where every list
        scores 0, and where there are fewer than k genes.

    Raises
    ------
    ValueError
        For arrays of different shapes.

    Examples
    --------
    >>> precision_at_k(np.array([[True, True, False, False]]), np.array([[0.01, 0.8, 0.02, 0.9]]), k=2)
    array([0.5])
    """
    truth, prediction = _same_shape(is_de, prediction)
    return np.where(truth.any(axis=1), mean_rows(truth, first_k(prediction, k)), np.nan)


def _same_shape(truth: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, prediction = (np.asarray(values, dtype=np.float64) for values in (truth, prediction))
    if truth.ndim != 2 or truth.shape != prediction.shape:
        raise ValueError(
            f"two gene lists a condition should be (n_conditions, n_genes) of one shape; received {truth.shape} and "
            f"{prediction.shape}. Bring both to the same conditions and genes."
        )
    return truth, prediction


def _checked(X: Any, is_treated: np.ndarray) -> tuple[Any, np.ndarray]:
    X = X.tocsc() if sparse.issparse(X) else np.asarray(X)
    is_treated = np.asarray(is_treated)
    if X.ndim != 2 or is_treated.dtype != bool or is_treated.shape != (X.shape[0],):
        raise ValueError(
            f"is_treated should be a mask with one boolean a cell of X {X.shape}; received {is_treated.dtype} of shape "
            f"{is_treated.shape}. Compare a column: obs['perturbation'] == 'IFNb'."
        )
    n_treated = int(is_treated.sum())
    if min(n_treated, len(is_treated) - n_treated) < 2:
        raise ValueError(
            f"a test needs at least two cells in each group; received {n_treated:,} treated and "
            f"{len(is_treated) - n_treated:,} controls. Leave that condition out."
        )
    values = X.data if sparse.issparse(X) else X
    if not np.isfinite(values).all():
        columns = np.flatnonzero(~np.isfinite(np.asarray(X.sum(axis=0)).ravel()))
        raise ValueError(
            f"expression should be finite; {len(columns):,} of {X.shape[1]:,} genes hold missing or infinite values "
            f"(first columns: {first(columns)}). Leave those genes or cells out."
        )
    return X, is_treated


def _dense(X: Any) -> np.ndarray:
    return np.asarray(X.toarray() if sparse.issparse(X) else X, dtype=np.float64)


def _rank_sum(X: np.ndarray, is_treated: np.ndarray) -> np.ndarray:
    """Difference of means, U and p-value of each gene, ``(3, n_genes)``."""
    n, n_treated = len(is_treated), int(is_treated.sum())
    n_control = n - n_treated
    ranks = stats.rankdata(X, axis=0)
    U = ranks[is_treated].sum(axis=0) - n_treated * (n_treated + 1) / 2
    # The variance of mean ranks holds the correction for ties.
    variance = n_treated * n_control / (n * (n - 1)) * ((ranks - (n + 1) / 2) ** 2).sum(axis=0)
    surprise = np.abs(U - n_treated * n_control / 2) - 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        p_value = np.where(variance > 0, np.minimum(2 * stats.norm.sf(surprise / np.sqrt(variance)), 1.0), np.nan)
    return np.array([_delta(X, is_treated), U, p_value])


def _welch(X: np.ndarray, is_treated: np.ndarray) -> np.ndarray:
    """Difference of means, t and p-value of each gene, ``(3, n_genes)``."""
    sides = X[is_treated], X[~is_treated]
    errors = [side.var(axis=0, ddof=1) / len(side) for side in sides]
    squares = errors[0] + errors[1]
    delta = _delta(X, is_treated)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(squares > 0, delta / np.sqrt(squares), np.nan)
        freedom = squares**2 / sum(error**2 / (len(side) - 1) for error, side in zip(errors, sides, strict=True))
        return np.array([delta, t, 2 * stats.t.sf(np.abs(t), freedom)])


def _delta(X: np.ndarray, is_treated: np.ndarray) -> np.ndarray:
    return X[is_treated].mean(axis=0) - X[~is_treated].mean(axis=0)
