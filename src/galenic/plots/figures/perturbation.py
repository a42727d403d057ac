"""Figures of perturbation runs: skill against floors, predicted against measured effects, maps of codes, departures."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from galenic.plots.palette import CATEGORIES, FALL, FLOOR, MODEL, RISE, SYMBOLS
from galenic.plots.style import MAX_POINTS, add_equality, finished, label, mark, plain_numbers, whiskers

N_NAMED = 10  # genes named beside their points
N_NAMES = 30  # names that a map has room for


def skill_forest(rows: pd.DataFrame) -> go.Figure:
    """Skill of each model against each floor with its interval; the line at 0 is the floor.

    Parameters
    ----------
    rows
        ``model, floor, skill, low, high, best`` of one metric, at least one row; a floor a line, in this order.

    Returns
    -------
    plotly.graph_objects.Figure
        A colour a model; filled where the floor is the best one, open elsewhere.
    """
    floors = list(dict.fromkeys(rows["floor"]))[::-1]
    models = list(dict.fromkeys(rows["model"]))
    apart = np.linspace(0.28, -0.28, len(models)) if len(models) > 1 else np.zeros(1)
    figure = go.Figure()
    for model, offset, colour, symbol in zip(models, apart, cycle(CATEGORIES), cycle(SYMBOLS), strict=False):
        part = rows[rows["model"] == model].assign(value=lambda part: part["skill"])
        shapes = [symbol if best else f"{symbol}-open" for best in part["best"]]
        figure.add_scatter(
            x=plain_numbers(part["skill"]), y=[floors.index(floor) + offset for floor in part["floor"]], mode="markers",
            name=label(model, 40), text=[label(floor) for floor in part["floor"]], error_x=whiskers(part, colour),
            marker={"color": colour, "size": 10, "symbol": shapes, "line": {"width": 2, "color": colour}},
            customdata=[f"{low:.3f} to {high:.3f}" for low, high in zip(part["low"], part["high"], strict=True)],
            hovertemplate="against %{text}: %{x:.3f} (%{customdata})<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    mark(figure, 0.0, FLOOR, "the floor", "dash")
    best = set(rows.loc[rows["best"], "floor"])
    names = [f"<b>{label(name, 22)}</b>" if name in best else label(name, 22) for name in floors]
    ends = [min(0.0, rows[["skill", "low"]].min(axis=None)), max(0.0, rows[["skill", "high"]].max(axis=None))]
    room = 0.08 * (ends[1] - ends[0]) or 0.1
    figure.update_xaxes(range=[ends[0] - room, ends[1] + room], nticks=7)
    figure.update_yaxes(tickvals=list(range(len(floors))), ticktext=names, range=[-0.6, len(floors) - 0.4])
    several = len(models) > 1
    figure.update_layout(showlegend=several)
    height = 96 + max(30, 17 * len(models)) * len(floors)
    finished(figure, height + (44 if several else 0), "skill (1 is perfect)")
    below = {"orientation": "h", "yref": "container", "y": 0.01, "yanchor": "bottom", "x": 0}
    return figure.update_layout(legend=below, margin={"b": 88}) if several else figure


def effect_points(genes: pd.DataFrame) -> go.Figure:
    """Predicted against measured effect of one condition, a point a gene, with the identity line.

    Parameters
    ----------
    genes
        ``gene, measured, predicted``, finite, at least one row. Of more than ``MAX_POINTS`` genes those with the
        largest measured or predicted effects are drawn.

    Returns
    -------
    plotly.graph_objects.Figure
        The ``N_NAMED`` genes that changed most are orange, and named at the side.
    """
    genes = genes.assign(size=genes[["measured", "predicted"]].abs().max(axis=1)).nlargest(MAX_POINTS, "size")
    named = genes.loc[genes["measured"].abs().nlargest(N_NAMED).index]
    ends = (genes[["measured", "predicted"]].min(axis=None), genes[["measured", "predicted"]].max(axis=None))
    room = 0.06 * (ends[1] - ends[0]) or 1.0
    low, high = float(min(ends[0], 0) - room), float(max(ends[1], 0) + room)
    figure = go.Figure()
    for rows, colour, size in ((genes.drop(named.index), MODEL, 5), (named, RISE, 7)):
        figure.add_scatter(
            x=plain_numbers(rows["measured"]), y=plain_numbers(rows["predicted"]), mode="markers",
            text=[label(gene) for gene in rows["gene"]],
            marker={"color": colour, "size": size, "opacity": 0.55 if colour == MODEL else 0.95},
            hovertemplate="%{text}<br>measured %{x:.3f}, predicted %{y:.3f}<extra></extra>",
        )  # fmt: skip
    add_equality(figure, low, high)
    sides = _name_at_the_sides(figure, named, low, high)
    wide = 0.3 * (high - low)  # room for a column of names
    figure.update_xaxes(range=[low - wide * sides[0], high + wide * sides[1]])
    figure.update_yaxes(title="predicted effect", range=[low, high])
    return finished(figure, 360, "measured effect")


def _name_at_the_sides(figure: go.Figure, named: pd.DataFrame, low: float, high: float) -> tuple[bool, bool]:
    """Names in a column left of falling genes and right of rising ones, each with a line to its point."""
    is_up = named["measured"] >= 0
    for rows, place, anchor in ((named[~is_up], low, "right"), (named[is_up], high, "left")):
        rows = rows.sort_values("predicted")
        for row, height in zip(rows.to_dict("records"), _spread(rows["predicted"].to_numpy(), low, high), strict=True):
            figure.add_annotation(
                x=row["measured"], y=row["predicted"], ax=place, ay=height, axref="x", ayref="y", xanchor=anchor,
                text=label(row["gene"], 12), arrowcolor=FLOOR, arrowwidth=0.8, arrowhead=0, standoff=4,
                font={"size": 10.5},
            )  # fmt: skip
    return bool((~is_up).any()), bool(is_up.any())


def _spread(heights: np.ndarray, low: float, high: float) -> np.ndarray:
    """Rising heights, moved apart until no two names overlap, and inside the figure."""
    gap = 0.055 * (high - low)
    steps = gap * np.arange(len(heights))
    apart = np.maximum.accumulate(heights - steps) + steps
    over = np.minimum.accumulate((np.minimum(apart, high - gap / 2) - steps)[::-1])[::-1] + steps
    return np.maximum(over, low + gap / 2 + steps)


def code_map(points: pd.DataFrame) -> go.Figure:
    """Codes as points; a colour a context where there are several and as many colours.

    Parameters
    ----------
    points
        ``name, context, x, y``, at least one row with both coordinates.

    Returns
    -------
    plotly.graph_objects.Figure
        Both axes in one scale. Up to ``N_NAMES`` points are named; all show their names on hover.
    """
    contexts = list(dict.fromkeys(points["context"]))
    is_coloured = 1 < len(contexts) <= len(CATEGORIES)
    is_named = len(points) <= N_NAMES
    parts = [(name, points[points["context"] == name]) for name in contexts] if is_coloured else [("", points)]
    figure = go.Figure()
    for (name, rows), colour, symbol in zip(parts, CATEGORIES, cycle(SYMBOLS), strict=False):
        names = [label(one, 16) for one in rows["name"]]
        about = [label(one) + (f"<br>{label(where)}" if where else "")
                 for one, where in zip(rows["name"], rows["context"], strict=True)]  # fmt: skip
        figure.add_scatter(
            x=plain_numbers(rows["x"]), y=plain_numbers(rows["y"]), mode="markers+text" if is_named else "markers",
            name=label(name, 24), text=names, textposition="top center", textfont={"size": 11}, customdata=about,
            marker={"color": colour, "size": 8, "opacity": 0.8, "symbol": symbol if is_coloured else "circle"},
            hovertemplate="%{customdata}<extra></extra>", showlegend=is_coloured, cliponaxis=False,
        )  # fmt: skip
    room = 0.14 * ((points["x"].max() - points["x"].min()) or 1.0)  # for names
    axis = {"showgrid": False, "showticklabels": False}
    figure.update_layout(showlegend=is_coloured)
    finished(figure, 420, "")
    figure.update_xaxes(**axis, range=[points["x"].min() - room, points["x"].max() + room])
    figure.update_yaxes(**axis, scaleanchor="x")
    return figure.update_layout(legend={"orientation": "h", "y": -0.02, "x": 0}, margin={"t": 10, "b": 12})


def departure_bars(genes: pd.DataFrame, limit: float) -> go.Figure:
    """Departure of each gene as a bar, the largest first.

    Parameters
    ----------
    genes
        ``gene, residual``, the first row on top.
    limit
        Half-width of the axis, so that figures side by side are on one scale.

    Returns
    -------
    plotly.graph_objects.Figure
        Orange above the additive solution, blue below it.
    """
    rows = genes.iloc[::-1]
    figure = go.Figure()
    figure.add_bar(
        x=plain_numbers(rows["residual"]), y=list(range(len(rows))), orientation="h", width=0.7,
        text=[label(gene) for gene in rows["gene"]], textposition="none",
        marker={"color": [RISE if value > 0 else FALL for value in rows["residual"]]},
        hovertemplate="%{text}: %{x:+.3f}<extra></extra>",
    )  # fmt: skip
    mark(figure, 0.0, FLOOR, "additive", "dash")
    figure.update_xaxes(range=[-1.05 * limit, 1.05 * limit], nticks=5)
    names = [label(gene, 18) for gene in rows["gene"]]
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=names, range=[-0.6, len(rows) - 0.4])
    return finished(figure, 96 + 22 * len(rows), "departure")
