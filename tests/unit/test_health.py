"""What ``galenic doctor`` finds out: broken libraries, versions, threads, places."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest

from galenic.cli import doctor, health

BROKEN = {
    "refuses": ("raise ImportError('libcudart.so is absent')", "ImportError: libcudart.so is absent"),
    "crashes": ("import os; os._exit(11)", "the process that imported it ended with 11"),
    "ends": ("raise SystemExit('no licence')", "SystemExit: no licence"),
}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return doctor.examine(quick=True)


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_library_is_a_line_and_the_others_are_still_tried(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = BROKEN[fault]
    (tmp_path / "torch.py").write_text(code)
    (tmp_path / "fine.py").write_text("print('hello')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    errors, torch = health.probes(["torch", "fine"])
    assert errors == {"torch": said, "fine": ""}
    assert torch == {}
    assert (
        "torch" not in sys.modules
        or not hasattr(sys.modules["torch"], "__file__")
        or str(tmp_path) not in str(sys.modules["torch"].__file__)
    )


def test_nothing_is_wrong_with_the_machine_that_runs_the_tests(found: dict[str, Any]) -> None:
    assert [one for one in doctor.problems(found) if one.is_core] == []
    names = {one["name"] for one in found["core"]}
    assert {"torch", "numpy", "typer"} <= names
    assert names.isdisjoint(health.EXTRAS)
    assert set(found["extras"]) == set(health.EXTRAS)
    assert all(place["free"] > 0 for place in found["places"])


FAULTS: dict[str, tuple[Any, str, bool]] = {
    "absent": (lambda told: told["core"][0].update(installed=None), "is not installed", True),
    "broken": (lambda told: told["core"][0].update(error="ValueError: x"), "imported (ValueError: x)", True),
    "old": (lambda told: told["core"][0].update(fits=False), "is needed", False),
    "threads": (lambda told: told["machine"]["threads"].update(OMP_NUM_THREADS="4096"), "threads wait", False),
    "torch": (lambda told: told["torch"].update(threads=4096), "torch starts 4096 threads", False),
    "memory": (lambda told: told["machine"].update(memory_left=10), "of memory are left", False),
    "disk": (lambda told: told["places"][0].update(free=10), "0.0 MB left", False),
    "written": (lambda told: told["places"][1].update(writable=False), "may not be written", False),
    "gpu": (
        lambda told: (told["machine"].update(gpu_devices=["nvidia0"]), told["torch"].update(cuda=[], mps=False)),
        "torch sees none", False,
    ),
    "encoding": (lambda told: told["terminal"].update(encoding="ascii"), "takes ascii", False),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_planted_is_found_with_a_remedy_and_stands_first(fault: str, found: dict[str, Any]) -> None:
    plant, words, is_core = FAULTS[fault]
    told = copy.deepcopy(found)
    told["terminal"]["encoding"] = "utf-8"
    before = doctor.problems(told)
    plant(told)
    new = [one for one in doctor.problems(told) if one not in before]
    assert len(new) == 1
    assert words in new[0].what
    assert new[0].remedy
    assert new[0].is_core == is_core
    page = doctor.page(told, doctor.problems(told))
    assert page.index(new[0].what) < page.index(new[0].remedy) < page.index("Versions")


def test_memory_is_known_without_the_library_that_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "galenic.data.limits", None)
    assert health.machine()["memory_left"] != 0


@pytest.mark.parametrize(
    ("installed", "required"),
    [
        ("2.6.0", ">=2.6,<3"),
        ("2.13.0+cpu", "<3,>=2.6"),
        ("2024.3.1", ">=2024.3"),
        ("3.0", ">=2.6,<3"),
        ("0.9", ">=0.10"),
    ],
)
def test_versions_are_compared_as_packaging_does(installed: str, required: str) -> None:
    specifiers = pytest.importorskip("packaging.specifiers")
    assert health.fits_in(installed, required) == specifiers.SpecifierSet(required).contains(installed)
