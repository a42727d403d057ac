"""The wheel in an empty environment: what a stranger gets from ``pip install``."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

import galenic

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "docs" / "tutorials" / "scripts.py"
SIMULATED = "galenic/app/demo/"
FIELDS = "galenic/cli/model_fields.json"
"""Made of the classes of the models, for help that is quick."""
BESIDE_CODE = {".css", ".js", ".j2", ".toml", ".typed", ".svg"}
MOST = 6_000_000
"""Bytes of the wheel."""


def said(*command: object, cwd: Path) -> str:
    """What a command prints; it must end well, and the checkout must be out of its sight."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    shown = subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, timeout=900)
    assert shown.returncode == 0, shown.stdout[-2000:] + shown.stderr[-4000:]
    return shown.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the files of the checkout."""
    out = tmp_path_factory.mktemp("wheel")
    said(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", ROOT, "--wheel-dir", out, cwd=out)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path) -> Path:
    """The interpreter of an environment that holds the wheel, what it depends on, and no extra."""
    place = wheel.parent / "empty"
    said(sys.executable, "-m", "venv", place, cwd=wheel.parent)
    pip = (place / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-compile", "-c", ROOT / "constraints.txt")
    said(*pip, wheel, cwd=wheel.parent)
    return place / "bin" / "python"


def tutorials() -> list[str]:
    spec = spec_from_file_location("scripts", SCRIPTS)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.NAMES)


def test_the_wheel_holds_code_and_simulated_models_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as held:
        names = [name for name in held.namelist() if ".dist-info/" not in name]
    assert all(name.startswith("galenic/") for name in names)
    others = [name for name in names if Path(name).suffix not in BESIDE_CODE | {".py"}]
    assert [name for name in others if not name.startswith(SIMULATED)] == [FIELDS]
    tracked = subprocess.run(["git", "ls-files", "src"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {f"src/{name}" for name in names} == set(tracked.stdout.split())
    assert wheel.stat().st_size < MOST


def test_the_installed_command_runs_the_demo(python: Path, tmp_path: Path) -> None:
    shown = said(python.with_name("galenic"), "demo", "--out", "demo", "--jobs", "1", cwd=tmp_path)
    assert "it beats its floor" in shown
    assert "planted driver genes recovered" in shown
    assert (tmp_path / "demo" / "report.html").stat().st_size > 100_000
    assert said(python.with_name("galenic"), "--version", cwd=tmp_path).strip() == f"galenic {galenic.__version__}"


@pytest.mark.parametrize("name", tutorials())
def test_the_tutorial_runs_as_a_program(python: Path, name: str, tmp_path: Path) -> None:
    """The same pages run in ``tests/docs/test_tutorials.py``; here one of them, and all by night."""
    if name != tutorials()[0] and "GALENIC_NIGHTLY" not in os.environ:
        pytest.skip("takes long; GALENIC_NIGHTLY=1 runs it")
    script = tmp_path / f"{name}.py"
    script.write_text(said(sys.executable, SCRIPTS, name, cwd=tmp_path))
    said(python, script, cwd=tmp_path)
