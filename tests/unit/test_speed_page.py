"""The guard of speed finds what became slower, and the page says what was not measured."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("speed_page")


@pytest.fixture
def ratios(page: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = importlib.import_module("ratios")
    monkeypatch.setattr(module, "versions", lambda: {"python": "3"})  # asking git takes longer than all the rest
    monkeypatch.setattr(module.Busy, "others", lambda self: 0.0)
    return module


def measure(
    ratios: ModuleType,
    folder: Path,
    *,
    times: float = 10.0,
    growth: float = 1.0,
    new: bool = False,
    wall: bool = False,
) -> None:
    kept = ratios.Ratios("search_speed")
    kept.say("a search: 1 ms")
    kept.ratio("a search", times, against="a loop", wall=wall)
    kept.exponent("search over profiles, seconds", growth)
    if new:
        kept.ratio("another", 0.1, against="a loop")
    kept.keep(folder)


@pytest.fixture
def run(page: ModuleType, ratios: ModuleType, tmp_path: Path) -> Any:
    """Measure with planted figures, then compare; the exit code."""
    (tmp_path / "page.md").write_text(f"before\n\n{page.BEGIN}\nold\n{page.END}\n\nafter\n", encoding="utf-8")

    def work(*flags: str, **planted: Any) -> int:
        measure(ratios, tmp_path / "run", **planted)
        told = ["--page", tmp_path / "page.md", "--stored", tmp_path / "stored.json"]
        return page.main([str(one) for one in (tmp_path / "run", *told, *flags)])

    return work


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ({"times": 6.9}, "a search, against a loop: 6.9 times, stored 10"),
        ({"growth": 1.3}, "exponent 1.30, stored 1.0"),
    ],
)
def test_a_planted_slowdown_is_found(run: Any, capsys: pytest.CaptureFixture[str], planted: Any, said: str) -> None:
    assert run("--store") == 0
    assert run(**planted) == 1
    shown = capsys.readouterr().out
    assert "slower than before: search_speed: " in shown
    assert said in shown
    assert run("--accept", **planted) == 0


@pytest.mark.parametrize("planted", [{"times": 7.1}, {"growth": 1.2}, {"times": 40, "growth": 0.1}, {"new": True}])
def test_noise_gains_and_new_names_are_no_failure(run: Any, planted: Any) -> None:
    assert run("--store") == 0
    assert run(**planted) == 0


def test_a_slowdown_is_stored_only_when_accepted(run: Any, tmp_path: Path) -> None:
    def stored() -> float:
        found = json.loads((tmp_path / "stored.json").read_text(encoding="utf-8"))
        return float(found["search_speed: a search, against a loop"]["times"])

    run("--store")
    assert run("--store", times=1.0) == 1
    assert stored() == 10.0
    assert run("--store", "--accept", times=1.0) == 0
    assert stored() == 1.0
    assert run(times=1.0) == 0


def test_ratios_on_the_wall_beside_other_work_are_not_stored(
    run: Any, ratios: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("--store", times=2.0, wall=True)
    monkeypatch.setattr(ratios.Busy, "others", lambda self: 1.5)
    assert run("--store", times=20.0, growth=0.8, wall=True) == 0
    found = json.loads((tmp_path / "stored.json").read_text(encoding="utf-8"))
    assert found["search_speed: a search, against a loop"]["times"] == 2.0
    assert found["search_speed: search over profiles, seconds"]["exponent"] == 0.8
    assert "1 of 2 stored" in capsys.readouterr().out
    assert "thers were busy with 1.5 cores" in (tmp_path / "page.md").read_text(encoding="utf-8")


def test_what_others_do_is_told_apart_from_own_work(page: ModuleType) -> None:
    busy = importlib.import_module("ratios").Busy()
    if busy.before is None:
        pytest.skip("this system does not tell")
    wall, every, own = busy.before
    busy.before = (wall - 100, every - 150, own - 50)
    assert busy.others() == pytest.approx(1.0, abs=0.1)
    busy.before = (wall - 100, every - 50, own - 50)
    assert busy.others() == pytest.approx(0.0, abs=0.1)


def test_seconds_of_one_clock_are_not_held_against_another(run: Any) -> None:
    run("--store", times=10.0, wall=True)
    assert run(times=1.0) == 0
    assert run(times=1.0, wall=True) == 1


def test_a_figure_that_is_no_number_is_slower(page: ModuleType) -> None:
    name = "speed: one, against other"
    assert page.slower({name: {"times": float("nan")}}, {name: {"times": 2.0}})


def test_what_is_missing_is_said(
    run: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, page: ModuleType
) -> None:
    run("--store", new=True)
    assert run() == 0
    shown = capsys.readouterr().out
    missing = set(page.COMMANDS) - {"search_speed"}
    assert all(f"no result of {script}: run " in shown for script in missing)
    assert "stored, but not measured: search_speed: another, against a loop" in shown
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert all(script in text.split("### Not measured")[1] for script in missing)


def test_what_stands_around_is_kept_and_a_second_writing_changes_nothing(
    run: Any, tmp_path: Path, page: ModuleType
) -> None:
    stored = ("--stored", str(tmp_path / "stored.json"))
    run("--store")
    run()
    once = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert "old" not in once
    assert "| a search | a loop | 10 | 10 | `search_speed` |" in once
    assert "a search: 1 ms" in once
    page.main([str(tmp_path / "run"), "--page", str(tmp_path / "page.md"), *stored])
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == once


def test_marks_and_results_are_asked_for(page: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="Put them where"):
        page.put("text", "a page without marks")
    with pytest.raises(SystemExit, match="Run make bench-speed"):
        page.main([str(tmp_path)])


def test_a_name_stands_for_one_figure(ratios: ModuleType) -> None:
    kept = ratios.Ratios("speed")
    kept.ratio("a", 2.0, against="b")
    kept.ratio("a", 2.0, against="c")
    with pytest.raises(ValueError, match="Rename one"):
        kept.ratio("a", 3.0, against="b")


def test_every_script_on_the_page_is_run_by_make(page: ModuleType) -> None:
    recipe = (BENCHMARKS.parent / "Makefile").read_text(encoding="utf-8").split("\nbench-speed:")[1]
    assert {script for script in page.COMMANDS if f"benchmarks/{script}.py" not in recipe} == set()
