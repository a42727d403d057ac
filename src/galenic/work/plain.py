"""Results as arrays and plain JSON, and back: nothing that is read can run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galenic.work.atomic import written

TREE = "tree"


def save(path: Path, value: Any) -> None:
    """Write a value made of arrays, data frames, dataclasses, dicts, lists, tuples, text, numbers and ``None``.

    Raises
    ------
    TypeError
        If there is something else in it.

    Examples
    --------
    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "found.npz"
    >>> save(place, {"scores": (np.ones(2), "a"), "history": pd.DataFrame({"epoch": [1], "stage": ["x"]})})
    >>> found = load(place)
    >>> found["scores"], found["history"].shape
    ((array([1., 1.]), 'a'), (1, 2))
    """
    arrays: dict[str, np.ndarray] = {}
    tree = json.dumps(_taken_apart(value, arrays))
    with written(path) as draft, draft.open("wb") as stream:
        np.savez(stream, **{TREE: np.array(tree)}, **arrays)  # type: ignore[arg-type]


def load(path: Path, kinds: Sequence[type] = ()) -> Any:
    """Read what :func:`save` wrote.

    Parameters
    ----------
    path
        The file.
    kinds
        Dataclasses that may be in it.

    Raises
    ------
    ValueError
        If the file is damaged, or is none of these.
    """
    classes = {kind.__name__: kind for kind in kinds}
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return _put_together(json.loads(str(arrays[TREE])), arrays, classes)
    except PermissionError:
        raise
    except Exception as error:  # there is nothing that a damaged file does not make its readers raise
        raise ValueError(
            f"a kept result should be a file that an earlier run wrote whole; {path} is not ({error}). "
            "Delete it: it will be computed again."
        ) from error


def _taken_apart(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.kind == "O":
            raise TypeError("results that are kept hold arrays of numbers or text; received one of objects.")
        arrays[name := f"a{len(arrays)}"] = np.asarray(value)
        return {"array": name} if isinstance(value, np.ndarray) else {"number": name}
    if isinstance(value, pd.DataFrame):
        columns = [
            column.tolist() if column.dtype.kind not in "biuf" else column.to_numpy() for _, column in value.items()
        ]
        index = None if isinstance(value.index, pd.RangeIndex) else value.index.tolist()
        return {"frame": [value.columns.tolist(), _taken_apart(columns, arrays), index, len(value)]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {"class": [type(value).__name__, _taken_apart(fields, arrays)]}
    if isinstance(value, dict):
        return {"dict": [[_key(key), _taken_apart(one, arrays)] for key, one in value.items()]}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_taken_apart(one, arrays) for one in value]}
    raise TypeError(f"results that are kept are arrays, tables and plain values; received {type(value).__name__}.")


def _key(key: Any) -> Any:
    if not isinstance(key, (str, int)):
        raise TypeError(f"results that are kept have keys of text; received {type(key).__name__}.")
    return key


def _put_together(tree: Any, arrays: Any, classes: dict[str, type]) -> Any:
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "array":
        return arrays[content]
    if kind == "number":
        return arrays[content][()]
    if kind == "frame":
        names, columns, index, length = content
        found = _put_together(columns, arrays, classes)
        # Columns one by one: a table may name two of them alike.
        table = (
            pd.concat([pd.Series(column) for column in found], axis=1) if found else pd.DataFrame(index=range(length))
        )
        table.columns = pd.Index(names)
        return table if index is None else table.set_axis(index, axis=0)
    if kind == "class":
        name, fields = content
        return classes[name](**_put_together(fields, arrays, classes))
    if kind == "dict":
        return {key: _put_together(one, arrays, classes) for key, one in content}
    parts = [_put_together(one, arrays, classes) for one in content]
    return {"list": list, "tuple": tuple}[kind](parts)
