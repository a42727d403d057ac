"""Whether cells can be told from the lines a model learned from, and whether genes move together in both."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import NearestNeighbors

from galenic.evaluate.metrics import auroc
from galenic.evaluate.shift import mmd2
from galenic.evaluate.statistics import bootstrap_interval
from galenic.work.bar import counted

N_COMPONENTS = 20
"""Principal components that the classifier reads: trees on thousands of single features find little and take long."""
N_TREES = 50
SMALLEST_LEAF = 5
MOST_FEATURES = 500
"""Features whose correlations are held against each other (drawn at random), and between which distances are taken (the
most variable ones of the reference)."""
N_NEIGHBOURS = 10
CONSTANT = 1e-9
"""Standard deviation below which a feature says nothing: what rounding leaves of a constant one is not 0."""
FEWEST_FEATURES = 4


def told_apart(
    reference: np.ndarray, target: np.ndarray, *, seed: int = 0, n_folds: int = 5, max_cells: int = 1000
) -> tuple[float, float, float]:
    """AUROC of a random forest that tells target from reference, with its 95 % interval.

    Where features were aligned, a linear classifier has nothing left to read; what remains is how features vary and
    move together, which trees on principal components see.

    Parameters
    ----------
    reference, target
        The same features of two domains, ``(n, n_features)`` and ``(m, n_features)``, at least ``n_folds`` rows each.
    seed
        Of subsampling, folds, trees and resamples.
    n_folds
        Folds.
    max_cells
        Larger sides are subsampled to this many.

    Returns
    -------
    value, low, high : float
        0.5 = cannot be told apart, 1 = never confused. Somewhat below 0.5 is possible where means were aligned over
        the same cells: what is left out of training then lies on the other side.

    Notes
    -----
    Classifier two-sample test: Lopez-Paz and Oquab, ICLR 2017. Scores are out of fold; the interval is a bootstrap over
    cells.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> wide, narrow = rng.normal(size=(100, 3)), 0.3 * rng.normal(size=(100, 3))
    >>> told_apart(wide, narrow)[0] > 0.8
    True
    """
    rng = np.random.default_rng(seed)
    sides = [_some(side, max_cells, rng) for side in (reference, target)]
    X = np.concatenate(sides)
    spread = X.std(axis=0)
    some = spread > CONSTANT
    X = (X[:, some] - X[:, some].mean(axis=0)) / spread[some]
    if not X.shape[1]:
        return 0.5, 0.5, 0.5
    domain = np.repeat([0, 1], [len(side) for side in sides])
    scores = PCA(min(N_COMPONENTS, *X.shape), random_state=seed).fit_transform(X)
    forest = RandomForestClassifier(N_TREES, min_samples_leaf=SMALLEST_LEAF, class_weight="balanced", random_state=seed)
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    told = cross_val_predict(forest, scores, domain, cv=folds, method="predict_proba")[:, 1]
    low, high = bootstrap_interval("auroc", domain, told, n=500, seed=seed, strata=domain)
    return auroc(domain, told), low, high


def coexpression(
    reference: np.ndarray, target: np.ndarray, *, n_permutations: int = 200, seed: int = 0
) -> tuple[float, float]:
    """How far features that move together in one domain do so in the other.

    It does not see what alignment mends, means and spreads, and it sees what alignment cannot: genes under wrong names,
    values that are noise.

    Parameters
    ----------
    reference, target
        The same features of two domains, ``(n, n_features)`` and ``(m, n_features)``.
    n_permutations
        Permutations of the names of features in one of the two.
    seed
        Of them, and of the choice of features where there are more than 500.

    Returns
    -------
    value, p_value : float
        Correlation of the two matrices of correlations between features (above the diagonal), and the share of
        permutations that reach it. NaN where fewer than four features vary in both.

    Notes
    -----
    Mantel, Cancer Res. 1967, 27:209.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> together = rng.normal(size=(2, 20))
    >>> one, other = (rng.normal(size=(80, 2)) @ together + rng.normal(size=(80, 20)) for _ in range(2))
    >>> [round(value, 3) for value in coexpression(one, other)][1], coexpression(one, other[:, ::-1])[1] > 0.01
    (0.005, True)
    """
    rng = np.random.default_rng(seed)
    both = np.flatnonzero((reference.std(axis=0) > CONSTANT) & (target.std(axis=0) > CONSTANT))
    if len(both) < FEWEST_FEATURES:
        return np.nan, np.nan
    if len(both) > MOST_FEATURES:
        both = np.sort(rng.choice(both, MOST_FEATURES, replace=False))
    above = np.triu_indices(len(both), 1)
    known, asked = (np.corrcoef(side[:, both].T) for side in (reference, target))
    held = known[above] - known[above].mean()
    values = np.empty(1 + n_permutations)
    for number in counted(range(len(values)), "permutations"):
        order = rng.permutation(len(both)) if number else np.arange(len(both))
        other = asked[np.ix_(order, order)][above]
        values[number] = (
            held @ (other - other.mean()) / max(np.linalg.norm(held) * other.std() * len(other) ** 0.5, 1e-300)
        )
    return float(values[0]), float((1 + np.sum(values[1:] >= values[0])) / len(values))


def cell_shift(
    reference: np.ndarray, target: np.ndarray, *, seed: int = 0, n_permutations: int = 200, max_cells: int = 1000
) -> pd.DataFrame:
    """Shift as :func:`galenic.evaluate.shift.domain_shift` measures it, for domains that were aligned.

    Parameters
    ----------
    reference, target
        Features of both, ``(n, n_features)`` and ``(m, n_features)``, finite; 11 rows or more each.
    seed, n_permutations, max_cells
        As there.

    Returns
    -------
    pandas.DataFrame
        ``measure, value, low, high, p_value, n_reference, n_target``: ``classifier_auroc`` (:func:`told_apart`),
        ``mmd2`` and ``outside_share`` (as there, over the 500 features that vary most in the reference), and
        ``coexpression``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> cell_shift(rng.normal(size=(50, 3)), rng.normal(size=(60, 3)), n_permutations=10)["measure"].tolist()
    ['classifier_auroc', 'mmd2', 'outside_share', 'coexpression']
    """
    rng = np.random.default_rng(seed)
    sides = [_some(np.asarray(side, dtype=np.float64), max_cells, rng) for side in (reference, target)]
    together = np.concatenate(sides)
    spread = together.std(axis=0)
    kept = np.sort(np.argsort(-sides[0].var(axis=0), kind="stable")[:MOST_FEATURES])
    kept = kept[spread[kept] > CONSTANT]
    near = [(side[:, kept] - together[:, kept].mean(axis=0)) / spread[kept] for side in sides]
    shared = coexpression(sides[0], sides[1], n_permutations=n_permutations, seed=seed)
    rows = [
        ("classifier_auroc", *told_apart(sides[0], sides[1], seed=seed), np.nan),
        ("mmd2", *_mmd2(near[0], near[1], n_permutations, rng)),
        ("outside_share", *_outside(near[0], near[1])),
        ("coexpression", shared[0], np.nan, np.nan, shared[1]),
    ]
    table = pd.DataFrame(rows, columns=["measure", "value", "low", "high", "p_value"])
    return table.assign(n_reference=len(sides[0]), n_target=len(sides[1]))


def _mmd2(
    reference: np.ndarray, target: np.ndarray, n_permutations: int, rng: np.random.Generator
) -> tuple[float, ...]:
    X = np.concatenate([reference, target])
    squares = cdist(X, X, "sqeuclidean")
    median = float(np.median(squares[np.triu_indices(len(X), 1)]))
    kernel = np.exp(-squares / (2 * median)) if median > 0 else np.ones_like(squares)
    np.fill_diagonal(kernel, 0.0)
    first = np.arange(len(X)) < len(reference)
    values = mmd2(kernel, np.array([first, *(rng.permutation(first) for _ in range(n_permutations))], dtype=float).T)
    return float(values[0]), np.nan, np.nan, float((1 + np.sum(values[1:] >= values[0])) / len(values))


def _outside(reference: np.ndarray, target: np.ndarray) -> tuple[float, ...]:
    search = NearestNeighbors(n_neighbors=min(N_NEIGHBOURS, len(reference) - 1)).fit(reference)
    own = search.kneighbors()[0].mean(axis=1)
    away = search.kneighbors(target)[0].mean(axis=1)
    n_outside = int((away > np.quantile(own, 0.99)).sum())
    interval = stats.binomtest(n_outside, len(target)).proportion_ci(0.95, method="exact")
    return n_outside / len(target), float(interval.low), float(interval.high), np.nan


def _some(side: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    return side[np.sort(rng.choice(len(side), most, replace=False))] if len(side) > most else side
