"""What a figure shows, in words: for those who do not see it."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from galenic.data.numbers import as_numbers
from galenic.plots.values import data_of, plain_text

FEW = 12
"""Points that are told one by one."""
MOST = 6
"""Series that are told of."""


def described(figure: go.Figure) -> str:
    """The gist of a figure: its axes, its points where they are few, else how many there are and what they span.

    Parameters
    ----------
    figure
        Any figure of galenic.

    Returns
    -------
    str
        One or a few sentences, without markup.

    Examples
    --------
    >>> figure = go.Figure(go.Scatter(x=[1.5, 1.2], y=["Mean", "Ridge"], name="model"), {"xaxis.title.text": "RMSE"})
    >>> described(figure)  # the last row stands on top
    'Across: RMSE. Of model: Ridge 1.2, Mean 1.5. The CSV below has the numbers.'
    >>> described(go.Figure(go.Scatter(x=list(range(20)), y=list(range(20)), name="pairs")))
    'Of pairs: 20 points, from 0 to 19 across and from 0 to 19 up. The CSV below has the numbers.'
    """
    table = data_of(figure)
    axes = [(words, plain_text(figure.layout[f"{axis}axis"].title.text)) for words, axis in AXES]
    said = [f"{words}: {title.replace(chr(10), ' ')}." for words, title in axes if title]
    parts = list(table.groupby("trace", sort=False))
    said += [f"Of {str(name).strip() or 'all'}: {_series(rows)}." for name, rows in parts[:MOST] if len(rows)]
    if len(parts) > MOST:
        said.append(f"{len(parts) - MOST} more series.")
    return " ".join([*said, "The CSV below has the numbers."])


AXES = (("Across", "x"), ("Up", "y"))


def _series(rows: pd.DataFrame) -> str:
    numbers = {axis: as_numbers(rows[axis]) for axis in ("x", "y")}
    name_of = next((axis for axis in ("y", "x") if numbers[axis].isna().all() and rows[axis].notna().all()), None)
    if name_of is not None and len(rows) <= FEW and "z" not in rows.dropna(axis=1, how="all"):
        order = slice(None, None, -1 if name_of == "y" else 1)  # rows are drawn from below
        values = numbers["x" if name_of == "y" else "y"].iloc[order]
        names = rows[name_of].iloc[order]
        return ", ".join(f"{name} {_short(value)}" for name, value in zip(names, values, strict=True))
    spans = [f"from {_short(it.min())} to {_short(it.max())} {where}" for where, it in
             (("across", numbers["x"]), ("up", numbers["y"])) if it.notna().any()]  # fmt: skip
    field = rows["z"].dropna().astype(float) if "z" in rows else pd.Series(dtype=float)
    spans += [f"values from {_short(field.min())} to {_short(field.max())}"] if len(field) else []
    what = "field" if len(field) else "point"
    return f"{len(rows):,} {what}{'' if len(rows) == 1 else 's'}" + (f", {' and '.join(spans)}" if spans else "")


def _short(value: float) -> str:
    return "without a value" if value != value else f"{value:.3g}".replace("-", "−")
