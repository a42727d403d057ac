"""Folds of labels of drugs and of pairs of drugs, by what is unseen at test."""

from __future__ import annotations

import numpy as np
import pandas as pd

from galenic.data.checks import first, require_columns
from galenic.data.drug_properties import scaffolds
from galenic.evaluate.splits import Fold, require_disjoint, split, split_from
from galenic.tasks.task import Part

BY_DRUG = ("drug", "structure", "scaffold", "both drugs")


def drug_columns(labels: pd.DataFrame) -> list[str]:
    """``["drug"]``, or ``["drug_a", "drug_b"]`` where the table has pairs."""
    pair = ["drug_a", "drug_b"]
    if set(pair) <= set(labels.columns):
        return pair
    require_columns(labels, ["drug"], "labels of drugs (or drug_a and drug_b): the table")
    return ["drug"]


def folds_of(labels: pd.DataFrame, drugs: pd.DataFrame | None, by: str, n_folds: int, seed: int) -> list[Part]:
    """Folds of the rows of ``labels``; see :class:`~galenic.tasks.DownstreamTask` for ``by``.

    Examples
    --------
    >>> labels = pd.DataFrame({"drug_a": ["x", "x", "y"], "drug_b": ["y", "z", "z"]})
    >>> [(part.train.tolist(), part.test.tolist()) for part in folds_of(labels, None, "drug", 3, 0)]
    [([0], [1, 2]), ([2], [0, 1]), ([1], [0, 2])]
    """
    nothing = np.zeros(0, dtype=np.intp)
    if by == "file":
        return [Part(fold.train, nothing, fold.test) for fold in split_from(labels)]
    if by in BY_DRUG and len(drug_columns(labels)) == 2:
        folds = _unseen_drugs(labels, drugs, by, n_folds, seed)
    else:
        if by == "both drugs":
            raise ValueError("a split by 'both drugs' needs drug_a and drug_b; the labels have drug. Use 'drug'.")
        table = pd.DataFrame({by: groups_of(labels, drugs, by)})
        folds = split(table, by=by, n_folds=n_folds, seed=seed)
        for fold in folds:
            require_disjoint(table, fold, by)
    return [Part(fold.train, nothing, fold.test) for fold in folds]


def groups_of(labels: pd.DataFrame, drugs: pd.DataFrame | None, by: str) -> np.ndarray:
    """What a split by ``by`` holds together, a name a row; of unseen drugs in pairs: the pair."""
    units = units_of(labels, drugs, by if by in BY_DRUG else "drug")
    pairs = np.array([" + ".join(sorted(row)) for row in units.to_numpy()], dtype=object)
    if by == "pair":
        single = units.shape[1] == 1 and "cell" in labels
        return np.asarray(pairs + " in " + labels["cell"].astype(str).to_numpy()) if single else pairs
    if by in BY_DRUG:
        return pairs
    if by == "row":
        return np.array([str(row) for row in range(len(labels))], dtype=object)
    require_columns(labels, [by], "a split of labels: their table")
    return labels[by].astype(str).to_numpy(dtype=object)


def units_of(labels: pd.DataFrame, drugs: pd.DataFrame | None, by: str) -> pd.DataFrame:
    """What stands for each drug of each row when drugs are unseen: structure, scaffold, or the id."""
    parts = labels[drug_columns(labels)].astype(str)
    known = None if drugs is None else drugs.set_axis(drugs.index.astype(str))
    if by in ("structure", "scaffold"):
        column = "smiles" if by == "scaffold" else "structure"
        if known is None or column not in known:
            raise ValueError(
                f"a split by {by!r} needs a table of drugs with {column!r}; "
                f"{'none is given' if known is None else f'it has {first(known.columns, 6)}'}. "
                "Give one: galenic.data.drugs.standardise(drugs)[0]."
            )
    if known is None:
        return parts
    if by == "scaffold":
        there = known["smiles"].dropna()
        names = pd.Series(scaffolds(there.tolist()), index=there.index)
    elif "structure" in known:
        names = known["structure"].dropna()
    else:
        return parts
    named: pd.DataFrame = parts.apply(lambda column: column.map(names).fillna(column))
    return named


def shared_drugs(labels: pd.DataFrame, drugs: pd.DataFrame | None, train: np.ndarray, test: np.ndarray) -> int:
    """How many test rows have all their drugs (by structure where known) among those of the train rows.

    Examples
    --------
    >>> labels = pd.DataFrame({"drug": ["x", "y", "x"]})
    >>> shared_drugs(labels, None, np.array([0]), np.array([1, 2]))
    1
    """
    units = units_of(labels, drugs, "drug")
    seen = units.iloc[test].isin(set(units.iloc[train].to_numpy().ravel()))
    return int(seen.all(axis=1).sum())


def _unseen_drugs(labels: pd.DataFrame, drugs: pd.DataFrame | None, by: str, n_folds: int, seed: int) -> list[Fold]:
    """Each fold holds out some drugs: rows that have none of them train; rows that have one, or both, are tested."""
    units = units_of(labels, drugs, by).to_numpy(dtype=object)
    long = pd.DataFrame({by: units.ravel()})
    folds = []
    for part in split(long, by=by, n_folds=n_folds, seed=seed):
        held = np.isin(units, np.unique(units.ravel()[part.test]))
        test = held.all(axis=1) if by == "both drugs" else held.any(axis=1)
        folds.append(Fold(np.flatnonzero(~held.any(axis=1)), np.flatnonzero(test)))
    empty = [number for number, fold in enumerate(folds) if not len(fold.train) or not len(fold.test)]
    if empty:
        raise ValueError(
            f"every fold by {by!r} needs pairs to train on and to test; {len(empty)} of {n_folds} lack them, with "
            f"{len(np.unique(units)):,} drugs in {len(labels):,} rows. Use fewer folds, or split by 'pair'."
        )
    return folds
