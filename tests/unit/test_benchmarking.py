"""The benchmark: fair folds, floors unasked, answers that do not depend on how the work was done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import galenic
from galenic.data.response import ResponseData
from galenic.data.simulate import screen
from galenic.models.base import Model


@pytest.fixture(scope="module")
def data() -> ResponseData:
    return screen(n_cells=60, n_drugs=10, n_genes=60, noise=0.5, seed=0)[0]


@dataclass(kw_only=True, repr=False)
class Oracle(Model):
    """Answers what it was told; notes what it saw."""

    def fit(self, data: ResponseData, *, valid: ResponseData | None = None, **_: object) -> Oracle:
        self.seen_ = set(zip(data.pairs["cell"], data.pairs["drug"], strict=True))
        self.valid_ = set(zip(valid.pairs["cell"], valid.pairs["drug"], strict=True))
        return self

    def predict(self, data: ResponseData) -> pd.DataFrame:
        assert "response" not in data.pairs, "the test responses must not reach the model"
        asked = set(zip(data.pairs["cell"], data.pairs["drug"], strict=True))
        assert not asked & (self.seen_ | self.valid_)
        assert not self.seen_ & self.valid_
        return data.pairs.assign(prediction=1.0)


def test_test_responses_never_reach_a_model_and_floors_run_unasked(data: ResponseData) -> None:
    result = galenic.benchmark([Oracle()], data, by=["pair", "cell", "drug"], n_folds=3)
    assert set(result.metrics["model"]) == {*result.floors, "Oracle"}
    assert set(result.metrics["split"]) == {"pair", "cell", "drug"}
    assert list(result.metrics.columns) == ["model", "split", "fold", "seed", "group", "metric", "value", "n"]


def test_every_pair_is_tested_once_a_seed(data: ResponseData) -> None:
    result = galenic.benchmark([], data, by="cell", n_folds=4, seeds=(3, 4))
    one = result.predictions[result.predictions["model"] == "DrugMean"]
    assert sorted(zip(one["cell"], one["drug"], strict=True)) == sorted(
        zip(data.pairs["cell"], data.pairs["drug"], strict=True)
    )
    assert set(result.metrics["seed"]) == {3, 4}


def test_workers_change_nothing(data: ResponseData) -> None:
    alone = galenic.benchmark([galenic.Ridge()], data, n_folds=3)
    together = galenic.benchmark([galenic.Ridge()], data, n_folds=3, n_jobs=2)
    pd.testing.assert_frame_equal(alone.metrics, together.metrics)


def test_an_interrupted_benchmark_goes_on(data: ResponseData, tmp_path: Path) -> None:
    first = galenic.benchmark([galenic.Ridge()], data, n_folds=3, parts=tmp_path)
    kept = sorted(tmp_path.glob("*.npz"))
    assert len(kept) == 3 * 6
    times = {path.name: path.stat().st_mtime_ns for path in kept}
    kept[0].unlink()
    again = galenic.benchmark([galenic.Ridge()], data, n_folds=3, parts=tmp_path)
    pd.testing.assert_frame_equal(first.metrics, again.metrics)
    redone = [path.name for path in tmp_path.glob("*.npz") if times[path.name] != path.stat().st_mtime_ns]
    assert redone == [kept[0].name]


@pytest.mark.parametrize("what", ["data", "model", "folds", "seeds", "by"])
def test_fits_of_other_work_are_refused(data: ResponseData, tmp_path: Path, what: str) -> None:
    galenic.benchmark([galenic.Ridge()], data, n_folds=3, parts=tmp_path)
    pairs = data.pairs.assign(response=data.response + 1e-9)
    how: dict[str, Any] = {"by": "cell", "n_folds": 3, "seeds": (0,), "parts": tmp_path}
    other = {"folds": {"n_folds": 4}, "seeds": {"seeds": (1,)}, "by": {"by": "pair"}}.get(what, {})
    model = galenic.Ridge(inputs=("tissue",)) if what == "model" else galenic.Ridge()
    with pytest.raises(ValueError, match="differ"):
        galenic.benchmark({"Ridge": model}, replace(data, pairs=pairs) if what == "data" else data, **how | other)


@dataclass(kw_only=True, repr=False)
class Fails(Model):
    """A model that refuses what it is given."""

    def fit(self, data: ResponseData, *, valid: ResponseData | None = None, **_: object) -> Fails:
        raise ValueError("more cells are expected")


def test_one_model_that_fails_leaves_the_others_kept(data: ResponseData, tmp_path: Path) -> None:
    models: Any = {"fails": Fails(), "Ridge": galenic.Ridge()}
    with (
        pytest.warns(UserWarning, match=r"fails failed: more cells are expected; the others go on"),
        pytest.raises(ValueError, match=r"fold 0, fails and 1 more failed: more cells are expected\. .*kept in"),
    ):
        galenic.benchmark(models, data, n_folds=2, parts=tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 2 * 6
    with pytest.raises(ValueError, match=r"^more cells are expected$"):
        galenic.benchmark(models, data, n_folds=2)


def test_the_model_beats_its_floor_where_truth_is_planted_and_not_when_shuffled(data: ResponseData) -> None:
    def row(some: ResponseData) -> pd.Series:
        table = galenic.benchmark([galenic.ElasticNet()], some, n_folds=4).comparison
        return table[(table["metric"] == "rmse") & (table["group"] == "all")].iloc[0]

    assert row(data)["better"]
    rng = np.random.default_rng(0)
    response = data.response
    for rows in data.pairs.groupby("drug").indices.values():
        response[rows] = rng.permutation(response[rows])
    assert not row(replace(data, pairs=data.pairs.assign(response=response)))["better"]


def test_a_drug_under_two_ids_is_left_out_whole(data: ResponseData) -> None:
    twin = data.drugs.iloc[[0]].rename(index={data.drugs.index[0]: "twin"})
    more = data.pairs[data.pairs["drug"] == data.drugs.index[0]].assign(drug="twin")
    both = ResponseData(
        pd.concat([data.pairs, more], ignore_index=True), data.cells, pd.concat([data.drugs, twin]), data.unit
    )
    result = galenic.benchmark([], both, by="drug", n_folds=4)
    one = result.predictions[result.predictions["model"] == "DrugMean"].groupby("drug", observed=True)["fold"].unique()
    assert list(one["twin"]) == list(one[data.drugs.index[0]])


def test_user_folds_are_used_as_given(data: ResponseData) -> None:
    fold = np.where(data.cell_rows < 20, "a", np.where(data.cell_rows < 40, "b", "train"))
    given = replace(data, pairs=data.pairs.assign(fold=fold))
    result = galenic.benchmark([], given, by="file")
    tested = result.predictions[result.predictions["model"] == "DrugMean"]
    assert len(tested) == (fold != "train").sum()


def test_two_models_of_one_name_are_refused(data: ResponseData) -> None:
    with pytest.raises(ValueError, match="stands twice"):
        galenic.benchmark([galenic.Ridge(), galenic.Ridge()], data)


def test_more_folds_than_groups_are_refused(data: ResponseData) -> None:
    with pytest.raises(ValueError, match="fold"):
        galenic.benchmark([], data, by="drug", n_folds=50)
