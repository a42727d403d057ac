"""Plotly's colours, scales, marks and dashes in matplotlib's words."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize, to_rgba

from galenic.plots.palette import CATEGORIES, FLOOR

_RGB = re.compile(r"rgba?\(([^)]*)\)")
MARKS = {"circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "triangle-down": "v", "cross": "P",
         "x": "X", "star": "*", "line-ns": "|", "line-ew": "_"}  # fmt: skip
STYLES: dict[str, Any] = {"solid": "-", "dash": (0, (5, 2.5)), "dot": (0, (1.2, 1.8)), "dashdot": (0, (5, 2, 1.2, 2)),
          "longdash": (0, (8, 3))}  # fmt: skip
OPEN = "-open"


def rgba(colour: object) -> tuple[float, float, float, float]:
    """Any colour that Plotly takes as four numbers, 0 to 1.

    >>> rgba("rgba(255,0,51,0.5)")
    (1.0, 0.0, 0.2, 0.5)
    """
    found = _RGB.fullmatch(str(colour).replace(" ", ""))
    if found is None:
        r, g, b, a = to_rgba(str(colour))
        return r, g, b, a
    parts = [float(part) for part in found[1].split(",")]
    r, g, b = (part / 255 for part in parts[:3])
    return r, g, b, parts[3] if len(parts) > 3 else 1.0


def colormap(scale: Any) -> Colormap:
    """A colour scale; grey where there is no number."""
    steps = [(float(place), rgba(colour)) for place, colour in scale]
    found: Colormap = LinearSegmentedColormap.from_list("galenic", steps)
    return found.with_extremes(bad=rgba(FLOOR))


def marker_colours(trace: Any, number: int, n: int) -> tuple[np.ndarray, Normalize | None, Colormap | None]:
    """Colours of the points of a trace, ``(n, 4)``; and how numbers become colours, where they do.

    Parameters
    ----------
    trace
        Points, lines or bars.
    number
        Of the trace; it chooses a colour where none is given.
    n
        Points.
    """
    colour = trace.marker.color
    norm = cmap = None
    if colour is None or isinstance(colour, str):
        line = getattr(trace, "line", None)  # bars have none
        colour = colour or (line.color if line is not None else None) or CATEGORIES[number % len(CATEGORIES)]
        found = np.tile(rgba(colour), (n, 1))
    elif any(isinstance(one, str) for one in colour):
        found = np.array([rgba(one) for one in colour])
    else:
        values = np.array([np.nan if one is None else one for one in colour], dtype=float)
        low, high = trace.marker.cmin, trace.marker.cmax
        has_values = bool(np.isfinite(values).any())
        low = (float(np.nanmin(values)) if has_values else 0.0) if low is None else low
        high = (float(np.nanmax(values)) if has_values else 1.0) if high is None else high
        norm, cmap = Normalize(low, high), colormap(trace.marker.colorscale)
        found = cmap(norm(np.ma.masked_invalid(values)))
    found = np.array(found, dtype=float).reshape(n, 4)
    for opacity in (trace.opacity, trace.marker.opacity):
        found[:, 3] *= 1 if opacity is None else np.asarray(opacity, dtype=float)
    return found, norm, cmap


def mark_of(symbol: object) -> tuple[str, bool]:
    """Matplotlib's mark, and whether it is hollow.

    >>> mark_of("diamond-open")
    ('D', True)
    """
    name = str(symbol or "circle")
    return MARKS.get(name.removesuffix(OPEN).removesuffix("-dot"), "o"), name.endswith(OPEN)
