"""Tables out of text, Parquet and spreadsheets."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as parquet

from galenic.data.checks import first
from galenic.data.limits import require_room
from galenic.data.numbers import as_numbers
from galenic.data.read.files import TextLayout, kind_of_file, not_utf8, open_bytes, text_layout
from galenic.data.read.spreadsheet import require_sheets
from galenic.work.near import did_you_mean

MISSING = ["", "NA", "NaN", "nan", "N/A", "#N/A", "n/a", "null", "NULL", "None", "<NA>"]
LEAST = 4
"""Bytes of a value in memory, at least."""
BLOCK = 32 << 20
"""Bytes of text that are parsed at a time."""


def table(path: str | Path, *, sheet: str | None = None) -> pd.DataFrame:
    r"""A table with a header, from CSV, TSV, semicolon or | separated text, Parquet or xlsx.

    What a file is, how it is compressed (gzip, bz2, xz, zip) and how its columns are parted is told by its content.

    Parameters
    ----------
    path
        The file.
    sheet
        Sheet of a spreadsheet; the first one if not named.

    Returns
    -------
    DataFrame
        Columns of whole numbers, of numbers (missing where empty, NA, NaN or the like), or of text (missing where
        empty: a drug or a gene may be called NA). A column of digits in which some start with 0 is text.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, cut off, not UTF-8, a web page, has rows of unequal length or no header.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "response.txt")
    ...     _ = path.write_text("cell;drug;ln_ic50\nA549;erlotinib;1,5\nPC9;erlotinib;-3\n")
    ...     table(path)["ln_ic50"].tolist()
    [1.5, -3.0]
    """
    kind = kind_of_file(path)
    name = Path(path).name
    if kind == "h5ad":
        raise ValueError(f"{name} should be a table; it is an h5ad file. Read it with anndata.read_h5ad.")
    if kind == "text":
        frame = _from_text(path, text_layout(path))
    elif kind == "xlsx":
        frame = _from_spreadsheet(Path(path), sheet)
    else:
        frame = from_parquet(path)
    if frame.empty:
        raise ValueError(f"{name} should hold rows under its header; it holds none. Export it again.")
    frame = _without_nameless(frame, name)
    if not frame.shape[1]:
        raise ValueError(f"{name} should have columns with names; none has one. Add a header.")
    named = [column for column in map(str, frame.columns) if column]
    # Entrez ids of genes above numbers, beside names of rows that have no header, are a header too.
    entrez = str(frame.columns[0]) == "" and all(re.fullmatch(r"[1-9]\d*", column) for column in named)
    if not entrez and all(re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", column) for column in named):
        raise ValueError(
            f"{name} should start with a header; its first line is numbers ({first(named)}). Add the column names."
        )
    twice = pd.Index(named)[pd.Index(named).duplicated()].unique()
    if len(twice):
        raise ValueError(
            f"the columns of {name} should have different names; {len(twice):,} stand more than once "
            f"(first: {first(twice)}). Rename or remove them."
        )
    return frame


def _without_nameless(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """``frame`` without empty columns that have no name, of which delimiters at the end of lines make several."""
    nameless = np.array([str(column) == "" for column in frame.columns])
    if nameless.sum() < 2:
        return frame
    empty = nameless & frame.isna().all().to_numpy()
    if (nameless & ~empty).sum() > 1:
        raise ValueError(
            f"the columns of {name} should have names; {int((nameless & ~empty).sum()):,} with content have none. Name "
            "them, or remove them."
        )
    return frame.loc[:, ~empty]


@contextmanager
def parse_errors_explained(path: str | Path, layout: TextLayout) -> Iterator[None]:
    """Turn errors of the CSV parser into the user's words."""
    try:
        yield
    except (pa.ArrowInvalid, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        text, name = str(error), Path(path).name
        if "invalid UTF8" in text or isinstance(error, UnicodeDecodeError):
            raise ValueError(not_utf8(path, "below the first lines")) from error
        value = re.search(r"In CSV column #(\d+): .*invalid value '(.*)'", text)
        if value:
            column = layout.names[int(value[1])]
            raise ValueError(
                f"every feature of {name} should be a number; column {column!r} holds text ({value[2][:40]!r}). "
                "Remove that column, or write missing values as NA."
            ) from error
        count = re.search(r"Expected (\d+) columns, got (\d+)", text)
        if count:
            raise ValueError(
                f"every row of {name} should have {count[1]} values, as its header; a row has {count[2]}. "
                "The file is cut off, or a value holds an unquoted delimiter: export it again, or quote such values."
            ) from error
        raise ValueError(
            f"{name} should be delimited text; it cannot be parsed ({text[:120]}). Export it as CSV again."
        ) from error


def block_size(layout: TextLayout) -> int:
    """Bytes to parse at a time: many rows, however wide they are."""
    return min(max(BLOCK, 16 * layout.longest_line), 1 << 30)


def from_parquet(path: str | Path) -> pd.DataFrame:
    """A Parquet table; a named or text index becomes the first column."""
    file = _opened(path)
    try:
        return with_index_as_column(file.read().to_pandas())
    except Exception as error:  # what is said of pandas inside may be anything
        raise _no_parquet(Path(path).name, error) from error


def first_rows(path: str | Path, n: int) -> pd.DataFrame:
    """The first rows of a Parquet table, without its index."""
    file = _opened(path)
    try:
        batch = next(file.iter_batches(batch_size=n), None)
        return pd.DataFrame() if batch is None else batch.to_pandas()
    except Exception as error:
        raise _no_parquet(Path(path).name, error) from error


def _opened(path: str | Path) -> parquet.ParquetFile:
    """A Parquet file whose columns are plain and fit into memory."""
    name = Path(path).name
    try:
        file = parquet.ParquetFile(path)
        strange = [field.name for field in file.schema_arrow if _is_strange(field.type)]
        size = LEAST * file.metadata.num_rows * file.metadata.num_columns
    except Exception as error:
        raise _no_parquet(name, error) from error
    require_room(size, name, "Write a part of it as another file.")
    if strange:
        raise ValueError(
            f"columns of {name} should hold numbers or text; {len(strange):,} hold lists, bytes or other things "
            f"(first: {first(strange)}). Write them as text, or leave them out."
        )
    return file


def _no_parquet(name: str, error: Exception) -> ValueError:
    return ValueError(
        f"{name} should be a whole Parquet file; it cannot be read ({type(error).__name__}: {str(error)[:200]}). "
        "Write it again."
    )


def _is_strange(kind: pa.DataType) -> bool:
    """Whether values are lists, records, bytes or of a type that others defined."""
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    return binary or pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType)


