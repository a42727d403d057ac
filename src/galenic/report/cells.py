"""Sections on cells told sensitive or resistant: the calls, how far to trust them, and what could be checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from galenic.report.blocks import Block, Cell, Facts, Figures, Section, Table, Text
from galenic.report.cells_figures import RESISTANT, SENSITIVE, group_map, probability_histogram, probability_map
from galenic.report.figures import OTHER
from galenic.report.run import Run
from galenic.report.words import NOTHING, count, number

CONFIDENT = 0.95
"""Confidence of the direction from which it is taken as known."""
BLANK = Cell(NOTHING, sort=float("nan"))
"""Where a table has no number."""
COUNTS = ("n", "answered", "rank")
ENDS = {"probability": ("low", "high"), "share_sensitive": ("share_low", "share_high")}
"""Numbers of a summary, and the columns that hold their intervals."""
NAMES = {"n": "cells", "probability": "mean P", "share_sensitive": "called sensitive"}
CELL_GLOSSARY = {
    "P(sensitive)": "Probability that a cell is sensitive, from what labelled bulk lines taught. It is calibrated on "
    "lines that the model did not learn from, not on cells.",
    "Abstained": "A cell that the model does not call: its probability says too little, or the direction is not sure.",
    "Direction": "Cells often fall into two kinds, and the hard question is which of them is the sensitive one. Its "
    "confidence is how well halves of the lines agree on that.",
    "Floor": "A simple model on the same lines and cells: a linear model, a centroid, a signature. A model that does "
    "not beat its best floor has shown no skill.",
    "Ceiling": "What a model scores that learned from labels of most of these cells. No transfer should be expected to "
    "reach it.",
    "AUROC": "Chance that a sensitive cell (or line) ranks above a resistant one; 0.5 is a coin, below 0.5 the "
    "direction is wrong.",
    "MCC": "Matthews correlation of calls and labels, −1 to 1; 0 is chance.",
    "Brier, calibration error": "Mean squared difference of probability and label; mean gap between probability and "
    "share of sensitive ones. Less is better.",
    "Platform alone": "What knowing only the platform (study) of a line would score. Where it is high, a score over "
    "all lines says little; the one within platforms counts.",
    "Shift": "How far cells lie from the lines, before and after alignment.",
    "Contribution": "What a gene adds to a cell's logit against the background; contributions of a cell sum to the "
    "difference. Above 0 = towards sensitive.",
    "Importance": "Mean absolute contribution over cells.",
    "Stability": "Share of refits on random halves of the lines that list the gene among the first, with its sign.",
    "q-value": "Expected share of false finds (Benjamini-Hochberg), against shuffled labels.",
    "Interval": "Range that holds 95 % of resamples of the cells (or lines). By cell, it holds for other cells of the "
    "same samples, not for other samples.",
}


def is_of_cells(run: Run) -> bool:
    """Whether a run predicted or explained single cells."""
    return any((run.folder / f"{name}.csv").is_file() for name in ("cells", "explained", "drug_ranking"))


def cells_of(run: Run) -> pd.DataFrame | None:
    """Predictions of cells as numbers: ``probability`` (NaN = none), ``abstain``, ``truth`` (NaN where not known)."""
    table = run.table("cells")
    if table is None or table.empty:
        return None
    table = table.assign(abstain=table["abstain"].astype(str).str.lower().isin(["true", "1", "1.0"]))
    truth = table["truth"] if "truth" in table else pd.Series(np.nan, table.index)
    return table.assign(truth=pd.to_numeric(truth, errors="coerce"))


def threshold_of(cells: pd.DataFrame, otherwise: float = 0.5) -> float:
    """Probability from which on cells were called sensitive, as their calls show; ``otherwise`` where that may be it.

    >>> cells = pd.DataFrame({"probability": [0.1, 0.3, 0.7], "label": ["0", "0", "1"]})
    >>> threshold_of(cells), threshold_of(cells, 0.1)
    (0.5, 0.5)
    """
    if "label" not in cells:
        return otherwise
    label = pd.to_numeric(cells["label"], errors="coerce")
    low, high = (cells.loc[label == one, "probability"] for one in (0, 1))
    if low.notna().any() and high.notna().any() and low.max() < high.min() and not low.max() < otherwise <= high.min():
        return float((low.max() + high.min()) / 2)
    return otherwise


def direction_of(run: Run) -> dict[str, Any]:
    """What the model said of the direction; empty where it says nothing."""
    told = run.record["fields"].get("direction")
    return told if isinstance(told, dict) else {}


def chance(value: float) -> str:
    """A probability; what is nearly sure is not written as sure.

    >>> chance(0.5), chance(1e-6), chance(0.999)
    ('0.50', 'below 0.01', 'above 0.99')
    """
    return "below 0.01" if value < 0.01 else "above 0.99" if value > 0.99 else number(value, 2)


def short(value: object) -> str:
    """A score in three decimals; what rounds to 0 is 0.

    >>> short(2e-6), short(0.1234)
    ('0.000', '0.123')
    """
    return number(0.0 if isinstance(value, (int, float)) and abs(value) < 5e-4 else value)


def span(low: object, high: object) -> str:
    """An interval of such scores; empty where it is not known.

    >>> span(2e-6, 0.5), span(float("nan"), 1.0)
    ('[0.000, 0.500]', '')
    """
    ends = [short(low), short(high)]
    return "" if NOTHING in ends else f"[{', '.join(ends)}]"


def calls(run: Run) -> Section | None:
    """How many cells are called what, how sure the direction is, and groups of cells."""
    cells = cells_of(run)
    if cells is None:
        return None
    named = run.record["fields"].get("drugs") or [run.record["data"].get("drug") or "the drug"]
    drug = str(named[0])
    blocks: list[Block] = [said for said in (_direction(run), _abstained(cells)) if said is not None]
    threshold = threshold_of(cells)
    blocks.append(Facts(_tiles(cells, threshold)))
    figures = [("How many cells have which probability.", probability_histogram(cells, threshold))]
    blocks.append(Figures(figures))
    blocks += _summaries(run)
    how = (
        f"Probabilities that cells are sensitive to {drug}, carried over from bulk lines. Nobody measured these cells: "
        "read ranks before probabilities, and probabilities before calls."
    )
    return Section("calls", "Cells called sensitive", how, blocks)


def drug_ranking(run: Run) -> Section | None:
    """Drugs by what they are predicted to do to all cells."""
    table = run.table("drug_ranking")
    if table is None or table.empty:
        return None
    kept = ["rank", "drug", "probability", "low", "high", "share_sensitive", "share_low", "share_high", "abstained"]
    found = _groups(table[[name for name in kept if name in table]])
    shown = replace(found, is_searchable=True, hints={"abstained": "share of the cells"})
    how = (
        "Each drug has a model of its own, calibrated on its own lines: take the rank as what to test first, not as a "
        "comparison of doses. Drugs for which every cell was abstained from have no rank."
    )
    return Section("drug-ranking", "Drugs ranked over all cells", how, [shown, *_summaries(run)])


def maps(run: Run) -> Section | None:
    """Cells where they lie, coloured by probability, abstention, truth and groups."""
    cells = cells_of(run)
    if cells is None or not {"x", "y"} <= set(cells) or cells[["x", "y"]].isna().to_numpy().all():
        return None
    figures = [("Probability that a cell is sensitive; rings are abstained cells.", probability_map(cells))]
    if cells["abstain"].any():
        named = np.where(cells["abstain"], "abstained", "called")
        colours = {"called": OTHER[0], "abstained": OTHER[4]}
        figures.append(("Cells that were called, and those that were not.", group_map(cells, list(named), colours)))
    if cells["truth"].notna().any():
        kinds = cells["truth"].map({1.0: "sensitive", 0.0: "resistant"}).fillna("not known")
        colours = {"resistant": RESISTANT, "sensitive": SENSITIVE, "not known": OTHER[2]}
        colours = {kind: colour for kind, colour in colours.items() if (kinds == kind).any()}
        said = "What the cells are; the model did not see it."
        figures.append((said, group_map(cells, list(kinds), colours)))
    for name in ("cluster", "sample"):
        if name in cells and 1 < cells[name].nunique() <= len(OTHER):
            groups = sorted(cells[name].astype(str).unique())
            colours = dict(zip(groups, OTHER, strict=False))
            figures.append((f"The same cells by {name}.", group_map(cells, list(cells[name].astype(str)), colours)))
    how = (
        "Neighbours in the figure are cells of like expression. Distances between groups mean little; look for calls "
        "that follow a sample rather than a state."
    )
    return Section("maps", "Map of the cells", how, [Figures(figures)])


def _tiles(cells: pd.DataFrame, threshold: float) -> list[tuple[str, str]]:
    called = cells[~cells["abstain"] & cells["probability"].notna()]
    is_sensitive = called["probability"] >= threshold
    tiles = [("cells", count(len(cells))), ("called sensitive", _share(int(is_sensitive.sum()), len(cells)))]
    tiles.append(("called resistant", _share(int((~is_sensitive).sum()), len(cells))))
    tiles.append(("abstained", _share(int(cells["abstain"].sum()), len(cells))))
    return [*tiles, ("threshold", number(threshold, 2))]


def _direction(run: Run) -> Text | None:
    """How sure it is which of two kinds of cells is the sensitive one, in words."""
    told = direction_of(run)
    value, needed = told.get("confidence"), told.get("needed") or CONFIDENT
    if not isinstance(value, (int, float)):
        return None
    said = f"Which cells are the sensitive ones is known with a confidence of {chance(float(value))}"
    if value >= needed:
        said += ": halves of the lines agree on the direction. A gene that means something else in these cells than in "
        said += "lines would not show here."
        if told.get("two_kinds") is False:
            said += " The cells are of one kind, or of kinds that overlap: expect few that stand out."
        return Text(said, "good")
    said += f", less than {needed:g}: halves of the lines disagree on it. The model may well have found two kinds of "
    return Text(f"{said}cells and named them the wrong way round. A few labelled cells settle it.", "bad")


def _abstained(cells: pd.DataFrame) -> Text | None:
    n, n_cells = int(cells["abstain"].sum()), len(cells)
    if not n:
        return None
    said = f"{_share(n, n_cells)} of {count(n_cells)} cells were not called"
    if "reason" in cells:
        reasons = cells.loc[cells["abstain"], "reason"].dropna().value_counts()
        said += (
            ": " + ", ".join(f"{reason} {count(times)}" for reason, times in reasons.items()) if len(reasons) else ""
        )
    if n > n_cells / 2:
        said += ". More than half: take what follows as a ranking at most"
    return Text(f"{said}.", "note")


def _summaries(run: Run) -> list[Block]:
    """Groups of cells, one table for each column that was asked for."""
    blocks: list[Block] = []
    for path in sorted(run.folder.glob("summary_*.csv")):
        found = _groups(pd.read_csv(path, dtype={0: str}))
        blocks.append(Text(f"By {path.stem.removeprefix('summary_')}", "heading"))
        blocks.append(replace(found, choose=("drug",)) if "drug" in found.head else found)
    return blocks


def _groups(table: pd.DataFrame) -> Table:
    """A summary by group, with intervals under the numbers they belong to."""
    ends = {name: pair for name, pair in ENDS.items() if {name, *pair} <= set(table)}
    bounds = {end for pair in ends.values() for end in pair}
    columns = [name for name in table if name not in bounds]
    rows: list[list[Cell | str]] = [
        [_value(row, name, ends.get(name)) for name in columns] for row in table.to_dict("records")
    ]
    caption = "Of the cells that were answered; 95 % intervals below the numbers, for other cells of the same groups."
    return Table([NAMES.get(name, str(name).replace("_", " ")) for name in columns], rows, caption)


def _value(row: dict[Any, Any], name: str, ends: tuple[str, str] | None) -> Cell | str:
    value = row[name]
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return NOTHING if value is None else str(value)
    write: Callable[[object], str] = count if name in COUNTS else short
    note = "" if ends is None else span(row[ends[0]], row[ends[1]])
    return Cell(write(value), note, value)


def _share(n: int, total: int) -> str:
    return f"{count(n)} ({100 * n / max(total, 1):.0f} %)"
