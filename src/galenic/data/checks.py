"""Errors in the user's words: what was expected, what came, what to do."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from galenic.work.near import nearest_name


def first(names: Iterable[object], n: int = 3) -> str:
    """Name a few of many: ``'A', 'B', 'C' and 34 more``."""
    names = [str(name) for name in names]
    shown = ", ".join(repr(name) for name in names[:n])
    return shown + (f" and {len(names) - n:,} more" if len(names) > n else "")


def steps_of(told: Mapping[str, object]) -> list[str]:
    """What was done to data, a line each, from their ``uns``; nothing where something else is called ``"steps"``.

    Examples
    --------
    >>> steps_of({"steps": ["cut at 10"]}), steps_of({"steps": "cut"}), steps_of({})
    (['cut at 10'], [], [])
    """
    steps = told.get("steps")
    return [str(step) for step in steps] if isinstance(steps, (list, tuple, np.ndarray)) and np.ndim(steps) == 1 else []


def require_columns(table: pd.DataFrame, columns: Iterable[str], what: str) -> None:
    """Raise ``ValueError`` unless ``table`` has every one of ``columns``."""
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(
            f"{what} needs the column(s) {first(missing, 5)}; "
            f"it has {first(table.columns, 8)}"
            f"{nearest_name(missing[0], table.columns)} Rename a column or name it explicitly."
        )


def require_unique(names: pd.Index, what: str) -> None:
    """Raise ``ValueError`` if a name stands twice."""
    if not names.is_unique:
        twice = names[names.duplicated()].unique()
        raise ValueError(
            f"{what} must be unique; {len(twice):,} stand more than once (first: {first(twice)}). "
            "Merge or drop the repeats before reading."
        )


def require_known(names: pd.Series, known: pd.Index, what: str, where: str) -> None:
    """Raise ``ValueError`` if a name is not one of ``known``."""
    unknown = pd.unique(names[~names.isin(known)])
    if len(unknown):
        raise ValueError(
            f"every {what} must be found in {where} ({len(known):,} known, first: {first(known)}); "
            f"{len(unknown):,} are not (first: {first(unknown)}). "
            f"Check that both use the same kind of id, or drop those rows."
        )


def is_zarr(path: str | Path) -> bool:
    """Whether a path is a zarr folder, which stands for one file.

    Examples
    --------
    >>> is_zarr("absent.zarr")
    False
    """
    return any(os.path.isfile(Path(path) / name) for name in (".zgroup", "zarr.json"))


def require_file(path: str | Path, what: str, *, or_zarr: bool = False) -> Path:
    """Return ``path`` if it is a file with content; raise ``FileNotFoundError`` or ``ValueError`` otherwise.

    With ``or_zarr`` a zarr folder counts as a file.
    """
    path = Path(path)
    if or_zarr and is_zarr(path):
        return path
    if path.is_dir():
        raise ValueError(f"{what} should be a file; {path} is a folder. Name the file inside it.")
    if not path.exists():
        raise FileNotFoundError(f"{what} should be a file; {path} does not exist. Check the path.")
    if path.stat().st_size == 0:
        raise ValueError(f"{what} should hold data; {path} is empty (0 bytes). Export or download it again.")
    return path
