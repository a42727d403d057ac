"""Sections on why cells are called sensitive: genes, how far to trust them, and single cells."""

from __future__ import annotations

import pandas as pd

from galenic.plots.figures.cell_genes import curve_pair, importance_bars, importance_by_rank, importance_spread
from galenic.report.blocks import Block, Cell, Figures, Section, Table, Text
from galenic.report.cells_direction import direction_of
from galenic.report.run import Run
from galenic.report.words import count, number, p_value

N_BARS, N_ROWS, N_SETS = 30, 300, 100
LEVEL = 0.05
LARGE_GAP = 0.05
"""Gap, as a share of the usual contribution, above which it is told."""
AMONG = {
    "members": "members (folds of the lines)",
    "seeds": "draws of the background",
    "cells": "resamples of the cells",
    "lines": "random halves of the lines, start alone",
    "backgrounds": "backgrounds (mean, zero, random, mixed)",
}
SCORES = {"kept": "share of the calls that is left", "auroc": "AUROC"}


def genes(run: Run) -> Section | None:
    """Genes by importance, with stability and q-value."""
    table = biomarkers_of(run)
    if table is None:
        return None
    blocks: list[Block] = [*_settings(run), *_trusted(table)]
    blocks.append(Figures([(f"The first {min(N_BARS, len(table))}.", importance_bars(table.head(N_BARS)))]))
    spread = [
        ("How importance is spread over all genes.", importance_spread(table)),
        ("Importance by rank, both logarithmic: without a bend no small set of genes stands out.",
         importance_by_rank(table)),
    ]  # fmt: skip
    blocks += [Figures(spread), _gene_table(table), *_agreement(run)]
    how = (
        "What the model reads, not what makes cells sensitive: genes that go with a driver share its weight, and a "
        "gene that was learned on lines may mean nothing in these cells. Trust genes that are stable and have a low "
        "q-value."
    )
    return Section("cell-genes", "Why cells are called sensitive", how, blocks)


def faithful(run: Run) -> Section | None:
    """Deletion and insertion curves: whether the genes said to matter do."""
    curves, areas = run.table("curves"), run.table("curve_areas")
    if curves is None or curves.empty:
        return None
    figures = []
    for (score, kind), rows in curves.groupby(["score", "kind"], sort=False):
        done = "taken away" if kind == "deletion" else "put back"
        figures.append((f"{str(kind).capitalize()}: features {done}, {SCORES.get(str(score), str(score))}.",
                        curve_pair(rows, str(kind), SCORES.get(str(score), str(score)))))  # fmt: skip
    blocks: list[Block] = [Figures(figures)]
    if areas is not None and len(areas):
        blocks = [*_curves_said(areas), *blocks, _area_table(areas)]
    how = (
        "If these genes carry the calls, the score falls sooner without them than without random ones, and returns "
        "sooner with them. That shows that the ranking is true to the model; only the AUROC, where the truth is known, "
        "says something of the cells."
    )
    return Section("curves", "Do these genes carry the calls?", how, blocks)


def sets(run: Run) -> Section | None:
    """Gene sets that stand out among the most important genes."""
    table = run.table("gene_sets")
    if table is None or table.empty:
        return None
    found = table[(table["q_value"] <= LEVEL) | (table.get("q_ulm", table["q_value"]) <= LEVEL)]
    said = f"{count(len(found))} of {count(len(table))} gene sets have q ≤ {LEVEL} by either test."
    blocks: list[Block] = [Text(said, "note"), _set_table(found if len(found) else table.head(20))]
    how = (
        "Genes that go together make gene sets stand out together, and any set of much expressed genes more easily "
        "than others. No correction is made for that."
    )
    return Section("gene-sets", "Gene sets", how, blocks)


def biomarkers_of(run: Run) -> pd.DataFrame | None:
    """Genes of an explanation by rank; ``None`` where the run has none."""
    table = run.table("biomarkers")
    if table is None or table.empty or not {"toward", "importance"} <= set(table):
        return None
    return table.sort_values("rank")


def _settings(run: Run) -> list[Text]:
    """How it was attributed, and whether contributions add up."""
    told, blocks = run.record["fields"], []
    why = direction_of(run).get("why")
    blocks += [Text(str(why), "note")] if why else []
    if "method" in told:
        name = {"ig": "Integrated gradients", "eg": "Expected gradients (GradientSHAP)"}.get(
            told["method"], told["method"]
        )
        said = f"{name} of the logit before smoothing over neighbours, against the {told.get('background')} background."
        blocks.append(Text(said))
    cells = run.table("explained")
    if cells is not None and len(cells):
        way = (cells["prediction"] - cells["baseline"]).abs().median()
        gap = float(cells["gap"].abs().max() / way) if way else 0.0
        said = f"What contributions leave of the difference: at most {number(100 * gap, 2)} % of the usual one"
        blocks.append(
            Text(f"{said}.") if gap <= LARGE_GAP else Text(f"{said}: ask for more steps or draws.", "warning")
        )
    return blocks


def _trusted(table: pd.DataFrame) -> list[Text]:
    """How many genes stand out from what shuffled labels give."""
    if "q_value" not in table or table["q_value"].isna().all():
        said = "Genes have no q-value here: no lines were given to refit, or the model has no linear start."
        return [Text(said, "note")]
    found = table[table["q_value"] <= LEVEL]
    if found.empty:
        said = "No gene stands out from what shuffled labels give (q ≤ 0.05). That is usual where many genes share one "
        return [Text(f"{said}signal; the ranking may still be right, but no single gene is proven.", "bad")]
    top = ", ".join(found["gene"].head(5))
    said = (
        f"{count(len(found))} of {count(len(table))} genes stand out from what shuffled labels give (q ≤ 0.05): {top}"
    )
    return [
        Text(f"{said}{', …' if len(found) > 5 else ''}. It is the start that was tested, not the networks.", "good")
    ]


