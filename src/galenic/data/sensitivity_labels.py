"""Labels sensitive and resistant as people write them, in the one convention of this project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from galenic.data.checks import first
from galenic.data.drug_names import spellings
from galenic.data.read.columns import CELL, DRUG, as_ids, find
from galenic.data.read.response import TableSource, as_table
from galenic.work.near import did_you_mean, nearest_name

Convention = Literal["sensitive=1", "sensitive=0"]
WORDS = {
    **dict.fromkeys(("sensitive", "sens", "sen", "s", "responder"), 1),
    **dict.fromkeys(("resistant", "resist", "res", "r", "non-responder", "nonresponder", "insensitive"), 0),
}
"""In small letters; they mean the same in either convention."""
NUMBERS = {"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0}
UNKNOWN = frozenset({"", "na", "nan", "none", "<na>", "n/a", "unknown"})
LABEL = ("label", "response", "sensitive", "sensitivity", "class", "truth", "outcome")
CELL_ID = (*CELL, "barcode", "obs_names", "index")


def as_labels(values: Any, *, convention: Convention = "sensitive=1", what: str = "labels") -> np.ndarray:
    """Labels as 1 (sensitive), 0 (resistant) and NaN (unknown), ``(n,)`` float64.

    Parameters
    ----------
    values
        0 and 1, true and false, or words: sensitive, S, responder; resistant, R, non-responder; empty where unknown.
    convention
        What numbers mean; words mean what they say.
    what
        For messages.

    Raises
    ------
    ValueError
        For another convention, or values that are no labels.

    Examples
    --------
    >>> as_labels(["Sensitive", "R", None]).tolist(), as_labels([0, 1], convention="sensitive=0").tolist()
    ([1.0, 0.0, nan], [1.0, 0.0])
    """
    if convention not in get_args(Convention):
        raise ValueError(
            f"the convention should be one of {get_args(Convention)}; received {convention!r}. "
            f"{did_you_mean(convention, get_args(Convention), 'Choose one.')}"
        )
    column = pd.Series(np.asarray(values, dtype="object"))
    text = column.astype(str).str.strip().str.lower().where(column.notna(), "")
    numbers = text.map(NUMBERS)
    numbers = 1 - numbers if convention == "sensitive=0" else numbers
    found = numbers.fillna(text.map(WORDS)).astype(np.float64)
    strange = column[found.isna() & ~text.isin(UNKNOWN)]
    if len(strange):
        raise ValueError(
            f"{what} should be 1 and 0, or sensitive and resistant; {len(strange):,} of {len(column):,} are not "
            f"(first: {first(strange.unique())}). Cut a measured response into two classes first, or correct these."
        )
    return found.to_numpy()


def labels_of_drug(source: TableSource, names: Sequence[str], *, convention: Convention = "sensitive=1") -> pd.Series:
    """The labels that a table holds for one drug.

    Parameters
    ----------
    source
        Rows = samples, columns = drugs; or one row a sample and drug (``sample, drug, label``); or ``sample, label`` of
        this drug alone. Ids are in the first column that is recognised, else the first.
    names
        What the drug is called; compared without case, blanks and marks, also as R writes names of columns
        (``X5.FLUOROURACIL``).
    convention
        See :func:`as_labels`.

    Returns
    -------
    pandas.Series
        1 and 0, indexed by sample; samples without a label are left out.

    Raises
    ------
    ValueError
        If the drug is not in the table or in several columns, a sample stands twice with different labels, or values
        are no labels.

    Examples
    --------
    >>> table = pd.DataFrame({"sample": ["DATA.683665", "ACH-000007"], "PLX.4720": [0, 1], "X5.FLUOROURACIL": [1, 1]})
    >>> labels_of_drug(table, ["PLX-4720"]).tolist()
    [0, 1]
    """
    table = as_table(source)
    ids, rest = _ids(table)
    wanted = set.union(*(spellings(name) for name in names))
    columns = [column for column in rest if spellings(column) & wanted]
    drug, label = find(rest, DRUG), find(rest, LABEL)
    if drug and label and not columns:
        of_drug = np.array([bool(spellings(one) & wanted) for one in table[drug[0]]], dtype=bool)
        if not of_drug.any():
            raise ValueError(_no_drug(names, table[drug[0]].dropna().astype(str).unique()))
        ids, values = ids[of_drug], table.loc[of_drug, label[0]]
    elif len(columns) == 1 or (label and len(rest) == 1):
        values = table[columns[0] if columns else label[0]]
    elif columns:
        raise ValueError(
            f"labels of {names[0]!r} should stand in one column; {len(columns)} are called so: {first(columns, 5)}. "
            "Leave one, or ask by its whole name."
        )
    else:
        raise ValueError(_no_drug(names, rest))
    found = pd.Series(as_labels(values, convention=convention, what=f"labels of {names[0]}"), pd.Index(ids))
    return _once(found[found.notna() & found.index.notna()].astype(np.int64))


def cell_labels(
    source: TableSource,
    cells: pd.Index,
    *,
    convention: Convention = "sensitive=1",
    column: str | None = None,
    what: str = "labels of cells",
) -> pd.Series:
    """Labels of some cells out of a table with one row a cell.

    Parameters
    ----------
    source
        A column of ids of cells and one of labels; a Series indexed by cell also.
    cells
        Ids of all cells.
    convention
        See :func:`as_labels`.
    column
        Of the labels, where it is not called label, response, sensitivity, class, truth.
    what
        For messages.

    Returns
    -------
    pandas.Series
        1 and 0, indexed by cell; cells without a label, and rows of other cells, are left out.

    Raises
    ------
    ValueError
        If there is no column of labels, none of the ids is a cell, or a cell stands twice with different labels.

    Examples
    --------
    >>> table = pd.DataFrame({"cell": ["AAAC-1", "AAAG-1"], "label": ["resistant", "sensitive"]})
    >>> cell_labels(table, pd.Index(["AAAG-1", "AAAT-1"])).to_dict()
    {'AAAG-1': 1}
    """
    table = as_table(source.rename("label").to_frame() if isinstance(source, pd.Series) else source)
    ids, rest = _ids(table, cells)
    known = [column] if column in rest else find(rest, LABEL) if column is None else []
    known = known or (rest if len(rest) == 1 and column is None else [])
    if not known:
        raise ValueError(
            f"{what} should stand in a column {column or 'label'!r} beside the ids of the cells; the table has "
            f"{first(table.columns, 8)}. Name the column."
        )
    found = pd.Series(as_labels(table[known[0]], convention=convention, what=what), pd.Index(ids))
    there = found[found.notna() & found.index.isin(cells)].astype(np.int64)
    if there.empty:
        raise ValueError(
            f"{what} should be of some of the {len(cells):,} cells (first: {first(cells, 2)}); 0 of {len(found):,} "
            f"rows are (first: {first(ids, 2)}). Use the same barcodes in both, with the same suffix."
        )
    return _once(there)


def require_both(label: np.ndarray | pd.Series, what: str, remedy: str) -> None:
    """Raise ``ValueError`` unless both classes occur."""
    values = np.asarray(label)
    n_sensitive, n_resistant = int((values == 1).sum()), int((values == 0).sum())
    if not (n_sensitive and n_resistant):
        raise ValueError(
            f"{what} should be of both classes; received {n_sensitive:,} sensitive and {n_resistant:,} resistant. "
            f"{remedy}"
        )


def _ids(table: pd.DataFrame, cells: pd.Index | None = None) -> tuple[pd.Series, list[str]]:
    """Ids of the rows, and the other columns."""
    candidates = list(dict.fromkeys([*find(table.columns, CELL_ID), str(table.columns[0])]))
    if cells is not None:
        candidates.sort(key=lambda name: -int(as_ids(table[name]).isin(cells).sum()))
    return as_ids(table[candidates[0]]), [str(column) for column in table if column != candidates[0]]


def _once(labels: pd.Series) -> pd.Series:
    """Each id once; refuses one that is called both."""
    both = labels.groupby(level=0).nunique()
    odd = both.index[both > 1]
    if len(odd):
        raise ValueError(
            f"each sample should have one label; {len(odd):,} stand more than once with different ones (first: "
            f"{first(odd)}). Keep one row of each."
        )
    return labels[~labels.index.duplicated()]


def _no_drug(names: Sequence[str], known: Sequence[str] | np.ndarray) -> str:
    return (
        f"the table of labels should have the drug {names[0]!r}; its {len(known):,} drugs (first: {first(known)}) are "
        f"others{nearest_name(names[0], known)} Correct the name of the drug or of the column."
    )
