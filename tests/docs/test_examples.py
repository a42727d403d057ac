"""Every example in a docstring or in the README runs and prints what it says."""

from __future__ import annotations

import doctest
import itertools
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import galenic

ROOT = Path(galenic.__file__).parent
README = Path(__file__).parents[2] / "README.md"
MODULES = sorted(
    ".".join(("galenic", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if ">>>" in path.read_text()
)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str) -> None:
    found = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert found.attempted > 0
    assert found.failed == 0


METHODS = README.parent / "docs" / "methods"


def blocks(language: str, page: Path = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.S)


PAGES = [README, *(METHODS / f"{name}.md" for name in ("kdrug", "readacross", "xtransfercdr", "deeppert", "floors"))]
WITH_COMMANDS = [README, *sorted(METHODS.glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_of_the_pages_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = blocks("python", page)
    assert code
    monkeypatch.chdir(tmp_path)
    for block in code:
        exec(compile(block, page.name, "exec"), {})


def test_commands_of_the_pages_are_understood(tmp_path: Path) -> None:
    """Each galenic line of README and methods parses: its verb and every flag exist."""
    lines = [
        line
        for page in WITH_COMMANDS
        for block in blocks("(?:sh|bash)", page)
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith("galenic ")
    ]
    assert len(lines) >= 5
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        verb = itertools.takewhile(lambda word: word.replace("-", "a").isalpha() and not word.startswith("-"), words)
        shown = subprocess.run(
            [Path(sys.executable).with_name("galenic"), *verb, "--help"],
            capture_output=True,
            text=True,
            env={"COLUMNS": "200"},
        )
        assert shown.returncode == 0, line
        for flag in (word for word in words if word.startswith("--")):
            assert flag in shown.stdout, f"{line}: no flag {flag}"
