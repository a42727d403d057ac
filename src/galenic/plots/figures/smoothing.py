"""A smooth curve through points, for figures."""

from __future__ import annotations

import numpy as np


def local_linear(x: np.ndarray, y: np.ndarray, *, span: float = 0.5, n_places: int = 50) -> tuple[np.ndarray, ...]:
    r"""LOWESS without its robust rounds: a line at each place, fitted to the nearest points with tricube weights.

    Parameters
    ----------
    x, y
        Points, ``(n,)`` each, finite.
    span
        Share of the points that a line is fitted to, (0, 1].
    n_places
        Places, at even quantiles of ``x``; fewer where values of ``x`` repeat.

    Returns
    -------
    places, curve
        Ascending places and the curve there; empty for fewer than 3 different values of ``x``.

    Notes
    -----
    Cleveland, JASA 1979: weights :math:`(1 - (d / d_k)^3)^3` with :math:`d_k` the distance of the point that the span
    ends at, or of the nearest point with another ``x``. Where all points of a span share one ``x``, their mean.

    Examples
    --------
    >>> places, curve = local_linear(np.arange(20.0), 2 * np.arange(20.0) + 1)
    >>> bool(np.allclose(curve, 2 * places + 1))
    True
    """
    if len(np.unique(x)) < 3:
        return np.empty(0), np.empty(0)
    places = np.unique(np.quantile(x, np.linspace(0, 1, n_places)))
    distance = np.abs(places[:, None] - x)
    k = min(len(x), max(3, round(span * len(x))))
    reach = np.partition(distance, k - 1, axis=1)[:, k - 1 : k]
    apart = np.where(distance > 0, distance, np.inf).min(axis=1, keepdims=True)
    # A little beyond the last point, so that it still counts.
    reach = 1.001 * np.maximum(reach, apart)
    weight = np.clip(1 - (distance / reach) ** 3, 0, None) ** 3
    total = weight.sum(axis=1)
    mean_x, mean_y = weight @ x / total, weight @ y / total
    way = x - mean_x[:, None]
    square = (weight * way**2).sum(axis=1)
    slope = (weight * way * (y - mean_y[:, None])).sum(axis=1) / np.where(square > 0, square, 1.0)
    return places, mean_y + slope * (places - mean_x)
