"""Figures of why cells are called sensitive: importance, contributions by value, heat map, forces, deletion curves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.cluster.hierarchy import leaves_list, linkage

from galenic.plots.figures.smoothing import local_linear
from galenic.plots.palette import CONTRIBUTIONS, FLOOR, MODEL, RESISTANT, SENSITIVE, TOWARDS, VALUES
from galenic.plots.style import MAX_POINTS, add_counts, colour_bar, finished, label, plain_numbers

N_ACROSS = 300
"""Cells of a heat map."""
EDGE = 0.02
"""Quantile of the values at which an axis or a colour ends, so that a few cells do not decide it."""
OTHERS = "all other genes"
LETTER = 0.013
"""Share of a force plot's width that a letter takes; a gene is named in its bar where the name fits."""


def importance_bars(table: pd.DataFrame) -> go.Figure:
    """Importance of the first genes as bars, coloured by where more of the gene leads.

    Parameters
    ----------
    table
        ``gene, importance, toward``, in the order they are read.
    """
    rows = table.iloc[::-1]
    names = [label(gene, 24) for gene in rows["gene"]]
    figure = go.Figure()
    for toward, colour in (("sensitive", SENSITIVE), ("resistant", RESISTANT), ("neither", FLOOR)):
        part = (rows["toward"] == toward).to_numpy()
        if part.any():
            figure.add_bar(
                x=plain_numbers(rows["importance"][part]), orientation="h", name=f"more of it: {toward}",
                y=[name for name, is_here in zip(names, part, strict=True) if is_here], marker={"color": colour},
                hovertemplate="%{y}: %{x:.4f}<extra></extra>",
            )  # fmt: skip
    figure.update_yaxes(categoryorder="array", categoryarray=names, showgrid=False)
    figure.update_layout(showlegend=True, bargap=0.25)
    return finished(figure, 110 + 17 * len(names), "mean absolute contribution to the logit")


def importance_spread(table: pd.DataFrame) -> go.Figure:
    """Histogram of the importance of all genes, on a logarithmic axis."""
    sizes = table["importance"].to_numpy(float)
    logs = np.log10(sizes[sizes > 0])
    figure = go.Figure()
    counts, edges = np.histogram(logs, bins=60) if len(logs) else (np.zeros(1), np.zeros(2))
    figure.add_bar(
        x=((edges[1:] + edges[:-1]) / 2).round(3).tolist(), y=counts.tolist(), marker={"color": MODEL},
        hovertemplate="log10 about %{x:.2f}: %{y} genes<extra></extra>",
    )  # fmt: skip
    figure.update_layout(bargap=0.03)
    figure.update_yaxes(title="genes")
    return finished(figure, 330, "log10 importance")


