"""Distances between two samples of cells: energy distance and maximum mean discrepancy, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from galenic.evaluate.checks import first, labels, require_columns
from galenic.evaluate.deltas import slices

MEDIAN_OF = 2000  # cells that the median distance is taken over


def energy_distance(x: np.ndarray, y: np.ndarray, *, unbiased: bool = True) -> float:
    """Energy distance of two samples, ``2 E|x - y| - E|x - x'| - E|y - y'|`` with Euclidean distances.

    0 for equal distributions; the unbiased estimate then lies about 0, also below.

    Parameters
    ----------
    x, y
        Cells, ``(n_x, n_genes)`` and ``(n_y, n_genes)``: genes or, better conditioned, principal components.
    unbiased
        Leave the distance of a cell to itself out of the means. ``False`` keeps it: never negative, and larger for
        small samples.

    Returns
    -------
    float
        In the unit of the expression; NaN with fewer than two cells on a side (one, where biased).

    Raises
    ------
    ValueError
        For other shapes or numbers that are not finite.

    Notes
    -----
    Szekely and Rizzo, Journal of Statistical Planning and Inference 2013, 143:1249. In one dimension the biased form
    is the square of ``scipy.stats.energy_distance``. Peidli et al. (scPerturb, Nature Methods 2024) take *squared*
    Euclidean distances instead, which see the difference of means only.

    Examples
    --------
    >>> energy_distance(np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]]), unbiased=False)
    1.0
    """
    x, y = _checked(x, y)
    return _discrepancy(x, y, lambda squares: -np.sqrt(squares), unbiased)


def mmd(x: np.ndarray, y: np.ndarray, gamma: float | None = None, *, unbiased: bool = True) -> float:
    """Squared maximum mean discrepancy with the kernel ``exp(-gamma |x - y|^2)``.

    Parameters
    ----------
    x, y
        Cells, ``(n_x, n_genes)`` and ``(n_y, n_genes)``.
    gamma
        Width of the kernel. By default 1 / (2 * median of squared distances of pooled cells), of at most 2,000 of
        them. It depends on both samples: to compare predictions of one truth, give the same gamma to all.
    unbiased
        Leave the kernel of a cell with itself out of the means (may fall below 0); ``False`` keeps it.

    Returns
    -------
    float
        ``E k(x, x') + E k(y, y') - 2 E k(x, y)``; NaN with fewer than two cells on a side (one, where biased).

    Raises
    ------
    ValueError
        For other shapes or numbers that are not finite.

    Notes
    -----
    Gretton et al., JMLR 2012, 13:723, equations 3 (unbiased) and 5.

    Examples
    --------
    >>> round(mmd(np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]]), gamma=1.0, unbiased=False), 3)
    0.466
    """
    x, y = _checked(x, y)
    if gamma is None:
        gamma = median_gamma(x, y)
    return _discrepancy(x, y, lambda squares: np.exp(-gamma * squares), unbiased)


def distances_by_condition(
    truth: Any,
    truth_table: pd.DataFrame,
    prediction: Any,
    prediction_table: pd.DataFrame,
    *,
    contexts: str = "context",
    perturbations: str = "perturbation",
    max_cells: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Distances of predicted cells from the measured cells of each condition, unbiased.

    Parameters
    ----------
    truth, prediction
        Measured and predicted cells, ``(n_cells, n_genes)``, dense or scipy sparse, of the same genes; their numbers
        may differ.
    truth_table, prediction_table
        One row a cell each.
    contexts, perturbations
        Columns of both tables.
    max_cells
        More cells of a condition are subsampled to this number.
    seed
        Of the subsampling.

    Returns
    -------
    pandas.DataFrame
        One row a condition of the prediction: its context and perturbation, ``energy_distance``, ``mmd`` with the
        median distance of the *measured* cells (so that it does not depend on the model), ``n_truth`` and
        ``n_prediction`` cells used. Less is better; NaN with fewer than two cells on a side.

    Raises
    ------
    ValueError
        For missing columns, arrays that do not fit their tables, or a predicted condition that was not measured.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"context": "K562", "perturbation": ["KLF1"] * 50 + ["MAPK1"] * 50})
    >>> truth, prediction = rng.normal(size=(2, 100, 5))
    >>> prediction[:50] += 3.0
    >>> found = distances_by_condition(truth, table, prediction, table)
    >>> found["perturbation"].tolist(), (found["energy_distance"] > 1).tolist()
    (['KLF1', 'MAPK1'], [True, False])
    """
    keys = [contexts, perturbations]
    sides = [
        _cells_of(values, table, keys, name)
        for values, table, name in ((truth, truth_table, "truth"), (prediction, prediction_table, "prediction"))
    ]
    strange = [key for key in sides[1] if key not in sides[0]]
    if strange:
        raise ValueError(
            f"each predicted condition should be measured; {len(strange):,} of {len(sides[1]):,} are not (first: "
            f"{first(strange)}). Leave them out, or name the conditions alike."
        )
    rng = np.random.default_rng(seed)
    rows = []
    for key in sides[1]:
        x, y = (
            _dense(values, _some(side[key], max_cells, rng))
            for values, side in zip((truth, prediction), sides, strict=True)
        )
        gamma = median_gamma(*_checked(x, x[:0]))
        rows.append((*key, energy_distance(x, y), mmd(x, y, gamma), len(x), len(y)))
    return pd.DataFrame(rows, columns=[*keys, "energy_distance", "mmd", "n_truth", "n_prediction"])


