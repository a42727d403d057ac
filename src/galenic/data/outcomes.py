"""Outcomes of patients, joined to predictions."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from galenic.data.checks import first
from galenic.data.read.columns import CELL, DRUG, as_ids, find
from galenic.data.read.response import as_table

LABEL = ("label", "responder", "response", "outcome")
COHORT = ("cohort", "cancer_type", "tissue", "study", "project")
CODES = {"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0}


def join_outcomes(predictions: pd.DataFrame, outcomes: str | Path | pd.DataFrame) -> pd.DataFrame:
    """Predictions of the patients and drugs whose outcome is known.

    Parameters
    ----------
    predictions
        ``cell, drug, prediction`` (+ ``name`` of the drug).
    outcomes
        One row a patient and drug: ``patient`` or ``cell``; ``drug``, an id or a name, whichever matches more;
        ``label`` or
        ``response``, 1 or true = responder, 0 or false = not; ``cohort`` where there are several.

    Returns
    -------
    DataFrame
        ``cell, drug, prediction, label, cohort``. A name that two drug ids share (two screens of one compound) gives
        both, each a drug of its own.

    Raises
    ------
    ValueError
        If a column is missing, a patient and drug stand twice, an outcome is no 0 or 1, or nothing matches.

    Examples
    --------
    >>> predictions = pd.DataFrame({"cell": ["p1", "p2"], "drug": "1005", "name": "Cisplatin", "prediction": [1, 2]})
    >>> outcomes = pd.DataFrame({"patient": ["p1", "p2"], "drug": "cisplatin", "response": [1, 0]})
    >>> join_outcomes(predictions, outcomes)[["cell", "drug", "label"]].to_numpy().tolist()
    [['p1', '1005', 1], ['p2', '1005', 0]]
    """
    table = as_table(outcomes)
    known = pd.DataFrame(
        {
            "cell": as_ids(_column(table, CELL, "patient")),
            "asked": as_ids(_column(table, DRUG, "drug")).str.lower(),
            "label": _labels(_column(table, LABEL, "label")),
        }
    )
    cohort = find(table.columns, COHORT)
    known["cohort"] = as_ids(table[cohort[0]]).fillna("unknown") if cohort else "all"
    twice = known.duplicated(["cell", "asked"])
    if twice.any():
        raise ValueError(
            f"each patient and drug should have one outcome; {int(twice.sum()):,} rows repeat one (first: "
            f"{first(known.loc[twice, 'cell'])}). Keep one row of each: repeats would count as more patients."
        )
    names = [column for column in ("drug", "name") if column in predictions]
    joined = [
        predictions.drop(columns=["label", "cohort"], errors="ignore")
        .assign(asked=predictions[column].astype(str).str.lower())
        .merge(known, on=["cell", "asked"])
        for column in names
    ]
    best = max(joined, key=len)
    if best.empty:
        raise ValueError(
            f"patients and drugs of the outcomes should be among the predictions; 0 of {len(known):,} rows match "
            f"(outcomes first: {first(known['cell'], 1)} with {first(known['asked'], 1)}; predictions first: "
            f"{first(predictions['cell'], 1)} with {first(predictions[names[-1]], 1)}). Use the same ids or names."
        )
    return best.drop(columns="asked")


def _column(table: pd.DataFrame, aliases: tuple[str, ...], what: str) -> pd.Series:
    found = find(table.columns, aliases)
    if not found:
        raise ValueError(
            f"a table of outcomes needs a column for the {what}; it has {first(table.columns, 8)}. Name it {what!r}."
        )
    return table[found[0]]


def _labels(column: pd.Series) -> pd.Series:
    codes = column.astype(str).str.strip().str.lower().map(CODES)
    strange = column[codes.isna()]
    if len(strange):
        raise ValueError(
            f"an outcome should be 1 (responder) or 0; {len(strange):,} rows hold something else (first: "
            f"{first(strange.unique())}). Binarise it first: of RECIST, CR and PR = 1, SD and PD = 0."
        )
    return codes.astype(int)
