"""The cells of a response table, with every matrix and annotation that is known of them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first
from galenic.data.genes import standardise_genes
from galenic.data.read.columns import CELL, CELL_NAME, TISSUE, as_ids, find
from galenic.data.read.coverage import Step, step
from galenic.data.read.files import kind_of_file
from galenic.data.read.join import best_link, id_columns, translation
from galenic.data.read.matrices import (
    RawMatrix,
    Source,
    default_entries,
    features_in_rows,
    merge_rows,
    open_h5ad,
    read_raw,
    to_anndata,
)
from galenic.data.read.tables import without_marks

LARGEST_LOG = 30.0
"""Of log expression; counts and TPM reach thousands."""
FROM_CELLS = "cells: "
"""Marks the ids that the table of cells adds to those of the response table."""


def read_cells(
    ids: pd.DataFrame,
    response: pd.DataFrame,
    sources: Mapping[str, Source],
    info: pd.DataFrame | None,
    *,
    symbols: Mapping[str, str] | None,
    repeats: str,
    steps: list[Step],
) -> tuple[pd.Series, AnnData]:
    """The id of each row's cell, and the cells with all that is known of them.

    Parameters
    ----------
    ids
        The columns of ids of the response table, one row a measurement.
    response
        The response table itself, for the annotation it holds.
    sources
        Matrices by modality; ``"expression"`` becomes ``X``.
    info
        The table of cells.
    symbols, repeats
        See :func:`galenic.data.read.response_data`.
    steps
        Rows of the coverage report are appended.

    Returns
    -------
    ids : Series
        One a measurement, missing where there is none.
    cells : AnnData
        Cells with a response and at least one matrix, sorted by id; NaN where a matrix does not have them.
    """
    known = ids.drop_duplicates(ignore_index=True)
    if info is not None:
        known = _with_other_ids(known, info)
    everyone = pd.Index(pd.unique(known.to_numpy().ravel())).dropna()
    sources = {name: _opened(source) for name, source in sources.items()}
    raws = {name: _cells_in_rows(source, everyone) for name, source in sources.items()}
    labels = {name: id_columns(raw.labels, raw.labels.columns.tolist()) for name, raw in raws.items()}
    shared = {str(key): sum(best_link(ids[[key]], found).shared for found in labels.values()) for key in ids}
    key = max(shared, key=lambda column: shared[column])
    cells = pd.Index(np.sort(ids[key].dropna().unique().astype(str)))
    tables: dict[str, pd.DataFrame] = {}
    for name, raw in raws.items():
        tables[name] = _matched(name, raw, labels[name], known, key, cells, repeats, steps)
        tables[name], genes = standardise_genes(
            tables[name], symbols=symbols if name == "expression" else None, what=name
        )
        wanted = genes if name == "expression" else genes[genes["dropped"] > 0]
        steps.extend(wanted.to_dict("records"))
    if tables:
        anywhere = np.logical_or.reduce([cells.isin(found.index) for found in tables.values()])
        steps.append(_cells_step(ids[key], cells, anywhere))
        cells = cells[anywhere]
    expression = tables.pop("expression", pd.DataFrame(index=cells, dtype=np.float32)).reindex(cells)
    _warn_unless_log(expression)
    adata = to_anndata(expression, _annotation(cells, key, known, response, info, steps))
    for name, found in tables.items():
        adata.obsm[name] = found.reindex(cells)
    source = sources.get("expression")
    if isinstance(source, AnnData):
        _carry(source, labels["expression"], known, key, adata)
    return ids[key], adata


def _other_id_columns(info: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys([*find(info.columns, (*CELL, "name")), str(info.columns[0])]))


def _with_other_ids(known: pd.DataFrame, info: pd.DataFrame) -> pd.DataFrame:
    """The ids of the response's cells, and the other ids that the table of cells has for them."""
    others = id_columns(info, _other_id_columns(info))
    link = best_link(known, others).require(known, others, "the response table", "the table of cells")
    others = others.dropna(subset=[link.right]).drop_duplicates(link.right).set_index(link.right, drop=False)
    found = others.reindex(known[link.left]).reset_index(drop=True)
    return pd.concat([known, found.add_prefix(FROM_CELLS)], axis=1)


def _opened(source: Source) -> Source:
    """AnnData instead of an h5ad file, so that its other matrices are at hand."""
    if isinstance(source, str | Path) and kind_of_file(source) == "h5ad":
        return open_h5ad(source)
    return source


def _cells_in_rows(source: Source, cells: pd.Index) -> RawMatrix:
    raw = read_raw(source)
    if isinstance(source, AnnData):
        return raw
    return raw.flipped() if features_in_rows(raw, cells) else default_entries(raw)


