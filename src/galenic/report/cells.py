"""Sections on cells told sensitive or resistant: the calls, how far to trust them, and what could be checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from galenic.data.numbers import as_numbers
from galenic.plots.figures.cells import group_map, probability_histogram, probability_map
from galenic.plots.palette import OTHER, RESISTANT, SENSITIVE
from galenic.report.blocks import Block, Cell, Facts, Figures, Section, Table, Text
from galenic.report.cells_direction import RARE, abstained, direction, off_threshold, share
from galenic.report.run import Run
from galenic.report.words import NOTHING, count, number

BLANK = Cell(NOTHING, sort=float("nan"))
"""Where a table has no number."""
KEPT = {
    "explained": "share of the variance that is rebuilt",
    "n_active": "latents that vary",
    "agreement": "mean cosine to the teacher's latents",
}
"""What is known of an encoder."""
COUNTS = ("n", "answered", "rank")
ENDS = {"probability": ("low", "high"), "share_sensitive": ("share_low", "share_high")}
"""Numbers of a summary, and the columns that hold their intervals."""
NAMES = {"n": "cells", "probability": "mean P", "share_sensitive": "called sensitive"}
CELL_GLOSSARY = {
    "P(sensitive)": "Probability that a cell is sensitive, from what labelled bulk lines taught. Where cells are of "
    "two kinds, it is the chance to be of the higher one; else it is calibrated on lines that the model did not learn "
    "from. Either way it counts in the chance that the direction is wrong, and it was not calibrated on cells.",
    "Abstained": "A cell that the model does not call: its probability says too little, the direction is not sure, or "
    "lines left out are told no better than by chance.",
    "Direction": "Cells often fall into two kinds, and the hard question is which of them is the sensitive one. Random "
    "halves of the lines each answer it; from how far they agree (r, a correlation over cells) follows the chance that "
    "all lines are right, (3 + r) / 4. A gene that means something else in these cells is not seen by it.",
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


def is_of_encoder(run: Run) -> bool:
    """Whether a run trained an encoder of cells."""
    return str(run.record["fields"].get("model", "")).startswith("ScATDEncoder")


def is_of_cells(run: Run) -> bool:
    """Whether a run predicted or explained single cells, or trained an encoder of them."""
    tables = ("cells", "explained", "drug_ranking")
    return is_of_encoder(run) or any((run.folder / f"{name}.csv").is_file() for name in tables)


def cells_of(run: Run) -> pd.DataFrame | None:
    """Predictions of cells as numbers: ``probability`` (NaN = none), ``abstain``, ``truth`` (NaN where not known)."""
    table = run.table("cells")
    if table is None or table.empty:
        return None
    table = table.assign(abstain=table["abstain"].astype(str).str.lower().isin(["true", "1", "1.0"]))
    truth = table["truth"] if "truth" in table else pd.Series(np.nan, table.index)
    return table.assign(truth=as_numbers(truth))


def threshold_of(cells: pd.DataFrame, otherwise: float = 0.5) -> float:
    """Probability from which on cells were called sensitive, as their calls show; ``otherwise`` where that may be it.

    >>> cells = pd.DataFrame({"probability": [0.1, 0.3, 0.7], "label": ["0", "0", "1"]})
    >>> threshold_of(cells), threshold_of(cells, 0.1)
    (0.5, 0.5)
    """
    if "label" not in cells:
        return otherwise
    label = as_numbers(cells["label"])
    low, high = (cells.loc[label == one, "probability"] for one in (0, 1))
    if low.notna().any() and high.notna().any() and low.max() < high.min() and not low.max() < otherwise <= high.min():
        return float((low.max() + high.min()) / 2)
    return otherwise


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
        return _encoder(run)
    named = run.record["fields"].get("drugs") or [run.record["data"].get("drug") or "the drug"]
    drug = str(named[0])
    threshold = threshold_of(cells)
    said = (direction(run), abstained(cells), off_threshold(cells, threshold))
    blocks: list[Block] = [one for one in said if one is not None]
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
    kept = ["rank", "drug", "probability", "low", "high", "share_sensitive", "share_low", "share_high", "abstained",
            "why"]  # fmt: skip
    table = table.assign(why=table["why"].fillna("")) if "why" in table else table
    found = _groups(table[[name for name in kept if name in table]])
    shown = replace(found, is_searchable=True, hints={"abstained": "share of the cells"})
    how = (
        "Each drug has a model of its own, calibrated on its own lines: take the rank as what to test first, not as a "
        "comparison of doses. Where cells fall into two kinds, mean P is hardly more than the share of the higher "
        "kind, whether or not the drug works on it; such ranks say little beside those of drugs with one kind. Drugs "
        "for which every cell was abstained from have no rank."
    )
    return Section("drug-ranking", "Drugs ranked over all cells", how, [shown, *_summaries(run)])


def maps(run: Run) -> Section | None:
    """Cells where they lie, coloured by probability, abstention, truth and groups."""
    cells = cells_of(run)
    if cells is None or not {"x", "y"} <= set(cells) or cells[["x", "y"]].isna().to_numpy().all():
        return None
    figures = [("Probability that a cell is sensitive; rings are abstained cells.", probability_map(cells))]
    low, high = RARE
    if cells["abstain"].all():
        pass  # the first figure says it
    elif not low <= threshold_of(cells) <= high and "label" in cells:
        calls = as_numbers(cells["label"]).map({1.0: "sensitive", 0.0: "resistant"})
        kinds = calls.where(~cells["abstain"], "abstained").fillna("abstained")
        shown = {"resistant": RESISTANT, "sensitive": SENSITIVE, "abstained": OTHER[2]}
        shown = {kind: colour for kind, colour in shown.items() if (kinds == kind).any()}
        figures.append(("What the cells were called.", group_map(cells, list(kinds), shown)))
    elif cells["abstain"].any():
        named = np.where(cells["abstain"], "abstained", "called")
        colours = {"called": OTHER[0], "abstained": OTHER[4]}
        figures.append(("Cells that were called, and those that were not.", group_map(cells, list(named), colours)))
    if cells["truth"].notna().any():
        kinds = cells["truth"].map({1.0: "sensitive", 0.0: "resistant"}).fillna("not known")
        colours = {"resistant": RESISTANT, "sensitive": SENSITIVE, "not known": OTHER[2]}
        colours = {kind: colour for kind, colour in colours.items() if (kinds == kind).any()}
        said = "What the cells are, as far as it is known; the model did not see it."
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


def _encoder(run: Run) -> Section | None:
    """What an encoder of cells keeps of them; ``None`` for other runs."""
    fields = run.record["fields"]
    if not is_of_encoder(run):
        return None
    known = [(words, fields[key]) for key, words in KEPT.items() if isinstance(fields.get(key), (int, float))]
    tiles = [(words, count(value) if isinstance(value, int) else number(value, 2)) for words, value in known]
    if not tiles:
        return None
    blocks: list[Block] = [Facts(tiles)]
    if fields.get("explained", 1.0) <= 0 and not fields.get("teacher"):
        blocks.append(
            Text("Cells are rebuilt no better than by the mean of all: train on more cells, or longer.", "bad")
        )
    how = (
        "An encoder learned from unlabelled cells; it knows no drug. Give the run to 'galenic fit scatd transfer "
        "--encoder'. Whether its latents help there is judged on lines left out: often they do not."
    )
    return Section("encoder", "What the encoder keeps", how, blocks)


def _tiles(cells: pd.DataFrame, threshold: float) -> list[tuple[str, str]]:
    called = cells[~cells["abstain"] & cells["probability"].notna()]
    is_sensitive = called["probability"] >= threshold
    tiles = [("cells", count(len(cells))), ("called sensitive", share(int(is_sensitive.sum()), len(cells)))]
    tiles.append(("called resistant", share(int((~is_sensitive).sum()), len(cells))))
    tiles.append(("abstained", share(int(cells["abstain"].sum()), len(cells))))
    return [*tiles, ("threshold", number(threshold, 2))]


def _summaries(run: Run) -> list[Block]:
    """Groups of cells, one table for each column that was asked for."""
    blocks: list[Block] = []
    for path in sorted(run.folder.glob("summary_*.csv")):
        found = _groups(pd.read_csv(path, dtype={0: str}, float_precision="round_trip"))
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
