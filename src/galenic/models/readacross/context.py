"""What surrounds a profile, as numbers: its cell line, dose, time."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from galenic.data.checks import first, require_columns
from galenic.data.gctx.metadata import as_text
from galenic.data.numbers import as_numbers


def learn(obs: pd.DataFrame, columns: Sequence[str]) -> list[dict[str, Any]]:
    """How columns of profiles become numbers, as plain JSON.

    Texts become one column a value; numbers (dose, time) one column, ``log(1 + value)`` standardised.

    Examples
    --------
    >>> learn(pd.DataFrame({"cell": ["A375", "PC3"]}), ["cell"])
    [{'column': 'cell', 'values': ['A375', 'PC3']}]
    """
    require_columns(obs, columns, "context: the table of profiles")
    return [_learn(obs[column], column) for column in columns]


def encode(obs: pd.DataFrame, how: list[dict[str, Any]]) -> np.ndarray:
    """Context of profiles, ``(n, width)`` float32; what is missing or was never seen is 0.

    Warns
    -----
    UserWarning
        If a column is absent, or holds values that were never seen.

    Examples
    --------
    >>> encode(pd.DataFrame({"cell": ["PC3", "A375"]}), learn(pd.DataFrame({"cell": ["A375", "PC3"]}), ["cell"]))
    array([[0., 1.],
           [1., 0.]], dtype=float32)
    """
    parts = [np.zeros((len(obs), 0), dtype=np.float32)] + [_encode(obs, one) for one in how]
    return np.concatenate(parts, axis=1)


def width(how: list[dict[str, Any]]) -> int:
    """Number of columns that :func:`encode` gives."""
    return sum(len(one["values"]) if "values" in one else 1 for one in how)


def _learn(values: pd.Series, column: str) -> dict[str, Any]:
    if pd.api.types.is_numeric_dtype(values):
        logs = np.log1p(values.dropna().to_numpy(dtype=np.float64))
        deviation = float(logs.std()) if len(logs) else 0.0
        return {"column": column, "mean": float(logs.mean()) if len(logs) else 0.0, "deviation": deviation or 1.0}
    return {"column": column, "values": sorted(set(as_text(values)) - {""})}


def _encode(obs: pd.DataFrame, one: dict[str, Any]) -> np.ndarray:
    n = len(one["values"]) if "values" in one else 1
    if one["column"] not in obs:
        warnings.warn(
            f"the network was given {one['column']!r} of each profile; these profiles have no such column. It counts "
            "as unknown.",
            stacklevel=6,
        )
        return np.zeros((len(obs), n), dtype=np.float32)
    if "values" not in one:
        numbers = np.log1p(as_numbers(obs[one["column"]]).to_numpy(dtype=np.float64))
        return np.nan_to_num((numbers - one["mean"]) / one["deviation"]).astype(np.float32)[:, None]
    texts = as_text(obs[one["column"]])
    codes = pd.Index(one["values"]).get_indexer(pd.Index(texts))
    unseen = sorted(set(texts[codes < 0]) - {""})
    if unseen:
        warnings.warn(
            f"{len(unseen):,} values of {one['column']!r} were not seen in the fit (first: {first(unseen)}); they "
            "count as unknown.",
            stacklevel=6,
        )
    return np.where(codes[:, None] == np.arange(n), np.float32(1), np.float32(0))
