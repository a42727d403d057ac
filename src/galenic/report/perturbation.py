"""The section on conditions: measured and predicted effects gene by gene, and every condition in a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from galenic.evaluate import grouped
from galenic.plots.figures.perturbation import N_NAMED, effect_points
from galenic.plots.style import MAX_POINTS
from galenic.report.blocks import Block, Cell, Figures, Section, Table, Text
from galenic.report.run import Run
from galenic.report.scores import Scores, is_lower_better
from galenic.report.skill import skill_rows
from galenic.report.words import count, metric_name, number, score, split_name

N_ROWS = 600  # conditions that a page can show: the best and the worst half of these
N_SPLITS = 3  # whose conditions are drawn
CONDITION = ["context", "perturbation"]
MAIN = "pearson_delta"
BESIDE = ("mae", "discrimination", "sign_top20", "de_overlap_top50")


@dataclass(frozen=True)
class Judged:
    """The model whose conditions are shown, whether it is a floor itself, and the names of all floors."""

    model: str
    is_floor: bool
    floors: frozenset[str]


def conditions(run: Run) -> Section | None:
    """Effects of the best, the median and the worst condition gene by gene, and a table of all conditions."""
    table = _with_doses(run.table("conditions"))
    judged = judged_model(run, table)
    if judged is None:
        return None
    splits = _splits_of(run, table, judged.model)
    blocks: list[Block] = []
    is_drawn = False
    for split in splits[:N_SPLITS]:
        figures = _drawn(run, table, judged.model, split)
        is_drawn = is_drawn or bool(figures)
        blocks += [Text(split_name(split).capitalize(), "heading")] if figures and len(splits) > 1 else []
        blocks += [Figures(figures)] if figures else []
    if is_drawn and len(splits) > N_SPLITS:
        blocks.append(Text(f"Of {len(splits)} splits the first {N_SPLITS} are drawn."))
    blocks += [] if table is None else _stood_in(table, judged.model)
    listed = None if table is None else _condition_table(run, table, judged)
    blocks += [listed] if listed else []
    if not blocks:
        return None
    how = (
        f"Effects that {judged.model}{', a floor,' if judged.is_floor else ''} predicted for conditions it had not seen"
    )
    how += (
        "; on the dashed line prediction and measurement agree. A cloud that is flatter than the line says less than "
        "was measured, which noise in the measurement alone can do. One good condition proves nothing: look at the "
        "worst one as well, and at the table."
        if is_drawn
        else "."
    )
    title = "Best, median and worst conditions" if is_drawn else "Conditions"
    return Section("conditions", title, how, blocks)


def _stood_in(table: pd.DataFrame, model: str) -> list[Block]:
    """In how many conditions a simpler model answered in place of this one."""
    rows = table[table["model"] == model]
    blocks: list[Block] = []
    for split, part in rows.groupby("split", sort=False) if "fallback" in rows else ():
        stand_ins = part["fallback"].dropna()
        if len(stand_ins):
            n, names = f"{count(len(stand_ins))} of {count(len(part))}", ", ".join(map(str, stand_ins.unique()))
            said = f"On {split_name(str(split))}, {model} had nothing to go by in {n} conditions"
            blocks.append(Text(f"{said}; {names} answered instead.", "note"))
    return blocks


def judged_model(run: Run, table: pd.DataFrame | None) -> Judged | None:
    """The model that the run fits, else the first with effects (or conditions) that is no floor, else the first."""
    fields, effects = run.record["fields"], run.table("effects") if table is None else None
    source = table if table is not None else effects
    if source is None or "model" not in source or source.empty:
        return None
    found = [run.table(name) for name in ("comparison", "skill")]
    compared = {str(name) for one in found if one is not None and "floor" in one for name in one["floor"].dropna()}
    floors = frozenset(map(str, fields.get("floors") or compared))
    names = [str(name) for name in dict.fromkeys(source["model"])]
    names.sort(key=lambda name: (name != fields.get("model"), name in floors))
    # Filtered while it is read, so only the models in question are ever in memory.
    drawn = (name for name in names if (rows := run.table("effects", model=name)) is not None and len(rows))
    model = next(drawn, names[0])
    return Judged(model, model in floors, floors)


def _splits_of(run: Run, table: pd.DataFrame | None, model: str) -> list[str]:
    source = run.table("effects", model=model) if table is None else table[table["model"] == model]
    return [] if source is None or "split" not in source else list(dict.fromkeys(source["split"]))


def _drawn(run: Run, table: pd.DataFrame | None, model: str, split: str) -> list[tuple[str, go.Figure]]:
    """Captions and figures of the best, the median and the worst condition of a split."""
    effects = _with_doses(run.table("effects", model=model, split=split))
    if effects is None or not {*CONDITION, "gene", "measured", "predicted"} <= set(effects):
        return []
    effects = effects.dropna(subset=["measured", "predicted"]).astype(dict.fromkeys([*CONDITION, "gene"], str))
    effects = effects.groupby([*CONDITION, "gene"], sort=False, as_index=False)[["measured", "predicted"]].mean()
    ranked = _ranked(table, model, split, effects)
    if ranked.empty:
        return []
    places = {"Best": 0, "Median": (len(ranked) - 1) // 2, "Worst": len(ranked) - 1}
    chosen = {place: name for name, place in reversed(places.items())}  # a few conditions have fewer names
    figures = []
    for place, name in sorted(chosen.items()):
        context, perturbation = ranked.index[place]
        rows = effects[(effects["context"] == context) & (effects["perturbation"] == perturbation)]
        score = grouped("pearson", rows["measured"], rows["predicted"], np.zeros(len(rows), dtype=np.intp), 1)[0]
        error = (rows["measured"] - rows["predicted"]).abs().mean()
        left = f" The {count(MAX_POINTS)} with the largest effects are drawn." if len(rows) > MAX_POINTS else ""
        caption = (
            f"{name if len(ranked) > 1 else 'The only one'}: {perturbation} in {context}. {count(len(rows))} genes, "
            f"Pearson {number(score, 2)}, MAE {number(error)}.{left} "
            f"{'Named are the' if len(rows) > N_NAMED else 'All'} {min(N_NAMED, len(rows))} that changed most."
        )
        figures.append((caption, effect_points(rows)))
    return figures


def _with_doses(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """The table with the dose as part of the perturbation's name, where there are doses."""
    if table is None or not {"perturbation", "dose"} <= set(table):
        return table
    doses = [f" at {dose:g}" if dose == dose else "" for dose in table["dose"].astype(float)]
    return table.assign(perturbation=table["perturbation"].astype(str) + pd.Series(doses, table.index, dtype=object))


