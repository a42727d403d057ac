"""Sections on how well models predict: score tables, figures, predicted against observed, scores by drug."""

from __future__ import annotations

from typing import Any

import pandas as pd

from galenic.evaluate import pearson
from galenic.evaluate.response import MINIMUM_ROWS
from galenic.plots.figures.responses import observed
from galenic.plots.figures.scores import drug_curves, score_dots
from galenic.report.blocks import Block, Cell, Figures, Section, Table, Text
from galenic.report.run import Run
from galenic.report.scores import EFFECTS, Outcome, Scores, best_of, is_lower_better, is_same
from galenic.report.words import (
    NOTHING,
    UNITS,
    count,
    counted,
    drug_titles,
    interval,
    metric_name,
    number,
    score,
    split_name,
)

COLUMNS = (
    ("rmse", "all"),
    ("map", "all"),
    ("median_quantile", "all"),
    ("recall_at_1pct", "all"),
    ("found_beyond_chance", "all"),
    ("auroc", "all"),
    ("auprc", "all"),
    ("balanced_accuracy", "all"),
    ("auroc_pooled", "moa"),
    ("auroc_pooled", "target"),
    ("r2", "all"),
    ("pearson", "all"),
    ("pearson", "within_drug"),
    ("pearson", "within_cell"),
    ("r2", "beyond_floor"),
)
# Of effects of perturbations: agreement, error, whether perturbations can be told apart, the most changed genes.
EFFECT_COLUMNS = tuple(
    (metric, "all")
    for metric in (
        "pearson_delta",
        "mae",
        "discrimination",
        "sign_top20",
        "de_overlap_top50",
        "pearson_delta_perturbed",
        "collapse",
    )
)
# What a score of one drug tells, and what its test rows are.
BY_DRUG = {
    "map": ("its profiles find each other", "profiles"),
    EFFECTS: ("its effects are predicted, over its contexts", "contexts"),
}
CLAIMS = {
    "beats": ("beats its floor", "good"),
    "not": ("does not beat its floor", "bad"),
    "worse": ("worse than its floor", "bad"),
    "unknown": ("not known", "quiet"),
}
# Where skill over conditions judges, the interval over folds is only told.
TOLD = {
    "beats": ("over folds it lies above the floor", "good"),
    "not": ("over folds it covers 0", "quiet"),
    "worse": ("over folds it lies below the floor", "bad"),
    "unknown": ("no interval over folds", "quiet"),
}
FEWEST_NAMES = 3
"""Perturbations of which a curve is drawn."""


def beside_floors(run: Run) -> Section | None:
    """Scores of all models beside floors and ceilings, drawn and listed."""
    drawn, listed = score_figures(run), score_tables(run)
    if listed is None:
        return None
    figures = [block for block in drawn.blocks if isinstance(block, Figures) and block.figures] if drawn else []
    how = drawn.how if drawn and figures else listed.how
    said = [Text(listed.how, "how")] if figures else []
    return Section("scores", listed.title, how, [*figures, *said, *listed.blocks])


def score_tables(run: Run) -> Section | None:
    """Scores of all models, one table a split, with the difference to the best floor and the ceiling."""
    scores = Scores.of_run(run)
    if scores is None:
        return None
    unit = run.record["data"].get("unit", "")
    blocks: list[Block] = []
    for split in scores.splits:
        blocks += [Text(split_name(split).capitalize(), "heading"), _score_table(scores, split, unit)]
    if scores.table["group"].isin(["within_drug", "within_cell"]).any():
        blocks.append(Text(
            f"'Within drug' counts only drugs with at least {MINIMUM_ROWS} test cells in a fold, and 'within cell' "
            f"only cells with at least {MINIMUM_ROWS} test drugs in a fold."
        ))  # fmt: skip
    how = (
        f"Means over {_folds_and_seeds(scores)}, {_which_intervals(scores)}, best model first; the best of each "
        "column is bold. Judge a model by its difference to the best floor"
    )
    if scores.table["group"].isin(["within_drug", "beyond_floor"]).any():
        how += (
            ", and by the columns 'within drug' and 'beyond floor': a high correlation over all pairs mostly says that "
            "drugs differ"
        )
    how += "."
    return Section("scores", "Scores beside floors", how, blocks)


