"""``galenic fit readacross`` as a user runs it."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from commands import galenic as run_galenic

import galenic
from galenic.data.simulate import profiles

QUICK = ("--training.max-epochs", "2", "--n-members", "1", "--growth", "16", "--width", "8", "--n-latent", "8")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profiles")
    adata = profiles(n_perturbagens=24, n_genes=40, n_cells=3, seed=4)
    known = adata.obs.groupby("pert_id")[["moa"]].first().reset_index()
    known.to_csv(folder / "known.csv", index=False)
    adata.obs = adata.obs.drop(columns="moa")
    adata.write_h5ad(folder / "profiles.h5ad")
    return folder


def test_fit_judge_save_and_report(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = run_galenic(
        "fit", "readacross", "--profiles", files / "profiles.h5ad", "--annotations", files / "known.csv", "--strata",
        "cell", "--out", out, *QUICK, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "ShrinkageLDA (floor)" in done.stdout
    metrics = pd.read_csv(out / "metrics.csv")
    assert set(metrics["group"]) == {"all", "same cell", "different cell", "moa"}
    page = (out / "report.html").read_text()
    assert "Do profiles of a compound that training never saw find each other?" in page
    assert "compound 3" in page
    model = galenic.load(out)
    adata = profiles(n_perturbagens=24, n_genes=40, n_cells=3, seed=4)
    expected = model.embed(adata)
    assert np.isfinite(expected).all()
    for name in ("out.h5ad", "out.parquet", "out.csv"):
        done = run_galenic("embed", out, files / "profiles.h5ad", "--out", tmp_path / name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    for verb, rest in (("predict", (files / "profiles.h5ad", "--out", tmp_path / "p")), ("explain", ())):
        done = run_galenic(verb, out, *rest, cwd=tmp_path)
        assert done.returncode == 2
        assert f"'galenic {verb}' is for models of responses" in done.stderr
    again = anndata.read_h5ad(tmp_path / "out.h5ad")
    np.testing.assert_array_equal(again.obsm["X_readacross"], expected)
    np.testing.assert_array_equal(again.X, adata.X)
    table = pd.read_parquet(tmp_path / "out.parquet").set_index("profile")
    np.testing.assert_array_equal(table.filter(like="X_").to_numpy(), expected)
    for arguments, said in (
        ((out, files / "profiles.h5ad", "--out", "out.csv"), "out.csv is there"),
        ((out, files / "profiles.h5ad", "--out", "out.txt"), "should end in"),
        ((files, files / "profiles.h5ad", "--out", "new.csv"), "has no model.json"),
        ((out, files / "known.csv", "--out", "new.csv"), "known.csv"),
    ):
        done = run_galenic("embed", *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert said in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "profiles are expected: --profiles FILE"),
        (["--profiles", "absent.gctx"], "absent.gctx"),
        (["--profiles", "{files}/known.csv"], "known.csv"),
        (["--profiles", "{files}/profiles.h5ad", "--label", "drug"], "needs the column(s) 'drug'"),
        (["--profiles", "{files}/profiles.h5ad", "--by", "batch"], "'batch'"),
        (["--profiles", "{files}/profiles.h5ad", "--folds", "40"], "40 folds by"),
        (["--profiles", "{files}/profiles.h5ad", "--loss", "triplet"], "triplet"),
        (["--profiles", "{files}/profiles.h5ad", "--annotations", "{files}/profiles.h5ad"], ""),
    ],
)
def test_bad_input_ends_in_words(files: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    given = [argument.format(files=files) for argument in arguments]
    done = run_galenic("fit", "readacross", *given, "--out", tmp_path / "run", *QUICK, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert not (tmp_path / "run").exists()


PLAN = """
title = "Two shrinkages"
[data]
profiles = "profiles.h5ad"
annotations = "known.csv"
strata = ["cell"]
{more}
[split]
by = "perturbagen"
folds = 3
[[model]]
name = "ShrinkageLDA"
shrinkage = [0.1, 1.0]
"""


def test_a_plan_of_profiles_compares_models(files: Path, tmp_path: Path) -> None:
    (files / "plan.toml").write_text(PLAN.format(more=""))
    done = run_galenic("benchmark", files / "plan.toml", "--out", tmp_path / "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    models = set(pd.read_csv(tmp_path / "run" / "metrics.csv")["model"])
    assert {"RawCosine", "ShrinkageLDA, shrinkage=0.1", "ShrinkageLDA, shrinkage=1.0"} <= models
    (files / "wrong.toml").write_text(PLAN.format(more="drugs = 'x.csv'"))
    done = run_galenic("benchmark", files / "wrong.toml", "--out", tmp_path / "other", cwd=tmp_path)
    assert done.returncode == 2
    assert "also has drugs" in done.stderr
