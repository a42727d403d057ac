"""Agreement of true and predicted effects, one value a condition: pure functions of arrays, rows are conditions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats

from galenic.evaluate.metrics import ROUNDING

SMALLEST = 1e-6  # float32 rounding, as a share of the spread of the control's genes: a smaller effect is none
FEWEST = 3  # genes that a correlation needs
BLOCK = 2_000_000  # numbers at a time: bounds memory at a few times 16 MB beyond what is given


def slices(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Consecutive rows, so many that their numbers fit the bound on memory.

    Examples
    --------
    >>> list(slices(3, 1_000_000))
    [slice(0, 2, None), slice(2, 3, None)]
    """
    size = max(1, BLOCK // max(n_columns, 1))
    return (slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size))


def effects(expression: np.ndarray, control: np.ndarray) -> np.ndarray:
    """Expression minus control, ``(n_conditions, n_genes)``; what is too small to tell from rounding is 0.

    A network that predicts no effect in float32 returns its input but for the last digits, and the correlation of
    last digits would be a number without meaning.

    Examples
    --------
    >>> effects(np.array([[1.0, 2.0 + 1e-9]]), np.array([[0.5, 2.0]]))
    array([[0.5, 0. ]])
    """
    delta = expression - control
    delta[np.abs(delta) <= SMALLEST * control.std(axis=1, keepdims=True)] = 0.0
    return delta


def pearson_rows(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Pearson correlation of each row, ``(n_conditions,)``; NaN for a constant row or fewer than three genes.

    Parameters
    ----------
    truth, prediction
        Effects, ``(n_conditions, n_genes)``.
    weights
        How much each gene counts, 0 to 1, the same shape; all alike by default.

    Examples
    --------
    >>> pearson_rows(np.array([[1.0, 2.0, 3.0]]), np.array([[2.0, 4.0, 6.0]]))
    array([1.])
    """
    (truth, truth_squares), (prediction, squares) = (_centred(values, weights) for values in (truth, prediction))
    with np.errstate(divide="ignore", invalid="ignore"):
        values = _sums(truth, prediction, weights) / np.sqrt(truth_squares * squares)
    values[_n_genes(truth, weights) < FEWEST] = np.nan
    return np.clip(values, -1, 1)


def spearman_rows(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Spearman correlation of each row, ties sharing their mean rank; NaN where :func:`pearson_rows` would be.

    Examples
    --------
    >>> spearman_rows(np.array([[1.0, 2.0, 3.0]]), np.array([[2.0, 4.0, 60.0]]))
    array([1.])
    """
    return pearson_rows(stats.rankdata(truth, axis=1), stats.rankdata(prediction, axis=1))


def cosine_rows(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Cosine of each row, in [-1, 1]; NaN for a row of zeros.

    Examples
    --------
    >>> cosine_rows(np.array([[3.0, 4.0]]), np.array([[0.0, 2.0]]))
    array([0.8])
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        values = _sums(truth, prediction) / np.sqrt(_sums(truth, truth) * _sums(prediction, prediction))
    return np.clip(values, -1, 1)


def r2_rows(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Coefficient of determination of each row over its genes, at most 1; NaN for a constant truth.

    Examples
    --------
    >>> r2_rows(np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 2.0, 4.0]]))
    array([0.5])
    """
    return 1 - _sums(truth - prediction, truth - prediction) / _centred(truth, None)[1]


def mean_rows(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Weighted mean of each row; NaN where all weights are 0.

    Examples
    --------
    >>> mean_rows(np.array([[1.0, 5.0]]), np.array([[1.0, 0.0]]))
    array([1.])
    """
    if weights is None:
        return values.mean(axis=1)
    with np.errstate(invalid="ignore"):
        return _sums(values, weights) / weights.sum(axis=1)


def sign_rows(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of the genes that truly move whose predicted effect has the right sign; a predicted 0 is half right.

    Half, as the sign of no effect is a guess: predicting nothing scores 0.5, as guessing would.

    Examples
    --------
    >>> sign_rows(np.array([[1.0, -2.0, 0.0]]), np.array([[3.0, 0.0, 1.0]]), np.ones((1, 3)))
    array([0.75])
    """
    right = np.where(prediction == 0, 0.5, np.sign(truth) == np.sign(prediction))
    return mean_rows(right, weights * (truth != 0))


def first_k(order: np.ndarray, k: int) -> np.ndarray:
    """Weights of the k genes of each row that come first: 1 for them, 0 for others; ties for the last places share.

    Parameters
    ----------
    order
        Smaller comes first: p-values, ranks, minus the size of an effect; ``(n_conditions, n_genes)``. NaN is last.
    k
        How many genes.

    Returns
    -------
    numpy.ndarray
        The shape of ``order``, each row with the sum k; NaN if there are fewer than k genes.

    Examples
    --------
    >>> first_k(np.array([[0.1, 0.5, 0.5, 0.9]]), 2)
    array([[1. , 0.5, 0.5, 0. ]])
    """
    if k > order.shape[1]:
        return np.full(order.shape, np.nan)
    order = np.where(np.isnan(order), np.inf, order)
    edge = np.partition(order, k - 1, axis=1)[:, k - 1 : k]
    with np.errstate(invalid="ignore"):
        tied = (order == edge) | (np.abs(order - edge) <= ROUNDING * np.abs(edge))
    before = (order < edge) & ~tied
    share = (k - before.sum(axis=1)) / tied.sum(axis=1)
    return before + share[:, None] * tied


def overlap_rows(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Share of the genes of one list that stand in the other: sum of the smaller weight over the sum of the true ones.

    Parameters
    ----------
    truth, prediction
        Weights from :func:`first_k`, of the same k.

    Examples
    --------
    >>> overlap_rows(np.array([[1.0, 1.0, 0.0]]), np.array([[1.0, 0.0, 1.0]]))
    array([0.5])
    """
    with np.errstate(invalid="ignore"):
        return np.minimum(truth, prediction).sum(axis=1) / truth.sum(axis=1)


def _n_genes(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    return np.full(len(values), values.shape[1]) if weights is None else (weights > 0).sum(axis=1)


def _sums(a: np.ndarray, b: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    return np.einsum("ij,ij->i", a, b) if weights is None else np.einsum("ij,ij,ij->i", a, b, weights)


def _centred(values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Values minus their row's mean, and each row's sum of squares (NaN where that is rounding only)."""
    centred = values - mean_rows(values, weights)[:, None]
    squares = _sums(centred, centred, weights)
    constant = squares <= ROUNDING**2 * _sums(values, values, weights)
    return centred, np.where(constant, np.nan, squares)
