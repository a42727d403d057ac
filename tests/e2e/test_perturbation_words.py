"""What the command line says of perturbations: untested conditions, remembered ones, flags instead of arguments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anndata
import pandas as pd
import pytest
from commands import galenic as run_galenic
from test_fit_perturbations import refused

import galenic
from galenic.data.simulate import perturbations


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Cells whose columns have other usual names; P01 in one line only."""
    adata = perturbations(n_contexts=3, n_perturbations=5, n_genes=20, n_cells=4, seed=4)
    adata = adata[(adata.obs["perturbation"] != "P01") | (adata.obs["cell_type"] == "type A")].copy()
    adata.obs = adata.obs.rename(columns={"cell_type": "cell_line", "perturbation": "drug"})
    adata.uns.clear()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    kept = (adata.obs["cell_line"] != "type C") | (adata.obs["drug"] != "P02")
    adata[kept].copy().write_h5ad(tmp_path / "some.h5ad")
    return tmp_path


def test_what_no_fold_tests_is_said(folder: Path) -> None:
    done = run_galenic("data", "split", "cells.h5ad", "--folds", "2", "--out", "s.csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "1 of 13 conditions is tested in no fold: 1 of a perturbation that was measured in one" in done.stdout
    done = run_galenic(
        "fit", "scaled-shift", "--perturbed", "cells.h5ad", "--folds", "2", "--by", "pair,perturbation", "--out", "run",
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "unseen pairs: 1 of 13 conditions is tested in no fold" in done.stdout
    assert "a model is given their profiles in other contexts" in done.stdout
    page = (folder / "run" / "report.html").read_text(encoding="utf-8")
    assert "1 of 13 conditions is tested in no fold" in page
    assert "At prediction a model is given its profiles in the other contexts" in page


def test_remembered_conditions_are_told(folder: Path) -> None:
    adata = anndata.read_h5ad(folder / "some.h5ad")
    galenic.MeanShift().fit(adata).save(folder / "model")
    conditions = pd.DataFrame({"cell_line": ["type A", "type C"], "drug": ["P02", "P02"]})
    conditions.to_csv(folder / "asked.csv", index=False)
    for more in ((), ("--with-controls",)):
        done = run_galenic(
            "predict", "model", "cells.h5ad", "--conditions", "asked.csv", "--out", "p.h5ad", "--overwrite", *more,
            cwd=folder,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        obs = anndata.read_h5ad(folder / "p.h5ad").obs
        treated = obs if not more else obs[~obs["is_control"]]
        assert treated["fitted"].tolist() == [True, False]
        assert int(obs["fitted"].sum()) == 1
        done = run_galenic("evaluate", "p.h5ad", "--truth", "cells.h5ad", "--out", f"s{len(more)}", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert "1 of 2 scored conditions were part of the fit" in done.stderr
        assert "nan" not in done.stdout


def test_messages_speak_of_flags(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = ("fit", "scaled-shift", "--perturbed", "cells.h5ad", "--out", "run")
    for flag in ("context", "perturbation", "control"):
        said = refused(capsys, monkeypatch, folder, *fit, f"--{flag}", "nothing")
        assert f"--{flag}." in said
        assert f" {flag}=" not in said
    assert "--folds should be at least 2" in refused(capsys, monkeypatch, folder, *fit, "--folds", 1)


def test_a_stop_says_what_is_left(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from galenic.cli.main import main

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for place, words in (
        ("galenic.cli.fit_perturbations.task_of", "stopped before anything was written"),
        ("galenic.cli.fit_perturbations.describe", "stopped before anything was finished; no run folder is left"),
        ("galenic.cli.fit_perturbations.write_learned", "the same command with --resume goes on"),
    ):
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(place, stop)
            command = [
                "galenic",
                "fit",
                "scaled-shift",
                "--perturbed",
                "cells.h5ad",
                "--folds",
                "0",
                "--out",
                "stopped",
            ]
            patch.setattr(sys, "argv", command)
            with pytest.raises(SystemExit) as ended:
                main()
        assert ended.value.code == 130
        said = capsys.readouterr().err
        assert words in said
        assert said.count("stopped") == 1
        assert (folder / "stopped").exists() == ("--resume" in words)


def test_the_package_is_the_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "galenic", "--version"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("galenic ")
