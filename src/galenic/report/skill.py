"""The section on skill: whether a model of perturbations beats every floor, with intervals over conditions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from galenic.plots.figures.perturbation import skill_forest
from galenic.report.blocks import Block, Cell, Figures, Section, Table, Text
from galenic.report.run import Run
from galenic.report.scores import Outcome, Scores, Verdict, is_lower_better, is_same, judge
from galenic.report.words import count, interval, metric_name, score, split_name

FIRST = ("pearson_delta", "mae", "discrimination")  # of the metrics
DOUBTS: dict[tuple[Verdict, Verdict], str] = {
    ("beats", "not"): "over folds it is undecided, as that interval covers 0: likely, not shown",
    ("beats", "worse"): "over folds the floor is better: not shown",
    ("worse", "not"): "over folds it is undecided, as that interval covers 0",
    ("worse", "beats"): "over folds the model is better: undecided",
    ("not", "beats"): "over folds, a rougher count, the interval lies above the floor",
    ("not", "worse"): "over folds, a rougher count, the interval lies below the floor",
}
"""By the verdict over conditions and that over folds: how the two go together."""
KINDS = {"beats": "good", "not": "note", "worse": "bad", "unknown": "note"}


def skills(run: Run) -> Section | None:
    """Skill of each model against every floor, and in words whether the best floor is beaten."""
    table = skill_rows(run)
    if table is None:
        return None
    blocks: list[Block] = []
    splits = list(dict.fromkeys(table["split"]))
    for split in splits:
        rows = table[table["split"] == split]
        blocks += [Text(split_name(split).capitalize(), "heading")] if len(splits) > 1 else []
        blocks += [*_told(run, split, rows), *_forests(rows)]
    blocks.append(_skill_table(table, len(splits) > 1))
    how = (
        "Skill is 1 − error / error of the floor: 1 is a perfect model, 0 is the floor, below 0 the floor is better. "
        "The error is the MAE itself, or 1 less the similarity. Bars are 95 % intervals over conditions, the filled "
        "marks and bold names the best floor. Conditions of one fold share what was trained on, so these intervals are "
        "rather too narrow; those of the score tables are over folds."
    )
    return Section("skill", "Skill against every floor", how, blocks)


def skill_rows(run: Run) -> pd.DataFrame | None:
    """Rows of the table of skills, ``best`` as truth values; ``None`` where there is nothing to tell."""
    table = run.table("skill")
    needed = {"model", "split", "metric", "floor", "skill", "low", "high"}
    if table is None or table.empty or not needed <= set(table):
        return None
    table = table.dropna(subset=["floor", "metric"])
    place = table["metric"].map({name: at for at, name in enumerate(FIRST)}).fillna(len(FIRST))
    table = table.loc[place.sort_values(kind="stable").index].reset_index(drop=True)
    if "best" in table:
        best = table["best"].astype(str).str.lower().isin(["true", "1", "1.0"])
    else:
        # Against the best floor the skill is lowest.
        best = table.groupby(["model", "split", "metric"])["skill"].transform("min") == table["skill"]
    extra = {name: np.nan for name in ("value", "floor_value", "n") if name not in table}
    table = table.assign(best=best, **extra)
    return None if table["skill"].isna().all() else table


def by_skill(run: Run, outcome: Outcome) -> tuple[Outcome, str] | None:
    """Verdict and sentence from the skill over conditions, against the floor that is best by the metric."""
    table = skill_rows(run)
    if table is None:
        return None
    is_row = (table["split"] == outcome.split) & (table["metric"] == outcome.metric) & table["best"]
    rows = table[is_row & (table["model"] == outcome.model)].dropna(subset=["skill", "low", "high"])
    if rows.empty:
        return None
    row = rows.iloc[0]
    verdict, said = judged_row(Scores.of_run(run), outcome.split, row)
    told = replace(outcome, verdict=verdict, floor=str(row["floor"]), floor_score=row["floor_value"])
    return told, f"On {split_name(outcome.split)}, by {said}"


def judged_row(scores: Scores | None, split: str, row: pd.Series) -> tuple[Verdict, str]:
    """Verdict and words of a row of the table of skills; where folds say otherwise, the cautious verdict and why."""
    verdict = judge(row["low"], row["high"], False)
    said = _verdict_words(row, verdict)
    doubt = DOUBTS.get((verdict, _over_folds(scores, split, row)))
    if doubt is None:
        return verdict, said
    return "not", f"{said.removesuffix('.')}; {doubt}."


def _told(run: Run, split: str, rows: pd.DataFrame) -> Iterator[Text]:
    """For each metric whether the judged model beats its best floor, and the ceiling beside it."""
    scores = Scores.of_run(run)
    best = scores.best(split, floor=False) if scores and split in scores.splits else None
    model = best if best in set(rows["model"]) else rows["model"].iloc[0]
    for row in rows[(rows["model"] == model) & rows["best"]].to_dict("records"):
        verdict, said = judged_row(scores, split, pd.Series(row))
        limit = _ceiling_words(run, row["value"]) if row["metric"] == "pearson_delta" else ""
        yield Text(f"By {said}{limit}", KINDS[verdict])


def _over_folds(scores: Scores | None, split: str, row: pd.Series) -> Verdict:
    """Verdict of the comparison over folds of the same model, floor and metric."""
    found = scores.against_floor(split, row["model"], row["metric"]) if scores and split in scores.splits else None
    if found is None or found["floor"] != row["floor"]:
        return "unknown"
    return judge(found["low"], found["high"], is_lower_better(row["metric"]))


def _verdict_words(row: pd.Series, verdict: Verdict) -> str:
    start = f"{metric_name(row['metric'])} the best floor, {row['floor']}, is"
    span = f"skill {score(row['skill'], signed=True)} {interval(row['low'], row['high'])}".rstrip()
    values = f"{score(row['value'])} against {score(row['floor_value'])}"
    many = f" over {count(row['n'])} conditions" if row["n"] == row["n"] else ""
    if np.isnan(row["skill"]) and row["floor_value"] == row["floor_value"]:
        return f"{start} without error, so that skill against it is not defined ({values}{many})."
    if is_same(row["skill"], row["low"], row["high"]):
        who = f"{metric_name(row['metric'])} {row['model']}"
        return f"{who} is the same as the best floor, {row['floor']} ({values}{many})."
    claim = {
        "beats": f"{start} beaten by {row['model']}",
        "worse": f"{start} not beaten: {row['model']} lost to it",
        "not": f"{start} not beaten: undecided, as the interval of {row['model']} covers 0",
        "unknown": f"{metric_name(row['metric'])} it is not known whether the best floor, {row['floor']}, is beaten by "
        f"{row['model']}",
    }[verdict]
    return f"{claim} ({values}; {span}{many})."


def _ceiling_words(run: Run, value: float) -> str:
    """How well the measurements agree with themselves, in a sentence; nothing where nobody measured it."""
    table = run.table("ceiling_halves")
    if table is None or not {"metric", "ceiling"} <= set(table):
        return ""
    rows = table[table["metric"] == "pearson_delta"]
    rows = rows[rows["group"] == "all"] if "group" in rows else rows
    if rows.empty:
        return ""
    row = rows.iloc[0]
    ceiling = row["ceiling"]
    if np.isnan(ceiling):
        return " Random halves of the measurements do not agree, so no ceiling can be told and no score means much."
    # Both sides of a score hold the noise of the same controls; the halves have controls of their own.
    place = f"is {score(ceiling - value)} below it" if value < ceiling else f"lies {score(value - ceiling)} above it"
    n = row.get("n", np.nan)
    many = f"the {count(n)} conditions" if n == n else "the conditions"
    how = "halves of the measurements are set against each other, and their agreement carried over to whole ones"
    if {"value", "full"} <= set(rows) and row["value"] == row["value"]:
        how = (
            f"halves of the measurements agree {score(row['value'], 2)}, whole ones would {score(row['full'], 2)}, and "
            "the truth would agree with one of them by the root of that"
        )
    return (
        f" The ceiling is {score(ceiling)}, told from {many} measured twice or more: {how}. This score {place}; as "
        "prediction and measurement share the noise of their controls and halves do not, a score can pass it."
    )


def _forests(rows: pd.DataFrame) -> list[Block]:
    figures = []
    for metric, part in rows.dropna(subset=["skill"]).groupby("metric", sort=False):
        order = part.groupby("floor")["skill"].min().sort_values().index  # the hardest floor first
        part = part.set_index("floor").loc[order].reset_index()
        models = list(dict.fromkeys(part["model"]))
        who = models[0] if len(models) == 1 else f"{len(models)} models"
        caption = f"{metric_name(str(metric))}: skill of {who} against {_many(part['floor'].nunique())}."
        figures.append((caption[0].upper() + caption[1:], skill_forest(part)))
    return [Figures(figures)] if figures else []


def _skill_table(table: pd.DataFrame, several: bool) -> Table:
    many = len(set(table["model"])) > 1
    rows: list[list[Cell | str]] = [
        [
            Cell(row["floor"], badge="best floor" if row["best"] else ""),
            Cell(
                score(row["skill"], signed=True),
                interval(row["low"], row["high"]),
                row["skill"],
                {"beats": "good", "worse": "bad"}.get(judge(row["low"], row["high"], False), ""),
            ),
            metric_name(row["metric"]),
            *([str(row["model"])] if many else []),
            *(Cell(score(row[name]), sort=row[name]) for name in ("value", "floor_value")),
            Cell(count(row["n"]), sort=row["n"]),
            *([split_name(row["split"])] if several else []),
        ]
        for row in table.to_dict("records")
    ]
    head = ["floor", "skill", "metric", *(["model"] if many else []), "score", "score of floor", "conditions"]
    head += ["split"] if several else []
    hints = {"conditions": "Conditions where the metric is defined for the model and the floor."}
    who = "every model" if many else str(table["model"].iloc[0])
    caption = f"Skill of {who} against every floor; a dash where a floor has no such score."
    choose = (*(["split"] if several else []), "metric", *(["model"] if many else []))
    return Table(head, rows, caption, is_searchable=True, choose=choose, hints=hints)


def _many(floors: int) -> str:
    return f"{count(floors)} floor" + ("" if floors == 1 else "s")
