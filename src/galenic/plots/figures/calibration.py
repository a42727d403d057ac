"""Calibration: whether intervals hold what they promise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from galenic.plots.palette import MODEL
from galenic.plots.style import add_equality, finished, plain_numbers

SHORT = 0.1  # by which the coverage of a drug may fall below the level before the drug counts as short


def coverage_points(levels: pd.DataFrame) -> go.Figure:
    """Share of responses inside their intervals against the level that was asked for, with the line of equality.

    Parameters
    ----------
    levels
        ``level``, ``coverage``, ``low``, ``high``, as shares; ``low`` and ``high`` are the range over drugs, NaN for
        none.

    Returns
    -------
    plotly.graph_objects.Figure
        Level across, coverage up, both in percent.
    """
    percent = 100 * levels[["level", "coverage", "low", "high"]]
    start = max(0.0, 10 * np.floor((percent.min(axis=None) - 3) / 10))
    drugs = percent.dropna(subset=["low", "high"])
    figure = go.Figure()
    add_equality(figure, start, 100)
    if len(drugs):
        # Around its own middle: the coverage over all pairs may lie outside the range over drugs.
        middle, half = (drugs["low"] + drugs["high"]) / 2, (drugs["high"] - drugs["low"]) / 2
        figure.add_scatter(
            x=plain_numbers(drugs["level"]), y=plain_numbers(middle), mode="markers", name="drugs, 5 to 95 %",
            marker={"color": MODEL, "size": 9, "symbol": "line-ns-open", "opacity": 0},
            error_y={"type": "data", "array": plain_numbers(half), "color": MODEL, "thickness": 1.6, "width": 4},
            customdata=[f"{low:.1f} to {high:.1f} %" for low, high in zip(drugs["low"], drugs["high"], strict=True)],
            hovertemplate="level %{x:.3g} %: drugs %{customdata}<extra></extra>",
        )  # fmt: skip
    figure.add_scatter(
        x=plain_numbers(percent["level"]), y=plain_numbers(percent["coverage"]), mode="markers", name="all pairs",
        marker={"color": MODEL, "size": 9}, hovertemplate="level %{x:.3g} %: coverage %{y:.1f} %<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(range=[start, 102])
    figure.update_yaxes(title="coverage (%)", range=[start, 102])
    return finished(figure, 360, "nominal level (%)")


def coverage_by_level(table: pd.DataFrame) -> pd.DataFrame:
    """Coverage at each level over all pairs, and how it differs between drugs.

    Parameters
    ----------
    table
        ``level``, ``coverage``, ``n``; optional ``width`` and ``group``, ``"all"`` or ``"drug"`` (all where absent).

    Returns
    -------
    pandas.DataFrame
        ``level``, ``coverage``, ``width`` and ``n`` over all pairs (of the drugs together, where no row is of all);
        ``low``, ``high``: 5 and 95 % of the drugs; ``short``: share of drugs more than ``SHORT`` below the level;
        ``drugs``: how many; ``cells``: their median ``n``. NaN, and 0 drugs, where no row is of a drug.
    """
    table = table.astype(dict.fromkeys(("level", "coverage", "n"), float)).dropna(subset=["level", "coverage"])
    is_drug = table["group"] == "drug" if "group" in table else pd.Series(False, table.index)
    pooled, drugs = table if is_drug.all() else table[~is_drug], table[is_drug]
    by_drug = drugs.groupby("level")
    # The sliver keeps a coverage of 0.7 at level 0.8 from being short by a rounding error.
    short = drugs["coverage"] < drugs["level"] - SHORT - 1e-9
    found = {
        "coverage": _weighted(pooled, "coverage"),
        "width": _weighted(pooled, "width"),
        "n": pooled.groupby("level")["n"].sum(),
        "low": by_drug["coverage"].quantile(0.05),
        "high": by_drug["coverage"].quantile(0.95),
        "short": short.groupby(drugs["level"]).mean(),
        "drugs": by_drug["coverage"].size(),
        "cells": by_drug["n"].median(),
    }
    levels = pd.DataFrame(found).rename_axis("level").reset_index().astype(float).fillna({"drugs": 0})
    return levels.dropna(subset=["coverage"])


def _weighted(rows: pd.DataFrame, name: str) -> pd.Series:
    """Mean of a column at each level, weighted by ``n``; nothing where the table lacks it."""
    if name not in rows:
        return pd.Series(dtype=float)
    rows = rows.dropna(subset=[name])
    sums = (rows[name] * rows["n"]).groupby(rows["level"]).sum()
    return sums / rows.groupby("level")["n"].sum()
