"""Responses of cells to drugs: predicted against observed, drugs in order."""

from __future__ import annotations

from html import escape

import pandas as pd
import plotly.graph_objects as go

from galenic.plots.palette import MODEL
from galenic.plots.style import MAX_POINTS, add_counts, add_equality, finished, label


def observed(table: pd.DataFrame, unit: str) -> go.Figure:
    """Prediction against truth with the identity line: points up to ``MAX_POINTS`` pairs, a 2-D histogram beyond.

    Parameters
    ----------
    table
        ``response`` and ``prediction``, at least one row with both.
    unit
        Name of the response, for the axes.

    Returns
    -------
    plotly.graph_objects.Figure
        Truth across, prediction up.
    """
    truth, prediction = table["response"].to_numpy(float), table["prediction"].to_numpy(float)
    ends = [float(min(truth.min(), prediction.min())), float(max(truth.max(), prediction.max()))]
    figure = go.Figure()
    if len(table) <= MAX_POINTS:
        names = [f"{label(cell)} × {label(drug)}" for cell, drug in zip(table["cell"], table["drug"], strict=True)]
        figure.add_scatter(
            x=truth.round(4), y=prediction.round(4), mode="markers", text=names,
            name="pairs", marker={"color": MODEL, "size": 4, "opacity": 0.5},
            hovertemplate="%{text}<br>observed %{x:.2f}, predicted %{y:.2f}<extra></extra>",
        )  # fmt: skip
    else:
        add_counts(figure, truth, prediction, 72, [ends, ends], ("observed", "predicted", "pairs"))
    add_equality(figure, *ends)
    figure.update_xaxes(range=ends)
    figure.update_yaxes(title=f"predicted {escape(unit)}", range=ends)
    return finished(figure, 340, f"observed {escape(unit)}")
