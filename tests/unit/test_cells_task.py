"""Judging models of cells: what is drawn, what models are shown, and what is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import galenic
from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.evaluate import CELL_METRICS, auprc, auroc, single_cell, transfer_differences, transfer_scores
from galenic.evaluate.transfer import KEYS, PREDICTIONS
from galenic.models.cells.simple import CellCentroid
from galenic.tasks import few_shot, within_target, zero_shot
from galenic.tasks.cells import blinded, some_lines


@pytest.fixture(scope="module")
def given() -> tuple[AnnData, AnnData]:
    bulk, cells = bulk_and_cells(n_genes=50, n_lines=60, n_cells=90, repeated=0.25, seed=2)
    bulk.uns["drug"] = "planted"
    return bulk, cells


@dataclass(kw_only=True, repr=False)
class Watched(CellCentroid):
    """Notes what it is given."""

    seen: ClassVar[list[tuple[Any, ...]]] = []

    def fit(self, bulk: Any, **how: Any) -> Any:
        self.seen.append(("fit", bulk, how.get("target"), how.get("few"), self.seed))
        return super().fit(bulk, **how)

    def predict(self, cells: AnnData, **how: Any) -> pd.DataFrame:
        self.seen.append(("predict", None, cells, None, self.seed))
        return super().predict(cells, **how)


class Adapted(Watched):
    """Learns from lines once."""

    def with_few(self, target: AnnData, few: pd.Series) -> Any:
        self.seen.append(("with_few", None, target, few, self.seed))
        return self


def test_models_see_no_label_and_nothing_else_of_the_cells(given: tuple[AnnData, AnnData]) -> None:
    bulk, cells = given
    Watched.seen.clear()
    zero_shot({"a": Watched()}, bulk, cells, "label", seeds=[0], line="line")
    few_shot({"a": Watched()}, bulk, cells, "label", sizes=[2], repeats=2, line="line")
    within_target({"a": Watched()}, cells, "label", seeds=[0], n_folds=3)
    shown = [target for _, _, target, _, _ in Watched.seen]
    assert len(shown) == 2 + 4 + 6
    for target in shown:
        assert list(target.obs) == []
        assert dict(target.uns) == {}
        assert not target.layers
        assert target.obs_names.equals(cells.obs_names)
    assert "label" in cells.obs


def test_answers_do_not_depend_on_the_truth(given: tuple[AnnData, AnnData], rng: np.random.Generator) -> None:
    bulk, cells = given
    other = pd.Series(rng.permutation(cells.obs["label"].to_numpy()), cells.obs_names)
    one, two = (zero_shot({"a": CellCentroid()}, bulk, cells, truth, seeds=[0, 1]) for truth in ("label", other))
    np.testing.assert_array_equal(one["probability"], two["probability"])
    assert not np.array_equal(one["label"], two["label"])


def test_a_seed_draws_nine_tenths_of_the_lines_whole(given: tuple[AnnData, AnnData]) -> None:
    bulk, cells = given
    Watched.seen.clear()
    zero_shot({"a": Watched()}, bulk, cells, "label", seeds=[3, 4], line="line")
    drawn = [part for what, part, *_ in Watched.seen if what == "fit"]
    assert [seed for what, *_, seed in Watched.seen if what == "fit"] == [3, 4]
    times = bulk.obs["line"].value_counts()
    for part in drawn:
        assert part.obs["line"].nunique() == 54
        assert (times[part.obs["line"]].to_numpy() == part.obs["line"].map(part.obs["line"].value_counts())).all()
    assert set(drawn[0].obs["line"]) != set(drawn[1].obs["line"])
    again = some_lines(bulk[::-1], "line", 0.9, 3)
    assert set(again.obs_names) == set(drawn[0].obs_names), "the order of the lines decides nothing"
    assert some_lines(bulk, None, 1.0, 0).n_obs == bulk.n_obs
    with pytest.raises(ValueError, match="share of lines should be above 0 and at most 1; received 0"):
        some_lines(bulk, None, 0, 0)


def test_cells_that_were_given_labels_are_not_asked_about(given: tuple[AnnData, AnnData]) -> None:
    _, cells = given
    Watched.seen.clear()
    table = few_shot({"a": Watched(), "b": Watched()}, None, cells, "label", sizes=[1, 5], repeats=3)
    fits = [few for what, _, _, few, _ in Watched.seen if what == "fit"]
    assert len(fits) == 12
    for number, (_, part) in enumerate(table.groupby(["size", "seed", "model"], sort=False)):
        few = fits[number]
        assert few.value_counts().to_dict() == dict.fromkeys((0, 1), part["size"].iloc[0])
        assert not set(few.index) & set(part["cell"])
        assert set(few.index) | set(part["cell"]) == set(cells.obs_names)
        assert (few == cells.obs.loc[few.index, "label"]).all()
    pairs = [set(few.index) for few in fits]
    assert pairs[0::2] == pairs[1::2], "every model is given the same cells"
    assert len({frozenset(one) for one in pairs}) == 6


def test_a_model_that_can_learns_from_lines_once(given: tuple[AnnData, AnnData]) -> None:
    bulk, cells = given
    Watched.seen.clear()
    few_shot({"a": Adapted()}, bulk, cells, "label", sizes=[1], repeats=4)
    assert [what for what, *_ in Watched.seen].count("fit") == 1
    assert [what for what, *_ in Watched.seen].count("with_few") == 4
    Watched.seen.clear()
    few_shot({"a": Watched()}, bulk, cells, "label", sizes=[1], repeats=4)
    assert [what for what, *_ in Watched.seen].count("fit") == 4


def test_every_cell_is_answered_for_once_within_the_target(given: tuple[AnnData, AnnData]) -> None:
    _, cells = given
    table = within_target({"a": CellCentroid()}, cells, "label", n_folds=4, seeds=[0, 1])
    for seed in (0, 1):
        part = table[table["seed"] // 4 == seed]
        assert sorted(part["cell"]) == sorted(cells.obs_names)
    assert set(table["size"]) <= {67, 68}
    assert transfer_scores(table, ["auroc"])["value"].max() > 0.9


def test_two_workers_say_what_one_says(given: tuple[AnnData, AnnData]) -> None:
    bulk, cells = given
    models = {"a": galenic.CellCentroid(), "b": galenic.CellSignature(n_genes=5)}
    one, two = (zero_shot(models, bulk, cells, "label", seeds=[0, 1], n_jobs=n) for n in (1, 2))
    pd.testing.assert_frame_equal(one, two)
    assert list(one.columns) == PREDICTIONS
    assert one.groupby(["model", "seed"], sort=False).size().tolist() == [90] * 4
    assert set(one["drug"]) == {"planted"}


def test_unlabelled_cells_are_not_scored(given: tuple[AnnData, AnnData]) -> None:
    bulk, cells = given
    truth = cells.obs["label"].astype("float64").where(np.arange(90) % 3 > 0)
    table = zero_shot({"a": CellCentroid()}, bulk, cells, truth, seeds=[0])
    assert len(table) == 60
    whole = zero_shot({"a": CellCentroid()}, bulk, cells, "label", seeds=[0]).set_index("cell")
    np.testing.assert_array_equal(table["probability"], whole.loc[table["cell"], "probability"])


def test_what_cannot_be_judged_is_refused(given: tuple[AnnData, AnnData]) -> None:
    bulk, cells = given
    with pytest.raises(ValueError, match="should be a column of obs; there is no 'truth'"):
        zero_shot({}, bulk, cells, "truth")
    with pytest.raises(ValueError, match="90 cells 90 have a label, all the same"):
        zero_shot({}, bulk, cells, pd.Series(1, cells.obs_names))
    with pytest.raises(ValueError, match=r"more cells than are given labels \(60\); the target has 45 sensitive"):
        few_shot({}, None, cells, "label", sizes=[1, 60])


def test_a_blinded_target_shares_the_matrix(given: tuple[AnnData, AnnData]) -> None:
    _, cells = given
    assert np.shares_memory(blinded(cells).X, cells.X)


@pytest.fixture
def answers(rng: np.random.Generator) -> pd.DataFrame:
    """Three models, two targets (one of two drugs with opposite labels), three seeds."""
    parts = []
    for target, drug, sign in (("s", "x", 1), ("t", "y", 1), ("t", "z", -1)):
        label = np.repeat([0, 1], [30, 20])
        label = label if sign == 1 else 1 - label
        for seed in range(3):
            for model, strength in (("good", 2.0), ("fair", 1.0), ("chance", 0.0)):
                score = strength * label + rng.normal(size=50)
                p = 1 / (1 + np.exp(-score))
                parts.append(
                    pd.DataFrame(
                        {"model": model, "target": target, "drug": drug, "setting": "zero-shot", "size": 0,
                         "seed": seed, "cell": [f"c{number}" for number in range(50)], "label": label,
                         "probability": p, "called": (p > 0.6).astype(np.int64), "abstain": p > 0.9}
                    )
                )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_scores_are_those_of_each_answer(answers: pd.DataFrame, rng: np.random.Generator) -> None:
    shuffled = answers.iloc[rng.permutation(len(answers))]
    scores = transfer_scores(shuffled, CELL_METRICS).set_index([*KEYS, "metric"])["value"]
    assert len(scores) == 27 * (len(CELL_METRICS) + 1)
    for key, part in answers.groupby(KEYS):
        expected = single_cell(part).set_index("metric")["value"]
        calls = single_cell(part.assign(probability=part["called"].astype(float))).set_index("metric")["value"]
        for metric in CELL_METRICS:
            is_call = metric in ("mcc", "f1", "balanced_accuracy")
            assert scores[(*key, metric)] == pytest.approx((calls if is_call else expected)[metric])
        assert scores[(*key, "abstained")] == pytest.approx(part["abstain"].mean())


def test_cells_without_a_probability_are_not_scored_and_one_call_for_all_tells_nothing(answers: pd.DataFrame) -> None:
    one = answers[(answers["model"] == "good") & (answers["target"] == "s") & (answers["seed"] == 0)].copy()
    one["called"] = pd.array([1] * 50, dtype="Int64")
    one.loc[one.index[:5], ["probability", "called", "abstain"]] = [np.nan, pd.NA, True]
    scores = transfer_scores(one).set_index("metric")
    assert (scores["n"] == 45).all()
    assert scores["value"]["mcc"] == 0
    assert scores["value"]["auroc"] == pytest.approx(auroc(one["label"][5:], one["probability"][5:]))
    assert scores["value"]["abstained"] == pytest.approx((5 + (one["probability"][5:] > 0.9).sum()) / 50)
    nothing = transfer_scores(one.assign(probability=np.nan)).set_index("metric")
    assert (nothing["n"] == 0).all()
    assert nothing["value"].drop("abstained").isna().all()


@pytest.mark.parametrize("metric", ["auroc", "auprc"])
def test_differences_count_each_target_once(answers: pd.DataFrame, metric: str) -> None:
    function = {"auroc": auroc, "auprc": auprc}[metric]
    found = transfer_differences(answers, "good", ["fair", "chance"], metric=metric).set_index("target")
    assert set(found["floor"]) == {"fair"}

    def of(model: str, drug: str) -> float:
        part = answers[(answers["model"] == model) & (answers["drug"] == drug)]
        return float(np.mean([function(one["label"], one["probability"]) for _, one in part.groupby("seed")]))

    s = of("good", "x") - of("fair", "x")
    t = (of("good", "y") + of("good", "z") - of("fair", "y") - of("fair", "z")) / 2
    assert found["difference"]["s"] == pytest.approx(s)
    assert found["difference"]["t"] == pytest.approx(t)
    assert found["difference"]["mean"] == pytest.approx((s + t) / 2)
    assert found["value"]["mean"] - found["floor_value"]["mean"] == pytest.approx((s + t) / 2)
    assert found["n"].to_dict() == {"s": 50, "t": 50, "mean": 2}
    assert (found["low"] < found["difference"]).all()
    assert (found["difference"] < found["high"]).all()


def test_what_is_drawn_widens_the_interval(answers: pd.DataFrame) -> None:
    def width(*resample: str) -> float:
        row = transfer_differences(answers, "good", "chance", resample=resample).set_index("target").loc["mean"]
        return float(row["high"] - row["low"])

    assert width() == pytest.approx(0)
    assert 0 < width("seed") < width("seed", "cell")
    assert width("cell") > 0
    assert width("seed", "target") > width("seed")


def test_intervals_are_those_of_a_loop(answers: pd.DataFrame) -> None:
    """Spread of the mean difference over resampled cells, drawn once for both models, all seeds and both drugs."""
    rng = np.random.default_rng(5)
    wide = {key: part["probability"].to_numpy() for key, part in answers.groupby(["model", "drug", "seed"])}
    draws = []
    label = {drug: part["label"].to_numpy()[:50] for drug, part in answers.groupby("drug")}
    for _ in range(400):
        total = 0.0
        for drugs in (["x"], ["y", "z"]):
            rows = np.concatenate([rng.choice(np.arange(30), 30), rng.choice(np.arange(30, 50), 20)])
            for drug in drugs:
                for seed in range(3):
                    good, fair = (auroc(label[drug][rows], wide[m, drug, seed][rows]) for m in ("good", "fair"))
                    total += (good - fair) / (2 * len(drugs) * 3)
        draws.append(total)
    low, high = np.quantile(draws, [0.025, 0.975])
    row = transfer_differences(answers, "good", "fair", resample=["cell"], n_bootstrap=2000).set_index("target")
    assert row["low"]["mean"] == pytest.approx(low, abs=0.012)
    assert row["high"]["mean"] == pytest.approx(high, abs=0.012)


def test_differences_of_no_difference_cover_zero(rng: np.random.Generator) -> None:
    covered = []
    for repeat in range(40):
        label = np.repeat([0, 1], 30)
        parts = [
            pd.DataFrame(
                {"model": model, "target": target, "drug": "d", "setting": "zero-shot", "size": 0, "seed": 0,
                 "cell": range(60), "label": label, "probability": rng.random(60), "called": 1, "abstain": False}
            )
            for model in ("a", "b") for target in ("s", "t")
        ]  # fmt: skip
        row = transfer_differences(pd.concat(parts), "a", "b", n_bootstrap=300, seed=repeat).iloc[-1]
        covered.append(row["low"] <= 0 <= row["high"])
    assert np.mean(covered) >= 0.85


def test_differences_that_cannot_be_taken_are_refused(answers: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="differences are of 'auroc', 'auprc'"):
        transfer_differences(answers, "good", "fair", metric="mcc")
    with pytest.raises(ValueError, match="resampled by 'seed', 'cell', 'target'"):
        transfer_differences(answers, "good", "fair", resample=["line"])
    with pytest.raises(ValueError, match="a floor of 'best' should have been run"):
        transfer_differences(answers, "good", "best")
    apart = answers[(answers["model"] != "good") | (answers["seed"] == 7)]
    with pytest.raises(ValueError, match="they share 0 seeds"):
        transfer_differences(apart, "good", "fair")
    with pytest.raises(ValueError, match=r"needs the column\(s\) 'called'"):
        transfer_scores(answers.drop(columns="called"))


def test_scores_of_cells_can_be_compared_like_any_other(answers: pd.DataFrame) -> None:
    """Directions are known: more of a Matthews correlation is better, less of a calibration error."""
    from galenic.evaluate import compare

    scores = transfer_scores(answers[answers["drug"] == "x"], CELL_METRICS)
    scores = scores[scores["metric"] != "abstained"].assign(fold=0, group="all")
    table = compare(scores, ["fair", "chance"], test_share=0.5).set_index("metric")
    assert set(table.index) == set(CELL_METRICS)
    means = scores.groupby(["metric", "model"])["value"].mean()
    for metric in CELL_METRICS:
        pick = min if metric in ("brier", "ece") else max
        assert table["floor"][metric] == pick(("fair", "chance"), key=lambda name, metric=metric: means[metric, name])
