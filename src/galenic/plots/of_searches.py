"""What a scientist draws of searches: hits, and pairs of targets."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from galenic.plots.figures.search import hit_dots, neighbour_map
from galenic.plots.figures.targets import match_curve, pair_dots
from galenic.plots.saving import drawn
from galenic.plots.style import one_of, require


@drawn
def neighbours(hits: pd.DataFrame, *, query: str | None = None, n: int = 20) -> go.Figure:
    """The first hits of a search by their similarity; or, of a table with places, their map.

    Parameters
    ----------
    hits
        ``rank, similarity`` and ``pert_name`` (or ``name`` or ``id``): hits, with ``query`` where there are several. Or
        the table ``map``: ``role, name, moa, x, y, rank, similarity``.
    query
        Whose hits; by default the only query's.
    n
        Hits that are drawn, half of them from the end where it holds reversers.

    Returns
    -------
    plotly.graph_objects.Figure
        Mimics blue circles, reversers orange triangles.

    Raises
    ------
    ValueError
        If columns lack, or several queries are there and none is chosen.

    Examples
    --------
    >>> hits = pd.DataFrame({"rank": [1, 2], "pert_name": ["x", "y"], "similarity": [0.9, -0.5]})
    >>> [trace.name for trace in neighbours(hits).data]
    ['mimics', 'reversers']
    """
    if isinstance(hits, pd.DataFrame) and {"role", "x", "y"} <= set(hits):
        return neighbour_map(one_of(hits, "query", query, "plots.neighbours"))
    rows = one_of(require(hits, ["rank", "similarity"], "plots.neighbours"), "query", query, "plots.neighbours")
    own = next((name for name in ("pert_name", "name", "id") if name in rows), "pert_name")
    require(rows, ["rank", own, "similarity"], "plots.neighbours")
    rows = rows.assign(name=rows[own]).sort_values("rank")
    if len(rows) > n:
        n_last = n // 2 if (rows["similarity"] < 0).any() and (rows["similarity"] > 0).any() else 0
        rows = pd.concat([rows.head(n - n_last), rows.tail(n_last)])
    return hit_dots(rows)


@drawn
def target_pairs(table: pd.DataFrame, *, disease: str | None = None, n: int = 20) -> go.Figure:
    """The first pairs of targets by their score; or how many of the first ones are known, beside chance.

    Parameters
    ----------
    table
        ``rank, gene_a, gene_b, score``, optional ``known``; or the table ``target_match``: ``listed, hits, expected,
        low, high``. ``disease`` where there are several.
    disease
        Which disease; by default the only one.
    n
        Pairs that are drawn.

    Returns
    -------
    plotly.graph_objects.Figure
        Known pairs filled, others hollow.

    Raises
    ------
    ValueError
        If columns lack, or several diseases are there and none is chosen.

    Examples
    --------
    >>> table = pd.DataFrame({"rank": [1], "gene_a": ["MEK"], "gene_b": ["BRAF"], "score": [0.8], "known": [True]})
    >>> list(target_pairs(table).data[0].text)
    ['MEK + BRAF']
    """
    if isinstance(table, pd.DataFrame) and {"listed", "hits", "expected"} <= set(table):
        return match_curve(one_of(table, "disease", disease, "plots.target_pairs"))
    require(table, ["rank", "gene_a", "gene_b", "score"], "plots.target_pairs")
    return pair_dots(one_of(table, "disease", disease, "plots.target_pairs").nsmallest(n, "rank"))
