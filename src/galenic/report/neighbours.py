"""The map of a search: query, hits and others as points that lie near each other where they act alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from galenic.plots.figures import FLOOR, MODEL, OTHER, label
from galenic.report.blocks import Figures, Section, Text
from galenic.report.run import Run
from galenic.report.words import NOTHING, count, number

N_MAPS = 4  # queries that are mapped
N_NAMED, N_COLOURED = 5, 4  # hits named on a map, and mechanisms with a colour
STAR = OTHER[4]


def neighbours(run: Run) -> Section | None:
    """Query, hits and others as points that lie near each other where they act alike."""
    table = run.table("map")
    if table is None or table.empty:
        return None
    names = list(dict.fromkeys(table["query"]))
    figures = []
    for name in names[:N_MAPS]:
        rows = table[table["query"] == name]
        has_star = (rows["role"] == "query").any()
        where = "The star is the query." if has_star else "Lists of genes have no place of their own."
        n_hits, n_others = ((rows["role"] == role).sum() for role in ("hit", "other"))
        said = f"{name}: {count(n_hits)} hits and {count(n_others)} others. {where}"
        figures.append((said, neighbour_map(rows)))
    how = (
        "The two directions in which these vectors differ most. Most of what tells them apart lies in directions that "
        "a page cannot show: points that are far apart differ, but points that touch need not be alike."
    )
    left = f"Maps of the first {N_MAPS} of {len(names)} queries; map.csv has all."
    rest = [Text(left)] if len(names) > N_MAPS else []
    return Section("neighbours", "Map of the neighbours", how, [Figures(figures), *rest])


def neighbour_map(points: pd.DataFrame) -> go.Figure:
    """Points of one query: others grey, hits in the colours of the most frequent mechanisms, the query a star.

    Parameters
    ----------
    points
        ``role`` (query, hit, other), ``name, moa, x, y, rank, similarity``.

    Returns
    -------
    plotly.graph_objects.Figure
        Both axes in one scale; names are shown on hover, and beside the first hits.
    """
    found, others, query = (points[points["role"] == role] for role in ("hit", "other", "query"))
    mechanisms = found["moa"].dropna().value_counts()
    coloured = [name for name, n in mechanisms.items() if n > 1][:N_COLOURED]
    figure = go.Figure()
    _points(figure, others, "others", {"color": FLOOR, "size": 5, "opacity": 0.45})
    rest = found[~found["moa"].isin(coloured)]
    plain = {"color": FLOOR, "symbol": "circle-open", "line": {"width": 1.8}} if coloured else {"color": MODEL}
    _points(figure, rest, "hits, other mechanisms" if coloured else "hits", {"size": 9, **plain})
    for name, colour, symbol in zip(coloured, OTHER, ("circle", "square", "diamond", "triangle-up"), strict=False):
        _points(figure, found[found["moa"] == name], listed(name), {"color": colour, "size": 9, "symbol": symbol})
    star = {"color": STAR, "size": 17, "symbol": "star", "line": {"color": "#fff", "width": 1}}
    _points(figure, query, "query", star)
    for row, (right, down) in zip(found.head(N_NAMED).to_dict("records"), _sides(found.head(N_NAMED)), strict=True):
        figure.add_annotation(
            x=row["x"], y=row["y"], text=label(row["name"], 22), ax=right, ay=down, arrowcolor=FLOOR, arrowwidth=1,
            arrowhead=0, standoff=5, font={"size": 11},
        )  # fmt: skip
    axis = {"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": ""}
    ends, room = (points["x"].min(), points["x"].max()), 0.2 * (points["x"].max() - points["x"].min())  # for names
    figure.update_xaxes(**axis, range=[ends[0] - room, ends[1] + room])
    figure.update_yaxes(**axis, scaleanchor="x")
    return figure.update_layout(
        template="none", height=520, margin={"l": 8, "r": 8, "t": 10, "b": 8}, font={"size": 12.5},
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", hovermode="closest", showlegend=True,
        legend={"orientation": "h", "y": -0.02, "x": 0},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": FLOOR, "activecolor": MODEL},
    )  # fmt: skip


def _sides(points: pd.DataFrame) -> list[tuple[float, float]]:
    """Where names stand beside their points, in pixels: fanned out, for the first hits are often close together."""
    x, y = (points[name].to_numpy() - points[name].mean() for name in ("x", "y"))
    place = np.argsort(np.argsort(np.arctan2(y, x), kind="stable"))
    angle = 2 * np.pi * (place + 0.5) / max(len(points), 1) - np.pi
    return [(float(70 * np.cos(one)), float(-46 * np.sin(one))) for one in angle]


def _points(figure: go.Figure, rows: pd.DataFrame, name: str, marker: dict[str, Any]) -> None:
    if rows.empty:
        return
    shown = []
    for row in rows.to_dict("records"):
        about = [label(row["name"], 60), *([label(listed(row["moa"]), 60)] if text_of(row.get("moa")) else [])]
        place = f"rank {count(row['rank'])}, similarity {number(row['similarity'], 2)}" if row["role"] == "hit" else ""
        shown.append("<br>".join([*about, *([place] if place else [])]))
    figure.add_scatter(
        x=rows["x"].tolist(), y=rows["y"].tolist(), mode="markers", name=label(name, 30), text=shown, marker=marker,
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def listed(value: object) -> str:
    """Names parted by ``|`` as people list them, the first three."""
    names = [name.strip() for name in text_of(value).split("|") if name.strip()]
    if not names:
        return NOTHING
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def text_of(value: object) -> str:
    """Text as it is; nothing where it is missing."""
    return value if isinstance(value, str) else ""
