"""Figures of cells and the lines they were predicted from: maps, calibration, few labels, shift of features."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from galenic.plots.palette import (
    DASHES,
    FLOOR,
    FLOOR_SYMBOL,
    MODEL,
    OTHER,
    RESISTANT,
    SENSITIVE,
    SYMBOLS,
    TOWARDS,
    VALUES,
)
from galenic.plots.style import add_equality, colour_bar, finished, label, plain_numbers, thinned

HOLLOW = (FLOOR_SYMBOL, "square-open", "triangle-up-open", "circle-open", "cross-open")
"""Marks of floors side by side."""
MAP_SYMBOLS = {"no counts": "x", "abstained": "circle-open", "called": "circle"}


def probability_map(cells: pd.DataFrame) -> go.Figure:
    """Cells where they lie, coloured by the probability that they are sensitive; abstained ones as rings.

    Cells without a probability, because they have no counts, are grey crosses.

    Parameters
    ----------
    cells
        ``cell, x, y, probability, abstain``; a probability may be NaN.

    Returns
    -------
    plotly.graph_objects.Figure
        Up to ``MAX_POINTS`` cells, spread over the table.
    """
    some = thinned(cells)
    figure = go.Figure()
    is_known, abstained = some["probability"].notna(), some["abstain"].astype(bool)
    kinds = {"no counts": ~is_known, "abstained": is_known & abstained, "called": is_known & ~abstained}
    kinds = {name: rows for name, rows in kinds.items() if rows.any()}
    for name, rows in kinds.items():
        part, marker = some[rows], {"size": 5, "symbol": MAP_SYMBOLS[name], "color": FLOOR}
        if name != "no counts":
            bar = colour_bar("P") if name == list(kinds)[-1] else None
            marker |= {"color": plain_numbers(part["probability"]), "colorscale": TOWARDS, "cmin": 0, "cmax": 1,
                       "opacity": 0.8, "showscale": bar is not None, "colorbar": bar}  # fmt: skip
        figure.add_scatter(
            **_places(part), mode="markers", marker=marker, name=name, text=[label(cell) for cell in part["cell"]],
            customdata=plain_numbers(part["probability"]),
            hovertemplate="%{text}" + (": %{customdata:.2f}" if name != "no counts" else "")
            + "<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    figure.update_layout(showlegend=len(kinds) > 1)
    return _map(figure)


def value_map(cells: pd.DataFrame, name: str) -> go.Figure:
    """Cells where they lie, coloured by any number.

    Parameters
    ----------
    cells
        ``cell, x, y, value``; a value may be NaN.
    name
        What the number is.
    """
    some = thinned(cells)
    known = some["value"].notna()
    ends = some["value"].min(), some["value"].max()
    figure = go.Figure()
    for is_known, part in ((False, some[~known]), (True, some[known])):
        if part.empty:
            continue
        marker: dict[str, Any] = {"color": FLOOR, "symbol": "x"}
        if is_known:
            marker = {"color": plain_numbers(part["value"]), "colorscale": VALUES, "cmin": ends[0], "cmax": ends[1],
                      "opacity": 0.8, "colorbar": colour_bar(name)}  # fmt: skip
        figure.add_scatter(
            **_places(part), mode="markers", marker=marker | {"size": 5}, name=label(name) if is_known else "not known",
            text=[label(cell) for cell in part["cell"]], customdata=plain_numbers(part["value"]),
            hovertemplate="%{text}: %{customdata}<extra></extra>",
        )  # fmt: skip
    return _map(figure)


def group_map(cells: pd.DataFrame, group: Sequence[str], colours: dict[str, str]) -> go.Figure:
    """Cells where they lie, coloured by a group.

    Parameters
    ----------
    cells
        ``cell, x, y``.
    group
        Group of each row.
    colours
        Colour of each group, in the order of the legend; groups in the grey of floors are crosses.
    """
    some = thinned(cells.assign(group=list(group)))
    figure = go.Figure()
    for (name, colour), symbol in zip(colours.items(), cycle(SYMBOLS), strict=False):
        part = some[some["group"] == name]
        figure.add_scatter(
            **_places(part), mode="markers", name=label(name),
            marker={"color": colour, "size": 5, "opacity": 0.7, "symbol": "x" if colour == FLOOR else symbol},
            text=[label(cell) for cell in part["cell"]], hovertemplate="%{text}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    figure.update_layout(showlegend=True)
    return _map(figure)


def probability_histogram(cells: pd.DataFrame, threshold: float) -> go.Figure:
    """How many cells have which probability, those called resistant, sensitive, and abstained apart.

    Parameters
    ----------
    cells
        ``probability, abstain``.
    threshold
        From which on a cell is called sensitive.
    """
    edges = np.linspace(0, 1, 41)
    probability, abstained = cells["probability"].to_numpy(float), cells["abstain"].to_numpy(bool)
    is_high = probability >= threshold
    figure = go.Figure()
    for name, rows, colour in (
        ("called resistant", ~abstained & ~is_high, RESISTANT),
        ("called sensitive", ~abstained & is_high, SENSITIVE),
        ("abstained", abstained, FLOOR),
    ):
        counts, _ = np.histogram(probability[rows & np.isfinite(probability)], edges)
        figure.add_bar(
            x=((edges[1:] + edges[:-1]) / 2).round(4).tolist(), y=counts.tolist(), name=name,
            marker={"color": colour, "opacity": 0.8, "line": {"width": 0}},
            hovertemplate="P about %{x:.2f}: %{y} cells<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    figure.add_vline(x=threshold, line={"color": FLOOR, "dash": "dash", "width": 1.5},
                     annotation_text="threshold", annotation_font_size=11, annotation_xshift=2)  # fmt: skip
    figure.update_layout(barmode="stack", bargap=0.05, showlegend=True)
    figure.update_xaxes(range=[0, 1])
    figure.update_yaxes(title="cells")
    return finished(figure, 360, "P(sensitive)")


def reliability(parts: dict[str, pd.DataFrame]) -> go.Figure:
    """Share of sensitive ones against the mean probability of each bin, with the line of equality.

    Parameters
    ----------
    parts
        By what they are (lines, cells): ``probability, share, low, high, n`` of each bin.
    """
    figure = go.Figure()
    add_equality(figure, 0, 1)
    for (name, bins), colour, symbol in zip(parts.items(), OTHER, SYMBOLS, strict=False):
        above, below = bins["high"] - bins["share"], bins["share"] - bins["low"]
        figure.add_scatter(
            x=plain_numbers(bins["probability"]), y=plain_numbers(bins["share"]), mode="markers+lines",
            name=label(name), line={"color": colour, "width": 1}, marker={"size": 8, "symbol": symbol},
            error_y={"type": "data", "symmetric": False, "array": plain_numbers(above),
                     "arrayminus": plain_numbers(below), "color": colour, "thickness": 1.3, "width": 3},
            customdata=bins["n"].tolist(),
            hovertemplate="P %{x:.2f}: share %{y:.2f} of %{customdata}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    figure.update_xaxes(range=[-0.02, 1.02])
    figure.update_yaxes(title="share that is sensitive", range=[-0.02, 1.02])
    figure.update_layout(showlegend=len(parts) > 1)
    return finished(figure, 360, "P(sensitive), mean of the bin")


def few_shot_curves(table: pd.DataFrame, axis: str, floors: set[str]) -> go.Figure:
    """Score of each method by the number of labelled cells, with its interval.

    Parameters
    ----------
    table
        ``method, n_per_class, value, low, high``.
    axis
        Title of the score axis.
    floors
        Methods that are floors: grey, thin and broken, each with a hollow mark of its own.
    """
    figure = go.Figure()
    ways = {name: number for number, name in enumerate(sorted(floors))}
    for method, rows in table.sort_values("n_per_class").groupby("method", sort=False):
        is_floor = method in floors
        above, below = (rows["high"] - rows["value"]).fillna(0), (rows["value"] - rows["low"]).fillna(0)
        colour, way = (FLOOR, ways[method]) if is_floor else (MODEL, 0)
        figure.add_scatter(
            x=rows["n_per_class"].tolist(), y=plain_numbers(rows["value"]), mode="lines+markers", name=label(method),
            line={"color": colour, "width": 1.2 if is_floor else 2.5,
                  "dash": DASHES[way % len(DASHES)] if is_floor else "solid"},
            marker={"size": 7, "symbol": HOLLOW[way % len(HOLLOW)] if is_floor else "circle"},
            error_y={"type": "data", "symmetric": False, "array": plain_numbers(above),
                     "arrayminus": plain_numbers(below), "color": colour, "thickness": 1.2, "width": 3},
            hovertemplate="%{x} per class: %{y:.3f}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    figure.update_xaxes(tickvals=sorted(set(table["n_per_class"])))
    figure.update_yaxes(title=axis)
    figure.update_layout(showlegend=True)
    return finished(figure, 380, "labelled cells of each class")


def shift_dumbbells(features: pd.DataFrame) -> go.Figure:
    """Divergence of features from the lines, before and after alignment, one row a feature.

    Parameters
    ----------
    features
        ``feature, before, after``, in the order they are read.
    """
    rows = features.iloc[::-1]
    places = list(range(len(rows)))
    figure = go.Figure()
    for place, before, after in zip(places, plain_numbers(rows["before"]), plain_numbers(rows["after"]), strict=True):
        figure.add_scatter(x=[before, after], y=[place, place], mode="lines", line={"color": FLOOR, "width": 1},
                           hoverinfo="skip", showlegend=False)  # fmt: skip
    for name, colour, symbol in (("before", FLOOR, "circle-open"), ("after", MODEL, "circle")):
        figure.add_scatter(
            x=plain_numbers(rows[name]), y=places, mode="markers", name=f"{name} alignment",
            marker={"color": colour, "size": 8, "symbol": symbol}, text=[label(one) for one in rows["feature"]],
            hovertemplate="%{text}: %{x:.3f}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    figure.update_yaxes(tickvals=places, ticktext=[label(one, 24) for one in rows["feature"]],
                        range=[-0.7, len(rows) - 0.3], showgrid=False)  # fmt: skip
    figure.update_xaxes(rangemode="tozero")
    figure.update_layout(showlegend=True)
    return finished(figure, 100 + 20 * len(rows), "divergence from the lines (nats)")


def _places(part: pd.DataFrame) -> dict[str, list[float | None]]:
    return {"x": plain_numbers(part["x"]), "y": plain_numbers(part["y"])}


def _map(figure: go.Figure) -> go.Figure:
    figure.update_xaxes(showticklabels=False, showgrid=False, ticks="")
    figure.update_yaxes(showticklabels=False, showgrid=False, title="")
    return finished(figure, 400, "")
