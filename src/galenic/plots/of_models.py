"""What a scientist draws of models of response: scores, predictions, rankings, calibration, training."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from galenic.plots.figures import calibration as of_calibration
from galenic.plots.figures import responses, training
from galenic.plots.figures import scores as of_scores
from galenic.plots.figures.ranked import ranked_drugs
from galenic.plots.saving import drawn
from galenic.plots.style import one_of, require

FIRST = ("pearson_delta", "rmse", "mae", "map", "auroc", "pearson", "spearman")
"""Metrics in the order in which one is taken where none is asked for."""
ERRORS = ("rmse", "mae", "mse", "median_quantile", "energy_distance", "mmd", "brier", "ece")
"""Metrics of which less is better begin so."""


@drawn
def scores(
    result: Any,
    *,
    metric: str | None = None,
    group: str = "all",
    split: str | None = None,
    floors: Collection[str] | None = None,
    ceiling: float = float("nan"),
) -> go.Figure:
    """Scores of models beside their floors, with intervals; lines for the best floor and the ceiling.

    Parameters
    ----------
    result
        What :func:`galenic.benchmark` returns; or its ``metrics`` (``model, split, fold, seed, group, metric, value``);
        or a table of ``model, value`` and, where there are intervals, ``low, high``.
    metric, group, split
        Which scores are drawn. By default the main metric over all pairs, and the only split.
    floors
        Models that are floors; by default those of ``result``.
    ceiling
        How well the data agree with themselves; NaN for no line.

    Returns
    -------
    plotly.graph_objects.Figure
        Floors are hollow grey diamonds. Intervals over fewer than three folds are left out.

    Raises
    ------
    ValueError
        If columns lack, or several splits are there and none is chosen.

    Examples
    --------
    >>> table = pd.DataFrame({"model": ["Ridge", "DrugMean"], "value": [0.4, 0.3]})
    >>> scores(table, metric="pearson", floors={"DrugMean"}).layout.xaxis.title.text
    'pearson'
    """
    table = getattr(result, "metrics", result)
    own = getattr(result, "floors", ()) if floors is None else floors
    require(table, ["model", "value"], "plots.scores")
    if "fold" in table:
        table = one_of(table, "split", split, "plots.scores")
        there = set(table["metric"])
        metric = metric or next((name for name in FIRST if name in there), str(table["metric"].iloc[0]))
        table = one_of(table, "metric", metric, "plots.scores")
        table = of_scores.within_range(of_scores.summarise(one_of(table, "group", group, "plots.scores")))
    else:
        table = one_of(one_of(table, "metric", metric, "plots.scores"), "split", split, "plots.scores")
    metric = metric or (str(table["metric"].iloc[0]) if "metric" in table else "score")
    table = table.assign(low=table.get("low", np.nan), high=table.get("high", np.nan))
    is_error = metric.startswith(ERRORS)
    table = table.sort_values("value", ascending=is_error)
    best = table.loc[table["model"].isin(set(own)), "value"].head(1).mean()
    axis = metric if group == "all" else f"{metric}, {group.replace('_', ' ')}"
    return of_scores.score_dots(table, set(own), axis, best, ceiling)


@drawn
def observed(table: pd.DataFrame, *, unit: str = "response") -> go.Figure:
    """Predicted against observed responses, with the line on which they agree.

    Parameters
    ----------
    table
        ``cell, drug, response, prediction``: predictions of a benchmark, or of a model with the truth beside them.
    unit
        Name of the response, for the axes.

    Returns
    -------
    plotly.graph_objects.Figure
        Points of up to 2,000 pairs; how many lie where, beyond.

    Raises
    ------
    ValueError
        If columns lack, or no pair has both numbers.

    Examples
    --------
    >>> table = pd.DataFrame({"cell": ["A"], "drug": ["x"], "response": [1.0], "prediction": [2.0]})
    >>> observed(table).layout.xaxis.title.text
    'observed response'
    """
    require(table, ["cell", "drug", "response", "prediction"], "plots.observed")
    return responses.observed(require(table.dropna(subset=["response", "prediction"]), [], "plots.observed"), unit)


@drawn
def ranking(table: pd.DataFrame, *, cell: str | None = None, n: int = 20, unit: str = "response") -> go.Figure:
    """Drugs of one cell in the order of their predicted response, the most sensitive on top.

    Parameters
    ----------
    table
        ``cell, drug, prediction``; optional ``name`` of the drug, ``low, high`` of its interval, and ``usual``: the
        response of an average cell.
    cell
        Whose drugs; by default the first cell's.
    n
        Drugs that are drawn.
    unit
        Name of the response.

    Returns
    -------
    plotly.graph_objects.Figure
        A dot a drug, beside a hollow diamond for the average cell.

    Raises
    ------
    ValueError
        If columns lack, or the cell is not there.

    Examples
    --------
    >>> table = pd.DataFrame({"cell": ["A", "A"], "drug": ["x", "y"], "prediction": [2.0, 1.0]})
    >>> list(ranking(table).layout.yaxis.ticktext)
    ['x', 'y']
    """
    require(table, ["cell", "drug", "prediction"], "plots.ranking")
    rows = one_of(table, "cell", cell, "plots.ranking", first=True).nsmallest(n, "prediction")
    names = rows["name"].where(rows["name"].notna(), rows["drug"]) if "name" in rows else rows["drug"]
    return ranked_drugs(rows.assign(label=names), f"predicted {unit}")


@drawn
def calibration(table: pd.DataFrame) -> go.Figure:
    """Whether intervals hold as many responses as they promise.

    Parameters
    ----------
    table
        ``level, coverage, n``; with ``group`` ("all" or "drug") also how drugs differ.

    Returns
    -------
    plotly.graph_objects.Figure
        Below the line intervals are too narrow.

    Raises
    ------
    ValueError
        If columns lack.

    Examples
    --------
    >>> calibration(pd.DataFrame({"level": [0.9], "coverage": [0.85], "n": [200]})).layout.yaxis.title.text
    'coverage (%)'
    """
    require(table, ["level", "coverage", "n"], "plots.calibration")
    return of_calibration.coverage_points(of_calibration.coverage_by_level(table))


@drawn
def curves(history: pd.DataFrame, *, stage: str | None = None) -> go.Figure:
    """Losses over epochs, of training (solid) and of what was held out (dashed).

    Parameters
    ----------
    history
        ``member, epoch`` and columns ``train_<term>``, ``valid_<term>``; ``stage`` where there are several.
    stage
        Which stage; by default the only one.

    Returns
    -------
    plotly.graph_objects.Figure
        A colour a term; members thin, their mean thick.

    Raises
    ------
    ValueError
        If columns lack, no loss is finite, or several stages are there and none is chosen.

    Examples
    --------
    >>> history = pd.DataFrame({"member": 0, "epoch": [1, 2], "train_total": [1.0, 0.5]})
    >>> list(curves(history).data[0].y)
    [1.0, 0.5]
    """
    require(history, ["member", "epoch"], "plots.curves")
    losses = training.losses_of(one_of(history, "stage", stage, "plots.curves"))
    require(losses, [], "plots.curves")
    return training.loss_curves(losses, list(dict.fromkeys(losses["term"])))
