"""The numbers behind the report's claims, against naive twins and planted outcomes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from galenic.evaluate import compare
from galenic.plots.figures.scores import summarise
from galenic.report import start
from galenic.report.scores import Scores, judge, sentence
from galenic.report.words import count, interval, number, p_value

FLOORS = ["DrugMean", "TissueDrugMean"]


def metrics(rng: np.random.Generator, gain: float, split: str = "cell") -> pd.DataFrame:
    """RMSE of two floors near 1.40 and 1.31 and of a model that is better than the second by ``gain``."""
    level = {"DrugMean": 1.40, "TissueDrugMean": 1.31, "Ridge": 1.31 - gain}
    rows = [
        (model, split, fold, seed, "all", "rmse", value + 0.05 * fold + rng.normal(0, 0.002), 100)
        for model, value in level.items()
        for fold in range(5)
        for seed in range(3)
    ]
    return pd.DataFrame(rows, columns=["model", "split", "fold", "seed", "group", "metric", "value", "n"])


def scores_of(folder: Path, table: pd.DataFrame, *, compared: bool = True) -> Scores:
    run = start(folder, verb="benchmark", command="", fields={"floors": FLOORS})
    run.write("metrics", table)
    if compared:
        run.write("comparison", compare(table, FLOORS))
    scores = Scores.of_run(run)
    assert scores is not None
    return scores


def test_summary_equals_the_loop(rng: np.random.Generator) -> None:
    table = metrics(rng, 0.05)
    table.loc[table["fold"] == 4, "value"] = np.nan
    summary = summarise(table).set_index("model")
    for model in ("DrugMean", "Ridge"):
        rows = table[(table["model"] == model)]
        means = [rows.loc[rows["fold"] == fold, "value"].mean() for fold in range(4)]
        low, high = stats.t.interval(0.95, 3, np.mean(means), stats.sem(means))
        assert summary.loc[model, ["value", "low", "high"]].tolist() == pytest.approx([np.mean(means), low, high])


def test_one_fold_has_no_interval(rng: np.random.Generator) -> None:
    summary = summarise(metrics(rng, 0.05).query("fold == 0"))
    assert summary["value"].notna().all()
    assert summary[["low", "high"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("gain", "verdict", "words"),
    [
        (0.05, "beats", "it beats its floor."),
        (0.0, "not", "it does not beat its floor, as the interval covers 0."),
        (-0.05, "worse", "it does not beat its floor: it is worse."),
    ],
)
def test_the_planted_outcome_is_told(
    tmp_path: Path, rng: np.random.Generator, gain: float, verdict: str, words: str
) -> None:
    outcome = scores_of(tmp_path, metrics(rng, gain)).outcome("cell")
    assert (outcome.model, outcome.floor, outcome.verdict) == ("Ridge", "TissueDrugMean", verdict)
    text = sentence(outcome, "unseen cells", "RMSE")
    assert text.startswith("On unseen cells the best model, Ridge, has RMSE 1.")
    assert text.endswith(words)


def test_without_comparison_nothing_is_claimed(tmp_path: Path, rng: np.random.Generator) -> None:
    outcome = scores_of(tmp_path, metrics(rng, 0.5), compared=False).outcome("cell")
    assert outcome.verdict == "unknown"
    assert "is not known" in sentence(outcome, "unseen cells", "RMSE")


def test_floors_alone_and_models_alone(tmp_path: Path, rng: np.random.Generator) -> None:
    table = metrics(rng, 0.05)
    floors = scores_of(tmp_path / "a", table[table["model"] != "Ridge"], compared=False).outcome("cell")
    assert "only floors were run; the best is TissueDrugMean" in sentence(floors, "unseen cells", "RMSE")
    alone = scores_of(tmp_path / "b", table[table["model"] == "Ridge"], compared=False).outcome("cell")
    assert "No floor was run" in sentence(alone, "unseen cells", "RMSE")


def test_the_best_model_follows_the_direction_of_the_metric(tmp_path: Path, rng: np.random.Generator) -> None:
    table = metrics(rng, 0.05).assign(metric="pearson")
    assert scores_of(tmp_path, table, compared=False).best("cell", floor=True) == "DrugMean"


def test_the_ceiling_is_within_drugs_only(tmp_path: Path, rng: np.random.Generator) -> None:
    run = start(tmp_path, verb="benchmark", command="", fields={"floors": FLOORS})
    run.write("metrics", metrics(rng, 0.05))
    agreement = pd.DataFrame(
        {"between": "screens", "drug": ["x", "y"], "metric": "pearson", "value": [0.5, 0.48], "n": 9}
    )
    run.write("ceilings", agreement)
    scores = Scores.of_run(run)
    assert scores.ceiling("pearson", "within_drug") == pytest.approx({"screens": 0.7})
    assert scores.ceiling("pearson", "all") == scores.ceiling("rmse", "within_drug") == {}


@given(low=st.floats(-1, 1), width=st.floats(0, 1))
def test_verdicts_mirror_each_other(low: float, width: float) -> None:
    high = low + width
    assert judge(low, high, True) == judge(-high, -low, False)
    assert (judge(low, high, True) == "not") == (low <= 0 <= high)
    assert judge(low, float("nan"), True) == "unknown"


@given(value=st.floats(allow_infinity=False), decimals=st.integers(0, 5))
@example(value=0.5, decimals=0)
@example(value=-0.0005, decimals=3)
def test_numbers_read_back_within_their_rounding(value: float, decimals: int) -> None:
    text = number(value, decimals)
    assert "nan" not in text
    assert "-" not in text
    if not np.isnan(value):
        read = float(text.replace("−", "-").replace(",", ""))
        assert read == pytest.approx(value, abs=0.5001 * 10**-decimals, rel=1e-12)
        assert np.sign(read) == np.sign(value)


@pytest.mark.parametrize("nothing", [None, float("nan"), np.float64("nan"), pd.NA, "text"])
def test_nothing_is_a_dash(nothing: object) -> None:
    assert number(nothing) == count(nothing) == p_value(nothing) == "–"
    assert interval(nothing, 1.0) == ""
