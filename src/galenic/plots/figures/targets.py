"""Pairs of targets: how many of the first ones are known, beside chance."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from galenic.plots.palette import FLOOR, MODEL
from galenic.plots.style import finished, label, plain_numbers


def match_curve(match: pd.DataFrame) -> go.Figure:
    """Share of known pairs among the first n, with the mean and the 95 % range of chance.

    Parameters
    ----------
    match
        ``listed, hits, expected`` and, for the band, ``low, high``; one row an n.

    Returns
    -------
    plotly.graph_objects.Figure
        Pairs across, share in percent up.
    """
    rows = match.drop_duplicates("listed")
    rows = rows[rows["listed"] > 0]
    n = rows["listed"].tolist()
    share = {
        name: (100 * rows[name] / rows["listed"]).round(2).tolist() for name in ("hits", "expected", "low", "high")
    }
    figure = go.Figure()
    figure.add_scatter(
        x=[*n, *n[::-1]], y=[*share["high"], *share["low"][::-1]], mode="lines", line={"width": 0}, fill="toself",
        fillcolor=FLOOR, opacity=0.22, name="chance, 95 %", hoverinfo="skip",
    )  # fmt: skip
    figure.add_scatter(
        x=n, y=share["expected"], mode="lines", name="chance", line={"color": FLOOR, "dash": "dash", "width": 1.5},
        hovertemplate="first %{x}: %{y:.1f} % by chance<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=n, y=share["hits"], mode="lines+markers", name="known pairs", line={"color": MODEL, "width": 2},
        marker={"size": 7}, text=[f"{hits} of {of}" for hits, of in zip(rows["hits"], n, strict=True)],
        hovertemplate="%{text} known (%{y:.1f} %)<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(title="known (%)", rangemode="tozero")
    figure.update_layout(showlegend=True)
    return finished(figure, 320, "first pairs of the ranking")


def pair_dots(pairs: pd.DataFrame) -> go.Figure:
    """Scores of pairs, one row a pair; those that are known filled.

    Parameters
    ----------
    pairs
        ``gene_a, gene_b, score``, in the order they are read; optional ``known``.
    """
    rows = pairs.iloc[::-1].reset_index(drop=True)
    names = [label(f"{one} + {other}") for one, other in zip(rows["gene_a"], rows["gene_b"], strict=True)]
    known = rows["known"].isin([True, "True"]) if "known" in rows else pd.Series(data=False, index=rows.index)
    figure = go.Figure()
    for name, chosen, symbol in (("known", known, "circle"), ("not known", ~known, "circle-open")):
        part = rows[chosen]
        if len(part):
            figure.add_scatter(
                x=plain_numbers(part["score"]), y=part.index.tolist(), mode="markers", name=name,
                text=[names[row] for row in part.index], marker={"color": MODEL, "size": 9, "symbol": symbol},
                hovertemplate="%{text}: %{x:.3f}<extra>%{fullData.name}</extra>",
            )  # fmt: skip
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=names, range=[-0.6, len(rows) - 0.4])
    figure.update_layout(showlegend="known" in rows)
    return finished(figure, 96 + 22 * len(rows), "score")
