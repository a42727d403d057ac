"""More rows for rare classes, made by a decoder or between neighbours, and fewer where classes touch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.neighbors import NearestNeighbors

Sample = Callable[[np.ndarray, np.random.Generator], np.ndarray]
CLOSE = 0.3
"""Difference of class sizes, as a share of the larger, below which classes are only made equal."""
GROWTH = 1.5
"""Of the larger class where classes are further apart."""
LEAST, MOST = 1.2, 4.0
"""Limits of the growth of the smaller class."""


class Augmented(NamedTuple):
    """Rows after augmentation: the given ones first, then the new ones."""

    x: np.ndarray
    """``(n_rows, n_features)``."""
    label: np.ndarray
    origin: np.ndarray
    """Row of the input that each row is or was made from: a new row belongs to the group of its origin."""


def multipliers(label: Any) -> dict[int, float]:
    """By how much each of two classes should grow, from their sizes: the published rule "auto".

    Parameters
    ----------
    label
        1 = sensitive, 0 = resistant, one a row of the *training* fold.

    Returns
    -------
    dict
        Multiplier, 1 or more, of each label.

    Raises
    ------
    ValueError
        If labels are not 0 and 1, or one of them does not occur.

    Notes
    -----
    With M and m the sizes of the larger and the smaller class (scATD): if M - m < 0.3 M, (1, M / m). Otherwise the
    larger grows by 1.5 and the smaller by 1.5 M / m within [1.2, 4]; where the smaller would still have less than half
    of the larger's rows, the larger stays and the smaller grows by M / m within [1.2, 4].

    Examples
    --------
    >>> multipliers([0] * 100 + [1] * 80)
    {0: 1.0, 1: 1.25}
    >>> multipliers([0] * 100 + [1] * 50)
    {0: 1.5, 1: 3.0}
    >>> multipliers([0] * 100 + [1] * 10)
    {0: 1.0, 1: 4.0}
    """
    codes = _labels(label)
    sizes = np.bincount(codes, minlength=2)
    large = int(sizes.argmax())
    M, m = float(sizes[large]), float(sizes[1 - large])
    if M - m < CLOSE * M:
        major, minor = 1.0, M / m
    else:
        major, minor = GROWTH, float(np.clip(GROWTH * M / m, LEAST, MOST))
        if minor * m < 0.5 * major * M:
            major, minor = 1.0, float(np.clip(M / m, LEAST, MOST))
    grown = {large: major, 1 - large: minor}
    return {0: grown[0], 1: grown[1]}


def decoded(
    x: np.ndarray,
    label: Any,
    growth: Mapping[int, float],
    sample: Sample,
    *,
    low: float | np.ndarray | None = None,
    seed: int = 0,
) -> Augmented:
    """Add rows that a decoder makes of rows drawn at random within their class.

    Parameters
    ----------
    x
        Rows, ``(n_rows, n_features)``. Not changed.
    label
        0 or 1 for each.
    growth
        Multiplier m of each label, as :func:`multipliers` gives: a class of n rows gets int((m - 1) n) new ones.
    sample
        Function of rows and a generator that returns as many new rows: latents drawn for each row, decoded.
    low
        New values below it are raised to it: 0 for expression, which a decoder does not know to be positive; or a
        number for each feature.
    seed
        Of everything random.

    Raises
    ------
    ValueError
        If labels do not fit, a multiplier is below 1, or ``sample`` returns another shape.

    Examples
    --------
    >>> x, label = np.array([[0.0], [1.0], [5.0]]), [0, 0, 1]
    >>> more = decoded(x, label, {0: 1.0, 1: 3.0}, lambda rows, rng: rows + rng.normal(size=rows.shape) / 100)
    >>> more.label.tolist(), more.origin.tolist(), more.x[3:].round(0).ravel().tolist()
    ([0, 0, 1, 1, 1], [0, 1, 2, 2, 2], [5.0, 5.0])
    """
    x, codes = _rows(x, label)
    rng = np.random.default_rng(seed)
    origin = np.concatenate(
        [rng.choice(np.flatnonzero(codes == one), n) for one, n in _wanted(codes, growth).items() if n]
        or [np.zeros(0, dtype=np.intp)]
    )
    new = np.asarray(sample(x[origin], rng)) if len(origin) else x[:0]
    if new.shape != (len(origin), x.shape[1]):
        raise ValueError(
            f"sample should return a row for each row it is given, {(len(origin), x.shape[1])}; received {new.shape}. "
            "Decode one draw of each."
        )
    if low is not None:
        new = np.maximum(new, low)
    return _joined(x, codes, new, origin)


def smote(x: np.ndarray, label: Any, growth: Mapping[int, float], *, n_neighbours: int = 5, seed: int = 0) -> Augmented:
    """Add rows between a row and one of its nearest neighbours of the same class.

    Parameters
    ----------
    x, label, growth, seed
        As for :func:`decoded`. To make classes equal give ``{minority: M / m}``.
    n_neighbours
        Neighbours to choose from; all others of the class where it has fewer.

    Raises
    ------
    ValueError
        If labels do not fit, a multiplier is below 1, or a class that should grow has a single row.

    Notes
    -----
    Chawla et al., JAIR 2002, 16:321: ``x_i + u (x_j - x_i)`` with u uniform in [0, 1), row i and neighbour j at random,
    Euclidean distance.

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [10.0], [11.0]])
    >>> more = smote(x, [0, 0, 1, 1], {1: 2.0})
    >>> more.label.tolist(), bool(((more.x[4:] >= 10) & (more.x[4:] <= 11)).all())
    ([0, 0, 1, 1, 1, 1], True)
    """
    x, codes = _rows(x, label)
    rng = np.random.default_rng(seed)
    new, origins = [x[:0]], [np.zeros(0, dtype=np.intp)]
    for one, n in _wanted(codes, growth).items():
        if n:
            members = np.flatnonzero(codes == one)
            if len(members) < 2:
                raise ValueError(
                    f"a class grows between its rows and should have two or more; label {one} has {len(members)}. "
                    "Leave it as it is, or draw new rows from a decoder."
                )
            k = min(n_neighbours, len(members) - 1)
            nearest = NearestNeighbors(n_neighbors=k).fit(x[members]).kneighbors(return_distance=False)
            start = rng.integers(len(members), size=n)
            end = nearest[start, rng.integers(k, size=n)]
            step = rng.random((n, 1))
            new.append(x[members[start]] + step * (x[members[end]] - x[members[start]]))
            origins.append(members[start])
    return _joined(x, codes, np.concatenate(new), np.concatenate(origins))


def tomek_links(x: np.ndarray, label: Any) -> np.ndarray:
    """Pairs of rows of different classes that are each other's nearest row, ``(n_pairs, 2)``.

    Parameters
    ----------
    x
        Rows, ``(n_rows, n_features)``.
    label
        0 or 1 for each.

    Returns
    -------
    numpy.ndarray
        Positions, the lower one first, in rising order. Euclidean distance; of several nearest rows one counts.

    Examples
    --------
    >>> tomek_links(np.array([[0.0], [1.0], [1.1], [3.0]]), [0, 0, 1, 1]).tolist()
    [[1, 2]]
    """
    x, codes = _rows(x, label)
    nearest = NearestNeighbors(n_neighbors=1).fit(x).kneighbors(return_distance=False)[:, 0]
    here = np.arange(len(x))
    linked = (nearest[nearest] == here) & (codes[nearest] != codes) & (here < nearest)
    return np.column_stack([here[linked], nearest[linked]])


def without_tomek_links(x: np.ndarray, label: Any) -> np.ndarray:
    """Positions of the rows that stay when the larger class gives up its rows in Tomek links.

    Classes of equal size both keep theirs.

    Parameters
    ----------
    x, label
        As for :func:`tomek_links`.

    Notes
    -----
    Tomek, IEEE Trans. Syst. Man Cybern. 1976, 6:769; once, not until no link is left.

    Examples
    --------
    >>> without_tomek_links(np.array([[0.0], [1.0], [1.1], [3.0], [9.0]]), [0, 0, 1, 1, 0]).tolist()
    [0, 2, 3, 4]
    """
    links = tomek_links(x, label).ravel()
    codes = _labels(label)
    sizes = np.bincount(codes, minlength=2)
    given_up = links[codes[links] == sizes.argmax()] if sizes[0] != sizes[1] else links[:0]
    return np.setdiff1d(np.arange(len(codes)), given_up)


def _wanted(codes: np.ndarray, growth: Mapping[int, float]) -> dict[int, int]:
    """Number of new rows of each class."""
    wrong = {one: times for one, times in growth.items() if one not in (0, 1) or not 1 <= times < np.inf}
    if wrong:
        raise ValueError(f"growth should map 0 and 1 to numbers of 1 or more; received {wrong}. Correct these.")
    return {one: int((growth.get(one, 1.0) - 1) * int((codes == one).sum())) for one in (0, 1)}


def _joined(x: np.ndarray, codes: np.ndarray, new: np.ndarray, origin: np.ndarray) -> Augmented:
    return Augmented(
        np.concatenate([x, new.astype(x.dtype, copy=False)]),
        np.concatenate([codes, codes[origin]]),
        np.concatenate([np.arange(len(x)), origin]),
    )


def _rows(x: Any, label: Any) -> tuple[np.ndarray, np.ndarray]:
    x, codes = np.asarray(x), _labels(label)
    x = x if np.issubdtype(x.dtype, np.floating) else x.astype(np.float64)
    if x.ndim != 2 or len(x) != len(codes) or not np.isfinite(x).all():
        raise ValueError(
            f"rows should be a matrix of finite numbers with a label for each; received shape {x.shape}, "
            f"{len(codes):,} labels and {int((~np.isfinite(x)).sum()):,} missing or infinite numbers. Take both from "
            "the same table."
        )
    return x, codes


def _labels(label: Any) -> np.ndarray:
    values = np.asarray(label, dtype=np.float64).ravel()
    found = np.unique(values)
    if not np.array_equal(found, [0, 1]):
        raise ValueError(
            "labels should be 1 (sensitive) and 0 (resistant), each at least once; received "
            f"{', '.join(f'{value:g}' for value in found[:5]) or 'none'}. Convert them, or leave this drug out."
        )
    return values.astype(np.intp)
