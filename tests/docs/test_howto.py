"""What the ten-minute start and the how-to pages show is run as it stands there, block after block."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commands import galenic

DOCS = Path(__file__).parents[2] / "docs"
ELSEWHERE = {"index", "scverse"}
"""A list of links, and a page with a test of its own."""
PAGES = [DOCS / "start.md", *sorted(path for path in DOCS.glob("howto/*.md") if path.stem not in ELSEWHERE)]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.S | re.M)
"""Blocks of ``bash`` need what a test has not: a network, a cluster, files of the reader."""


def commands(block: str) -> list[str]:
    return [line for line in block.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


def run(line: str, folder: Path) -> str:
    """One line of a shell block; the command itself in the warm process, which saves importing torch each time."""
    words = shlex.split(line, comments=True)
    into = words.index(">") if ">" in words else len(words)
    if words[0] != "galenic":
        done = subprocess.run(["bash", "-ec", line], cwd=folder, capture_output=True, text=True)
    else:
        done = galenic(*words[1:into], cwd=folder)
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def ranked(folder: Path) -> None:
    """The start promises ranked drugs for each new cell, the most sensitive one first, and a page."""
    table = pd.read_csv(folder / "predictions.csv")
    assert (table["cell"].nunique(), sorted(set(table["rank"]))) == (5, list(range(1, 7)))
    first = table[table["rank"] == 1].set_index("cell")["prediction"]
    pd.testing.assert_series_equal(first, table.groupby("cell")["prediction"].min(), check_like=True)
    assert (folder / "run" / "report.html").is_file()
    claims = pd.read_csv(folder / "run" / "comparison.csv").query("group == 'all' and metric == 'rmse'")
    assert (claims["difference"] < 0).all()  # hard to beat, says the page


ENDS = {"start": ranked}
"""What a page promises of the files that it leaves."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert found, f"{page.name} shows nothing that runs"
    for language, block in found:
        if language == "python":
            exec(compile(block, page.name, "exec"), names)
        for line in commands(block) if language == "sh" else []:
            run(line, tmp_path)
    ENDS.get(page.stem, lambda folder: None)(tmp_path)


def test_every_question_leads_to_a_heading() -> None:
    """A link of the index names a heading that is on the page it names."""
    index = (DOCS / "howto" / "index.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\((\w+\.md)#([^)]+)\)", index)
    assert len(links) >= 25
    for page, anchor in links:
        heads = re.findall(r"^#+ (.+)$", (DOCS / "howto" / page).read_text(encoding="utf-8"), re.M)
        assert anchor in {slug(head) for head in heads}, f"{page}#{anchor}"


def slug(head: str) -> str:
    """The anchor that GitHub and the documentation give to a heading."""
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", head.strip().lower()))
