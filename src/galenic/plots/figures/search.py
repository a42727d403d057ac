"""A search: query, hits and others as points that lie near each other where they act alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from galenic.plots.palette import FALL, FLOOR, MODEL, OTHER, RISE, STAR, SYMBOLS
from galenic.plots.style import finished, label, mark, plain_numbers

N_NAMED, N_COLOURED = 5, 4  # hits named on a map, and mechanisms with a colour


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
    for name, colour, symbol in zip(coloured, OTHER, SYMBOLS, strict=False):
        _points(figure, found[found["moa"] == name], listed(name), {"color": colour, "size": 9, "symbol": symbol})
    star = {"color": STAR, "size": 17, "symbol": "star", "line": {"color": "white", "width": 1}}
    _points(figure, query, "query", star)
    for row, (right, down) in zip(found.head(N_NAMED).to_dict("records"), _sides(found.head(N_NAMED)), strict=True):
        figure.add_annotation(
            x=row["x"], y=row["y"], text=label(row["name"], 22), ax=right, ay=down, arrowcolor=FLOOR, arrowwidth=1,
            arrowhead=0, standoff=5, font={"size": 11},
        )  # fmt: skip
    ends, room = (points["x"].min(), points["x"].max()), 0.2 * (points["x"].max() - points["x"].min())  # for names
    figure.update_layout(showlegend=True)
    finished(figure, 520, "")
    axis = {"showgrid": False, "showticklabels": False, "ticks": ""}
    figure.update_xaxes(**axis, range=[ends[0] - room, ends[1] + room])
    figure.update_yaxes(**axis, scaleanchor="x")
    return figure.update_layout(legend={"orientation": "h", "y": -0.02, "x": 0}, margin={"t": 10, "b": 8})


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
        place = (
            f"rank {row['rank']:,.0f}, similarity {row['similarity']:.2f}".replace("-", "−")
            if row["role"] == "hit"
            else ""
        )
        shown.append("<br>".join([*about, *([place.replace("-", "−")] if place else [])]))
    figure.add_scatter(
        x=rows["x"].tolist(), y=rows["y"].tolist(), mode="markers", name=label(name, 30), text=shown, marker=marker,
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def listed(value: object) -> str:
    """Names parted by ``|`` as people list them, the first three."""
    names = [name.strip() for name in text_of(value).split("|") if name.strip()]
    if not names:
        return "–"
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def text_of(value: object) -> str:
    """Text as it is; nothing where it is missing."""
    return value if isinstance(value, str) else ""


def hit_dots(hits: pd.DataFrame) -> go.Figure:
    """Similarity of hits, one row a hit, mimics and reversers apart.

    Parameters
    ----------
    hits
        ``name, rank, similarity``, in the order they are read; optional ``moa``.
    """
    rows = hits.iloc[::-1].reset_index(drop=True)
    figure = go.Figure()
    for name, chosen, colour, symbol in (
        ("mimics", rows["similarity"] >= 0, FALL, "circle"),
        ("reversers", rows["similarity"] < 0, RISE, "triangle-down"),
    ):
        part = rows[chosen]
        if len(part):
            figure.add_scatter(
                x=plain_numbers(part["similarity"]), y=part.index.tolist(), mode="markers", name=name,
                text=[label(one) for one in part["name"]], marker={"color": colour, "size": 9, "symbol": symbol},
                customdata=[label(listed(one), 60) for one in part.get("moa", [None] * len(part))],
                hovertemplate="%{text}: %{x:.3f}<br>%{customdata}<extra></extra>",
            )  # fmt: skip
    mark(figure, 0.0, FLOOR, "", "dash")
    figure.update_yaxes(tickvals=rows.index.tolist(), ticktext=[label(one, 28) for one in rows["name"]],
                        range=[-0.6, len(rows) - 0.4])  # fmt: skip
    figure.update_layout(showlegend=len(figure.data) > 1)
    return finished(figure, 96 + 22 * len(rows), "similarity to the query")
