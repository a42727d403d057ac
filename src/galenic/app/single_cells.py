"""What the page of single cells computes: P(sensitive) of each cell, groups with intervals, files to keep."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from anndata import AnnData

from galenic.data.diagnose_cells import coverage_of_cells
from galenic.data.read.files import kind_of_file
from galenic.data.read.single_cells import bulk_as_cells, single_cells
from galenic.evaluate.cell_summary import rank_drugs, summarise_cells
from galenic.models.cells.answers import answers_by_drug, columns_of, places_of, prediction_table, with_columns
from galenic.report.words import count, number

MOST_GROUPS = 40
"""Values of a column by which cells are still summed up."""
FEWEST = 2
HEADINGS = {
    "n": "cells", "abstained": "left open, %", "probability": "mean P", "low": "P, low", "high": "P, high",
    "share_sensitive": "sensitive, %", "share_low": "%, low", "share_high": "%, high",
}  # fmt: skip
"""Of summaries."""


@dataclass(frozen=True)
class CellAnswers:
    """What models say of one set of cells.

    Attributes
    ----------
    cells
        As they were read.
    answers
        By drug, a row a cell.
    places
        ``x, y`` of each cell.
    coverage
        Cells with counts, features of the model that were found.
    """

    cells: AnnData
    answers: dict[str, pd.DataFrame]
    places: pd.DataFrame
    coverage: pd.DataFrame

    @property
    def are_patients(self) -> bool:
        """Whether they are samples of bulk expression."""
        return bool(self.cells.uns.get("galenic_bulk", False))


def predict(models: Mapping[str, Any], path: Path, statistics: Literal["stored", "own"] | None = None) -> CellAnswers:
    """P(sensitive) of every cell for every drug.

    Parameters
    ----------
    models
        By drug.
    path
        h5ad of cells, or a table of bulk expression (then each sample is judged by itself).
    statistics
        By whose means and standard deviations genes are aligned; as fitted where ``None``.

    Raises
    ------
    ValueError
        If the cells cannot be read, or hold too little of what the models read.
    """
    first = next(iter(models.values()))
    if kind_of_file(path) == "h5ad":
        cells, alone = single_cells(path, use_rep=first.use_rep), False
    else:
        cells, alone = bulk_as_cells(path, natural=first.spec_["kind"] in ("counts", "linear")), True
        cells.uns["galenic_bulk"] = True
        statistics = statistics or "own"
    answers = answers_by_drug(models, cells, statistics=statistics, alone=alone)
    places = pd.DataFrame(places_of(cells, first.use_rep), columns=["x", "y"], index=cells.obs_names)
    coverage = pd.DataFrame(columns=["step", "kept", "dropped", "why", "examples"])
    if cells.X is not None:
        coverage = coverage_of_cells(cells, first.spec_["features"], rep=first.use_rep)
    return CellAnswers(cells, answers, places, coverage)


def of_drug(found: CellAnswers, drug: str) -> pd.DataFrame:
    """``cell, probability, abstain, x, y`` and the other columns of a prediction, a row a cell."""
    table = prediction_table(found.answers[drug], found.cells)
    return table.assign(x=found.places["x"].to_numpy(), y=found.places["y"].to_numpy())


def answer(table: pd.DataFrame, drug: str, what: str = "cells") -> str:
    """What is predicted of all cells, in a sentence or two.

    Examples
    --------
    >>> table = pd.DataFrame({"probability": [0.9, 0.2], "label": [1, 0], "abstain": [False, False]})
    >>> answer(table, "erlotinib")
    'Of 2 cells 50 % are called sensitive to erlotinib (95 % interval 9 to 91 %), mean P 0.55; none was left open.'
    """
    row: dict[Any, Any] = summarise_cells(table).iloc[0].to_dict()
    n_open = int(row["n"] - row["answered"])
    if not row["answered"]:
        return f"The model calls none of {count(row['n'])} {what} for {drug}: it abstained from all of them."
    left = "none was" if n_open == 0 else f"{count(n_open)} {'was' if n_open == 1 else 'were'}"
    low, high = f"{row['share_low']:.0%}".rstrip("%"), f"{row['share_high']:.0%}".replace("%", " %")
    return (
        f"Of {count(row['n'])} {what} {row['share_sensitive']:.0%} are called sensitive to {drug} (95 % interval "
        f"{low} to {high}), mean P {number(row['probability'], 2)}; {left} left open."
    ).replace(f"{row['share_sensitive']:.0%} are", f"{row['share_sensitive']:.0%} are".replace("%", " %"))


def why(table: pd.DataFrame) -> tuple[str, bool]:
    """What the model says of its direction (empty where it says nothing), and whether it is sure of it."""
    known = table.attrs.get("direction", {})
    confidence, needed = known.get("confidence"), known.get("needed", 0.9)
    return str(known.get("why") or ""), confidence is not None and confidence >= needed


def groupings(found: CellAnswers) -> list[str]:
    """Columns of the cells that can sum them up: few values, more than one; clusters and samples first."""
    obs = found.cells.obs
    fit = [str(name) for name in obs if FEWEST <= obs[name].nunique(dropna=True) <= MOST_GROUPS
           and obs[name].dtype.kind != "f"]  # fmt: skip
    first = [name for name in fit if any(part in name.casefold() for part in ("cluster", "leiden", "louvain"))]
    return [*first, *(name for name in fit if name not in first)]


def summary(table: pd.DataFrame, found: CellAnswers, column: str) -> pd.DataFrame:
    """Groups with their mean P and its interval, the most sensitive first."""
    groups = summarise_cells(table.assign(**{column: found.cells.obs[column].astype(str).to_numpy()}), column)
    return groups.sort_values("probability", ascending=False, na_position="last", ignore_index=True)


def in_words(groups: pd.DataFrame) -> pd.DataFrame:
    """Groups or ranked drugs with headings that can be read; shares in percent."""
    shares = ["abstained", "share_sensitive", "share_low", "share_high"]
    shown = groups.assign(**{name: 100 * groups[name] for name in shares})
    return shown.rename(columns=HEADINGS)


def ranking(found: CellAnswers) -> pd.DataFrame:
    """Drugs by the share of cells that each is predicted to hit."""
    return rank_drugs(found.answers)


def as_csv(found: CellAnswers) -> bytes:
    """The table that ``galenic predict`` writes."""
    return prediction_table(columns_of(found.answers), found.cells).to_csv(index=False).encode()


def as_h5ad(found: CellAnswers) -> bytes:
    """The cells with predictions in ``obs``, as ``galenic predict`` writes them."""
    with tempfile.TemporaryDirectory(prefix="galenic-app-") as folder:
        place = Path(folder, "cells.h5ad")
        with_columns(found.cells, columns_of(found.answers)).write_h5ad(place)
        return place.read_bytes()
