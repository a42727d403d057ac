"""Predictions in order: the best drugs of each cell."""

from __future__ import annotations

import pandas as pd


def rank(table: pd.DataFrame, drugs: pd.DataFrame | None = None, *, within: str = "cell") -> pd.DataFrame:
    """Rank predictions within each cell (or drug); 1 = lowest predicted response = most sensitive.

    Parameters
    ----------
    table
        Prediction table: ``cell, drug, prediction``.
    drugs
        Table of drugs; its ``name`` is added where it has one.
    within
        ``"cell"``: the drugs of each cell. ``"drug"``: the cells of each drug.

    Returns
    -------
    DataFrame
        ``table`` with ``rank`` (and ``name``), sorted by group and rank; groups in the order they came.

    Examples
    --------
    >>> table = pd.DataFrame({"cell": ["A", "A"], "drug": ["x", "y"], "prediction": [2.0, 1.0]})
    >>> rank(table)[["rank", "drug"]].to_numpy().tolist()
    [[1, 'y'], [2, 'x']]
    """
    place = table.groupby(within, sort=False)["prediction"].rank(method="first").astype(int)
    ranked = table.assign(rank=place, _order=table.groupby(within, sort=False).ngroup())
    ranked = ranked.sort_values(["_order", "rank"], kind="stable").drop(columns="_order").reset_index(drop=True)
    if drugs is not None:
        names = drugs["name"] if "name" in drugs else drugs.index.to_series()
        names = names.where(names.notna(), drugs.index.to_series())
        ranked["name"] = names.reindex(ranked["drug"]).to_numpy()
    return ranked
