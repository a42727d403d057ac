"""Which rows of a table a search may find: by value, by one of several values, or by range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from galenic.search.checks import first, require_columns
from galenic.search.names import nearest_names

Filter: TypeAlias = Mapping[str, Any] | np.ndarray


def rows_that_fit(table: pd.DataFrame, where: Filter) -> np.ndarray:
    """Rows of a table that a filter leaves, boolean ``(n,)``.

    Parameters
    ----------
    table
        What is known of each row.
    where
        ``{"cell": ["A375", "PC3"], "time": 24, "dose": (1, 10)}``: a list means any of it, a pair in round brackets a
        range with both ends. Or a boolean mask ``(n,)``, which is only checked.

    Raises
    ------
    ValueError
        For an unknown column, a value that no row has (with the nearest that exist), or a mask of another length.

    Examples
    --------
    >>> rows_that_fit(pd.DataFrame({"cell": ["A375", "PC3"], "dose": [1.0, 20.0]}), {"dose": (1, 10)}).tolist()
    [True, False]
    """
    if not isinstance(where, Mapping):
        chosen = np.asarray(where)
        if chosen.dtype != bool or chosen.shape != (len(table),):
            raise ValueError(
                f"a mask should hold True or False for each of {len(table):,} rows; received shape {chosen.shape} "
                f"of {chosen.dtype}. Build it with index.mask({{...}})."
            )
        return chosen
    require_columns(table, where, "a filter: the table of the index")
    chosen = np.ones(len(table), dtype=bool)
    for column, wanted in where.items():
        chosen &= _fits(table[column], wanted)
    return chosen


def _fits(column: pd.Series, wanted: object) -> np.ndarray:
    """Rows of a column with a value, one of a list, or in a range."""
    if isinstance(wanted, tuple):
        if len(wanted) != 2 or not pd.api.types.is_numeric_dtype(column):
            raise ValueError(
                f"a range is two numbers for a column of numbers; received {wanted!r} for {column.name!r} of type "
                f"{column.dtype}. Give a list for several values."
            )
        return column.between(*wanted).to_numpy(dtype=bool)
    values = wanted if isinstance(wanted, list | np.ndarray | pd.Series | pd.Index | set) else [wanted]
    known = set(column.dropna().unique())
    absent = [value for value in values if value not in known]
    if absent:
        near = nearest_names(str(absent[0]), map(str, known)) or sorted(map(str, known))
        raise ValueError(
            f"the filter on {column.name!r} should name values of the table; {len(absent):,} of {len(list(values)):,} "
            f"are in no row (first: {first(absent)}). Near {absent[0]!r}: {first(near)}."
        )
    return column.isin(list(values)).to_numpy(dtype=bool)
