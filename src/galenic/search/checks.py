"""Errors in the user's words: what was expected, what came, what to do."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd


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
            f"the table has {first(table.columns, 8)}. Rename a column or name it explicitly."
        )


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
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise ValueError(
            f"every number of the {what} should be finite; {len(bad):,} of {len(values):,} rows hold others (first: "
            f"{first(bad)}). Leave those rows out or fill them."
        )
    return values


def unit(values: np.ndarray, what: str) -> np.ndarray:
    """Rows scaled to length 1, in float32 or float64; raise ``ValueError`` where a row is all zero."""
    values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    zero = np.flatnonzero(lengths == 0)
    if len(zero):
        raise ValueError(
            f"cosine needs vectors with a direction; {len(zero):,} of {len(values):,} rows of the {what} are all zero "
            f"(first: {first(zero)}). Leave those rows out."
        )
    return values / lengths
