"""Models of single cells as a user fits, asks and judges them, from files; and what is said of bad ones."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from commands import galenic as run_galenic

from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.evaluate import auroc

FAST = ("--pretraining.max-epochs", "2", "--training.max-epochs", "2", "--n-latent", "6", "--widths", "16",
        "--floors", "none")  # fmt: skip
TABLES = ("--response", "response.csv", "--expression", "expression.csv", "--drugs", "drugs.csv")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's files: lines as tables and as h5ad, cells as counts, a few labels, published labels, patients."""
    folder = tmp_path_factory.mktemp("cells")
    bulk, cells = bulk_and_cells(n_genes=60, n_lines=130, n_cells=120, n_drivers=15, shift=0.5, seed=4)
    for adata in (bulk, cells):
        adata.uns.clear()
    share = np.expm1(np.asarray(bulk.X, dtype=np.float64)) / 1e4
    lines, patients = bulk[:90].copy(), bulk[90:]
    lines.write_h5ad(folder / "bulk.h5ad")
    cells.X = cells.layers.pop("counts")
    cells.obsm["X_umap"] = np.column_stack([np.arange(120.0), np.arange(120.0)[::-1]])
    cells.write_h5ad(folder / "cells.h5ad")
    few = cells.obs.groupby("label").head(3)
    few["label"].map({1: "sensitive", 0: "resistant"}).rename_axis("barcode").to_csv(folder / "few.csv")
    cells.obs["label"].rename_axis("cell").to_csv(folder / "labels.csv")

    ids = [str(900000 + number) for number in range(90)]
    genes = pd.DataFrame(np.asarray(lines.X), index=pd.Index(ids, name="COSMIC_ID"), columns=lines.var_names)
    genes.to_csv(folder / "expression.csv")
    ln_ic50 = lines.obs["ln_ic50"].to_numpy()
    drugs = {"1036": ln_ic50, "1371": ln_ic50 + 0.1, "7": -ln_ic50}
    pd.concat(
        [pd.DataFrame({"COSMIC_ID": ids, "DRUG_ID": drug, "LN_IC50": values}) for drug, values in drugs.items()]
    ).to_csv(folder / "response.csv", index=False)
    pd.DataFrame(
        {"DRUG_ID": list(drugs), "name": ["PLX-4720", "PLX-4720", "Opposite"], "smiles": ["CCO", "CCO", "CCN"]}
    ).to_csv(folder / "drugs.csv", index=False)
    label = lines.obs["label"].to_numpy()
    pd.DataFrame({"sample": [f"DATA.{name}" for name in ids], "PLX.4720": 1 - label}).to_csv(
        folder / "published.csv", index=False
    )
    tpm = np.log2(1e6 * share[90:] + 1)
    barcodes = [f"TCGA-AA-{number:04d}-01A" for number in range(len(tpm))]
    pd.DataFrame(tpm.T, index=pd.Index(bulk.var_names, name="sample"), columns=barcodes).to_csv(
        folder / "TCGA-X.star_tpm.tsv", sep="\t"
    )
    patients.obs["label"].set_axis(barcodes).rename_axis("cell").to_csv(folder / "outcome.csv")
    _bad(folder, cells)
    return folder


