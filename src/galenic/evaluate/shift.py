"""Domain shift: how far the cells to be predicted lie from those a model was trained on."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pandas as pd
from scipy import stats
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from galenic.evaluate.checks import first
from galenic.evaluate.metrics import auroc
from galenic.evaluate.statistics import bootstrap_interval

Matrix: TypeAlias = np.ndarray | pd.DataFrame


def domain_shift(
    reference: Matrix,
    target: Matrix,
    *,
    seed: int = 0,
    n_folds: int = 5,
    n_permutations: int = 200,
    n_neighbours: int = 10,
    max_cells: int = 1000,
) -> pd.DataFrame:
    """Measure how different target cells (patients, another study) are from reference cells (training).

    Parameters
    ----------
    reference, target
        Features of the cells, ``(n_reference, n_features)`` and ``(n_target, n_features)``: the same features in the
        same order, on the same scale. Data frames must agree in their columns.
    seed
        Of subsampling, folds, permutations and resamples.
    n_folds
        Folds of the classifier.
    n_permutations
        Permutations of the kernel test.
    n_neighbours
        Nearest reference cells that a distance is averaged over.
    max_cells
        Larger sides are subsampled to this many cells: memory stays below a few times ``(2 * max_cells)^2`` numbers.

    Returns
    -------
    pandas.DataFrame
        ``measure, value, low, high, p_value, n_reference, n_target`` (cells used), one row each:

        - ``classifier_auroc``: cross-validated AUROC of a logistic regression that tells target from reference;
          0.5 = indistinguishable, 1 = no overlap. 95 % bootstrap interval over cells.
        - ``mmd2``: squared maximum mean discrepancy, unbiased (about 0, also below, for equal distributions), with the
          p-value of a permutation test. It has no interval.
        - ``outside_share``: share of target cells farther from their nearest reference cells than 99 % of reference
          cells are; about 0.01 is expected without shift. 95 % Clopper-Pearson interval.

    Raises
    ------
    ValueError
        If the features differ, a number is missing, or a side has fewer cells than folds or neighbours need.

    Notes
    -----
    Classifier two-sample test: Lopez-Paz and Oquab, ICLR 2017. Features are standardised on training folds, and the
    penalty grows with their number (C = 1 / n_features), so that more genes do not mean less regularisation.
    Kernel test: Gretton et al., JMLR 2012, equation 3, Gaussian kernel ``exp(-d^2 / (2 s^2))`` with s the median
    distance of pooled standardised cells.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = domain_shift(rng.normal(size=(80, 5)), rng.normal(1.0, size=(60, 5)))
    >>> table["measure"].tolist(), bool(table["value"][0] > 0.9)
    (['classifier_auroc', 'mmd2', 'outside_share'], True)
    """
    reference, target = _checked(reference, target, 1 + max(n_folds, n_neighbours))
    rng = np.random.default_rng(seed)
    reference, target = (
        side[np.sort(rng.choice(len(side), max_cells, replace=False))] if len(side) > max_cells else side
        for side in (reference, target)
    )
    rows = [
        ("classifier_auroc", *_classifier(reference, target, n_folds, seed)),
        ("mmd2", *_mmd2(reference, target, n_permutations, rng)),
        ("outside_share", *_outside(reference, target, n_neighbours)),
    ]
    table = pd.DataFrame(rows, columns=["measure", "value", "low", "high", "p_value"])
    return table.assign(n_reference=len(reference), n_target=len(target))


def _checked(reference: Matrix, target: Matrix, fewest: int) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(reference, pd.DataFrame) and isinstance(target, pd.DataFrame):
        apart = reference.columns.symmetric_difference(target.columns)
        if len(apart) or list(reference.columns) != list(target.columns):
            raise ValueError(
                f"reference and target should have the same features in the same order; {len(apart):,} stand in one "
                f"only (first: {first(apart)}). Align them: target[reference.columns]."
            )
    sides = [np.asarray(side, dtype=np.float64) for side in (reference, target)]
    for name, side in zip(("reference", "target"), sides, strict=True):
        if side.ndim != 2 or side.shape[1] != sides[0].shape[-1] or len(side) < fewest:
            raise ValueError(
                f"reference and target should be (n_cells, n_features) of the same features with at least {fewest} "
                f"cells; {name} is {side.shape}, reference {sides[0].shape}. "
                "Align the genes, or lower n_folds and n_neighbours."
            )
        if not np.isfinite(side).all():
            raise ValueError(
                f"features should be finite; {name} has {(~np.isfinite(side)).sum():,} missing or infinite values in "
                f"{(~np.isfinite(side)).any(axis=1).sum():,} cells. Leave those cells or features out."
            )
    return sides[0], sides[1]


def _classifier(reference: np.ndarray, target: np.ndarray, n_folds: int, seed: int) -> tuple[float, ...]:
    X = np.vstack([reference, target])
    domain = np.repeat([0, 1], [len(reference), len(target)])
    classifier = LogisticRegression(C=1 / X.shape[1], class_weight="balanced", max_iter=1000)
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    score = cross_val_predict(
        make_pipeline(StandardScaler(), classifier), X, domain, cv=folds, method="decision_function"
    )
    value = auroc(domain, score)
    low, high = bootstrap_interval("auroc", domain, score, n=500, seed=seed, strata=domain)
    return value, low, high, np.nan


def _mmd2(
    reference: np.ndarray, target: np.ndarray, n_permutations: int, rng: np.random.Generator
) -> tuple[float, ...]:
    X = StandardScaler().fit_transform(np.vstack([reference, target]))
    squares = cdist(X, X, "sqeuclidean")
    median = np.median(squares[np.triu_indices(len(X), 1)])
    kernel = np.exp(-squares / (2 * median)) if median > 0 else np.ones_like(squares)
    np.fill_diagonal(kernel, 0.0)
    first_side = np.arange(len(X)) < len(reference)
    sides = np.array([first_side, *(rng.permutation(first_side) for _ in range(n_permutations))], dtype=np.float64).T
    values = mmd2(kernel, sides)
    p_value = (1 + np.sum(values[1:] >= values[0])) / (1 + n_permutations)
    return float(values[0]), np.nan, np.nan, float(p_value)


def mmd2(kernel: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Unbiased squared maximum mean discrepancy for many divisions of the same cells at once.

    Parameters
    ----------
    kernel
        Kernel of all pairs of cells with a diagonal of zeros, ``(n, n)``.
    sides
        1 where a cell belongs to the first side and 0 where to the second, ``(n, n_divisions)``.

    Returns
    -------
    numpy.ndarray
        ``(n_divisions,)``.

    Examples
    --------
    >>> mmd2(1 - np.eye(4), np.array([[1.0], [1.0], [0.0], [0.0]]))
    array([0.])
    """
    n, m = sides.sum(axis=0), (1 - sides).sum(axis=0)
    reach = kernel @ sides
    within = (sides * reach).sum(axis=0)
    between = ((1 - sides) * reach).sum(axis=0)
    other = kernel.sum() - within - 2 * between
    return within / (n * (n - 1)) + other / (m * (m - 1)) - 2 * between / (n * m)


def _outside(reference: np.ndarray, target: np.ndarray, n_neighbours: int) -> tuple[float, ...]:
    scaler = StandardScaler().fit(reference)
    search = NearestNeighbors(n_neighbors=n_neighbours).fit(scaler.transform(reference))
    own = search.kneighbors()[0].mean(axis=1)
    distance = search.kneighbors(scaler.transform(target))[0].mean(axis=1)
    n_outside = int((distance > np.quantile(own, 0.99)).sum())
    interval = stats.binomtest(n_outside, len(target)).proportion_ci(0.95, method="exact")
    return n_outside / len(target), float(interval.low), float(interval.high), np.nan
