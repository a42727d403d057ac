"""Many jobs: those that end well are kept, whatever becomes of the others."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

from galenic.work.fan_out import fan_out
from galenic.work.kept import Kept


class Jobs:
    """Squares numbers; some jobs fail, as often as it is said, and each leaves a line when it begins."""

    def __init__(self, folder: Path, **fails: tuple[int, str]) -> None:
        self.log, self.fails = folder / "log", fails

    def __call__(self, name: str, number: int) -> np.ndarray:
        with self.log.open("a") as stream:
            stream.write(f"{name}\n")
        times, how = self.fails.get(name, (0, ""))
        if self.begun().count(name) <= times:
            if how == "killed":
                # A job that is lost with another's worker before it began would be lost once more than is said.
                while next(iter(self.fails)) not in self.begun():
                    time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGKILL)
            raise {"room": OSError(28, "No space left on device"), "wrong": ValueError("it is wrong"),
                   "nan": FloatingPointError("a term is not finite. Lower lr."),
                   "stopped": KeyboardInterrupt()}[how]  # fmt: skip
        return np.array([number**2.0])

    def begun(self) -> list[str]:
        return self.log.read_text().split()


def named(n: int) -> dict[str, tuple[str, int]]:
    return {f"j{i}": (f"j{i}", i) for i in range(n)}


def values(found: dict[str, Any]) -> dict[str, float]:
    return {name: float(value[0]) for name, value in sorted(found.items())}


cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
WHOLE = {f"j{i}": float(i**2) for i in range(5)}


@pytest.mark.parametrize("how", ["wrong", "nan"])
def test_a_job_that_fails_loses_no_other_and_is_not_tried_twice(tmp_path: Path, how: str) -> None:
    kept, jobs = Kept(tmp_path / "kept", {}), Jobs(tmp_path, j1=(1, how))
    kind = ValueError if how == "wrong" else RuntimeError
    with (
        pytest.warns(UserWarning, match=r"j1 failed: .*; the others go on\."),
        pytest.raises(kind, match=r"every one of 5 jobs should be finished; j1 failed: .* kept in .*kept"),
    ):
        dict(fan_out(jobs, named(5), kept=kept))
    assert jobs.begun() == [f"j{i}" for i in range(5)]
    assert values(dict(fan_out(jobs, named(5), kept=kept))) == WHOLE
    assert jobs.begun()[5:] == ["j1"]
    assert values(dict(fan_out(jobs, named(5), kept=kept))) == WHOLE
    assert len(jobs.begun()) == 6


def test_a_job_that_lacked_something_is_tried_again_after_the_others(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, j1=(1, "room"))
    with pytest.warns(UserWarning, match=r"j1 failed: .*No space left.*; it is tried again after the others\."):
        found = dict(fan_out(jobs, named(3), kept=Kept(tmp_path / "kept", {})))
    assert values(found) == {name: WHOLE[name] for name in ("j0", "j1", "j2")}
    assert jobs.begun() == ["j0", "j1", "j2", "j1"]
    twice = Jobs(tmp_path / "kept", j1=(9, "room"))
    with pytest.warns(UserWarning, match="j1 failed"), pytest.raises(RuntimeError, match=r"j1 failed: .*No space"):
        dict(fan_out(twice, named(3), kept=Kept(tmp_path / "other", {})))
    assert twice.begun() == ["j0", "j1", "j2", "j1"]


def test_without_a_folder_the_first_failure_ends_the_work_as_it_is(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, j1=(1, "nan"))
    with pytest.raises(FloatingPointError, match="Lower lr"):
        dict(fan_out(jobs, named(5)))
    assert jobs.begun() == ["j0", "j1"]


def test_a_damaged_result_is_told_and_stays(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept", {})
    jobs = Jobs(tmp_path)
    dict(fan_out(jobs, named(2), kept=kept))
    kept.path("j1").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"j1\.npz is not .*Delete it: it will be computed again"):
        dict(fan_out(jobs, named(2), kept=kept))
    assert kept.path("j1").read_bytes() == b"half"
    assert len(jobs.begun()) == 2


def test_an_interruption_keeps_what_is_finished(tmp_path: Path) -> None:
    kept, jobs = Kept(tmp_path / "kept", {}), Jobs(tmp_path, j2=(1, "stopped"))
    with pytest.raises(KeyboardInterrupt):
        dict(fan_out(jobs, named(5), kept=kept))
    assert values(dict(fan_out(jobs, named(5), kept=kept))) == WHOLE
    assert jobs.begun() == ["j0", "j1", "j2", "j2", "j3", "j4"]


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_only_its_job_and_that_only_if_it_dies_again(tmp_path: Path) -> None:
    """As the system does where memory ends."""
    kept, jobs = Kept(tmp_path / "kept", {}), Jobs(tmp_path, j1=(1, "killed"), j3=(9, "killed"))
    with (
        pytest.warns(UserWarning, match=r"A worker was stopped, perhaps for want of memory; under way were"),
        pytest.raises(RuntimeError, match=r"should be finished; j3 failed: its worker was stopped.* kept in"),
    ):
        dict(fan_out(jobs, named(5), n_jobs=2, kept=kept))
    finished = {name for name in WHOLE if kept.has(name)}
    assert finished == WHOLE.keys() - {"j3"}
    jobs.fails.clear()
    before = len(jobs.begun())
    assert values(dict(fan_out(jobs, named(5), n_jobs=2, kept=kept))) == WHOLE
    assert jobs.begun()[before:] == ["j3"]
