"""The recipes for clusters are run as they stand on the page, on clusters of this machine."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"
PORT = "6379"


def blocks(language: str, holding: str = "") -> list[str]:
    return [one for one in re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.S) if holding in one]


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def run(block: str, folder: Path) -> None:
    """Run a block of the page in the folder; what it starts in the background is waited for, and ended with it."""
    port = free_port()
    waits = {"dask scheduler": "test -s cluster.json", "ray start": f"(exec 3<>/dev/tcp/127.0.0.1/{port}) 2> /dev/null"}
    lines = ["set -e", "trap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT"]
    for line in block.replace(PORT, port).splitlines():
        lines.append(line)
        lines += [f"until {wait}; do sleep 0.1; done" for begins, wait in waits.items() if line.startswith(begins)]
    here = Path(sys.executable).parent
    env = {**os.environ, "PATH": f"{here}:{os.environ['PATH']}", "HOME": str(folder), "PYTHONWARNINGS": "ignore"}
    env.pop("RAY_AUTH_MODE", None)
    shown = subprocess.run(
        ["bash", "-c", "\n".join(lines)], cwd=folder, env=env, capture_output=True, text=True, timeout=240
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "Warning" not in shown.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the data and the plan of the page are, and what it finds on this machine's processes."""
    place = tmp_path_factory.mktemp("cluster")
    for block in (*blocks("sh", "simulate screen"), *blocks("sh", "on-loky")):
        run(block, place)
    return place


def test_every_command_of_the_page_is_run() -> None:
    dask, ray, devices = ("on-dask ", "on-dask-cluster"), ("on-ray ", "on-ray-cluster"), ("on-one", "on-torchrun")
    told = ["simulate screen", "on-loky", *dask, *ray, *devices]
    assert sorted(blocks("sh")) == sorted(block for one in told for block in blocks("sh", one))


@pytest.mark.parametrize("out", ["on-dask", "on-dask-cluster", "on-ray", "on-ray-cluster"])
def test_commands_give_the_same_tables(folder: Path, out: str) -> None:
    if not out.endswith("-cluster") and "GALENIC_NIGHTLY" not in os.environ:
        pytest.skip("takes long; GALENIC_NIGHTLY=1 runs it")
    pytest.importorskip("ray" if "ray" in out else "distributed", reason="it is in the extra [scale]")
    (block,) = blocks("sh", f"{out} ")
    run(block, folder)
    for name in ("metrics", "scores_by_drug"):
        expected, found = (pd.read_csv(folder / place / f"{name}.csv") for place in ("on-loky", out))
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_devices_change_no_number(folder: Path) -> None:
    pytest.importorskip("lightning", reason="lightning is in the extra [scale]")
    for out in ("on-one", "on-torchrun"):
        (block,) = blocks("sh", f"--out {out}")
        run(block, folder)
    one, *others = (pd.read_csv(folder / out / "history.csv") for out in ("on-one", "on-two", "on-torchrun"))
    for other in others:
        pd.testing.assert_series_equal(other["train_total"], one["train_total"], rtol=1e-4)


def test_the_program_for_slurm_runs_on_workers_of_this_machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed", reason="distributed is in the extra [scale]")

    class SLURMCluster(distributed.LocalCluster):  # type: ignore[misc, name-defined]
        """Processes in place of jobs in a queue."""

        def __init__(
            self, cores: int, processes: int, memory: str, walltime: str, queue: str, job_script_prologue: list[str]
        ) -> None:
            subprocess.run(["sh", "-ec", "\n".join(job_script_prologue)], check=True)
            super().__init__(
                n_workers=0, threads_per_worker=cores // processes, memory_limit=memory, host="127.0.0.1",
                dashboard_address=None, silence_logs=50,
            )  # fmt: skip

        def scale(self, jobs: int) -> None:
            super().scale(jobs)
            # The page waits an hour for a first worker, as one does in a queue.
            began = time.monotonic()
            while not self.scheduler.workers:
                assert time.monotonic() - began < 90, "no worker came"
                time.sleep(0.1)

    module = types.ModuleType("dask_jobqueue")
    module.SLURMCluster = SLURMCluster  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "dask_jobqueue", module)
    monkeypatch.chdir(folder)
    (code,) = blocks("python", "SLURMCluster")
    exec(compile(code, PAGE.name, "exec"), {})
    assert list((folder / "parts").glob("*.npz"))
    (plain,) = blocks("python", 'engine("loky")')
    told: dict[str, Any] = {}
    exec(compile(plain, PAGE.name, "exec"), told)
    written = pd.read_csv(folder / "metrics.csv", dtype={"group": str})
    found = told["result"].metrics.reset_index(drop=True)
    pd.testing.assert_series_equal(written["value"], found["value"], check_exact=False, rtol=1e-12)
