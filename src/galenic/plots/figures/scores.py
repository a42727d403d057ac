"""Scores: models beside floors and ceilings, drugs from worst to best, values with their intervals."""

from __future__ import annotations

from html import escape
from itertools import cycle

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.special import stdtrit

from galenic.plots.palette import CEILING, FLOOR, FLOOR_SYMBOL, MODEL, OTHER, SYMBOLS
from galenic.plots.style import finished, label, mark, plain_numbers, whiskers

FEWEST_FOLDS = 3
"""Of fewer scores an interval of their mean says nothing."""
RANGES = {
    **dict.fromkeys(("pearson", "spearman", "cosine"), (-1.0, 1.0)),
    **dict.fromkeys(("mae", "rmse", "collapse", "energy_distance", "mmd"), (0.0, np.inf)),
    **dict.fromkeys(("auroc", "auprc", "map", "discrimination", "centroid_accuracy", "sign", "precision"), (0.0, 1.0)),
    **dict.fromkeys(("de_overlap", "recall", "median_quantile", "balanced_accuracy"), (0.0, 1.0)),
    **dict.fromkeys(("r2",), (-np.inf, 1.0)),
}
"""What values a metric can have, by the start of its name."""


def summarise(metrics: pd.DataFrame) -> pd.DataFrame:
    """Mean score of each model with its 95 % interval over folds.

    Parameters
    ----------
    metrics
        Tidy scores: ``model, split, fold, seed, group, metric, value, n``.

    Returns
    -------
    pandas.DataFrame
        ``split, model, group, metric, value, low, high, folds``; seeds are averaged inside each fold first, as they
        share its data. ``low`` and ``high`` are NaN where fewer than two folds have a value.

    Examples
    --------
    >>> rows = [("Ridge", "cell", fold, 0, "all", "rmse", 1.0 + fold, 9) for fold in range(3)]
    >>> scores = pd.DataFrame(rows, columns=["model", "split", "fold", "seed", "group", "metric", "value", "n"])
    >>> summarise(scores)[["value", "low", "high"]].round(2).values.tolist()
    [[2.0, -0.48, 4.48]]
    """
    keys = ["split", "model", "group", "metric"]
    by_fold = metrics.groupby([*keys, "fold"], sort=False, as_index=False)["value"].mean()
    table = by_fold.groupby(keys, sort=False)["value"].agg(["mean", "std", "count"]).reset_index()
    table = table.rename(columns={"mean": "value", "count": "folds"})
    half = stdtrit(np.maximum(table["folds"] - 1, 1), 0.975) * table["std"] / np.sqrt(table["folds"].clip(lower=1))
    return table.assign(low=table["value"] - half, high=table["value"] + half).drop(columns="std")


def within_range(summary: pd.DataFrame) -> pd.DataFrame:
    """The table of :func:`summarise` with intervals cut at what the metric can be; none of fewer than three folds.

    >>> table = pd.DataFrame({"metric": ["sign_top20", "mae"], "low": [0.9, -0.1], "high": [1.2, 0.3], "folds": [5, 2]})
    >>> within_range(table)[["low", "high"]].values.tolist()
    [[0.9, 1.0], [nan, nan]]
    """
    starts = {metric: next((key for key in RANGES if metric.startswith(key)), "") for metric in set(summary["metric"])}
    ends = summary["metric"].map(lambda metric: RANGES.get(starts[metric], (-np.inf, np.inf)))
    enough = summary["folds"] >= FEWEST_FOLDS
    return summary.assign(
        low=np.maximum(summary["low"], ends.str[0].astype(float)).where(enough & summary["low"].notna()),
        high=np.minimum(summary["high"], ends.str[1].astype(float)).where(enough & summary["high"].notna()),
    )


