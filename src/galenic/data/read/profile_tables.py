"""Tables of profiles: a row a profile, columns of genes beside columns that say something of the profiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first
from galenic.data.gctx.metadata import as_text
from galenic.data.gctx.sniff import NAMED, not_profiles
from galenic.data.read.columns import plain
from galenic.data.read.files import kind_of_file, text_layout
from galenic.data.read.gene_columns import gene_columns
from galenic.data.read.tables import table as read_table

IDS = ("profile_id", "profile", "inst_id", "sig_id", "sample_id", "distil_id", "id", "")
"""Columns that hold ids of profiles, the preferred one first; ``""`` is a column without a name."""


def is_profile_table(path: str | Path) -> bool:
    """Whether a file that is no GCT, GCTX or h5ad may be a table: Parquet, xlsx, or text with several columns.

    Raises
    ------
    ValueError
        If its name says that it should be GCT or GCTX, or it is neither.
    """
    path = Path(path)
    if path.name.lower().endswith(NAMED):
        return False
    if kind_of_file(path) != "text":
        return True
    try:
        return len(text_layout(path).names) > 1
    except ValueError as error:
        if "holds binary data" in str(error) or "UTF-8" in str(error):
            raise not_profiles(path) from error
        raise


def profile_table(path: str | Path, gene_info: pd.DataFrame | None = None) -> AnnData:
    """Profiles out of a table (Parquet, CSV, TSV, xlsx; text may be compressed).

    Parameters
    ----------
    path
        The file.
    gene_info
        Table of genes, which tells the columns of genes; without it, their names tell, see
        :func:`galenic.data.read.gene_columns.gene_columns`.

    Returns
    -------
    AnnData
        Profiles x genes, float32. Ids are the first column of :data:`IDS` that is there, else the first column if it is
        text that differs in every row, else the rows are counted from 0. All columns that are no genes go to ``obs``.
        ``uns["steps"]`` says which.

    Raises
    ------
    ValueError
        If it is no table, ids are missing or repeat, or genes cannot be told or hold text.
    """
    path = Path(path)
    table = read_table(path)
    found = gene_columns(table, path.name, gene_info)
    ids, column = _ids(table, found.others, path.name)
    X = table.iloc[:, found.genes].to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
        X = X.astype(np.float32)
    obs = table[[name for name in found.others if name]].set_axis(pd.Index(ids), axis=0)
    adata = AnnData(X=X, obs=obs, var=found.var)
    others = first(obs.columns, 12) if len(obs.columns) else "none"
    adata.uns["steps"] = [
        f"{len(found.genes):,} columns of {path.name} are genes (first: {first(found.var.index)}); no genes: {others}; "
        f"ids: {column}"
    ]
    return adata


def _ids(table: pd.DataFrame, others: list[str], name: str) -> tuple[np.ndarray, str]:
    """The id of each profile, and where it comes from."""
    called = {plain(column): column for column in reversed(others)}
    column = next((called[plain(one)] for one in IDS if plain(one) in called), None)
    if column is None:
        begin = str(table.columns[0])
        texts = as_text(table[begin]) if begin in others and table[begin].dtype.kind not in "biuf" else np.array([""])
        if len(texts) == len(table) and "" not in texts and len(set(texts)) == len(texts):
            return texts, repr(begin)
        return np.array([str(row) for row in range(len(table))], dtype=object), "rows, counted from 0"
    ids = as_text(table[column])
    empty, twice = int((ids == "").sum()), pd.Index(ids)[pd.Index(ids).duplicated()].unique()
    if empty or len(twice):
        wrong = f"{empty:,} are empty" if empty else f"{len(twice):,} stand more than once (first: {first(twice)})"
        raise ValueError(
            f"the ids of profiles in column {column!r} of {name} should all be there and differ; of {len(ids):,} "
            f"{wrong}. Correct them, or rename that column if it holds something else."
        )
    return ids, repr(column) if column else "the column without a name"
