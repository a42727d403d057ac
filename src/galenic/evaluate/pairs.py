"""Which pairs of profiles count as matches and which as non-matches, as boolean blocks of a few rows at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from scipy import sparse

from galenic.evaluate.checks import require_columns

Condition: TypeAlias = tuple[str, bool]
Strata: TypeAlias = Mapping[str, Condition | Sequence[Condition]]


@dataclass(frozen=True)
class Column:
    """The labels of one column, ready for comparing a few rows with all.

    Parameters
    ----------
    codes
        Integer label of each row, ``(n,)``; -1 where it is missing.
    values
        Rows x single values of a label that holds several, 0 or 1, ``(n, n_values)``; ``None`` where labels are whole.
    """

    codes: np.ndarray
    values: sparse.csr_array | None = None

    def shared(self, rows: np.ndarray) -> np.ndarray:
        """Whether each of ``rows`` shares the label, or one of its values, with each row, ``(n_rows, n)``."""
        if self.values is None:
            return self.codes[rows, None] == self.codes[None, :]
        return np.asarray((self.values[rows] @ self.values.T).toarray() > 0)


def column(labels: pd.Series, separator: str | None = None, prefix: int | None = None) -> Column:
    """Read the labels of a column; with a separator a label is a set of values.

    Parameters
    ----------
    labels
        One label a row, of any type; a missing or empty label is unknown.
    separator
        ``"|"`` reads ``"a|b"`` as the values a and b. ``None`` takes labels whole.
    prefix
        Only so many leading characters of each value count (levels 1 to 4 of an ATC code: 1, 3, 4, 5).

    Examples
    --------
    >>> column(pd.Series(["a|b", "b", None]), separator="|").shared(np.array([0])).tolist()
    [[True, True, False]]
    """
    labels = labels.mask(labels == "").reset_index(drop=True)
    if prefix is None and separator is None:
        return Column(pd.factorize(labels)[0])
    values = labels.dropna().astype(str)
    codes = np.full(len(labels), -1, dtype=np.intp)
    codes[values.index] = pd.factorize(values)[0]
    values = values.str.split(separator, regex=False).explode() if separator else values
    values = values.str.strip()
    values = values[values != ""].str.slice(0, prefix)
    codes[np.setdiff1d(np.arange(len(labels)), values.index)] = -1
    numbers, names = pd.factorize(values)
    shape = (len(labels), len(names))
    matrix = sparse.csr_array((np.ones(len(numbers), dtype=np.float32), (values.index, numbers)), shape=shape)
    return Column(codes, matrix)


@dataclass(frozen=True)
class Pairs:
    """Matching and non-matching pairs of one group.

    Parameters
    ----------
    same
        Columns a match shares.
    different
        Columns in which a match differs.
    conditions
        Columns that every counted pair shares (True) or differs in (False).
    related
        In place of ``same``: which rows match, given by the user, ``(n, n)``.
    exclude
        Pairs that count neither as match nor as non-match, ``(n, n)``.
    """

    same: tuple[Column, ...]
    different: tuple[Column, ...] = ()
    conditions: tuple[tuple[Column, bool], ...] = ()
    related: np.ndarray | None = None
    exclude: np.ndarray | None = None

    def known(self, n: int) -> np.ndarray:
        """Rows whose labels are all there, ``(n,)``."""
        columns = [*self.same, *self.different, *(column for column, _ in self.conditions)]
        return np.logical_and.reduce([column.codes >= 0 for column in columns], axis=0) & np.ones(n, dtype=bool)

    def blocks(self, rows: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Matches and non-matches of a few rows, two boolean ``(n_rows, n)``."""
        allowed = known[rows, None] & known[None, :]
        allowed[np.arange(len(rows)), rows] = False
        if self.exclude is not None:
            allowed &= ~self.exclude[rows]
        for column, wanted in self.conditions:
            allowed &= column.shared(rows) == wanted
        match = allowed.copy()
        for column in self.same:
            match &= column.shared(rows)
        if self.related is not None:
            match &= self.related[rows]
        allowed &= ~match  # what is left does not share `same`
        for column in self.different:
            match &= ~column.shared(rows)
        return match, allowed


def pairs_of(
    table: pd.DataFrame,
    same: Sequence[str],
    different: Sequence[str],
    strata: Strata | None,
    separator: str | None,
) -> dict[str, Pairs]:
    """The pairs of each group: ``"all"`` and one for each stratum."""
    same, different = _names(same, "same"), _names(different, "different")
    rules = {"all": (), **{name: _conditions(rule) for name, rule in (strata or {}).items()}}
    if not same:
        raise ValueError("retrieval needs a column that matching profiles share; received none. Give same=['pert_id'].")
    if "all" in (strata or {}):
        raise ValueError("'all' names the group of all pairs; received a stratum of that name. Give it another name.")
    used = [name for rule in rules.values() for name, _ in rule]
    require_columns(table, [*same, *different, *used], "retrieval: the table of profiles")
    plain = {name: column(table[name]) for name in {*different, *used}}
    shared = tuple(column(table[name], separator) for name in same)
    differing = tuple(plain[name] for name in different)
    return {
        group: Pairs(shared, differing, tuple((plain[name], wanted) for name, wanted in rule))
        for group, rule in rules.items()
    }


def _names(columns: Sequence[str], what: str) -> list[str]:
    if isinstance(columns, str):
        raise ValueError(f"{what} should be a list of columns; received {columns!r}. Write {what}=[{columns!r}].")
    return list(columns)


def _conditions(rule: Condition | Sequence[Condition]) -> tuple[Condition, ...]:
    conditions: list[Any] = [rule] if len(rule) and isinstance(rule[0], str) else list(rule)
    if not conditions or not all(len(one) == 2 and isinstance(one[1], bool) for one in conditions):
        raise ValueError(
            f"a stratum should be (column, True) for pairs that share the column or (column, False) for pairs that "
            f"differ in it, or a list of those; received {rule!r}. Write ('cell', True)."
        )
    return tuple((str(name), wanted) for name, wanted in conditions)
