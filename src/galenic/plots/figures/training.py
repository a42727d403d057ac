"""Training: losses over epochs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from galenic.plots.palette import colours_of
from galenic.plots.style import finished, label, plain_numbers

MAX_LINES = 4  # members that are drawn one by one; more become a band
WIDE = 10  # largest over smallest loss, from which their axis is logarithmic
PARTS = {"train": "training", "valid": "held out"}  # of the pairs, as the columns of a history begin


def loss_curves(losses: pd.DataFrame, terms: Sequence[str]) -> go.Figure:
    """Losses over epochs: a colour a term, training solid and held-out pairs dashed, the mean over members on top.

    Parameters
    ----------
    losses
        ``term, part, member, epoch, value``, part ``"train"`` or ``"valid"``; finite values.
    terms
        The terms of all stages, in one order, so that a term has one colour in all figures.

    Returns
    -------
    plotly.graph_objects.Figure
        Epochs across, loss up; logarithmic where the losses are positive and differ by more than ``WIDE``.
    """
    figure = go.Figure()
    colours = colours_of(terms)
    curves = list(losses.groupby(["term", "part"], sort=False))
    for (term, _), rows in curves:
        _members(figure, rows, colours[term])
    for (term, part), rows in curves:
        mean = rows.groupby("epoch")["value"].mean()
        is_first = not any(trace.showlegend for trace in figure.data if trace.legendgroup == term)
        figure.add_scatter(
            x=mean.index.tolist(), y=plain_numbers(mean), mode="lines", name=label(term), legendgroup=term,
            showlegend=is_first, line={"color": colours[term], "width": 2, "dash": _dash(part)},
            hovertemplate=f"epoch %{{x}}: %{{y:.4g}}<extra>%{{fullData.name}}, {PARTS[part]}</extra>",
        )  # fmt: skip
    low, high = losses["value"].min(), losses["value"].max()
    figure.update_yaxes(title="loss")
    if low > 0 and high > WIDE * low:
        figure.update_yaxes(type="log", dtick="D2" if high < 1000 * low else None, tickformat="~g")  # 1, 2 and 5
    n_epochs = int(losses["epoch"].max())
    figure.update_xaxes(range=[1, n_epochs], dtick=1 if n_epochs <= 10 else None)
    figure.update_layout(showlegend=True)
    return finished(figure, 340, "epoch")


def losses_of(history: pd.DataFrame) -> pd.DataFrame:
    """The losses of one stage, one a row; a total of one term is that term and is left out.

    Parameters
    ----------
    history
        ``member``, ``epoch`` and losses: ``train_total``, ``train_<term>``, ..., ``valid_total``, ``valid_<term>``, ...

    Returns
    -------
    pandas.DataFrame
        ``term, part, member, epoch, value`` of the losses that are finite.

    Examples
    --------
    >>> losses_of(pd.DataFrame({"member": [0], "epoch": [1], "train_total": [0.5], "train_fit": [0.5], "lr": [0.1]}))
      term   part  member  epoch  value
    0  fit  train       0      1    0.5
    """
    columns = [name for name in history if name.partition("_")[0] in PARTS and name.partition("_")[2]]
    table = history.melt(["member", "epoch"], columns, "column", "value")
    table = table[np.isfinite(table["value"].astype(float))]
    names = [column.partition("_") for column in table["column"]]
    table = table.assign(part=[part for part, _, _ in names], term=[term for _, _, term in names])
    terms = table.groupby("part")["term"].agg(frozenset)
    if all(len(found) == 2 and "total" in found for found in terms):
        table = table[table["term"] != "total"]
    return table[["term", "part", "member", "epoch", "value"]].reset_index(drop=True)


def _members(figure: go.Figure, rows: pd.DataFrame, colour: str) -> None:
    """Add the single members of one curve as thin lines, or what they span as a band; nothing for one member."""
    members = rows["member"].nunique()
    term, part = rows["term"].iloc[0], rows["part"].iloc[0]
    style = {"mode": "lines", "legendgroup": term, "showlegend": False, "hoverinfo": "skip"}
    if 1 < members <= MAX_LINES:
        for _, one in rows.groupby("member", sort=False):
            line = {"color": colour, "width": 1, "dash": _dash(part)}
            figure.add_scatter(x=one["epoch"].tolist(), y=plain_numbers(one["value"]), line=line, opacity=0.4, **style)
    elif members > MAX_LINES:
        span = rows.groupby("epoch")["value"].agg(["min", "max"])
        around = pd.concat([span["max"], span["min"].iloc[::-1]])
        figure.add_scatter(
            x=around.index.tolist(), y=plain_numbers(around), line={"width": 0}, fill="toself", fillcolor=colour,
            opacity=0.18, **style,
        )  # fmt: skip


def _dash(part: str) -> str:
    return "solid" if part == "train" else "dash"
