"""Errors in the user's words: what was expected, what came, what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from galenic.work.near import nearest_name

BLOCK = 2**22  # values


def first(names: Iterable[object], n: int = 3) -> str:
    """Name a few of many: ``'A', 'B', 'C' and 34 more``."""
    names = [str(name) for name in names]
    shown = ", ".join(repr(name) for name in names[:n])
    return shown + (f" and {len(names) - n:,} more" if len(names) > n else "")


def require_columns(table: pd.DataFrame, columns: Iterable[str], what: str) -> None:
    """Raise ``ValueError`` unless ``table`` has every one of ``columns``."""
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(
            f"{what} needs the column(s) {first(missing, 5)}; "
            f"the table has {first(table.columns, 8)}"
            f"{nearest_name(missing[0], table.columns)} Rename a column or name it explicitly."
        )


def parts_of(values: np.ndarray) -> Iterator[slice]:
    """Rows that are looked at together, so that what is computed of millions of rows stays small."""
    size = max(1, BLOCK // max(1, values.shape[1]))
    for start in range(0, len(values), size):
        yield slice(start, start + size)


LARGEST = 1e15
"""Squares of larger numbers, summed, are infinite in single precision."""


def matrix(values: np.ndarray, what: str, n_columns: int | None = None, n_rows: int | None = None) -> np.ndarray:
    """A finite matrix of the stated shape; raise ``ValueError`` otherwise."""
    values = np.asarray(values)
    rows, columns = (f"{n:,}" if n is not None else "any" for n in (n_rows, n_columns))
    if (
        values.ndim != 2
        or (n_columns is not None and values.shape[1] != n_columns)
        or (n_rows is not None and len(values) != n_rows)
    ):
        raise ValueError(
            f"{what} should be a matrix of {rows} rows and {columns} columns; received shape {values.shape}. "
            "Pass one row a profile, with the columns of the reference."
        )
    largest = min(LARGEST, float(np.finfo(values.dtype).max)) if values.dtype.kind == "f" else LARGEST
    finite = np.empty(len(values), dtype=bool)
    for part in parts_of(values):
        finite[part] = (np.abs(values[part]) <= largest).all(axis=1)
    bad = np.flatnonzero(~finite)
    if len(bad):
        raise ValueError(
            f"every number of the {what} should be finite; {len(bad):,} of {len(values):,} rows hold others, or "
            f"larger ones than {LARGEST:g} (first: {first(bad)}). Leave those rows out or fill them."
        )
    return values


def unit(values: np.ndarray, what: str) -> np.ndarray:
    """Rows scaled to length 1, in float32 or float64; raise ``ValueError`` where a row is all zero."""
    values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
    return values / lengths(values, what)


def lengths(values: np.ndarray, what: str) -> np.ndarray:
    """Length of each row, ``(n, 1)``; raise ``ValueError`` where one is 0."""
    found = np.empty((len(values), 1), dtype=values.dtype)
    for rows in parts_of(values):
        found[rows] = np.linalg.norm(values[rows], axis=1, keepdims=True)
    zero = np.flatnonzero(found == 0)
    if len(zero):
        raise ValueError(
            f"cosine needs vectors with a direction; {len(zero):,} of {len(values):,} rows of the {what} are all zero "
            f"(first: {first(zero)}). Leave those rows out."
        )
    return found
