"""From profiles to drugs: one vector a drug, how well its profiles agree, and the best of several cell lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from galenic.search.checks import matrix, unit
from galenic.search.groups import group_quantiles, grouped_columns, indicator

PAIRS = 4_000_000  # correlations of replicates at a time: bounds memory at about 100 MB
FLOOR = 0.01  # least weight of a replicate before weights are scaled to sum to 1

Labels: TypeAlias = Sequence[object] | np.ndarray | pd.Series


def aggregate(
    vectors: np.ndarray, labels: Labels, how: str = "mean", *, normalise: bool = True, correlation: str = "spearman"
) -> tuple[np.ndarray, pd.DataFrame]:
    """Merge the profiles of each drug (or of each drug in each cell line) into one vector.

    Parameters
    ----------
    vectors
        Embeddings or z-scores, ``(n_profiles, n_dims)``.
    labels
        Drug of each profile, ``(n_profiles,)``.
    how
        ``"mean"``, or ``"modz"`` for weights by agreement (see :func:`replicate_weights`), which turn an outlying
        replicate down.
    normalise
        Scale profiles to length 1 before and results after, right for embeddings. ``False`` keeps sizes, right for
        z-scores.
    correlation
        Of ``"modz"``: ``"spearman"`` or ``"cosine"``.

    Returns
    -------
    tuple of numpy.ndarray and pandas.DataFrame
        Vectors ``(n_drugs, n_dims)``, and a table indexed by drug, in the same order (sorted): ``n`` profiles,
        ``resultant`` and ``kappa`` of :func:`concentration`. Where directions cancel out to nothing the vector is NaN.

    Examples
    --------
    >>> merged, table = aggregate(np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]]), ["x", "x", "y"])
    >>> merged.round(3).tolist(), table["n"].to_dict()
    ([[0.707, 0.707], [0.0, 1.0]], {'x': 2, 'y': 1})
    """
    if how not in ("mean", "modz"):
        raise ValueError(
            f"how should be 'mean' or 'modz'; received {how!r}. The best over cell lines is a matter of similarities: "
            "see best_over."
        )
    vectors = matrix(vectors, "vectors")
    codes, names = grouped_columns(labels, len(vectors))
    own = unit(vectors, "vectors") if normalise else vectors.astype(np.result_type(vectors.dtype, np.float32))
    n = np.bincount(codes, minlength=len(names))
    weights = _weights(vectors, codes, len(names), correlation) if how == "modz" else 1 / n[codes]
    merged = indicator(codes, len(names)) @ (own * weights[:, None].astype(own.dtype))
    if normalise:
        lengths = np.linalg.norm(merged, axis=1, keepdims=True)
        merged = np.divide(merged, lengths, out=np.full_like(merged, np.nan), where=lengths > 1e-6)
    table = concentration(vectors, labels)
    return merged, table


def replicate_weights(vectors: np.ndarray, labels: Labels, correlation: str = "spearman") -> np.ndarray:
    """Weight of each replicate in its group by its agreement with the others, ``(n_profiles,)``, summing to 1 a group.

    Parameters
    ----------
    vectors
        Profiles, ``(n_profiles, n_dims)``.
    labels
        Group of each profile.
    correlation
        ``"spearman"``, as in the Connectivity Map, or ``"cosine"``, for embeddings whose origin has a meaning.

    Notes
    -----
    MODZ (Subramanian et al., Cell 2017): the mean correlation with the other replicates, negative correlations as 0, at
    least 0.01, scaled to sum to 1. Two replicates weigh the same. Replicates are compared within groups of equal size
    at once, in blocks of 4 million correlations.

    Examples
    --------
    >>> z = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 4.0, 3.0], [4.0, 3.0, 2.0, 1.0], [0.0, 1.0, 0.0, 0.0]])
    >>> replicate_weights(z, ["x", "x", "x", "y"]).round(3)
    array([0.494, 0.494, 0.012, 1.   ])
    """
    vectors = matrix(vectors, "vectors")
    codes, names = grouped_columns(labels, len(vectors))
    return _weights(vectors, codes, len(names), correlation)


def replicate_correlation(vectors: np.ndarray, labels: Labels, correlation: str = "spearman") -> pd.Series:
    """Mean correlation between the replicates of each group, indexed by group; NaN for a single replicate.

    Parameters are those of :func:`replicate_weights`; negative correlations count as they are.

    Parameters
    ----------
    vectors
        Profiles, ``(n_profiles, n_dims)``.
    labels
        Group of each profile, ``(n_profiles,)``.
    correlation
        ``"spearman"`` or ``"cosine"``.

    Examples
    --------
    >>> z = np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0], [0.0, 1.0, 0.0]])
    >>> replicate_correlation(z, ["x", "x", "y"]).round(3).to_dict()
    {'x': 0.5, 'y': nan}
    """
    vectors = matrix(vectors, "vectors")
    codes, names = grouped_columns(labels, len(vectors))
    means = _agreement(vectors, codes, correlation, negatives=True)
    n = np.bincount(codes, minlength=len(names))
    return pd.Series(np.bincount(codes, means, len(names)) / n, index=names)


def concentration(vectors: np.ndarray, labels: Labels) -> pd.DataFrame:
    """How closely the profiles of each group point in one direction: a confidence in their mean.

    Parameters
    ----------
    vectors
        Profiles, ``(n_profiles, n_dims)``; only their directions count.
    labels
        Group of each profile.

    Returns
    -------
    pandas.DataFrame
        Indexed by group: ``n``; ``resultant`` = length of the mean of unit vectors, from 0 (they cancel) to 1 (all
        equal), about ``1 / sqrt(n)`` for random directions; ``kappa`` = concentration of the von Mises-Fisher
        distribution, ``R (d - R^2) / (1 - R^2)`` (Banerjee et al., JMLR 2005). Both are NaN for a single profile, and
        kappa is infinite where all directions are equal.

    Examples
    --------
    >>> concentration(np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]), ["x", "x", "y"]).round(3)
       n  resultant  kappa
    x  2      0.707  2.121
    y  1        NaN    NaN
    """
    vectors = matrix(vectors, "vectors")
    codes, names = grouped_columns(labels, len(vectors))
    n = np.bincount(codes, minlength=len(names))
    directions = unit(vectors, "vectors").astype(np.float64)
    lengths = np.linalg.norm(indicator(codes, len(names)).astype(np.float64) @ directions, axis=1) / n
    lengths = np.where(lengths > 1 - 1e-7, 1.0, lengths)  # float32 rounding
    with np.errstate(divide="ignore"):
        kappa = lengths * (vectors.shape[1] - lengths**2) / (1 - lengths**2)
    alone = n < 2
    columns = {"n": n, "resultant": np.where(alone, np.nan, lengths), "kappa": np.where(alone, np.nan, kappa)}
    return pd.DataFrame(columns, index=names)


def best_over(similarity: np.ndarray, labels: Labels, how: str | float = "max") -> pd.DataFrame:
    """One similarity a drug from those to each of its profiles: what it does in the cell line where it shows most.

    Parameters
    ----------
    similarity
        Of queries and profiles, ``(n_queries, n_profiles)``; NaN is left out.
    labels
        Drug of each profile.
    how
        ``"max"``, ``"mean"``, or a quantile from 0 to 1 (0.9 is steadier than the maximum, which grows with the number
        of profiles).

    Returns
    -------
    pandas.DataFrame
        Queries x drugs, sorted by name.

    Examples
    --------
    >>> best_over(np.array([[0.1, 0.9, 0.4]]), ["x", "x", "y"])
         x    y
    0  0.9  0.4
    """
    similarity = np.asarray(similarity, dtype=np.float64)
    codes, names = grouped_columns(labels, similarity.shape[1])
    if how == "mean":
        members, known = indicator(codes, len(names)).T.astype(np.float64), np.isfinite(similarity)
        with np.errstate(invalid="ignore"):
            values = (np.where(known, similarity, 0) @ members) / (known @ members)
        return pd.DataFrame(values, columns=names)
    share = 1.0 if how == "max" else how
    if isinstance(share, str) or not 0 <= share <= 1:
        raise ValueError(f"how should be 'max', 'mean' or a quantile from 0 to 1; received {how!r}. 'max' is usual.")
    return pd.DataFrame(group_quantiles(similarity, codes, len(names), [share])[0], columns=names)


def _weights(vectors: np.ndarray, codes: np.ndarray, n_groups: int, correlation: str) -> np.ndarray:
    raw = np.maximum(_agreement(vectors, codes, correlation, negatives=False), FLOOR)
    raw[np.bincount(codes, minlength=n_groups)[codes] < 2] = 1.0
    return np.asarray(raw / np.bincount(codes, raw, n_groups)[codes])


def _agreement(vectors: np.ndarray, codes: np.ndarray, correlation: str, *, negatives: bool) -> np.ndarray:
    """Mean correlation of each profile with the others of its group, ``(n,)``; NaN where there is none."""
    if correlation not in ("spearman", "cosine"):
        raise ValueError(f"correlation should be 'spearman' or 'cosine'; received {correlation!r}. Choose one.")
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes)
    result = np.full(len(codes), np.nan)
    for members in _equal_groups(order, sizes):
        n_groups, n = members.shape
        own = _directions(vectors[members.ravel()], correlation).reshape(n_groups, n, -1)
        step = max(1, PAIRS // (n_groups * n))
        for start in range(0, n, step):
            some = own[:, start : start + step] @ own.transpose(0, 2, 1)
            itself = np.arange(start, start + some.shape[1])
            some[:, itself - start, itself] = 0
            result[members[:, itself]] = (some if negatives else np.maximum(some, 0)).sum(axis=2) / (n - 1)
    return result


def _equal_groups(order: np.ndarray, sizes: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of groups of one size, ``(n_groups, size)``, so many groups that their correlations fit the bound."""
    starts = np.cumsum(sizes) - sizes
    for size in np.unique(sizes[sizes > 1]):
        of_size = starts[sizes == size]
        step = max(1, PAIRS // int(size) ** 2)
        for at in range(0, len(of_size), step):
            yield order[of_size[at : at + step, None] + np.arange(size)]


def _directions(vectors: np.ndarray, correlation: str) -> np.ndarray:
    """Rows whose inner products are correlations; a row without variation has correlation 0 with all."""
    own = vectors.astype(np.float64)
    if correlation == "spearman":
        own = rankdata(own, axis=1)
        own -= own.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(own, axis=1, keepdims=True)
    return np.divide(own, lengths, out=np.zeros_like(own), where=lengths > 0)
