"""Errors in the user's words: what was expected, what came, what to do."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from galenic.work.near import nearest_name


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


def finite(table: pd.DataFrame, column: str, what: str) -> np.ndarray:
    """The numbers of a column, float64; raise ``ValueError`` where one is missing or infinite."""
    values = table[column].to_numpy(dtype=np.float64, na_value=np.nan)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ValueError(
            f"{what} needs a finite number in every row of {column!r}; {len(bad):,} of {len(values):,} are missing or "
            f"infinite (first rows: {first(bad)}). Leave those rows out, for every model alike."
        )
    return values


def labels(table: pd.DataFrame, column: str, what: str) -> pd.Series:
    """The values of a column as text; raise ``ValueError`` where one is missing."""
    missing = np.flatnonzero(table[column].isna())
    if len(missing):
        raise ValueError(
            f"{what} needs a value in every row of {column!r}; {len(missing):,} of {len(table):,} are missing "
            f"(first rows: {first(missing)}). Name them (say 'unknown') or leave those rows out."
        )
    return table[column].astype(str)
