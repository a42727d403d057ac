"""Labels of drugs on the command line: a run folder with its page, and bad input told in words."""

from __future__ import annotations

import warnings
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from commands import galenic

from galenic.cli.downstream import command
from galenic.report import read

TAILS = ["C" * n for n in range(1, 7)]
SMILES = [f"{tail}{ring}" for ring in ("c1ccccc1", "c1ccncc1", "C1CCCCC1", "c1ccoc1") for tail in TAILS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two profiles of each of 24 drugs with an embedding, their structures, and three tables of labels."""
    folder = tmp_path_factory.mktemp("downstream")
    rng = np.random.default_rng(0)
    ids = [f"d{i}" for i in range(24)]
    hidden = rng.normal(size=(24, 3))
    genes = hidden @ rng.normal(size=(3, 30)) + rng.normal(size=(24, 30))
    values = np.vstack([genes, genes + 0.1 * rng.normal(size=genes.shape)]).astype(np.float32)
    obs = pd.DataFrame({"compound": ids * 2, "um": 10.0 ** rng.integers(-1, 2, 48)}, index=[f"p{i}" for i in range(48)])
    adata = AnnData(values, obs=obs, var=pd.DataFrame(index=[f"GENE{i}" for i in range(30)]))
    adata.obsm["X_mine"] = np.vstack([hidden, hidden]).astype(np.float32)
    adata.write_h5ad(folder / "profiles.h5ad")
    table = pd.DataFrame(values, columns=adata.var_names).assign(compound=obs["compound"].to_numpy())
    table.to_csv(folder / "profiles.csv", index=False)
    pd.DataFrame({"drug": ids, "smiles": SMILES}).to_csv(folder / "drugs.csv", index=False)
    a, b = np.triu_indices(24, 1)
    label = (hidden[a, 0] * hidden[b, 0] > 0).astype(int)
    pairs = pd.DataFrame({"drug_a": np.array(ids)[a], "drug_b": np.array(ids)[b], "label": label})
    pairs.to_csv(folder / "synergy.csv", index=False)
    pd.DataFrame({"drug": [*ids, "absent"], "ic": [*hidden[:, 0], 1.0]}).to_csv(folder / "ic.csv", index=False)
    return folder


def ran(folder: Path, *arguments: object, out: str = "run") -> pd.DataFrame:
    """Scores of a call that must work."""
    with chdir(folder), warnings.catch_warnings(record=True):
        command().main([*map(str, arguments), "--out", out, "--overwrite"], standalone_mode=False)
    return pd.read_csv(folder / out / "metrics.csv")


PROFILES = ("--profiles", "profiles.h5ad", "--drug-column", "compound")


def test_a_run_has_scores_beside_floors_and_a_page(folder: Path) -> None:
    arguments = ("synergy.csv", *PROFILES, "--drugs", "drugs.csv", "--dose-column", "um", "--by", "drug,scaffold")
    shown = galenic("downstream", *arguments, "--folds", "3", "--out", "shown", cwd=folder)
    assert shown.returncode == 0, shown.stderr
    assert "276 pairs of drugs, 24 drugs" in shown.stdout
    assert "X_mine, forest" in shown.stdout
    run = read(folder / "shown")
    assert run.record["verb"] == "downstream"
    floors = {"prior", *(f"{name}, forest" for name in ("onehot", "fingerprint", "properties", "dose"))}
    assert set(run.record["fields"]["floors"]) == floors
    metrics = run.table("metrics")
    assert set(metrics["model"]) == floors | {"genes, forest", "pca, forest", "X_mine, forest"}
    means = metrics.query("split == 'drug' and metric == 'auroc'").groupby("model")["value"].mean()
    assert means["X_mine, forest"] > means["onehot, forest"] + 0.1
    assert {"detectable", "needed"} <= set(run.table("comparison"))
    assert set(run.table("predictions")["drug"].str.count(r" \+ ")) == {1}
    page = (folder / "shown" / "report.html").read_text(encoding="utf-8")
    assert "X_mine, forest" in page
    assert "Both drugs were seen" not in page
    assert "built on rings that training never saw" in page
    assert "Balanced accuracy" in page
    assert not (folder / "shown" / "parts").exists()


def test_numbers_of_single_drugs_from_a_table_of_profiles(folder: Path) -> None:
    given = ("--target", "ic", "--profiles", "profiles.csv", "--drug-column", "compound", "--folds", 3)
    metrics = ran(folder, "ic.csv", *given, "--features", "genes,pca+genes", "--heads", "boosting")
    assert set(metrics["metric"]) == {"pearson", "spearman", "rmse"}
    assert {"genes, boosting", "pca+genes, boosting", "onehot, boosting", "prior"} == set(metrics["model"])
    coverage = pd.read_csv(folder / "run" / "coverage.csv")
    assert coverage[["kept", "dropped", "examples"]].to_numpy().tolist()[0] == [24, 1, "'absent'"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("synergy.csv", "--profiles", "profiles.h5ad"), "it lacks 'drug'|drug-column"),
        (("ic.csv", *PROFILES), "label"),
        (("ic.csv", "--target", "ic"), "Name --profiles FILE"),
        (("ic.csv", "--target", "ic", *PROFILES, "--features", "X_deeppert"), "it asks for 'X_deeppert'"),
        (("ic.csv", "--target", "ic", *PROFILES, "--by", "scaffold"), "needs a table of drugs with 'smiles'"),
        (("ic.csv", "--target", "ic", *PROFILES, "--folds", "30"), "30 folds by drug need at least 30 groups"),
        (("drugs.csv", "--target", "smiles", *PROFILES), "labels should be finite numbers"),
        (("absent.csv", *PROFILES), "absent.csv"),
    ],
)
def test_bad_input_is_told_in_words(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    with chdir(folder), pytest.raises((ValueError, OSError), match=said):
        command().main([*arguments, "--out", "refused"], standalone_mode=False)
    assert not (folder / "refused").exists()


def test_drugs_of_another_kind_of_id_are_refused(folder: Path) -> None:
    pd.DataFrame({"drug": ["1", "2", "3"], "label": [0, 1, 1]}).to_csv(folder / "other.csv", index=False)
    with chdir(folder), pytest.raises(ValueError, match=r"of 3 rows none does.*Check --drug-column"):
        command().main(["other.csv", *PROFILES, "--out", "refused"], standalone_mode=False)


def test_help_names_the_choices(tmp_path: Path) -> None:
    shown = galenic("downstream", "--help", cwd=tmp_path)
    assert shown.returncode == 0
    for word in ("--profiles", "--heads", "--by", "scaffold", "--target"):
        assert word in shown.stdout


def test_what_stands_beside_genes_in_a_table_is_not_read(folder: Path) -> None:
    table = pd.read_csv(folder / "profiles.csv")
    hidden = pd.read_csv(folder / "ic.csv").set_index("drug").loc[table["compound"], "ic"].to_numpy()
    leaks = dict.fromkeys(("molecular_weight", "IC50", "dose_um", "row_in_matrix", "SCORE"), hidden)
    table.assign(**leaks).to_csv(folder / "leaky.csv", index=False)
    given = ("ic.csv", "--target", "ic", "--drug-column", "compound", "--folds", 3, "--features", "genes")
    plain = ran(folder, *given, "--profiles", "profiles.csv")
    pd.testing.assert_frame_equal(ran(folder, *given, "--profiles", "leaky.csv"), plain)


def test_a_table_of_an_embedding_is_read_whole(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_csv(folder / "profiles.csv")
    numbers = table.drop(columns="compound").set_axis([f"5L_run0_z{i}" for i in range(30)], axis=1)
    numbers.assign(compound=table["compound"], weight=1.5).to_csv(folder / "latents.csv", index=False)
    given = ("ic.csv", "--target", "ic", "--drug-column", "compound", "--folds", 3, "--features", "genes")
    plain = ran(folder, *given, "--profiles", "profiles.csv")
    found = ran(folder, *given, "--profiles", "latents.csv")
    pd.testing.assert_frame_equal(found, plain)
    assert "not read: 'weight'" in capsys.readouterr().err
    table[["compound"]].to_csv(folder / "nothing.csv", index=False)
    with pytest.raises(ValueError, match="should have columns of genes or of an embedding"):
        ran(folder, *given, "--profiles", "nothing.csv")


def test_it_is_evaluate_downstream_by_another_name(folder: Path) -> None:
    one, other = (galenic(*verb, "--help", cwd=folder) for verb in (("downstream",), ("evaluate", "downstream")))
    assert one.returncode == other.returncode == 0
    assert one.stdout == other.stdout
    given = ("--target", "ic", *PROFILES, "--folds", "3", "--features", "X_mine", "--out", "synonym")
    done = galenic("evaluate", "downstream", "ic.csv", *given, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert read(folder / "synonym").record["verb"] == "downstream"
    refused = galenic("evaluate", "absent.csv", "--out", "other", cwd=folder)
    assert refused.returncode == 2
    assert "absent.csv does not exist" in refused.stderr
