"""An ensemble on the command line: fitted, judged, resumed, embedded, explained, and refused in words."""

from __future__ import annotations

import warnings
from contextlib import chdir
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import typer
from commands import galenic as run_galenic

import galenic
from galenic.cli import embed, explain
from galenic.cli.fit_profiles import command_of
from galenic.cli.main import _explain
from galenic.data.read.target_pairs import gene_weights
from galenic.models import find
from galenic.models.deeppert import ensemble
from galenic.report import read
from galenic.search.enrichment import benjamini_hochberg

SMALL = ("--sizes", "6", "--runs", "3", "--n-components", "15")
QUICK = ("--sizes", "3", "--runs", "2", "--n-components", "8", "--families", "pca,ae", "--training.max-epochs", "2",
         "--folds", "0")  # fmt: skip
N = 4


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Profiles with planted programmes, several that are wrong in one way, and sets of genes."""
    folder = tmp_path_factory.mktemp("profiles")
    adata = galenic.simulate.programmes(40, 100, n_programmes=N, genes_per_programme=15, n_cells=1, seed=3)
    adata.write_h5ad(folder / "profiles.h5ad")
    renamed = adata.copy()
    renamed.var_names = ["dose", *adata.var_names[1:]]
    renamed.write_h5ad(folder / "dose.h5ad")
    twice = adata.copy()
    twice.obs_names = ["one", "one", *adata.obs_names[2:]]
    twice.write_h5ad(folder / "twice.h5ad")
    still = adata.copy()
    still.X[:, 1:] = np.arange(99) % 2 * 2.0 - 1
    still.write_h5ad(folder / "still.h5ad")
    adata[:12].copy().write_h5ad(folder / "few.h5ad")
    unlabelled = adata[:, 5:].copy()
    unlabelled.X[:, 0] = 1.0
    unlabelled.obs = unlabelled.obs.drop(columns="pert_id")
    unlabelled.write_h5ad(folder / "unlabelled.h5ad")
    symbols, rng = adata.var["symbol"].to_numpy(), np.random.default_rng(0)
    sets = {f"planted {i}": symbols[adata.varm["programmes"][:, i] != 0] for i in range(N)}
    sets |= {f"random {i}": rng.choice(symbols, 15, replace=False) for i in range(20)}
    lines = ["\t".join([name, "", *genes]) for name, genes in sets.items()]
    (folder / "sets.gmt").write_text("\n".join(lines) + "\n")
    (folder / "wrong.gmt").write_text("apoptosis,BAX,BCL2\n")
    return folder


@pytest.fixture(scope="module")
def run(files: Path) -> Path:
    arguments = ("--profiles", "profiles.h5ad", *SMALL, "--folds", "2", "--out", "run")
    done = run_galenic("fit", "deeppert", *arguments, cwd=files)
    assert done.returncode == 0, done.stderr
    assert "RawCosine (floor)" in done.stdout
    assert "dimensions of" in done.stdout
    return files / "run"


def fit(files: Path, *arguments: object) -> None:
    """The command in this process."""
    app = typer.Typer(add_completion=False)
    app.command()(command_of(find("DeepPert")))
    with chdir(files), warnings.catch_warnings(record=True):  # the run keeps them
        typer.main.get_command(app).main([*map(str, arguments)], standalone_mode=False)


def call(verb: object, files: Path, *arguments: object) -> None:
    with chdir(files):
        verb.command().main([*map(str, arguments)], standalone_mode=False)  # type: ignore[attr-defined]


def test_a_run_holds_its_manifest_and_no_members(run: Path) -> None:
    model = galenic.load(run)
    latents = pd.read_csv(run / "latents.csv")
    pd.testing.assert_frame_equal(latents, model.latents_, check_dtype=False)
    assert not (run / "members").exists()
    assert not (run / "parts").exists()
    links = pd.read_csv(run / "latent_links.csv")
    r = links.filter(like="r_").to_numpy()
    np.testing.assert_allclose(r, r.T)
    np.testing.assert_allclose(np.diag(r), 1)
    assert (pd.read_csv(run / "metrics.csv")["model"] == "DeepPert").any()
    page = (run / "report.html").read_text(encoding="utf-8")
    for words in ("What the members agree on", "Dimensions and their genes", "agreement of halves", "Set aside"):
        assert words in page
    assert "Pathway by top genes" in page, "the page says how to look for pathways"
    assert 'id="pathways"' not in page


def test_explain_finds_the_planted_programmes(files: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(explain, files, run, "--gene-sets", "sets.gmt", "--top", 15, "--keep", 5, "--out", "pathways.csv")
    table = pd.read_csv(run / "pathways.csv")
    pd.testing.assert_frame_equal(table, pd.read_csv(files / "pathways.csv"))
    n = galenic.load(run).weights().shape[1]
    assert len(table) == n * (N + 20)
    found = table.loc[table["q_value"] <= 0.05, "pathway"]
    assert {f"planted {i}" for i in range(N)} <= set(found)
    assert found.str.startswith("planted").sum() >= len(found) - 2
    np.testing.assert_allclose(table["q_value"], benjamini_hochberg(table["p_value"].to_numpy()))
    genes = pd.read_csv(run / "dimensions.csv", dtype={"gene": str})
    assert genes["rank"].max() == 5
    weights = galenic.load(run).weights()
    first = genes[(genes["rank"] == 1) & (genes["direction"] == "up")].set_index("dimension")["gene"]
    assert first.to_dict() == weights.idxmax().to_dict()
    shown = capsys.readouterr().out
    assert f"of {N + 20} pathways stand out" in shown
    assert "planted 0, dimension" in shown
    record = read(run).record
    assert record["fields"]["pathways"]["top"] == 15
    assert any(item["path"] == "sets.gmt" for item in record["inputs"])
    page = (run / "report.html").read_text(encoding="utf-8")
    assert all(words in page for words in ("each counts once", "Pathway by top genes", "Pathway by all weights"))


def test_weights_are_read_by_targets(files: Path, run: Path) -> None:
    call(explain, files, run, "--weights", "weights.csv")
    adata = anndata.read_h5ad(files / "profiles.h5ad")
    table = gene_weights(files / "weights.csv", adata.var["symbol"])
    np.testing.assert_allclose(table.to_numpy(), galenic.load(run).weights("absolute").to_numpy(), rtol=1e-6)
    assert table.index.tolist() == adata.var["symbol"].tolist()


def test_embed_writes_what_the_model_says(files: Path, run: Path) -> None:
    adata = anndata.read_h5ad(files / "profiles.h5ad")
    expected = galenic.load(run).embed(adata)
    call(embed, files, run, "profiles.h5ad", "--out", "out.h5ad")
    np.testing.assert_array_equal(anndata.read_h5ad(files / "out.h5ad").obsm["X_deeppert"], expected)
    call(embed, files, run, "profiles.h5ad", "--out", "out.parquet")
    table = pd.read_parquet(files / "out.parquet")
    np.testing.assert_array_equal(table.filter(like="X_deeppert_").to_numpy(), expected)


def test_a_member_that_fails_is_named_and_the_rest_goes_on(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fit_member, fitted = ensemble.fit_member, []

    def breaking(task, lesson, where):
        if task.name == "ae-3-1":
            raise FloatingPointError("the loss is not finite")
        return fit_member(task, lesson, where)

    def counting(task, lesson, where):
        fitted.append(task.name)
        return fit_member(task, lesson, where)

    arguments = ("--profiles", "profiles.h5ad", *QUICK, "--out", "broken")
    monkeypatch.setattr(ensemble, "fit_member", breaking)
    with pytest.raises(RuntimeError) as caught:
        fit(files, *arguments)
    assert _explain(caught.value) == 1
    said = capsys.readouterr().err
    assert "ae-3-1" in said
    assert "--resume goes on" in said
    assert {path.stem for path in (files / "broken" / "members").glob("*.npz")} == {"pca-3-0", "ae-3-0"}
    assert read(files / "broken").record["state"] == "failed"
    monkeypatch.setattr(ensemble, "fit_member", counting)
    fit(files, *arguments, "--resume")
    assert fitted == ["ae-3-1"]
    assert not (files / "broken" / "members").exists()
    fit(files, "--profiles", "profiles.h5ad", *QUICK, "--out", "whole")
    one, other = galenic.load(files / "broken"), galenic.load(files / "whole")
    for name in other.arrays_:
        np.testing.assert_array_equal(one.arrays_[name], other.arrays_[name])


def test_a_failed_run_may_be_replaced_by_another(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit_member = ensemble.fit_member
    monkeypatch.setattr(
        ensemble, "fit_member", lambda task, *rest: fit_member(task, *rest) if task.family == "pca" else 1 / 0
    )
    with pytest.raises(RuntimeError):
        fit(files, "--profiles", "profiles.h5ad", *QUICK, "--out", "replaced")
    monkeypatch.setattr(ensemble, "fit_member", fit_member)
    # As after a crash: the record does not yet know of the members.
    record = (files / "replaced" / "run.json").read_text()
    (files / "replaced" / "run.json").write_text(record.replace('"members/', '"gone/'))
    fit(files, "--profiles", "profiles.h5ad", *QUICK, "--noise", "0.5", "--out", "replaced", "--overwrite")
    assert galenic.load(files / "replaced").noise == 0.5


def test_members_are_used_again_where_no_consensus_was_found(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--profiles", "profiles.h5ad", *QUICK)
    with pytest.raises(ValueError) as caught:
        fit(files, *arguments, "--n-consensus", 100, "--out", "none")
    assert _explain(caught.value) == 2
    assert "--checkpoint none/members uses them again" in capsys.readouterr().err
    again = (*arguments, "--n-consensus", 3, "--checkpoint", "none/members")
    with pytest.raises(ValueError, match="lies in none"):
        fit(files, *again, "--out", "none", "--overwrite")
    monkeypatch.setattr(ensemble, "fit_member", lambda *_: pytest.fail("nothing should be fitted"))
    fit(files, *again, "--out", "some")
    assert galenic.load(files / "some").weights().shape[1] == 3
    assert len(list((files / "none" / "members").glob("*.npz"))) == 3


def test_labels_are_not_needed(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    without_folds = QUICK[:-2]
    fit(files, "--profiles", "unlabelled.h5ad", *without_folds, "--n-consensus", 2, "--out", "unlabelled")
    assert "Not judged by retrieval: no column 'pert_id'" in capsys.readouterr().out
    run = read(files / "unlabelled")
    assert any("1 of 95 are constant" in note for note in run.record["warnings"])
    assert run.table("metrics") is None
    assert run.table("stability") is None
    assert run.record["data"] == {"profiles": 240, "genes": 95, "cells": 1}
    assert "The number of dimensions, 2, was given." in (files / "unlabelled" / "report.html").read_text("utf-8")


FILE = ("--profiles", "profiles.h5ad")
BAD = {
    "dose among genes": (("--profiles", "dose.h5ad", *QUICK), "'dose'", "covariates"),
    "profiles twice": (("--profiles", "twice.h5ad", *QUICK), "'one'", "drop the repeats"),
    "nothing varies": (("--profiles", "still.h5ad", *QUICK), "at least two genes should vary", "Give more profiles"),
    "few": (("--profiles", "few.h5ad", "--folds", "0"), "received 12 profiles", "lower sizes"),
    "few in folds": (("--profiles", "few.h5ad", "--sizes", "7"), "leave 8 to learn from", "--folds 0"),
    "a label": ((*FILE, *QUICK[:-2], "--label", "drug"), "needs the column(s) 'drug'", "Rename"),
    "a family": ((*FILE, *QUICK, "--families", "gan"), "('gan',)", "Correct these"),
    "a covariate": ((*FILE, *QUICK, "--covariates", "batch"), "'batch'", ""),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_in_words(files: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, *words = BAD[case]
    with pytest.raises(Exception) as caught:
        fit(files, *arguments, "--out", "never")
    assert _explain(caught.value) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words), said
    assert not (files / "never").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--refits", "5"), "--refits is for models of responses"),
        (("--response", "x.csv"), "--response is for models of responses"),
        (("--gene-sets", "nowhere.gmt"), "does not exist"),
        (("--gene-sets", "wrong.gmt"), "line 1 of wrong.gmt has 1 field(s)"),
        (("--gene-sets", "sets.gmt", "--top", "15", "--minimum", "50"), "lower minimum"),
        (("--gene-sets", "sets.gmt", "--top", "100"), "top should be 1 to 99 genes"),
        (("--keep", "0"), "should be 1 or more"),
    ],
)
def test_explain_refuses_in_words(
    files: Path, run: Path, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run / "report.html").read_bytes()
    with pytest.raises(Exception) as caught:
        call(explain, files, run, *arguments)
    assert _explain(caught.value) == 2
    assert said in capsys.readouterr().err
    assert (run / "report.html").read_bytes() == before


def test_a_table_of_profiles_is_fitted_embedded_and_explained(files: Path, tmp_path: Path) -> None:
    adata = anndata.read_h5ad(files / "profiles.h5ad")
    genes = adata.to_df().set_axis(adata.var["symbol"].to_numpy(), axis=1).reset_index(drop=True)
    about = pd.DataFrame({
        "compound": adata.obs["pert_id"].astype(str).to_numpy(), "dose_um": adata.obs["dose"].to_numpy(float),
        "MW": 300.5, "pubchem_cid": range(adata.n_obs), "alogp": 1.5, "LABEL": np.arange(adata.n_obs) % 2,
    })  # fmt: skip
    table = pd.concat([about.iloc[:, :3], genes.iloc[:, :50], about.iloc[:, 3:], genes.iloc[:, 50:]], axis=1)
    table.to_parquet(tmp_path / "t.parquet")
    table[table.columns[::-1]].to_csv(tmp_path / "t.csv.gz", index=False)
    given = ("--genes", "all", "--covariates", "dose_um", "--families", "ae,ica")
    done = run_galenic("fit", "deeppert", "--profiles", "t.parquet", *given, *SMALL, "--folds", "2", "--label",
                       "compound", "--out", "run", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "100 columns of t.parquet are genes" in done.stderr
    assert "'MW'" in done.stderr
    model = galenic.load(tmp_path / "run")
    assert model.spec_["genes"] == list(genes)
    seeds = pd.read_csv(tmp_path / "run" / "seeds.csv")
    assert set(seeds["what"]) == {"ensemble", "ae of 6", "ica of 6"}
    assert "come back with a correlation of" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    done = run_galenic("embed", "run", "t.csv.gz", "--out", "out.h5ad", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = anndata.read_h5ad(tmp_path / "out.h5ad")
    wanted = galenic.read.profiles(tmp_path / "t.parquet")
    np.testing.assert_allclose(out.obsm["X_deeppert"], model.embed(wanted), rtol=1e-5, atol=1e-5)
    assert out.obs["compound"].astype(str).tolist() == about["compound"].tolist()
    call(explain, tmp_path, "run", "--weights", "weights.csv")
    weights = pd.read_csv(tmp_path / "weights.csv", index_col=0)
    assert set(weights.index) == set(genes)
    assert not set(about) & set(weights.index)


@pytest.mark.real
def test_published_profiles_straight_from_their_tables(deeppert_folder: Path, tmp_path: Path) -> None:
    renal = deeppert_folder / "toxicity" / "renal_HA1E_profiles.parquet"
    other = deeppert_folder / "synergy" / "A375_profiles.parquet"
    fit(tmp_path, "--profiles", renal, "--covariates", "dose_um", *QUICK, "--out", "run")
    genes = pd.read_csv(deeppert_folder / "l1000_landmark_genes_978.csv")["gene"].tolist()
    assert galenic.load(tmp_path / "run").spec_["genes"] == genes
    call(embed, tmp_path, "run", other, "--out", "a375.csv")
    embedded = pd.read_csv(tmp_path / "a375.csv")
    assert embedded["profile"].tolist() == pd.read_parquet(other)["drug_name"].tolist()
    assert np.isfinite(embedded.iloc[:, 1:].to_numpy()).all()
    call(explain, tmp_path, "run", "--weights", "weights.csv")
    assert pd.read_csv(tmp_path / "weights.csv")["gene"].tolist() == genes
