"""Splits that match the question (unseen pairs, cells, drugs, tissues, anything a column names) and leakage checks."""

from __future__ import annotations

import heapq
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from galenic.evaluate.checks import first, labels, require_columns

By = str | Sequence[str] | None


class Fold(NamedTuple):
    """Row positions of one train and test division of a table, sorted.

    Parameters
    ----------
    train
        Rows to learn from.
    test
        Rows to be asked about.
    """

    train: np.ndarray
    test: np.ndarray


def split(
    table: pd.DataFrame,
    by: By = None,
    *,
    n_folds: int = 5,
    seed: int = 0,
    each_unseen: bool = False,
    keep: np.ndarray | None = None,
) -> list[Fold]:
    """Divide the rows of a table into cross-validation folds, whole groups at a time.

    The same group falls into the same fold whatever the order of the rows.

    Parameters
    ----------
    table
        One row a measurement.
    by
        What is unseen at test. ``"cell"``, ``"tissue"`` or any column; ``"structure"`` for unseen drugs (one compound
        may stand under several drug ids; a drug without a structure is a group of its own); several columns for their
        combinations. ``None``: random pairs; measurements of one (cell, compound) pair stay together, where compound
        is ``structure`` if the table has it, else ``drug``. A table without ``cell`` and ``drug`` is split by rows.
    n_folds
        Number of folds, at least 2.
    seed
        Which of the many divisions.
    each_unseen
        With several columns: every part of a test row is unseen (new cell *and* new drug). Each column is divided by
        itself; a fold tests the rows whose parts all lie in it, and trains on the rows that have no part in it. Rows
        with some parts in and some out are left out of that fold, so only about 1 / n_folds of the rows are ever
        tested.
    keep
        Mask of rows that always train, ``(n_rows,)`` bool, such as vehicle controls, whatever they share with test.

    Returns
    -------
    list of Fold
        Their tests are disjoint; without ``each_unseen`` they cover every row that is not kept. Folds differ in
        number of rows by no more than the largest group.

    Raises
    ------
    ValueError
        For a missing column or value, fewer groups than folds, or a fold with nothing to train on or to test.

    Warns
    -----
    UserWarning
        If ``by="drug"`` divides drugs whose ``structure`` is the same: the unseen drug has been seen.

    Examples
    --------
    >>> table = pd.DataFrame({"cell": ["A", "A", "B", "B"], "drug": ["x", "y", "x", "y"]})
    >>> [fold.test.tolist() for fold in split(table, by="cell", n_folds=2)]
    [[0, 1], [2, 3]]
    """
    if n_folds < 2:
        raise ValueError(f"n_folds should be at least 2; received {n_folds}. Use holdout() for a single division.")
    columns = _columns(by)
    rest = _not_kept(table, keep)
    parts = [[column] for column in columns] if each_unseen else [columns]
    assigned = np.full((len(parts), len(table)), -1)
    for i, part in enumerate(parts):
        codes, names = _groups(table, part, rest)
        if len(names) < n_folds:
            raise ValueError(
                f"{n_folds} folds by {_name(part)} need at least {n_folds} groups; there are {len(names):,} "
                f"({first(names)}). Lower n_folds or split by something finer."
            )
        assigned[i, rest] = _balanced(codes, len(names), n_folds, np.random.default_rng([seed, i]))[codes]
    folds = [
        Fold(np.flatnonzero((assigned != fold).all(axis=0)), np.flatnonzero((assigned == fold).all(axis=0)))
        for fold in range(n_folds)
    ]
    _require_filled(folds, by, len(table))
    _warn_of_repeated_structures(table, columns, folds)
    return folds


def split_from(table: pd.DataFrame, column: str = "fold") -> list[Fold]:
    """Folds that the user assigned: one fold for each value of ``column``, in sorted order.

    Parameters
    ----------
    table
        One row a measurement.
    column
        Holds the name of the fold that tests the row; ``"train"`` marks rows that always train.

    Examples
    --------
    >>> table = pd.DataFrame({"fold": ["1", "2", "train"]})
    >>> [(fold.train.tolist(), fold.test.tolist()) for fold in split_from(table)]
    [([1, 2], [0]), ([0, 2], [1])]
    """
    require_columns(table, [column], "a split of your own")
    names = labels(table, column, "a split of your own")
    order = sorted(set(names) - {"train"}, key=lambda name: (not name.isdigit(), name.zfill(9)))
    folds = [Fold(np.flatnonzero(names != name), np.flatnonzero(names == name)) for name in order]
    if not folds:
        raise ValueError(
            f"column {column!r} should name at least one fold besides 'train'; it holds {first(names.unique())}. "
            "Name the fold of every row that is to be tested."
        )
    _require_filled(folds, column, len(table))
    return folds


