"""What a comparison could have found: the difference it can detect, and the rows that would decide it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from galenic.evaluate.checks import require_columns


def with_power(comparison: pd.DataFrame, n_rows: int, *, power: float = 0.8, level: float = 0.95) -> pd.DataFrame:
    """Add to each comparison what it could have found.

    Parameters
    ----------
    comparison
        Rows of :func:`~galenic.evaluate.paired` or :func:`~galenic.evaluate.compare`.
    n_rows
        How many independent units (drugs, pairs) there were.
    power
        Chance with which a true difference is to be found.
    level
        Level of the intervals in ``comparison``.

    Returns
    -------
    DataFrame
        A copy with ``detectable``, the smallest true difference whose interval would exclude 0 with chance ``power``,
        and ``needed``, the number of units at which the difference that was found would be detectable (rounded up to
        two figures; NaN where it is 0 or there is no interval).

    Notes
    -----
    The standard error is read off the interval, so it is that of the corrected resampled t-test, with n - 1 degrees of
    freedom; ``detectable`` = (t of the level + t of the power) x standard error. ``needed`` takes the variance of a
    difference to fall as 1 / units and the true difference to be the one found: it is an order of size. A difference
    that was chosen as the largest of many is too large, and ``needed`` then too small.

    Examples
    --------
    >>> row = pd.DataFrame({"difference": [0.02], "low": [-0.03], "high": [0.07], "n": [25]})
    >>> with_power(row, 150)[["detectable", "needed"]].round(3).values.tolist()
    [[0.071, 1900.0]]
    """
    require_columns(comparison, ["difference", "low", "high", "n"], "power: the comparisons")
    found = comparison.copy()
    freedom = np.maximum(found["n"].to_numpy(dtype=np.float64) - 1, 1)
    width = (found["high"] - found["low"]).to_numpy(dtype=np.float64) / 2
    ends = stats.t.ppf((1 + level) / 2, freedom)
    detectable = (1 + stats.t.ppf(power, freedom) / ends) * width
    difference = np.abs(found["difference"].to_numpy(dtype=np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = n_rows * (detectable / difference) ** 2
        step = 10.0 ** (np.floor(np.log10(needed)) - 1)
        needed = np.ceil(needed / step) * step
    return found.assign(detectable=detectable, needed=np.where(np.isfinite(needed), needed, np.nan))
