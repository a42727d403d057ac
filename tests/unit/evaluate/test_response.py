"""Scores of predictions against plain loops, the floor's own scores, and the normalised scale."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from galenic import evaluate
from galenic.evaluate.response import MINIMUM_ROWS, REGRESSION


@pytest.fixture
def table(rng):
    cells, drugs = np.divmod(np.arange(30 * 15), 15)
    table = pd.DataFrame({"cell": [f"c{i}" for i in cells], "drug": [f"d{i}" for i in drugs]})
    floor = rng.normal(size=15)[drugs] * 3 + rng.normal(size=30)[cells]
    signal = rng.normal(size=len(table))
    table["response"] = floor + signal + rng.normal(size=len(table))
    table = table.assign(prediction=floor + 0.5 * signal, floor=floor)
    # One drug has too few rows to count.
    return table[(table["drug"] != "d3") | table["cell"].isin([f"c{i}" for i in range(MINIMUM_ROWS - 1)])]


@pytest.mark.parametrize("within", ["drug", "cell"])
def test_within_equals_the_loop(table, within):
    scores = evaluate.response(table, within=within)
    assert list(scores.columns) == ["group", "metric", "value", "n"]
    assert len(scores) == table[within].nunique() * len(REGRESSION)
    for group, metric, value, n in scores.itertuples(index=False):
        rows = table[table[within] == group]
        assert n == len(rows)
        assert value == pytest.approx(evaluate.METRICS[metric].function(rows["response"], rows["prediction"]))


def test_all_rows_are_one_group(table):
    scores = evaluate.response(table, metrics=["rmse"])
    assert scores.iloc[0].to_dict() == {
        "group": "all",
        "metric": "rmse",
        "value": evaluate.rmse(table["response"], table["prediction"]),
        "n": len(table),
    }


def test_overview_equals_the_loop(table):
    scores = evaluate.overview(table).set_index(["group", "metric"])
    for metric in REGRESSION:
        function = evaluate.METRICS[metric].function
        assert scores.loc[("all", metric), "value"] == pytest.approx(function(table["response"], table["prediction"]))
        for column in ("drug", "cell"):
            groups = [rows for _, rows in table.groupby(column) if len(rows) >= MINIMUM_ROWS]
            mean = np.mean([function(rows["response"], rows["prediction"]) for rows in groups])
            assert scores.loc[(f"within_{column}", metric), "value"] == pytest.approx(mean)
            assert scores.loc[(f"within_{column}", metric), "n"] == len(groups)
    assert scores.loc[("within_drug", "rmse"), "n"] == 14
    moved, left = table["prediction"] - table["floor"], table["response"] - table["floor"]
    assert scores.loc[("beyond_floor", "pearson"), "value"] == pytest.approx(np.corrcoef(moved, left)[0, 1])
    r2 = 1 - ((table["response"] - table["prediction"]) ** 2).sum() / (left**2).sum()
    assert scores.loc[("beyond_floor", "r2"), "value"] == pytest.approx(r2)
    assert scores["n"].min() > 0


def test_the_floor_is_nothing_beyond_itself(table):
    rounded = table["floor"].astype(np.float32).astype(np.float64)
    for prediction in (table["floor"], rounded):
        beyond = evaluate.overview(table.assign(prediction=prediction)).query("group == 'beyond_floor'")
        beyond = beyond.set_index("metric")["value"]
        assert np.isnan(beyond["pearson"])
        assert np.isnan(beyond["spearman"])
        assert beyond["r2"] == pytest.approx(0, abs=1e-6)


def test_drug_means_score_high_over_all_rows_and_nothing_within_drugs(table):
    means = table.groupby("drug")["response"].transform("mean")
    scores = evaluate.overview(table.assign(prediction=means)).set_index(["group", "metric"])
    assert scores.loc[("all", "pearson"), "value"] > 0.8
    assert np.isnan(scores.loc[("within_drug", "pearson"), "value"])
    assert scores.loc[("within_drug", "pearson"), "n"] == 0
    assert scores.loc[("within_drug", "rmse"), "n"] == 14


def test_row_order_does_not_matter_and_inputs_stay(table, rng):
    before = table.copy()
    shuffled = table.iloc[rng.permutation(len(table))]
    pd.testing.assert_frame_equal(evaluate.overview(table), evaluate.overview(shuffled))
    pd.testing.assert_frame_equal(table, before)


def test_categories_and_numbers_serve_as_groups(table):
    expected = evaluate.response(table, within="drug")
    pd.testing.assert_frame_equal(evaluate.response(table.astype({"drug": "category"}), within="drug"), expected)
    numbers = table.assign(drug=table["drug"].str[1:].astype(int))
    assert len(evaluate.response(numbers, within="drug")) == len(expected)


def test_refusals(table):
    with pytest.raises(ValueError, match=r"3 of .* are missing or.*for every model alike"):
        evaluate.response(table.assign(prediction=table["prediction"].where(np.arange(len(table)) > 2)))
    with pytest.raises(ValueError, match=r"floor=None.*needs the column.*'floor'"):
        evaluate.overview(table.drop(columns="floor"))
    assert "beyond_floor" not in evaluate.overview(table, floor=None)["group"].tolist()
    with pytest.raises(ValueError, match="'tissue'"):
        evaluate.response(table, within="tissue")
    with pytest.raises(ValueError, match="received 'rmsd'"):
        evaluate.response(table, metrics=["rmsd"])


def test_normalised_scale_goes_there_and_back():
    x = np.linspace(-12, 15, 1001)
    np.testing.assert_allclose(evaluate.denormalised(evaluate.normalised(x)), x, atol=1e-12)
    np.testing.assert_allclose(evaluate.normalised(x), 1 / (1 + np.exp(x) ** -0.1), rtol=1e-12)


@pytest.mark.real
def test_the_bars_of_gdsc_drug_means_on_unseen_lines(shared):
    pairs = pd.read_csv(shared / "gdsc" / "response_gdsc1_v17_lnic50.csv.gz", dtype={"cosmic_id": str, "drug_id": str})
    pairs = pairs.rename(columns={"cosmic_id": "cell", "drug_id": "drug", "ln_ic50": "response"})
    scores = []
    for fold in evaluate.split(pairs, by="cell"):
        train, test = pairs.iloc[fold.train], pairs.iloc[fold.test]
        test = test.assign(prediction=test["drug"].map(train.groupby("drug")["response"].mean()))
        scores.append(evaluate.overview(test, floor=None))
    means = pd.concat(scores).groupby(["group", "metric"])["value"].mean()
    assert means[("all", "pearson")] == pytest.approx(0.85, abs=0.02)
    assert means[("all", "rmse")] == pytest.approx(1.43, abs=0.05)
    assert np.isnan(means[("within_drug", "pearson")])