def _ranked(table: pd.DataFrame | None, model: str, split: str, effects: pd.DataFrame) -> pd.Series:
    """Pearson of each condition with effects, best first: as it was scored, else from the effects themselves."""
    codes = effects.groupby(CONDITION, sort=False).ngroup().to_numpy()
    there = pd.MultiIndex.from_frame(effects[CONDITION].drop_duplicates())
    known = pd.Series(grouped("pearson", effects["measured"], effects["predicted"], codes), there)
    if table is not None and MAIN in table:
        rows = table[(table["model"] == model) & (table["split"] == split)]
        scored = rows.groupby(CONDITION)[MAIN].mean().reindex(there)
        known = scored if scored.notna().any() else known
    return known.dropna().sort_values(ascending=False, kind="stable")


def _condition_table(run: Run, table: pd.DataFrame, judged: Judged) -> Table | None:
    """Every condition of the model, its Pearson beside that of the best floor of the split."""
    metrics = [name for name in (MAIN, *BESIDE) if name in table and table[name].notna().any()]
    if not {*CONDITION, "split", "model"} <= set(table) or not metrics:
        return None
    sizes = {"n_cells": ("n_cells", "max")} if "n_cells" in table else {}
    mean = table.groupby(["model", "split", *CONDITION], sort=False).agg(
        **{name: (name, "mean") for name in metrics}, **sizes
    )  # fmt: skip
    if judged.model not in mean.index.get_level_values("model"):
        return None
    shown = mean.loc[judged.model].reset_index()
    floors = {split: _best_floor(run, table, judged, split) for split in shown["split"].unique()}
    first, others = metrics[0], metrics[1:]
    keys = pd.MultiIndex.from_arrays([shown["split"].map(floors), *(shown[name] for name in ("split", *CONDITION))])
    has_floor = any(floor is not None for floor in floors.values())
    shown["floor"] = mean[first].reindex(keys).to_numpy() if has_floor else np.nan
    shown = shown.sort_values(first, ascending=is_lower_better(first), na_position="last", kind="stable")
    total, several = len(shown), len(floors) > 1
    shown = pd.concat([shown.head(N_ROWS // 2), shown.tail(N_ROWS // 2)]) if total > N_ROWS else shown
    rows = [_condition_row(row, first, others, several, has_floor) for row in shown.to_dict("records")]
    head = [*(["split"] if several else []), "perturbation", "context", *(["cells"] if sizes else [])]
    head += [metric_name(first), *(["best floor"] if has_floor else []), *(metric_name(name) for name in others)]
    named = ", ".join(dict.fromkeys(floor for floor in floors.values() if floor is not None))
    caption = f"{judged.model}{f' beside the best floor, {named}' if named else ''}; means over folds and seeds."
    if total > N_ROWS:
        caption += f" The best and the worst {N_ROWS // 2} of {count(total)}; conditions.csv has all."
    return Table(head, rows, caption, is_searchable=True, choose=("split",) if several else ())


def _condition_row(row: dict[str, Any], first: str, others: list[str], several: bool, floor: bool) -> list[Cell | str]:
    cells = [Cell(count(row["n_cells"]), sort=row["n_cells"])] if "n_cells" in row else []
    gain = (row[first] - row["floor"]) * (-1 if is_lower_better(first) else 1)
    return [
        *([split_name(row["split"])] if several else []),
        str(row["perturbation"]),
        str(row["context"]),
        *cells,
        Cell(score(row[first]), sort=row[first], kind="best" if gain > 0 else ""),
        *([Cell(score(row["floor"]), sort=row["floor"], kind="best" if gain < 0 else "")] if floor else []),
        *(Cell(score(row[name]), sort=row[name]) for name in others),
    ]


def _best_floor(run: Run, table: pd.DataFrame, judged: Judged, split: str) -> str | None:
    """The best floor of a split: as the table of skills says, else the one with the best mean Pearson."""
    skills = skill_rows(run)
    if skills is not None:
        is_row = (skills["model"] == judged.model) & (skills["split"] == split) & (skills["metric"] == MAIN)
        named = skills.loc[is_row & skills["best"], "floor"]
        if len(named):
            return str(named.iloc[0])
    scores = Scores.of_run(run)
    best = scores.best(split, floor=True) if scores and split in scores.splits else None
    if best is not None and best != judged.model:
        return best
    others = judged.floors - {judged.model}
    rows = table[(table["split"] == split) & table["model"].isin(others)]
    means = rows.groupby("model")[MAIN].mean().dropna() if MAIN in rows else pd.Series(dtype=float)
    return str(means.idxmax()) if len(means) else None