def _gene_table(table: pd.DataFrame) -> Table:
    largest = table["importance"].max() or 1.0
    titles = {"stability": "stability", "p_value": "p-value", "q_value": "q-value"}
    columns = [name for name in titles if name in table and table[name].notna().any()]
    has_range = "rank_low" in table and table["rank_low"].notna().any()
    rows: list[list[Cell | str]] = []
    for row in table.head(N_ROWS).to_dict("records"):
        sign = {"sensitive": -1, "resistant": 1}.get(row["toward"], 0)
        note = f"{count(row['rank_low'])} to {count(row['rank_high'])}" if has_range else ""
        cells: list[Cell | str] = [Cell(count(row["rank"]), note, row["rank"]), str(row["gene"])]
        # The style of bars: left is towards sensitive, in blue.
        cells.append(Cell(number(row["importance"], 4), sort=row["importance"], bar=sign * row["importance"] / largest))
        cells.append(str(row["toward"]))
        write = {"stability": lambda value: number(value, 2), "p_value": p_value, "q_value": p_value}
        for name in columns:
            kind = "best" if name == "q_value" and row[name] <= LEVEL else ""
            cells.append(Cell(write[name](row[name]), sort=row[name], kind=kind))
        rows.append(cells)
    head = ["rank", "gene", "importance", "more of it", *(titles[name] for name in columns)]
    hints = {
        "rank": "and its 95 % range over resamples of the cells",
        "importance": "mean absolute contribution to the logit; bar to the left: more of it, more sensitive",
        "stability": "share of refits on random halves of the lines that list it among the first, with its sign",
        "q-value": "share of false finds to be expected (Benjamini-Hochberg) against shuffled labels; of the start",
    }
    more = f" The first {count(N_ROWS)}; biomarkers.csv has all." if len(table) > N_ROWS else ""
    return Table(head, rows, f"{count(len(table))} features.{more}", is_searchable=True, hints=hints)


def _agreement(run: Run) -> list[Block]:
    table = run.table("importance_agreement")
    if table is None or table.empty:
        return []
    rows: list[list[Cell | str]] = [
        [
            AMONG.get(row["among"], row["among"]),
            Cell(count(row["n"]), sort=row["n"]),
            Cell(number(row["spearman"], 2), sort=row["spearman"]),
            Cell(number(row["overlap"], 2), f"chance {number(row['chance'], 2)}", row["overlap"]),
        ]
        for row in table.to_dict("records")
    ]
    top = count(table["top"].iloc[0])
    head = ["rankings by", "number", "Spearman", f"first {top} in common"]
    return [Text("Do rankings agree?", "heading"), Table(head, rows, "Means over pairs of rankings, all genes.")]


def _curves_said(areas: pd.DataFrame) -> list[Block]:
    """What deletion says, by each score in a sentence."""
    blocks: list[Block] = []
    for row in areas[areas["kind"] == "deletion"].to_dict("records"):
        said = (
            f"Area under the deletion curve of the {SCORES.get(row['score'], row['score'])} {number(row['area'], 2)} "
        )
        said += f"against {number(row['random'], 2)} of random orders, p {p_value(row['p_value'])}"
        whose = "the model does read these genes" if row["score"] == "kept" else "they tell the cells apart"
        beats = row["gain"] > 0 and row["p_value"] <= LEVEL
        end = whose if beats else "not clearly better than random orders"
        blocks.append(Text(f"{said}: {end}.", "good" if beats else "bad"))
    return blocks


def _area_table(areas: pd.DataFrame) -> Table:
    rows: list[list[Cell | str]] = [
        [
            str(row["kind"]),
            SCORES.get(row["score"], str(row["score"])),
            *(Cell(number(row[name], signed=name == "gain"), sort=row[name]) for name in ("area", "random", "gain")),
            Cell(p_value(row["p_value"]), sort=row["p_value"]),
        ]
        for row in areas.to_dict("records")
    ]
    n = count(areas["n_random"].max()) if "n_random" in areas else "–"
    caption = f"{n} random orders: no p-value can be smaller than one over their number and one."
    head = ["curve", "score", "area", "random orders", "gain", "p-value"]
    return Table(head, rows, caption, hints={"gain": "how much better than random orders; above 0 = better"})


def _set_table(table: pd.DataFrame) -> Table:
    has_slope = {"t", "q_ulm"} <= set(table)
    rows: list[list[Cell | str]] = []
    for row in table.head(N_SETS).to_dict("records"):
        cells: list[Cell | str] = [str(row["gene_set"])]
        cells.append(Cell(f"{count(row['n_top'])} of {count(row['n'])}", sort=row["n_top"] / row["n"]))
        cells += [Cell(p_value(row[name]), sort=row[name]) for name in ("p_value", "q_value")]
        if has_slope:
            cells += [
                Cell(number(row["t"], 1, signed=True), sort=row["t"]),
                Cell(p_value(row["q_ulm"]), sort=row["q_ulm"]),
            ]
        rows.append(cells)
    head = ["gene set", "among the top", "p", "q", *(["t, all genes", "q, all genes"] if has_slope else [])]
    hints = {
        "p": "Fisher's exact test, one-sided",
        "q": "Benjamini-Hochberg over all sets",
        "t, all genes": "slope of the signed weights on membership; above 0: genes of the set make sensitive",
    }
    return Table(head, rows, "gene_sets.csv has all.", is_searchable=True, hints=hints)