def _bad(folder: Path, cells: AnnData) -> None:
    """Files that cannot be used, each for one reason."""
    few = pd.read_csv(folder / "few.csv")
    few[few["label"] == "sensitive"].to_csv(folder / "one_class.csv", index=False)
    pd.concat([few, pd.DataFrame({"barcode": ["gone"], "label": ["sensitive"]})]).to_csv(
        folder / "more.csv", index=False
    )
    few.assign(barcode="other").to_csv(folder / "others.csv", index=False)
    cells[:0].write_h5ad(folder / "none.h5ad")
    names = {"strange": [f"OTHER{n}" for n in range(60)]}
    names["mouse"] = [f"G{chr(97 + n // 26)}{chr(97 + n % 26)}x" for n in range(60)]
    for name, genes in names.items():
        other = AnnData(cells.X.copy(), obs=cells.obs.copy(), var=pd.DataFrame(index=[str(n) for n in range(60)]))
        other.var["symbol"] = genes
        other.write_h5ad(folder / f"{name}.h5ad")
    twice = cells.copy()
    twice.obs_names = ["same", *cells.obs_names[1:-1], "same"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twice.write_h5ad(folder / "twice.h5ad")
    empty = cells.copy()
    empty.X[:2] = 0
    empty.write_h5ad(folder / "empty.h5ad")
    logs = np.log1p(cells.X)
    AnnData((logs - logs.mean(axis=0)) / (logs.std(axis=0) + 0.1), obs=cells.obs, var=cells.var).write_h5ad(
        folder / "scaled.h5ad"
    )
    bulk = anndata.read_h5ad(folder / "bulk.h5ad")
    one, unlabelled, turned = bulk.copy(), bulk.copy(), bulk.copy()
    one.obs["label"] = 1
    unlabelled.obs["label"] = np.nan
    turned.obs["label"] = 1 - turned.obs["label"]
    for name, adata in {"one": one, "unlabelled": unlabelled, "turned": turned}.items():
        adata.write_h5ad(folder / f"bulk_{name}.h5ad")


@pytest.fixture(scope="module")
def ridge(files: Path) -> Path:
    """A run of a floor with everything that may be asked for."""
    done = run_galenic(
        "fit", "cell-ridge", "--bulk", "bulk.h5ad", "--target", "cells.h5ad", "--by", "cluster,sample", "--truth",
        "label", "--few-shot-truth", "label", "--few-shot-repeats", "2", "--floors", "CellPrior,CellCentroid", "--out",
        "ridge", cwd=files,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "best floor on lines: CellCentroid" in done.stdout
    return files / "ridge"


@pytest.fixture(scope="module")
def scatd(files: Path) -> Path:
    """An encoder, its student, and a transfer with it."""
    small = ("--n-latent", "6", "--encoder", "16", "--training.max-epochs", "2")
    for command in (
        ("pretrain", "--cells", "cells.h5ad", *small, "--groups", "sample", "--out", "teacher"),
        ("distil", "--cells", "cells.h5ad", "--teacher", "teacher", *small, "--out", "student"),
        ("transfer", *TABLES, "--drug", "plx4720", "--target", "cells.h5ad", "--encoder", "student", *FAST, "--by",
         "cluster", "--out", "scatd"),
    ):  # fmt: skip
        done = run_galenic("fit", "scatd", *command, cwd=files)
        assert done.returncode == 0, done.stderr
    return files / "scatd"


def test_a_run_holds_what_was_agreed(ridge: Path) -> None:
    """Files and columns that the report and people read."""
    cells = pd.read_csv(ridge / "cells.csv")
    assert {"cell", "probability", "sd", "label", "abstain", "cluster", "sample", "truth", "x", "y"} <= set(cells)
    assert cells["x"].tolist() == list(range(120)), "drawn where the file's UMAP lies"
    assert auroc(cells["truth"], cells["probability"]) > 0.9
    source = pd.read_csv(ridge / "source.csv")
    assert {"line", "platform", "label", "probability", "fold"} <= set(source)
    assert source.groupby("line")["fold"].nunique().max() == 1
    scores = pd.read_csv(ridge / "source_scores.csv").set_index(["group", "metric"])
    value = auroc(source["label"], source["probability"])
    assert scores.loc[("all", "auroc"), "value"] == pytest.approx(value)
    assert scores.loc[("all", "auroc"), "low"] <= value <= scores.loc[("all", "auroc"), "high"]
    assert {"within_platform", "platform_alone"} <= set(scores.index.get_level_values("group"))
    assert set(pd.read_csv(ridge / "floors.csv")["floor"]) == {"CellPrior", "CellCentroid"}
    few = pd.read_csv(ridge / "few_shot.csv")
    assert set(few["method"]) == {"CellRidge", "CellCentroid"}
    assert set(few["n_per_class"]) == {1, 3, 5, 10}
    shift = pd.read_csv(ridge / "shift.csv")
    assert {"feature", "before", "after"} <= set(shift)
    assert set(pd.read_csv(ridge / "shift_summary.csv")["when"]) == {"before", "after"}
    groups = pd.read_csv(ridge / "summary_cluster.csv", dtype={"group": str}).set_index("group")
    by_hand = cells.astype({"cluster": str}).groupby("cluster")["probability"].mean()
    assert groups["probability"].to_dict() == pytest.approx(by_hand.to_dict())
    assert (ridge / "summary_sample.csv").is_file()
    assert (ridge / "confounding.csv").is_file()
    assert "features of the model" in set(pd.read_csv(ridge / "coverage.csv")["step"])
    assert json.loads((ridge / "run.json").read_text())["state"] == "done"
    assert (ridge / "report.html").is_file()


def test_prediction_as_table_h5ad_and_run_say_the_same(files: Path, ridge: Path) -> None:
    for out in ("p.csv", "p.parquet", "p.h5ad", "p_run"):
        done = run_galenic("predict", ridge, "cells.h5ad", "--out", out, "--by", "sample", cwd=files)
        assert done.returncode == 0, done.stderr
        assert "by sample" in done.stdout
    table = pd.read_csv(files / "p.csv").set_index("cell")
    written = anndata.read_h5ad(files / "p.h5ad")
    assert written.shape == (120, 60)
    assert np.allclose(written.obs["probability"], table["probability"])
    assert np.allclose(pd.read_parquet(files / "p.parquet")["probability"], table["probability"])
    assert np.allclose(pd.read_csv(files / "p_run" / "cells.csv")["probability"], table["probability"])
    assert np.allclose(pd.read_csv(ridge / "cells.csv")["probability"], table["probability"])
    again = run_galenic("predict", ridge, "cells.h5ad", "--out", "p.csv", cwd=files)
    assert again.returncode == 2
    assert "should be a new file" in again.stderr


def test_evaluation_takes_calls_from_the_run(files: Path, ridge: Path) -> None:
    run_galenic("predict", ridge, "cells.h5ad", "--out", "e.csv", "--by", "sample", cwd=files)
    done = run_galenic("evaluate", "cells", "e.csv", "--truth", "labels.csv", "--by", "sample", "--out", "e", cwd=files)
    assert done.returncode == 0, done.stderr
    scores = pd.read_csv(files / "e" / "cell_scores.csv").set_index(["group", "metric"])
    table = pd.read_csv(files / "e.csv").merge(pd.read_csv(files / "labels.csv"), on="cell", suffixes=("", "_true"))
    assert scores.loc[("all", "auroc"), "value"] == pytest.approx(auroc(table["label_true"], table["probability"]))
    called = table["label"].corr(table["label_true"])  # Matthews correlation is Pearson's of two binary columns
    assert scores.loc[("all", "mcc"), "value"] == pytest.approx(called)
    assert {"auroc", "auprc", "mcc", "f1", "balanced_accuracy", "brier", "ece"} == set(scores.loc["all"].index)
    assert {"sample 0", "sample 1"} <= set(scores.index.get_level_values("group"))
    assert scores.loc[("all", "auroc"), "n"] == 2, "samples are drawn, not cells"
    # Without calls the threshold of the run is asked for, and used.
    table.drop(columns=["label", "label_true"]).to_csv(files / "bare.csv", index=False)
    refused = run_galenic("evaluate", "cells", "bare.csv", "--truth", "labels.csv", "--out", "e3", cwd=files)
    assert refused.returncode == 2
    assert "--run" in refused.stderr
    assert not (files / "e3").exists()
    done = run_galenic(
        "evaluate", "cells", "bare.csv", "--truth", "labels.csv", "--run", ridge, "--out", "e4", cwd=files
    )
    assert done.returncode == 0, done.stderr
    other = pd.read_csv(files / "e4" / "cell_scores.csv").set_index(["group", "metric"])
    assert other.loc[("all", "mcc"), "value"] == pytest.approx(called)


def test_scatd_from_tables_with_a_distilled_encoder(files: Path, scatd: Path) -> None:
    cells = pd.read_csv(scatd / "cells.csv").merge(pd.read_csv(files / "labels.csv"), on="cell", suffixes=("", "_true"))
    assert auroc(cells["label_true"], cells["probability"]) > 0.9
    record = json.loads((scatd / "run.json").read_text())
    assert record["fields"]["direction"]["why"]
    assert record["fields"]["drugs"] == ["plx4720"]
    coverage = pd.read_csv(scatd / "coverage.csv")
    assert coverage["why"].str.contains("screens '1036', '1371' are of one compound").any()
    student = json.loads((files / "student" / "run.json").read_text())
    assert "agreement" in student["fields"]
    done = run_galenic("predict", scatd, "cells.h5ad", "--out", "s.csv", cwd=files)
    assert done.returncode == 0, done.stderr
    assert np.allclose(pd.read_csv(files / "s.csv")["probability"], cells["probability"])


def test_few_labels_are_learned_from(files: Path) -> None:
    done = run_galenic(
        "fit", "scatd", "transfer", "--bulk", "bulk.h5ad", "--target", "cells.h5ad", "--few", "more.csv", *FAST,
        "--out", "few_run", cwd=files,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1 of 7 rows of more.csv are of other cells" in done.stderr
    header = json.loads((files / "few_run" / "model" / "model.json").read_text())
    assert header["spec"]["few"] == 6
    cells = pd.read_csv(files / "few_run" / "cells.csv").set_index("cell")
    truth = pd.read_csv(files / "labels.csv").set_index("cell")["label"]
    assert auroc(truth, cells["probability"].reindex(truth.index)) > 0.9


def test_few_labels_that_were_learned_from_are_no_test_and_may_contradict_the_lines(files: Path) -> None:
    """Cells whose labels were given are not scored; labels that turn the lines round are told."""
    few = pd.read_csv(files / "few.csv")
    few.assign(label=few["label"].map({"sensitive": 0, "resistant": 1})).to_csv(files / "turned.csv", index=False)
    for name, is_told in (("few", False), ("turned", True)):
        done = run_galenic(
            "fit", "scatd", "transfer", "--bulk", "bulk.h5ad", "--target", "cells.h5ad", "--few", f"{name}.csv", *FAST,
            "--truth", "label", "--out", f"{name}_told", cwd=files,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        cells = pd.read_csv(files / f"{name}_told" / "cells.csv").set_index("cell")
        assert cells.index[cells["truth"].isna()].tolist() == cells.index[cells.index.isin(few["barcode"])].tolist()
        assert ("--label-convention sensitive=0" in done.stderr) == is_told


def test_the_truth_has_a_convention_of_its_own(files: Path) -> None:
    """Labels of lines in one convention do not turn round those that the cells are judged by."""
    lines = ("--expression", "expression.csv", "--labels", "published.csv", "--label-convention", "sensitive=0")
    how = ("fit", "cell-centroid", *lines, "--drug", "plx4720", "--target", "cells.h5ad", "--floors", "none", "--truth",
           "label")  # fmt: skip
    for convention in ("sensitive=1", "sensitive=0"):
        done = run_galenic(*how, "--truth-convention", convention, "--out", f"by_{convention}", cwd=files)
        assert done.returncode == 0, done.stderr
    right, turned = (
        pd.read_csv(files / f"by_{one}" / "cell_scores.csv").set_index(["group", "metric"])["value"]["all", "auroc"]
        for one in ("sensitive=1", "sensitive=0")
    )
    assert right > 0.8
    assert right + turned == pytest.approx(1)


def test_an_encoder_is_no_model_and_says_what_it_keeps(files: Path, scatd: Path) -> None:
    done = run_galenic("predict", "student", "cells.h5ad", "--out", "no.csv", cwd=files)
    assert done.returncode == 2
    assert "--encoder student" in done.stderr
    page = (files / "student" / "report.html").read_text(encoding="utf-8")
    assert "What the encoder keeps" in page
    assert "teacher&#39;s latents" in page or "teacher's latents" in page


def test_lines_without_expression_are_counted(files: Path) -> None:
    """Reading leaves out lines before the drug is looked at; the run says so."""
    table = pd.read_csv(files / "expression.csv")
    table.iloc[20:].to_csv(files / "fewer.csv", index=False)
    done = run_galenic(
        "fit", "cell-centroid", "--response", "response.csv", "--expression", "fewer.csv", "--drugs", "drugs.csv",
        "--drug", "PLX-4720", "--target", "cells.h5ad", "--floors", "none", "--out", "fewer", cwd=files,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    coverage = pd.read_csv(files / "fewer" / "coverage.csv").set_index("step")
    assert coverage.loc["expression", ["kept", "dropped"]].tolist() == [70, 20]


def test_patients_of_a_cohort_by_the_same_road(files: Path, scatd: Path) -> None:
    """Bulk tumours as Xena publishes them, by their own statistics, each for itself."""
    done = run_galenic("predict", scatd, "TCGA-X.star_tpm.tsv", "--out", "patients.csv", cwd=files)
    assert done.returncode == 0, done.stderr
    assert "40 samples of bulk expression; each is judged by itself" in done.stdout
    table = pd.read_csv(files / "patients.csv").set_index("cell")
    outcome = pd.read_csv(files / "outcome.csv").set_index("cell")["label"]
    assert auroc(outcome, table["probability"].reindex(outcome.index)) > 0.85


def test_several_drugs_are_ranked(files: Path) -> None:
    done = run_galenic(
        "fit", "cell-ridge", *TABLES, "--drug", "all", "--target", "cells.h5ad", "--by", "cluster", "--out", "many",
        cwd=files,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(place.name for place in (files / "many" / "models").iterdir()) == ["Opposite", "PLX-4720"]
    ranking = pd.read_csv(files / "many" / "drug_ranking.csv")
    assert ranking["rank"].tolist() == [1, 2]
    wide = pd.read_csv(files / "many" / "cells_by_drug.csv")
    assert np.corrcoef(wide["PLX-4720_probability"], wide["Opposite_probability"])[0, 1] < -0.9
    done = run_galenic("predict", "many", "cells.h5ad", "--out", "many.h5ad", cwd=files)
    assert done.returncode == 0, done.stderr
    assert "PLX-4720" in done.stdout
    obs = anndata.read_h5ad(files / "many.h5ad").obs
    assert np.allclose(obs["PLX-4720_probability"], wide["PLX-4720_probability"])
    refused = run_galenic("evaluate", "cells", "many", "--truth", "labels.csv", "--out", "no", cwd=files)
    assert refused.returncode == 2
    assert "holds those of several" in refused.stderr


def test_labels_in_the_other_convention_are_converted(files: Path) -> None:
    how = ("fit", "cell-centroid", *TABLES, "--drug", "PLX-4720", "--labels", "published.csv", "--target", "cells.h5ad",
           "--floors", "none")  # fmt: skip
    refused = run_galenic(*how, "--out", "turned", cwd=files)
    assert refused.returncode == 2
    assert "--label-convention sensitive=0" in refused.stderr
    assert not (files / "turned").exists()
    done = run_galenic(*how, "--label-convention", "sensitive=0", "--out", "right", cwd=files)
    assert done.returncode == 0, done.stderr
    cells = pd.read_csv(files / "right" / "cells.csv").merge(
        pd.read_csv(files / "labels.csv"), on="cell", suffixes=("", "_true")
    )
    assert auroc(cells["label_true"], cells["probability"]) > 0.8
    # Labels and expression are enough; no response is needed.
    alone = run_galenic(
        "fit", "cell-centroid", "--expression", "expression.csv", "--labels", "published.csv", "--label-convention",
        "sensitive=0", "--drug", "plx4720", "--target", "cells.h5ad", "--floors", "none", "--out", "alone", cwd=files,
    )  # fmt: skip
    assert alone.returncode == 0, alone.stderr


def test_empty_cells_are_abstained_from_and_scaled_ones_warned_of(files: Path, ridge: Path) -> None:
    done = run_galenic("predict", ridge, "empty.h5ad", "--out", "empty.csv", cwd=files)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(files / "empty.csv")
    assert table["probability"].isna().tolist()[:3] == [True, True, False]
    assert table["abstain"].tolist()[:3] == [True, True, False]
    done = run_galenic("predict", ridge, "scaled.h5ad", "--statistics", "own", "--out", "scaled.csv", cwd=files)
    assert done.returncode == 0, done.stderr
    assert "already scaled" in done.stderr


def refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: object
) -> str:
    """What is said of bad input, with exit code 2; in this process, as there are many of them."""
    from galenic.cli.main import main

    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["galenic", *map(str, arguments)])
    with warnings.catch_warnings(), pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2, said
    assert "Traceback" not in said
    return said


FIT = ("fit", "cell-ridge", "--floors", "none", "--out", "bad")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--bulk", "bulk.h5ad"), "--target FILE"),
        (("--target", "cells.h5ad"), "--drug NAME"),
        (("--target", "cells.h5ad", "--drug", "x"), "--response TABLE"),
        (("--target", "cells.h5ad", *TABLES, "--drug", "PLX472"), "did you mean"),
        (("--target", "strange.h5ad", "--bulk", "bulk.h5ad"), "they share 0"),
        (("--target", "mouse.h5ad", "--bulk", "bulk.h5ad"), "orthologues"),
        (("--target", "twice.h5ad", "--bulk", "bulk.h5ad"), "barcodes stand twice"),
        (("--target", "cells.h5ad", "--bulk", "bulk_one.h5ad"), "should be of both classes"),
        (("--target", "cells.h5ad", "--bulk", "bulk_unlabelled.h5ad"), "should be of both classes"),
        (("--target", "cells.h5ad", "--bulk", "bulk_turned.h5ad"), "--label-convention sensitive=0"),
        (("--target", "cells.h5ad", "--bulk", "bulk.h5ad", "--label-column", "none"), "--label-column"),
        (("--target", "cells.h5ad", "--bulk", "bulk.h5ad", "--few", "one_class.csv"), "a few labels"),
        (("--target", "cells.h5ad", "--bulk", "bulk.h5ad", "--few", "others.csv"), "same barcodes"),
        (("--target", "cells.h5ad", "--bulk", "bulk.h5ad", "--by", "clusters"), "did you mean 'cluster'?"),
        (("--target", "cells.h5ad", "--bulk", "bulk.h5ad", "--truth", "nothing"), "--truth should name"),
        (("--target", "cells.h5ad", "--bulk", "bulk.h5ad", "--few-shot-truth", "no"), "--few-shot-truth should name"),
        (("--target", "cells.h5ad", "--bulk", "bulk.h5ad", "--floors", "Ridge"), "--floors should be of"),
        (("--target", "cells.h5ad", *TABLES, "--drug", "PLX-4720,cisplatin"), "none is called 'cisplatin'"),
        (("--target", "cells.h5ad", "--bulk", "bulk.h5ad", "--response", "response.csv"), "Give one"),
        (("--target", "cells.h5ad", "--bulk", "bulk.h5ad", "--platform", "PRISM"), "--platform should be one"),
        (("--target", "absent.h5ad", "--bulk", "bulk.h5ad"), "does not exist"),
        (("--target", "cells.h5ad", *TABLES, "--drug", "Opposite", "--labels", "published.csv"), "table of labels"),
        (("--target", "cells.h5ad", *TABLES, "--drug", "PLX-4720", "--cut", "half"), "cut should be"),
        (("--target", "cells.h5ad", "--bulk", "bulk.h5ad", "--use-rep", "X_none"), "obsm['X_none']"),
        (("--target", "cells.h5ad", "--bulk", "bulk.h5ad", "--use-rep", "X_umap"), "lines should carry"),
        (("--target", "none.h5ad", "--bulk", "bulk.h5ad"), "there are no cells"),
        (("--target", "cells.h5ad", *TABLES, "--drug", "PLX-4720", "--platform", "CCLE"), "none known"),
        (("--target", "cells.h5ad", *TABLES, "--drug", "all", "--truth", "label"), "--truth holds labels for one drug"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    files: Path,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    assert words in refused(capsys, monkeypatch, files, *FIT, *arguments)
    assert not (files / "bad").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("predict", "ridge", "cells.h5ad", "--out", "x.csv", "--drugs", "drugs.csv"), "--drugs is for other models"),
        (("predict", "ridge", "cells.h5ad", "--out", "x.csv", "--by", "donor"), "--by should name columns"),
        (("predict", "ridge", "strange.h5ad", "--out", "x.csv"), "half of the"),
        (("predict", "ridge", "absent.h5ad", "--out", "x.csv"), "does not exist"),
        (("predict", "ridge", "none.h5ad", "--out", "x.csv"), "there are no cells"),
        (("predict", "ridge", "cells.h5ad", "--out", "cells.h5ad", "--overwrite"), "another file than the cells"),
        (("evaluate", "cells", "ridge", "--truth", "others.csv", "--out", "x"), "same barcodes"),
        (("evaluate", "cells", "ridge", "--truth", "one_class.csv", "--out", "x"), "Rankings need both"),
        (("evaluate", "cells", "labels.csv", "--truth", "labels.csv", "--out", "x"), "'probability'"),
        (("fit", "scatd", "pretrain", "--out", "x"), "--cells FILE"),
        (("fit", "scatd", "distil", "--cells", "cells.h5ad", "--teacher", "ridge", "--out", "x"), "holds a CellRidge"),
    ],
)
def test_bad_questions_are_refused(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    files: Path,
    ridge: Path,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    assert words in refused(capsys, monkeypatch, files, *arguments)
    assert not (files / "x").exists()
    assert not (files / "x.csv").exists()


def test_a_file_is_checked_for_a_model(files: Path, ridge: Path) -> None:
    fine = run_galenic("data", "check", "cells.h5ad", "--cells", "--model", ridge, cwd=files)
    assert fine.returncode == 0
    assert "features of the" in fine.stdout
    for name in ("mouse", "twice"):
        assert run_galenic("data", "check", f"{name}.h5ad", "--cells", cwd=files).returncode == 2
    assert run_galenic("data", "check", "strange.h5ad", "--cells", "--model", ridge, cwd=files).returncode == 2


def test_simulated_files_can_be_tried(tmp_path: Path) -> None:
    done = run_galenic("data", "simulate", "cells", "--out", "sim", "--n-cells", "80", "--n-genes", "40", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    cells = anndata.read_h5ad(tmp_path / "sim" / "cells.h5ad")
    assert np.array_equal(cells.X, np.round(cells.X))
    assert len(pd.read_csv(tmp_path / "sim" / "few.csv")) == 6
    again = run_galenic("data", "simulate", "cells", "--out", "sim", cwd=tmp_path)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr


@pytest.mark.real
def test_a375_from_published_tables(shared: Path, tmp_path: Path) -> None:
    """GDSC lines to A375 cells, parental against resistant to PLX-4720; labels are read for judging alone."""
    gdsc, cells = shared / "gdsc", shared / "singlecell"
    done = run_galenic(
        "fit", "cell-ridge", "--response", gdsc / "response_gdsc1_v17_lnic50.csv.gz", "--expression",
        gdsc / "expression_array_z_656genes.csv.gz", "--drugs", gdsc / "drugs.csv.gz", "--cells",
        gdsc / "cell_lines.csv.gz", "--drug", "PLX4720", "--target", cells / "a375_plx4720_scad.h5ad", "--truth",
        "response_PLX4720", "--floors", "CellPrior", "--out", "a375", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "already scaled" in done.stderr
    assert "already scaled" in " ".join(json.loads((tmp_path / "a375" / "run.json").read_text())["warnings"])
    scores = pd.read_csv(tmp_path / "a375" / "cell_scores.csv").set_index(["group", "metric"])["value"]
    assert scores["all", "auroc"] > 0.7
    assert pd.read_csv(tmp_path / "a375" / "source.csv").shape[0] == 781