def median_gamma(x: np.ndarray, y: np.ndarray) -> float:
    """1 / (2 * median of the squared distances between pooled cells), evenly spaced ones if there are many.

    Examples
    --------
    >>> median_gamma(np.array([[0.0]]), np.array([[2.0]]))
    0.125
    """
    pooled = np.vstack([x, y])
    if len(pooled) > MEDIAN_OF:
        pooled = pooled[np.linspace(0, len(pooled) - 1, MEDIAN_OF).astype(np.intp)]
    squares = _squares(pooled, pooled)[np.triu_indices(len(pooled), 1)]
    median = float(np.median(squares)) if len(squares) else 0.0
    return 1 / (2 * median) if median > 0 else 1.0


def _discrepancy(x: np.ndarray, y: np.ndarray, kernel: Callable[[np.ndarray], np.ndarray], unbiased: bool) -> float:
    if min(len(x), len(y)) < 1 + unbiased:
        return np.nan
    within = sum(_mean(side, side, kernel, own=True, unbiased=unbiased) for side in (x, y))
    return float(within - 2 * _mean(x, y, kernel))


def _mean(
    x: np.ndarray,
    y: np.ndarray,
    kernel: Callable[[np.ndarray], np.ndarray],
    own: bool = False,
    unbiased: bool = False,
) -> float:
    """Mean kernel over pairs of cells; of one sample with itself, with or without the pairs of a cell and itself."""
    total = 0.0
    for rows in slices(len(x), len(y)):
        squares = _squares(x[rows], y)
        if own:
            squares[np.arange(len(squares)), np.arange(rows.start, rows.stop)] = 0.0
        total += kernel(squares).sum()
    if not unbiased:
        return total / (len(x) * len(y))
    return (total - len(x) * float(kernel(np.zeros(1))[0])) / (len(x) * (len(x) - 1))


def _squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    squares = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2 * x @ y.T
    return np.maximum(squares, 0.0)


def _cells_of(values: Any, table: pd.DataFrame, keys: list[str], what: str) -> dict[tuple[str, ...], np.ndarray]:
    """Positions of the cells of each condition."""
    require_columns(table, keys, f"distances of cells: the table of the {what}")
    if values.shape[0] != len(table):
        raise ValueError(
            f"{what} should hold a row a row of its table; received {values.shape} and {len(table):,} rows. "
            "Take both from the same AnnData."
        )
    named = pd.DataFrame({key: labels(table, key, "distances of cells").to_numpy() for key in keys})
    return {key: group.to_numpy() for key, group in named.groupby(keys).groups.items()}


def _some(rows: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= n else np.sort(rng.choice(rows, n, replace=False))


def _dense(values: Any, rows: np.ndarray) -> np.ndarray:
    return values[rows].toarray() if sparse.issparse(values) else np.asarray(values)[rows]


def _checked(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both samples as float64 around their common mean, so that little is lost where squares cancel."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"a distance of two samples needs (n_cells, n_genes) of the same genes; received {x.shape} and {y.shape}. "
            "Align the genes; give a single cell as one row."
        )
    for name, side in (("x", x), ("y", y)):
        if not np.isfinite(side).all():
            raise ValueError(
                f"cells should be finite; {name} has {int((~np.isfinite(side)).sum()):,} missing or infinite values in "
                f"{int((~np.isfinite(side)).any(axis=1).sum()):,} cells. Leave those cells or genes out."
            )
    pooled = len(x) + len(y)
    middle = (x.sum(axis=0) + y.sum(axis=0)) / max(pooled, 1)
    return x - middle, y - middle
