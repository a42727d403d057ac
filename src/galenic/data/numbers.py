"""Numbers out of text, whatever the text holds."""

from __future__ import annotations

from typing import Any

import pandas as pd

LONG_EXPONENT = r"[eE][+-]?\d{6,}"
"""pandas reads beyond its table of powers, and ends the process, where an exponent does not fit into an int."""


def as_numbers(values: Any, *, strict: bool = False) -> Any:
    """``values`` as ``pandas.to_numeric`` reads them, but safe where they come out of a stranger's file.

    Parameters
    ----------
    values
        A Series, Index or array of numbers, text or both.
    strict
        Raise ``ValueError`` for what is no number, instead of giving NaN.

    Returns
    -------
    pandas.Series or pandas.Index or numpy.ndarray
        Like ``values``; text of an exponent with six digits or more is no number.

    Examples
    --------
    >>> as_numbers(pd.Series(["0.5", "1e3", "x", "1e-2147483648"])).tolist()
    [0.5, 1000.0, nan, nan]
    """
    if not pd.api.types.is_numeric_dtype(values):
        texts = pd.Series(values, dtype="object").astype("str")
        unsafe = texts.str.contains(LONG_EXPONENT, regex=True).to_numpy()
        if unsafe.any():
            if strict:
                raise ValueError(
                    f"numbers are expected; {unsafe.sum():,} have an exponent of six digits or more (first: "
                    f"{texts[unsafe].iloc[0][:40]!r}). Correct them."
                )
            values = values.where(~unsafe) if hasattr(values, "where") else pd.Series(values).where(~unsafe).to_numpy()
    return pd.to_numeric(values, errors="raise" if strict else "coerce")  # noqa: TID251
