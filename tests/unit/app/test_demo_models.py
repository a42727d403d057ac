"""The shipped examples: they load without pickle, say what they said when they were made, and stay small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from galenic.app.demo import KINDS, folders
from galenic.app.demo.answers import ANSWERS, of_perturbation
from galenic.app.demo.parcels import OF_A_MACHINE, packed
from galenic.models.base import load
from galenic.models.shift import shift
from galenic.report.judged import judged
from galenic.report.run import read

MOST = 2_500_000
ENDINGS = {".csv", ".h5ad", ".json", ".md", ".npy", ".npz", ".parquet", ".safetensors", ".txt"}
"""None of them can hold code; arrays are read without pickle."""


@pytest.fixture(scope="module")
def answers() -> dict[str, pd.DataFrame]:
    """What each example says today."""
    return {kind: answer(folders()[kind]) for kind, answer in ANSWERS.items()}


@pytest.mark.parametrize("kind", sorted(ANSWERS))
def test_an_example_says_what_it_said_when_it_was_made(kind: str, answers: dict[str, pd.DataFrame]) -> None:
    stored = pd.read_csv(folders()[kind] / "answer.csv")
    found = answers[kind]
    numbers = [name for name in stored if stored[name].dtype.kind == "f"]
    words = [name for name in stored if name not in numbers]
    assert found[words].astype(str).to_numpy().tolist() == stored[words].astype(str).to_numpy().tolist()
    np.testing.assert_allclose(found[numbers].to_numpy(float), stored[numbers].to_numpy(float), rtol=2e-3, atol=2e-4)


def test_answers_are_of_something(answers: dict[str, pd.DataFrame]) -> None:
    response = answers["response"]
    assert (response["low"] < response["prediction"]).all()
    assert response.groupby("drug")["prediction"].std().min() > 0.05
    assert {0, 1} <= set(answers["cells"]["label"])
    assert (answers["search"].groupby("query")["similarity"].diff().dropna() <= 1e-6).all()
    assert answers["perturbation"].drop(columns="condition").abs().max(axis=1).min() > 0.1


def test_effects_of_unseen_conditions_go_with_what_was_measured() -> None:
    from galenic.app.perturbing import effect_of
    from galenic.data.read.matrices import open_h5ad

    folder = folders()["perturbation"]
    adata, model = open_h5ad(folder / "cells.h5ad"), load(folder)
    asked = of_perturbation(folder)["condition"].str.split("|")
    found = [effect_of(model, adata, *condition).scores.set_index("who")["correlation"] for condition in asked]
    mean = pd.DataFrame(found).mean()
    assert len(found) == 16
    assert mean["effect"] > 0.6
    assert mean["effect"] > mean["ContextMeanEffect"]


def test_the_example_of_cells_tells_the_best_floor_beside_its_auroc() -> None:
    best = pd.read_csv(folders()["cells"] / "floors_source.csv").set_index("floor")["auroc"].idxmax()
    (said,) = judged(folders()["cells"])
    assert f"for its best floor there, {best}: it " in said


def test_the_samples_of_the_example_are_like_the_cells_of_its_model() -> None:
    table = shift(load(folders()["response"]), AnnData(pd.read_csv(folders()["response"] / "cells.csv", index_col=0)))
    assert len(table)
    assert not table["far"].any()


@pytest.mark.parametrize("kind", KINDS)
def test_run_folders_are_whole_and_of_no_machine(kind: str) -> None:
    for record in folders()[kind].rglob("run.json"):
        run = read(record.parent)
        assert not set(json.loads(record.read_text(encoding="utf-8"))) & set(OF_A_MACHINE)
        assert run.record["command"].startswith("galenic ")
        assert all((record.parent / name).is_file() for name in run.record["outputs"])
    assert (folders()[kind] / "run.json").is_file()


def test_nothing_that_is_shipped_is_large_or_executable() -> None:
    files = [file for folder in folders().values() for file in folder.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} <= ENDINGS
    assert sum(file.stat().st_size for file in files) < MOST
    for file in files:
        if file.suffix == ".npy":
            np.load(file, allow_pickle=False)


def test_no_path_of_a_machine_is_shipped() -> None:
    texts = [file for folder in folders().values() for file in folder.rglob("*") if file.suffix in (".json", ".csv")]
    for file in texts:
        content = file.read_text(encoding="utf-8")
        assert not any(place in content for place in ("/home/", "/root/", "/tmp/", "/work/", "/Users/", "C:\\"))


def test_the_wheel_holds_what_git_does() -> None:
    root = Path(__file__).parents[3]
    ignored = (root / ".gitignore").read_text(encoding="utf-8").split()
    assert not [line for line in ignored if line.startswith("*") and line.strip("*/") in ENDINGS]
    assert "demo/" not in ignored


def test_a_run_is_packed_without_times_and_with_few_digits(tmp_path: Path) -> None:
    from galenic.report.run import start

    with start(tmp_path / "run", verb="fit", command="galenic fit ridge --out run", fields={"a": 1}) as run:
        table = pd.DataFrame({"model": ["Ridge"], "split": "cell", "fold": 0, "seed": 0, "group": "all",
                              "metric": "rmse", "value": [1 / 3], "n": 9})  # fmt: skip
        run.write("metrics", table)
    packed(tmp_path / "run", tmp_path / "out", ["metrics", "skill", "model"])
    found = read(tmp_path / "out")
    assert found.record["outputs"] == ["metrics.csv"]
    assert "started" not in json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert found.table("metrics")["value"].tolist() == [0.33333]
