"""The same jobs on processes of this machine, on Dask and on Ray: the same results, and none lost with another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import engine_jobs
import joblib
import numpy as np
import pandas as pd
import pytest

import galenic
from galenic.data.response import ResponseData
from galenic.data.simulate import screen
from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.models.scatd.search import search
from galenic.models.scatd.search_space import Space
from galenic.train import Training
from galenic.work.engines import active, engine
from galenic.work.fan_out import fan_out
from galenic.work.kept import Kept

HERE = Path(__file__).parent


@dataclass
class Cluster:
    """An engine that runs, and how another process finds it."""

    backend: Any
    address: str | None

    def use(self) -> AbstractContextManager[None]:
        return engine(self.backend, self.address)


@pytest.fixture(scope="module", params=["loky", "dask", "ray"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Two workers, started once for all tests."""
    if request.param == "dask":
        pytest.importorskip("distributed", reason="distributed is in the extra [scale]")
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)  # other clusters of Dask leave it behind
            with engine("dask", n_workers=2):
                yield Cluster("dask", active().client.scheduler.address)
    elif request.param == "ray":
        ray = pytest.importorskip("ray", reason="ray is in the extra [scale], for Python up to 3.13")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(HERE))  # where its workers find the jobs
            with engine("ray", n_workers=2):
                yield Cluster("ray", ray.get_runtime_context().gcs_address)
    else:
        yield Cluster("loky", None)


@pytest.fixture(scope="module")
def once() -> Callable[[str, Callable[[], Any]], Any]:
    """What the first engine found, kept for the comparison with the others."""
    found: dict[str, Any] = {}

    def keep(name: str, make: Callable[[], Any]) -> Any:
        if name not in found:
            with engine("loky"):
                found[name] = make()
        return found[name]

    return keep


def data() -> ResponseData:
    """A screen whose expression is large enough to be shared rather than copied."""
    return screen(n_cells=80, n_drugs=4, n_genes=2000, noise=0.5, seed=0)[0]


def judged() -> list[pd.DataFrame]:
    models = {"ridge": galenic.Ridge(), "forest": galenic.RandomForest(n_trees=10)}
    found = galenic.benchmark(models, data(), by="cell", n_folds=2, n_jobs=2)
    return [found.metrics, found.predictions, found.scores_by_drug, found.comparison]


def test_a_benchmark_is_the_same_on_every_engine(cluster: Cluster, once: Any) -> None:
    expected = once("benchmark", judged)
    with cluster.use():
        for table, other in zip(judged(), expected, strict=True):
            pd.testing.assert_frame_equal(table, other, check_exact=True)


@pytest.mark.parametrize("cluster", ["dask"], indirect=True)
def test_workers_of_dask_do_not_give_freed_memory_back_at_once(cluster: Cluster) -> None:
    with cluster.use():
        assert dict(fan_out(os.getenv, {"set": ("MALLOC_TRIM_THRESHOLD_",)}, n_jobs=2)) == {"set": None}


BRIEF = Training(max_epochs=1)


def ensembles() -> list[pd.DataFrame]:
    profiles = galenic.simulate.profiles(n_perturbagens=8, seed=0)
    deep = galenic.DeepPert(families=("ae", "vae"), sizes=(2,), runs=2, n_components=5, training=BRIEF, shared=0.2)
    deep.fit(profiles, n_jobs=2)
    across = galenic.ReadAcross(n_latent=8, n_members=2, training=BRIEF).fit(profiles, n_jobs=2)
    return [deep.latents_, pd.DataFrame(deep.embed(profiles)), pd.DataFrame(across.embed(profiles))]


def test_ensembles_are_the_same_on_every_engine(cluster: Cluster, once: Any) -> None:
    _leave_ray_to_the_night(cluster)
    expected = once("ensembles", ensembles)
    with cluster.use():
        for table, other in zip(ensembles(), expected, strict=True):
            pd.testing.assert_frame_equal(table, other, check_exact=True)


class Counted:
    """Counts how often it is packed to be sent."""

    times = 0

    def __reduce__(self) -> tuple[type, tuple[()]]:
        Counted.times += 1
        return float, ()


SPACE = Space(max_epochs=(1, 2), n_latent=(2, 4), first=(8, 16), last=(4, 8), middle=(4, 8), step=2, n_middle=(0, 1))


def searched() -> pd.DataFrame:
    cells = bulk_and_cells(n_genes=30, n_cells=80, n_drivers=5, seed=2)[1]
    return search(cells, space=SPACE, n_trials=4, n_folds=2, n_jobs=2).trials