def holdout(
    table: pd.DataFrame, by: By = None, share: float = 0.1, *, seed: int = 0, keep: np.ndarray | None = None
) -> Fold:
    """One division of a table: whole random groups, about ``share`` of the rows, are held out for test or validation.

    Parameters
    ----------
    table, by, keep
        As in :func:`split`.
    share
        Share of the rows to hold out, between 0 and 1. At least one group is held out and one is not.
    seed
        Which groups.

    Examples
    --------
    >>> table = pd.DataFrame({"cell": list("AABBCCDD"), "drug": list("xyxyxyxy")})
    >>> holdout(table, by="cell", share=0.25).test.tolist()
    [4, 5]
    """
    if not 0 < share < 1:
        raise ValueError(
            f"share should lie between 0 and 1; received {share}. Use 0.1 to hold out a tenth of the rows."
        )
    columns, rest = _columns(by), _not_kept(table, keep)
    codes, names = _groups(table, columns, rest)
    if len(names) < 2:
        raise ValueError(
            f"a holdout by {_name(columns)} needs at least 2 groups; there are {len(names)} ({first(names)}). "
            "Split by something finer."
        )
    order = np.random.default_rng([seed, 0]).permutation(len(names))
    held = np.cumsum(np.bincount(codes)[order])
    n_held = 1 + int(np.argmin(np.abs(held[:-1] - share * len(rest))))
    test = np.zeros(len(table), dtype=bool)
    test[rest] = np.isin(codes, order[:n_held])
    fold = Fold(np.flatnonzero(~test), np.flatnonzero(test))
    _warn_of_repeated_structures(table, columns, [fold])
    return fold


def leaks(table: pd.DataFrame, fold: Fold, columns: Sequence[str | Sequence[str]] | None = None) -> pd.DataFrame:
    """What the train and test rows of a fold share.

    Parameters
    ----------
    table, fold
        The table and one of its folds.
    columns
        Columns to look at, or lists of columns for their combinations. By default those of ``cell``, ``drug``,
        ``structure`` and ``tissue`` that the table has.

    Returns
    -------
    pandas.DataFrame
        A row a column: ``column``, ``shared`` (number of values that stand on both sides) and ``examples``.

    Examples
    --------
    >>> table = pd.DataFrame({"drug": ["1017", "1495"], "structure": "CCO"})
    >>> leaks(table, Fold(np.array([0]), np.array([1])))[["column", "shared"]]
          column  shared
    0       drug       0
    1  structure       1
    """
    if columns is None:
        columns = [column for column in ("cell", "drug", "structure", "tissue") if column in table.columns]
    rows = []
    for part in map(_columns, columns):
        codes, names = _codes(table, part)
        shared = np.intersect1d(codes[fold.train], codes[fold.test])
        rows.append({"column": _name(part), "shared": len(shared), "examples": first(names.iloc[shared])})
    return pd.DataFrame(rows, columns=["column", "shared", "examples"])


def require_disjoint(table: pd.DataFrame, fold: Fold, by: By = None) -> None:
    """Raise ``ValueError`` if train and test of a fold share a row or a value of ``by``.

    A split that is blind to drugs *by id* passes for ``"drug"`` and fails for ``"structure"`` when a compound stands
    under two ids.

    Parameters
    ----------
    table, fold, by
        As in :func:`split`.

    Examples
    --------
    >>> table = pd.DataFrame({"cell": ["A", "A", "B"], "drug": ["x", "y", "x"]})
    >>> require_disjoint(table, Fold(np.array([0, 1]), np.array([2])), by="cell")
    """
    twice = np.intersect1d(fold.train, fold.test)
    if len(twice):
        raise ValueError(
            f"train and test should share no row; {len(twice):,} stand in both (first: {first(twice)}). "
            "Make the fold with split() or holdout()."
        )
    columns = _columns(by) or _pair(table)
    if not columns:
        return
    found = leaks(table, fold, [columns]).iloc[0]
    if found["shared"]:
        raise ValueError(
            f"train and test should share no {_name(columns)}; {found['shared']:,} stand in both "
            f"(first: {found['examples']}). Split by {_name(columns)}."
        )


