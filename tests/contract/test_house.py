"""Which room may import which: arrows go down only."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import galenic

ROOT = Path(galenic.__file__).parent
GROUND = {"data", "nn", "train", "evaluate", "explain", "search"}
FLOORS = {
    "work": -1,
    "plots": 0,
    **dict.fromkeys(GROUND, 0),
    "models": 1,
    "foundation": 1,
    "version": 0,
    "tasks": 2,
    "benchmarking": 2,
    "plan": 2,
    "report": 2,
    "app": 3,
    "cli": 4,
}
ROOMS = sorted(path.stem for path in ROOT.iterdir() if path.stem in FLOORS)


def imported(room: str) -> set[tuple[str, str]]:
    """``(file, room)`` for every import of galenic inside a room, wherever in the file it stands."""
    files = [ROOT / f"{room}.py"] if (ROOT / f"{room}.py").is_file() else sorted((ROOT / room).rglob("*.py"))
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {(file.name, name.split(".")[1]) for name in names if name.startswith("galenic.")}
    return {(file, name) for file, name in found if name in FLOORS}


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_go_down_only(room: str) -> None:
    for file, other in imported(room):
        below = FLOORS[other] < FLOORS[room] or other == room or {room, other} <= {"benchmarking", "plan", "tasks"}
        assert below, f"{room}/{file} imports {other}"


def test_every_room_is_on_a_floor() -> None:
    rooms = {path.stem for path in ROOT.iterdir() if not path.name.startswith(("_", ".", "py.typed"))}
    assert rooms <= set(FLOORS)


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("galenic", ["torch", "pandas", "numpy", "anndata", "sklearn"]),
        ("galenic.cli.main", ["torch", "pandas", "numpy", "anndata", "sklearn", "scipy", "plotly", "rdkit"]),
        ("galenic.data.read", ["torch", "sklearn", "plotly"]),
        ("galenic.evaluate", ["torch", "anndata", "rdkit"]),
        ("galenic.search", ["torch", "anndata", "rdkit", "sklearn"]),
        ("galenic.models.baselines.ridge", ["torch", "sklearn", "plotly"]),
    ],
)
def test_what_an_import_does_not_bring(module: str, absent: list[str]) -> None:
    code = f"import sys, {module}; print([name for name in {absent!r} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["fit", "--help"], ["data", "--help"], ["predict", "--help"], ["search", "query", "--help"]],
)
def test_help_brings_no_heavy_library(arguments: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['galenic', *{arguments!r}]\n"
        "from galenic.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('HEAVY', [n for n in ('torch', 'pandas', 'numpy', 'anndata', 'sklearn', 'scipy') if n in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip().endswith("HEAVY []"), shown.stdout
    assert "Usage: galenic" in shown.stdout
