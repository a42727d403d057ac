"""What goes wrong in the middle of ``galenic fit``: told in words, with an exit code, and nothing finished is lost."""

from __future__ import annotations

import errno
import os
import tempfile
import warnings
from collections.abc import Callable
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import galenic
from galenic.cli.fit_profiles import command_of
from galenic.cli.main import Terminated, _explain, _stopped
from galenic.data.simulate import profiles, programmes
from galenic.models import find
from galenic.models.deeppert import member
from galenic.models.readacross import member as networks
from galenic.report import read

QUICK = ("--profiles", "profiles.h5ad", "--sizes", "3", "--runs", "2", "--n-components", "8", "--families", "pca,ae",
         "--training.max-epochs", "4", "--n-steps", "2", "--folds", "0", "--out")  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profiles")
    programmes(30, 60, n_programmes=3, genes_per_programme=15, n_cells=1, seed=3).write_h5ad(folder / "profiles.h5ad")
    profiles(n_perturbagens=20, n_genes=60, seed=0).write_h5ad(folder / "replicates.h5ad")
    fit(folder, "whole")
    return folder


def fit(files: Path, out: str, *more: str, model: str = "DeepPert", words: tuple[str, ...] = QUICK) -> None:
    """The command in this process."""
    app = typer.Typer(add_completion=False)
    app.command()(command_of(find(model)))
    with chdir(files), warnings.catch_warnings(record=True):
        typer.main.get_command(app).main([*words, out, *more], standalone_mode=False)


def told(work: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and words of a command that fails."""
    capsys.readouterr()
    with pytest.raises(Exception) as caught:
        work()
    code = _explain(caught.value)
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return code, said


def is_whole(files: Path, out: str) -> None:
    one, other = galenic.load(files / out), galenic.load(files / "whole")
    assert one.arrays_.keys() == other.arrays_.keys()
    for name, array in other.arrays_.items():
        np.testing.assert_array_equal(one.arrays_[name], array)
    assert read(files / out).record["state"] == "done"
    assert not [path for path in (files / out).rglob("*") if ".part" in path.name or path.suffix == ".pt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(
    number: int, files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls, fsync = [], os.fsync

    def full(file: int) -> None:
        calls.append(file)
        if len(calls) > 30:
            raise OSError(number, os.strerror(number))
        fsync(file)

    out = f"full{number}"
    monkeypatch.setattr(os, "fsync", full)
    code, said = told(lambda: fit(files, out), capsys)
    monkeypatch.undo()
    assert code == 1
    assert "needs room; the disk of" in said
    assert str(files / out) in said
    assert "--resume" in said
    assert list((files / out / "members").glob("*.npz"))
    fit(files, out, "--resume")
    is_whole(files, out)


def test_a_folder_that_may_not_be_written(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: Any, **how: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(how["dir"]))

    fit(files, "closed")
    before = {path: path.read_bytes() for path in (files / "closed").rglob("*") if path.is_file()}
    monkeypatch.setattr(tempfile, "mkstemp", refused)
    code, said = told(lambda: fit(files, "closed/inside"), capsys)
    assert code == 2
    assert "closed/inside may not be (Permission denied). Choose another folder" in said
    assert {path: path.read_bytes() for path in (files / "closed").rglob("*") if path.is_file()} == before


def test_a_loss_that_is_not_finite_and_a_state_that_is_damaged(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terms = member.autoencoder_terms

    def breaking(net: Any, batch: Any, progress: float, **how: Any) -> Any:
        found = terms(net, batch, progress, **how)
        return {name: value * float("nan") for name, value in found.items()} if progress > 0.5 else found

    monkeypatch.setattr(member, "autoencoder_terms", breaking)
    code, said = told(lambda: fit(files, "broken"), capsys)
    monkeypatch.undo()
    assert code == 1
    state = files / "broken" / "members" / "ae-3-0" / "network.pt"
    assert f"The last good state is kept in {state}" in said
    assert "ae-3-0 and 1 more failed" in said
    assert "training.lr" in said
    whole = state.read_bytes()
    state.write_bytes(whole[:-600] + b"\0" + whole[-599:])
    damaged = state.read_bytes()
    code, said = told(lambda: fit(files, "broken", "--resume"), capsys)
    assert code == 2
    assert f"{state} cannot be read" in said
    assert "Delete it to start again" in said
    assert state.read_bytes() == damaged
    state.write_bytes(whole)
    fit(files, "broken", "--resume")
    is_whole(files, "broken")


def test_the_last_fit_of_other_models_goes_on_in_the_middle_too(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("--profiles", "replicates.h5ad", "--n-latent", "16", "--n-members", "2", "--width", "16", "--growth", "8",
             "--shrinkage", "1",
             "--reliability", "0.5", "--training.max-epochs", "8", "--folds", "0", "--out")  # fmt: skip
    step, asked = networks.step, []

    def counted(*given: Any) -> Any:
        asked.append(1)
        if len(asked) == stop:
            raise KeyboardInterrupt
        return step(*given)

    monkeypatch.setattr(networks, "step", counted)
    stop = -1
    fit(files, "one", model="ReadAcross", words=words)
    n = len(asked)
    asked.clear()
    stop = 3 * n // 4
    with suppress(KeyboardInterrupt, SystemExit):
        fit(files, "other", model="ReadAcross", words=words)
    assert read(files / "other").record["state"] == "stopped"
    assert (files / "other" / "unfinished" / "network-0.npz").is_file()
    asked.clear()
    stop = -1
    fit(files, "other", "--resume", model="ReadAcross", words=words)
    assert 0 < len(asked) <= n / 2
    assert not (files / "other" / "unfinished").exists()
    found, whole = galenic.load(files / "other"), galenic.load(files / "one")
    for name, array in whole.arrays_.items():
        np.testing.assert_array_equal(found.arrays_[name], array)


def test_an_earlier_state_is_no_part_of_a_run_that_replaces_it(files: Path) -> None:
    place = files / "one" / "unfinished"
    place.mkdir()
    (place / "manifest.json").write_text("{}")
    words = ("--profiles", "replicates.h5ad", "--n-members", "0", "--shrinkage", "1", "--reliability", "0.5",
             "--folds", "0", "--out")  # fmt: skip
    fit(files, "one", "--overwrite", model="ReadAcross", words=words)
    assert not place.exists()


@pytest.mark.parametrize(("kind", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_stopped_by_the_user_or_the_system(
    kind: type[KeyboardInterrupt], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def told_by_a_verb() -> None:
        try:
            raise kind
        except KeyboardInterrupt as stopped:
            raise KeyboardInterrupt("kept: --resume goes on") from stopped

    def told_by_typer() -> None:
        try:
            told_by_a_verb()
        except KeyboardInterrupt:
            raise SystemExit(130)  # noqa: B904  as it does

    for work in (told_by_a_verb, told_by_typer):
        with pytest.raises((KeyboardInterrupt, SystemExit)) as caught:
            work()
        assert _stopped(caught.value) == code
        assert "--resume goes on" in capsys.readouterr().err
    assert _stopped(kind()) == code
    assert "stopped before anything was written" in capsys.readouterr().err
