"""Genes: effects against how sure they are, weights with their spread."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from galenic.plots.palette import FALL, FLOOR, RESISTANT, RISE, SENSITIVE
from galenic.plots.style import finished, label, mark, plain_numbers

SMALLEST = 1e-300
"""P-values below it are drawn at it."""


def effect_cloud(rows: pd.DataFrame, axis: str, doubt: str, n_named: int, level: float) -> go.Figure:
    """Effects against p-values (as -log10) or spreads, those that are told apart from none coloured.

    Parameters
    ----------
    rows
        ``gene, effect, doubt``, finite.
    axis
        What the effect is called.
    doubt
        ``"q_value"``, ``"p_value"``, scanpy's ``"pvals_adj"`` or ``"pvals"``, or a spread.
    n_named
        Genes that are named.
    level
        Up to which a p-value counts; a spread counts below half the effect.
    """
    is_p = doubt.startswith(("q_", "p_", "pvals"))
    found = rows["doubt"].astype(float)
    up = -np.log10(found.clip(lower=SMALLEST)) if is_p else found
    is_told = found <= level if is_p else rows["effect"].abs() > 2 * found
    rows = rows.assign(up=up, told=is_told)
    named = set(rows[is_told].assign(size=rows["effect"].abs()).nlargest(n_named, "size").index)
    figure = go.Figure()
    for name, part, colour, symbol in (
        ("not told apart", rows[~is_told], FLOOR, "circle"),
        ("rise", rows[is_told & (rows["effect"] > 0)], RISE, "triangle-up"),
        ("fall", rows[is_told & (rows["effect"] <= 0)], FALL, "triangle-down"),
    ):
        if part.empty:
            continue
        shown = [label(gene, 14) if one in named else "" for one, gene in zip(part.index, part["gene"], strict=True)]
        figure.add_scatter(
            x=plain_numbers(part["effect"]), y=plain_numbers(part["up"]), name=name, text=shown,
            mode="markers+text" if any(shown) else "markers", textposition="top center", textfont={"size": 10.5},
            customdata=[label(gene) for gene in part["gene"]], cliponaxis=False,
            marker={"color": colour, "size": 5 if symbol == "circle" else 7, "symbol": symbol,
                    "opacity": 0.45 if symbol == "circle" else 0.9},
            hovertemplate="%{customdata}: %{x:.3f}, %{y:.3g}<extra></extra>",
        )  # fmt: skip
    mark(figure, 0.0, FLOOR, "", "dot")
    if is_p:
        figure.add_hline(y=-np.log10(level), line={"color": FLOOR, "dash": "dash", "width": 1.5})
    figure.update_yaxes(title=f"−log10 {'q' if doubt in ('q_value', 'pvals_adj') else 'p'}" if is_p else "spread")
    figure.update_layout(showlegend=True)
    return finished(figure, 400, axis)


def weight_bars(rows: pd.DataFrame) -> go.Figure:
    """Weights of genes as bars from 0, whiskers their spread.

    Parameters
    ----------
    rows
        ``gene, weight``, optional ``spread, stability``, in the order they are read.
    """
    rows = rows.iloc[::-1]
    names = [label(gene, 24) for gene in rows["gene"]]
    spans = {}
    if "spread" in rows:
        spans = {"error_x": {"type": "data", "array": plain_numbers(rows["spread"].fillna(0)), "color": FLOOR,
                             "thickness": 1.3, "width": 3}}  # fmt: skip
    stable = [f", stability {one:.2f}" if one == one else "" for one in rows.get("stability", [np.nan] * len(rows))]
    figure = go.Figure()
    figure.add_bar(
        x=plain_numbers(rows["weight"]), y=list(range(len(rows))), orientation="h", width=0.7, customdata=stable,
        text=names, textposition="none", name="weight", **spans,
        marker={"color": [RESISTANT if weight > 0 else SENSITIVE for weight in rows["weight"]]},
        hovertemplate="%{text}: %{x:+.4f}%{customdata}<extra></extra>",
    )  # fmt: skip
    mark(figure, 0.0, FLOOR, "← sensitive · resistant →", "dot")
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=names, range=[-0.6, len(rows) - 0.4], showgrid=False)
    return finished(figure, 96 + 20 * len(rows), "weight (more of the gene, more response)")
