"""Quantiles and maxima of scores inside groups of columns, without a loop over groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from galenic.search.checks import first


def grouped_columns(labels: Sequence[object] | np.ndarray | pd.Series, n: int) -> tuple[np.ndarray, pd.Index]:
    """Codes and sorted names of the group of each column; raise ``ValueError`` where a label is missing."""
    codes, names = pd.factorize(pd.Series(labels), sort=True)
    missing = np.flatnonzero(codes < 0)
    if len(codes) != n or len(missing):
        raise ValueError(
            f"each of {n:,} profiles needs the label of its group; received {len(codes):,} labels, {len(missing):,} of "
            f"them missing (first: {first(missing)}). Pass one column of the same table."
        )
    return codes, names


def indicator(codes: np.ndarray, n_groups: int) -> sparse.csr_array:
    """Groups x members, 0 or 1, ``(n_groups, n)``."""
    ones = np.ones(len(codes), dtype=np.float32)
    return sparse.csr_array((ones, (codes, np.arange(len(codes)))), shape=(n_groups, len(codes)))


def group_quantiles(values: np.ndarray, codes: np.ndarray, n_groups: int, shares: Sequence[float]) -> np.ndarray:
    """Quantiles of each row's values inside each group of columns, by linear interpolation, leaving NaN out.

    Parameters
    ----------
    values
        Scores, ``(n_rows, n)``.
    codes
        Group of each column, integers from 0, ``(n,)``.
    n_groups
        Number of groups.
    shares
        Which quantiles, from 0 to 1.

    Returns
    -------
    numpy.ndarray
        ``(n_shares, n_rows, n_groups)``; NaN where a group has no values.

    Examples
    --------
    >>> group_quantiles(np.array([[1.0, 9.0, 3.0]]), np.array([0, 1, 0]), 2, [0.5, 1.0])
    array([[[2., 9.]],
           [[3., 9.]]])
    """
    values = np.asarray(values, dtype=np.float64)
    ascending = np.argsort(values, axis=1)  # NaN last
    order = np.take_along_axis(ascending, np.argsort(codes[ascending], axis=1, kind="stable"), axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    starts = np.cumsum(np.bincount(codes, minlength=n_groups)) - np.bincount(codes, minlength=n_groups)
    known = np.isfinite(values).astype(np.float64) @ indicator(codes, n_groups).T
    results = []
    for share in shares:
        place = starts + share * np.maximum(known - 1, 0)
        low = np.floor(place).astype(np.intp)
        high = np.minimum(np.ceil(place).astype(np.intp), values.shape[1] - 1)
        lower, upper = (np.take_along_axis(ordered, np.minimum(at, values.shape[1] - 1), axis=1) for at in (low, high))
        results.append(np.where(known > 0, lower + (place - low) * (upper - lower), np.nan))
    return np.stack(results)
