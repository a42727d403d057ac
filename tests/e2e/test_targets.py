"""Pairs of targets on the command line: a run folder with its page, and bad input told in words."""

from __future__ import annotations

import itertools
import json
import warnings
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import galenic

from galenic.cli.main import _explain
from galenic.cli.targets import command
from galenic.report import read
from galenic.report.targets import targets as section

THREE = ("--pairs", "pairs.tsv", "--mapping", "mapping.tsv", "--combinations", "combinations.tsv")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights with a dose, three tables of known pairs, one joined table and a list of genes."""
    folder = tmp_path_factory.mktemp("targets")
    rng = np.random.default_rng(0)
    genes = [f"GENE{i}" for i in range(80)]
    log = rng.normal(size=(80, 1)) + 0.2 * rng.normal(size=(80, 12))
    log[7] = log[2] - log[2].mean() + 1
    weights = pd.DataFrame(np.exp(log).T, columns=genes).assign(dose=90.0)
    weights.to_csv(folder / "weights.tsv", sep="\t")
    weights.drop(columns="dose").T.to_csv(folder / "genes_in_rows.csv")
    pairs = list(itertools.combinations(genes[:16], 2))
    chosen = [(2, 7), *(tuple(genes.index(g) for g in pairs[i]) for i in rng.choice(120, 40, replace=False))]
    table = pd.DataFrame({"tpid": [f"TP{i:03}" for i in range(41)]})
    table["genename1"], table["genename2"] = zip(*((genes[a], genes[b]) for a, b in chosen), strict=True)
    table.to_csv(folder / "pairs.tsv", sep="\t", index=False)
    mapping = pd.DataFrame({"dcid": [f"DC{i:03}" for i in range(41)], "tpid": table["tpid"]})
    mapping.to_csv(folder / "mapping.tsv", sep="\t", index=False)
    drugs = pd.DataFrame({"dcid": mapping["dcid"], "fd_name": ["Ovarian Cancer", "Lung Cancer"] * 20 + ["Glioma"]})
    drugs.to_csv(folder / "combinations.tsv", sep="\t", index=False)
    joined = table.merge(mapping).merge(drugs)
    joined.to_csv(folder / "known.csv", index=False)
    (folder / "list.csv").write_text("no,SYMBOL\n1,gene2\n2,GENE7\n3,GENE9\n4,GEEN10\n")
    return folder


def ran(folder: Path, *arguments: object) -> pd.DataFrame:
    """Pairs of a call that must work; its warnings are kept in the run."""
    with chdir(folder), warnings.catch_warnings(record=True):
        command().main([*map(str, arguments), "--out", "run", "--overwrite"], standalone_mode=False)
    return pd.read_csv(folder / "run" / "target_pairs.csv")


def test_a_run_has_pairs_chance_floors_and_a_page(folder: Path) -> None:
    arguments = ("weights.tsv", *THREE, "--disease", "ovarian cancer", "--drop", "dose", "--out", "shown")
    shown = galenic("targets", *arguments, cwd=folder)
    assert shown.returncode == 0, shown.stderr
    assert "genes in known pairs of Ovarian Cancer are measured" in shown.stdout
    assert "nearly copies" in shown.stderr
    assert "nearly copies" not in shown.stdout
    pairs = pd.read_csv(folder / "shown" / "target_pairs.csv")
    assert {pairs.loc[0, "gene_a"], pairs.loc[0, "gene_b"]} == {"GENE2", "GENE7"}
    assert pairs.loc[0, "known"]
    match = pd.read_csv(folder / "shown" / "target_match.csv")
    assert match["hits"].iloc[-1] <= match["n_known"].iloc[-1]
    scores = pd.read_csv(folder / "shown" / "target_diseases.csv")
    assert set(scores["disease"]) == {"Lung Cancer", "Ovarian Cancer"}
    record = json.loads((folder / "shown" / "run.json").read_text())
    assert record["state"] == "done"
    assert record["data"] == {"genes": 80}
    assert len(record["inputs"]) == 4
    page = (folder / "shown" / "report.html").read_text(encoding="utf-8")
    for words in ("Pairs of targets", "in the clinic", "Methods and floors", "popularity of the genes elsewhere"):
        assert words in page
    assert "RMSE" not in page
    assert galenic("report", "shown", cwd=folder).returncode == 0


def test_files_say_the_same_either_way(folder: Path) -> None:
    expected = ran(folder, "weights.tsv", *THREE, "--disease", "Ovarian Cancer", "--drop", "dose")
    for arguments in (
        ("genes_in_rows.csv", *THREE, "--disease", "Ovarian Cancer"),
        ("weights.tsv", "--known", "known.csv", "--disease", "Ovarian Cancer", "--drop", "dose"),
    ):
        pd.testing.assert_frame_equal(ran(folder, *arguments), expected)


def test_modes_and_thresholds(folder: Path) -> None:
    base = ("weights.tsv", "--known", "known.csv", "--disease", "Ovarian Cancer")
    whole = ran(folder, *base, "--drop", "dose")
    some = ran(folder, *base, "--drop", "dose", "--mode", "prediction")
    assert 0 < len(some) < len(whole)
    pd.testing.assert_frame_equal(some, whole.head(len(some)))
    assert len(ran(folder, *base, "--drop", "dose", "--threshold", "0", "--n-pairs", 4)) == 4
    published = ran(folder, *base, "--as-published", "--threshold", "0.5")
    assert (published["r"].abs() >= 0.5).all()
    assert published["gene_a"].str.islower().all()
    assert len(ran(folder, *base, "--as-published", "--threshold", "none")) >= len(published)


def test_own_candidates_need_nothing_known(folder: Path) -> None:
    pairs = ran(folder, "genes_in_rows.csv", "--candidates", "list.csv", "--drop", "11")
    assert len(pairs) == 3
    assert pairs.loc[0, ["gene_a", "gene_b"]].tolist() == ["GENE2", "GENE7"]
    run = read(folder / "run")
    assert run.table("target_match") is None
    assert any("'GEEN10'" in note and "'GENE10'" in note for note in run.record["warnings"])
    blocks = section(run).blocks
    assert len(blocks) == 1


BAD = {
    "a dose": (("--known", "known.csv", "--disease", "Ovarian Cancer"), "'dose' is neither"),
    "a disease": (("--known", "known.csv", "--disease", "Ovary Cancer", "--drop", "dose"), "'Ovarian Cancer'"),
    "two of three": (("--pairs", "pairs.tsv", "--mapping", "mapping.tsv"), "received --pairs and --mapping"),
    "too many": ((*THREE, "--known", "known.csv"), "--known, or from --pairs"),
    "nothing": (("--disease", "Ovarian Cancer"), "received neither"),
    "no disease": (("--known", "known.csv", "--drop", "dose"), "known pairs without a disease"),
    "a threshold": (("--known", "known.csv", "--threshold", "high"), "received 'high'"),
    "a table": (("--known", "list.csv", "--disease", "Glioma"), "'gene_a' (or 'genename1')"),
    "no file": (("--known", "nowhere.csv", "--disease", "Glioma"), "does not exist"),
    "strange genes": (("--candidates", "strange.csv"), "should name genes in its first column or its header"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_and_leaves_nothing(folder: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, words = BAD[case]
    (folder / "strange.csv").write_text("SYMBOL,x\nMouse1,1\nMouse2,2\n")
    with chdir(folder), pytest.raises(Exception) as caught:
        command().main(["weights.tsv", *arguments, "--out", "never"], standalone_mode=False)
    assert _explain(caught.value) == 2
    assert words in capsys.readouterr().err
    assert not (folder / "never").exists()


def test_help_names_the_flags(tmp_path: Path) -> None:
    shown = galenic("targets", "--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert all(flag in shown.stdout for flag in ("--as-published", "--candidates", "--drop", "--mode"))