def _matched(
    name: str,
    raw: RawMatrix,
    labels: pd.DataFrame,
    known: pd.DataFrame,
    key: str,
    cells: pd.Index,
    repeats: str,
    steps: list[Step],
) -> pd.DataFrame:
    """The rows of a matrix that belong to cells with a response, under their id."""
    link = best_link(known, labels).require(known, labels, "the response table", f"the {name} matrix")
    ids = labels[link.right].map(translation(known, link.left, key))
    there = ids.notna().to_numpy()
    frame, merged = merge_rows(raw.X[there], ids[there].to_numpy(), repeats, f"the {name} matrix")
    frame.columns = pd.Index(raw.columns)
    absent = cells[~cells.isin(frame.index)]
    right = link.right or "row names"
    why = f"cells joined by {link.left} = {right}; {int((~there).sum()):,} rows of the matrix have no response"
    steps.append(step(name, len(frame), len(absent), why + (f"; {merged:,} repeats merged" if merged else ""), absent))
    return frame


def _warn_unless_log(expression: pd.DataFrame) -> None:
    highest = float(np.nanmax(expression.to_numpy(), initial=-np.inf)) if expression.size else 0.0
    if highest > LARGEST_LOG:
        warnings.warn(
            f"expression should be on a log scale; it reaches {highest:,.0f}, as counts or TPM do. "
            "Give log2(TPM + 1), or what your model was fitted on.",
            stacklevel=3,
        )


def _cells_step(ids: pd.Series, cells: pd.Index, anywhere: np.ndarray) -> Step:
    lost = ids.isin(cells[~anywhere])
    n_lost = int((~anywhere).sum())
    why = f"{n_lost:,} cells have a response but no row in any matrix" if n_lost else "every cell is in a matrix"
    return step("cells without matrices", int((~lost).sum()), int(lost.sum()), why, cells[~anywhere])


def _annotation(
    cells: pd.Index,
    key: str,
    known: pd.DataFrame,
    response: pd.DataFrame,
    info: pd.DataFrame | None,
    steps: list[Step],
) -> pd.DataFrame:
    """What is known of each cell; ``tissue`` and ``name`` under these names, the other columns as they are called."""
    if info is None:
        # In a response table "name" is the drug's.
        columns = dict.fromkeys([*find(response.columns, CELL_NAME[1:]), *find(response.columns, TISSUE)])
        source, ids = response[list(columns)], as_ids(response[key])
    else:
        link = best_link(known, id_columns(info, _other_id_columns(info)))
        source, ids = info, as_ids(info[link.right]).map(translation(known, link.left, key))
    first_rows = ids.notna() & ~ids.duplicated()
    found = source[first_rows].set_axis(pd.Index(ids[first_rows].to_numpy()), axis=0)
    obs = found.reindex(cells)
    if info is not None:
        absent = cells[~cells.isin(found.index)]
        why = "every cell is in it" if absent.empty else "cells that it does not have stay without annotation"
        twice = ids[ids.duplicated() & ids.notna()].unique()
        if len(twice):
            why += f"; {len(twice):,} stand more than once, the first row of each counts (first: {first(twice)})"
        steps.append(step("table of cells", len(cells) - len(absent), len(absent), why, absent))
    return _named(obs)


def _named(obs: pd.DataFrame) -> pd.DataFrame:
    """Annotation as numbers or text, with ``tissue`` and ``name`` under these names."""
    for role, aliases in (("tissue", TISSUE), ("name", CELL_NAME)):
        named = find(obs.columns, aliases)
        if named and role not in obs:
            obs = obs.assign(**{role: obs[named[0]]})
    # A slash in a column's name cannot be written to h5ad.
    obs = obs.set_axis([re.sub(r"\s+", " ", str(name)).replace("/", "-") for name in obs.columns], axis=1)
    return obs.apply(lambda column: column if pd.api.types.is_numeric_dtype(column) else _text(column))


def _text(column: pd.Series) -> pd.Series:
    values = [np.nan if pd.isna(value) else str(value) for value in without_marks(column)]
    return pd.Series(values, index=column.index)


def _carry(source: AnnData, labels: pd.DataFrame, known: pd.DataFrame, key: str, adata: AnnData) -> None:
    """Annotation and other matrices of the AnnData of expression go with its cells."""
    link = best_link(known, labels)
    ids = labels[link.right].map(translation(known, link.left, key))
    rows = pd.Series(np.arange(len(ids)), index=pd.Index(ids))
    where = rows[rows.index.notna() & ~rows.index.duplicated()].reindex(adata.obs_names)
    measured, positions = where.notna().to_numpy(), where.dropna().to_numpy(dtype=np.int64)
    obs = source.obs.iloc[positions].set_axis(adata.obs_names[measured], axis=0).reindex(adata.obs_names)
    for name, column in _named(obs).items():
        if name not in adata.obs:
            adata.obs[name] = column
    for name, found in source.obsm.items():
        if name in adata.obsm:
            continue
        values = np.full((adata.n_obs, found.shape[1]), np.nan, dtype=np.float32)
        values[measured] = np.asarray(found, dtype=np.float32)[positions]
        is_frame = isinstance(found, pd.DataFrame)
        adata.obsm[name] = pd.DataFrame(values, adata.obs_names, found.columns.astype(str)) if is_frame else values
