"""Clusters of variables that several models learned: signs aligned, and their number tested or chosen."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.linalg import eigh
from scipy.special import log_ndtr

from galenic.work.bar import counted

CRITICAL = 1.8692
"""Critical value of the corrected Anderson-Darling statistic at the level 0.0001."""
FEWEST = 8
"""Points that a test of normality needs."""
N_ROUNDS = 200
"""Rounds of k-means at most."""


def align_signs(gram: np.ndarray) -> np.ndarray:
    """Signs that make variables agree: each is turned to agree with the strongest of its partners.

    Walks the spanning tree of strongest absolute correlations (Prim), so that copies with opposite signs become
    copies, whatever the signs they came with.

    Parameters
    ----------
    gram
        Correlations (or inner products) of the variables, ``(n, n)``, symmetric.

    Returns
    -------
    ndarray, (n,)
        1 or -1; the variable most correlated with all others keeps its sign.

    Raises
    ------
    ValueError
        If the matrix is not square or not finite.

    Examples
    --------
    >>> align_signs(np.array([[1.0, -0.9, 0.1], [-0.9, 1.0, 0.2], [0.1, 0.2, 1.0]])).tolist()
    [-1.0, 1.0, 1.0]
    """
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or not np.isfinite(gram).all():
        raise ValueError(
            f"signs are aligned by a square matrix of finite correlations; received shape {gram.shape} with "
            f"{int((~np.isfinite(gram)).sum()):,} values that are not finite. Leave out constant variables."
        )
    n = len(gram)
    signs = np.ones(n)
    if n < 2:
        return signs
    new = int(np.abs(gram).sum(axis=1).argmax())
    best, partner, waiting = np.full(n, -1.0), np.zeros(n, dtype=int), np.ones(n, dtype=bool)
    waiting[new] = False
    for _ in range(n - 1):
        strength = np.abs(gram[new])
        closer = strength > best
        best, partner = np.where(closer, strength, best), np.where(closer, new, partner)
        new = int(np.where(waiting, best, -np.inf).argmax())
        waiting[new] = False
        signs[new] = signs[partner[new]] * (-1.0 if gram[new, partner[new]] < 0 else 1.0)
    return signs


def anderson_darling(values: np.ndarray) -> float:
    r"""Anderson and Darling's statistic of normality, corrected for small samples.

    :math:`A^{*2} = A^2 (1 + 4/n - 25/n^2)`, mean and variance estimated; as in G-means.

    Parameters
    ----------
    values
        ``(n,)``, 8 or more. Where all are the same the statistic is 0.

    Raises
    ------
    ValueError
        If there are fewer than 8.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> anderson_darling(rng.normal(size=200)) < CRITICAL < anderson_darling(rng.exponential(size=200))
    True
    """
    n = len(values)
    if n < FEWEST:
        raise ValueError(
            f"a test of normality needs {FEWEST} points at least; received {n}. Choose the number of clusters instead."
        )
    deviation = values.std(ddof=1)
    if not deviation > 1e-12 * max(1.0, float(np.abs(values).max())):
        return 0.0
    y = np.sort((values - values.mean()) / deviation)
    odd = 2 * np.arange(1, n + 1) - 1
    statistic = -n - (odd * (log_ndtr(y) + log_ndtr(-y[::-1]))).mean()
    return float(statistic * (1 + 4 / n - 25 / n**2))


def k_means(points: np.ndarray, n_clusters: int, *, centres: np.ndarray | None = None) -> np.ndarray:
    """Lloyd's k-means from a start that needs no random numbers.

    Parameters
    ----------
    points
        ``(n, n_dims)``.
    n_clusters
        1 to n.
    centres
        Where to start, ``(n_clusters, n_dims)``. By default the cluster of largest squared error is split along its
        principal direction until there are enough.

    Returns
    -------
    ndarray, (n,)
        Cluster of each point, 0 to ``n_clusters - 1``; none is empty (unless points coincide).

    Raises
    ------
    ValueError
        If there are fewer points than clusters.

    Examples
    --------
    >>> k_means(np.array([[0.0], [0.1], [5.0], [5.1]]), 2).tolist()
    [0, 0, 1, 1]
    """
    _require_points(points, n_clusters)
    points = np.asarray(points, dtype=np.float64)
    if centres is None:
        *_, centres = _starts(points, n_clusters)
    return _ordered(_lloyd(points, centres))


def g_means(points: np.ndarray, *, critical: float = CRITICAL, min_leaf: int = 2, max_depth: int = 10) -> np.ndarray:
    """Clusters whose number is found by asking of each whether it looks like one Gaussian (Hamerly and Elkan, 2003).

    From one cluster on: each is split in two along its principal direction (centre plus and minus the direction times
    the square root of 2 lambda / pi, then k-means); its points are projected on the line between the two, and where
    the Anderson-Darling test refuses normality the two replace it. Then k-means over all points, until nothing splits.

    Parameters
    ----------
    points
        ``(n, n_dims)``.
    critical
        Critical value of :func:`anderson_darling`: 1.8692 is the level 0.0001; lower values split more.
    min_leaf
        A split that leaves fewer points on a side is not made.
    max_depth
        Rounds of splitting at most.

    Returns
    -------
    ndarray, (n,)
        Cluster of each point, numbered by first appearance.

    Raises
    ------
    ValueError
        If there is no point, or a value is not finite.

    Warns
    -----
    UserWarning
        If there are fewer than 8 points: none can be tested, and all are one cluster.

    Notes
    -----
    Deterministic. A cluster of fewer than 8 points is never split. Differs from published code of Deep-pert: full
    k-means in place of mini-batches, start along the principal direction, small-sample correction, strict level.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> points = np.concatenate([rng.normal(size=(50, 3)), rng.normal(size=(50, 3)) + 9])
    >>> np.bincount(g_means(points)).tolist()
    [50, 50]
    """
    _require_points(points, 1)
    points = np.asarray(points, dtype=np.float64)
    if len(points) < FEWEST:
        warnings.warn(
            f"G-means tests clusters of {FEWEST} points or more; received {len(points)}, which stay one cluster. "
            "Set the number of clusters, or fit more models.",
            stacklevel=2,
        )
    labels = np.zeros(len(points), dtype=int)
    whole: set[bytes] = set()  # clusters that were tested and kept: the same points need no second test
    for _ in range(max_depth):
        centres = []
        for number in range(labels.max() + 1):
            members = labels == number
            pair = None
            if members.tobytes() not in whole:
                pair = _split(points[members], critical, min_leaf)
            if pair is None:
                whole.add(members.tobytes())
            centres.append(points[members].mean(axis=0, keepdims=True) if pair is None else pair)
        together = np.concatenate(centres)
        if len(together) == labels.max() + 1:
            break
        labels = _ordered(_lloyd(points, together))
    return labels


def choose_k(
    points: np.ndarray,
    candidates: Sequence[int],
    *,
    groups: np.ndarray | None = None,
    n_repeats: int = 10,
    seed: int = 0,
) -> tuple[int, pd.DataFrame]:
    """The largest number of clusters that random halves of the variables agree on.

    Each half is clustered by itself, and all points go to the nearest centre of either; the two labellings are
    compared by the adjusted Rand index (0 = chance, 1 = the same). Chosen is the largest number whose mean lies within
    one standard error of the best.

    Parameters
    ----------
    points
        ``(n, n_dims)``.
    candidates
        Numbers to try; those above half of the points are left out.
    groups
        What is drawn as a whole, ``(n,)``: the member that each latent variable is of. Single points by default.
    n_repeats
        Halvings.
    seed
        Of the halvings.

    Returns
    -------
    int
    DataFrame
        ``n_clusters, stability, error`` (standard error over halvings), and ``chosen``.

    Raises
    ------
    ValueError
        If there is no candidate that can be tried.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> points = np.concatenate([rng.normal(size=(30, 4)) + 8 * corner for corner in np.eye(4)[:3]])
    >>> choose_k(points, [2, 3, 4, 5])[0]
    3
    """
    from sklearn.metrics import adjusted_rand_score

    _require_points(points, 1)
    groups = np.arange(len(points)) if groups is None else np.asarray(groups)
    names = np.unique(groups)
    candidates = sorted({int(k) for k in candidates if 2 <= k <= len(points) // 2})
    if not candidates or len(names) < 2:
        raise ValueError(
            f"the number of clusters is chosen among 2 to half of the points, with two groups at least; received "
            f"{len(points)} points in {len(names)} groups and candidates {candidates}. Fit more models, or set it."
        )
    rng, rows = np.random.default_rng(seed), []
    halves = [np.isin(groups, rng.permutation(names)[: len(names) // 2]) for _ in range(n_repeats)]
    agreement: dict[int, list[float]] = {k: [] for k in candidates}
    for half in counted(halves, "halves"):
        most = min(candidates[-1], int(half.sum()), int((~half).sum()))
        starts = [list(_starts(points[own], most)) for own in (half, ~half)]
        for k in (k for k in candidates if k <= most):
            both = [
                _nearest(points, _means(points[own], _lloyd(points[own], start[k - 1]), k))
                for own, start in zip((half, ~half), starts, strict=True)
            ]
            agreement[k].append(float(adjusted_rand_score(*both)))
    for k, agreed in agreement.items():
        error = float(np.std(agreed, ddof=1) / np.sqrt(len(agreed))) if len(agreed) > 1 else np.nan
        rows.append((k, float(np.mean(agreed)) if agreed else np.nan, error))
    curve = pd.DataFrame(rows, columns=["n_clusters", "stability", "error"])
    top = curve.loc[curve["stability"].idxmax()]
    enough = curve["stability"] >= top["stability"] - np.nan_to_num(top["error"])
    chosen = int(curve.loc[enough, "n_clusters"].max())
    return chosen, curve.assign(chosen=curve["n_clusters"] == chosen)


def _require_points(points: np.ndarray, n_clusters: int) -> None:
    finite = points.ndim == 2 and bool(np.isfinite(points).all())
    if not finite or not 1 <= n_clusters <= len(points):
        raise ValueError(
            f"clustering needs finite points (n, n_dims), and 1 to n clusters; received shape {points.shape} "
            f"{'' if finite else '(not all finite) '}and {n_clusters} clusters. Correct these."
        )


def _starts(points: np.ndarray, n: int) -> Iterator[np.ndarray]:
    """Centres of 1, 2, ... n clusters: each time the one of largest squared error is split."""
    labels = np.zeros(len(points), dtype=int)
    yield _means(points, labels, 1)
    for number in range(1, n):
        worst = np.flatnonzero(labels == int(_squares(points, labels, number).argmax()))
        halves = _lloyd(points[worst], _two_centres(points[worst]))
        labels[worst[halves == 1]] = number
        yield _means(points, labels, number + 1)


def _split(points: np.ndarray, critical: float, min_leaf: int) -> np.ndarray | None:
    """The two centres that a cluster falls into, or ``None`` where it looks like one."""
    if len(points) < max(FEWEST, 2 * min_leaf):
        return None
    halves = _lloyd(points, _two_centres(points))
    if np.bincount(halves, minlength=2).min() < max(1, min_leaf):
        return None
    pair = _means(points, halves, 2)
    return pair if anderson_darling(points @ (pair[0] - pair[1])) > critical else None


def _two_centres(points: np.ndarray) -> np.ndarray:
    """Centre plus and minus the principal direction, times the square root of 2 lambda / pi."""
    centre = points.mean(axis=0)
    away = points - centre
    tall = len(away) > away.shape[1]
    gram = away.T @ away if tall else away @ away.T
    squares, axes = eigh(gram, subset_by_index=[len(gram) - 1, len(gram) - 1])
    direction = axes[:, 0] if tall else axes[:, 0] @ away
    direction = direction * np.sign(direction[np.abs(direction).argmax()]) / max(np.linalg.norm(direction), 1e-300)
    step = direction * np.sqrt(2 * max(float(squares[0]), 0.0) / (np.pi * len(points)))
    return np.stack([centre - step, centre + step])


def _lloyd(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Labels after k-means has settled. A centre that loses all its points moves to the point farthest from its own."""
    labels = np.full(len(points), -1)
    for _ in range(N_ROUNDS):
        distances = _distances(points, centres)
        new = distances.argmin(axis=1)
        far = distances[np.arange(len(points)), new]
        for empty in np.setdiff1d(np.arange(len(centres)), new):
            alone = np.where(np.bincount(new, minlength=len(centres))[new] > 1, far, -1)
            new[alone.argmax()], far[alone.argmax()] = empty, 0
        if np.array_equal(new, labels):
            break
        labels, centres = new, _means(points, new, len(centres))
    return labels


def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    nearest: np.ndarray = _distances(points, centres).argmin(axis=1)
    return nearest


def _distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Squared distances less the squared length of each point."""
    distances: np.ndarray = (centres**2).sum(axis=1) - 2 * points @ centres.T
    return distances + (points**2).sum(axis=1, keepdims=True)


def _means(points: np.ndarray, labels: np.ndarray, n: int) -> np.ndarray:
    member = np.zeros((n, len(points)))
    member[labels, np.arange(len(points))] = 1
    means: np.ndarray = member @ points / np.maximum(member.sum(axis=1, keepdims=True), 1)
    return means


def _squares(points: np.ndarray, labels: np.ndarray, n: int) -> np.ndarray:
    """Squared error within each cluster."""
    errors = ((points - _means(points, labels, n)[labels]) ** 2).sum(axis=1)
    return np.bincount(labels, weights=errors, minlength=n)


def _ordered(labels: np.ndarray) -> np.ndarray:
    """Labels numbered by first appearance."""
    return np.asarray(pd.factorize(labels)[0], dtype=int)
