"""The documentation builds without a warning; what its tutorials compute is held by ``test_tutorials.py``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
SUPPRESSED = "myst.header,misc.highlighting_failure,myst-nb.lexer"
"""Those of conf.py, and that cells which are not run have no language."""


def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    for name in ("sphinx", "furo", "myst_nb", "numpydoc"):
        pytest.importorskip(name, reason=f"{name} is in the extra [docs]")
    source = tmp_path / "docs"
    shutil.copytree(DOCS, source, ignore=shutil.ignore_patterns("_build", "api"))
    # A page that includes a file of the project, or a test, finds it where it stands in the checkout.
    for other in ("CONTRIBUTING.md", "README.md", "CHANGELOG.md", "SECURITY.md"):
        shutil.copy(DOCS.parent / other, tmp_path)
    how = ("-D", "nb_execution_mode=off", "-D", f"suppress_warnings={SUPPRESSED}")
    shown = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", *how, source, tmp_path / "html"],
        capture_output=True, text=True, timeout=600, env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr[-3000:]
    assert (tmp_path / "html" / "tutorials" / "search.html").is_file()
    assert (tmp_path / "html" / "api.html").is_file()