def with_index_as_column(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` with its index as first column, unless the index only counts the rows."""
    counts = frame.index.name is None and pd.api.types.is_integer_dtype(frame.index)
    if isinstance(frame.index, pd.RangeIndex) or (counts and not pd.api.types.is_numeric_dtype(frame.dtypes.iloc[0])):
        # Numbers left over from filtering or sorting the rows of a table that starts with its own ids.
        return frame.reset_index(drop=True)
    name = str(frame.index.name or "")
    return frame.drop(columns=name, errors="ignore").rename_axis(index=name).reset_index(names=name)


def _from_text(path: str | Path, layout: TextLayout) -> pd.DataFrame:
    columns = [str(i) for i in range(len(layout.names))]
    # Read as text: the parser would otherwise guess each column's type from its first block and fail further down.
    convert = csv.ConvertOptions(
        column_types={column: pa.string() for column in columns}, null_values=[""], strings_can_be_null=True
    )
    require_room(4 * Path(path).stat().st_size, Path(path).name, "Divide it, or give a matrix as Parquet or h5ad.")
    with parse_errors_explained(path, layout), open_bytes(path, whole=True) as stream:
        arrow = csv.read_csv(
            stream,
            read_options=csv.ReadOptions(column_names=columns, skip_rows=1, block_size=block_size(layout)),
            parse_options=csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True),
            convert_options=convert,
        )
    typed = [_typed(arrow.column(column), decimal_comma=layout.delimiter == ";") for column in columns]
    frame = pa.table(dict(zip(columns, typed, strict=True))).to_pandas()
    frame.columns = pd.Index(layout.names)
    return frame


def _typed(column: pa.ChunkedArray, *, decimal_comma: bool) -> pa.ChunkedArray:
    nothing = pa.scalar(None, pa.string())
    trimmed = pc.utf8_trim_whitespace(column)
    trimmed = pc.if_else(pc.equal(trimmed, ""), nothing, trimmed)
    if pc.any(pc.match_substring_regex(trimmed, r"^0\d")).as_py():
        return trimmed
    # "NA" is a missing number, but in a column of text it may be the name of a drug or a gene.
    numbers = pc.if_else(pc.is_in(trimmed, pa.array(MISSING)), nothing, trimmed)
    attempts = [(numbers, pa.int64()), (numbers, pa.float64())]
    if decimal_comma:
        attempts.append((pc.replace_substring(numbers, ",", "."), pa.float64()))
    for text, kind in attempts:
        try:
            return pc.cast(text, kind)
        except pa.ArrowInvalid:
            continue
    return trimmed


def _from_spreadsheet(path: Path, sheet: str | None) -> pd.DataFrame:
    require_sheets(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about fonts and styles, which are not read
            with pd.ExcelFile(path, engine="openpyxl") as book:
                names = [str(name) for name in book.sheet_names]
                if sheet is None or sheet in names:
                    frame = book.parse(sheet or 0, dtype="object", keep_default_na=False, na_values=[""])
    except Exception as error:  # XML that someone else wrote fails in many ways
        raise ValueError(
            f"{path.name} should be a whole xlsx file; it cannot be read ({type(error).__name__}: {str(error)[:200]}). "
            "Save it again."
        ) from error
    if sheet is not None and sheet not in names:
        raise ValueError(
            f"{path.name} should have a sheet {sheet!r}; it has {first(names, 8)}. "
            f"{did_you_mean(sheet, names, 'Name one.')}"
        )
    frame.columns = pd.Index(["" if str(name).startswith("Unnamed: ") else str(name).strip() for name in frame.columns])
    return frame.dropna(how="all", ignore_index=True).apply(_numbers_where_possible)


def without_marks(column: pd.Series) -> pd.Series:
    """``column`` with NaN where text such as "NA" says that nothing is known; not for ids, which may be called so."""
    values = [np.nan if pd.isna(value) or (isinstance(value, str) and value in MISSING) else value for value in column]
    return pd.Series(values, index=column.index, dtype="object")


def _numbers_where_possible(column: pd.Series) -> pd.Series:
    known = without_marks(column)
    if any(isinstance(value, str) and re.match(r"\s*0\d", value) for value in known):
        return column
    if not all(isinstance(value, str | int | float) for value in known):
        return column
    try:
        return as_numbers(known, strict=True)
    except ValueError:
        return column
