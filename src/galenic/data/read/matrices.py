"""Matrices of cells x features out of any file or table."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as csv
from anndata import AnnData, read_h5ad

from galenic.data.checks import first, is_zarr
from galenic.data.expression import dense
from galenic.data.gctx.metadata import as_text
from galenic.data.genes import clean_names, kind_of_names
from galenic.data.limits import memory_left, require_room
from galenic.data.numbers import as_numbers
from galenic.data.read.columns import ANNOTATION, CELL, DEFAULT_ENTRY, GENE, as_ids, find, plain
from galenic.data.read.files import TextLayout, kind_of_file, open_bytes, text_layout
from galenic.data.read.h5ad import h5ad_explained, require_matrix, require_sound_h5ad
from galenic.data.read.h5mu import is_mudata, read_expression
from galenic.data.read.tables import (
    LEAST,
    MISSING,
    block_size,
    from_parquet,
    parse_errors_explained,
    table,
    with_index_as_column,
)
from galenic.data.read.zarr_folders import by_rows, open_zarr

Source: TypeAlias = str | Path | pd.DataFrame | AnnData
CELL_LIKE = re.compile(r"(DATA\.)?\d{4,7}(\.\d)?|ACH-\d{6}|SIDM\d{5}|TCGA-\w\w-\w{4}.*|PT-\w+")
"""COSMIC, DepMap, Sanger and TCGA ids."""
VAR_SYMBOL = ("gene_symbols", "gene_symbol", "symbol", "feature_name", "gene_name", "gene_short_name")
ANNOTATION_NAMES = frozenset(plain(name) for name in ANNOTATION)
LARGE = 1 << 30
"""Bytes from which on rows of a file are read when they are asked for, not all at once."""


@dataclass(frozen=True, eq=False)
class RawMatrix:
    """Numbers with the names of rows and columns as the file has them.

    Parameters
    ----------
    X
        ``(n_rows, n_columns)``, float32.
    columns
        Names of the columns, which may repeat.
    labels
        What describes the rows: ids and annotations, one column or more, n_rows rows.
    name
        For messages.
    """

    X: np.ndarray
    columns: list[str]
    labels: pd.DataFrame
    name: str

    def flipped(self) -> RawMatrix:
        """Rows become columns; of the labels the first is kept, as names of the features."""
        cells = pd.Series([re.sub(r"^DATA\.(\d+)(\.\d+)?$", r"\1", name) for name in self.columns])
        return RawMatrix(
            X=np.ascontiguousarray(self.X.T),
            columns=self.labels.iloc[:, 0].fillna("").astype(str).tolist(),
            labels=pd.DataFrame({"cell": as_ids(cells)}),
            name=self.name,
        )

    def at(self, rows: np.ndarray) -> RawMatrix:
        """Only the rows where ``rows`` is true."""
        if rows.all():
            return self
        return replace(self, X=self.X[rows], labels=self.labels[rows].reset_index(drop=True))


def matrix(
    source: Source,
    *,
    features: Literal["auto", "columns", "rows"] = "auto",
    index: str | None = None,
    repeats: Literal["refuse", "mean"] = "refuse",
    sheet: str | None = None,
) -> pd.DataFrame:
    """A matrix of cells x features.

    Parameters
    ----------
    source
        CSV, TSV, Parquet, xlsx (compressed or not), h5ad, a DataFrame or AnnData. The first column holds the ids;
        further columns of ids (``ModelID``, ``COSMIC_ID``, ...) and of annotation (``GENE_title``, ``tissue``, ...) are
        recognised by name.
    features
        Where the features (genes) are. ``"auto"``: in the rows if the first column is named after genes
        (``GENE_SYMBOLS``, ``gene``, ``Ensembl_ID``, ...) or most column names are ids of cells (COSMIC, DepMap, Sanger
        or TCGA) and the first column is not; in the columns otherwise.
    index
        The column of ids to use; else the first that is recognised, else the first column.
    repeats
        Cells that stand more than once with different values: a ``ValueError``, or their mean.
    sheet
        Sheet of a spreadsheet.

    Returns
    -------
    DataFrame
        float32; index = ids as text, each once; columns = names as in the file (they may repeat: see
        :func:`galenic.data.genes.standardise_genes`).

    Raises
    ------
    ValueError
        If a column holds text, ids are missing or repeat, or the file is damaged.

    Warns
    -----
    UserWarning
        If rows were merged.

    Examples
    --------
    >>> genes = pd.DataFrame({"gene": ["TP53", "EGFR"], "ACH-000001": [1.0, 2.0], "ACH-000002": [3.0, 4.0]})
    >>> matrix(genes)
    gene        TP53  EGFR
    ACH-000001   1.0   2.0
    ACH-000002   3.0   4.0
    """
    if features not in ("auto", "columns", "rows"):
        raise ValueError(f"features should be 'auto', 'columns' or 'rows'; received {features!r}. Choose one.")
    raw = read_raw(source, sheet=sheet)
    corner = str(raw.labels.columns[0])
    if features == "rows" or (features == "auto" and features_in_rows(raw)):
        raw = raw.flipped()
    else:
        corner = ""
        raw = default_entries(raw)
    if index is not None and index not in raw.labels:
        raise ValueError(f"{raw.name} should have a column {index!r}; it has {first(raw.labels, 8)}. Correct index=.")
    chosen = index if index is not None else id_column(raw)
    ids = as_ids(raw.labels[chosen])
    missing = ids.isna().to_numpy()
    if missing.any():
        raise ValueError(
            f"every row of {raw.name} should have an id; {int(missing.sum()):,} have none in {chosen!r} "
            f"(first rows: {first(np.flatnonzero(missing))}). Fill them in, or name another column with index=."
        )
    frame, _ = merge_rows(raw.X, ids.to_numpy(), repeats, raw.name)
    frame.columns = pd.Index(raw.columns, name=corner or None)
    return frame


def read_raw(source: Source, *, sheet: str | None = None) -> RawMatrix:
    """Numbers and names as they stand in ``source``."""
    if isinstance(source, AnnData):
        return _from_anndata(source, "the AnnData")
    if isinstance(source, pd.DataFrame):
        return _from_frame(with_index_as_column(source), "the matrix")
    name, kind = Path(source).name, kind_of_file(source)
    if kind == "h5ad":
        return _from_anndata(open_h5ad(source), name)
    if kind == "text":
        return _from_text(source, text_layout(source))
    return _from_frame(from_parquet(source) if kind == "parquet" else table(source, sheet=sheet), name)


def open_h5ad(path: str | Path, *, backed: bool = False) -> AnnData:
    """AnnData from an h5ad file or zarr folder, or the expression of a MuData file (.h5mu).

    Raises ``ValueError`` if it is damaged or something else.

    With ``backed`` only the rows that are used are read; see :func:`galenic.data.read.zarr_folders.open_zarr`.
    """
    if is_zarr(path):
        return open_zarr(path, backed=backed)
    with h5ad_explained(path):
        if is_mudata(path):
            return require_matrix(by_rows(read_expression(path)), Path(path).name)
        require_sound_h5ad(path, lazy=backed)
        return require_matrix(by_rows(read_h5ad(path, backed="r" if backed else None)), Path(path).name)


def is_large(path: Path) -> bool:
    """Whether rows of a file of cells should be read when they are asked for: 1 GB or more, or a zarr folder."""
    return path.is_dir() or path.stat().st_size >= LARGE


def features_in_rows(raw: RawMatrix, cells: pd.Index | None = None) -> bool:
    """Do the rows hold features and the columns cells?

    Where the ids of the cells are known, the side that has more of them decides; else names do, see :func:`matrix`.
    """
    names = pd.Index(raw.columns)
    if cells is not None:
        stripped = pd.Index([re.sub(r"^DATA\.(\d+)(\.\d+)?$", r"\1", name) for name in raw.columns])
        above = max(int(side.isin(cells).sum()) for side in (names, stripped))
        beside = max(int(as_ids(labels).isin(cells).sum()) for _, labels in raw.labels.items())
        if above != beside:
            return above > beside
    if find([raw.labels.columns[0]], GENE):
        return True
    return _share_of_cells(names) > 0.5 >= _share_of_cells(raw.labels.iloc[:, 0])


def id_column(raw: RawMatrix) -> str:
    """The labels that name the rows: those of an AnnData, else the first that is known to be an id, else the first."""
    known = ["obs_names"] if "obs_names" in raw.labels else find(raw.labels, CELL)
    return str([*known, raw.labels.columns[0]][0])


def default_entries(raw: RawMatrix) -> RawMatrix:
    """Of a DepMap release only the sequencing run that stands for each model."""
    flags = find(raw.labels, DEFAULT_ENTRY)
    if not flags:
        return raw
    return raw.at(raw.labels[flags[0]].astype(str).str.lower().isin(["yes", "true", "1", "1.0"]).to_numpy())


def merge_rows(values: np.ndarray, ids: np.ndarray, repeats: str, name: str) -> tuple[pd.DataFrame, int]:
    """A frame with each id once, and how many rows were merged into others."""
    if repeats not in ("refuse", "mean"):
        raise ValueError(f"repeats should be 'refuse' or 'mean'; received {repeats!r}. Choose one.")
    infinite = np.isinf(values)
    if infinite.any():
        rows = np.flatnonzero(infinite.any(axis=1))
        raise ValueError(
            f"every value of {name} should be finite or missing; {int(infinite.sum()):,} in {len(rows):,} rows are "
            f"infinite (first: {first(ids[rows])}). A log of zero gives this: take log2(x + 1), or leave them empty."
        )
    frame = pd.DataFrame(values, index=pd.Index(ids.astype(str)), copy=False)
    repeated = frame.index.duplicated(keep=False)
    if not repeated.any():
        return frame, 0
    twice = frame[repeated]
    groups = twice.groupby(level=0, sort=False)
    n_ids = groups.ngroups
    differ = (groups.max() != groups.min()).to_numpy(dtype=bool) & groups.max().notna().to_numpy(dtype=bool)
    if differ.any() and repeats == "refuse":
        raise ValueError(
            f"each cell of {name} should stand once; {n_ids:,} stand more than once with different values "
            f"(first: {first(pd.unique(twice.index))}). Choose one row for each, or read with "
            "repeats='mean' (--repeats mean)."
        )
    how = "averaged" if differ.any() else "their values are the same, one is kept"
    warnings.warn(
        f"{n_ids:,} cells of {name} stand more than once (first: {first(pd.unique(twice.index))}); {how}.", stacklevel=3
    )
    merged = frame[~frame.index.duplicated()].copy()
    means = groups.mean()
    merged.loc[means.index] = means.astype(values.dtype)
    return merged, int(repeated.sum()) - n_ids


def _share_of_cells(names: Iterable[object]) -> float:
    names = [str(name) for name in names][:2000]
    return float(np.mean([CELL_LIKE.fullmatch(name) is not None for name in names])) if names else 0.0


def _from_anndata(adata: AnnData, name: str) -> RawMatrix:
    known = [column for column in adata.obs if plain(column) in ANNOTATION_NAMES]
    labels = pd.DataFrame({"obs_names": adata.obs_names.astype(str)})
    for column in known:
        labels[column] = np.asarray(adata.obs[column].astype("object"))
    X = np.zeros((adata.n_obs, 0)) if adata.X is None else dense(adata.X)
    genes = pd.Series(adata.var_names.astype(str)[: X.shape[1]])
    symbols = find(adata.var.columns, VAR_SYMBOL)
    if symbols and kind_of_names(genes[:2000]) != "symbol":
        named = pd.Series(as_text(adata.var[symbols[0]])[: X.shape[1]])
        genes = genes.where(named == "", named)
    return RawMatrix(X.astype(np.float32), genes.tolist(), labels, name)


def _from_frame(frame: pd.DataFrame, name: str) -> RawMatrix:
    columns = [str(column) for column in frame.columns]
    if not columns:
        raise ValueError(f"{name} should have a column of ids and one for each gene; it has none. Export it again.")
    frame = frame.set_axis(range(len(columns)), axis=1)
    text = {i: column for i, column in enumerate(columns) if i and not _is_numeric(frame[i])}
    is_label = _label_columns(columns, text)
    wrong = [i for i in text if not is_label[i]]
    if wrong:
        column = frame[wrong[0]]
        example = first(column[column.notna() & as_numbers(column).isna()].head(1))
        raise ValueError(_text_column(name, [columns[i] for i in wrong], example))
    values = frame.loc[:, ~is_label].to_numpy(dtype=np.float32, na_value=np.nan)
    labels = frame.loc[:, is_label].set_axis([columns[i] for i in np.flatnonzero(is_label)], axis=1)
    return _checked(values, [columns[i] for i in np.flatnonzero(~is_label)], labels, name)


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) or bool(column.isna().all())


def _from_text(path: str | Path, layout: TextLayout) -> RawMatrix:
    """Parse block by block into float32, so that memory is the matrix plus one block."""
    name = Path(path).name
    peeked = [row for row in layout.rows if len(row) == len(layout.names)]
    decimal = "," if layout.delimiter == ";" and any("," in value for row in peeked for value in row[1:]) else "."
    text = {
        i: column
        for i, column in enumerate(layout.names)
        if i and any(not _is_number(row[i], decimal) and row[i].strip() not in MISSING for row in peeked)
    }
    is_label = _label_columns(layout.names, text)
    wrong = [i for i in text if not is_label[i]]
    if wrong:
        values = [row[wrong[0]] for row in peeked]
        example = next(value for value in values if not _is_number(value, decimal) and value.strip() not in MISSING)
        raise ValueError(_text_column(name, [layout.names[i] for i in wrong], repr(example)))
    places = [str(i) for i in range(len(layout.names))]
    kinds = {place: pa.string() if label else pa.float32() for place, label in zip(places, is_label, strict=True)}
    blocks: list[np.ndarray] = []
    labels: list[pa.RecordBatch] = []
    with parse_errors_explained(path, layout), open_bytes(path) as stream:
        reader = csv.open_csv(
            stream,
            read_options=csv.ReadOptions(column_names=places, skip_rows=1, block_size=block_size(layout)),
            parse_options=csv.ParseOptions(delimiter=layout.delimiter),
            convert_options=csv.ConvertOptions(
                column_types=kinds, null_values=MISSING, strings_can_be_null=False, decimal_point=decimal
            ),
        )
        left, used = memory_left(), 0
        for batch in reader:
            used += LEAST * batch.num_rows * batch.num_columns
            if used > left:
                require_room(2 * used, name, "Divide it, or convert it to h5ad where there is more memory.")
            labels.append(batch.select([place for place, label in zip(places, is_label, strict=True) if label]))
            numbers = batch.select([place for place, label in zip(places, is_label, strict=True) if not label])
            blocks.append(_dense_batch(numbers))
    if not blocks:
        raise ValueError(f"{name} should hold rows under its header; it holds none. Export it again.")
    frame = pa.Table.from_batches(labels).to_pandas()
    frame.columns = pd.Index([layout.names[i] for i in np.flatnonzero(is_label)])
    features = [layout.names[i] for i in np.flatnonzero(~is_label)]
    return _checked(np.concatenate(blocks) if len(blocks) > 1 else blocks[0], features, frame, name)


def _dense_batch(batch: pa.RecordBatch) -> np.ndarray:
    if batch.num_columns == 0:
        return np.empty((batch.num_rows, 0), dtype=np.float32)
    return batch.to_tensor(null_to_nan=True, row_major=True).to_numpy()


def _is_number(text: str, decimal: str) -> bool:
    try:
        float(text.replace(decimal, "."))
    except ValueError:
        return False
    return True


def _label_columns(columns: list[str], text: dict[int, str]) -> np.ndarray:
    """Which columns describe the rows: the first, and those whose name says so."""
    is_label = np.array([plain(column) in ANNOTATION_NAMES for column in columns], dtype=bool)
    # An unnamed second column of text is a row name next to a row counter.
    is_label |= np.array([i in text and columns[i] == "" for i in range(len(columns))], dtype=bool)
    is_label[0] = True
    return is_label


def _checked(values: np.ndarray, columns: list[str], labels: pd.DataFrame, name: str) -> RawMatrix:
    if values.shape[1] == 0:
        raise ValueError(
            f"{name} should have a column of ids and columns of numbers; it has no numbers "
            f"(columns: {first(labels, 8)}). "
            "Check that it is the matrix and not a table about it."
        )
    if len(labels) == 0:
        raise ValueError(f"{name} should hold rows under its header; it holds none. Export it again.")
    if labels.shape[1] > 1 and _only_counts(labels):
        labels = labels.iloc[:, 1:]
    # Of two without a name, the second stands next to a counter of rows.
    labels = labels.loc[:, (labels.columns != "") | ~labels.columns.duplicated(keep="last")]
    if labels.columns.has_duplicates:
        twice = first(labels.columns[labels.columns.duplicated()].unique())
        raise ValueError(
            f"columns that describe the rows should have a name each; {name} has several of one name (first: {twice}). "
            "Rename them."
        )
    return RawMatrix(values, columns, labels, name)


def _only_counts(labels: pd.DataFrame) -> bool:
    """Is the unnamed first column nothing but a counter of the rows?"""
    if str(labels.columns[0]) not in ("", "index") and not str(labels.columns[0]).startswith("Unnamed"):
        return False
    numbers = as_numbers(labels.iloc[:, 0]).to_numpy(dtype=np.float64, na_value=np.nan)
    return bool(np.array_equal(numbers, np.arange(len(numbers)) + numbers[0]))


def _text_column(name: str, columns: list[str], example: str) -> str:
    return (
        f"every feature of {name} should be a number; {len(columns):,} columns hold text (first: {first(columns)}, for "
        f"example {example}). Remove them, rename them to a known id (such as 'cell_line'), or write missing values "
        "as NA."
    )


def to_anndata(frame: pd.DataFrame, obs: pd.DataFrame | None = None) -> AnnData:
    """AnnData with float32 ``X`` from cells x genes, sharing its memory where that is possible."""
    obs = pd.DataFrame(index=frame.index) if obs is None else obs
    return AnnData(
        X=frame.to_numpy(dtype=np.float32), obs=obs, var=pd.DataFrame(index=pd.Index(clean_names(frame.columns)))
    )