def score_dots(scores: pd.DataFrame, floors: set[str], axis: str, floor: float, ceiling: float) -> go.Figure:
    """Score of each model as a dot with its interval, with lines for the best floor and the ceiling.

    Parameters
    ----------
    scores
        ``model, value, low, high``, best first.
    floors
        Names of the models that are floors; they are grey.
    axis
        Title of the score axis.
    floor, ceiling
        Where the lines stand; NaN for none.

    Returns
    -------
    plotly.graph_objects.Figure
        One row a model.
    """
    rows = scores.iloc[::-1]
    names = [label(name, 40) for name in rows["model"]]
    figure = go.Figure()
    for is_floor, colour, title in ((False, MODEL, "model"), (True, FLOOR, "floor")):
        chosen = rows["model"].isin(floors) == is_floor
        part = rows[chosen]
        figure.add_scatter(
            x=plain_numbers(part["value"]), y=[label(name, 40) for name in part["model"]], mode="markers", name=title,
            marker={"color": colour, "size": 9, "symbol": FLOOR_SYMBOL if is_floor else "circle"},
            error_x=whiskers(part, colour),
            customdata=[f" ({low:.3f} to {high:.3f})" if high - low >= 0 else ""
                        for low, high in zip(part["low"], part["high"], strict=True)],
            hovertemplate="%{y}: %{x:.3f}%{customdata}<extra></extra>",
        )  # fmt: skip
    # Their names stand apart where the lines are close.
    sides = ("left", "right") if ceiling < floor else ("right", "left")
    mark(figure, floor, FLOOR, "best floor", "dash", "center" if np.isnan(ceiling) else sides[0])
    mark(figure, ceiling, CEILING, "ceiling", "dot", "center" if np.isnan(floor) else sides[1])
    figure.update_yaxes(categoryorder="array", categoryarray=names, range=[-0.6, len(names) - 0.4])
    return finished(figure, 96 + 24 * len(names), axis)


def drug_curves(by_drug: pd.DataFrame, axis: str, what: str = "drug") -> go.Figure:
    """Scores of all drugs from worst to best, one curve a split.

    Parameters
    ----------
    by_drug
        ``split`` (in plain words), ``drug``, ``value``.
    axis
        Title of the score axis.
    what
        What the drugs are called.

    Returns
    -------
    plotly.graph_objects.Figure
        Share of drugs across, score up.
    """
    figure = go.Figure()
    splits = by_drug.groupby("split", sort=False)
    for (split, rows), colour, symbol in zip(splits, cycle(OTHER), cycle(SYMBOLS), strict=False):
        rows = rows.dropna(subset=["value"]).sort_values("value")
        share = 100 * (np.arange(len(rows)) + 0.5) / max(len(rows), 1)
        figure.add_scatter(
            x=share.round(2), y=plain_numbers(rows["value"]), mode="lines+markers", name=label(split),
            text=[label(drug) for drug in rows["drug"]], line={"color": colour, "width": 1},
            marker={"size": 5, "symbol": symbol},
            hovertemplate="%{text}: %{y:.3f}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    figure.update_yaxes(title=escape(axis))
    figure.update_layout(showlegend=True)
    return finished(figure, 360, f"{what}s, from worst to best (%)")


def forest(rows: pd.DataFrame, axis: str, reference: float) -> go.Figure:
    """Values with their intervals one below the other, and a line where there is no effect.

    Parameters
    ----------
    rows
        ``label``, ``value``, ``low``, ``high``, in the order they are read.
    axis
        Title of the value axis.
    reference
        Where the line stands: 0.5 for AUROC.

    Returns
    -------
    plotly.graph_objects.Figure
        One row a value.
    """
    rows = rows.iloc[::-1]
    names = [label(name, 40) for name in rows["label"]]
    figure = go.Figure()
    figure.add_scatter(
        x=plain_numbers(rows["value"]), y=list(range(len(rows))), mode="markers", text=names,
        marker={"color": MODEL, "size": 9, "symbol": "square"}, error_x=whiskers(rows, MODEL),
        hovertemplate="%{text}: %{x:.3f}<extra></extra>",
    )  # fmt: skip
    mark(figure, reference, FLOOR, "no effect", "dash")
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=names, range=[-0.6, len(rows) - 0.4])
    return finished(figure, 96 + 26 * len(rows), axis)
