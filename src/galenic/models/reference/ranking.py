"""Rankings of a reference: every perturbagen or profile that a filter leaves, the most similar first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from galenic.data.checks import first
from galenic.models.profiles.profile_model import ProfileModel, unit
from galenic.models.reference.perturbagens import OF_PERTURBAGENS, OF_PROFILES, merged
from galenic.search.filters import rows_that_fit
from galenic.search.index import SimilarityIndex
from galenic.search.perturbagens import best_over
from galenic.work.near import did_you_mean

Level: TypeAlias = Literal["perturbagen", "profile"]
Combine: TypeAlias = Literal["mean", "max", "q67"]
Where: TypeAlias = Mapping[str, Any] | None
SHARES: dict[str, str | float] = {"max": "max", "q67": 0.67}


@dataclass(frozen=True)
class Asked:
    """How a search is to be done; see :meth:`Reference.by_name`."""

    level: Level
    combine: Combine
    where: Where
    k: int

    def __post_init__(self) -> None:
        choices = {"level": ("perturbagen", "profile"), "combine": ("mean", *SHARES)}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} should be one of {first(allowed)}; received {getattr(self, name)!r}. "
                    f"{did_you_mean(getattr(self, name), allowed, 'Choose one.')}"
                )
        if self.level == "profile" and self.combine != "mean":
            raise ValueError(
                f"combine merges the similarities of a perturbagen's profiles, and single profiles (level='profile') "
                f"have nothing to merge; received combine={self.combine!r}. Leave one of the two out."
            )
        if self.k < 1:
            raise ValueError(f"k should be at least 1; received {self.k}. 50 is usual.")


@dataclass(frozen=True, eq=False)
class Rankings:
    """What is ranked.

    Parameters
    ----------
    model
        Whose similarity it is.
    perturbagens, profiles
        One row a perturbagen, and one a profile.
    codes
        Row of the perturbagen of each profile, ``(n_profiles,)``.
    how
        How profiles were merged, and are again where a filter leaves some of them.
    """

    model: ProfileModel
    perturbagens: SimilarityIndex
    profiles: SimilarityIndex
    codes: np.ndarray
    how: str

    def fitting(self, where: Where) -> np.ndarray:
        """Which profiles a filter leaves, by their own columns and by those of their perturbagens."""
        where = {} if where is None else where
        own = {name: value for name, value in where.items() if name not in OF_PERTURBAGENS}
        others = {name: value for name, value in where.items() if name in OF_PERTURBAGENS}
        table = self.profiles.table
        for name in own.keys() & set(OF_PROFILES):
            if name not in table:
                raise ValueError(f"the filter names {name!r}; no profile of the reference says it. Leave it out.")
        chosen = rows_that_fit(table, own) if own else np.ones(len(table), dtype=bool)
        chosen = chosen & rows_that_fit(self.perturbagens.table, others)[self.codes] if others else chosen
        if not chosen.any():
            raise ValueError(
                f"a filter should leave profiles to search; {dict(where)} leaves none of {len(chosen):,}. Widen it."
            )
        return chosen

    def by_perturbagen(self, vector: np.ndarray, chosen: np.ndarray, asked: Asked) -> pd.DataFrame:
        """All perturbagens of the chosen profiles, the most similar first."""
        codes = self.codes[chosen]
        if asked.combine != "mean":
            scores = self.scores(self.profiles, vector, np.flatnonzero(chosen))
            present = np.unique(codes)
            best = {
                name: best_over(scores[[name]].to_numpy().T, codes, SHARES[asked.combine]).iloc[0] for name in scores
            }
            values = pd.DataFrame({name: found.to_numpy() for name, found in best.items()})
        elif not set(asked.where or ()) - set(OF_PERTURBAGENS):
            present = np.unique(codes)
            values = self.scores(self.perturbagens, vector, present)
        else:
            present, own, _ = merged(self.profiles.vectors, np.flatnonzero(chosen), codes, self.how)
            index = SimilarityIndex(own, pd.DataFrame(index=pd.RangeIndex(len(own))))
            values = self.scores(index, vector, np.arange(len(own)))
        ids = self.perturbagens.table.index[present]
        return ordered(pd.concat([pd.DataFrame({"id": ids, "pert_id": ids}), values], axis=1))

    def compared(self, chosen: np.ndarray, ids: pd.Index) -> pd.DataFrame:
        """What is known of perturbagens, with counts and agreement of the profiles that were compared.

        Parameters
        ----------
        chosen
            Which profiles were, ``(n_profiles,)``.
        ids
            Of the perturbagens, each once.
        """
        known = self.perturbagens.table.loc[ids].copy()
        places = self.perturbagens.table.index.get_indexer(ids)
        rows = np.flatnonzero(chosen & np.isin(self.codes, places))
        if chosen.all() or not len(rows):
            return known
        present, _, counted = merged(self.profiles.vectors, rows, self.codes[rows], "mean")
        counted.index = self.perturbagens.table.index[present]
        if "cell" in self.profiles.table:
            cells = pd.Series(self.profiles.table["cell"].astype("object").to_numpy()[rows])
            counted["n_cells"] = cells.groupby(self.codes[rows]).nunique().to_numpy()
        for name in counted:
            known[name] = counted[name].reindex(known.index)
        return known

    def scores(self, index: SimilarityIndex, vector: np.ndarray, rows: np.ndarray) -> pd.DataFrame:
        """Similarity and cosine of a query with rows of an index."""
        mask = np.zeros(len(index), dtype=bool)
        mask[rows] = True
        similarity = index.similarities(vector, where=mask)[0]
        if index.offsets is None:
            return pd.DataFrame({"similarity": similarity, "cosine": similarity})
        own = float(self.model.offsets(unit(vector))[0])
        return pd.DataFrame({"similarity": similarity - own, "cosine": similarity + index.offsets[rows]})

    def by_profile(self, rows: np.ndarray, scores: pd.DataFrame) -> pd.DataFrame:
        """A ranking of profiles, with what is known of each."""
        table = self.profiles.table.iloc[rows]
        start = pd.DataFrame({"id": table.index.to_numpy()})
        columns = table.drop(columns="strength").astype({"pert_id": "object"}).reset_index(drop=True)
        return ordered(pd.concat([start, columns, scores.reset_index(drop=True)], axis=1))


def ordered(table: pd.DataFrame) -> pd.DataFrame:
    """The most similar first, ties by id."""
    return table.sort_values(["similarity", "id"], ascending=[False, True], ignore_index=True)


def said_of(where: Where) -> str:
    """A filter in words.

    Examples
    --------
    >>> said_of({"cell": ["A375", "PC3"], "dose": (1, 10), "time": 24})
    'cell A375 or PC3, dose 1 to 10, time 24'
    """
    parts = []
    for name, value in (where or {}).items():
        if isinstance(value, tuple):
            parts.append(f"{name} {value[0]:g} to {value[1]:g}")
        else:
            values = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
            parts.append(f"{name} {' or '.join(f'{one:g}' if isinstance(one, float) else str(one) for one in values)}")
    return ", ".join(parts)
