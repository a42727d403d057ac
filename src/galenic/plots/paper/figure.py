"""A whole figure for a paper."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from galenic.plots.paper.axes import dress, pair_of, place_panels
from galenic.plots.paper.colours import STYLES, mark_of, marker_colours, rgba
from galenic.plots.paper.marks import INSIDE, POINTS, Panel, add_bars, add_fields, add_points
from galenic.plots.values import plain_text

INCH = 25.4
ADDERS = {"scatter": add_points, "scattergl": add_points, "bar": add_bars, "heatmap": add_fields}
HIGHEST = 245.0
"""Millimetres of a page."""
LETTER, AXES = 0.55, 0.9
"""Mean width of a letter in sizes of the font; share of the width that is for the axes."""


def printed(figure: go.Figure, across: float, up: float | None, font_size: float) -> Figure:
    """See :func:`galenic.plots.to_matplotlib`; sizes in millimetres."""
    odd = sorted({trace.type for trace in figure.data} - set(ADDERS))
    if odd:
        raise ValueError(
            f"a printed figure is made of {', '.join(ADDERS)}; received {', '.join(odd)}. Save it as .html instead."
        )
    if up is None:
        up = min((figure.layout.height or 360) * POINTS * INCH / 72, HIGHEST)
        is_map = any(axis.scaleanchor for axis in (*figure.select_xaxes(), *figure.select_yaxes()))
        up = min(up, across) if is_map else up
    paper = Figure(figsize=(across / INCH, up / INCH), layout="constrained", dpi=150)
    panels = place_panels(figure, paper, font_size)
    for number, trace in enumerate(figure.data):
        if trace.visible in (None, True):
            ADDERS[trace.type](panels[pair_of(trace)], trace, number)
    for pair, panel in panels.items():
        dress(panel, pair, is_last=panel is list(panels.values())[-1])
        _leave_out_long_names(panel, across * 72 / INCH)
    _legend(paper, figure, font_size)
    if figure.layout.title.text:
        paper.suptitle(plain_text(figure.layout.title.text), fontsize=font_size + 1, parse_math=False)
    return paper


def _leave_out_long_names(panel: Panel, width: float) -> None:
    """Names that are longer than the bars they stand in."""
    low, high = panel.ax.get_xlim()
    for text in panel.ax.texts:
        if (text.get_gid() or "").startswith(INSIDE):
            room = float(text.get_gid().removeprefix(INSIDE)) / abs(high - low) * AXES * width
            text.set_visible(LETTER * text.get_fontsize() * len(text.get_text()) < room)


def _legend(paper: Figure, figure: go.Figure, font_size: float) -> None:
    told = [(number, trace) for number, trace in enumerate(figure.data) if trace.name and trace.showlegend is not False]
    wanted = figure.layout.showlegend
    if not told or wanted is False or (wanted is None and len(told) < 2):
        return
    names = [plain_text(trace.name) for _, trace in told]
    room = paper.get_figwidth() * 72 / (font_size * LETTER * (max(map(len, names)) + 6))
    found = paper.legend(
        [_sample(trace, number) for number, trace in told], names, loc="outside upper left", frameon=False,
        ncols=max(1, min(len(told), int(room))), fontsize=font_size, handlelength=1.8, columnspacing=1.2,
    )  # fmt: skip
    for text in found.get_texts():
        text.set_parse_math(False)


def _sample(trace: Any, number: int) -> Line2D | Patch:
    colour = tuple(marker_colours(trace, number, _count(trace))[0][0]) if trace.type != "heatmap" else (0, 0, 0, 1)
    if trace.type in ("bar", "heatmap"):
        return Patch(color=colour)
    if trace.fill == "toself":
        return Patch(facecolor=rgba(trace.fillcolor or trace.line.color)[:3], alpha=trace.opacity, linewidth=0)
    mode = trace.mode or "lines"
    symbol = trace.marker.symbol
    mark, hollow = mark_of(symbol if symbol is None or isinstance(symbol, str) else symbol[0])
    line = rgba(trace.line.color) if trace.line.color else colour
    return Line2D(
        [], [], color=line, markeredgecolor=colour, markerfacecolor="none" if hollow else colour, markeredgewidth=0.9,
        linestyle=STYLES[trace.line.dash or "solid"] if "lines" in mode else "none",
        linewidth=POINTS * (2 if trace.line.width is None else trace.line.width),
        marker=mark if "markers" in mode else "none", markersize=4,
    )  # fmt: skip


def _count(trace: Any) -> int:
    colour = trace.marker.color
    if colour is None or isinstance(colour, str):
        opacity = trace.marker.opacity
        return 1 if opacity is None or isinstance(opacity, (int, float)) else len(opacity)
    return len(colour)
