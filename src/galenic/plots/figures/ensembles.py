"""Figures of an ensemble: how latents go together, how many clusters are stable, what comes back with other seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from galenic.plots.figures.scores import score_dots
from galenic.plots.palette import DIVERGING, FLOOR, MODEL
from galenic.plots.style import colour_bar, finished, label, plain_numbers

MOST_TICKS = 18
MOST_LINES = 60
SIDE = 470
ENSEMBLE = "ensemble"


def link_map(links: pd.DataFrame) -> go.Figure:
    """Correlations of latents as a heat map, a square a dimension along the diagonal.

    Parameters
    ----------
    links
        A row a latent, in the order of the dimensions: ``latent``, ``cluster`` (-1 = set aside) and, for each row,
        ``r_<number>``: the correlation with the latent of that row.

    Returns
    -------
    plotly.graph_objects.Figure
        The first latent at the top left; blue for opposite, orange for alike.
    """
    n = len(links)
    r = links[[f"r_{number}" for number in range(n)]].to_numpy(float).round(2)
    cluster = links["cluster"].to_numpy(int)
    names = [
        f"{label(latent)} ({'set aside' if own < 0 else f'dimension {own}'})"
        for latent, own in zip(links["latent"], cluster, strict=True)
    ]
    figure = go.Figure()
    figure.add_heatmap(
        z=r, x=names, y=names, zmin=-1, zmax=1, colorscale=DIVERGING,
        colorbar=colour_bar("r", 0.5),
        hovertemplate="%{y}<br>%{x}: %{z:.2f}<extra></extra>",
    )  # fmt: skip
    edges = np.flatnonzero(np.diff(cluster)) + 1
    low, high, places = -0.5, n - 0.5, (edges[:MOST_LINES] - 0.5).tolist()
    style = {"type": "line", "line": {"color": FLOOR, "width": 0.6}, "opacity": 0.6}
    lines = [{"x0": place, "x1": place, "y0": low, "y1": high} for place in places]
    lines += [{"x0": low, "x1": high, "y0": place, "y1": place} for place in places]
    figure.update_layout(shapes=[style | line for line in lines])
    starts, ends = np.r_[0, edges], np.r_[edges, n]
    middles = (starts + ends - 1) // 2
    titles = ["aside" if cluster[start] < 0 else str(cluster[start]) for start in starts]
    kept = _apart(middles, n / MOST_TICKS, must={len(titles) - 1} if titles[-1] == "aside" else set())
    ticks = {
        "tickvals": [names[middle] for middle in middles[kept]],
        "ticktext": [titles[number] for number in kept],
        "showgrid": False,
    }
    finished(figure, SIDE, "latents, by dimension")
    figure.update_xaxes(**ticks, type="category", range=[-0.5, n - 0.5], constrain="domain", tickangle=0)
    figure.update_yaxes(**ticks, type="category", range=[n - 0.5, -0.5], scaleanchor="x", constrain="domain")
    return figure


def _apart(places: np.ndarray, least: float, must: set[int]) -> list[int]:
    """Numbers of the places that a label fits at: at least so far from the last one, and from those that must have one.

    >>> _apart(np.array([0, 5, 6, 7, 12, 13]), 4, must={5})
    [0, 1, 5]
    """
    kept: list[int] = []
    for number, place in enumerate(places):
        near = [places[other] for other in (*kept[-1:], *must) if other != number]
        if number in must or all(abs(place - other) >= least for other in near):
            kept.append(number)
    return kept


def stability_curve(curve: pd.DataFrame) -> go.Figure:
    """Agreement of random halves of the members by number of clusters, with its standard error and the number chosen.

    Parameters
    ----------
    curve
        ``n_clusters, stability, error, chosen``.

    Returns
    -------
    plotly.graph_objects.Figure
        Number of clusters across, on a logarithmic axis where numbers reach beyond 40; agreement up.
    """
    curve = curve.dropna(subset=["stability"]).sort_values("n_clusters")
    chosen = curve["chosen"].isin([True, "True"])
    figure = go.Figure()
    figure.add_scatter(
        x=curve["n_clusters"].tolist(), y=plain_numbers(curve["stability"]), mode="lines+markers", name="agreement",
        line={"color": MODEL, "width": 1.5}, marker={"size": 6},
        error_y={"type": "data", "array": plain_numbers(curve["error"]), "color": MODEL, "thickness": 1, "width": 2},
        hovertemplate="%{x} clusters: %{y:.2f}<extra></extra>",
    )  # fmt: skip
    best = curve[chosen]
    figure.add_scatter(
        x=best["n_clusters"].tolist(), y=plain_numbers(best["stability"]), mode="markers+text", name="chosen",
        text=[f"{n} chosen" for n in best["n_clusters"]], textposition="top center", hoverinfo="skip",
        marker={"size": 13, "symbol": "circle-open", "color": MODEL, "line": {"width": 2.5}},
    )  # fmt: skip
    figure.update_yaxes(title="agreement of halves (adjusted Rand index)", rangemode="tozero")
    most = curve["n_clusters"].max()
    if most > 40:
        values = [n for n in (2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if n <= most]
        figure.update_xaxes(type="log", tickvals=values, ticktext=[str(n) for n in values])
    return finished(figure, SIDE, "clusters of latents")


def seed_dots(table: pd.DataFrame) -> go.Figure:
    """How well dimensions come back with other seeds, beside the latents of single members, with intervals.

    Parameters
    ----------
    table
        ``what`` ("ensemble" or the name of a kind of member), ``again`` (0 to 1), ``low``, ``high``.

    Returns
    -------
    plotly.graph_objects.Figure
        A row a kind, the ensemble first and then from the best to the worst; 0 to 1 across.
    """
    order = table.assign(last=table["what"] != ENSEMBLE).sort_values(
        ["last", "again"], ascending=[True, False], kind="stable"
    )
    dots = order.rename(columns={"what": "model", "again": "value"})
    names = {name: f"one {name}" for name in dots["model"] if name != ENSEMBLE}
    dots = dots.assign(model=dots["model"].replace(names))
    figure = score_dots(dots, set(names.values()), "best |r| with other seeds", np.nan, np.nan)
    return figure.update_xaxes(range=[0, 1.02])
