"""The command line as a user runs it, in a process of its own: good input, wrong input, exit codes."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import DATA, GALENIC, galenic


@pytest.fixture(scope="module")
def fitted(files: Path) -> Path:
    shown = galenic("fit", "ridge", *DATA, "--folds", 3, "--out", "run", cwd=files)
    assert shown.returncode == 0, shown.stderr
    return files / "run"


def test_fit_writes_a_run_folder_with_a_model_scores_and_a_page(fitted: Path) -> None:
    names = {path.name for path in fitted.iterdir()}
    assert {"run.json", "model", "metrics.csv", "comparison.csv", "predictions.parquet", "report.html"} <= names
    assert "parts" not in names
    record = json.loads((fitted / "run.json").read_text())
    assert record["state"] == "done"
    assert record["data"]["pairs"] > 200
    assert {entry["path"] for entry in record["inputs"]} == {"response.csv", "expression.tsv", "drugs.csv", "cells.csv"}
    metrics = pd.read_csv(fitted / "metrics.csv")
    mine = metrics.query("model == 'Ridge' and group == 'all' and metric == 'rmse'")["value"].mean()
    floor = metrics.query("model == 'DrugMean' and group == 'all' and metric == 'rmse'")["value"].mean()
    assert mine < floor


def test_predict_ranks_drugs_for_new_cells_whatever_the_gene_order(fitted: Path, files: Path) -> None:
    shown = galenic("predict", "run", "new.csv", "--out", "predictions.csv", cwd=files)
    assert shown.returncode == 0, shown.stderr
    table = pd.read_csv(files / "predictions.csv")
    assert len(table) == 5 * 8
    assert sorted(table["rank"].unique()) == list(range(1, 9))
    first = table[table["rank"] == 1].set_index("cell")["prediction"]
    np.testing.assert_allclose(first, table.groupby("cell")["prediction"].min().reindex(first.index))
    reordered = pd.read_csv(files / "new.csv", index_col=0).iloc[:, ::-1]
    reordered.to_csv(files / "reordered.csv")
    galenic("predict", "run", "reordered.csv", "--out", "again.csv", cwd=files)
    pd.testing.assert_frame_equal(pd.read_csv(files / "again.csv"), table)


def test_predict_into_a_run_folder_writes_a_page(fitted: Path, files: Path) -> None:
    shown = galenic("predict", "run", "new.csv", "--out", "predicted", cwd=files)
    assert shown.returncode == 0, shown.stderr
    assert (files / "predicted" / "report.html").is_file()
    assert (files / "predicted" / "ranking.csv").is_file()
    assert not pd.read_csv(files / "predicted" / "shift.csv")["far"].any()
    assert "should resemble" not in shown.stderr


def test_predict_warns_of_samples_on_another_scale(fitted: Path, files: Path) -> None:
    counts = np.exp2(pd.read_csv(files / "new.csv", index_col=0) + 4)
    counts.to_csv(files / "counts.csv")
    for out in ("warned", "warned.csv"):
        shown = galenic("predict", "run", "counts.csv", "--out", out, cwd=files)
        assert shown.returncode == 0, shown.stderr
        assert "samples should resemble the cells that the model was fitted on" in shown.stderr
    assert pd.read_csv(files / "warned" / "shift.csv")["far"].all()
    assert "samples should resemble the cells" in (files / "warned" / "report.html").read_text()


def test_new_drugs_are_predicted_by_structure(fitted: Path, files: Path) -> None:
    (files / "newdrugs.csv").write_text("drug,smiles\naspirin,CC(=O)Oc1ccccc1C(=O)O\n")
    shown = galenic("predict", "run", "new.csv", "--drugs", "newdrugs.csv", "--out", "aspirin.csv", cwd=files)
    assert shown.returncode == 0, shown.stderr
    assert set(pd.read_csv(files / "aspirin.csv")["drug"]) == {"aspirin"}


def test_explain_reads_the_data_again_and_adds_biomarkers(fitted: Path, files: Path) -> None:
    shown = galenic("explain", "run", "--refits", 4, "--shuffles", 2, "--out", "genes.csv", cwd=files)
    assert shown.returncode == 0, shown.stderr
    table = pd.read_csv(files / "genes.csv")
    assert {"drug", "name", "rank", "gene", "weight", "stability", "q_value"} <= set(table.columns)
    assert (fitted / "biomarkers.csv").is_file()
    assert "iomarker" in (fitted / "report.html").read_text()


def test_report_is_written_anew(fitted: Path, files: Path) -> None:
    before = (fitted / "report.html").stat().st_mtime_ns
    shown = galenic("report", "run", cwd=files)
    assert shown.returncode == 0
    assert (fitted / "report.html").stat().st_mtime_ns > before


def test_evaluate_scores_anyones_predictions(fitted: Path, files: Path) -> None:
    measured = pd.read_csv(files / "response.csv")
    own = measured.rename(columns={"CELL_LINE_NAME": "cell", "DRUG_NAME": "drug", "LN_IC50": "response"})
    own.assign(prediction=own["response"] + 0.5).to_csv(files / "mine.csv", index=False)
    shown = galenic("evaluate", "mine.csv", "--out", "scores", cwd=files)
    assert shown.returncode == 0, shown.stderr
    metrics = pd.read_csv(files / "scores" / "metrics.csv")
    assert metrics.query("group == 'all' and metric == 'rmse'")["value"].item() == pytest.approx(0.5)


def test_evaluate_on_patients_tests_responders(files: Path, rng: np.random.Generator) -> None:
    label = np.arange(60) % 2
    predictions = pd.DataFrame({"cell": [f"TCGA-{i}" for i in range(60)], "drug": "Cisplatin"})
    predictions.assign(prediction=rng.normal(size=60) - 3 * label).to_csv(files / "patients.csv", index=False)
    outcome = pd.DataFrame({"patient": predictions["cell"], "drug": "cisplatin", "response": label, "cohort": "LUAD"})
    outcome.to_csv(files / "outcome.csv", index=False)
    shown = galenic("evaluate", "patients.csv", "--labels", "outcome.csv", "--out", "trial", cwd=files)
    assert shown.returncode == 0, shown.stderr
    table = pd.read_csv(files / "trial" / "patients.csv")
    assert (table["auroc"] > 0.9).all()


OUTCOMES = {
    "repeated patients": (lambda t: pd.concat([t, t]), "repeat one"),
    "text": (lambda t: t.assign(response=["CR", *t["response"].astype(str)[1:]]), "'CR'"),
    "one class": (lambda t: t.assign(response=1), "at least 3 responders and 3 non-responders"),
    "no such patients": (lambda t: t.assign(patient="X" + t["patient"]), "0 of 60 rows match"),
    "no drug": (lambda t: t.drop(columns="drug"), "column for the drug"),
}


@pytest.mark.parametrize("fault", OUTCOMES)
def test_bad_outcomes_end_in_words(fault: str, files: Path) -> None:
    edit, words = OUTCOMES[fault]
    table = pd.DataFrame({"cell": [f"p{i}" for i in range(60)], "drug": "7", "name": "Cisplatin"})
    table.assign(prediction=np.arange(60.0)).to_csv(files / "predicted.csv", index=False)
    outcome = pd.DataFrame({"patient": table["cell"], "drug": "cisplatin", "response": np.arange(60) % 2})
    edit(outcome).to_csv(files / "bad-outcome.csv", index=False)
    shown = galenic("evaluate", "predicted.csv", "--labels", "bad-outcome.csv", "--out", "never", cwd=files)
    assert shown.returncode == 2, shown.stdout + shown.stderr
    assert words in shown.stderr
    assert not (files / "never").exists()


def test_two_screens_of_one_compound_stay_two_tests(files: Path) -> None:
    cells = [f"p{i}" for i in range(20)]
    table = pd.DataFrame({"cell": cells * 2, "drug": ["1017"] * 20 + ["1495"] * 20, "name": "Olaparib"})
    table.assign(prediction=np.tile(np.arange(20.0), 2)).to_csv(files / "twice.csv", index=False)
    outcome = pd.DataFrame({"patient": cells, "drug": "Olaparib", "label": [True, False] * 10})
    outcome.to_csv(files / "olaparib.csv", index=False)
    shown = galenic("evaluate", "twice.csv", "--labels", "olaparib.csv", "--out", "olaparib", cwd=files)
    assert shown.returncode == 0, shown.stderr
    found = pd.read_csv(files / "olaparib" / "patients.csv", dtype={"drug": str})
    assert found["drug"].tolist() == ["1017", "1495"]
    assert found["n"].tolist() == [20, 20]


def test_evaluate_reads_the_response_table_that_fit_reads(fitted: Path, files: Path) -> None:
    own = pd.read_csv(files / "response.csv").set_axis(["cell", "drug", "prediction"], axis=1)
    own.to_csv(files / "perfect.csv", index=False)
    shown = galenic("evaluate", "perfect.csv", "--truth", "response.csv", "--out", "perfect", cwd=files)
    assert shown.returncode == 0, shown.stderr
    metrics = pd.read_csv(files / "perfect" / "metrics.csv")
    assert metrics.query("group == 'all' and metric == 'rmse'")["value"].item() == pytest.approx(0)


def test_predicting_without_tissue_says_so(fitted: Path, files: Path) -> None:
    shown = galenic("predict", "run", "new.csv", "--out", "no-tissue.csv", cwd=files)
    assert shown.returncode == 0
    assert "5 of 5 cells have none" in shown.stderr
    empty = pd.read_csv(files / "new.csv", index_col=0)
    empty.iloc[0] = np.nan
    empty.to_csv(files / "empty-cell.csv")
    shown = galenic("predict", "run", "empty-cell.csv", "--out", "empty-cell-out.csv", cwd=files)
    assert "1 of 5 cells have no expression" in shown.stderr


def test_a_table_is_not_replaced_unasked(fitted: Path, files: Path) -> None:
    (files / "mine-too.csv").write_text("years of work")
    shown = galenic("predict", "run", "new.csv", "--out", "mine-too.csv", cwd=files)
    assert shown.returncode == 2
    assert (files / "mine-too.csv").read_text() == "years of work"
    assert galenic("predict", "run", "new.csv", "--out", "deep/er/p.csv", cwd=files).returncode == 0


def test_a_flag_that_an_official_layout_has_no_use_for_is_refused(files: Path) -> None:
    shown = galenic("data", "convert", "--layout", "prism", *DATA, "--out", "never", cwd=files)
    assert shown.returncode == 2
    assert "--drugs does not fit it" in shown.stderr


def test_an_interrupted_benchmark_says_how_to_go_on(files: Path) -> None:
    import signal
    import time

    (files / "long.toml").write_text(
        '[data]\nresponse = "response.csv"\nexpression = "expression.tsv"\n[split]\nseeds = [0, 1, 2, 3, 4, 5, 6, 7]\n'
        '[[model]]\nname = "Factorisation"\n'
    )
    command = [GALENIC, "benchmark", "long.toml", "--out", "long"]
    # A shell that runs the tests in the background has them ignore interruptions; their children would, too.
    process = subprocess.Popen(
        command,
        cwd=files,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    parts = files / "long" / "parts"
    for _ in range(2400):
        if parts.is_dir() and len(list(parts.glob("[!.]*"))) > 3:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume goes on" in said
    assert json.loads((files / "long" / "run.json").read_text())["state"] in ("stopped", "failed")
    shown = galenic("benchmark", "long.toml", "--out", "long", "--resume", cwd=files)
    assert shown.returncode == 0, shown.stderr
    again = galenic("benchmark", "long.toml", "--out", "long", "--resume", cwd=files)
    assert again.returncode == 2
    assert "nothing to resume" in again.stderr


def test_benchmark_follows_a_plan_and_a_grid(files: Path) -> None:
    (files / "plan.toml").write_text(
        'title = "a plan"\n[data]\nresponse = "response.csv"\nexpression = "expression.tsv"\ndrugs = "drugs.csv"\n'
        'cells = "cells.csv"\n[data.modality]\nmutation = "mutation.csv"\n[split]\nby = ["cell", "drug"]\nfolds = 3\n'
        '[[model]]\nname = "ElasticNet"\nlabel = "net"\nl1_ratio = [0.2, 1.0]\n'
    )
    shown = galenic("benchmark", "plan.toml", "--out", "compared", "--jobs", 2, cwd=files)
    assert shown.returncode == 0, shown.stderr
    metrics = pd.read_csv(files / "compared" / "metrics.csv")
    assert {"net, l1_ratio=0.2", "net, l1_ratio=1.0", "DrugMean", "NearestDrugs"} <= set(metrics["model"])
    assert set(metrics["split"]) == {"cell", "drug"}


def test_data_folder_goes_round(files: Path) -> None:
    shown = galenic("data", "convert", *DATA, "--modality", "mutation=mutation.csv", "--out", "folder", cwd=files)
    assert shown.returncode == 0, shown.stderr
    shown = galenic("fit", "tissue-drug-mean", "--data", "folder", "--folds", 3, "--out", "from-folder", cwd=files)
    assert shown.returncode == 0, shown.stderr


def test_simulated_screen_comes_with_its_truth(tmp_path: Path) -> None:
    shown = galenic(
        "data", "simulate", "screen", "--n-cells", 30, "--n-drugs", 6, "--n-genes", 40, "--out", "s", cwd=tmp_path
    )
    assert shown.returncode == 0, shown.stderr
    assert {"drug", "feature", "modality", "effect"} <= set(pd.read_csv(tmp_path / "s" / "truth.csv").columns)


def test_an_earlier_run_is_not_replaced_unasked(fitted: Path, files: Path) -> None:
    shown = galenic("fit", "drug-mean", *DATA, "--folds", 0, "--out", "run", cwd=files)
    assert shown.returncode == 2
    assert "earlier run" in shown.stderr
    assert json.loads((fitted / "model" / "model.json").read_text())["class"] == "Ridge"


def bad_response(files: Path, edit: object) -> str:
    table = pd.read_csv(files / "response.csv")
    table = edit(table)
    table.to_csv(files / "bad.csv", index=False)
    return "bad.csv"


def text_in(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype({"LN_IC50": object}).assign(LN_IC50=["high", *table["LN_IC50"].astype(str)[1:]])


BAD_RESPONSES = {
    "missing column": (lambda t: t.drop(columns="LN_IC50"), "response"),
    "unknown ids": (lambda t: t.assign(CELL_LINE_NAME="X" + t["CELL_LINE_NAME"]), "cell"),
    "duplicated pairs": (lambda t: pd.concat([t, t.head(3)]), "repeat"),
    "text in the response": (text_in, "high"),
    "empty response": (lambda t: t.assign(LN_IC50=[np.nan, *t["LN_IC50"][1:]]), "--missing drop"),
    "infinite response": (lambda t: t.assign(LN_IC50=[np.inf, *t["LN_IC50"][1:]]), "infinit"),
    "unlogged IC50": (lambda t: t.assign(LN_IC50=np.exp(t["LN_IC50"] + 5)), "ic50"),
}


@pytest.mark.parametrize("fault", BAD_RESPONSES)
def test_a_bad_response_table_ends_in_words(fault: str, files: Path) -> None:
    edit, words = BAD_RESPONSES[fault]
    name = bad_response(files, edit)
    flags = [name if flag == "response.csv" else flag for flag in DATA]
    shown = galenic("fit", "ridge", *flags, "--out", "never", cwd=files)
    assert shown.returncode == 2, shown.stdout + shown.stderr
    assert words.lower() in shown.stderr.lower(), shown.stderr
    assert shown.stderr.count(".") >= 1
    assert not (files / "never").exists()


def corrupt(files: Path, kind: str) -> str:
    name = f"corrupt-{kind}.csv"
    whole = (files / "response.csv").read_bytes()
    packed = gzip.compress(whole)
    content = {
        "empty": b"",
        "truncated": packed[: len(packed) // 2],
        "encoding": "cell,drug,ln_ic50\nZürich,x,1.0\n".encode("utf-16"),
        "page": b"<!DOCTYPE html><html><body>404</body></html>",
    }[kind]
    (files / name).write_bytes(content)
    return name


@pytest.mark.parametrize("kind", ["empty", "truncated", "encoding", "page"])
def test_a_damaged_file_ends_in_words(kind: str, files: Path) -> None:
    name = corrupt(files, kind)
    for arguments in (("fit", "ridge", "--response", name, "--out", "never"), ("data", "check", name)):
        shown = galenic(*arguments, cwd=files)
        assert shown.returncode == 2, shown.stdout + shown.stderr
    assert not (files / "never").exists()


def test_ensembl_ids_instead_of_symbols_are_refused_at_prediction(fitted: Path, files: Path) -> None:
    table = pd.read_csv(files / "new.csv", index_col=0)
    table.columns = [f"ENSG{i:011d}" for i in range(table.shape[1])]
    table.to_csv(files / "ensembl.csv")
    shown = galenic("predict", "run", "ensembl.csv", "--out", "never.csv", cwd=files)
    assert shown.returncode == 2
    assert "0 are here" in shown.stderr
    assert "Ensembl" in shown.stderr
    assert not (files / "never.csv").exists()


def test_a_bad_smiles_is_reported_and_the_drug_kept_without_structure(files: Path) -> None:
    table = pd.read_csv(files / "drugs.csv")
    table.loc[0, "smiles"] = "not a molecule"
    table.to_csv(files / "baddrugs.csv", index=False)
    flags = ["baddrugs.csv" if flag == "drugs.csv" else flag for flag in DATA]
    shown = galenic("data", "convert", *flags, "--out", "with-bad-drug", cwd=files)
    assert shown.returncode == 0, shown.stderr
    assert "not a molecule" in shown.stdout + shown.stderr or str(table.loc[0, "drug"]) in shown.stdout + shown.stderr


def test_a_column_of_no_smiles_is_refused(files: Path) -> None:
    table = pd.read_csv(files / "drugs.csv")
    table.assign(smiles="not a molecule").to_csv(files / "nosmiles.csv", index=False)
    flags = ["nosmiles.csv" if flag == "drugs.csv" else flag for flag in DATA]
    shown = galenic("fit", "ridge", *flags, "--out", "never", cwd=files)
    assert shown.returncode == 2
    assert "8 of 8 do not" in shown.stderr
    assert not (files / "never").exists()


def test_a_bad_smiles_of_a_new_drug_is_refused(fitted: Path, files: Path) -> None:
    (files / "bad-new.csv").write_text("drug,smiles\nx,C1CC\n")
    shown = galenic("predict", "run", "new.csv", "--drugs", "bad-new.csv", "--out", "never.csv", cwd=files)
    assert shown.returncode == 2
    assert "C1CC" in shown.stderr
    assert not (files / "never.csv").exists()


def test_ensembl_ids_are_read_with_a_table_of_symbols(fitted: Path, files: Path) -> None:
    plain = pd.read_csv(files / "new.csv", index_col=0)
    ids = [f"ENSG{i:011d}.3" for i in range(plain.shape[1])]
    pd.DataFrame({"id": ids, "symbol": plain.columns}).to_csv(files / "symbols.csv", index=False)
    plain.set_axis(ids, axis=1).to_csv(files / "with-ensembl.csv")
    shown = galenic(
        "predict", "run", "with-ensembl.csv", "--symbols", "symbols.csv", "--out", "ensembl-out.csv", cwd=files
    )
    assert shown.returncode == 0, shown.stderr
    galenic("predict", "run", "new.csv", "--out", "plain-out.csv", cwd=files)
    pd.testing.assert_frame_equal(pd.read_csv(files / "ensembl-out.csv"), pd.read_csv(files / "plain-out.csv"))


def test_own_folds_are_used_and_what_they_share_is_said(files: Path) -> None:
    cells = pd.read_csv(files / "cells.csv")["cell"]
    pd.DataFrame({"cell": cells, "fold": ["a", "b"] * (len(cells) // 2)}).to_csv(files / "folds.csv", index=False)
    shown = galenic("fit", "drug-mean", *DATA, "--by", "file", "--fold-file", "folds.csv", "--out", "own", cwd=files)
    assert shown.returncode == 0, shown.stderr
    assert set(pd.read_csv(files / "own" / "metrics.csv")["fold"]) == {0, 1}
    notes = " ".join(json.loads((files / "own" / "run.json").read_text())["warnings"])
    assert "they do not test unseen drugs" in notes
    assert "unseen cells" not in notes


def test_studies_are_combined_and_tested_on_each_other(files: Path) -> None:
    for name in ("one", "two"):
        assert galenic("data", "convert", *DATA, "--out", name, cwd=files).returncode == 0
    shown = galenic("data", "combine", "one", "two", "--out", "both", cwd=files)
    assert shown.returncode == 0, shown.stderr
    shown = galenic("fit", "mean-effects", "--data", "both", "--by", "study", "--out", "across", cwd=files)
    assert shown.returncode == 0, shown.stderr
    assert set(pd.read_csv(files / "across" / "metrics.csv")["split"]) == {"study"}


@pytest.mark.parametrize("target", ["nowhere", "."])
def test_a_folder_that_is_no_model_ends_in_words(target: str, files: Path) -> None:
    shown = galenic("predict", target, "new.csv", "--out", "never.csv", cwd=files)
    assert shown.returncode == 2
    assert "model" in shown.stderr


def test_a_model_of_a_newer_format_ends_in_words(fitted: Path, files: Path, tmp_path: Path) -> None:
    shutil.copytree(fitted / "model", tmp_path / "newer")
    header = json.loads((tmp_path / "newer" / "model.json").read_text()) | {"format": 99}
    (tmp_path / "newer" / "model.json").write_text(json.dumps(header))
    shown = galenic("predict", tmp_path / "newer", "new.csv", "--out", "never.csv", cwd=files)
    assert shown.returncode == 2
    assert "format 99" in shown.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("fit", "rigde", "--out", "never"),
        ("fit", "ridge", "--out", "never", "--no-such-flag", "1"),
        ("fit", "ridge", "--out", "never"),
        ("fit", "factorisation", *DATA, "--rank", "0", "--out", "never"),
        ("fit", "kernel-ridge", *DATA, "--inputs", "expression,protein", "--folds", "0", "--out", "never"),
        ("fit", "ridge", *DATA, "--by", "colour", "--out", "never"),
        ("fit", "ridge", *DATA, "--folds", "500", "--out", "never"),
        ("benchmark", "absent.toml", "--out", "never"),
        ("report", "absent"),
        ("explain", "absent"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_in_words_and_leaves_nothing(arguments: tuple[str, ...], files: Path) -> None:
    shown = galenic(*arguments, cwd=files)
    assert shown.returncode == 2, shown.stdout + shown.stderr
    assert shown.stderr.strip()
    assert not (files / "never").exists()


def test_a_model_without_genes_has_nothing_to_explain(files: Path) -> None:
    galenic("fit", "drug-mean", *DATA, "--folds", 0, "--out", "means", cwd=files)
    shown = galenic("explain", "means", cwd=files)
    assert shown.returncode == 2
    assert "reads no genes" in shown.stderr


def test_only_models_with_a_teacher_know_who_answers(fitted: Path, files: Path) -> None:
    shown = galenic("predict", fitted, "new.csv", "--using", "teacher", "--out", "never.csv", cwd=files)
    assert shown.returncode == 2
    assert "--using is for a model with a teacher; this is Ridge" in shown.stderr


def test_a_place_without_permission_is_told_in_three_parts(capsys: pytest.CaptureFixture[str]) -> None:
    from galenic.cli.main import _explain

    assert _explain(PermissionError(13, "Permission denied", "ro/q")) == 2
    assert "may be read and written is expected; ro/q may not be (Permission denied). Choose" in capsys.readouterr().err