def test_a_search_is_the_same_on_every_engine(cluster: Cluster, once: Any) -> None:
    _leave_ray_to_the_night(cluster)
    pytest.importorskip("optuna", reason="optuna is in the extra [hpo]")
    expected = once("search", searched)
    with cluster.use():
        pd.testing.assert_frame_equal(searched(), expected, check_exact=True)


def test_what_all_jobs_share_is_packed_once_and_cannot_be_spoilt(cluster: Cluster, tmp_path: Path) -> None:
    matrix, shared = np.random.default_rng(0).normal(size=(400, 400)), Counted()
    before = matrix.copy()
    Counted.times = 0
    with cluster.use():
        jobs: dict[str, tuple[Any, ...]] = {f"{k}": (matrix, float(k), tmp_path, shared) for k in range(12)}
        found = dict(fan_out(engine_jobs.weighed, jobs, n_jobs=2))
    assert found == {f"{k}": (float((matrix * k).sum()), False) for k in range(12)}
    assert Counted.times == 1
    np.testing.assert_array_equal(matrix, before)


def _leave_ray_to_the_night(cluster: Cluster) -> None:
    """Its new workers take seconds each time."""
    if cluster.backend == "ray" and "GALENIC_NIGHTLY" not in os.environ:
        pytest.skip("takes long; GALENIC_NIGHTLY=1 runs it")


def test_a_job_that_ends_its_worker_costs_no_other(cluster: Cluster, tmp_path: Path) -> None:
    _leave_ray_to_the_night(cluster)
    jobs = {f"job {number}": (number, tmp_path / "once") for number in range(12)}
    kept = Kept(tmp_path / "kept", {})
    got = {}

    def sweep() -> None:
        for name, found in fan_out(engine_jobs.deadly, jobs, n_jobs=2, kept=kept):
            got[name] = found

    with (
        cluster.use(),
        pytest.warns(UserWarning, match="A worker was stopped|job 7 failed") as said,
        pytest.raises(RuntimeError, match=r"12 jobs.* and 1 more failed") as failed,
    ):
        sweep()
    assert got == {f"job {number}": number * number for number in range(12) if number not in (5, 7)}
    assert all(kept.read(name) == found for name, found in got.items())
    assert {"job 5", "job 7"} == {name for name in jobs if not kept.has(name)}
    notes = [str(one.message) for one in said]
    assert any(note.startswith("A worker was stopped") for note in notes)
    assert "job 7 failed: seven is not expected. Leave it out.; the others go on." in notes
    assert str(kept.folder) in str(failed.value)


def test_a_sweep_whose_head_was_killed_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    _leave_ray_to_the_night(cluster)
    log, folder = tmp_path / "log", tmp_path / "kept"
    command = [sys.executable, HERE / "engine_jobs.py", cluster.backend, cluster.address or "", folder, log]
    head = subprocess.Popen([*map(str, command)], stderr=subprocess.DEVNULL)
    try:
        _wait(lambda: len(list(folder.glob("*.npz"))) >= 4)
    finally:
        head.send_signal(signal.SIGKILL)
        head.wait()
    kept = Kept(folder, {"sweep": 1})
    jobs = engine_jobs.jobs(log)
    # Workers of a cluster finish what they have begun, and keep it.
    _wait(lambda: len(set(log.read_text().split())) == sum(map(kept.has, jobs)), seconds=3, or_else=False)
    finished = {name for name in jobs if kept.has(name)}
    assert 4 <= len(finished) < len(jobs)
    before = len(log.read_text().split())
    with cluster.use():
        found = dict(fan_out(engine_jobs.noted, jobs, n_jobs=2, kept=kept))
    again = {f"job {number}" for number in log.read_text().split()[before:]}
    assert again == set(jobs) - finished
    for number, name in enumerate(jobs):
        np.testing.assert_array_equal(found[name]["drawn"], np.random.default_rng(number).normal(size=3))


def _wait(until: Callable[[], bool], seconds: float = 60, *, or_else: bool = True) -> None:
    ends = time.monotonic() + seconds
    while not until():
        if time.monotonic() > ends:
            assert not or_else, "it should have come by now"
            return
        time.sleep(0.02)


def test_jobs_of_one_process_take_turns(once: Any) -> None:
    expected = once("benchmark", judged)
    with joblib.parallel_config("threading"):
        for table, other in zip(judged(), expected, strict=True):
            pd.testing.assert_frame_equal(table, other, check_exact=True)
