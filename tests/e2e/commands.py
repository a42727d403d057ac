"""The command as a user types it, and the flags that name the files of the fixture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

GALENIC = Path(sys.executable).with_name("galenic")


def galenic(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command; every failure must be told in words."""
    shown = subprocess.run([GALENIC, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert "Traceback" not in shown.stderr + shown.stdout, shown.stderr
    return shown


DATA = ("--response", "response.csv", "--expression", "expression.tsv", "--drugs", "drugs.csv", "--cells", "cells.csv")