def score_figures(run: Run) -> Section | None:
    """Scores as dots with intervals, the best floor and the ceiling as lines."""
    scores = Scores.of_run(run)
    if scores is None:
        return None
    unit = run.record["data"].get("unit", "")
    figures = []
    for split in scores.splits:
        drawn = [(scores.main_metric(split), "all"), ("pearson", "within_drug")]
        drawn = list(EFFECT_COLUMNS[:3]) if scores.is_of_effects(split) else drawn
        for metric, group in dict.fromkeys(drawn):
            rows = scores.of(split, metric, group)
            if rows["value"].notna().any():
                is_best = rows["model"] == scores.best(split, floor=True)
                # Which floor is hard to beat differs between metrics of effects.
                is_best = rows["model"].isin(scores.floors) if scores.is_of_effects(split) else is_best
                floor = rows.loc[is_best, "value"].head(1)
                ceiling = next(iter(scores.ceiling(metric, group).values()), float("nan"))
                axis = metric_name(metric, group, unit)
                better = "lower" if is_lower_better(metric) else "higher"
                figure = score_dots(rows, scores.floors, axis, floor.mean(), ceiling)
                figures.append((f"{split_name(split).capitalize()}: {axis}; {better} is better.", figure))
    which = (
        "best score" if any(map(scores.is_of_effects, scores.splits)) else "best score in the first column of the table"
    )
    how = (
        "Dots are models, open diamonds are floors, bars are 95 % intervals; the dashed line is the floor with the "
        f"{which}, the dotted line the ceiling."
    )
    return Section("figures", "Scores at a glance", how, [Figures(figures)])


def predicted_and_observed(run: Run) -> Section | None:
    """Prediction against truth of the best model of each split, beside its best floor, one seed."""
    scores = Scores.of_run(run)
    unit = run.record["data"].get("unit", "")
    outcomes = [scores.outcome(split) for split in scores.splits] if scores else []
    shown = [
        {"split": outcome.split, "model": model}
        for outcome in outcomes
        for model in (outcome.model, outcome.floor)
        if model is not None
    ]
    by_drug = run.table("scores_by_drug")
    titles = {} if by_drug is None else dict(zip(by_drug["drug"], drug_titles(by_drug), strict=True))
    figures = []
    for where in shown or [{}]:
        table = run.table("predictions", **where)
        if table is None or "response" not in table:
            return None
        table = table.dropna(subset=["response", "prediction"])
        table = table[table["seed"] == table["seed"].min()] if "seed" in table else table
        if len(table):
            names = drug_titles(table)
            table = table.assign(drug=names if "name" in table else names.map(lambda drug: titles.get(drug, drug)))
            score = pearson(*table[["response", "prediction"]].to_numpy(float).T)
            caption = f"{count(len(table))} pairs, Pearson {number(score, 2)}."
            floor = ", a floor" if scores and where["model"] in scores.floors else ""
            start = f"{split_name(where['split']).capitalize()}, {where['model']}{floor}: " if where else ""
            figures.append((start + caption, observed(table, UNITS.get(unit, unit))))
    if not figures:
        return None
    how = (
        f"{'Each pair was held out when it was predicted. ' if scores else ''}On the dashed line truth and prediction "
        "agree; where there are many pairs, stronger colour means more of them. Most of the correlation over all pairs "
        "is the difference between potent and weak drugs, which drug means predict as well."
    )
    return Section("observed", "Predicted and observed", how, [Figures(figures)])


def scores_by_drug(run: Run) -> Section | None:
    """Scores inside each drug: curves over drugs, and a table to search."""
    table = run.table("scores_by_drug")
    if table is None or table.empty:
        return None
    there = list(dict.fromkeys(table["metric"]))
    metric = next((name for name in (EFFECTS, "pearson", "spearman", "auroc") if name in there), there[0])
    table = table[table["metric"] == metric]
    if table["value"].isna().all():
        return None
    what = "perturbation" if metric == EFFECTS else "drug"
    ordered, rows_are = BY_DRUG.get(metric, ("the best model of a split orders its cells", "cells"))
    axis = metric_name(metric, "all" if metric in BY_DRUG else "within_drug")
    scores = Scores.of_run(run)
    best = {split: _shown_model(table, split, scores) for split in table["split"].unique()}
    floor = {split: scores.best(split, floor=True) if scores else None for split in best}
    shown = table[table["model"] == table["split"].map(best)]
    beside = table[table["model"] == table["split"].map(floor)].groupby(["split", "drug"])["value"].mean()
    mean = (
        shown.groupby(["split", "drug", "model"], sort=False).agg(value=("value", "mean"), n=("n", "max")).reset_index()
    )
    titles = dict(zip(table["drug"], drug_titles(table), strict=True))
    mean["floor"] = beside.reindex(pd.MultiIndex.from_frame(mean[["split", "drug"]])).to_numpy()
    mean["drug"] = mean["drug"].map(titles)
    rows: list[list[Cell | str]] = [
        [
            row["drug"],
            split_name(row["split"]),
            str(row["model"]),
            *(Cell(number(row[name]), sort=row[name]) for name in ("value", "floor")),
            Cell(count(row["n"]), sort=row["n"]),
        ]
        for row in mean.sort_values("value", ascending=False).to_dict("records")
    ]
    how = (
        f"One value a {what}: how well {ordered}. Where it is low the model should not be relied on; 'floor' is the "
        "best floor, where it is defined."
    )
    is_mean = scores is not None and scores.n_folds > 1
    cells = f"{rows_are} per fold" if is_mean else rows_are
    hints = {cells: f"Test {rows_are} of the {what} in one fold, averaged over folds."} if is_mean else {}
    head = [what, "split", "model", axis, "floor", cells]
    caption = (
        f"Scores by {what}{' and its test rows, averaged over folds' if is_mean else ''}; click a heading to sort."
    )
    curves = drug_curves(mean.assign(split=mean["split"].map(split_name)), axis, what)
    is_drawn = metric != EFFECTS or mean["drug"].nunique() >= FEWEST_NAMES
    drawn = Figures([(f"{what.capitalize()}s from worst to best; point at one for its name.", curves)])
    listed = Table(head, rows, caption, is_searchable=True, choose=("split",), hints=hints)
    blocks: list[Block] = [*([drawn] if is_drawn else []), listed]
    return Section("drugs", f"Scores by {what}", how, blocks)


