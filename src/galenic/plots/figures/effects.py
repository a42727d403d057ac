"""Figures of one predicted effect: size against steadiness, and the largest effects as bars."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from galenic.plots.palette import FALL, FLOOR, RISE
from galenic.plots.style import finished, label, plain_numbers

N_NAMED = 3
"""Genes on either side that are named."""


def volcano(genes: pd.DataFrame, n: int = 20) -> go.Figure:
    """Effect of each gene against how large it is beside its spread between contexts.

    Parameters
    ----------
    genes
        ``gene, effect, steadiness``, the largest effect first.
    n
        Genes that are coloured: those with the largest effects.

    Returns
    -------
    plotly.graph_objects.Figure
        Orange rises, blue falls; the ``N_NAMED`` first of either side are named.
    """
    top = np.arange(len(genes)) < n
    kinds = (
        ("other genes", ~top, FLOOR, "circle-open", 6),
        ("raised", top & (genes["effect"] > 0), RISE, "triangle-up", 9),
        ("lowered", top & (genes["effect"] < 0), FALL, "triangle-down", 9),
    )
    figure = go.Figure()
    for name, chosen, colour, symbol, size in kinds:
        rows = genes[chosen]
        if rows.empty:
            continue
        named = [label(gene, 14) if place < N_NAMED and name != "other genes" else ""
                 for place, gene in enumerate(rows["gene"])]  # fmt: skip
        figure.add_scatter(
            x=plain_numbers(rows["effect"]), y=plain_numbers(rows["steadiness"]), mode="markers+text", name=name,
            text=named, textposition="top center", textfont={"size": 11}, hovertext=[label(g) for g in rows["gene"]],
            marker={"color": colour, "symbol": symbol, "size": size, "opacity": 0.85}, cliponaxis=False,
            hovertemplate="%{hovertext}<br>effect %{x:+.3f}, %{y:.2f} times its spread<extra></extra>",
        )  # fmt: skip
    figure.add_vline(x=0, line={"color": FLOOR, "width": 1, "dash": "dash"})
    figure.update_yaxes(title="size beside its spread", rangemode="tozero")
    figure.update_layout(showlegend=True)
    return finished(figure, 400, "predicted effect (difference of logs)")


def effect_bars(genes: pd.DataFrame, n: int = 20) -> go.Figure:
    """Largest effects as bars: where nothing tells how they vary between contexts.

    Parameters
    ----------
    genes
        ``gene, effect``, the largest first.
    n
        Bars.
    """
    rows = genes.head(n).iloc[::-1]
    figure = go.Figure()
    figure.add_bar(
        x=plain_numbers(rows["effect"]), y=[label(gene, 18) for gene in rows["gene"]], orientation="h", width=0.7,
        marker={"color": [RISE if value > 0 else FALL for value in rows["effect"]]},
        hovertemplate="%{y}: %{x:+.3f}<extra></extra>",
    )  # fmt: skip
    return finished(figure, 96 + 22 * len(rows), "predicted effect (difference of logs)")
