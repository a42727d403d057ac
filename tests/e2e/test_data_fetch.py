"""Public data as a user gets them: listed, under their licence, resumed after a kill, ready for the next command."""

from __future__ import annotations

import hashlib
import json
import shlex
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

import numpy as np
import published
import pytest
import typer
from commands import GALENIC, galenic
from web import Page, Web, moved, write_catalogue

from galenic.cli import data_fetch
from galenic.cli.data_fetch import show, size_in_words
from galenic.data.fetch.catalogue import SHIPPED, read_catalogue
from galenic.data.read import read_folder

SETS = read_catalogue(SHIPPED)


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """A server that holds small files of three sets."""
    folder = tmp_path_factory.mktemp("published")
    with Web() as web:
        for name in ("gdsc2-response", "gdsc-expression", "kang"):
            published.write_files(SETS[name], folder / name)
            for file in SETS[name].files:
                web.pages[f"/{name}/{file.name}"] = Page((folder / name / file.name).read_bytes())
        yield web


@pytest.fixture
def catalogue(web, tmp_path) -> Path:
    names = ("gdsc2-response", "gdsc-expression", "kang")
    return write_catalogue(tmp_path / "catalogue.toml", [moved(SETS[name], web.url) for name in names])


def fetch(tmp_path, catalogue, *arguments):
    return galenic("data", "fetch", *arguments, "--cache", "cache", "--catalogue", catalogue, cwd=tmp_path)


def test_the_list_names_everything_and_brings_no_heavy_library(tmp_path):
    code = (
        "import sys; sys.argv = ['galenic', 'data', 'list']\n"
        "from galenic.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = ('torch', 'pandas', 'numpy', 'anndata', 'sklearn', 'scipy', 'pooch', 'requests')\n"
        "print('HEAVY', [name for name in heavy if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert shown.stdout.strip().endswith("HEAVY []")
    names = {name for name, data in SETS.items() if not data.family}
    assert names <= set(shown.stdout.split())
    assert "tcga-COHORT" in shown.stdout
    assert "no maintainer has seen them answer yet" in " ".join(shown.stdout.split())


def test_the_list_as_json_is_the_whole_catalogue(capsys):
    show(as_json=True, verbose=False, catalogue=None)
    listed = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert set(listed) == set(SETS)
    assert listed["kang"]["licence"] == {
        "name": SETS["kang"].licence.name,
        "url": SETS["kang"].licence.url,
        "accept": False,
    }
    assert listed["kang"]["files"][0]["urls"] == list(SETS["kang"].files[0].urls)


def test_the_long_list_says_what_is_known_of_each_file(capsys):
    show(as_json=False, verbose=True, catalogue=None)
    shown = capsys.readouterr().out
    for data in SETS.values():
        for file in data.files:
            assert file.name in shown
            assert all(url in shown for url in file.urls)
    assert "hash: none published; no maintainer has seen it answer yet" in shown
    assert "sha512 in GSE92742_SHA512SUMS.txt.gz" in shown


def test_the_licence_is_shown_and_asked_for_once(web, tmp_path, catalogue):
    refused = fetch(tmp_path, catalogue, "gdsc2-response")
    assert refused.returncode == 2
    assert SETS["gdsc2-response"].licence.url in refused.stderr
    assert "https://doi.org/10.1016/j.cell.2016.06.017" in refused.stderr
    assert "--accept-licence" in refused.stderr
    assert not (tmp_path / "cache").exists()
    fetched = fetch(tmp_path, catalogue, "gdsc2-response", "--accept-licence")
    assert fetched.returncode == 0, fetched.stderr
    path = tmp_path / "cache" / "gdsc2-response" / SETS["gdsc2-response"].files[0].name
    assert str(path.relative_to(tmp_path)) in fetched.stdout
    assert "next: galenic data fetch gdsc2-response --convert --out gdsc2-response" in fetched.stdout
    assert "Warning: no hash of GDSC2" in fetched.stderr
    n_asked = len(web.asked)
    again = fetch(tmp_path, catalogue, "gdsc2-response", "--offline", "--out", "copies")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "copies" / path.name).read_bytes() == path.read_bytes()
    assert len(web.asked) == n_asked
    over = fetch(tmp_path, catalogue, "gdsc2-response", "--out", "copies")
    assert over.returncode == 2
    assert "--out should name a new folder; copies exists" in over.stderr


@pytest.mark.parametrize("answer", [True, False])
def test_who_sits_at_a_terminal_is_asked_for_each_licence(tmp_path, catalogue, monkeypatch, answer):
    monkeypatch.setattr(data_fetch, "_can_ask", lambda: True)
    asked: list[str] = []
    monkeypatch.setattr("typer.confirm", lambda text, **_: asked.append(text) or answer)
    places = data_fetch.Places(cache=str(tmp_path / "cache"), catalogue=str(catalogue))
    for again in (False, True):
        if answer:
            with pytest.warns(UserWarning, match="no hash") if not again else nullcontext():
                data_fetch.fetch("gdsc2-response", None, places, accept_licence=False, convert=False)
        else:
            with pytest.raises(ValueError, match="should be accepted"):
                data_fetch.fetch("gdsc2-response", None, places, accept_licence=False, convert=False)
    assert asked == ["Do you accept the licence of gdsc2-response?"] * (1 if answer else 2)


