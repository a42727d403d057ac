"""The question of read-across: do profiles of one perturbagen, mechanism or target find each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import require_columns
from galenic.data.drugs import fingerprints, tanimoto
from galenic.data.gctx.metadata import as_text
from galenic.evaluate.chance import map_significance
from galenic.evaluate.retrieval import external, retrieval, retrieval_by_query
from galenic.models import PROFILE_MODELS, find
from galenic.models.base import Model
from galenic.search.perturbagens import aggregate
from galenic.tasks.task import Answer, Answered, Part, divided, require_kind

FLOORS = ("RawCosine", "Spearman", "Euclidean", "WhitenedPCA", "ShrinkageLDA", "Connectivity")
ALIKE = 0.4
"""Structures more alike than this (Tanimoto of Morgan fingerprints) are near-copies."""


@dataclass(frozen=True)
class RetrievalTask:
    """Find the profiles that belong with a profile, among those that were held out.

    ``by`` is ``"perturbagen"`` (the column ``label``), ``"profile"`` (random rows), or any column of ``adata.obs``:
    ``"plate"``, ``"cell"``, ``"moa"``.

    Parameters
    ----------
    adata
        Profiles x genes, z-scores.
    label
        Column that replicates share.
    different
        Columns in which a match differs: ``["plate"]`` asks for replicates on other plates alone.
    strata
        Columns by which matches are told apart besides: the same and a different cell, plate, dose.
    known
        Columns with what is known of perturbagens (mechanism, target, several separated by ``|``); those that
        ``adata.obs`` lacks are passed over. Groups of their name score perturbagens by it.

    Notes
    -----
    Groups: ``"all"`` replicates; ``"same cell"``, ``"different cell"``, ...; ``"moa"``, ``"target"``: agreement of
    perturbagen vectors (cosine of the means of their profiles' unit vectors), and ``"moa, unlike structures"`` without
    pairs whose structures are alike (Tanimoto above 0.4), where SMILES are known; then ``"structure"`` scores finding
    those pairs themselves. ``found_beyond_chance`` is the share of perturbagens whose mean average precision has a
    q-value of 0.05 or less against rankings at random.
    """

    adata: AnnData
    label: str = "pert_id"
    different: Sequence[str] = ()
    strata: Sequence[str] = ()
    known: Sequence[str] = field(default=("moa", "target"))

    reference: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        columns = [self.label, *self.different, *self.strata]
        require_columns(self.adata.obs, columns, "retrieval: the table of profiles")
        labels = as_text(self.adata.obs[self.label])
        for column in self.different:
            both = pd.DataFrame({"label": labels, "other": as_text(self.adata.obs[column])})
            if both[labels != ""].groupby("label")["other"].nunique().max() < 2:
                raise ValueError(
                    f"profiles of one {self.label!r} should differ in {column!r} somewhere; none do, so there is "
                    "nothing to find. Leave that column out."
                )

    def table(self, by: str) -> tuple[pd.DataFrame, Any]:
        """The table of profiles with the column to split by.

        Parameters
        ----------
        by
            What is left out.
        """
        table = self.adata.obs.reset_index(drop=True)
        if by == "profile":
            return table[[self.label]], None
        column = self.label if by == "perturbagen" else by
        require_columns(table, [column], "a split of profiles: their table")
        texts = as_text(table[column])
        return pd.DataFrame({column: np.where(texts == "", "unknown", texts)}), column

    def folds(self, by: str, n_folds: int, seed: int) -> list[Part]:
        """Folds of profiles."""
        return divided(*self.table(by), by, n_folds, seed)

    def answer(self, model: Any, train: np.ndarray, valid: np.ndarray, test: np.ndarray) -> Answer:
        """Scores of the model on the test profiles; validation rows train too, since no model watches them."""
        rows = np.union1d(train, valid)
        model.fit(self.adata[rows].copy(), label=self.label)
        asked = self.adata[test].copy()
        del asked.obs[self.label]  # an embedding that read labels would be worthless
        vectors = model.embed(asked)
        labels = self.adata.obs.iloc[test].reset_index(drop=True)
        similarity = model.similarity(vectors, vectors)
        queries = retrieval_by_query(labels, similarity=similarity, same=[self.label], different=self.different)
        found = [self._replicates(labels, similarity), self._beyond_chance(queries)]
        scored = pd.concat([*found, *self._perturbagens(model, labels, vectors)], ignore_index=True)
        by_drug = queries.groupby(self.label, observed=True)["ap"].agg(["mean", "size"]).reset_index()
        return {
            "rows": np.array(len(test)),
            **{name: scored[name].to_numpy(dtype=kind) for name, kind in _KINDS.items()},
            "drug": by_drug[self.label].to_numpy(dtype=np.str_),
            "drug_map": by_drug["mean"].to_numpy(),
            "drug_n": by_drug["size"].to_numpy(),
        }

    def is_whole(self, answer: Answer, test: np.ndarray) -> bool:
        """Whether it was made of as many profiles."""
        return int(answer["rows"]) == len(test)

    def scores(self, test: np.ndarray, answer: Answer, reference: Answer | None) -> pd.DataFrame:
        """Scores of replicates, strata and what is known of perturbagens."""
        return pd.DataFrame({name: answer[name] for name in _KINDS})

    def scores_by_drug(self, test: np.ndarray, answer: Answer) -> pd.DataFrame:
        """Mean average precision over the profiles of each perturbagen."""
        return pd.DataFrame(
            {"drug": answer["drug"], "metric": "map", "value": answer["drug_map"], "n": answer["drug_n"]}
        )

    def predictions(self, test: np.ndarray, answer: Answer, reference: Answer | None) -> None:
        """No table: similarities of all pairs of profiles are too many to keep."""

    def tables(self, answered: Sequence[Answered]) -> dict[str, pd.DataFrame]:
        """No more than the scores."""
        return {}

    def leaking(self, train: np.ndarray, test: np.ndarray) -> list[str]:
        """Perturbagens on both sides of the user's own folds."""
        both = np.intersect1d(*(as_text(self.adata.obs[self.label])[rows] for rows in (train, test)))
        return [f"the given folds share {len(both):,} perturbagens between train and test"] if len(both) else []

    def require(self, label: str, model: Model) -> None:
        """Refuse a model that does not embed profiles."""
        require_kind(label, model, PROFILE_MODELS, "similarity of profiles")

    def floors(self) -> dict[str, Model]:
        """Similarities that train no network."""
        return {name: find(name)() for name in FLOORS}

    def _replicates(self, labels: pd.DataFrame, similarity: np.ndarray) -> pd.DataFrame:
        strata = {
            f"{'same' if same else 'different'} {column}": (column, same)
            for column in self.strata
            for same in (True, False)
        }
        return retrieval(
            labels, similarity=similarity, same=[self.label], different=self.different, strata=strata or None
        )

    def _beyond_chance(self, queries: pd.DataFrame) -> pd.DataFrame:
        """Share of perturbagens whose profiles find each other better than chance, at a false discovery rate of 5 %."""
        found = map_significance(queries, [self.label], n_permutations=2000) if len(queries) else None
        value = np.nan if found is None else float((found["q_value"] <= 0.05).mean())
        row = ("all", "found_beyond_chance", value, 0 if found is None else len(found))
        return pd.DataFrame([row], columns=list(_KINDS))

    def _perturbagens(self, model: Any, labels: pd.DataFrame, vectors: np.ndarray) -> list[pd.DataFrame]:
        known = [column for column in self.known if column in labels and labels[column].notna().any()]
        if not known:
            return []
        given = (labels[self.label].notna()).to_numpy()
        names = labels.loc[given, self.label].astype(str).to_numpy()
        lengths = np.linalg.norm(vectors, axis=1)
        is_unit = bool(np.allclose(lengths[lengths > 0], 1, atol=1e-3))
        mean, counted = aggregate(vectors[given], names, how="mean", normalise=is_unit)
        first = labels[given].groupby(names, sort=False).first().reindex(counted.index)
        mean = mean.astype(np.float32)
        # Hubs are profiles; a mean of several lies closer to everything without being one.
        similarity = mean @ mean.T if is_unit else model.similarity(mean, mean)
        alike = _alike(first)
        found = []
        for column in known:
            scored = external(first, similarity=similarity, label=column, exclude=alike)
            names_of = {"all": column, "not excluded": f"{column}, unlike structures"}
            found.append(scored.assign(group=scored["group"].map(names_of)))
        if alike is not None:
            found.append(external(first, similarity=similarity, label=None, related=alike).assign(group="structure"))
        return found


_KINDS: dict[str, Any] = {"group": np.str_, "metric": np.str_, "value": np.float64, "n": np.int64}


def _alike(table: pd.DataFrame) -> np.ndarray | None:
    """Which perturbagens have structures that are nearly the same, where structures are known at all."""
    if "smiles" not in table or table["smiles"].notna().sum() < 2:
        return None
    known = table["smiles"].notna().to_numpy()
    bits = fingerprints(table.loc[known, "smiles"].tolist())
    result = np.zeros((len(table), len(table)), dtype=bool)
    result[np.ix_(known, known)] = tanimoto(bits, bits) > ALIKE
    return result
