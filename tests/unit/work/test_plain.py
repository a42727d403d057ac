"""What is kept comes back as it was, for any values; what is damaged is told, never read as something else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from galenic.work.plain import load, save


@dataclass(frozen=True)
class Found:
    scores: Any
    history: Any


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and (one.dtype, one.shape) == (other.dtype, other.shape)
            and one.tobytes() == other.tobytes()
        )
    if isinstance(one, pd.DataFrame):
        return isinstance(other, pd.DataFrame) and one.equals(other) and list(one.dtypes) == list(other.dtypes)
    if isinstance(one, Found):
        return isinstance(other, Found) and same(one.scores, other.scores) and same(one.history, other.history)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    return type(one) is type(other) and bool(one == other)


ARRAYS = hnp.arrays(
    st.one_of(
        hnp.boolean_dtypes(),
        hnp.integer_dtypes(endianness="="),
        hnp.floating_dtypes(endianness="=", sizes=(32, 64)),
    ),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
TEXT = st.text(st.characters(codec="utf-8"))
FRAMES = st.builds(
    lambda numbers, texts: pd.DataFrame(
        {"epoch": np.arange(len(texts)), "lr": (numbers + [0.5] * 9)[: len(texts)], "stage": texts,
         "best": [bool(len(one) % 2) for one in texts]}
    ),
    st.lists(st.floats(), max_size=3),
    st.lists(TEXT, min_size=1, max_size=4),
)  # fmt: skip
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT, ARRAYS, FRAMES)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(TEXT, inner, max_size=3),
        st.builds(Found, inner, inner),
    ),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=VALUES)
def test_any_value_comes_back(tmp_path: Path, value: Any) -> None:
    save(tmp_path / "a.npz", value)
    assert same(load(tmp_path / "a.npz", [Found]), value)


@pytest.mark.parametrize("value", [object(), {1.5: 2}, np.array([object()]), {"a": {1, 2}}, lambda: 0])
def test_what_would_need_pickle_is_refused_and_leaves_no_file(tmp_path: Path, value: Any) -> None:
    with pytest.raises(TypeError, match=r"results that are kept .*; received"):
        save(tmp_path / "a.npz", value)
    assert list(tmp_path.iterdir()) == []


def test_a_changed_byte_anywhere_is_noticed(tmp_path: Path) -> None:
    """Some bytes say nothing (dates, say): with those changed the same values are read."""
    path, value = tmp_path / "a.npz", Found(np.arange(20.0), {"a": (1, "text")})
    save(path, value)
    whole, refused = path.read_bytes(), 0
    for place in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[place] ^= 0x41
        path.write_bytes(changed)
        try:
            assert same(load(path, [Found]), value), place
        except ValueError as error:
            assert "Delete it: it will be computed again" in str(error)  # noqa: PT017
            refused += 1
        assert path.read_bytes() == changed
    assert refused > len(whole) / 6
    for damaged in (b"", whole[:-1], whole[: len(whole) // 2], whole[100:], b"text"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a kept result should be .*; .*a\.npz is not"):
            load(path, [Found])


def test_a_class_that_was_not_asked_for_is_not_made(tmp_path: Path) -> None:
    save(tmp_path / "a.npz", Found(1, 2))
    with pytest.raises(ValueError, match="is not"):
        load(tmp_path / "a.npz")
