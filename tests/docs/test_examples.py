"""Every example in a docstring or in the README runs and prints what it says."""

from __future__ import annotations

import doctest
import itertools
import re
import shlex
import sys
from importlib import import_module
from pathlib import Path

import pytest

import galenic
from galenic.cli.main import app

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
WITH_COMMANDS = [README, *sorted(METHODS.parent.glob("*.md")), *sorted(METHODS.parent.glob("[!d_]*/*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_of_the_pages_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = blocks("python", page)
    assert code
    monkeypatch.chdir(tmp_path)
    for block in code:
        exec(compile(block, page.name, "exec"), {})


def test_commands_of_the_pages_are_understood(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each galenic line of README and methods parses: its verb and every flag exist."""
    lines = [
        line
        for page in WITH_COMMANDS
        for block in blocks("(?:sh|bash)", page)
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith("galenic ")
    ]
    assert len(lines) >= 5
    monkeypatch.setenv("COLUMNS", "200")
    flags: dict[tuple[str, ...], str] = {}
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        verb = tuple(itertools.takewhile(lambda word: word.replace("-", "a").isalpha() and word[0] != "-", words))
        if verb not in flags:
            # In this process: each verb of its own would import torch again.
            monkeypatch.setattr(sys, "argv", ["galenic", *verb, "--help"])
            with pytest.raises(SystemExit) as ended:
                app(prog_name="galenic")
            assert ended.value.code == 0, line
            flags[verb] = capsys.readouterr().out
        for flag in (word for word in words if word.startswith("--")):
            assert flag in flags[verb], f"{line}: no flag {flag}"
