"""Drugs asked for by id, name or synonym, however these are written."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from galenic.data.checks import first
from galenic.work.near import nearest_name

SYNONYMS = ("synonyms", "synonym", "aliases", "other_names")
LISTED = re.compile(r"[,;|]")
"""Between several synonyms in one field."""


def plain_name(name: object) -> str:
    """A drug's name without case, blanks and marks.

    Examples
    --------
    >>> plain_name("PLX-4720"), plain_name("plx 4720"), plain_name("(5Z)-7-Oxozeaenol")
    ('plx4720', 'plx4720', '5z7oxozeaenol')
    """
    return re.sub(r"[^a-z0-9]", "", str(name).casefold())


def spellings(name: object) -> set[str]:
    """What a column of that name may mean; R writes an X before names that begin with a digit.

    Examples
    --------
    >>> sorted(spellings("X5.FLUOROURACIL"))
    ['5fluorouracil', 'x5fluorouracil']
    """
    plain = plain_name(name)
    return {plain, plain[1:]} if re.match(r"x\d", plain) else {plain}


def names_of(drugs: pd.DataFrame, ids: Iterable[str]) -> list[str]:
    """Every id, name and synonym of some drugs, as they are written."""
    table = drugs.loc[list(ids)]
    found = [str(one) for one in table.index]
    found += [str(one) for one in table["name"].dropna()] if "name" in table else []
    for column in _synonym_columns(drugs):
        found += [part.strip() for text in table[column].dropna() for part in LISTED.split(str(text)) if part.strip()]
    return list(dict.fromkeys(found))


def find_drug(drugs: pd.DataFrame, asked: str) -> pd.Index:
    """Ids of one compound.

    Parameters
    ----------
    drugs
        Index = ids; ``name``, ``synonyms`` (several in one field are parted by a comma, semicolon or bar) and
        ``structure`` where known.
    asked
        An id, which is then taken alone; or a name or synonym, without regard to case, blanks and marks: then all ids
        of the compound are, those of the same structure among them. A name counts before a synonym.

    Returns
    -------
    pandas.Index
        One id, or several where a compound was screened more than once.

    Raises
    ------
    ValueError
        If there is no such drug, or the name stands for several structures.

    Examples
    --------
    >>> table = pd.DataFrame({"name": ["PLX-4720", "Cisplatin"], "synonyms": ["R 7204", None]}, index=["1036", "1005"])
    >>> find_drug(table, "plx4720").tolist(), find_drug(table, "R-7204").tolist(), find_drug(table, "1005").tolist()
    (['1036'], ['1036'], ['1005'])
    """
    asked = str(asked).strip()
    if asked in drugs.index:
        return pd.Index([asked])
    wanted = plain_name(asked)
    found = _matching(drugs, wanted)
    if not wanted or not len(found):
        known = names_of(drugs, drugs.index)
        shown = drugs["name"].dropna() if "name" in drugs else drugs.index
        raise ValueError(
            f"the drug should be one of the {len(drugs):,} of these data (first: {first(shown)}); none is called "
            f"{asked!r}{nearest_name(asked, known)} Names, synonyms and ids are known."
        )
    if "structure" not in drugs:
        return found
    structures = drugs.loc[found, "structure"].dropna().unique()
    if len(structures) > 1:
        raise ValueError(
            f"a name should stand for one compound; {asked!r} stands for {len(structures):,}: {first(found, 5)}. "
            "Name one of these ids."
        )
    return drugs.index[drugs.index.isin(found) | drugs["structure"].isin(structures).to_numpy()]


def _matching(drugs: pd.DataFrame, wanted: str) -> pd.Index:
    """Ids whose own spelling or name is ``wanted``; else those with such a synonym."""
    by_id = np.array([plain_name(one) == wanted for one in drugs.index], dtype=bool)
    if "name" in drugs:
        by_id |= np.array([pd.notna(one) and plain_name(one) == wanted for one in drugs["name"]], dtype=bool)
    if by_id.any():
        return drugs.index[by_id]
    by_synonym = np.zeros(len(drugs), dtype=bool)
    for column in _synonym_columns(drugs):
        lists = [LISTED.split(str(text)) if pd.notna(text) else [] for text in drugs[column]]
        by_synonym |= np.array([wanted in map(plain_name, names) for names in lists], dtype=bool)
    return drugs.index[by_synonym]


def _synonym_columns(drugs: pd.DataFrame) -> list[str]:
    return [column for column in map(str, drugs.columns) if column.lower() in SYNONYMS]
