"""What the baselines share: one answer for each (cell, known drug), carried to new drugs by a weight matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.response import ResponseData
from galenic.models.base import Model
from galenic.models.baselines.new_drugs import kernel_weights, neighbour_weights

Learned = tuple[dict[str, Any], dict[str, np.ndarray]]
"""Plain JSON and arrays: what a fitted model consists of."""


@dataclass(kw_only=True, repr=False)
class Baseline(Model):
    """What every response model shares: ``fit(data)``, then ``predict(data)``; most need no network."""

    def fit(
        self,
        data: ResponseData,
        *,
        valid: ResponseData | None = None,
        device: str = "auto",
        n_jobs: int = 1,
        progress: bool = False,
        checkpoint: str | Path | None = None,
    ) -> Self:
        """Learn from measured pairs.

        Parameters
        ----------
        data
            Pairs with responses.
        valid
            Pairs to choose settings on, taken from the same container with the split that the question asks for (unseen
            cells, unseen drugs, ...); they are learned from too, once the settings are chosen. Models that
            choose by leaving one out do not need them; the others hold out a tenth of the cells where there are none.
        device, progress, checkpoint
            Accepted so that every model is called alike; a baseline runs on the CPU, and is soon done again.
        n_jobs
            Processor cores to use.

        Returns
        -------
        Self

        Raises
        ------
        ValueError
            If there are no pairs, or the model's inputs are not in ``data``.
        """
        data, held = joined(data, valid)
        spec, arrays = self._learn(data.trim(), data.response, held, n_jobs)
        spec["unit"] = data.unit
        spec["drugs"] = drug_table(data.trim().drugs)
        self._restore(spec, arrays)
        return self

    def predict(self, data: ResponseData) -> pd.DataFrame:
        """``data.pairs`` with a column ``prediction`` in the unit of fitting; the responses are not read.

        A drug is recognised by id, else by structure; what is done for a new one, each model says.

        Parameters
        ----------
        data
            Cells and drugs by id; ``response`` may be absent.
        """
        self._check_fitted()
        return data.pairs.assign(prediction=self._answer(data))

    @property
    def drugs_(self) -> pd.DataFrame:
        """The drugs of fitting: index = id; columns ``smiles``, ``structure``, ``name``."""
        self._check_fitted()
        return pd.DataFrame(self.spec_["drugs"]).set_index("drug")

    def importance(self, data: ResponseData) -> pd.DataFrame:
        """Weight of each input feature in each drug's predictions: features x drugs.

        The index has two levels, ``modality`` and ``feature``.

        Parameters
        ----------
        data
            Its cells are read where weights depend on them.

        Raises
        ------
        ValueError
            If the model reads no features of the cells.
        """
        raise ValueError(
            f"{type(self).__name__} reads no genes, so there is nothing to explain. "
            "Fit KernelRidge, Ridge or ElasticNet."
        )

    def require(self, data: ResponseData) -> None:
        """Raise ``ValueError`` for data that cannot be learned from, where a model can tell before long work.

        Parameters
        ----------
        data
            Measured pairs.
        """

    def sketch(self) -> Self:
        """An unfitted copy for many refits; a costly model gives a cheaper one."""
        return replace(self)

    def companions(self) -> dict[str, Baseline]:
        """Unfitted models, by label, that ``galenic fit`` judges beside this one besides the floors."""
        return {}

    def _learn(self, data: ResponseData, y: np.ndarray, held: np.ndarray, n_jobs: int) -> Learned:
        """What ``fit`` learns; ``held`` marks the pairs on which settings may be chosen."""
        raise NotImplementedError

    def _answer(self, data: ResponseData) -> np.ndarray:
        """A prediction for each pair."""
        raise NotImplementedError


@dataclass(kw_only=True, repr=False)
class PerDrug(Baseline):
    """A baseline that answers for each cell and each drug of fitting, ``(n_cells, n_drugs)``.

    Parameters
    ----------
    new_drugs
        What is predicted for a drug that was not fitted: "neighbours" = the average over the known drugs with the
        most similar structure, weighted by Tanimoto similarity; "kernel" = kernel ridge regression over the known
        drugs on the similarity of structures; "mean" = the average over all known drugs.
    """

    new_drugs: Literal["neighbours", "kernel", "mean"] = "mean"

    def _grid(self, cells: AnnData) -> np.ndarray:
        """Predictions for ``cells`` and every drug of fitting, in the order of ``drugs_``."""
        raise NotImplementedError

    def _answer(self, data: ResponseData) -> np.ndarray:
        rows, columns = data.cell_rows, data.drug_rows
        # Only what is asked for is computed: unused cells and drugs of a large container cost nothing.
        used_cells, cell_at = np.unique(rows, return_inverse=True)
        used_drugs, drug_at = np.unique(columns, return_inverse=True)
        grid = self._grid(data.cells[used_cells])
        weights = self._drug_weights(data.drugs.iloc[used_drugs])
        return (grid @ weights.T)[cell_at, drug_at]

    def _drug_weights(self, drugs: pd.DataFrame) -> np.ndarray:
        """How each asked-for drug is made of the known ones, ``(n_asked, n_known)``; rows sum to 1."""
        known = self.drugs_
        at = locate(drugs, known)
        weights = np.zeros((len(drugs), len(known)))
        weights[np.flatnonzero(at >= 0), at[at >= 0]] = 1.0
        new = np.flatnonzero(at < 0)
        if len(new) == 0:
            return weights
        weights[new] = 1.0 / len(known)
        if self.new_drugs == "neighbours":
            weights[new] = neighbour_weights(drugs["smiles"].iloc[new], known["smiles"])
        if self.new_drugs == "kernel":
            weights[new] = kernel_weights(drugs["smiles"].iloc[new], known["smiles"])
        return weights


def joined(data: ResponseData, valid: ResponseData | None) -> tuple[ResponseData, np.ndarray]:
    """All pairs to learn from, and which of them settings may be chosen on; refuses what cannot be learned from."""
    if len(data) == 0:
        raise ValueError("fitting needs measured pairs; the pair table has 0 rows. Read a response table first.")
    held = np.zeros(len(data), dtype=bool)
    if valid is not None:
        if valid.cells is not data.cells or valid.drugs is not data.drugs:
            raise ValueError(
                "valid should be taken from the same container as data; it has other cells or drugs. "
                "Take both from one: data.take(rows)."
            )
        held = np.repeat([False, True], [len(data), len(valid)])
        data = replace(data, pairs=pd.concat([data.pairs, valid.pairs], ignore_index=True))
    return data, held


def drug_table(drugs: pd.DataFrame) -> dict[str, list[str | None]]:
    """Id, SMILES, structure and name of each drug as plain JSON."""
    table: dict[str, list[str | None]] = {"drug": [str(drug) for drug in drugs.index]}
    for column in ("smiles", "structure", "name"):
        values = drugs[column] if column in drugs else pd.Series(None, index=drugs.index, dtype="object")
        table[column] = [None if pd.isna(value) else str(value) for value in values]
    return table


def locate(drugs: pd.DataFrame, known: pd.DataFrame) -> np.ndarray:
    """Row of ``known`` for each of ``drugs``, by id, else by structure; -1 where there is none."""
    at = known.index.get_indexer(drugs.index)
    if "structure" in drugs:
        by_structure = known["structure"].dropna().drop_duplicates()
        where = by_structure.index[by_structure.to_numpy() != ""]
        found = pd.Index(by_structure.loc[where]).get_indexer(drugs["structure"])
        rows = known.index.get_indexer(where)
        at = np.where(
            (at < 0) & (found >= 0) & drugs["structure"].notna().to_numpy(), rows[found] if len(rows) else -1, at
        )
    return at


def response_matrix(data: ResponseData, y: np.ndarray) -> np.ndarray:
    """Responses as cells x drugs, NaN where not measured, the mean where measured more than once."""
    shape = (data.cells.n_obs, len(data.drugs))
    flat = data.cell_rows * shape[1] + data.drug_rows
    count = np.bincount(flat, minlength=shape[0] * shape[1])
    total = np.bincount(flat, weights=y, minlength=shape[0] * shape[1])
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(shape)