def _score_table(scores: Scores, split: str, unit: str) -> Table:
    main = scores.main_metric(split)
    of_kind = EFFECT_COLUMNS if scores.is_of_effects(split) else COLUMNS
    has_values = [column for column in of_kind if scores.of(split, *column)["value"].notna().any()]
    columns = list(dict.fromkeys([(main, "all"), *has_values]))
    by_column = {column: scores.of(split, *column).set_index("model") for column in columns}
    best = {column: best_of(column[0], rows["value"]) for column, rows in by_column.items()}
    rows: list[list[Cell | str]] = []
    for model in scores.of(split, main)["model"]:
        is_floor = model in scores.floors
        difference = Cell(NOTHING, sort=float("nan")) if is_floor else _difference_cell(
            scores.outcome(split, model), TOLD if scores.is_of_effects(split) else CLAIMS
        )  # fmt: skip
        values = [_score_cell(by_column[column], model, best[column]) for column in columns]
        badge = "best floor" if model == scores.best(split, floor=True) else "floor"
        rows.append([Cell(model, badge=badge if is_floor else ""), values[0], difference, *values[1:]])
    foot: list[list[Cell | str]] = []
    for between in dict.fromkeys(name for column in columns for name in scores.ceiling(*column)):
        limits = [scores.ceiling(*column).get(between, float("nan")) for column in columns]
        first, *others = [Cell(number(limit), sort=limit) for limit in limits]
        foot.append([Cell("ceiling", note=between), first, "", *others])
    first_name, *names = [metric_name(metric, group, unit) for metric, group in columns]
    return Table(["model", first_name, "difference to best floor", *names], rows, foot=foot)


def _score_cell(rows: pd.DataFrame, model: str, best: float) -> Cell:
    if model not in rows.index:
        return Cell(NOTHING)
    row: dict[Any, Any] = rows.loc[model].to_dict()
    kind = "best" if row["value"] == best else ""
    span = interval(row["low"], row["high"])
    return Cell(score(row["value"]), span, 0.0 if is_same(row["value"]) else row["value"], kind)


def _difference_cell(outcome: Outcome, claims: dict[str, tuple[str, str]]) -> Cell:
    words, kind = claims[outcome.verdict]
    if is_same(outcome.difference, outcome.low, outcome.high):
        words, kind = "the same as its floor", "quiet"
    span = interval(outcome.low, outcome.high)
    return Cell(f"{score(outcome.difference, signed=True)} {span}".strip(), words, outcome.difference, kind)


def _shown_model(table: pd.DataFrame, split: str, scores: Scores | None) -> str:
    there = table.loc[table["split"] == split, "model"]
    best = scores.best(split, floor=False) if scores else None
    return best if best is not None and best in set(there) else str(there.iloc[0])


def _which_intervals(scores: Scores) -> str:
    if scores.table["low"].notna().any():
        return "with 95 % intervals below"
    return "without intervals" + (f", as {scores.n_folds} folds say little of them" if scores.n_folds > 1 else "")


def _folds_and_seeds(scores: Scores) -> str:
    return f"{counted(scores.n_folds, 'folds')} × {counted(scores.n_seeds, 'seeds')}"
