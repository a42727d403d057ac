"""What tells the data and settings of one piece of work from those of another."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SAMPLES = ("X", "obs", "var", "obsm", "varm", "layers", "uns")
"""Parts of an AnnData."""


def contents(value: Any) -> str:
    """A checksum of all that a value holds: arrays, tables, AnnData, dataclasses, and what these are made of.

    Equal contents have equal checksums in every process and on every machine. Of a function the name counts, of a file
    its path and size.

    Examples
    --------
    >>> table = pd.DataFrame({"gene": ["A", "B"], "weight": [0.5, 1.0]})
    >>> contents({"table": table, "seed": 0}) == contents({"table": table.copy(), "seed": 0})
    True
    >>> contents(table) == contents(table.rename(columns={"weight": "w"}))
    False
    """
    found = hashlib.sha256()
    _add(found, value, ())
    return found.hexdigest()


def _add(found: Any, value: Any, above: tuple[int, ...]) -> None:
    """Put a value into the checksum; ``above`` are those that it lies in."""
    if id(value) in above:
        raise ValueError(
            f"data should not hold themselves; a {type(value).__name__} does. Leave it out of what is judged."
        )
    name, parts = _parts(value)
    found.update(f"<{name}>".encode())
    for part in parts:
        if isinstance(part, bytes):
            found.update(f"{len(part)}:".encode())
            found.update(part)
        elif isinstance(part, np.ndarray) and part.dtype.kind != "O":
            found.update(f"{part.shape}{part.dtype.str}".encode())
            # One block after another: a copy of the whole may be more than there is memory.
            for block in np.array_split(part, max(1, part.nbytes >> 26)) if part.ndim else [part]:
                found.update(np.ascontiguousarray(block).tobytes())
        else:
            _add(found, part, (*above, id(value)))
    found.update(b"</>")


def _parts(value: Any) -> tuple[str, list[Any]]:
    """What kind of thing it is, and what is in it: bytes, arrays of numbers, and values to be taken apart in turn."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return type(value).__name__, [repr(value).encode()]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):  # first: its fields may be named like methods
        fields = [field.name for field in dataclasses.fields(value) if field.init]
        return type(value).__name__, [part for name in fields for part in (name, getattr(value, name))]
    if isinstance(value, (np.ndarray, np.generic)):
        return "array", [_texts(np.asarray(value)) if value.dtype.kind == "O" else np.asarray(value)]
    if isinstance(value, pd.DataFrame):
        return "table", [value.index, value.columns, *(column for _, column in value.items())]
    if isinstance(value, pd.MultiIndex):
        return "index", [value.to_frame(index=False)]
    if isinstance(value, (pd.Series, pd.Index)):
        plain = value.dtype.kind in "biufcmM" if isinstance(value.dtype, np.dtype) else False
        return "column", [str(value.name), value.to_numpy() if plain else _texts(np.asarray(value, dtype=object))]
    if hasattr(value, "indptr"):
        return f"sparse {value.format} {value.shape}", [value.data, value.indices, value.indptr]
    if getattr(value, "isbacked", False):
        return "file", [Path(value.filename), value.obs, value.var]
    if all(hasattr(value, name) for name in SAMPLES):
        return "samples", [getattr(value, name) for name in SAMPLES]
    if isinstance(value, Path):
        return "path", [str(value), value.stat().st_size if value.is_file() else 0]
    if isinstance(value, Mapping):
        return "mapping", [part for key, one in value.items() for part in (key, one)]
    if isinstance(value, AbstractSet):
        return "set", sorted(value, key=repr)
    if isinstance(value, (list, tuple)):
        return type(value).__name__, list(value)
    if hasattr(value, "detach"):  # a tensor of torch
        return "tensor", [value.detach().cpu().numpy()]
    if callable(value) and hasattr(value, "__qualname__"):
        return "function", [f"{value.__module__}.{value.__qualname__}"]
    return type(value).__name__, [vars(value)] if hasattr(value, "__dict__") else [repr(value)]


def _texts(values: np.ndarray) -> bytes:
    """Texts, numbers and missing values of a column of objects."""
    return "\0".join("" if one is None else f"{type(one).__name__[:3]}{one}" for one in values.ravel()).encode()
