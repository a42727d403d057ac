"""Drugs in the order of their predicted response, each beside what is usual for it."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from galenic.plots.palette import FLOOR, FLOOR_SYMBOL, MODEL
from galenic.plots.style import finished, label, plain_numbers, whiskers


def ranked_drugs(rows: pd.DataFrame, axis: str) -> go.Figure:
    """Predicted responses of one sample, the drug that it is most sensitive to on top.

    Parameters
    ----------
    rows
        ``label, prediction``, in the order they are read; ``low, high`` where there are intervals; ``usual`` where it
        is known what the drug does to an average cell.
    axis
        Title of the value axis.

    Returns
    -------
    plotly.graph_objects.Figure
        A dot with its interval each, joined to a hollow diamond where the average cell lies.
    """
    rows = rows.iloc[::-1]
    places, names = list(range(len(rows))), [label(name) for name in rows["label"]]
    figure = go.Figure()
    has_usual = "usual" in rows and rows["usual"].notna().any()
    if has_usual:
        ends = [(usual, found, None) for usual, found in zip(plain_numbers(rows["usual"]),
                plain_numbers(rows["prediction"]), strict=True)]  # fmt: skip
        figure.add_scatter(
            x=[value for three in ends for value in three],
            y=[value for place in places for value in (place, place, None)],
            mode="lines", line={"color": FLOOR, "width": 1.2, "dash": "dot"}, hoverinfo="skip", showlegend=False,
        )  # fmt: skip
        figure.add_scatter(
            x=plain_numbers(rows["usual"]), y=places, mode="markers", name="average cell (floor)", text=names,
            marker={"color": FLOOR, "size": 10, "symbol": FLOOR_SYMBOL, "line": {"width": 1.6}},
            hovertemplate="%{text}, average cell: %{x:.2f}<extra></extra>",
        )  # fmt: skip
    spans = {}
    if {"low", "high"} <= set(rows):
        spans = {"error_x": whiskers(rows.assign(value=rows["prediction"]), MODEL)}
    figure.add_scatter(
        x=plain_numbers(rows["prediction"]), y=places, mode="markers", name="this sample", text=names,
        marker={"color": MODEL, "size": 10}, hovertemplate="%{text}: %{x:.2f}<extra></extra>", **spans,
    )  # fmt: skip
    figure.update_yaxes(tickvals=places, ticktext=names, range=[-0.6, len(rows) - 0.4])
    figure.update_layout(showlegend=bool(has_usual))
    return finished(figure, 110 + 26 * len(rows), axis)
