"""What ``make check`` asks for: form, lint, and strict types."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "check", [("ruff", "format", "--check", "."), ("ruff", "check", "."), ("mypy",)], ids=["form", "lint", "types"]
)
def test_the_whole_project_passes(check: tuple[str, ...]) -> None:
    pytest.importorskip("mypy", reason="ruff and mypy come with the tools of developers: pip install galenic[dev]")
    for name in ("streamlit", "matplotlib", "distributed") if check == ("mypy",) else ():
        pytest.importorskip(name, reason=f"{name}, whose types are looked at, is in the extra [all]")
    shown = subprocess.run([sys.executable, "-m", *check], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert shown.returncode == 0, shown.stdout[-3000:] + shown.stderr[-1000:]
