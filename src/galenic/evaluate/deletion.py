"""Deletion and insertion curves: whether the features said to matter do, beside random orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

Kind = Literal["deletion", "insertion"]


def feature_curves(
    score: Callable[[np.ndarray], float],
    x: np.ndarray,
    ranking: Sequence[int] | np.ndarray,
    *,
    background: np.ndarray | float = 0.0,
    kind: Kind = "deletion",
    n_steps: int = 20,
    n_random: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    """Take features away (or put them back) in the order of a ranking, and in random orders, and score each step.

    Parameters
    ----------
    score
        One number for cells ``(n_cells, n_features)``: the AUROC of a model's predictions, their mean, ...
    x
        Cells, ``(n_cells, n_features)``. Not changed.
    ranking
        Positions of features, the most important first; each once. Features that are not named are never touched.
    background
        What a feature is set to where it is taken away: one number, one for each feature (its mean), or one for each
        cell and feature.
    kind
        ``"deletion"``: from all features to the background; ``"insertion"``: from the background to all features.
    n_steps
        Steps, evenly spaced over the ranking; as many as features where there are fewer.
    n_random
        Random orders of the same features, for the band that chance gives; 0 = none.
    seed
        Of the random orders.

    Returns
    -------
    pandas.DataFrame
        ``order`` (``"ranking"``, ``"random 0"``, ...), ``n_features`` taken away or put back (from 0), ``share`` of the
        ranking, ``value``.

    Raises
    ------
    ValueError
        If the ranking is no list of different features, the background does not fit, or a number is not allowed.

    Notes
    -----
    Petsiuk et al., BMVC 2018. A ranking that matters makes scores fall faster when features are taken away than random
    orders do. The cells are scored at every step with values that are not found together in nature; the random orders
    share that. The score is called ``(1 + n_random) x (n_steps + 1)`` times, on one copy of the cells.

    Examples
    --------
    >>> x = np.ones((3, 4))
    >>> curves = feature_curves(lambda cells: float(cells.mean()), x, [2, 0], n_random=0)
    >>> curves["n_features"].tolist(), curves["value"].tolist()
    ([0, 1, 2], [1.0, 0.75, 0.5])
    """
    x, order, fill = _checked(x, ranking, background, kind, n_steps, n_random)
    counts = np.unique(np.linspace(0, len(order), min(n_steps, len(order)) + 1).round().astype(np.intp))
    rng = np.random.default_rng(seed)
    orders = {"ranking": order} | {f"random {number}": rng.permutation(order) for number in range(n_random)}
    values = [_scored(score, x, some, fill, kind, counts) for some in orders.values()]
    return pd.DataFrame(
        {
            "order": np.repeat(list(orders), len(counts)),
            "n_features": np.tile(counts, len(orders)),
            "share": np.tile(counts / len(order), len(orders)),
            "value": np.concatenate(values),
        }
    )


def curve_band(curves: pd.DataFrame, *, level: float = 0.9) -> pd.DataFrame:
    """The curve of the ranking beside the band of random orders, step by step.

    Parameters
    ----------
    curves
        As :func:`feature_curves` returns.
    level
        Share of random orders that the band holds at each step.

    Returns
    -------
    pandas.DataFrame
        ``n_features, share, value, random`` (mean of the random orders), ``low, high``; NaN without random orders.

    Examples
    --------
    >>> curves = feature_curves(lambda cells: float(cells[:, 0].mean()), np.eye(4) + 1, [0, 1, 2, 3], n_steps=2)
    >>> curve_band(curves)["value"].tolist()
    [1.25, 0.0, 0.0]
    """
    steps = ["n_features", "share"]
    band = curves[curves["order"] == "ranking"].set_index(steps)[["value"]]
    random = curves[curves["order"] != "ranking"].groupby(steps)["value"]
    band["random"] = random.mean()
    band["low"], band["high"] = random.quantile((1 - level) / 2), random.quantile((1 + level) / 2)
    return band.reset_index()


def curve_areas(curves: pd.DataFrame, kind: Kind = "deletion") -> dict[str, Any]:
    """Area under the curve of the ranking, and how often random orders do as well.

    Parameters
    ----------
    curves
        As :func:`feature_curves` returns.
    kind
        ``"deletion"``: a smaller area is better; ``"insertion"``: a larger one.

    Returns
    -------
    dict
        ``area`` over the share of features (trapezoids), ``random`` (mean area of the random orders), ``gain`` (how
        much better than that: above 0 = better), ``p_value`` = (1 + orders as good) / (1 + orders), ``n_random``.

    Examples
    --------
    >>> curves = feature_curves(lambda cells: float(cells[:, 0].mean()), np.ones((5, 8)), range(8), n_random=200)
    >>> found = curve_areas(curves)
    >>> found["area"], found["gain"] > 0.3
    (0.0625, True)
    """
    orders = curves.groupby("order", sort=False)
    areas = {str(name): float(np.trapezoid(rows["value"], rows["share"])) for name, rows in orders}
    area, sign = areas.pop("ranking"), 1 if kind == "insertion" else -1
    random = np.array(list(areas.values()))
    # A ranking that says nothing ties with random orders; rounding must not decide for it.
    as_good = sign * random >= sign * area - 1e-12 * abs(area)
    mean = float(random.mean()) if len(random) else np.nan
    return {
        "area": area,
        "random": mean,
        "gain": sign * (area - mean),
        "p_value": (1 + int(as_good.sum())) / (1 + len(random)) if len(random) else np.nan,
        "n_random": len(random),
    }


def _scored(
    score: Callable[[np.ndarray], float],
    x: np.ndarray,
    order: np.ndarray,
    fill: np.ndarray,
    kind: Kind,
    counts: np.ndarray,
) -> np.ndarray:
    """Score after each of ``counts`` features, in one order."""
    start, end = (x, fill) if kind == "deletion" else (fill, x)
    cells = x.copy()
    cells[:, order] = start[:, order]
    values, done = np.empty(len(counts)), 0
    for step, count in enumerate(counts):
        new = order[done:count]
        cells[:, new] = end[:, new]
        values[step], done = score(cells.copy()), count
    return values


def _checked(
    x: np.ndarray, ranking: Any, background: Any, kind: str, n_steps: int, n_random: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, order = np.asarray(x), np.asarray(list(ranking))
    if x.ndim != 2 or kind not in ("deletion", "insertion") or n_steps < 1 or n_random < 0:
        raise ValueError(
            'cells should be (n_cells, n_features), kind "deletion" or "insertion", n_steps 1 or more and n_random 0 '
            f"or more; received shape {x.shape}, {kind!r}, {n_steps} and {n_random}. Correct these."
        )
    whole = np.issubdtype(order.dtype, np.integer) and len(np.unique(order)) == len(order) > 0
    if not whole or order.min() < 0 or order.max() >= x.shape[1]:
        raise ValueError(
            f"a ranking should name different features by their positions, 0 to {x.shape[1] - 1}; received "
            f"{len(order):,} entries (first: {order[:3].tolist()}). Sort features by importance, as numpy.argsort does."
        )
    fill = np.asarray(background, dtype=np.result_type(x, np.asarray(background)))
    if fill.ndim > 2 or fill.shape not in ((), x.shape[1:], x.shape):
        raise ValueError(
            f"a background should be one number, one a feature {x.shape[1:]} or one a value {x.shape}; received shape "
            f"{fill.shape}. Take, for example, x.mean(axis=0)."
        )
    x = x.astype(fill.dtype, copy=False)
    return x, order, np.broadcast_to(fill, x.shape)