def importance_by_rank(table: pd.DataFrame) -> go.Figure:
    """Logarithm of importance against rank: a bend tells how many genes stand out."""
    rows = table[table["importance"] > 0].sort_values("importance", ascending=False)
    keep = np.unique(np.geomspace(1, max(len(rows), 1), 400).round().astype(int)) - 1
    some = rows.iloc[keep[keep < len(rows)]]
    figure = go.Figure()
    figure.add_scatter(
        x=(keep[keep < len(rows)] + 1).tolist(), y=plain_numbers(np.log10(some["importance"])), mode="lines+markers",
        marker={"size": 4}, line={"color": MODEL, "width": 1}, text=[label(gene) for gene in some["gene"]],
        hovertemplate="%{text}, rank %{x}: %{y:.2f}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(type="log", dtick=1)
    figure.update_yaxes(title="log10 importance")
    return finished(figure, 330, "rank")


def dependence(points: pd.DataFrame, gene: str) -> go.Figure:
    """Contribution of a gene against its value, cell by cell, with a smooth curve; a joint histogram of many cells.

    Parameters
    ----------
    points
        ``value, contribution`` of each cell.
    gene
        Its name.
    """
    x, y = points["value"].to_numpy(float), points["contribution"].to_numpy(float)
    figure = go.Figure()
    if len(points) <= MAX_POINTS:
        figure.add_scatter(
            x=x.round(3), y=y.round(5), mode="markers", marker={"color": MODEL, "size": 4, "opacity": 0.4},
            hovertemplate="value %{x:.2f}: %{y:.3f}<extra></extra>", showlegend=False,
        )  # fmt: skip
    else:
        add_counts(figure, x, y, 48, None, ("value", "contribution", "cells"))
    _curve(figure, x, y, RESISTANT, "mean")
    return _axes(figure, gene)


def interaction(points: pd.DataFrame, gene: str, other: str) -> go.Figure:
    """The same, coloured by the value of another gene, with a curve for the cells that have much and little of it.

    Parameters
    ----------
    points
        ``value, contribution, other`` of each cell.
    gene, other
        Names of the gene and of the other gene.
    """
    some = points.iloc[np.linspace(0, len(points) - 1, min(len(points), MAX_POINTS)).round().astype(int)]
    low, high = (float(np.quantile(some["other"], q)) for q in (EDGE, 1 - EDGE))
    figure = go.Figure()
    figure.add_scatter(
        x=plain_numbers(some["value"]), y=plain_numbers(some["contribution"]), mode="markers", showlegend=False,
        marker={"color": plain_numbers(some["other"]), "colorscale": VALUES, "cmin": low, "cmax": high, "size": 5,
                "opacity": 0.75, "colorbar": colour_bar(other)},
        hovertemplate=f"value %{{x:.2f}}: %{{y:.3f}} ({label(other)} %{{marker.color:.2f}})<extra></extra>",
    )  # fmt: skip
    middle = float(np.median(some["other"]))
    for is_high, colour, name in ((True, VALUES[2][1], "much"), (False, VALUES[0][1], "little")):
        part = some[(some["other"] > middle) == is_high]
        _curve(figure, part["value"].to_numpy(float), part["contribution"].to_numpy(float), str(colour), name)
    return _axes(figure, gene)


def partner(wide: dict[str, pd.DataFrame], gene: str) -> str | None:
    """The gene whose value goes best with what the curve of ``gene`` leaves over; ``None`` where nothing is left.

    Parameters
    ----------
    wide
        ``value`` and ``contribution``: cells x genes.
    """
    x, y = wide["value"][gene].to_numpy(float), wide["contribution"][gene].to_numpy(float)
    places, curve = local_linear(x, y)
    if not len(places) or wide["value"].shape[1] < 2:
        return None
    left = y - np.interp(x, places, curve)
    if left.std() <= 1e-6 * max(y.std(), 1e-12):
        return None
    others = wide["value"].drop(columns=gene)
    with np.errstate(invalid="ignore"):
        # How much the rest grows with the value of the gene, more where the other gene is high.
        way = (x - x.mean()) * left
        r = [abs(np.corrcoef(column, way)[0, 1]) for column in others.to_numpy(float).T]
        r = np.nan_to_num(r)
    return str(others.columns[int(np.argmax(r))]) if max(r) > 0 else None


def contribution_map(wide: pd.DataFrame, probability: pd.Series) -> go.Figure:
    """Contributions of genes in cells as a heat map, genes and cells that are alike side by side.

    Parameters
    ----------
    wide
        Cells x genes.
    probability
        P(sensitive) of the cells, for the strip above; may be NaN.
    """
    some = wide.iloc[np.linspace(0, len(wide) - 1, min(len(wide), N_ACROSS)).round().astype(int)]
    some = some.iloc[_alike(some.to_numpy(float))]
    genes = some.columns[_alike(some.to_numpy(float).T)][::-1]
    z = some[genes].to_numpy(float).T
    edge = float(np.quantile(np.abs(z), 1 - EDGE)) or 1.0
    figure = go.Figure()
    figure.add_heatmap(
        z=z.round(4), x=list(range(len(some))), y=[label(gene, 20) for gene in genes], zmin=-edge, zmax=edge,
        colorscale=CONTRIBUTIONS, text=np.tile([label(cell) for cell in some.index], (len(genes), 1)),
        colorbar=colour_bar("contribution", 0.7),
        hovertemplate="%{y}, %{text}: %{z:.3f}<extra></extra>",
    )  # fmt: skip
    own = probability.reindex(some.index)
    if own.notna().any():
        figure.add_heatmap(
            z=[plain_numbers(own)], x=list(range(len(some))), y=["P(sensitive)"], zmin=0, zmax=1, showscale=False,
            colorscale=TOWARDS, yaxis="y2",
            hovertemplate="P(sensitive) %{z:.2f}<extra></extra>",
        )  # fmt: skip
    finished(figure, 140 + 16 * len(genes), "cells")
    top = 1 - 16 / (max(len(genes), 1) * 16 + 24)
    figure.update_layout(
        yaxis={"domain": [0, top], "showgrid": False, "tickmode": "linear", "dtick": 1, "automargin": True},
        yaxis2={"domain": [top + 0.01, 1], "showgrid": False, "automargin": True, "ticks": "", "ticklabelstandoff": 6},
    )
    return figure.update_xaxes(showticklabels=False, showgrid=False, ticks="")


def force(rows: pd.DataFrame, prediction: float, baseline: float, rest: float) -> go.Figure:
    """How contributions carry one cell from the background to its logit: those to the right and to the left meet at it.

    Parameters
    ----------
    rows
        ``gene, contribution, value`` of the genes that are shown.
    prediction, baseline
        Logits of the cell and of the background.
    rest
        Sum of the contributions of all other genes.
    """
    told = [*zip(rows["gene"], rows["contribution"], rows["value"], strict=True), (OTHERS, rest, np.nan)]
    told = sorted((one for one in told if one[1]), key=lambda one: -abs(one[1]))
    span = max(sum(abs(one[1]) for one in told), 1e-12)
    figure, ends = go.Figure(), {1: prediction, -1: prediction}
    for gene, size, value in told:
        sign = 1 if size > 0 else -1
        start = ends[sign] - max(size, 0)  # what pushes right ends at the logit, what pushes left begins there
        ends[sign] = start if sign > 0 else ends[sign] - size
        is_rest = gene == OTHERS
        with_value = "" if is_rest else f" (value {value:.2f})"
        figure.add_bar(
            x=[abs(size)], base=[start if sign > 0 else ends[sign] + size], y=[""], orientation="h", showlegend=False,
            marker={"color": SENSITIVE if sign > 0 else RESISTANT, "opacity": 0.45 if is_rest else 0.9,
                    "line": {"color": "white", "width": 1}},
            text=label(gene, 16) if abs(size) > LETTER * (len(gene[:16]) + 1) * span else "",
            textposition="inside", insidetextanchor="middle",
            textangle=0, constraintext="none", textfont={"color": "white", "size": 11},
            hovertemplate=f"{label(gene)}{with_value}: {size:+.3f}<extra></extra>",
        )  # fmt: skip
    # One above, one below: they may be close.
    middle = (ends[1] + ends[-1]) / 2
    for place, name, dash in ((baseline, "background", "dash"), (prediction, "this cell", "solid")):
        is_above, is_left = dash == "solid", place < middle
        figure.add_vline(x=place, line={"color": FLOOR, "width": 1.5, "dash": dash})
        figure.add_annotation(
            x=place, y=float(is_above), yref="paper", text=f"{name} {place:.2f}".replace("-", "−"), showarrow=False,
            yanchor="bottom", xanchor="left" if is_left else "right", xshift=4 if is_left else -4,
            yshift=-12 if is_above else 0, font={"size": 11},
        )  # fmt: skip
    figure.update_layout(barmode="overlay", bargap=0.45)
    figure.update_yaxes(showticklabels=False, showgrid=False)
    return finished(figure, 190, "logit")


def curve_pair(curves: pd.DataFrame, kind: str, score: str) -> go.Figure:
    """Score while features are taken away (or put back) in the order of importance, beside the band of random orders.

    Parameters
    ----------
    curves
        ``n_features, value, random, low, high``.
    kind
        "deletion" or "insertion".
    score
        Title of the score axis.
    """
    curves = curves.sort_values("n_features")
    x = curves["n_features"].tolist()
    figure = go.Figure()
    if curves["low"].notna().any():
        figure.add_scatter(
            x=[*x, *x[::-1]], y=plain_numbers(pd.concat([curves["high"], curves["low"][::-1]])), mode="lines",
            line={"width": 0}, fill="toself", fillcolor=FLOOR, opacity=0.22, name="random orders, 90 %",
            hoverinfo="skip",
        )  # fmt: skip
        figure.add_scatter(x=x, y=plain_numbers(curves["random"]), mode="lines", name="random orders",
                           line={"color": FLOOR, "dash": "dash", "width": 1.5}, hoverinfo="skip")  # fmt: skip
    figure.add_scatter(
        x=x, y=plain_numbers(curves["value"]), mode="lines+markers", name="most important first",
        line={"color": MODEL, "width": 2}, marker={"size": 6},
        hovertemplate="%{x} features: %{y:.3f}<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(title=score)
    figure.update_layout(showlegend=True)
    return finished(figure, 360, "features taken away" if kind == "deletion" else "features put back")


def _alike(rows: np.ndarray) -> np.ndarray:
    """An order in which rows that are alike lie side by side: leaves of an average-linkage tree."""
    if len(rows) < 3:
        return np.arange(len(rows))
    return np.asarray(leaves_list(linkage(rows, "average", optimal_ordering=len(rows) <= N_ACROSS)))


def _curve(figure: go.Figure, x: np.ndarray, y: np.ndarray, colour: str, name: str) -> None:
    places, curve = local_linear(x, y) if len(x) else (np.empty(0), np.empty(0))
    if len(places):
        figure.add_scatter(x=places.round(4), y=curve.round(5), mode="lines", line={"color": colour, "width": 2},
                           name=name, hoverinfo="skip", showlegend=False)  # fmt: skip


def _axes(figure: go.Figure, gene: str) -> go.Figure:
    figure.add_hline(y=0, line={"color": FLOOR, "width": 1, "dash": "dot"})
    figure.update_yaxes(title="contribution to the logit")
    return finished(figure, 330, f"{gene}, standardised")
