"""Responders: planted effects found, none invented, cohorts do not fool the test; scipy and loops as twins."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from galenic.evaluate import auprc, auroc, holm, responders, stratified_rank_test


def clinic(rng, effect=0.0, n=60, drugs=("x",), cohorts=("A", "B")):
    """Patients whose predictions differ by cohort, and are lower by ``effect`` in responders."""
    rows = []
    for drug, (i, cohort) in itertools.product(drugs, enumerate(cohorts)):
        label = rng.permutation(np.arange(n) < n // 3).astype(int)
        prediction = 5.0 * i + rng.normal(size=n) - effect * label
        rows.append(pd.DataFrame({"drug": drug, "cohort": cohort, "label": label, "prediction": prediction}))
    return pd.concat(rows, ignore_index=True)


def test_a_planted_effect_is_found(rng):
    table = pd.concat([clinic(rng, effect=1.0), clinic(rng).assign(drug="y")])
    found = responders(table, n_bootstrap=200).set_index(["drug", "cohort"])
    effect, none = found.loc[("x", "all")], found.loc[("y", "all")]
    assert effect["p_holm"] < 0.001
    assert 0.65 < effect["auroc_low"] < effect["auroc"] < effect["auroc_high"]
    assert effect["auprc_low"] > effect["base_rate"]
    assert none["p_value"] > 0.01
    assert none["auroc_low"] < 0.5 < none["auroc_high"]
    # Responders with higher predictions are no finding: the test is one-sided.
    other_way = responders(table.assign(prediction=-table["prediction"]), n_bootstrap=20)
    assert other_way["p_value"].iloc[0] > 0.99


def test_shuffled_labels_give_uniform_p_values(rng):
    p_values = []
    for _ in range(300):
        table = clinic(rng, n=20)
        p_values.append(stratified_rank_test(table["label"], table["prediction"], table["cohort"]))
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_cohorts_that_differ_fool_the_pooled_test_only(rng):
    responding = (rng.random(100) < 0.8).astype(int)
    table = pd.DataFrame(
        {
            "drug": "x",
            "cohort": "A",
            "label": np.concatenate([responding, 1 - responding]),
            "prediction": rng.normal(size=200),
        }
    )
    table.loc[100:, "cohort"] = "B"
    table.loc[100:, "prediction"] += 3.0
    pooled = responders(table, cohort=None, n_bootstrap=20).iloc[0]
    within = responders(table, n_bootstrap=20).iloc[0]
    assert pooled["p_value"] < 1e-6
    assert within["p_value"] > 0.05
    assert pooled["auroc"] > 0.7
    assert within["auroc"] == pytest.approx(0.5, abs=0.12)


def test_rows_equal_scipy_and_the_metrics(rng):
    table = clinic(rng, effect=0.5, drugs=("x", "y"))
    found = responders(table, n_bootstrap=20)
    assert found["cohort"].tolist() == ["all", "A", "B"] * 2
    for (drug, cohort), rows in table.groupby(["drug", "cohort"]):
        row = found[(found["drug"] == drug) & (found["cohort"] == cohort)].iloc[0]
        yes, no = (rows.loc[rows["label"] == label, "prediction"] for label in (1, 0))
        assert row["p_value"] == pytest.approx(stats.mannwhitneyu(yes, no, alternative="less").pvalue)
        assert row["auroc"] == pytest.approx(auroc(rows["label"], -rows["prediction"]))
        assert row["auprc"] == pytest.approx(auprc(rows["label"], -rows["prediction"]))
        assert row["base_rate"] == rows["label"].mean()
        assert (row["n"], row["responders"]) == (60, 20)
    combined = found["cohort"] == "all"
    np.testing.assert_allclose(found.loc[combined, "p_holm"], holm(found.loc[combined, "p_value"].to_numpy()))
    np.testing.assert_allclose(found.loc[~combined, "p_holm"], holm(found.loc[~combined, "p_value"].to_numpy()))


def test_the_combined_auroc_is_the_share_of_pairs_of_one_cohort(rng):
    table = clinic(rng, effect=0.5, n=24)
    # Cohorts of unequal size, so that weights matter.
    table = table.drop(index=table.index[-8:])
    ordered = [
        (yes < no)
        for _, rows in table.groupby("cohort")
        for yes, no in itertools.product(
            rows.loc[rows["label"] == 1, "prediction"], rows.loc[rows["label"] == 0, "prediction"]
        )
    ]
    assert responders(table, n_bootstrap=10)["auroc"].iloc[0] == pytest.approx(np.mean(ordered))


def test_the_stratified_test_equals_the_loop_with_ties(rng):
    table = clinic(rng, effect=0.3, n=30).assign(prediction=lambda t: t["prediction"].round())
    shift, variance = 0.0, 0.0
    for _, rows in table.groupby("cohort"):
        rank = stats.rankdata(rows["prediction"])
        n, ones = len(rows), int(rows["label"].sum())
        _, ties = np.unique(rank, return_counts=True)
        shift += (rank[rows["label"] == 1].sum() - ones * (n + 1) / 2) / (n + 1)
        spread = ones * (n - ones) / 12 * ((n + 1) - (ties**3 - ties).sum() / (n * (n - 1)))
        variance += spread / (n + 1) ** 2
    p_value = stratified_rank_test(table["label"], table["prediction"], table["cohort"])
    assert p_value == pytest.approx(stats.norm.cdf(shift / np.sqrt(variance)))


def test_one_cohort_is_the_mann_whitney_test(rng):
    table = clinic(rng, effect=0.3, cohorts=("A",))
    yes, no = (table.loc[table["label"] == label, "prediction"] for label in (1, 0))
    twin = stats.mannwhitneyu(yes, no, alternative="less", method="asymptotic", use_continuity=False).pvalue
    assert stratified_rank_test(table["label"], table["prediction"], table["cohort"]) == pytest.approx(twin)
    found = responders(table, n_bootstrap=10)
    assert found["p_value"].iloc[0] == found["p_value"].iloc[1]


def test_a_shift_of_a_whole_cohort_changes_nothing(rng):
    table = clinic(rng, effect=0.5)
    moved = table.assign(prediction=table["prediction"] + 100 * (table["cohort"] == "B"))
    pd.testing.assert_frame_equal(responders(table, n_bootstrap=50), responders(moved, n_bootstrap=50))


def test_too_few_patients_are_undefined_with_their_count(rng):
    few = pd.DataFrame({"drug": "z", "cohort": "C", "label": [1, 1, 0, 0, 0], "prediction": np.arange(5.0)})
    table = pd.concat([clinic(rng, n=12), few.assign(drug="x"), few])
    found = responders(table, n_bootstrap=20).set_index(["drug", "cohort"])
    assert found.loc[("x", "C"), "n"] == 5
    assert found.loc[("x", "C"), "responders"] == 2
    assert np.isnan(found.loc[("x", "C"), "p_value"])
    assert found.loc[("x", "all"), "n"] == 24
    assert found.loc[("z", "all"), "n"] == 0
    assert found.loc[("z", "all"), ["auroc", "auprc", "p_value", "p_holm"]].isna().all()
    # The undefined drug does not count as a test.
    assert found.loc[("x", "all"), "p_holm"] == found.loc[("x", "all"), "p_value"]


def test_a_table_without_a_testable_drug_still_holds_numbers():
    few = pd.DataFrame({"drug": "z", "cohort": "C", "label": [1, 0], "prediction": [0.1, 0.2]})
    found = responders(few)
    assert found["base_rate"].tolist()[1] == 0.5
    assert all(pd.api.types.is_float_dtype(found[name]) for name in ("auroc", "auprc_low", "p_value", "p_holm"))


def test_refusals_and_untouched_inputs(rng):
    table = clinic(rng, n=12)
    before = table.copy()
    responders(table, n_bootstrap=10)
    pd.testing.assert_frame_equal(table, before)
    with pytest.raises(ValueError, match=r"1 other values .*Binarise"):
        responders(table.assign(label=2 * table["label"]))
    with pytest.raises(ValueError, match="cohort=None"):
        responders(table.drop(columns="cohort"))


@pytest.mark.real
def test_outcomes_of_tcga_alone_hold_no_finding(shared, rng):
    table = pd.read_csv(shared / "tcga" / "tcga_drug_response_binary.csv.gz").rename(columns={"response": "label"})
    found = responders(table.assign(prediction=rng.normal(size=len(table))), n_bootstrap=50)
    combined = found[found["cohort"] == "all"]
    assert len(combined) == 69
    assert combined["p_value"].notna().sum() >= 5
    assert combined["p_holm"].min() > 0.01
    # The response rate of the cohort as a prediction sorts patients of different cohorts, and no patients of one.
    confounded = table.assign(prediction=-table.groupby(["drug", "cohort"])["label"].transform("mean"))
    assert responders(confounded, cohort=None, n_bootstrap=10)["p_holm"].min() < 0.01
    within = responders(confounded, n_bootstrap=10)
    assert (within["auroc"].dropna() == 0.5).all()
    assert (within["p_value"].dropna() >= 0.5).all()
