"""Engines refuse what they cannot use, and say what would help; parcels and checksums hold what they should."""

from __future__ import annotations

import dataclasses
import pickle
import socket
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from galenic.cli.compute import EngineFlags, engaged
from galenic.work.contents import contents
from galenic.work.engines import engine
from galenic.work.parcel import ALIGNED, LARGE, Parcel, Shared


def enter(*arguments: Any) -> None:
    with engine(*arguments):
        pass


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("spark",), "'loky', 'dask' or 'ray'; received 'spark'. Choose"),
        (("loky", "tcp://127.0.0.1:1"), "address is that of a cluster .*received 'tcp://127.0.0.1:1'.* leave it out"),
        (("dask", "nowhere"), "tcp://HOST:PORT or as the scheduler file .*nowhere is neither. Copy the line"),
        (("ray", "nowhere"), "HOST:PORT; nothing does at nowhere .it is no HOST:PORT.* ray start --head"),
    ],
)
def test_what_is_no_engine_is_refused(arguments: tuple[str, ...], said: str) -> None:
    pytest.importorskip({"dask": "distributed", "ray": "ray"}.get(arguments[0], "joblib"), reason="is in the extra")
    with pytest.raises(ValueError, match=said):
        enter(*arguments)


@pytest.mark.parametrize(("backend", "address"), [("dask", "tcp://127.0.0.1:{}"), ("ray", "127.0.0.1:{}")])
def test_an_address_where_nothing_answers_is_told_soon(backend: str, address: str) -> None:
    pytest.importorskip({"dask": "distributed"}.get(backend, backend), reason=f"{backend} is in the extra [scale]")
    with socket.socket() as free:  # bound and not listening
        free.bind(("127.0.0.1", 0))
        began = time.monotonic()
        with pytest.raises(ValueError, match=r"should answer at its address.*nothing does at .*Start"):
            enter(backend, address.format(free.getsockname()[1]))
        assert time.monotonic() - began < 20


@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_an_extra_that_is_not_installed_is_named(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("distributed", "ray", "galenic.work.on_ray", "galenic.work.on_dask"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=rf"backend '{backend}' needs .*pip install 'galenic\[scale\]'"):
        enter(backend)


def test_flags_without_a_cluster_stay_as_they_are() -> None:
    with engaged(EngineFlags(jobs=3)) as flags:
        assert flags == EngineFlags(jobs=3)


numbers = st.integers(-5, 5)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@given(values, st.integers(1, 3))
def test_a_parcel_holds_what_was_put_in_it(value: Any, n: int) -> None:
    matrix = np.arange(LARGE // 8 + n, dtype=np.float64)
    back, large = Parcel((value, matrix)).open()
    assert back == value
    np.testing.assert_array_equal(large, matrix)


def test_large_arrays_are_shared_and_small_ones_are_one_s_own() -> None:
    large, small = np.asfortranarray(np.ones((512, 300))), np.ones(3)
    parcel = Parcel([large, small, large])
    first, own, second = parcel.open()
    assert np.shares_memory(first, large)
    assert first is second
    assert not first.flags.writeable
    assert own.flags.writeable
    assert len(pickle.dumps(parcel.rest)) < 2000
    assert sys.getsizeof(parcel) > large.nbytes
    odd = np.frombuffer(b"x" + large.tobytes(), np.uint8)[1:]
    if odd.ctypes.data % ALIGNED:
        parcel.arrays = [odd]
        first, again = parcel.open()[0], parcel.open()[0]
        assert first.ctypes.data % ALIGNED == 0
        assert np.shares_memory(first, again)


@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=4))
def test_jobs_are_called_as_if_nothing_were_shared(rows: list[tuple[int, int, int]]) -> None:
    matrix = [1, 2]
    jobs = {str(number): (row[0], matrix, *row[1:]) for number, row in enumerate(rows)}
    shared = Shared.of(lambda *arguments: arguments, jobs)
    assert 1 in shared.places
    for job in jobs.values():
        assert shared.call(shared.rest(job)) == job


@dataclasses.dataclass(frozen=True)
class Holder:
    table: pd.DataFrame
    more: Any = None
    late: Any = dataclasses.field(default=None, init=False)


def samples() -> AnnData:
    obs = pd.DataFrame({"kind": pd.Categorical(["a", "b", "a"]), "dose": [0.1, 1.0, np.nan]}, index=["x", "y", "z"])
    return AnnData(sparse.csr_matrix(np.eye(3, 4)), obs=obs, obsm={"X_pca": np.arange(6.0).reshape(3, 2)})


def changes(adata: AnnData) -> list[AnnData]:
    """The same samples with one thing changed in each."""
    found = [adata.copy() for _ in range(6)]
    found[0].X[0, 0] = 2.0
    found[1].obs.loc["x", "dose"] = 0.2
    found[2].obsm["X_pca"][0, 0] = 9.0
    found[3].var_names = ["a", "b", "c", "e"]
    found[4].uns["drug"] = "x"
    found[5].obs["kind"] = found[5].obs["kind"].cat.rename_categories({"a": "c"})
    return found


def test_contents_tell_every_change_and_nothing_else() -> None:
    adata = samples()
    assert contents(adata) == contents(adata.copy()) == contents(samples())
    assert len({contents(one) for one in [adata, *changes(adata)]}) == 7
    holder = Holder(adata.obs, {"path": Path("a"), "f": len, "s": {1, 2}})
    same = Holder(adata.obs.copy(), {"path": Path("a"), "f": len, "s": {2, 1}})
    assert contents(holder) == contents(pickle.loads(pickle.dumps(holder))) == contents(same)
    assert contents(Holder(adata.obs, 1)) != contents(Holder(adata.obs, 2))


@given(values, values)
def test_contents_are_equal_where_values_are(one: Any, other: Any) -> None:
    assert (contents(one) == contents(other)) == (repr(one) == repr(other))


def test_a_value_that_holds_itself_is_refused() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(ValueError, match="should not hold themselves; a list does"):
        contents(ring)
