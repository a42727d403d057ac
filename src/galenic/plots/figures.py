"""Figures of the report, as Plotly figures that can also be shown in a notebook.

Colours are mid-tones that stand out on white and on black; backgrounds are transparent, and the page's style sheet
colours text and grid lines for light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go

MODEL, FLOOR, CEILING, OTHER = "#3b82c4", "#8a8f98", "#2e9e6b", ("#3b82c4", "#d9822b", "#8e63c7", "#2e9e6b", "#c8553d")
MORE = ("#2a9da5", "#b8548c", "#8c8526")  # where five are too few
MAX_POINTS = 2000
MAX_LINES = 4  # members that are drawn one by one; more become a band
WIDE = 10  # largest over smallest loss, from which their axis is logarithmic
PARTS = {"train": "training", "valid": "held out"}  # of the pairs, as the columns of a history begin


def label(name: object, length: int = 34) -> str:
    """Name as Plotly text: shortened, and with ``<`` and ``&`` escaped, as Plotly reads a little HTML."""
    text = str(name)
    return escape(text if len(text) <= length else text[: length - 1] + "…")


def score_dots(scores: pd.DataFrame, floors: set[str], axis: str, floor: float, ceiling: float) -> go.Figure:
    """Score of each model as a dot with its interval, with lines for the best floor and the ceiling.

    Parameters
    ----------
    scores
        ``model, value, low, high``, best first.
    floors
        Names of the models that are floors; they are grey.
    axis
        Title of the score axis.
    floor, ceiling
        Where the lines stand; NaN for none.

    Returns
    -------
    plotly.graph_objects.Figure
        One row a model.
    """
    rows = scores.iloc[::-1]
    names = [label(name, 40) for name in rows["model"]]
    figure = go.Figure()
    for is_floor, colour, title in ((False, MODEL, "model"), (True, FLOOR, "floor")):
        chosen = rows["model"].isin(floors) == is_floor
        part = rows[chosen]
        figure.add_scatter(
            x=plain_numbers(part["value"]), y=[label(name, 40) for name in part["model"]], mode="markers", name=title,
            marker={"color": colour, "size": 9, "symbol": "diamond-open" if is_floor else "circle"},
            error_x=whiskers(part, colour),
            customdata=[f" ({low:.3f} to {high:.3f})" if high - low >= 0 else ""
                        for low, high in zip(part["low"], part["high"], strict=True)],
            hovertemplate="%{y}: %{x:.3f}%{customdata}<extra></extra>",
        )  # fmt: skip
    # Their names stand apart where the lines are close.
    sides = ("left", "right") if ceiling < floor else ("right", "left")
    mark(figure, floor, FLOOR, "best floor", "dash", "center" if np.isnan(ceiling) else sides[0])
    mark(figure, ceiling, CEILING, "ceiling", "dot", "center" if np.isnan(floor) else sides[1])
    figure.update_yaxes(categoryorder="array", categoryarray=names, range=[-0.6, len(names) - 0.4])
    return finished(figure, 96 + 24 * len(names), axis)


def observed(table: pd.DataFrame, unit: str) -> go.Figure:
    """Prediction against truth with the identity line: points up to ``MAX_POINTS`` pairs, a 2-D histogram beyond.

    Parameters
    ----------
    table
        ``response`` and ``prediction``, at least one row with both.
    unit
        Name of the response, for the axes.

    Returns
    -------
    plotly.graph_objects.Figure
        Truth across, prediction up.
    """
    truth, prediction = table["response"].to_numpy(float), table["prediction"].to_numpy(float)
    ends = [float(min(truth.min(), prediction.min())), float(max(truth.max(), prediction.max()))]
    figure = go.Figure()
    if len(table) <= MAX_POINTS:
        names = [f"{label(cell)} × {label(drug)}" for cell, drug in zip(table["cell"], table["drug"], strict=True)]
        figure.add_scatter(
            x=truth.round(4), y=prediction.round(4), mode="markers", text=names,
            marker={"color": MODEL, "size": 4, "opacity": 0.5},
            hovertemplate="%{text}<br>observed %{x:.2f}, predicted %{y:.2f}<extra></extra>",
        )  # fmt: skip
    else:
        counts, edges, _ = np.histogram2d(truth, prediction, bins=72, range=[ends, ends])
        middles = ((edges[1:] + edges[:-1]) / 2).round(4)
        figure.add_heatmap(
            x=middles, y=middles, z=np.where(counts.T > 0, np.log10(np.maximum(counts.T, 1)), np.nan).round(3),
            customdata=counts.T.astype(int), colorscale=[[0, "rgba(59,130,196,0.15)"], [1, "rgba(59,130,196,1)"]],
            showscale=False, hovertemplate="observed %{x:.2f}, predicted %{y:.2f}: %{customdata} pairs<extra></extra>",
        )  # fmt: skip
    figure.add_scatter(
        x=ends, y=ends, mode="lines", line={"color": FLOOR, "dash": "dash", "width": 1.5}, hoverinfo="skip"
    )
    figure.update_xaxes(range=ends)
    figure.update_yaxes(title=f"predicted {escape(unit)}", range=ends)
    return finished(figure, 340, f"observed {escape(unit)}")


def drug_curves(by_drug: pd.DataFrame, axis: str, what: str = "drug") -> go.Figure:
    """Scores of all drugs from worst to best, one curve a split.

    Parameters
    ----------
    by_drug
        ``split`` (in plain words), ``drug``, ``value``.
    axis
        Title of the score axis.
    what
        What the drugs are called.

    Returns
    -------
    plotly.graph_objects.Figure
        Share of drugs across, score up.
    """
    figure = go.Figure()
    for (split, rows), colour in zip(by_drug.groupby("split", sort=False), OTHER * len(by_drug), strict=False):
        rows = rows.dropna(subset=["value"]).sort_values("value")
        share = 100 * (np.arange(len(rows)) + 0.5) / max(len(rows), 1)
        figure.add_scatter(
            x=share.round(2), y=plain_numbers(rows["value"]), mode="lines+markers", name=label(split),
            text=[label(drug) for drug in rows["drug"]], line={"color": colour, "width": 1}, marker={"size": 5},
            hovertemplate="%{text}: %{y:.3f}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    figure.update_yaxes(title=escape(axis))
    figure.update_layout(showlegend=True)
    return finished(figure, 360, f"{what}s, from worst to best (%)")


def forest(rows: pd.DataFrame, axis: str, reference: float) -> go.Figure:
    """Values with their intervals one below the other, and a line where there is no effect.

    Parameters
    ----------
    rows
        ``label``, ``value``, ``low``, ``high``, in the order they are read.
    axis
        Title of the value axis.
    reference
        Where the line stands: 0.5 for AUROC.

    Returns
    -------
    plotly.graph_objects.Figure
        One row a value.
    """
    rows = rows.iloc[::-1]
    names = [label(name, 40) for name in rows["label"]]
    figure = go.Figure()
    figure.add_scatter(
        x=plain_numbers(rows["value"]), y=list(range(len(rows))), mode="markers", text=names,
        marker={"color": MODEL, "size": 9, "symbol": "square"}, error_x=whiskers(rows, MODEL),
        hovertemplate="%{text}: %{x:.3f}<extra></extra>",
    )  # fmt: skip
    mark(figure, reference, FLOOR, "no effect", "dash")
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=names, range=[-0.6, len(rows) - 0.4])
    return finished(figure, 96 + 26 * len(rows), axis)


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
    colours = dict(zip(terms, (*OTHER, *MORE) * len(terms), strict=False))
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


def coverage_points(levels: pd.DataFrame) -> go.Figure:
    """Share of responses inside their intervals against the level that was asked for, with the line of equality.

    Parameters
    ----------
    levels
        ``level``, ``coverage``, ``low``, ``high``, as shares; ``low`` and ``high`` are the range over drugs, NaN for
        none.

    Returns
    -------
    plotly.graph_objects.Figure
        Level across, coverage up, both in percent.
    """
    percent = 100 * levels[["level", "coverage", "low", "high"]]
    start = max(0.0, 10 * np.floor((percent.min(axis=None) - 3) / 10))
    drugs = percent.dropna(subset=["low", "high"])
    figure = go.Figure()
    figure.add_scatter(
        x=[start, 100], y=[start, 100], mode="lines", line={"color": FLOOR, "dash": "dash", "width": 1.5},
        hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    if len(drugs):
        # Around its own middle: the coverage over all pairs may lie outside the range over drugs.
        middle, half = (drugs["low"] + drugs["high"]) / 2, (drugs["high"] - drugs["low"]) / 2
        figure.add_scatter(
            x=plain_numbers(drugs["level"]), y=plain_numbers(middle), mode="markers", name="drugs, 5 to 95 %",
            marker={"color": MODEL, "size": 9, "symbol": "line-ns-open", "opacity": 0},
            error_y={"type": "data", "array": plain_numbers(half), "color": MODEL, "thickness": 1.6, "width": 4},
            customdata=[f"{low:.1f} to {high:.1f} %" for low, high in zip(drugs["low"], drugs["high"], strict=True)],
            hovertemplate="level %{x:.3g} %: drugs %{customdata}<extra></extra>",
        )  # fmt: skip
    figure.add_scatter(
        x=plain_numbers(percent["level"]), y=plain_numbers(percent["coverage"]), mode="markers", name="all pairs",
        marker={"color": MODEL, "size": 9}, hovertemplate="level %{x:.3g} %: coverage %{y:.1f} %<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(range=[start, 102])
    figure.update_yaxes(title="coverage (%)", range=[start, 102])
    return finished(figure, 360, "nominal level (%)")


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


def plain_numbers(values: pd.Series) -> list[float | None]:
    """Numbers short enough for a page, None where one is missing."""
    return [None if np.isnan(value) else round(float(value), 5) for value in values]


def whiskers(rows: pd.DataFrame, colour: str) -> dict[str, object]:
    """Bars from ``low`` to ``high`` around ``value``."""
    above, below = (rows["high"] - rows["value"]).fillna(0), (rows["value"] - rows["low"]).fillna(0)
    return {"type": "data", "symmetric": False, "array": plain_numbers(above), "arrayminus": plain_numbers(below),
            "color": colour, "thickness": 1.6, "width": 4}  # fmt: skip


def mark(figure: go.Figure, place: float, colour: str, name: str, dash: str, anchor: str = "center") -> None:
    """A named vertical line, the name's ``anchor`` above it; none where its place is NaN."""
    if not np.isnan(place):
        figure.add_vline(
            x=place, line={"color": colour, "dash": dash, "width": 1.5}, annotation_text=name,
            annotation_position="top", annotation_font_size=11, annotation_xanchor=anchor,
        )  # fmt: skip


def finished(figure: go.Figure, height: int, axis: str) -> go.Figure:
    """The figure in the style of the page, its horizontal axis named."""
    figure.update_xaxes(title=escape(axis), automargin=True, zeroline=False)
    figure.update_yaxes(automargin=True, zeroline=False, ticks="", ticklabelstandoff=6)
    return figure.update_layout(
        template="none", height=height, margin={"l": 8, "r": 12, "t": 26, "b": 44}, font={"size": 12.5},
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", hovermode="closest",
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": FLOOR, "activecolor": MODEL},
        showlegend=bool(figure.layout.showlegend), legend={"orientation": "h", "y": 1.12, "x": 0},
    )  # fmt: skip
