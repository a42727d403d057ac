"""The data of a figure as a tidy table."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

_BREAK, _TAG = re.compile(r"<br\s*/?>"), re.compile(r"</?[a-zA-Z][^<>]*>")


def data_of(figure: go.Figure) -> pd.DataFrame:
    """What a figure shows as a table: one row a point, bar or field.

    Parameters
    ----------
    figure
        Any figure of galenic.

    Returns
    -------
    pandas.DataFrame
        ``trace`` (as in the legend), ``x``, ``y``, and where a trace has them ``z`` (of a field), ``text`` (its name),
        ``value`` (what the colour says), ``base`` (where a bar begins), and the ends of whiskers ``x_low, x_high,
        y_low, y_high``. Rows of a figure whose axis is ticked by names have the names. The titles of the axes are in
        ``attrs["titles"]``.

    Examples
    --------
    >>> data_of(go.Figure(go.Scatter(x=[1, 2], y=[3.0, 4.0], name="A")))[["trace", "x", "y"]].to_numpy().tolist()
    [['A', 1.0, 3.0], ['A', 2.0, 4.0]]
    """
    parts = [part for number, trace in enumerate(figure.data) if len(part := _rows(figure, trace, number))]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["trace", "x", "y"])
    kept = [name for name in table if name in ("trace", "x", "y") or table[name].notna().any()]
    table = table[kept]
    table.attrs["titles"] = {
        axis: plain_text(figure.layout[f"{axis}axis"].title.text) for axis in ("x", "y")
    }  # fmt: skip
    return table


def plain_text(text: object) -> str:
    r"""Plotly text without its HTML, lines parted by a line break.

    >>> plain_text("<b>A&amp;B</b><br>p &lt; 0.05")
    'A&B\np < 0.05'
    """
    return "" if text is None else unescape(_TAG.sub("", _BREAK.sub("\n", str(text))))


def axis_of(figure: go.Figure, trace: Any, letter: str) -> Any:
    """The axis that a trace is drawn on."""
    number = (trace[f"{letter}axis"] or letter)[1:]
    return figure.layout[f"{letter}axis{number}"]


def values_of(values: Any, n: int = 0) -> np.ndarray:
    """A list of a trace as an array, None as NaN; ``n`` numbers from 0 on where the trace leaves them out."""
    if values is None:
        return np.arange(n)
    found = np.array(["" if value is None else value for value in values] if _is_text(values) else values, dtype=object)
    return found if _is_text(values) else np.array([np.nan if value is None else value for value in found], dtype=float)


def _is_text(values: Any) -> bool:
    return any(isinstance(value, str) for value in values)


def _rows(figure: go.Figure, trace: Any, number: int) -> pd.DataFrame:
    name = plain_text(trace.name) or f"{number + 1}"
    if trace.type == "heatmap":
        return _fields(trace).assign(trace=name)[lambda table: ["trace", *table.columns.drop("trace")]]
    n = max(len(values) for values in (trace.x, trace.y) if values is not None) if _has_points(trace) else 0
    columns: dict[str, Any] = {"trace": [name] * n}
    for letter in ("x", "y"):
        values = values_of(trace[letter], n)
        columns[letter] = _named(values, axis_of(figure, trace, letter))
        columns |= _whiskers(trace, letter, values)
    more = {"text": trace.text, "value": _colours(trace), "base": trace["base"] if trace.type == "bar" else None}
    for column, values in more.items():
        if isinstance(values, (list, tuple, np.ndarray)) and len(values) == n:
            columns[column] = [plain_text(one) if isinstance(one, str) else one for one in values]
    return pd.DataFrame(columns)


def _has_points(trace: Any) -> bool:
    return any(values is not None and len(values) for values in (trace.x, trace.y))


def _colours(trace: Any) -> Any:
    colours = trace.marker.color
    return None if colours is None or isinstance(colours, str) or _is_text(colours) else colours


def _fields(trace: Any) -> pd.DataFrame:
    z = np.array([[np.nan if value is None else value for value in row] for row in trace.z], dtype=float)
    x, y = values_of(trace.x, z.shape[1]), values_of(trace.y, z.shape[0])
    columns = {"x": np.tile(x, len(y)), "y": np.repeat(y, len(x)), "z": z.ravel()}
    if isinstance(trace.text, (list, tuple, np.ndarray)) and np.shape(trace.text) == z.shape:
        columns["text"] = np.ravel(trace.text)
    table = pd.DataFrame({name: _unescaped(values) for name, values in columns.items()})
    return table.dropna(subset=["z"], ignore_index=True)


def _named(values: np.ndarray, axis: Any) -> np.ndarray | list[str]:
    """The names of an axis' ticks in place of its numbers, where every value has one."""
    if axis.ticktext is not None and axis.tickvals is not None and values.dtype != object:
        names = dict(zip(map(float, axis.tickvals), axis.ticktext, strict=False))
        if set(values.tolist()) <= set(names):
            return [plain_text(names[value]) for value in values.tolist()]
    return _unescaped(values)


def _unescaped(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "OU":
        return values
    return np.array([plain_text(value) for value in values], dtype=object)


def _whiskers(trace: Any, letter: str, values: np.ndarray) -> dict[str, np.ndarray]:
    bar = trace[f"error_{letter}"]
    if bar is None or bar.array is None or values.dtype == object:
        return {}
    above = values_of(bar.array)
    below = above if bar.arrayminus is None else values_of(bar.arrayminus)
    return {f"{letter}_low": values - below, f"{letter}_high": values + above}
