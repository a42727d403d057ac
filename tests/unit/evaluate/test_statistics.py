"""Paired tests, corrections and bootstrap intervals: against hand computation, scipy and simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from galenic.evaluate import (
    benjamini_hochberg,
    best_floor,
    bootstrap_interval,
    compare,
    holm,
    paired,
    pearson,
)


def scores_of(values, metric="pearson", group="all", split="cell"):
    """Tidy scores from {model: (n_seeds, n_folds)}."""
    rows = []
    for model, matrix in values.items():
        for seed, row in enumerate(np.atleast_2d(matrix)):
            rows += [
                {
                    "model": model,
                    "split": split,
                    "fold": fold,
                    "seed": seed,
                    "group": group,
                    "metric": metric,
                    "value": value,
                }
                for fold, value in enumerate(row)
            ]
    return pd.DataFrame(rows).assign(n=100)


def test_the_corrected_test_by_hand(rng):
    ours, theirs = rng.normal(0.1, 1, size=(3, 5)), rng.normal(size=(3, 5))
    row = paired(scores_of({"net": ours, "mean": theirs}), "net", "mean", metric="pearson")
    d = (ours - theirs).ravel()
    t = d.mean() / np.sqrt((1 / 15 + 1 / 4) * d.var(ddof=1))
    assert row["difference"] == pytest.approx(d.mean())
    assert row["p_value"] == pytest.approx(2 * stats.t.sf(abs(t), 14))
    assert (row["low"] + row["high"]) / 2 == pytest.approx(d.mean())
    assert row["high"] - d.mean() == pytest.approx(stats.t.ppf(0.975, 14) * d.mean() / t)
    assert (row["n"], row["wins"], row["split"]) == (15, int((d > 0).sum()), "cell")


def test_without_the_correction_it_is_the_paired_t_test(rng):
    ours, theirs = rng.normal(0.3, 1, size=(2, 1, 20))
    row = paired(scores_of({"net": ours, "mean": theirs}), "net", "mean", metric="pearson", test_share=1e-12)
    assert row["p_value"] == pytest.approx(stats.ttest_rel(ours[0], theirs[0]).pvalue)


def test_more_seeds_of_the_same_folds_do_not_make_certainty(rng):
    folds = rng.normal(0.5, 1, size=(1, 5))
    few = paired(scores_of({"net": folds, "mean": 0 * folds}), "net", "mean", metric="pearson")
    many = np.repeat(folds, 200, axis=0)
    many = paired(scores_of({"net": many, "mean": 0 * many}), "net", "mean", metric="pearson")
    assert many["high"] - many["low"] > 0.3 * (few["high"] - few["low"])


def test_noise_is_seldom_called_better_when_folds_share_training_rows():
    """Two equally poor models: the plain t-test over resamples errs far too often, the corrected one does not."""
    plain, corrected = [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        truth = rng.normal(size=100)
        a, b = rng.normal(size=(2, 100))
        values = {"a": [], "b": []}
        for _ in range(6):
            order = rng.permutation(100)
            folds = np.array_split(order, 5)
            for name, x in (("a", a), ("b", b)):
                row = []
                for test in folds:
                    train = np.setdiff1d(order, test)
                    slope, start = np.polyfit(x[train], truth[train], 1)
                    row.append(np.mean((truth[test] - slope * x[test] - start) ** 2))
                values[name].append(row)
        d = (np.array(values["a"]) - np.array(values["b"])).ravel()
        plain.append(stats.ttest_1samp(d, 0).pvalue)
        corrected.append(paired(scores_of(values, metric="rmse"), "a", "b", metric="rmse")["p_value"])
    assert np.mean(np.array(plain) < 0.05) > 0.15
    assert np.mean(np.array(corrected) < 0.05) < 0.08


def test_better_knows_which_way_is_up():
    base = np.array([[1.0, 1.1, 1.2, 1.0, 1.1]])
    lower = scores_of({"net": base - 0.5 + 0.01 * np.arange(5), "mean": base}, metric="rmse")
    row = paired(lower, "net", "mean", metric="rmse")
    assert row["difference"] < 0
    assert row["better"] is True
    assert row["wins"] == 5
    row = paired(lower.assign(metric="pearson"), "net", "mean", metric="pearson")
    assert row["better"] is False
    assert row["wins"] == 0


def test_equal_models_do_not_differ():
    base = np.array([[1.0, 1.1, 1.2]])
    row = paired(scores_of({"net": base, "mean": base}), "net", "mean", metric="pearson")
    assert (row["difference"], row["low"], row["high"], row["p_value"], row["better"]) == (0, 0, 0, 1, False)


def test_undefined_scores_leave_with_their_count():
    values = {"net": [[0.5, 0.6, np.nan]], "mean": [[0.1, np.nan, 0.1]]}
    row = paired(scores_of(values), "net", "mean", metric="pearson")
    assert row["n"] == 1
    assert row["difference"] == pytest.approx(0.4)
    assert np.isnan([row["low"], row["high"], row["p_value"]]).all()
    assert row["better"] is False
    empty = paired(scores_of({**values, "mean": [[np.nan] * 3]}), "net", "mean", metric="pearson")
    assert np.isnan(empty["difference"])
    assert empty["n"] == 0


def test_refusals():
    scores = scores_of({"net": [[1.0, 2.0]], "mean": [[1.0, 2.0]]})
    with pytest.raises(ValueError, match=r"1 are not shared \(first \(fold, seed\): '\(1, 0\)'\)"):
        paired(scores.iloc[:-1], "net", "mean", metric="pearson")
    with pytest.raises(ValueError, match="one score a fold and seed"):
        paired(pd.concat([scores, scores]), "net", "mean", metric="pearson")
    with pytest.raises(ValueError, match="Name one: split="):
        paired(pd.concat([scores, scores.assign(split="drug")]), "net", "mean", metric="pearson")
    with pytest.raises(ValueError, match="have 0 and 2"):
        paired(scores, "neet", "mean", metric="pearson")
    repeated = scores_of({"net": [[1.0], [2.0]], "mean": [[1.0], [1.0]]})
    with pytest.raises(ValueError, match=r"test_share=0.1"):
        paired(repeated, "net", "mean", metric="pearson")
    assert np.isfinite(paired(repeated, "net", "mean", metric="pearson", test_share=0.1)["p_value"])
    with pytest.raises(ValueError, match="at least one floor"):
        compare(scores, "median")


def test_compare_takes_the_best_floor_of_each_metric(rng):
    base = rng.normal(size=(2, 5))
    scores = pd.concat(
        [
            scores_of({"net": base + 2, "other": base, "mean": base + 1, "ridge": base + 0.5}, metric="rmse"),
            scores_of({"net": base + 2, "other": base, "mean": base + 1, "ridge": base + 0.5}, metric="pearson"),
            scores_of({"net": base + 2, "other": base, "mean": base, "ridge": np.nan * base}, split="drug"),
        ]
    )
    table = compare(scores, ["mean", "ridge"])
    contract = ["split", "metric", "group", "model", "floor", "difference", "low", "high", "p_value", "n", "wins"]
    assert list(table.columns) == [*contract, "better"]
    assert len(table) == 6
    floors = table.drop_duplicates(["split", "metric"]).set_index(["split", "metric"])["floor"]
    assert floors.to_dict() == {("cell", "rmse"): "ridge", ("cell", "pearson"): "mean", ("drug", "pearson"): "mean"}
    assert (table[table["model"] == "net"]["difference"] > 0).all()
    for _, row in table.iterrows():
        single = paired(
            scores, row["model"], row["floor"], metric=row["metric"], group=row["group"], split=row["split"]
        )
        assert row.to_dict() == pytest.approx(single)
    one = compare(scores, "mean")
    assert set(one["model"]) == {"net", "other", "ridge"}


def test_best_floor_without_a_defined_score_is_the_first_named():
    scores = scores_of({"mean": [[np.nan]], "ridge": [[np.nan]]})
    assert best_floor(scores, ["ridge", "mean"], "pearson") == "ridge"


def test_corrections_equal_their_definitions(rng):
    p = rng.random(30) ** 3
    order = np.argsort(p)
    loop, highest = np.empty(30), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, p[i] * (30 - rank)))
        loop[i] = highest
    np.testing.assert_allclose(holm(p), loop)
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p))
    for adjust in (holm, benjamini_hochberg):
        with_gaps = np.insert(p, [3, 9], np.nan)
        np.testing.assert_array_equal(adjust(with_gaps)[~np.isnan(with_gaps)], adjust(p))
        assert np.isnan(adjust(with_gaps)).sum() == 2
        assert np.isnan(adjust(np.array([np.nan]))).all()
        assert len(adjust(np.array([]))) == 0


def test_the_bootstrap_interval_of_a_mean_is_the_textbook_one(rng):
    x = rng.normal(size=400)
    low, high = bootstrap_interval(np.mean, x, n=4000)
    error = x.std(ddof=1) / 20
    assert low == pytest.approx(x.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(x.mean() + 1.96 * error, abs=0.15 * error)


def test_the_fast_bootstrap_equals_the_loop(rng):
    truth, prediction = rng.normal(size=(2, 50))
    fast = bootstrap_interval("pearson", truth, prediction, n=200, seed=4)
    assert fast == pytest.approx(bootstrap_interval(pearson, truth, prediction, n=200, seed=4))
    assert fast != bootstrap_interval("pearson", truth, prediction, n=200, seed=5)
    mean = bootstrap_interval(lambda x: x.mean(axis=1), truth, n=200, vectorised=True)
    assert mean == pytest.approx(bootstrap_interval(np.mean, truth, n=200))


def test_strata_keep_their_size(rng):
    strata = np.repeat(["a", "b"], [5, 15])
    seen = []
    bootstrap_interval(lambda s: seen.append((s == "a").sum()) or 0.0, strata, n=50, strata=strata)
    assert set(seen) == {5}
    # A statistic that only depends on the sizes does not vary.
    label = (strata == "a").astype(float)
    assert bootstrap_interval(np.mean, label, n=50, strata=strata) == pytest.approx((0.25, 0.25))


def test_bootstrap_of_nothing_is_undefined():
    assert np.isnan(bootstrap_interval("pearson", np.array([]), np.array([]))).all()
    assert np.isnan(bootstrap_interval("pearson", np.ones(9), np.arange(9.0), n=20)).all()
    with pytest.raises(ValueError, match="one entry a row"):
        bootstrap_interval("pearson", np.ones(9), np.ones(8))


def test_a_metric_without_a_better_end_is_left_out() -> None:
    rows = [
        (model, fold, 0, "all", metric, 1.0)
        for model in ("net", "mean")
        for fold in (0, 1)
        for metric in ("collapse", "mae_top20")
    ]
    scores = pd.DataFrame(rows, columns=["model", "fold", "seed", "group", "metric", "value"])
    assert compare(scores, "mean")["metric"].tolist() == ["mae_top20"]
