"""Axes of a figure on matplotlib: panels, titles, ranges, ticks, lines and notes."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, MultipleLocator, NullFormatter, NullLocator
from matplotlib.transforms import blended_transform_factory

from galenic.plots.palette import GREY
from galenic.plots.paper.colours import STYLES, rgba
from galenic.plots.paper.marks import POINTS, Panel, Places
from galenic.plots.values import plain_text, values_of

Pair = tuple[str, str]
MOST_NAMES = 60
"""Names along an axis; of more, some are left out."""
BESIDE = {"left": "left", "right": "right", "center": "center", "auto": "center"}
ABOVE = {"top": "top", "bottom": "bottom", "middle": "center", "auto": "center"}


def pair_of(trace: Any) -> Pair:
    """The axes that a trace is drawn on, as ``("x", "y2")``."""
    return trace.xaxis or "x", trace.yaxis or "y"


def layout_axis(figure: go.Figure, name: str) -> Any:
    """The axis called ``x``, ``y2``, ..."""
    return figure.layout[f"{name[0]}axis{name[1:]}"]


def place_panels(figure: go.Figure, paper: Any, font_size: float) -> dict[Pair, Panel]:
    """Panels below each other, each as high as its share of the figure."""
    pairs = list(dict.fromkeys(map(pair_of, figure.data))) or [("x", "y")]
    starts = {pair: layout_axis(figure, pair[1]).domain or (0, 1) for pair in pairs}
    pairs.sort(key=lambda pair: -starts[pair][0])
    heights = [starts[pair][1] - starts[pair][0] for pair in pairs]
    grid = paper.add_gridspec(len(pairs), 1, height_ratios=heights, hspace=0.02)
    panels: dict[Pair, Panel] = {}
    for row, pair in enumerate(pairs):
        beside = next((panel.ax for other, panel in panels.items() if other[0] == pair[0]), None)
        ax = paper.add_subplot(grid[row, 0], sharex=beside)
        panels[pair] = Panel(ax, figure, Places(_names(figure, pair[0]), _names(figure, pair[1])), font_size)
    return panels


def _names(figure: go.Figure, axis: str) -> dict[str, int]:
    """Numbers of the names on an axis, in the order Plotly gives them; nothing for an axis of numbers."""
    values = [values_of(trace[axis[0]]) for trace in figure.data
              if trace[axis[0]] is not None and (trace[f"{axis[0]}axis"] or axis[0]) == axis]  # fmt: skip
    if not any(part.dtype == object for part in values):
        return {}
    first = [str(name) for name in layout_axis(figure, axis).categoryarray or ()]
    names = dict.fromkeys([*first, *(str(value) for part in values for value in part)])
    return {name: number for number, name in enumerate(names)}


def dress(panel: Panel, pair: Pair, is_last: bool) -> None:
    """Titles, scales, ranges and ticks, then lines and notes over the points."""
    ax = panel.ax
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_linewidth(0.6)
    ax.tick_params(labelsize=panel.font_size, length=2.5, width=0.6)
    ax.set_axisbelow(True)
    _reach_lines(panel, pair)
    for name in pair:
        _axis(panel, name, is_last or name[0] == "y")
    across, up = (layout_axis(panel.figure, name) for name in pair)
    if up.scaleanchor or across.scaleanchor:
        ax.set_aspect("equal", adjustable="box")
    for shape in panel.figure.layout.shapes:
        _shape(panel, pair, shape)
    for note in panel.figure.layout.annotations:
        _note(panel, pair, note)


def _reach_lines(panel: Panel, pair: Pair) -> None:
    """Axes without a range reach the lines that stand on them, as Plotly's do."""
    for letter, own in zip("xy", pair, strict=True):
        ends = [shape[f"{letter}{end}"] for shape in panel.figure.layout.shapes if shape[f"{letter}ref"] == own
                for end in (0, 1)]  # fmt: skip
        if ends:
            getattr(panel.ax.dataLim, f"update_from_data_{letter}")(ends, ignore=False)
    panel.ax.autoscale_view()


def _axis(panel: Panel, name: str, is_labelled: bool) -> None:
    letter, axis = name[0], layout_axis(panel.figure, name)
    ax, own = panel.ax, getattr(panel.ax, f"{name[0]}axis")
    is_log = axis.type == "log"
    if is_log:
        getattr(ax, f"set_{letter}scale")("log")
    getattr(ax, f"set_{letter}label")(plain_text(axis.title.text) if is_labelled else "",
                                      fontsize=panel.font_size, parse_math=False)  # fmt: skip
    if axis.range is not None:
        ends = [None if end is None else 10**end if is_log else end for end in axis.range]
        getattr(ax, f"set_{letter}lim")(*ends)
    elif names := getattr(panel.places, letter):
        getattr(ax, f"set_{letter}lim")(-0.5, len(names) - 0.5)
    elif axis.rangemode == "tozero":
        low, high = getattr(ax, f"get_{letter}lim")()
        getattr(ax, f"set_{letter}lim")(min(low, 0), max(high, 0))
    elif axis.autorange == "reversed":
        own.set_inverted(True)
    _ticks(panel, own, axis, letter, is_log)
    if axis.showgrid is not False and not axis.ticktext and not getattr(panel.places, letter):
        own.grid(True, color=rgba(GREY)[:3], alpha=0.2, linewidth=0.5)
    if axis.showticklabels is False or not is_labelled:
        ax.spines["left" if letter == "y" else "bottom"].set_visible(axis.showticklabels is not False)
        ax.tick_params(axis=letter, which="both", length=0, **{f"label{'left' if letter == 'y' else 'bottom'}": False})


