"""Summaries of predicted cells: naive counts, coverage of the intervals, ranking."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from galenic.evaluate.cell_summary import rank_drugs, summarise_cells


def predicted(rng: np.random.Generator, n: int = 200) -> pd.DataFrame:
    probability = rng.random(n)
    table = pd.DataFrame(
        {"probability": probability, "label": pd.array((probability > 0.5).astype(int), dtype="Int64")}
    )
    table["abstain"] = rng.random(n) < 0.2
    table["cluster"] = rng.choice(["a", "b", "c"], n)
    table.loc[:4, ["probability", "label"]] = [np.nan, pd.NA]
    table.loc[:4, "abstain"] = True
    return table


def test_as_a_naive_count(rng: np.random.Generator) -> None:
    table = predicted(rng)
    table.loc[10, "cluster"] = None
    found = summarise_cells(table, "cluster").set_index("group")
    assert sorted(found.index) == ["a", "b", "c", "unknown"]
    for name, part in table.fillna({"cluster": "unknown"}).groupby("cluster"):
        there = part[~part["abstain"]]
        row = found.loc[name]
        assert (row["n"], row["answered"]) == (len(part), len(there))
        assert row["abstained"] == pytest.approx(1 - len(there) / len(part))
        if len(there) > 1:
            assert row["probability"] == pytest.approx(there["probability"].mean())
            low, high = stats.t.interval(
                0.95, len(there) - 1, there["probability"].mean(), stats.sem(there["probability"])
            )
            assert (row["low"], row["high"]) == pytest.approx((low, high))
            count = int(there["label"].sum())
            wilson = stats.binomtest(count, len(there)).proportion_ci(method="wilson")
            assert (row["share_low"], row["share_high"]) == pytest.approx((wilson.low, wilson.high))


def test_all_cells_and_none() -> None:
    table = pd.DataFrame({"probability": [np.nan, 0.7], "label": pd.array([pd.NA, 1], dtype="Int64"), "abstain": True})
    row = summarise_cells(table).iloc[0]
    assert (row["group"], row["n"], row["answered"], row["abstained"]) == ("all", 2, 0, 1.0)
    assert row[["probability", "low", "share_sensitive", "share_low"]].isna().all()
    with pytest.raises(ValueError, match="needs the column"):
        summarise_cells(table, "cluster")


def test_intervals_hold_the_mean_as_often_as_they_say(rng: np.random.Generator) -> None:
    held = []
    for _ in range(300):
        probability = rng.beta(2, 3, size=40)
        table = pd.DataFrame({"probability": probability, "label": (probability > 0.4).astype(int), "abstain": False})
        row = summarise_cells(table).iloc[0]
        share = 1 - stats.beta.cdf(0.4, 2, 3)
        held.append((row["low"] <= 0.4 <= row["high"], row["share_low"] <= share <= row["share_high"]))
    assert (np.mean(held, axis=0) > 0.9).all()


def test_drugs_are_ranked_and_silent_ones_come_last(rng: np.random.Generator) -> None:
    low = predicted(rng).assign(probability=0.2, label=0)
    high = low.assign(probability=0.8, label=1)
    table = rank_drugs({"low": low, "silent": low.assign(abstain=True), "high": high})
    assert table["drug"].tolist() == ["high", "low", "silent"]
    assert table["rank"].tolist()[:2] == [1, 2]
    assert pd.isna(table["rank"].iloc[2])
    assert rank_drugs({}).empty
