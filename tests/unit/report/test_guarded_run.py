"""A run folder has one writer, and what goes wrong leaves it as it was last written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from galenic.report import read, start
from galenic.work.atomic import NoRoomError

pytestmark = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
GIVEN: dict[str, Any] = {"verb": "fit", "command": "galenic fit", "fields": {"alpha": 1.0}}
TABLE = pd.DataFrame({"cell": ["A"], "drug": ["B"], "prediction": [0.5]})


def elsewhere(work: Callable[[], object]) -> str:
    """What another process is told."""
    here, there = os.pipe()
    if os.fork() == 0:
        said = ""
        try:
            work()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        finally:
            os.write(there, said.encode())
            os._exit(0)
    os.close(there)
    os.wait()
    with os.fdopen(here) as stream:
        return stream.read()


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
def test_a_second_process_is_refused_and_harms_nothing(tmp_path: Path, how: dict[str, bool]) -> None:
    with start(tmp_path / "run", **GIVEN) as run:
        run.write("predictions", TABLE)
        before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*")}
        said = elsewhere(lambda: start(tmp_path / "run", **GIVEN, **how))
        assert said.startswith("ValueError: ")
        if how:
            assert "one process at a time" in said
            assert said.endswith("or name another folder.")
        assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*")} == before
    assert elsewhere(lambda: start(tmp_path / "run", **GIVEN, overwrite=True).finish()) == ""


@pytest.mark.parametrize("error", [None, ValueError("wrong"), KeyboardInterrupt()])
def test_every_end_gives_the_folder_free(tmp_path: Path, error: BaseException | None) -> None:
    def work() -> None:
        with start(tmp_path / "run", **GIVEN) as run:
            run.write("predictions", TABLE)
            if error is not None:
                raise error

    if error is None:
        work()
    else:
        with pytest.raises(type(error)):
            work()
    state = {type(None): "done", ValueError: "failed", KeyboardInterrupt: "stopped"}[type(error)]
    assert read(tmp_path / "run").record["state"] == state
    assert elsewhere(lambda: start(tmp_path / "run", **GIVEN, overwrite=True)) == ""


def test_what_is_refused_leaves_the_folder_free(tmp_path: Path) -> None:
    start(tmp_path / "run", **GIVEN).stop()
    with pytest.raises(ValueError, match="should repeat the earlier one"):
        start(tmp_path / "run", **{**GIVEN, "fields": {"alpha": 2.0}}, resume=True)
    assert elsewhere(lambda: start(tmp_path / "run", **GIVEN, resume=True)) == ""


def test_what_a_run_found_is_no_other_setting(tmp_path: Path) -> None:
    run = start(tmp_path / "run", **GIVEN)
    run.record["fields"]["share of the networks"] = "0.5"
    run.stop()
    start(tmp_path / "run", **GIVEN, resume=True).stop()
    for fields in ({"alpha": 2.0}, {"alpha": 1.0, "beta": 1.0}):
        with pytest.raises(ValueError, match=r"differs in fields \((alpha|beta)\)"):
            start(tmp_path / "run", **{**GIVEN, "fields": fields}, resume=True)


def test_drafts_of_killed_processes_are_no_content_and_leave(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".run-x1y2.part.json").write_text("{")
    (tmp_path / "run" / ".model-x1y2.part").mkdir()
    with start(tmp_path / "run", **GIVEN) as run:
        run.write("predictions", TABLE)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"run.json", "predictions.parquet"}


def test_a_full_disk_leaves_the_record_and_is_told_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    run = start(tmp_path / "run", **GIVEN)
    run.write("predictions", TABLE)
    before = (tmp_path / "run" / "run.json").read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoRoomError, match=r"writing coverage\.csv needs room; the disk of .*run is full"), run:
        run.write("coverage", pd.DataFrame({"step": ["a"], "kept": 1, "dropped": 0, "why": ["b"]}))
    monkeypatch.undo()
    assert (tmp_path / "run" / "run.json").read_bytes() == before
    assert json.loads(before)["state"] == "running"
    start(tmp_path / "run", **GIVEN, resume=True).finish()
    assert read(tmp_path / "run").table("predictions") is not None
