"""The numbers behind the report's claims: mean scores with intervals, best model, best floor, verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import pandas as pd

from galenic.evaluate import summary
from galenic.evaluate.metrics import score_of
from galenic.plots.figures.scores import summarise, within_range
from galenic.report.run import Run
from galenic.report.words import SAME, interval, score

Verdict = Literal["beats", "not", "worse", "unknown"]
# The first of these that a split has decides which model is best.
MAIN = ("pearson_delta", "rmse", "mae", "map", "auroc", "pearson", "spearman")
EFFECTS = MAIN[0]  # which only predicted effects of perturbations are scored by
CLAIMS = {
    "beats": "it beats its floor",
    "not": "it does not beat its floor, as the interval covers 0",
    "worse": "it does not beat its floor: it is worse",
}


@dataclass(frozen=True)
class Outcome:
    """What a split showed: the best model, the best floor and whether the one beats the other.

    ``verdict`` is ``"beats"``, ``"not"`` (the interval covers 0), ``"worse"``, or ``"unknown"`` (nothing to compare
    with, or too few folds for an interval). Model and floor are ``None`` where there is none.
    """

    split: str
    metric: str
    model: str | None
    floor: str | None
    model_score: float
    floor_score: float
    difference: float
    low: float
    high: float
    verdict: Verdict
    is_asked: bool = False


class Scores:
    """Scores of a run, read once: ``table`` (see ``summarise``), the floors, ceilings and comparisons.

    Parameters
    ----------
    run
        A run folder; its fields ``floors`` name the floors, or else its comparisons do.
    metrics
        Its tidy scores.
    """

    def __init__(self, run: Run, metrics: pd.DataFrame) -> None:
        self.table = within_range(summarise(metrics))
        self.comparison = run.table("comparison")
        ceilings = run.table("ceilings")
        self.ceilings = None if ceilings is None else summary(ceilings)
        self.halves = run.table("ceiling_halves")
        self.splits = list(dict.fromkeys(metrics["split"]))
        self.n_folds = int(metrics["fold"].nunique())
        self.n_seeds = int(metrics["seed"].nunique())
        compared = set() if self.comparison is None else set(self.comparison["floor"].dropna())
        self.floors = set(run.record["fields"].get("floors") or compared)
        # A run that fits one model is about that one, whatever else stands beside it.
        self.fitted = run.record["fields"].get("model")

    @classmethod
    def of_run(cls, run: Run) -> Self | None:
        """Scores of a run folder; ``None`` if it holds no ``metrics.csv`` or an empty one."""
        metrics = run.table("metrics")
        return None if metrics is None or metrics.empty else cls(run, metrics)

    def of(self, split: str, metric: str, group: str = "all") -> pd.DataFrame:
        """Scores of all models by one metric, best first; models without a value stand last."""
        table = self.table
        rows = table[(table["split"] == split) & (table["metric"] == metric) & (table["group"] == group)]
        return rows.sort_values("value", ascending=is_lower_better(metric), na_position="last")

    def main_metric(self, split: str) -> str:
        """The metric that decides in this split: the first of ``MAIN`` that it has."""
        rows = self.table[self.table["split"] == split]
        there = list(rows.loc[rows["group"] == "all", "metric"]) or list(rows["metric"])
        return next((metric for metric in MAIN if metric in there), there[0])

    def is_of_effects(self, split: str) -> bool:
        """Whether the split is scored by predicted effects of perturbations."""
        return bool(((self.table["split"] == split) & (self.table["metric"] == EFFECTS)).any())

    def best(self, split: str, *, floor: bool) -> str | None:
        """The model that the run fits, else the best that is no floor; or the best floor, by the main metric."""
        rows = self.of(split, self.main_metric(split)).dropna(subset=["value"])
        names = [name for name in rows["model"] if (name in self.floors) == floor]
        if not floor and self.fitted in names:
            return str(self.fitted)
        return names[0] if names else None

    def ceiling(self, metric: str, group: str) -> dict[str, float]:
        """Ceilings of a score, by what was measured twice: of correlations within drugs, and of those of effects."""
        if self.halves is not None and {"group", "metric", "ceiling"} <= set(self.halves):
            rows = self.halves[(self.halves["metric"] == metric) & (self.halves["group"] == group)]
            found = rows["ceiling"].dropna()
            if len(found):
                return {"halves of the measurements": float(found.iloc[0])}
        if self.ceilings is None or group != "within_drug":
            return {}
        rows = self.ceilings[(self.ceilings["metric"] == metric) & self.ceilings["ceiling"].notna()]
        return dict(zip(rows["between"], rows["ceiling"], strict=True))

    def against_floor(self, split: str, model: str, metric: str, group: str = "all") -> pd.Series | None:
        """Row of ``comparison`` for a model against the best floor (or the only one it was compared with)."""
        if self.comparison is None:
            return None
        table = self.comparison
        keys = {"split": split, "model": model, "metric": metric, "group": group}
        rows = table[np.logical_and.reduce([table[column] == value for column, value in keys.items()])]
        to_best = rows[rows["floor"] == self.best(split, floor=True)]
        rows = rows if to_best.empty else to_best
        return None if rows.empty else rows.iloc[0]

    def outcome(self, split: str, model: str | None = None) -> Outcome:
        """Compare a model (the best one, if none is named) with the best floor by the main metric."""
        metric = self.main_metric(split)
        model = model or self.best(split, floor=False)
        row = None if model is None else self.against_floor(split, model, metric)
        floor = self.best(split, floor=True) if row is None else str(row["floor"])
        value = self.of(split, metric).set_index("model")["value"]
        difference, low, high = (float("nan"),) * 3 if row is None else (row["difference"], row["low"], row["high"])
        return Outcome(
            split, metric, model, floor, value.get(model, np.nan), value.get(floor, np.nan),
            difference, low, high, judge(low, high, is_lower_better(metric)), model == self.fitted,
        )  # fmt: skip


def is_lower_better(metric: str) -> bool:
    """Whether less of the metric is better; a metric of unknown name is taken as better when greater."""
    try:
        return score_of(metric).greater_is_better is False
    except ValueError:
        return False


def best_of(metric: str, values: pd.Series) -> float:
    """The best of some scores: the least, the greatest, or, where only one value is best, the one next to it.

    >>> scores = pd.Series([0.2, 0.9, 1.4])
    >>> best_of("rmse", scores), best_of("pearson", scores), best_of("collapse", scores)
    (0.2, 1.4, 0.9)
    """
    if metric == "collapse":
        values = values.dropna()
        return float(values.loc[(values - score_of(metric).best).abs().idxmin()]) if len(values) else float("nan")
    return float(values.min() if is_lower_better(metric) else values.max())


def judge(low: float, high: float, lower_is_better: bool) -> Verdict:
    """Verdict on the interval of a difference, model minus floor.

    >>> judge(-0.06, -0.02, True), judge(-0.06, 0.01, True), judge(0.02, 0.05, True), judge(0.02, 0.05, False)
    ('beats', 'not', 'worse', 'beats')
    """
    if np.isnan(low) or np.isnan(high):
        return "unknown"
    if low <= 0 <= high:
        return "not"
    return "beats" if (high < 0) == lower_is_better else "worse"


def is_same(*differences: float) -> bool:
    """Whether a difference and both ends of its interval are 0, but for rounding.

    >>> is_same(0.0, -1e-9, 1e-8), is_same(0.0, -0.1, 0.1), is_same(0.0, float("nan"), float("nan"))
    (True, False, False)
    """
    return all(abs(value) < SAME for value in differences)


def sentence(outcome: Outcome, what: str, metric: str) -> str:
    """The outcome in one sentence; ``what`` names the split and ``metric`` the metric in plain words."""
    if outcome.model is None and outcome.floor is None:
        return f"On {what} no model has a score."
    if outcome.model is None:
        return (
            f"On {what} only floors were run; the best is {outcome.floor} with {metric} {score(outcome.floor_score)}."
        )
    who = outcome.model if outcome.is_asked else f"the best model, {outcome.model},"
    start = f"On {what} {who} has {metric} {score(outcome.model_score)}"
    if outcome.floor is None:
        return f"{start}. No floor was run beside it, so this says little."
    start += f" against {score(outcome.floor_score)} for its best floor, {outcome.floor}"
    if is_same(outcome.difference, outcome.low, outcome.high):
        return f"{start}: it is the same as its floor."
    if outcome.verdict == "unknown":
        return f"{start}; whether it beats its floor is not known, as there is no interval of the difference."
    span = interval(outcome.low, outcome.high)
    return f"{start}; the difference is {score(outcome.difference, signed=True)} {span}: {CLAIMS[outcome.verdict]}."
