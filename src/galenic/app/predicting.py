"""What the page of predictions computes: drugs ranked for samples, what the model found of their genes, sentences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from galenic.data.read import cells_to_predict
from galenic.models.answering import aligned, answers, usual
from galenic.models.ranking import rank
from galenic.models.shift import shift
from galenic.report.biology import same_leaders
from galenic.report.words import UNITS, count, drug_titles, number


@dataclass(frozen=True)
class Prediction:
    """Drugs ranked for every sample.

    Attributes
    ----------
    table
        ``cell, drug, prediction, rank, name`` and ``title``; ``low, high`` of models with intervals; ``usual`` and
        ``difference`` (of the prediction from it) where it is known what the drug does to an average cell.
    coverage
        What reading kept and dropped, and which of the model's features it found.
    unit
        Of the response.
    shift
        How far each sample lies from the cells that the model learned from (:func:`galenic.models.shift.shift`).
    """

    table: pd.DataFrame
    coverage: pd.DataFrame
    unit: str
    shift: pd.DataFrame

    @property
    def axis(self) -> str:
        """Response and direction, for an axis."""
        return f"predicted {UNITS.get(self.unit, self.unit)} (further left: more sensitive)"

    @property
    def has_intervals(self) -> bool:
        """Whether the model says how sure it is."""
        return {"low", "high"} <= set(self.table)


def predict(model: Any, samples: Path, *, drugs: Path | None = None, cells: Path | None = None) -> Prediction:
    """Rank drugs for every sample of a file.

    Parameters
    ----------
    model
        Fitted model of responses.
    samples
        Expression, samples x genes.
    drugs
        Table with a SMILES column; the drugs of fitting where absent.
    cells
        Table of the samples with a column of tissues.

    Raises
    ------
    ValueError
        If a file cannot be read as what it should hold.
    """
    data = cells_to_predict(samples, known=model.drugs_, drugs=drugs, cells=cells)
    outside = shift(model, data.cells)
    table = rank(answers(model, data), data.drugs)
    are_unique = data.drugs["name"].is_unique if "name" in data.drugs else True
    table["title"] = table["name"] if are_unique else drug_titles(table)
    known = usual(model)
    if len(known):
        table["usual"] = table["drug"].map(known)
        table["difference"] = table["prediction"] - table["usual"]
    return Prediction(table, aligned(model, data).coverage, data.unit, outside)


def of_sample(found: Prediction, sample: str, n: int) -> pd.DataFrame:
    """The first ``n`` drugs of a sample, for :func:`galenic.plots.figures.ranked.ranked_drugs`."""
    rows = found.table[(found.table["cell"] == sample) & (found.table["rank"] <= n)]
    return rows.sort_values("rank").assign(label=rows["title"])


def answer(found: Prediction, sample: str) -> str:
    """Which drugs come first for a sample, and for which of all it is most unlike an average cell."""
    rows = found.table[found.table["cell"] == sample].sort_values("rank")
    unit = UNITS.get(found.unit, found.unit)
    first = [f"{row.title} ({number(row.prediction, 2)})" for row in rows.head(3).itertuples()]
    said = f"{sample} is predicted to be most sensitive to {_listed(first)}, of {count(len(rows))} drugs ({unit})."
    if "difference" in rows and rows["difference"].notna().any() and rows["difference"].min() < 0:
        row = rows.loc[rows["difference"].idxmin()]
        said += (
            f" Compared with an average cell it stands out most for {row['title']} "
            f"({number(row['difference'], 2, signed=True)})."
        )
    return said


def remarks(found: Prediction) -> list[str]:
    """What to know before relying on the ranks: whether the same drugs lead everywhere."""
    same = same_leaders(found.table)
    return [same] if same else []


def genes_found(coverage: pd.DataFrame) -> tuple[int, int] | None:
    """How many of the genes that the model reads are in the file, and of how many; ``None`` where it does not say."""
    rows = coverage[coverage["step"] == "features of expression"]
    if rows.empty:
        return None
    kept, dropped = int(rows["kept"].iloc[-1]), int(rows["dropped"].iloc[-1])
    return kept, kept + dropped


def outside(found: Prediction) -> str:
    """How many samples lie far outside the cells that the model learned from; empty where that cannot be told."""
    told = found.shift[found.shift["reach"].notna()]
    if told.empty:
        return ""
    n_far = int(told["far"].sum())
    said = "none lies" if n_far == 0 else f"{count(n_far)} {'lies' if n_far == 1 else 'lie'}"
    return (
        f"Of {count(len(told))} samples {said} far outside the cells that the model learned from: more than twice as "
        "far out as 99 of 100 of them do."
    )


def shown(found: Prediction, asked: str = "") -> pd.DataFrame:
    """The table for people: rows whose sample or drug holds the text that is asked for, in any case."""
    names = {"cell": "sample", "rank": "rank", "title": "drug", "prediction": "prediction", "low": "low",
             "high": "high", "usual": "average cell", "difference": "difference"}  # fmt: skip
    table = found.table[[name for name in names if name in found.table]].rename(columns=names)
    if not asked.strip():
        return table
    wanted = asked.strip().casefold()
    holds = [table[name].astype(str).str.casefold().str.contains(wanted, regex=False) for name in ("sample", "drug")]
    return table[holds[0] | holds[1]]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