def test_what_is_fetched_and_converted_is_what_the_next_command_takes(tmp_path, catalogue):
    shown = fetch(tmp_path, catalogue, "gdsc2-response", "--accept-licence", "--convert", "--out", "g")
    assert shown.returncode == 0, shown.stderr
    assert "gdsc-expression: GDSC, expression" in shown.stderr  # the licence of what it needs is shown too
    assert shown.stdout.strip().endswith("next: galenic fit ridge --data g --out run/")
    assert len(read_folder(tmp_path / "g")) == 24


def test_cells_are_used_where_they_lie(tmp_path, catalogue):
    shown = fetch(tmp_path, catalogue, "kang")
    assert shown.returncode == 0, shown.stderr
    assert "next: galenic fit mean-shift --perturbed cache/kang/kang_2018.h5ad --context cell_type" in shown.stdout


def test_a_killed_download_goes_on(web, tmp_path):
    content = np.random.default_rng(0).bytes(400_000)
    path = f"/kang/{SETS['kang'].files[0].name}-large"
    web.pages[path] = Page(content, does=[("stall", 300_000)])
    data = moved(
        SETS["kang"], web.url, hashes={SETS["kang"].files[0].name: f"sha256:{hashlib.sha256(content).hexdigest()}"}
    )
    catalogue = write_catalogue(tmp_path / "catalogue.toml", [data])
    catalogue.write_text(catalogue.read_text().replace(".h5ad'", ".h5ad-large'"))
    arguments = ("data", "fetch", "kang", "--cache", "cache", "--catalogue", str(catalogue))
    process = subprocess.Popen(
        [GALENIC, *arguments], cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    part = tmp_path / "cache" / "kang" / f".{SETS['kang'].files[0].name}-large.part"
    until = time.monotonic() + 60
    while not (part.is_file() and part.stat().st_size >= 200_000):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    have = part.stat().st_size
    web.go.set()
    shown = galenic(*arguments, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert web.ranges(path) == ["", f"bytes={have}-"]
    assert part.with_name(f"{SETS['kang'].files[0].name}-large").read_bytes() == content
    assert sorted(one.name for one in part.parent.iterdir()) == ["LICENCE.txt", "kang_2018.h5ad-large"]


def test_what_cannot_be_had_is_told_in_words(web, tmp_path, catalogue):
    catalogue.write_text(catalogue.read_text().replace("/kang/", "/gone/"))
    dead = fetch(tmp_path, catalogue, "kang")
    assert dead.returncode == 2
    assert "Error: kang_2018.h5ad should come whole and right from one of 1 addresses" in dead.stderr
    assert f"{web.url}/gone/kang_2018.h5ad answers 404" in dead.stderr
    unknown = fetch(tmp_path, catalogue, "kong")
    assert unknown.returncode == 2
    assert "Did you mean 'kang'?" in unknown.stderr


def test_every_next_command_is_understood(monkeypatch):
    """The verb and each flag of what a set proposes exist."""
    asked: dict[tuple[str, ...], set[str]] = {}
    for data in SETS.values():
        words = shlex.split(data.then.format(out="folder/"))[1:]
        verb = words[:2] if words[0] in ("fit", "data") else words[:1]
        asked.setdefault(tuple(verb), set()).update(word for word in words if word.startswith("--"))
    assert {("fit", "ridge"), ("predict",), ("data", "convert"), ("fit", "readacross"), ("fit", "mean-shift")} == set(
        asked
    )
    for verb, flags in asked.items():
        monkeypatch.setattr(sys, "argv", ["galenic", *verb])
        command = import_module(f"galenic.cli.{verb[0]}").command()
        for name in verb[1:]:
            command = command.get_command(typer.Context(command), name)
        assert flags <= {flag for parameter in command.params for flag in parameter.opts}, verb


def rows_of_the_page() -> list[str]:
    """The table of docs/data.md, as the catalogue has it."""
    rows = {}
    for data in SETS.values():
        name = data.family.replace("{cohort}", "COHORT") or data.name
        code = data.name.removeprefix(data.family.partition("{")[0]) if data.family else "no cohort"
        what = f"{data.title.replace(code.upper(), 'COHORT')}: {data.holds}; {data.version}. {data.citation}"
        licence = f"[{data.licence.name}]({data.licence.url})" + (", to be accepted" if data.licence.accept else "")
        rows.setdefault(name, f"| `{name}` | {what} | {size_in_words(data)} | {licence} | {BECOMES[data.house]} |")
    return list(rows.values())


BECOMES = {
    "gdsc responses": "data folder",
    "prism responses": "data folder",
    "prism primary responses": "data folder",
    "expression": "`expression.h5ad`",
    "depmap expression": "`expression.h5ad`",
    "gdsc events": "`mutation.csv`, `methylation.csv`",
    "cells": "`cells.csv`",
    "profiles": "store of the landmark genes",
    "drugs": "`drugs.csv`",
    "patients": "`expression.h5ad`, outcomes",
    "cells as they are": "h5ad, as it is",
}


def test_the_page_has_the_table_of_the_catalogue():
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    there = [line for line in page.splitlines() if line.startswith("| `")]
    assert there == rows_of_the_page(), "the table in docs/data.md should be:\n" + "\n".join(rows_of_the_page())
