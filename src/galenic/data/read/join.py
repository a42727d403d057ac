"""Which columns of ids of two tables mean the same, and who stands in both. Ids are joined, never positions."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from galenic.data.checks import first
from galenic.data.read.columns import as_ids

SMALLEST_SHARE = 0.1
"""Of the ids of the smaller table; when fewer are shared, the tables do not belong together."""


@dataclass(frozen=True)
class Link:
    """A column of one table and a column of another that share ids."""

    left: str
    right: str
    shared: int
    smaller: int

    def require(self, left: pd.DataFrame, right: pd.DataFrame, left_name: str, right_name: str) -> Link:
        """Raise ``ValueError`` unless enough ids are shared."""
        if self.shared and self.shared >= SMALLEST_SHARE * self.smaller:
            return self
        raise ValueError(
            f"{left_name} and {right_name} should name the same things; they share {self.shared:,} of "
            f"{self.smaller:,} ids (at least {SMALLEST_SHARE:.0%} are expected). "
            f"{left_name}: {_shown(left)}; {right_name}: {_shown(right)}. "
            "Use the same kind of id in both, or give a table that has both kinds as columns (cells= or drugs=)."
        )


def id_columns(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """The columns ``names`` of ``table`` as ids in text."""
    return pd.DataFrame({name: as_ids(table[name]) for name in names}, index=table.index)


def best_link(left: pd.DataFrame, right: pd.DataFrame) -> Link:
    """The pair of columns that shares most ids; of equals the first.

    Examples
    --------
    >>> left = pd.DataFrame({"cosmic": ["1", "2"], "name": ["A549", "PC9"]})
    >>> right = pd.DataFrame({"model": ["PC9", "A549", "K562"]})
    >>> best_link(left, right)
    Link(left='name', right='model', shared=2, smaller=2)
    """
    lefts = {str(name): set(left[name].dropna()) for name in left}
    rights = {str(name): set(right[name].dropna()) for name in right}
    links = [Link(a, b, len(lefts[a] & rights[b]), min(len(lefts[a]), len(rights[b]))) for a in lefts for b in rights]
    return max(links, key=lambda link: link.shared)


def translation(table: pd.DataFrame, source: str, target: str) -> pd.Series:
    """From the ids in column ``source`` to those in column ``target``, where one means one.

    An id that would stand for several is left out: it does not say which.
    """
    pairs = table[[source, target]].dropna().drop_duplicates()
    pairs = pairs[~pairs[source].duplicated(keep=False)]
    return (
        pairs.set_index(source)[target]
        if source != target
        else pd.Series(pairs.iloc[:, 0].to_numpy(), pairs.iloc[:, 0])
    )


def _shown(table: pd.DataFrame) -> str:
    return "; ".join(f"{name or 'row names'} = {first(table[name].dropna().unique(), 2)}" for name in list(table)[:3])
