"""Fits that are killed with SIGKILL, wherever they are, end as those that are not: bit for bit, and nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import galenic
from galenic.data.simulate import programmes
from galenic.report import read, start

KILLS = max(50, int(os.environ.get("GALENIC_KILLS", "50")))
"""Over all systems; 'make nightly' kills 500 times."""
SYSTEMS = ("KDRUG", "ReadAcross", "XTransferCDR", "ScATD", "DeepPert")
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
LONGEST = 120
"""Seconds that are waited for a process to come somewhere, on the busiest machine."""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads clocks of other processes"),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What happened to the fits of every system; other kills every day would not be repeatable."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, Path(__file__).with_name("killed_fits.py"), folder, str(KILLS), "0"]
    done = subprocess.run(command, env=ONE_THREAD, capture_output=True, text=True, timeout=20 * KILLS)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_fit_that_was_killed_ends_as_one_that_was_not(system: str, told: dict[str, Any]) -> None:
    whole, trials = told[system], told[system]["trials"]
    assert len(whole["content"]) > 5
    for one in trials:
        differ = [name for name, value in whole["content"].items() if one["content"].get(name) != value]
        assert not differ, (differ, one["delays"])
        assert one["content"].keys() == whole["content"].keys()
        assert one["left"] == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_was_finished_is_not_done_again(system: str, told: dict[str, Any]) -> None:
    whole, trials = told[system], told[system]["trials"]
    landed = [hit for one in trials for hit in one["landed"]]
    assert sum(landed) >= KILLS / len(SYSTEMS)
    assert sum(one["done_again"] for one in trials) == 0
    assert any(one["jobs"] for one in trials)
    for one in trials:
        if one["jobs"]:
            assert one["epochs"] < whole["epochs"]
    # Kills are spread evenly over the fit: about half of it is left to be done.
    assert np.mean([one["epochs"] for one in trials]) < 0.85 * whole["epochs"]


def test_trainings_go_on_in_the_middle(told: dict[str, Any]) -> None:
    halfway = [one for system in SYSTEMS for one in told[system]["trials"] if one["states"]]
    assert len(halfway) >= 5


SMALL = {"sizes": (3, 4), "runs": 2, "n_components": 10, "families": ("ae", "vae"), "n_steps": 2}
TYPED = ("--sizes", "3,4", "--runs", "2", "--n-components", "10", "--families", "ae,vae", "--n-steps", "2",
         "--training.max-epochs", "30", "--folds", "0")  # fmt: skip


def test_a_command_is_stopped_and_killed_and_goes_on(tmp_path: Path) -> None:
    adata = programmes(30, 60, n_programmes=3, genes_per_programme=15, n_cells=1, seed=3)
    adata.write_h5ad(tmp_path / "profiles.h5ad")
    run = tmp_path / "run"
    model = galenic.DeepPert(**SMALL)
    model.training = replace(model.training, max_epochs=30)

    def command(*more: str) -> subprocess.Popen[str]:
        words = ["fit", "deeppert", "--profiles", "profiles.h5ad", *TYPED, "--out", "run", *more]
        line = [sys.executable, "-m", "galenic", *words]
        return subprocess.Popen(
            line, cwd=tmp_path, env=ONE_THREAD, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def members() -> dict[str, int]:
        files = [file for file in run.glob("members/*.npz") if not file.name.startswith(".")]
        return {file.name: file.stat().st_mtime_ns for file in files}

    def wait_for(process: subprocess.Popen[str], n: int) -> None:
        until = time.monotonic() + LONGEST
        while len(members()) < n and process.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
        assert process.poll() is None, process.communicate()

    first = command()
    wait_for(first, 2)
    with pytest.raises(ValueError, match=r"one process at a time .* another one is writing to .*run\. Wait"):
        start(run, verb="fit", command="galenic fit", fields={}, resume=True)
    first.terminate()
    said = first.communicate(timeout=LONGEST)[1]
    assert first.returncode == 143, said
    assert "--resume goes on" in said
    assert read(run).record["state"] == "stopped"
    before = members()

    second = command("--resume")
    wait_for(second, len(before) + 2)
    second.send_signal(signal.SIGKILL)
    second.communicate(timeout=LONGEST)
    assert read(run).record["state"] == "running"  # it could not say more
    assert before.items() <= members().items()

    third = command("--resume")
    said = third.communicate(timeout=LONGEST)[1]
    assert third.returncode == 0, said
    assert read(run).record["state"] == "done"
    found, whole = galenic.load(run), model.fit(adata)
    assert found.arrays_.keys() == whole.arrays_.keys()
    for name, array in whole.arrays_.items():
        np.testing.assert_array_equal(found.arrays_[name], array)
    assert not [file for file in run.rglob("*") if ".part" in file.name or file.name == "members"]
