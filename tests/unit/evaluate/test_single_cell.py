"""Scores of cells against scikit-learn and loops; intervals that widen where they should; curves by the book."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression

from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.evaluate import auroc, bootstrap_interval, grouped
from galenic.evaluate.deletion import curve_areas, curve_band, feature_curves
from galenic.evaluate.single_cell import CELL_METRICS, overview_within, single_cell, single_cell_intervals


def cells_of(n: int = 300, seed: int = 0) -> pd.DataFrame:
    """Cells of four samples with probabilities on a coarse grid, so that there are ties and edges of bins."""
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.3).astype(int)
    probability = np.clip(np.round(0.3 + 0.25 * label + 0.2 * rng.normal(size=n), 1), 0, 1)
    sample = rng.choice(["A", "B", "C", "D"], n, p=[0.5, 0.3, 0.15, 0.05])
    return pd.DataFrame({"label": label, "probability": probability, "sample": sample})


def naive_ece(label: np.ndarray, probability: np.ndarray, n_bins: int) -> float:
    total = 0.0
    for b in range(n_bins):
        inside = [i for i in range(len(label)) if min(int(probability[i] * n_bins), n_bins - 1) == b]
        if inside:
            gap = sum(probability[i] for i in inside) / len(inside) - sum(label[i] for i in inside) / len(inside)
            total += len(inside) / len(label) * abs(gap)
    return total


def expected(rows: pd.DataFrame, threshold: float, n_bins: int) -> dict[str, float]:
    label, probability = rows["label"].to_numpy(), rows["probability"].to_numpy()
    called = (probability >= threshold).astype(int)
    return {
        "auroc": reference.roc_auc_score(label, probability),
        "auprc": reference.average_precision_score(label, probability),
        "mcc": reference.matthews_corrcoef(label, called),
        "f1": reference.f1_score(label, called),
        "balanced_accuracy": reference.balanced_accuracy_score(label, called),
        "brier": reference.brier_score_loss(label, probability),
        "ece": naive_ece(label, probability, n_bins),
    }


@pytest.mark.parametrize("threshold", [0.3, 0.5])
@pytest.mark.parametrize("n_bins", [1, 5, 10])
def test_scores_equal_the_reference_overall_and_within_samples(threshold: float, n_bins: int) -> None:
    table = cells_of()
    for within in (None, "sample"):
        found = single_cell(table, within, threshold=threshold, n_bins=n_bins).set_index(["group", "metric"])
        groups = {"all": table} if within is None else dict(list(table.groupby("sample")))
        assert len(found) == len(groups) * len(CELL_METRICS)
        for name, rows in groups.items():
            for metric, value in expected(rows, threshold, n_bins).items():
                assert found.loc[(name, metric), "value"] == pytest.approx(value), (name, metric)
                assert found.loc[(name, metric), "n"] == len(rows)


def values(table: pd.DataFrame, **how: object) -> pd.Series:
    return single_cell(table, **how).set_index("metric")["value"]


def test_a_perfect_and_a_turned_prediction() -> None:
    label = np.repeat([0, 1], [30, 10])
    right = values(pd.DataFrame({"label": label, "probability": label}))
    assert right.drop(["brier", "ece"]).eq(1).all()
    assert right[["brier", "ece"]].eq(0).all()
    wrong = values(pd.DataFrame({"label": label, "probability": 1 - label}))
    assert wrong[["auroc", "f1", "balanced_accuracy"]].eq(0).all()
    assert wrong["mcc"] == -1
    assert wrong[["brier", "ece"]].eq(1).all()


def test_what_is_undefined_is_missing() -> None:
    one = values(pd.DataFrame({"label": [1, 1], "probability": [0.8, 0.6]}))
    assert one[["auroc", "auprc", "mcc", "balanced_accuracy"]].isna().all()
    assert one["brier"] == pytest.approx((0.04 + 0.16) / 2)
    assert one["f1"] == 1
    none = values(pd.DataFrame({"label": [0, 0], "probability": [0.8, 0.6]}))
    assert none.drop(["brier", "ece"]).isna().all()
    same = values(pd.DataFrame({"label": [0, 1], "probability": [0.1, 0.2]}))
    assert np.isnan(same["mcc"])
    assert same["f1"] == 0


def test_ranking_scores_do_not_read_the_threshold_and_calls_read_nothing_else() -> None:
    table = cells_of()
    low, high = values(table, threshold=0.2), values(table, threshold=0.7)
    ranking, calls = ["auroc", "auprc", "brier", "ece"], ["mcc", "f1", "balanced_accuracy"]
    assert (low[ranking] == high[ranking]).all()
    assert (low[calls] != high[calls]).all()
    squared = table.assign(probability=table["probability"] ** 2)
    pd.testing.assert_series_equal(values(squared, threshold=0.2**2)[calls], low[calls])


def test_calibrated_probabilities_have_little_error() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    table = pd.DataFrame({"label": (rng.random(20_000) < p).astype(int), "probability": p})
    assert values(table)["ece"] < 0.02
    assert values(table.assign(probability=p**3))["ece"] > 0.15
    assert values(table)["brier"] < values(table.assign(probability=p**3))["brier"]


def test_intervals_by_cell_agree_with_the_bootstrap_of_cells() -> None:
    table = cells_of(200)
    found = single_cell_intervals(table, n_bootstrap=2000).set_index("metric")
    label = table["label"].to_numpy()
    for metric in ("auroc", "auprc"):
        theirs = bootstrap_interval(metric, label, table["probability"].to_numpy(), strata=label, seed=5)
        np.testing.assert_allclose(found.loc[metric, ["low", "high"]].to_numpy(float), theirs, atol=0.02)
    pd.testing.assert_series_equal(found["value"], values(table), check_names=False)
    assert (found["low"] <= found["value"]).drop("ece").all()
    assert (found["n"] == 200).all()


def test_intervals_by_sample_are_those_of_a_loop() -> None:
    table = cells_of(200)
    found = single_cell_intervals(table, "sample", metrics=["auroc"], n_bootstrap=4000).iloc[0]
    rng, scores = np.random.default_rng(9), []
    parts = [rows for _, rows in table.groupby("sample")]
    for _ in range(2000):
        drawn = pd.concat([parts[i] for i in rng.integers(4, size=4)])
        if drawn["label"].nunique() == 2:
            scores.append(auroc(drawn["label"].to_numpy(), drawn["probability"].to_numpy()))
    np.testing.assert_allclose(found[["low", "high"]].to_numpy(float), np.quantile(scores, [0.025, 0.975]), atol=0.015)
    assert found["n"] == 4


def test_cells_of_a_sample_are_no_independent_evidence() -> None:
    """Copies of every cell within its sample narrow intervals by cell, not those by sample."""
    table = cells_of(100)
    many = pd.concat([table] * 9, ignore_index=True)
    width = {}
    for name, rows in (("once", table), ("often", many)):
        for by in (None, "sample"):
            row = single_cell_intervals(rows, by, metrics=["auroc"], n_bootstrap=500).iloc[0]
            width[name, by] = row["high"] - row["low"]
    assert width["often", None] < 0.5 * width["once", None]
    assert width["often", "sample"] == pytest.approx(width["once", "sample"])


def test_intervals_need_two_groups_and_a_seed_gives_one_answer() -> None:
    table = cells_of(60)
    alone = single_cell_intervals(table.assign(sample="A"), "sample", n_bootstrap=20)
    assert alone[["low", "high"]].isna().all(axis=None)
    pd.testing.assert_series_equal(alone["value"], single_cell(table)["value"])
    one, again, other = (single_cell_intervals(table, n_bootstrap=50, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(one, again)
    assert not one["low"].equals(other["low"])


def test_pieces_of_the_bootstrap_give_the_same_kind_of_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    table = cells_of(150)
    whole = single_cell_intervals(table, metrics=["auroc"], n_bootstrap=1500).iloc[0]
    monkeypatch.setattr(sys.modules["galenic.evaluate.single_cell"], "RESAMPLED", 1000)
    parts = single_cell_intervals(table, metrics=["auroc"], n_bootstrap=1500).iloc[0]
    assert parts[["low", "high"]].to_numpy(float) == pytest.approx(whole[["low", "high"]].to_numpy(float), abs=0.02)


def test_scores_within_groups_are_the_share_of_right_pairs() -> None:
    table = cells_of(120)
    right, pairs = 0.0, 0
    for _, rows in table.groupby("sample"):
        for a in rows.loc[rows["label"] == 1, "probability"]:
            for b in rows.loc[rows["label"] == 0, "probability"]:
                right += (a > b) + 0.5 * (a == b)
                pairs += 1
    found = overview_within(table, "sample").set_index(["group", "metric"])["value"]
    assert found["within_sample", "auroc"] == pytest.approx(right / pairs)
    assert found["all", "auroc"] == pytest.approx(auroc(table["label"], table["probability"]))


def test_a_model_that_tells_platforms_only_is_seen_through() -> None:
    bulk, _ = bulk_and_cells(n_lines=300, confounding=0.8)
    table = bulk.obs.assign(probability=(bulk.obs["platform"] == "sequencing").astype(float))
    found = overview_within(table, "platform").set_index(["group", "metric"])["value"]
    assert found["all", "auroc"] == found["platform_alone", "auroc"] == pytest.approx(0.9, abs=0.01)
    assert found["within_platform", "auroc"] == 0.5


@pytest.mark.real
def test_platforms_of_the_published_labels(shared: Path) -> None:
    """Which study a line is from tells its label: docetaxel and others, as measured beforehand."""
    folder = shared / "singlecell"
    label = pd.read_csv(folder / "bulk_binary_labels_1280x83.csv.gz", index_col=0)
    platform = np.where(label.index.str.startswith("DATA."), "GDSC", "CCLE")
    alone = {}
    for drug in label.columns:
        table = pd.DataFrame({"label": label[drug].to_numpy(), "platform": platform, "probability": 0.5})
        found = overview_within(table, "platform", metrics=["auroc"]).set_index("group")["value"]
        one_way = reference.roc_auc_score(label[drug], platform == "CCLE")
        alone[drug.lower()] = found["platform_alone"]
        assert alone[drug.lower()] == pytest.approx(max(one_way, 1 - one_way))
        assert found["within_platform"] == 0.5
    for drug, value in (("docetaxel", 0.93), ("paclitaxel", 0.88), ("bortezomib", 0.92)):
        assert alone[drug] == pytest.approx(value, abs=0.01)
    assert sum(value > 0.7 for value in alone.values()) == 29


@pytest.mark.parametrize(
    ("change", "how", "message"),
    [
        ({}, {"metrics": ["accuracy"]}, "'accuracy', 0.5 and 10"),
        ({}, {"threshold": 1.5}, "1.5 and 10"),
        ({"label": 2}, {}, r"received 1 other labels \(first: \[2.0\]\)"),
        ({"probability": -0.1}, {}, r"300 other probabilities \(first: \[-0.1"),
        ({"probability": np.nan}, {}, "300 of 300 are missing"),
        ({"sample": None}, {"within": "sample"}, "Name them"),
        ({}, {"within": "patient"}, r"needs the column\(s\) 'patient'"),
        ({}, {"truth": "response"}, r"needs the column\(s\) 'response'"),
    ],
)
def test_what_cannot_be_scored_is_refused(change: dict, how: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        single_cell(cells_of().assign(**change), **how)


WEIGHTS = np.array([5.0, -4.0, 3.0, 2.0, 1.0, 0.0])


@pytest.fixture
def cells(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(40, 6)) + 2


def linear(x: np.ndarray) -> float:
    return float((x @ np.abs(WEIGHTS)).mean())


@pytest.mark.parametrize("background", [0.0, -1.5, "mean", "each"])
def test_curves_of_a_linear_score_by_hand(cells: np.ndarray, background: float | str) -> None:
    other = np.random.default_rng(3).normal(size=cells.shape)
    fill = {"mean": cells.mean(axis=0) + 1, "each": other}.get(background, background)
    ranking = np.argsort(-np.abs(WEIGHTS))
    full = np.broadcast_to(fill, cells.shape)
    for kind in ("deletion", "insertion"):
        curves = feature_curves(linear, cells, ranking, background=fill, kind=kind, n_random=0)
        assert curves["n_features"].tolist() == list(range(7))
        for count, value in zip(curves["n_features"], curves["value"], strict=True):
            touched = np.isin(np.arange(6), ranking[:count])
            mixed = np.where(touched == (kind == "deletion"), full, cells)
            assert value == pytest.approx(linear(mixed))


def test_taking_away_is_putting_back_from_the_other_end(cells: np.ndarray) -> None:
    ranking = np.random.default_rng(1).permutation(6)
    away = feature_curves(linear, cells, ranking, n_random=0)["value"].to_numpy()
    back = feature_curves(linear, cells, ranking[::-1], kind="insertion", n_random=0)["value"].to_numpy()
    np.testing.assert_allclose(away, back[::-1])


def test_features_that_are_not_named_stay(cells: np.ndarray) -> None:
    for kind in ("deletion", "insertion"):
        seen: list[np.ndarray] = []

        def score(x: np.ndarray, seen: list[np.ndarray] = seen) -> float:
            seen.append(x)
            return 0.0

        feature_curves(score, cells, [4, 1], kind=kind, background=9.0, n_random=3)
        assert len(seen) == 12
        for x in seen:
            np.testing.assert_array_equal(x[:, [0, 2, 3, 5]], cells[:, [0, 2, 3, 5]])


def test_cells_are_not_changed_by_the_curve_or_by_the_score(cells: np.ndarray) -> None:
    before = cells.copy()

    def vandal(x: np.ndarray) -> float:
        value = linear(x)
        x[:] = 0
        return value

    curves = feature_curves(vandal, cells, range(6), n_random=2)
    np.testing.assert_array_equal(cells, before)
    pd.testing.assert_frame_equal(curves, feature_curves(linear, cells, range(6), n_random=2))


def test_every_order_ends_at_the_background_and_steps_are_even(cells: np.ndarray) -> None:
    x = np.tile(cells, 20)
    curves = feature_curves(lambda v: float(v.mean()), x, range(120), n_steps=8, n_random=5)
    for _, rows in curves.groupby("order"):
        assert rows["n_features"].tolist() == list(range(0, 121, 15))
        assert rows["value"].iloc[0] == pytest.approx(x.mean())
        assert rows["value"].iloc[-1] == 0
    assert curves["order"].nunique() == 6


def test_band_and_areas_by_loops(cells: np.ndarray) -> None:
    curves = feature_curves(linear, cells, np.argsort(-np.abs(WEIGHTS)), n_random=30)
    band = curve_band(curves, level=0.8).set_index("n_features")
    for count in (1, 3):
        some = curves[(curves["n_features"] == count) & (curves["order"] != "ranking")]["value"]
        assert band.loc[count, "random"] == pytest.approx(some.mean())
        assert band.loc[count, "low"] == pytest.approx(np.quantile(some, 0.1))
        assert band.loc[count, "high"] == pytest.approx(np.quantile(some, 0.9))
    areas = {}
    for name, rows in curves.groupby("order"):
        v = rows["value"].to_numpy()
        areas[name] = sum((v[i] + v[i + 1]) / 2 / 6 for i in range(6))
    found = curve_areas(curves)
    random = [area for name, area in areas.items() if name != "ranking"]
    assert found["area"] == pytest.approx(areas["ranking"])
    assert found["gain"] == pytest.approx(np.mean(random) - areas["ranking"])
    assert found["p_value"] == (1 + sum(area <= areas["ranking"] + 1e-9 for area in random)) / 31


def test_the_true_ranking_beats_chance_and_a_random_one_does_not() -> None:
    bulk, cells = bulk_and_cells(seed=1)
    x, label = np.asarray(bulk.X, float), bulk.obs["label"].to_numpy()
    model = LogisticRegression(C=0.01, max_iter=500).fit(x - x.mean(axis=0), label)
    y, truth = np.asarray(cells.X, float), cells.obs["label"].to_numpy()
    y = y - y.mean(axis=0)
    best = np.argsort(-np.abs(cells.uns["truth"]["weights"]))

    def score(values: np.ndarray) -> float:
        return auroc(truth, model.decision_function(values))

    for kind in ("deletion", "insertion"):
        found = curve_areas(feature_curves(score, y, best, kind=kind, n_random=39), kind)
        assert found["gain"] > 0.05
        assert found["p_value"] == 1 / 40
        worst = curve_areas(feature_curves(score, y, best[::-1], kind=kind, n_random=39), kind)
        assert worst["p_value"] > 0.9
    chance = np.random.default_rng(5)
    p_values = [
        curve_areas(feature_curves(score, y, chance.permutation(200), n_random=9, n_steps=8, seed=s))["p_value"]
        for s in range(20)
    ]
    assert 0.3 < np.mean(p_values) < 0.75


def test_a_score_that_reads_nothing_wins_nothing(cells: np.ndarray) -> None:
    found = curve_areas(feature_curves(lambda x: 0.7, cells, range(6), n_random=9))
    assert found["p_value"] == 1
    assert found["gain"] == pytest.approx(0)
    alone = curve_areas(feature_curves(linear, cells, range(6), n_random=0))
    assert np.isnan([alone["random"], alone["p_value"]]).all()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"ranking": [0, 0]}, r"different features .* received 2 entries"),
        ({"ranking": [0, 6]}, "0 to 5"),
        ({"ranking": []}, "received 0 entries"),
        ({"ranking": [0.5]}, "received 1 entries"),
        ({"background": np.zeros(5)}, r"received shape \(5,\)"),
        ({"kind": "removal"}, "'removal'"),
        ({"n_steps": 0}, "0 and 20"),
    ],
)
def test_what_is_no_curve_is_refused(cells: np.ndarray, how: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        feature_curves(linear, cells, **({"ranking": range(6)} | how))


def test_grouped_metrics_are_reused_not_rewritten() -> None:
    table = cells_of(90)
    codes = table["sample"].astype("category").cat.codes.to_numpy()
    found = single_cell(table, "sample", metrics=["auprc"])["value"]
    np.testing.assert_array_equal(found, grouped("auprc", table["label"], table["probability"], codes))
