"""Connectivity scores on scales that compare: within a cell line, against reference queries, over cell lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from galenic.search.checks import matrix
from galenic.search.groups import group_quantiles, grouped_columns, indicator


def ncs(scores: np.ndarray, groups: Sequence[object] | np.ndarray | pd.Series) -> np.ndarray:
    """Normalised connectivity: each score over the mean size of scores of its sign in its group.

    Parameters
    ----------
    scores
        From :func:`wtcs`, ``(n_queries, n_profiles)``.
    groups
        Cell line and perturbagen type of each profile as one label, ``(n_profiles,)``.

    Returns
    -------
    numpy.ndarray
        ``(n_queries, n_profiles)``; 0 stays 0 and NaN NaN.

    Notes
    -----
    For each query and group: positive scores over the mean of the positive ones, negative scores over the size of the
    mean of the negative ones. Signs stay, and cell lines whose profiles are strong come on one scale with weak ones.

    Examples
    --------
    >>> ncs(np.array([[0.2, 0.6, -0.5, 0.0]]), ["A375"] * 4)
    array([[ 0.5,  1.5, -1. ,  0. ]])
    """
    scores = np.asarray(scores, dtype=np.float64)
    codes, names = grouped_columns(groups, scores.shape[1])
    members = indicator(codes, len(names)).T.astype(np.float64)
    result = np.where(np.isnan(scores), np.nan, 0.0)
    for sign in (1, -1):
        chosen = sign * scores > 0
        with np.errstate(invalid="ignore"):
            means = (np.where(chosen, np.abs(scores), 0) @ members) / (chosen @ members)
        np.divide(scores, means[:, codes], out=result, where=chosen)
    return result


def reference_quantiles(scores: np.ndarray, n_points: int = 201) -> np.ndarray:
    """Quantiles of the size of normalised connectivity of each profile with many reference queries.

    Stored in place of all scores: 201 numbers a profile place a score to half a per cent.

    Parameters
    ----------
    scores
        From :func:`ncs` of the reference queries, ``(n_queries, n_profiles)``.
    n_points
        Number of quantiles, evenly spaced from 0 to 1.

    Returns
    -------
    numpy.ndarray
        Ascending, ``float32 (n_profiles, n_points)``.

    Examples
    --------
    >>> reference_quantiles(np.array([[1.0], [-3.0], [2.0]]), 3)
    array([[1., 2., 3.]], dtype=float32)
    """
    sizes = np.abs(np.asarray(scores, dtype=np.float32))
    return np.quantile(sizes, np.linspace(0, 1, n_points), axis=0).T.astype(np.float32)


def tau(scores: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Signed percentage of reference queries whose connectivity with the profile is smaller in size, in [-100, 100].

    Parameters
    ----------
    scores
        From :func:`ncs`, ``(n_queries, n_profiles)``.
    quantiles
        From :func:`reference_quantiles` of the same profiles, ``(n_profiles, n_points)``.

    Examples
    --------
    >>> tau(np.array([[-2.5], [9.0], [0.0]]), np.array([[0.0, 1.0, 2.0, 3.0, 4.0]])).ravel().tolist()
    [-62.5, 100.0, 0.0]
    """
    scores = np.asarray(scores)
    quantiles = matrix(quantiles, "table of quantiles", n_rows=scores.shape[1])
    sizes, profile = np.abs(scores), np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    last = quantiles.shape[1] - 1
    low, high = np.zeros(scores.shape, dtype=np.intp), np.full(scores.shape, last + 1)
    for _ in range((last + 1).bit_length()):
        middle = (low + high) // 2
        right = (low < high) & (quantiles[profile, np.minimum(middle, last)] < sizes)
        low, high = np.where(right, middle + 1, low), np.where(right, high, middle)
    above, below = quantiles[profile, np.clip(low, 1, last)], quantiles[profile, np.clip(low, 1, last) - 1]
    between = np.divide(sizes - below, above - below, out=np.zeros(scores.shape), where=above > below)
    share = np.where(low == 0, 0.0, np.where(low > last, 1.0, (low - 1 + between) / last))
    return np.where(np.isnan(scores), np.nan, 100 * np.sign(scores) * share)


def summarise_over_cells(
    scores: np.ndarray, perturbagens: Sequence[object] | np.ndarray | pd.Series, high: float = 0.67, low: float = 0.33
) -> pd.DataFrame:
    """One score a perturbagen from several cell lines: the 67th or 33rd percentile, whichever is larger in size.

    Parameters
    ----------
    scores
        Of queries and profiles, ``(n_queries, n_profiles)``; NaN is left out.
    perturbagens
        Of each profile, ``(n_profiles,)``.
    high, low
        The two quantiles; the high one where both are of equal size.

    Returns
    -------
    pandas.DataFrame
        Queries x perturbagens, sorted by name.

    Examples
    --------
    >>> summarise_over_cells(np.array([[90.0, 80.0, -10.0, -90.0]]), ["x", "x", "y", "y"]).round(1)
          x     y
    0  86.7 -63.6
    """
    scores = np.asarray(scores)
    codes, names = grouped_columns(perturbagens, scores.shape[1])
    upper, lower = group_quantiles(scores, codes, len(names), [high, low])
    return pd.DataFrame(np.where(np.abs(upper) >= np.abs(lower), upper, lower), columns=names)
