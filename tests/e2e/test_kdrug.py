"""KDRUG on the command line: judged, predicted with, explained, refused."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from commands import DATA, galenic

KDRUG = ("--n-members", 2, "--n-latent", 8, "--training.max-epochs", 2, "--modality", "mutation=mutation.csv")


@pytest.fixture(scope="module")
def taught(files: Path) -> Path:
    """A teacher that also reads mutation, and its student."""
    teacher = ("--teacher", "expression,tissue,mutation")
    shown = galenic("fit", "kdrug", *DATA, *KDRUG, *teacher, "--folds", 2, "--out", "taught", cwd=files)
    assert shown.returncode == 0, shown.stderr
    return files / "taught"


def test_kdrug_is_judged_beside_its_teacher_and_its_start(taught: Path) -> None:
    models = set(pd.read_csv(taught / "metrics.csv")["model"])
    assert {"KDRUG", "KDRUG, teacher", "KDRUG, no teacher", "KDRUG, start alone", "TissueDrugMean"} <= models
    history = pd.read_csv(taught / "history.csv")
    assert {"teacher 1: one head", "student"} <= set(history["stage"])
    assert history["train_distil"].notna().any()
    calibration = pd.read_csv(taught / "calibration.csv", keep_default_na=False)
    assert set(calibration["group"]) == {"all", "drug"}
    page = (taught / "report.html").read_text()
    assert "Calibration" in page
    assert "Training" in page


@pytest.mark.parametrize("using", [(), ("--using", "teacher")], ids=["student", "teacher"])
def test_kdrug_predicts_new_cells_with_intervals_and_says_what_was_aligned(
    taught: Path, files: Path, using: tuple[str, ...]
) -> None:
    out = f"kdrug-new-{len(using)}"
    shown = galenic("predict", "taught", "new.csv", *using, "--coverage", 0.8, "--out", out, cwd=files)
    assert shown.returncode == 0, shown.stderr
    table = pd.read_parquet(files / out / "predictions.parquet")
    assert (table["low"] < table["prediction"]).all()
    assert (table["prediction"] < table["high"]).all()
    coverage = pd.read_csv(files / out / "coverage.csv").set_index("step")
    assert coverage.loc["features of expression", "kept"] == 60
    assert coverage.loc["features of mutation", "kept"] == 0


def test_kdrug_explains_genes_and_atoms(taught: Path, files: Path) -> None:
    shown = galenic("explain", "taught", "--refits", 2, "--shuffles", 1, "--drawn", 2, cwd=files)
    assert shown.returncode == 0, shown.stderr
    atoms = pd.read_csv(taught / "atoms.csv")
    assert atoms["drug"].nunique() == 2
    assert "<svg" in (taught / "report.html").read_text()
    assert set(pd.read_csv(taught / "biomarkers.csv")["modality"]) == {"expression"}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--student", "proteome"), "should carry the modality 'proteome'"),
        (("--n-members", 0), "KDRUG.n_members should be from 1"),
        (("--n-members", 60), "leaves out 30 folds of cells in turn and needs 60 cells at least; received 40"),
        (("--fusion", "nonsense"), "nonsense"),
        (("--training.lr", -1), "Training.lr should be a number above 0"),
        (("--teacher", "", "--answers", "teacher"), "needs a teacher"),
    ],
    ids=str,
)
def test_kdrug_refuses_wrong_settings_and_leaves_nothing(files: Path, flags: tuple[object, ...], words: str) -> None:
    shown = galenic("fit", "kdrug", *DATA, *flags, "--folds", 0, "--out", "never", cwd=files)
    assert shown.returncode == 2, shown.stderr
    assert words in " ".join(shown.stderr.replace("│", " ").split())
    assert not (files / "never").exists()


def test_a_flag_of_training_changes_that_flag_alone(files: Path) -> None:
    """The model's own settings are the defaults of the command line, too."""
    from galenic.models.kdrug.model import KDRUG

    few = ("--n-members", 2, "--training.max-epochs", 1, "--folds", 0)
    shown = galenic("fit", "kdrug", *DATA, *few, "--out", "plain", cwd=files)
    assert shown.returncode == 0, shown.stderr
    assert "the default teacher reads" in shown.stderr
    assert "share of the networks, student:" in shown.stdout
    saved = json.loads((files / "plain" / "model" / "model.json").read_text())["fields"]["training"]
    expected = KDRUG().training
    assert saved["max_epochs"] == 1
    assert (saved["lr"], saved["batch_size"], saved["schedule"]) == (expected.lr, expected.batch_size, "cosine")


def test_a_modality_that_the_model_never_saw_is_refused(taught: Path, files: Path) -> None:
    shown = galenic("predict", "taught", "new.csv", "--modality", "protien=mutation.csv", "--out", "no.csv", cwd=files)
    assert shown.returncode == 2
    assert "received --modality protien" in shown.stderr


def test_refused_settings_leave_no_half_run(files: Path) -> None:
    for flags in (("--student", "expresion"), ("--n-members", 100)):
        shown = galenic("fit", "kdrug", *DATA, *flags, "--folds", 3, "--out", "half", cwd=files)
        assert shown.returncode == 2
        assert not (files / "half").exists()
