"""Traces of a figure on matplotlib axes: points, lines, areas, whiskers, bars and fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from galenic.plots.paper.colours import STYLES, colormap, mark_of, marker_colours, rgba
from galenic.plots.values import plain_text, values_of

POINTS = 0.6
"""Printed points (1/72 inch) for a pixel of the screen."""
MOST_FIELDS = 4000
"""Fields of a heat map that are drawn one by one; of more, a picture is embedded."""
INSIDE = "inside a bar of "
SIDES = {"left": ("right", -1.0), "right": ("left", 1.0), "top": ("bottom", 1.0), "bottom": ("top", -1.0)}


@dataclass(frozen=True)
class Places:
    """Where names stand on the axes of a panel; empty for an axis of numbers."""

    x: dict[str, int]
    y: dict[str, int]

    def at(self, letter: str, values: np.ndarray) -> np.ndarray:
        """Values of one axis as numbers."""
        names = self.x if letter == "x" else self.y
        if not names:
            return np.asarray(values, dtype=float)
        return np.array([names.get(str(value), np.nan) for value in values], dtype=float)


@dataclass(frozen=True)
class Panel:
    """Matplotlib axes, the figure that is drawn on them, where names stand, and the size of text."""

    ax: Any
    figure: go.Figure
    places: Places
    font_size: float


def add_points(panel: Panel, trace: Any, number: int) -> None:
    """Points, lines or an area, with their whiskers and names."""
    n = max((len(values) for values in (trace.x, trace.y) if values is not None), default=0)
    if not n:
        return
    x, y = (panel.places.at(letter, values_of(trace[letter], n)) for letter in ("x", "y"))
    mode = trace.mode or ("lines+markers" if n < 20 else "lines")
    colours, norm, cmap = marker_colours(trace, number, n)
    order = 2 + number / 100
    if trace.fill == "toself":
        face = rgba(trace.fillcolor or trace.line.color)
        panel.ax.fill(x, y, facecolor=face[:3], alpha=face[3] * _opacity(trace), linewidth=0, zorder=order)
    elif "lines" in mode and trace.line.width != 0:
        line = rgba(trace.line.color) if trace.line.color else colours[0]
        panel.ax.plot(
            x, y, color=line[:3], alpha=line[3] * _opacity(trace), linestyle=STYLES.get(trace.line.dash or "solid"),
            linewidth=POINTS * _given(trace.line.width, 2.0), zorder=order,
        )  # fmt: skip
    _whiskers(panel.ax, trace, x, y, colours[0], order)
    if "markers" in mode:
        _marks(panel.ax, trace, x, y, colours, order)
    if "text" in mode and trace.text is not None:
        _names(panel, trace, x, y)
    bar = trace.marker.colorbar
    if norm is not None and trace.marker.showscale is not False and bar.to_plotly_json():
        _colour_bar(panel, norm, cmap, bar)


def add_bars(panel: Panel, trace: Any, number: int) -> None:
    """Bars, upright or lying, side by side or on each other."""
    flat = trace.orientation == "h"
    along, across = ("x", "y") if flat else ("y", "x")
    sizes = values_of(trace[along])
    if not len(sizes):
        return
    places = panel.places.at(across, values_of(trace[across], len(sizes)))
    base = np.zeros(len(sizes)) if trace.base is None else values_of(np.atleast_1d(trace.base))
    offset, thick = _slots(panel, trace, across, places)
    base = base + _below(panel, trace, along, across, places, sizes)
    colours, _, _ = marker_colours(trace, number, len(sizes))
    edge = trace.marker.line
    style = {"color": colours, "zorder": 2 + number / 100, "linewidth": POINTS * _given(edge.width, 0.0),
             "edgecolor": rgba(edge.color) if edge.color else "none"}  # fmt: skip
    if flat:
        panel.ax.barh(places + offset, sizes, height=thick, left=base, **style)
    else:
        panel.ax.bar(places + offset, sizes, width=thick, bottom=base, **style)
    middles, ends = places + offset, base + sizes
    x, y = (ends, middles) if flat else (middles, ends)
    _whiskers(panel.ax, trace, x, y, (0.0, 0.0, 0.0, 1.0), 4)
    if trace.textposition != "none" and trace.text is not None:
        text = [trace.text] * len(sizes) if isinstance(trace.text, str) else trace.text
        for place, size, start, one in zip(places, sizes, base, text, strict=True):
            at = (start + size / 2, place) if flat else (place, start + size / 2)
            panel.ax.text(*at, plain_text(one), ha="center", va="center", parse_math=False, zorder=5,
                          fontsize=panel.font_size - 0.5, color=trace.textfont.color or "black",
                          gid=f"{INSIDE}{size if flat else 'inf'}")  # fmt: skip


def add_fields(panel: Panel, trace: Any, number: int) -> None:
    """A heat map; fields without a number stay empty."""
    z = np.array([[np.nan if value is None else value for value in row] for row in trace.z], dtype=float)
    x = panel.places.at("x", values_of(trace.x, z.shape[1]))
    y = panel.places.at("y", values_of(trace.y, z.shape[0]))
    known = z[np.isfinite(z)]
    ends = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    norm = Normalize(_given(trace.zmin, ends[0]), _given(trace.zmax, ends[1]))
    mesh = panel.ax.pcolormesh(
        _edges(x), _edges(y), np.ma.masked_invalid(z), cmap=colormap(trace.colorscale).with_extremes(bad=(0, 0, 0, 0)),
        norm=norm, rasterized=z.size > MOST_FIELDS, zorder=1.5 + number / 100,
    )  # fmt: skip
    if trace.showscale is not False:
        _colour_bar(panel, norm, mesh.cmap, trace.colorbar)


def _marks(ax: Any, trace: Any, x: np.ndarray, y: np.ndarray, colours: np.ndarray, order: float) -> None:
    n, symbol, edge = len(x), trace.marker.symbol, trace.marker.line
    symbols = np.array([symbol] * n if symbol is None or isinstance(symbol, str) else symbol, dtype=object)
    sizes = np.broadcast_to(np.asarray(_given(trace.marker.size, 6.0), dtype=float), n)
    for name in dict.fromkeys(symbols):
        mark, hollow = mark_of(name)
        here = symbols == name
        width = POINTS * _given(edge.width, 1.6 if hollow else 0.0)
        own = rgba(edge.color) if isinstance(edge.color, str) and not hollow else colours[here]
        faces = {"facecolors": "none" if hollow else colours[here], "edgecolors": own if width else "none"}
        ax.scatter(
            x[here], y[here], s=(POINTS * sizes[here]) ** 2, marker=mark, linewidths=width, zorder=order + 0.005,
            **({"c": colours[here]} if mark in "|_" else faces),
        )  # fmt: skip


def _whiskers(ax: Any, trace: Any, x: np.ndarray, y: np.ndarray, colour: Any, order: float) -> None:
    for letter in ("x", "y"):
        bar = trace[f"error_{letter}"]
        if bar is None or bar.array is None:
            continue
        above = values_of(bar.array)
        below = above if bar.arrayminus is None else values_of(bar.arrayminus)
        ends = np.nan_to_num(np.stack([below, above]))
        ax.errorbar(
            x, y, fmt="none", ecolor=rgba(bar.color) if bar.color else tuple(colour), zorder=order,
            elinewidth=POINTS * _given(bar.thickness, 1.6), capthick=POINTS * _given(bar.thickness, 1.6),
            capsize=POINTS * _given(bar.width, 4) * 0.7, **{f"{letter}err": ends},
        )  # fmt: skip


def _names(panel: Panel, trace: Any, x: np.ndarray, y: np.ndarray) -> None:
    words = str(trace.textposition or "middle center").split()
    shift, align = [0.0, 0.0], {"ha": "center", "va": "center"}
    for word in words:
        if word in SIDES:
            side, way = SIDES[word]
            is_across = word in ("left", "right")
            align["ha" if is_across else "va"] = side
            shift[0 if is_across else 1] = way * 3
    text = [trace.text] * len(x) if isinstance(trace.text, str) else trace.text
    for one, *at in zip(text, x, y, strict=True):
        panel.ax.annotate(plain_text(one), at, shift, textcoords="offset points", parse_math=False,
                          fontsize=panel.font_size - 0.5, annotation_clip=False, **align)  # fmt: skip


def _slots(panel: Panel, trace: Any, across: str, places: np.ndarray) -> tuple[float, float]:
    """How far the bars of a trace stand from their places, and how thick they are: as Plotly does it."""
    bars = [one for one in panel.figure.data if one.type == "bar"]
    of_each = [panel.places.at(across, values_of(one[across], len(_sizes(one)))) for one in bars]
    taken = np.concatenate(of_each)
    steps = np.diff(np.unique(taken[np.isfinite(taken)]))
    step = float(steps.min()) if len(steps) else 1.0
    thick = step * (1 - _given(panel.figure.layout.bargap, 0.2))
    together = (panel.figure.layout.barmode or "group") == "group" and len(np.unique(taken)) < len(taken)
    if together:
        thick /= len(bars)
        offset = (next(number for number, one in enumerate(bars) if one is trace) - (len(bars) - 1) / 2) * thick
    return (offset if together else 0.0), float(_given(trace.width, thick))


def _below(panel: Panel, trace: Any, along: str, across: str, places: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """What the traces before pile up to, where bars stand on each other."""
    piled = np.zeros(len(places))
    if panel.figure.layout.barmode not in ("stack", "relative"):
        return piled
    for other in panel.figure.data:
        if other is trace:
            break
        if other.type == "bar":
            known = dict(zip(panel.places.at(across, values_of(other[across])), values_of(other[along]), strict=True))
            before = np.array([known.get(place, 0.0) for place in places])
            piled += np.where(np.sign(before) == np.sign(sizes), before, np.where(sizes == 0, before, 0.0))
    return piled


def _sizes(trace: Any) -> Any:
    found = trace.x if trace.orientation == "h" else trace.y
    return [] if found is None else found


def _colour_bar(panel: Panel, norm: Normalize, cmap: Any, bar: Any) -> None:
    found = panel.ax.figure.colorbar(
        ScalarMappable(norm, cmap), ax=panel.ax, shrink=_given(bar.len, 0.8), aspect=22, pad=0.02
    )
    found.outline.set_visible(False)
    found.ax.tick_params(labelsize=panel.font_size - 0.5, length=2, width=0.5)
    found.set_label(plain_text(bar.title.text), fontsize=panel.font_size, parse_math=False)


def _edges(middles: np.ndarray) -> np.ndarray:
    if len(middles) < 2:
        return np.array([middles[0] - 0.5, middles[0] + 0.5])
    inner = (middles[1:] + middles[:-1]) / 2
    return np.concatenate([[2 * middles[0] - inner[0]], inner, [2 * middles[-1] - inner[-1]]])


def _opacity(trace: Any) -> float:
    return float(_given(trace.opacity, 1.0))


def _given(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value