def _ticks(panel: Panel, own: Any, axis: Any, letter: str, is_log: bool) -> None:
    names = getattr(panel.places, letter)
    if axis.tickvals is not None:
        places = panel.places.at(letter, values_of(axis.tickvals))
        own.set_ticks(places)
        own.set_minor_locator(NullLocator())
        texts = axis.ticktext if axis.ticktext is not None else [f"{place:g}" for place in places]
        _tick_names(own, texts)
    elif names:
        every = -(-len(names) // MOST_NAMES)
        own.set_ticks(list(names.values())[::every])
        _tick_names(own, list(names)[::every])
    elif is_log:
        own.set_major_locator(LogLocator(subs=(1, 2, 5) if axis.dtick == "D2" else (1,)))
        own.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        own.set_minor_formatter(NullFormatter())
    elif isinstance(axis.dtick, (int, float)):
        own.set_major_locator(MultipleLocator(axis.dtick))
    else:
        own.set_major_locator(MaxNLocator(axis.nticks or 6, steps=[1, 2, 2.5, 5, 10]))
    if (axis.ticktext is not None or names) and letter == "y":
        own.set_tick_params(length=0)


def _tick_names(own: Any, texts: Any) -> None:
    own.set_ticklabels([plain_text(text) for text in texts], parse_math=False)
    for shown, text in zip(own.get_ticklabels(), texts, strict=True):
        if str(text).startswith("<b>"):
            shown.set_fontweight("bold")


def _placed(panel: Panel, pair: Pair, one: Any) -> Any | None:
    """How the coordinates of a line or note are read; ``None`` where it belongs to another panel."""
    ax, ways = panel.ax, []
    for letter, own in zip("xy", pair, strict=True):
        reference = one[f"{letter}ref"] or letter
        if reference.split()[0] not in (own, "paper"):
            return None
        ways.append(ax.transData if reference == own else ax.transAxes)
    return blended_transform_factory(*ways)


def _shape(panel: Panel, pair: Pair, shape: Any) -> None:
    way = _placed(panel, pair, shape)
    if way is None:
        return
    line = shape.line
    style = {"transform": way, "alpha": shape.opacity, "linewidth": POINTS * (2 if line.width is None else line.width),
             "linestyle": STYLES.get(line.dash or "solid"), "zorder": 1 if shape.layer == "below" else 1.9}  # fmt: skip
    if shape.type == "line":
        colour = rgba(line.color or GREY)
        panel.ax.add_artist(Line2D([shape.x0, shape.x1], [shape.y0, shape.y1], color=colour, **style))
    elif shape.type == "rect":
        face = rgba(shape.fillcolor) if shape.fillcolor else "none"
        edge = rgba(line.color) if line.color else "none"
        size = (shape.x1 - shape.x0, shape.y1 - shape.y0)
        panel.ax.add_patch(Rectangle((shape.x0, shape.y0), *size, facecolor=face, edgecolor=edge, **style))


def _note(panel: Panel, pair: Pair, note: Any) -> None:
    way = _placed(panel, pair, note)
    if way is None:
        return
    at = [10**value if layout_axis(panel.figure, own).type == "log" and note[f"{letter}ref"] == own else value
          for letter, own, value in zip("xy", pair, (note.x, note.y), strict=True)]  # fmt: skip
    style: dict[str, Any] = {
        "xycoords": way, "fontsize": panel.font_size - 0.5, "annotation_clip": False, "parse_math": False,
        "ha": BESIDE[note.xanchor or "auto"], "va": ABOVE[note.yanchor or "auto"],
    }  # fmt: skip
    shift = POINTS * np.array([note.xshift or 0, note.yshift or 0])
    if note.showarrow is False:
        panel.ax.annotate(plain_text(note.text), at, shift, textcoords="offset points", **style)
        return
    arrow = {"arrowstyle": "-", "linewidth": POINTS * (note.arrowwidth or 1), "shrinkA": 1, "shrinkB": 2,
             "color": rgba(note.arrowcolor or GREY)}  # fmt: skip
    if note.axref in (None, "pixel"):
        place, coordinates = POINTS * np.array([note.ax or 0, -(note.ay or 0)]), "offset points"
    else:
        place, coordinates = np.array([note.ax, note.ay]), "data"
    panel.ax.annotate(plain_text(note.text), at, place, textcoords=coordinates, arrowprops=arrow, **style)