def _columns(by: By) -> list[str]:
    return [] if by is None else [by] if isinstance(by, str) else list(by)


def _pair(table: pd.DataFrame) -> list[str]:
    """The columns that tell pairs apart; none where the table holds no pairs."""
    compound = "structure" if "structure" in table.columns else "drug"
    return ["cell", compound] if {"cell", compound} <= set(table.columns) else []


def _name(columns: list[str]) -> str:
    return " + ".join(columns) or "pair"


def _codes(table: pd.DataFrame, columns: list[str]) -> tuple[np.ndarray, pd.Series]:
    """Group number of each row, ordered by the groups' names, and the name of each group by number."""
    columns = columns or _pair(table)
    if not columns:
        return np.arange(len(table)), pd.Series(np.arange(len(table)))
    if "structure" in columns and "structure" not in table.columns:
        raise ValueError(
            f"a split by 'structure' needs that column; the table has {first(table.columns, 8)}. "
            "Take it from the drugs: data.pairs_with('structure')."
        )
    require_columns(table, columns, "a split")
    parts = [_labels(table, column) for column in columns]
    codes = np.zeros(len(table), dtype=np.int64)
    for part in parts:
        part_codes, part_names = pd.factorize(part, sort=True)
        codes = pd.factorize(codes * max(len(part_names), 1) + part_codes, sort=True)[0]
    rows = np.unique(codes, return_index=True)[1]
    names = parts[0].iloc[rows]
    for part in parts[1:]:
        names = names + " + " + part.iloc[rows]
    return codes, names.reset_index(drop=True)


def _labels(table: pd.DataFrame, column: str) -> pd.Series:
    if column == "structure" and "drug" in table.columns:
        # A drug whose structure is unknown is a group of its own.
        table = table.assign(structure=table["structure"].where(table["structure"].notna(), table["drug"]))
    return labels(table, column, "a split").reset_index(drop=True)


def _groups(table: pd.DataFrame, columns: list[str], rest: np.ndarray) -> tuple[np.ndarray, pd.Series]:
    """As :func:`_codes`, for the rows of ``rest`` only."""
    codes, names = _codes(table, columns)
    used, codes = np.unique(codes[rest], return_inverse=True)
    return codes, names.iloc[used]


def _not_kept(table: pd.DataFrame, keep: np.ndarray | None) -> np.ndarray:
    """Positions of the rows that are to be divided."""
    if keep is None:
        return np.arange(len(table))
    keep = np.asarray(keep)
    if keep.dtype != bool or keep.shape != (len(table),):
        raise ValueError(
            f"keep should be a mask of {len(table):,} booleans; received {keep.dtype} of shape {keep.shape}. "
            "Compare a column: table['drug'] == 'vehicle'."
        )
    return np.flatnonzero(~keep)


def _balanced(codes: np.ndarray, n_groups: int, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """Fold of each group, ``(n_groups,)``: in random order, each group joins the fold with the fewest rows so far."""
    sizes = np.bincount(codes, minlength=n_groups).tolist()
    loads = [(0, fold) for fold in range(n_folds)]
    folds = np.empty(n_groups, dtype=np.intp)
    for group in rng.permutation(n_groups).tolist():
        load, fold = loads[0]
        heapq.heapreplace(loads, (load + sizes[group], fold))
        folds[group] = fold
    return folds


def _require_filled(folds: list[Fold], by: By, n_rows: int) -> None:
    for number, fold in enumerate(folds):
        if not len(fold.train) or not len(fold.test):
            raise ValueError(
                f"every fold by {_name(_columns(by))} needs rows to train on and to test; fold {number} of "
                f"{len(folds)} has {len(fold.train):,} and {len(fold.test):,} of {n_rows:,}. "
                "Use fewer folds or columns that cross."
            )


def _warn_of_repeated_structures(table: pd.DataFrame, columns: list[str], folds: list[Fold]) -> None:
    if columns != ["drug"] or "structure" not in table.columns:
        return
    codes, _ = _codes(table, ["structure"])
    shared = np.unique(np.concatenate([np.intersect1d(codes[fold.train], codes[fold.test]) for fold in folds]))
    if len(shared):
        drugs = table["drug"][np.isin(codes, shared)].unique()
        warnings.warn(
            f"{len(shared):,} structures stand under several drug ids ({first(drugs)}) and lie in train and test of a "
            "fold: those drugs are not unseen. Split by 'structure'.",
            stacklevel=3,
        )
