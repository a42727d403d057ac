"""The run folder: nothing half-written, nothing of the user's deleted, everything read back as it was."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galenic.report import read, start

GIVEN = {"verb": "fit", "command": "galenic fit Ridge --out run/", "fields": {"alpha": 1.0}}


@pytest.fixture
def predictions() -> pd.DataFrame:
    return pd.DataFrame({"cell": ["A549", "1"], "drug": ["NA", "5"], "prediction": [0.1 + 0.2, float("nan")]})


def coverage(why: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"step": why, "kept": 1, "dropped": 0, "why": why})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1), min_size=1, max_size=5
    ),
    value=st.floats(allow_infinity=False),
)
def test_csv_gives_back_ids_and_numbers(tmp_path: Path, names: list[str], value: float) -> None:
    table = pd.DataFrame({"model": names, "split": "cell", "drug": names, "metric": "rmse", "value": value, "n": 3})
    with start(tmp_path / "run", **GIVEN, overwrite=(tmp_path / "run").exists()) as run:
        run.write("scores_by_drug", table)
    back = read(tmp_path / "run").table("scores_by_drug")
    assert back is not None
    assert back["drug"].tolist() == names
    assert all(np.array_equal([a], [value], equal_nan=True) for a in back["value"])


def test_parquet_is_filtered_by_the_columns_it_has(tmp_path: Path, predictions: pd.DataFrame) -> None:
    run = start(tmp_path / "run", **GIVEN)
    run.write("predictions", predictions)
    assert run.table("predictions", drug="NA", model="absent column").equals(predictions.iloc[:1])
    assert run.table("metrics") is None


def test_states(tmp_path: Path) -> None:
    def state() -> str:
        return json.loads((tmp_path / "run.json").read_text())["state"]

    run = start(tmp_path, **GIVEN)
    assert state() == "running"
    run.finish()
    assert state() == "done"
    run = start(tmp_path, **GIVEN, overwrite=True)
    run.write("coverage", coverage(["read"]))
    with pytest.raises(RuntimeError), run:
        raise RuntimeError("no memory")
    assert state() == "failed"
    assert read(tmp_path).record["message"] == "RuntimeError: no memory"


def test_a_run_refused_at_its_start_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no gene in common"), start(tmp_path / "run", **GIVEN):
        raise ValueError("no gene in common")
    assert not (tmp_path / "run").exists()


def test_an_interrupted_run_keeps_its_parts_and_can_go_on(tmp_path: Path) -> None:
    run = start(tmp_path, **GIVEN)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "0.parquet").write_text("a fold")
    with pytest.raises(KeyboardInterrupt), run:
        raise KeyboardInterrupt
    record = read(tmp_path).record
    assert (record["state"], record["message"]) == ("stopped", "stopped by the user")
    assert start(tmp_path, **GIVEN, resume=True).record["state"] == "running"
    assert (tmp_path / "parts" / "0.parquet").exists()


def test_a_finished_run_is_not_resumed(tmp_path: Path) -> None:
    start(tmp_path / "run", **GIVEN).finish()
    with pytest.raises(ValueError, match=r"run/ is finished \(done\); there is nothing to resume\..*--overwrite"):
        start(tmp_path / "run", **GIVEN, resume=True)
    assert read(tmp_path / "run").record["state"] == "done"


def test_a_foreign_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("years of work")
    for choice in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(ValueError, match=r"thesis\.docx.*Choose another folder"):
            start(tmp_path, **GIVEN, **choice)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]


def test_an_earlier_run_needs_a_choice(tmp_path: Path) -> None:
    start(tmp_path, **GIVEN).finish()
    with pytest.raises(ValueError, match=r"holds an earlier run \(fit, done\).*overwrite.*resume"):
        start(tmp_path, **GIVEN)


def test_overwrite_deletes_what_the_run_wrote_and_nothing_else(tmp_path: Path, predictions: pd.DataFrame) -> None:
    out = tmp_path / "run"
    with start(out, **GIVEN) as run:
        run.write("predictions", predictions)
        run.path("model").mkdir()
        (out / "model" / "model.json").write_text("{}")
    assert run.record["outputs"] == ["model/model.json", "predictions.parquet"]
    (out / "notes.txt").write_text("mine")
    (out / "model" / "notes.txt").write_text("mine too")
    start(out, **GIVEN, overwrite=True)
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == {"run.json", "notes.txt", "model/notes.txt"}


def test_overwrite_never_leaves_the_folder(tmp_path: Path) -> None:
    out, outside = tmp_path / "run", tmp_path / "precious.csv"
    outside.write_text("1")
    start(out, **GIVEN).finish()
    record = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({**record, "outputs": ["../precious.csv", str(outside)]}))
    start(out, **GIVEN, overwrite=True)
    assert outside.exists()


def test_resume_keeps_tables_notes_and_seconds(tmp_path: Path, predictions: pd.DataFrame) -> None:
    run = start(tmp_path, **GIVEN)
    run.write("predictions", predictions)
    run.note("few genes")
    with run.timed("fit"):
        pass
    again = start(tmp_path, **GIVEN, resume=True)
    assert again.record["outputs"] == ["predictions.parquet"]
    assert again.record["warnings"] == ["few genes"]
    assert set(again.record["seconds"]) == {"fit"}


def test_resume_refuses_another_experiment(tmp_path: Path) -> None:
    start(tmp_path, **GIVEN)
    with pytest.raises(ValueError, match=r"differs in fields \(alpha, folds\)"):
        start(tmp_path, **{**GIVEN, "fields": {"alpha": 2.0, "folds": 5}}, resume=True)


def test_a_failing_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start(tmp_path, **GIVEN)
    run.write("coverage", coverage(["old"]))

    def half(table: pd.DataFrame, path: Path, **_: object) -> None:
        Path(path).write_text("step,ke")
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_csv", half)
    with pytest.raises(OSError, match="disk full"):
        run.write("coverage", coverage(["new"]))
    assert run.table("coverage")["why"].tolist() == ["old"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coverage.csv", "run.json"]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    run = start(tmp_path, **GIVEN)
    run.write("coverage", coverage(["old"]))
    with (tmp_path / "coverage.csv").open() as reader:
        run.write("coverage", coverage(["new"]))
        assert "old" in reader.read()
    assert run.table("coverage")["why"].tolist() == ["new"]


def test_tables_are_checked_at_the_door(tmp_path: Path, predictions: pd.DataFrame) -> None:
    run = start(tmp_path, **GIVEN)
    with pytest.raises(ValueError, match="it lacks drug"):
        run.write("predictions", predictions.drop(columns="drug"))
    with pytest.raises(ValueError, match=r"one of metrics, .*received 'results'"):
        run.write("results", predictions)
    (tmp_path / "coverage.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"coverage\.csv needs the columns step, kept"):
        run.table("coverage")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 99, "galenic": "7.0"}', r"up to format 1; .* has format 99, written by galenic 7\.0"),
        ("{", "cannot be read"),
        ("{}", "cannot be read"),
    ],
)
def test_records_that_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no run\.json.*with --out first"):
        read(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read(tmp_path / "absent")


def test_inputs_are_hashed_and_named_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cells").mkdir()
    Path("cells/a.csv").write_text("1")
    Path("response.csv").write_text("2")

    def hashes() -> list[str]:
        record = start("run", **GIVEN, inputs=["response.csv", "cells"], overwrite=Path("run").exists()).record
        assert [item["path"] for item in record["inputs"]] == ["response.csv", "cells"]
        assert str(tmp_path) not in json.dumps(record)
        return [item["sha256"] for item in record["inputs"]]

    file, folder = hashes()
    assert file == hashlib.sha256(b"2").hexdigest()
    assert hashes() == [file, folder]
    Path("cells/a.csv").rename("cells/b.csv")
    assert hashes()[1] != folder
    Path("cells/b.csv").rename("cells/a.csv")
    assert hashes()[1] == folder
    Path("cells/a.csv").write_text("3")
    assert hashes()[1] != folder


def test_an_absent_input_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Check the path"):
        start(tmp_path / "run", **GIVEN, inputs=[tmp_path / "absent.csv"])
    assert not (tmp_path / "run").exists()


def test_the_record_is_plain_json(tmp_path: Path) -> None:
    fields = {"n": np.int64(3), "x": np.float32(0.5), "bad": math.nan, "layers": (8, 4), "path": Path("a"), "on": True}
    start(tmp_path, verb="fit", command="", fields=fields, seed=np.int64(1))

    def refuse(name: str) -> None:
        raise AssertionError(name)

    record = json.loads((tmp_path / "run.json").read_text(), parse_constant=refuse)
    assert record["fields"] == {"n": 3, "x": 0.5, "bad": None, "layers": [8, 4], "path": "a", "on": True}
    assert record["seed"] == 1
    assert fields["layers"] == (8, 4)


def test_finish_tells_versions_and_memory(tmp_path: Path) -> None:
    run = start(tmp_path, **GIVEN)
    run.finish()
    assert run.record["versions"]["pandas"] == pd.__version__
    assert run.record["peak_memory_mb"] > 10
    assert run.record["finished"] >= run.record["started"]
