"""The user's own folds: a table that says which cells, drugs or pairs are tested together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from galenic.data.checks import first, require_columns
from galenic.data.read.columns import as_ids
from galenic.data.read.response import as_table
from galenic.data.response import ResponseData


def with_folds(data: ResponseData, folds: str | Path | pd.DataFrame) -> ResponseData:
    """Put the user's folds into the pairs, for ``by="file"`` of :func:`galenic.benchmark`.

    Parameters
    ----------
    data
        Measured pairs.
    folds
        Table with the column ``fold`` (any names; ``train`` marks rows that are never tested) and ``cell``, ``drug`` or
        both: a fold for each cell, each drug or each pair. Ids as in ``data``.

    Returns
    -------
    ResponseData
        The pairs that the table names, with the column ``fold``; the others leave, which the coverage says.

    Raises
    ------
    ValueError
        If a column is missing, an id stands twice, or no pair is named.

    Examples
    --------
    >>> from galenic.data.simulate import screen
    >>> data, _ = screen(n_cells=20, n_drugs=4, n_genes=20, seed=0)
    >>> table = pd.DataFrame({"cell": data.cells.obs_names, "fold": ["a", "b"] * 10})
    >>> with_folds(data, table).pairs.groupby("fold")["cell"].nunique().tolist()
    [10, 10]
    """
    table = as_table(folds)
    require_columns(table, ["fold"], "the table of folds")
    keys = [name for name in ("cell", "drug") if name in table.columns]
    if not keys:
        raise ValueError(
            f"the table of folds needs a column 'cell' or 'drug'; it has {first(table.columns, 8)}. Add one."
        )
    table = table.assign(fold=as_ids(table["fold"]), **{key: as_ids(table[key]) for key in keys})
    twice = table.duplicated(keys)
    if twice.any():
        raise ValueError(
            f"the table of folds should name each {' and '.join(keys)} once; {int(twice.sum()):,} stand twice "
            f"(first: {first(table.loc[twice, keys[0]])}). Remove the repeats."
        )
    found = data.pairs.drop(columns="fold", errors="ignore").merge(table[[*keys, "fold"]], on=keys, how="left")
    named = found["fold"].notna().to_numpy()
    if not named.any():
        raise ValueError(
            f"the table of folds should name some of the {len(data):,} pairs; it names none (its first: "
            f"{first(table[keys[0]])}; first of the data: {first(data.pairs[keys[0]].unique())}). Use the same ids."
        )
    return (
        replace(data, pairs=found)
        .noted("folds", int(named.sum()), found.index[~named], "named by the table of folds")
        .take(named)
    )
