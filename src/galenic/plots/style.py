"""What every figure shares: names as Plotly text, numbers short enough for a page, whiskers, marks, axes.

Backgrounds are transparent, and the page's style sheet colours text and grid lines for light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from galenic.plots.palette import CLEAR, FLOOR, MODEL, SEQUENTIAL

MAX_POINTS = 2000
"""Points that are drawn one by one; of more, a part, or how many lie where."""


def label(name: object, length: int = 34) -> str:
    """Name as Plotly text: shortened, and with ``<`` and ``&`` escaped, as Plotly reads a little HTML."""
    text = str(name)
    return escape(text if len(text) <= length else text[: length - 1] + "…")


def plain_numbers(values: pd.Series) -> list[float | None]:
    """Numbers short enough for a page, None where one is missing."""
    return [None if np.isnan(value) else round(float(value), 5) for value in values]


def whiskers(rows: pd.DataFrame, colour: str) -> dict[str, Any]:
    """Bars from ``low`` to ``high`` around ``value``."""
    above, below = (rows["high"] - rows["value"]).fillna(0), (rows["value"] - rows["low"]).fillna(0)
    return {"type": "data", "symmetric": False, "array": plain_numbers(above), "arrayminus": plain_numbers(below),
            "color": colour, "thickness": 1.6, "width": 4}  # fmt: skip


def mark(figure: go.Figure, place: float, colour: str, name: str, dash: str, anchor: str = "center") -> None:
    """A named vertical line, the name's ``anchor`` above it; none where its place is NaN."""
    if not np.isnan(place):
        figure.add_vline(
            x=place, line={"color": colour, "dash": dash, "width": 1.5}, annotation_text=name,
            annotation_position="top", annotation_font_size=11, annotation_xanchor=anchor,
        )  # fmt: skip


def require(table: pd.DataFrame, columns: Sequence[str], what: str) -> pd.DataFrame:
    """The table; ``ValueError`` where it lacks a column or has no rows."""
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"{what} is drawn from a pandas DataFrame; received {type(table).__name__}. Pass a table.")
    lacking = [name for name in columns if name not in table]
    if lacking:
        raise ValueError(
            f"{what} is drawn from a table with {', '.join(columns)}; it lacks {', '.join(lacking)} and has "
            f"{', '.join(map(str, table.columns)) or 'no columns'}. Rename or add them."
        )
    if table.empty:
        raise ValueError(f"{what} is drawn from at least one row; the table has none. Check what was chosen.")
    return table


def one_of(table: pd.DataFrame, column: str, value: object | None, what: str, *, first: bool = False) -> pd.DataFrame:
    """Rows in which a column has a value; where none is asked for, all have one value or the ``first`` is taken."""
    if column not in table:
        return table
    there = list(dict.fromkeys(table[column].dropna()))
    if value is None and (first or len(there) < 2):
        value = there[0] if there else None
    if value not in there and there:
        received = f"received {value!r}" if value is not None else "received several"
        shown = ", ".join(map(repr, there[:8])) + (", ..." if len(there) > 8 else "")
        raise ValueError(f"{what} shows one {column}, of {shown}; {received}. Choose with {column}=.")
    return table[table[column] == value] if there else table


def add_counts(
    figure: go.Figure, x: np.ndarray, y: np.ndarray, bins: int, ends: list[list[float]] | None, names: tuple[str, ...]
) -> None:
    """Add how many points lie where, for points that are too many to draw.

    Parameters
    ----------
    figure
        It gets a heat map; white where there is no point.
    x, y
        Points, ``(n,)`` each.
    bins
        Along each axis.
    ends
        First and last value of each axis; those of the points where ``None``.
    names
        What is across, what is up, and what the points are, for the text shown on hover.
    """
    counts, across, up = np.histogram2d(x, y, bins=bins, range=ends)
    middles = [((edges[1:] + edges[:-1]) / 2).round(5) for edges in (across, up)]
    figure.add_heatmap(
        x=middles[0], y=middles[1], z=np.where(counts.T > 0, np.log10(np.maximum(counts.T, 1)), np.nan).round(3),
        customdata=counts.T.astype(int), colorscale=SEQUENTIAL, showscale=False, name=f"log10 {names[2]}",
        hovertemplate=f"{names[0]} %{{x:.2f}}, {names[1]} %{{y:.3f}}: %{{customdata}} {names[2]}<extra></extra>",
    )  # fmt: skip


def add_equality(figure: go.Figure, low: float, high: float) -> None:
    """Add the line on which both axes say the same."""
    figure.add_scatter(
        x=[low, high], y=[low, high], mode="lines", line={"color": FLOOR, "dash": "dash", "width": 1.5},
        hoverinfo="skip", showlegend=False, name="equal",
    )  # fmt: skip


def thinned(table: pd.DataFrame) -> pd.DataFrame:
    """At most ``MAX_POINTS`` rows, spread evenly over the table."""
    if len(table) <= MAX_POINTS:
        return table
    return table.iloc[np.linspace(0, len(table) - 1, MAX_POINTS).round().astype(int)]


def colour_bar(title: str, length: float = 0.8) -> dict[str, Any]:
    """A thin bar of colours, its title on top."""
    return {"title": {"text": label(title, 16), "side": "top"}, "thickness": 10, "len": length, "outlinewidth": 0}


def finished(figure: go.Figure, height: int, axis: str) -> go.Figure:
    """The figure in the style of the page, its horizontal axis named."""
    figure.update_xaxes(title=escape(axis), automargin=True, zeroline=False)
    figure.update_yaxes(automargin=True, zeroline=False, ticks="", ticklabelstandoff=6)
    gap = 20 if figure.layout.annotations else 6  # in pixels, between the legend and the axes or the names of lines
    return figure.update_layout(
        template="none", height=height, margin={"l": 8, "r": 12, "t": 26, "b": 44}, font={"size": 12.5},
        paper_bgcolor=CLEAR, plot_bgcolor=CLEAR, hovermode="closest",
        modebar={"bgcolor": CLEAR, "color": FLOOR, "activecolor": MODEL},
        showlegend=bool(figure.layout.showlegend),
        legend={"orientation": "h", "y": 1 + gap / max(height - 70, 30), "yanchor": "bottom", "x": 0},
    )  # fmt: skip
