"""The benchmark of perturbations: fair folds, nothing of the answer in what is given, scores as evaluate has them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import galenic
from galenic.data.simulate import perturbations
from galenic.evaluate import perturbation, perturbation_split, read_split, skill, split_half, write_split
from galenic.evaluate.splits import Fold
from galenic.models import PERTURBATION_MODELS, find
from galenic.models.base import Model
from galenic.tasks import PerturbationTask
from galenic.tasks.perturbation_scores import Measured, comparable, effects, labels_of, skills

KINDS = ("pair", "context", "perturbation", "combination")


@pytest.fixture(scope="module")
def cells() -> AnnData:
    return perturbations(n_contexts=3, n_perturbations=6, n_genes=25, n_cells=4, pairs=4, interaction=0.5, seed=1)


def keys(adata: AnnData) -> set[tuple[str, str]]:
    treated = adata.obs[~adata.obs["control"]]
    return set(zip(treated["cell_type"], treated["perturbation"], strict=True))


SENTINEL = 777.0


@dataclass(kw_only=True, repr=False)
class Cheat(Model):
    """Looks for the answer in all it is ever given; notes what that was."""

    def fit(self, adata: AnnData, **_: Any) -> Cheat:
        self.seen_, self.kept_ = keys(adata), {}
        return self._look(adata)

    def _look(self, adata: AnnData) -> Cheat:
        assert not adata.uns
        assert not adata.varm
        assert not adata.layers
        means = adata.to_df().groupby([adata.obs["cell_type"].to_numpy(), adata.obs["perturbation"].to_numpy()]).mean()
        self.kept_ |= dict(zip(means.index, means.to_numpy(), strict=True))
        return self

    def predict(self, adata: AnnData, conditions: pd.DataFrame, **_: Any) -> AnnData:
        self._look(adata)
        asked = list(zip(conditions["context"], conditions["perturbation"], strict=True))
        X = np.stack([self.kept_.get(key, np.full(adata.n_vars, SENTINEL)) for key in asked])
        return AnnData(
            X.astype(np.float32), obs=conditions.set_index(pd.RangeIndex(len(asked)).astype(str)), var=adata.var
        )


@pytest.mark.parametrize("by", KINDS)
def test_a_model_never_holds_what_it_is_asked(cells: AnnData, by: str) -> None:
    task = PerturbationTask(cells)
    for part in task.folds(by, 3, 0):
        answer = task.answer(Cheat(), *part)
        assert (answer["prediction"] == SENTINEL).all()
        assert task.is_whole(answer, part.test)
        assert not task.is_whole(answer, part.test[task.codes[part.test] != task.codes[part.test][0]])


@pytest.mark.parametrize("by", KINDS)
def test_numbers_of_test_rows_change_no_answer_where_they_are_not_given(cells: AnnData, by: str) -> None:
    part = PerturbationTask(cells).folds(by, 3, 0)[0]
    expected = PerturbationTask(cells).answer(galenic.LowRankEffect(), *part)
    spoiled = cells.copy()
    # Of unseen perturbations those of the first context alone: there the others are what may be given.
    rows = part.test if by != "perturbation" else part.test[(cells.obs["cell_type"] == "type A").to_numpy()[part.test]]
    spoiled.X[rows] = np.random.default_rng(0).normal(size=(len(rows), cells.n_vars)) * 30
    task = PerturbationTask(spoiled)
    same = np.ones(len(expected["seen"]), dtype=bool)
    if by == "perturbation":
        same = (task.measured(part.test).table["context"] == "type A").to_numpy()
        assert not np.allclose(task.answer(galenic.MeanShift(), *part)["prediction"][~same], 0)
    answer = task.answer(galenic.LowRankEffect(), *part)
    np.testing.assert_array_equal(answer["prediction"][same], expected["prediction"][same])


@pytest.mark.parametrize("by", KINDS)
def test_folds_are_those_of_evaluate_and_controls_always_train(cells: AnnData, by: str) -> None:
    parts = PerturbationTask(cells).folds(by, 3, seed=4)
    named = {"context": "cell_type", "perturbation": "perturbation", "control": "control"}
    for part, fold in zip(parts, perturbation_split(cells.obs, by, n_folds=3, seed=4, **named), strict=True):
        np.testing.assert_array_equal(part.train, fold.train)
        np.testing.assert_array_equal(part.test, fold.test)
        assert len(part.valid) == 0
        assert set(np.flatnonzero(cells.obs["control"])) <= set(part.train)


def test_names_with_a_plus_of_their_own_are_no_combinations(cells: AnnData) -> None:
    adata = cells.copy()
    adata.obs["perturbation"] = adata.obs["perturbation"].astype(str).replace({"P00": "(+)-JQ1", "P01": "NAD+"})
    task = PerturbationTask(adata)
    assert sorted(map(len, task.columns.parts)) == sorted(map(len, PerturbationTask(cells).columns.parts))
    tested = np.unique(np.concatenate([part.test for part in task.folds("combination", 2, 0)]))
    names = set(adata.obs["perturbation"].iloc[tested])
    assert not names & {"(+)-JQ1", "NAD+"}


def test_an_unseen_perturbation_is_given_in_the_other_contexts_and_no_other_row(cells: AnnData) -> None:
    given: list[tuple[set[str], set[tuple[str, str]]]] = []

    class Watch(galenic.MeanShift):
        def predict(self, adata: AnnData, conditions: pd.DataFrame | None = None, **how: Any) -> AnnData:
            given.append((set(conditions["context"]), keys(adata)))
            return super().predict(adata, conditions, **how)

    task = PerturbationTask(cells)
    part = task.folds("perturbation", 3, 0)[0]
    answer = task.answer(Watch(), *part)
    assert len(given) == 3
    tested = keys(cells[part.test])
    for contexts, told in given:
        assert len(contexts) == 1
        assert told == {key for key in tested if key[0] not in contexts and "+" not in key[1]}
    singles = answer["seen"] < 0
    assert (answer["fallback"][singles] == "").all()
    assert (answer["n_sources"][singles] == 2).all()
    given.clear()
    task.answer(Watch(), *task.folds("pair", 3, 0)[0])
    assert [told for _, told in given] == [set()]


def test_scores_are_those_of_evaluate(cells: AnnData) -> None:
    task = PerturbationTask(cells, top=(5,))
    part = task.folds("pair", 3, 0)[0]
    answer = task.answer(galenic.ScaledShift(), *part)
    frame, obs = cells.to_df().astype(float), cells.obs.astype({"cell_type": str, "perturbation": str})
    table = (
        obs.iloc[part.test][["cell_type", "perturbation"]].drop_duplicates().sort_values(["cell_type", "perturbation"])
    )
    truth, control, seen = [], [], []
    train = np.isin(np.arange(cells.n_obs), part.train) & ~obs["control"].to_numpy()
    for context, name in table.itertuples(index=False):
        here = (obs["cell_type"] == context).to_numpy()
        truth.append(frame[here & (obs["perturbation"] == name).to_numpy()].mean().to_numpy())
        control.append(frame[here & obs["control"].to_numpy()].mean().to_numpy())
        known = frame[here & train].groupby(obs["perturbation"][here & train]).mean()
        seen.append(known.mean().to_numpy())
    expected = perturbation(
        table, np.array(truth), answer["prediction"], np.array(control), contexts="cell_type", top=(5,),
        perturbed_mean=np.array(seen), by_context=True,
    )  # fmt: skip
    found = task.scores(part.test, answer, None)
    both = expected.merge(found, on=["group", "metric"], suffixes=("", "_found"))
    assert len(both) == len(expected)
    np.testing.assert_allclose(both["value_found"], both["value"], atol=1e-6)
    np.testing.assert_array_equal(both["n_found"], both["n"])
    np.testing.assert_allclose(answer["trained_mean"], np.array(seen), atol=1e-5)
    by_drug = task.scores_by_drug(part.test, answer).set_index(["metric", "drug"])
    assert by_drug.loc["mae", "n"].sum() == len(table)
    weighted = np.average(by_drug.loc["mae", "value"], weights=by_drug.loc["mae", "n"])
    assert weighted == pytest.approx(expected.query("group == 'all' and metric == 'mae'")["value"].iloc[0], abs=1e-6)


def test_no_effect_has_a_value_and_what_the_data_leave_undefined_has_none(cells: AnnData) -> None:
    task = PerturbationTask(cells)
    part = task.folds("pair", 3, 0)[0]
    scores = task.scores(part.test, task.answer(galenic.NoEffect(), *part), None).set_index(["group", "metric"])
    assert scores.loc[("all", "pearson_delta"), "value"] == 0
    assert scores.loc[("all", "pearson_delta"), "n"] == len(task.measured(part.test).table)
    assert "pearson_delta_top50" not in scores.index.get_level_values("metric")  # there are 25 genes
    one = part.test[task.codes[part.test] == task.codes[part.test][0]]
    answer = task.answer(galenic.NoEffect(), part.train, part.valid, one)
    alone = task.scores(one, answer, None).set_index(["group", "metric"])
    assert np.isnan(alone.loc[("all", "discrimination"), "value"])


def test_groups_by_parts_seen(cells: AnnData) -> None:
    task = PerturbationTask(cells)
    train = np.flatnonzero(~cells.obs["perturbation"].isin(["P00"]) & ~cells.obs["perturbation"].str.contains("[+]"))
    test = np.flatnonzero(cells.obs["perturbation"].str.contains("[+]"))
    answer = task.answer(galenic.AdditivePairs(), train, train[:0], test)
    names = task.measured(test).table["perturbation"]
    expected = [2 - ("P00" in name) for name in names]
    assert answer["seen"].tolist() == expected
    scores = task.scores(test, answer, None)
    for number in set(expected):
        rows = scores[(scores["group"] == f"{number} seen") & (scores["metric"] == "mae")]
        assert rows["n"].tolist() == [expected.count(number)]


def test_a_benchmark_runs_every_floor_resumes_and_tells_of_conditions(cells: AnnData, tmp_path: Path) -> None:
    task = PerturbationTask(cells)
    how: dict[str, Any] = {"by": ["pair", "combination"], "n_folds": 2, "seeds": (0, 1), "parts": tmp_path}
    result = galenic.benchmark([galenic.StackedShift()], task, **how)
    assert set(result.metrics["model"]) == {*task.floors(), "StackedShift"}
    assert "AdditivePairs" in task.floors()
    assert result.predictions is None
    assert result.comparison.query("metric == 'pearson_delta' and group == 'all'")["difference"].notna().all()
    assert "collapse" not in set(result.comparison["metric"])
    conditions, skilled, effect = (result.tables[name] for name in ("conditions", "skill", "effects"))
    assert len(conditions) == (task.means.table.shape[0] + 12) * 2 * len(set(result.metrics["model"]))
    no_effect = conditions[conditions["model"] == "NoEffect"]
    assert no_effect["pearson_delta"].isna().all()
    whole = result.metrics.query("group == 'all' and metric == 'mae'").groupby("model")["value"].mean()
    assert set(skilled["floor"]) == set(task.floors())
    assert skilled.groupby(["split", "metric"])["best"].sum().max() == 1
    mine = skilled.query("split == 'pair' and metric == 'mae'").set_index("floor")
    assert mine["floor_value"].idxmin() == mine.index[mine["best"]][0]
    assert mine["value"].iloc[0] == pytest.approx(
        conditions.query("model == 'StackedShift' and split == 'pair'")["mae"].mean()
    )
    assert whole.notna().all()
    assert set(effect["model"]) == {"StackedShift"}
    assert len(effect) == (task.means.table.shape[0] + 12) * cells.n_vars
    kept = sorted(tmp_path.glob("*.npz"))
    before = [path.stat().st_mtime_ns for path in kept]
    again = galenic.benchmark([galenic.StackedShift()], task, **how)
    assert [path.stat().st_mtime_ns for path in kept] == before
    pd.testing.assert_frame_equal(again.metrics, result.metrics)
    pd.testing.assert_frame_equal(again.tables["conditions"], conditions)


def test_a_planted_effect_is_recovered_and_a_better_model_has_skill() -> None:
    easy = perturbations(n_contexts=4, n_perturbations=10, n_genes=40, n_cells=20, noise=0.1, seed=3)
    result = galenic.benchmark([galenic.MeanShift()], PerturbationTask(easy), by="pair", n_folds=3)
    skilled = result.tables["skill"].query("metric == 'mae'").set_index("floor")
    assert "MeanShift" not in skilled.index
    assert skilled.loc["ContextMeanEffect", "low"] > 0.5
    effect = result.tables["effects"]
    truth = easy.uns["truth"]
    names = effect["context"].astype(str) + "|" + effect["perturbation"].astype(str)
    places = truth["conditions"].index.get_indexer(names), easy.var_names.get_indexer(effect["gene"])
    planted = truth["effects"][places]
    assert np.corrcoef(planted, effect["predicted"])[0, 1] > 0.97
    assert np.corrcoef(planted, effect["measured"])[0, 1] > 0.97


def test_skill_is_that_of_evaluate_with_seeds_averaged(rng: np.random.Generator) -> None:
    rows = [
        {"model": model, "split": "pair", "fold": fold, "seed": seed, "context": context, "perturbation": name}
        for model in ("net", "one", "two")
        for seed in (0, 1)
        for fold, name in enumerate(("x", "y", "z"))
        for context in ("A", "B")
    ]
    table = pd.DataFrame(rows)
    for metric in ("mae", "pearson_delta", "discrimination"):
        table[metric] = rng.random(len(table))
    table.loc[table["model"] == "one", "pearson_delta"] = np.nan
    found = skills(table, ["net"], ["one", "two"]).set_index(["metric", "floor"])
    means = table.fillna({"pearson_delta": 0.0}).groupby(["model", "context", "perturbation"]).mean(numeric_only=True)
    own = {model: means.loc[model].reset_index() for model in ("net", "one", "two")}
    expected = skill(own["net"], {"two": own["two"]}, "mae", by="perturbation").iloc[0]
    for name in ("value", "floor_value", "skill", "low", "high", "n"):
        assert found.loc[("mae", "two"), name] == pytest.approx(expected[name])
    assert found.loc[("pearson_delta", "one"), "floor_value"] == 0
    assert found.loc[("pearson_delta", "two"), "best"]
    assert skills(table, ["one"], ["one", "two"])["floor"].unique().tolist() == ["two"]
    assert skills(table, [], ["one"]).empty


def test_effects_of_many_conditions_are_those_of_the_best_middle_and_worst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("galenic.tasks.perturbation_scores.MOST_EFFECTS", 40)
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"context": "A", "perturbation": [f"P{i:02d}" for i in range(21)], "n_cells": 1})
    measured = Measured(table, rng.normal(size=(21, 4)), np.zeros((21, 4)), np.array(list("abcd"), dtype="object"))
    values = pd.DataFrame({"pearson_delta": np.linspace(1, -1, 21)})
    kept = effects(measured, measured.truth + 1, values)
    assert kept["perturbation"].unique().tolist() == [f"P{i:02d}" for i in (0, 1, 2, 9, 10, 11, 18, 19, 20)]
    np.testing.assert_allclose(kept["predicted"] - kept["measured"], 1, atol=1e-6)


def test_a_file_of_folds_is_used_as_written_and_controls_train(cells: AnnData, tmp_path: Path) -> None:
    named = {"context": "cell_type", "perturbation": "perturbation", "control": "control"}
    folds = perturbation_split(cells.obs, "pair", n_folds=2, **named)
    control = np.flatnonzero(cells.obs["control"])[:3]
    moved = [Fold(np.setdiff1d(fold.train, control), np.union1d(fold.test, control)) for fold in folds]
    write_split(cells.obs, moved, tmp_path / "split.csv")
    assert len(read_split(cells.obs, tmp_path / "split.csv")[0].test) == len(moved[0].test)
    parts = PerturbationTask(cells, split_file=tmp_path / "split.csv").folds("file", 5, 0)
    for part, fold in zip(parts, folds, strict=True):
        np.testing.assert_array_equal(part.train, fold.train)
        np.testing.assert_array_equal(part.test, fold.test)
    column = cells.copy()
    column.obs["fold"] = np.where(np.isin(np.arange(cells.n_obs), folds[0].test), "a", "train")
    part = PerturbationTask(column).folds("file", 5, 0)[0]
    np.testing.assert_array_equal(part.test, folds[0].test)
    with pytest.raises(ValueError, match="needs a split file or a column 'fold'"):
        PerturbationTask(cells).folds("file", 5, 0)


def test_a_condition_on_both_sides_of_a_given_fold_is_told(cells: AnnData) -> None:
    adata = cells.copy()
    rng = np.random.default_rng(0)
    adata.obs["fold"] = np.where(rng.random(cells.n_obs) < 0.3, "test", "train")
    result = galenic.benchmark([galenic.ScaledShift()], PerturbationTask(adata), by="file")
    assert any("values of condition between train and test" in note for note in result.notes)
    assert result.metrics["value"].notna().any()
    fair = cells.copy()
    fair.obs["fold"] = np.where(cells.obs["perturbation"] == "P03", "test", "train")
    assert not galenic.benchmark([], PerturbationTask(fair), by="file").notes


@pytest.mark.parametrize("form", ["sparse", "backed"])
def test_sparse_and_backed_cells_are_the_same(cells: AnnData, form: str, tmp_path: Path) -> None:
    import anndata

    other = AnnData(sparse.csr_matrix(cells.X), obs=cells.obs, var=cells.var)
    if form == "backed":
        other.write_h5ad(tmp_path / "cells.h5ad")
        other = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    one, two = PerturbationTask(cells), PerturbationTask(other)
    part = one.folds("perturbation", 3, 0)[0]
    answers = [task.answer(galenic.ScaledShift(), *part)["prediction"] for task in (one, two)]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-5)
    pd.testing.assert_frame_equal(one.ceiling(n_splits=2), two.ceiling(n_splits=2), atol=1e-6)


def test_doses_are_conditions_of_their_own(cells: AnnData) -> None:
    adata = cells.copy()
    doses = np.tile([0.1, 10.0], cells.n_obs)[: cells.n_obs]
    adata.obs["uM"] = np.where(cells.obs["control"], np.nan, doses)
    adata.X[(adata.obs["uM"] == 10.0).to_numpy()] += 1
    task = PerturbationTask(adata, dose="uM")
    assert len(task.means.table) == 2 * len(PerturbationTask(cells).means.table)
    result = galenic.benchmark([galenic.StackedShift()], task, by="pair", n_folds=2)
    conditions = result.tables["conditions"]
    assert set(conditions["dose"]) == {0.1, 10.0}
    assert {"context", "perturbation", "dose"} <= set(result.tables["effects"])
    assert result.tables["skill"]["skill"].notna().any()
    both = conditions.groupby(["model", "fold", "context", "perturbation"])["dose"].nunique()
    assert (both == 2).all()
    with pytest.raises(ValueError, match=r"'um' is none.*did you mean 'uM'"):
        PerturbationTask(cells_with(adata, "uM"), dose="um")


def cells_with(adata: AnnData, *columns: str) -> AnnData:
    return AnnData(adata.X, obs=adata.obs[["cell_type", "perturbation", "control", *columns]], var=adata.var)


def test_the_ceiling_is_split_half_and_absent_where_nothing_was_measured_twice(cells: AnnData) -> None:
    adata = cells.copy()
    adata.obs["plate"] = np.arange(cells.n_obs) % 4
    found = PerturbationTask(adata, replicates="plate", top=(5,)).ceiling(n_splits=3)
    expected = split_half(
        adata.X, adata.obs, contexts="cell_type", replicates="plate", top=(5,), n_splits=3, control="control"
    )
    assert found.columns.tolist() == ["group", "metric", "value", "full", "ceiling", "n"]
    pd.testing.assert_frame_equal(found, expected)
    once = cells[~cells.obs.duplicated(["cell_type", "perturbation"])].copy()
    assert PerturbationTask(once).ceiling() is None
    # Conditions that were measured twice, where controls were not.
    few = cells[~cells.obs["control"] | ~cells.obs.duplicated(["cell_type", "perturbation"])].copy()
    assert PerturbationTask(few).ceiling() is None
    with pytest.raises(ValueError, match="'batch'"):
        PerturbationTask(cells, replicates="batch")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda obs: obs.rename(columns={"cell_type": "tissue"}), "'cell_type'"),
        (lambda obs: obs[["cell_type", "control"]], "'perturbation'"),
        (lambda obs: obs.assign(control=obs["control"] & (obs["cell_type"] != "type B")), "'type B'"),
        (lambda obs: obs.assign(control=True), "all 132 rows are controls"),
    ],
)
def test_bad_tables_are_refused(cells: AnnData, change: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PerturbationTask(AnnData(cells.X, obs=change(cells.obs)))


def test_missing_values_counts_and_odd_splits_are_refused(cells: AnnData) -> None:
    with pytest.raises(ValueError, match="should be finite"):
        PerturbationTask(AnnData(np.where(np.arange(25) == 3, np.nan, cells.X), obs=cells.obs))
    with pytest.raises(ValueError, match="raw counts"):
        PerturbationTask(AnnData(np.rint(cells.X * 100).astype(np.float32), obs=cells.obs))
    with pytest.raises(ValueError, match="received 'contexts'; did you mean 'context'"):
        PerturbationTask(cells).folds("contexts", 3, 0)


def test_models_of_another_question_are_refused(cells: AnnData) -> None:
    with pytest.raises(ValueError, match=r"about effects of perturbations.*mine is a RawCosine"):
        galenic.benchmark({"mine": galenic.RawCosine()}, PerturbationTask(cells), by="pair", n_folds=3)
    data, _ = galenic.simulate.screen(n_cells=20, n_drugs=5, n_genes=20)
    with pytest.raises(ValueError, match=r"about responses of cells.*mine is a MeanShift"):
        galenic.benchmark({"mine": galenic.MeanShift()}, data, n_folds=3)


def test_workers_change_nothing(cells: AnnData) -> None:
    found = [
        galenic.benchmark([galenic.StackedShift()], PerturbationTask(cells), by="pair", n_folds=2, n_jobs=jobs)
        for jobs in (1, 2)
    ]
    pd.testing.assert_frame_equal(found[0].metrics, found[1].metrics)


def test_input_is_not_changed(cells: AnnData) -> None:
    before = [pd.util.hash_pandas_object(frame.astype(str)).sum() for frame in (cells.obs, cells.to_df())]
    galenic.benchmark([], PerturbationTask(cells), by="perturbation", n_folds=2)
    after = [pd.util.hash_pandas_object(frame.astype(str)).sum() for frame in (cells.obs, cells.to_df())]
    assert before == after


def test_labels_and_comparable_values() -> None:
    assert labels_of(pd.DataFrame({"perturbation": ["x"]})).tolist() == ["x"]
    values = pd.DataFrame({"pearson_delta_top20": [np.nan, 0.5], "discrimination": [np.nan, 0.5], "mae": [1.0, 2.0]})
    filled = comparable(values)
    assert filled["pearson_delta_top20"].tolist() == [0, 0.5]
    assert np.isnan(filled["discrimination"].iloc[0])


def test_a_kept_answer_of_another_benchmark_is_not_taken(cells: AnnData) -> None:
    task = PerturbationTask(cells)
    answer = {"prediction": np.zeros((3, 25), dtype=np.float32)}
    assert not task.is_whole(answer, task.folds("pair", 2, 0)[0].test)


def test_flags_of_data_and_judging_hide_no_field_of_a_model() -> None:
    from galenic.cli.fit_perturbations import PerturbationJudgeFlags
    from galenic.cli.perturbed import PerturbationDataFlags

    taken = {"out"} | {field.name for cls in (PerturbationDataFlags, PerturbationJudgeFlags) for field in fields(cls)}
    assert len(taken) == 1 + len(fields(PerturbationDataFlags)) + len(fields(PerturbationJudgeFlags))
    for name in PERTURBATION_MODELS:
        assert not taken & {field.name for field in fields(find(name))}, name


@pytest.mark.real
def test_interferon_in_blood_cells(perturb_folder: Path) -> None:
    import anndata

    task = PerturbationTask(anndata.read_h5ad(perturb_folder / "kang_ifnb_pbmc.h5ad"))
    result = galenic.benchmark([galenic.StackedShift()], task, by="context", n_folds=5)
    values = result.metrics.query("group == 'all' and metric == 'pearson_delta'").groupby("model")["value"].mean()
    assert values["NoEffect"] == 0
    assert values["NearestContextShift"] > 0.8
    assert result.tables["skill"].query("metric == 'mae' and floor == 'NoEffect'")["skill"].iloc[0] > 0.2
