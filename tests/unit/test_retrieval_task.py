"""A benchmark of retrieval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import galenic
from galenic.data.simulate import profiles
from galenic.evaluate import retrieval
from galenic.tasks import RetrievalTask

ADATA = profiles(n_perturbagens=30, n_genes=40, n_cells=4, seed=5)


def test_scores_are_those_of_the_test_profiles_alone() -> None:
    task = RetrievalTask(ADATA, strata=("cell",))
    train, test = np.arange(60), np.arange(60, 120)
    answer = task.answer(galenic.RawCosine(), train, train[:0], test)
    scores = task.scores(test, answer, None).set_index(["group", "metric"])["value"]
    asked = ADATA[test]
    expected = retrieval(asked.obs, asked.X.astype(float)).set_index("metric")["value"]
    assert scores["all", "map"] == pytest.approx(expected["map"], abs=1e-5)
    assert np.isnan(scores["same cell", "map"])
    assert {"moa", "different cell"} <= set(scores.index.get_level_values("group"))
    by_drug = task.scores_by_drug(test, answer)
    assert by_drug["value"].mean() == pytest.approx(expected["map"], abs=1e-5)


def test_a_benchmark_runs_every_floor_and_resumes(tmp_path: Path) -> None:
    task = RetrievalTask(ADATA)
    how = {"by": "perturbagen", "n_folds": 3, "parts": tmp_path}
    lda = galenic.ShrinkageLDA(shrinkage=1.0)
    result = galenic.benchmark({"mine": lda}, task, **how)
    assert set(result.metrics["model"]) == {"mine", *task.floors()}
    assert result.predictions is None
    compared = result.comparison.query("metric == 'map' and group == 'all'").iloc[0]
    assert compared["floor"] in task.floors()
    kept = sorted(tmp_path.glob("*.npz"))
    assert len(kept) == 3 * 7
    before = [path.stat().st_mtime_ns for path in kept]
    again = galenic.benchmark({"mine": lda}, task, **how)
    assert [path.stat().st_mtime_ns for path in kept] == before
    assert again.metrics["value"].equals(result.metrics["value"])


@pytest.mark.parametrize("by", ["perturbagen", "cell", "moa", "profile", "plate"])
def test_every_split_holds_out_what_it_says(by: str) -> None:
    task = RetrievalTask(ADATA)
    table, columns = task.table(by)
    for fold in galenic.split(table, by=columns, n_folds=3):
        assert len(np.intersect1d(fold.train, fold.test)) == 0
        if columns is not None:
            assert not set(table[columns].iloc[fold.train]) & set(table[columns].iloc[fold.test])


def test_structures_that_are_alike_are_left_out() -> None:
    adata = ADATA.copy()
    smiles = ["CCO", "CCO", "c1ccccc1C(=O)O"] * 10
    adata.obs["smiles"] = np.repeat(smiles, 4)
    task = RetrievalTask(adata)
    rows = np.arange(120)
    scores = task.scores(rows, task.answer(galenic.RawCosine(), rows, rows[:0], rows), None)
    counts = scores[scores["metric"] == "auroc_pooled"].set_index("group")["n"]
    assert counts["moa, unlike structures"] < counts["moa"]
    assert counts["structure"] > 0


def test_how_many_are_found_beyond_chance() -> None:
    rows, scores = np.arange(120), []
    shuffled = ADATA.copy()
    shuffled.obs["pert_id"] = np.random.default_rng(0).permutation(ADATA.obs["pert_id"].to_numpy())
    for adata in (ADATA, shuffled):
        task = RetrievalTask(adata)
        found = task.scores(rows, task.answer(galenic.RawCosine(), rows, rows[:0], rows), None)
        scores.append(found.set_index(["group", "metric"])["value"]["all", "found_beyond_chance"])
    assert scores[0] > 0.5
    assert scores[1] < 0.1


def test_a_missing_column_is_refused() -> None:
    with pytest.raises(ValueError, match="retrieval: the table of profiles needs"):
        RetrievalTask(ADATA, label="drug")


def test_matches_that_can_nowhere_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="should differ in 'dose' somewhere; none do"):
        RetrievalTask(ADATA, different=("dose",))


def test_models_of_another_question_are_refused_before_anything_is_fitted() -> None:
    with pytest.raises(ValueError, match=r"about similarity of profiles.*ridge is a KernelRidge"):
        galenic.benchmark({"ridge": galenic.KernelRidge()}, RetrievalTask(ADATA), by="perturbagen", n_folds=3)
    data, _ = galenic.simulate.screen(n_cells=20, n_drugs=5, n_genes=20)
    with pytest.raises(ValueError, match=r"about responses of cells.*mine is a RawCosine"):
        galenic.benchmark({"mine": galenic.RawCosine()}, data, n_folds=3)
