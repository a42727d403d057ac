"""Mean responses: of drugs, of cells, of both, and of drugs within tissues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.response import ResponseData
from galenic.models.baselines.baseline import Learned, PerDrug, response_matrix
from galenic.models.fields import param

SHRINKAGES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


def mean_effects(Y: np.ndarray, shrink: float, n_sweeps: int = 20) -> tuple[float, np.ndarray, np.ndarray]:
    r"""Grand mean, drug effects and cell effects of a response matrix with holes.

    Alternates :math:`b_d = \sum_c (y_{cd} - m - a_c) / n_d` and
    :math:`a_c = \sum_d (y_{cd} - m - b_d) / (n_c + s)`.

    Parameters
    ----------
    Y
        Cells x drugs, NaN where not measured.
    shrink
        ``s``, measurements of weight zero added to each cell.

    Returns
    -------
    tuple of float, ndarray (n_drugs,), ndarray (n_cells,)
    """
    seen = ~np.isnan(Y)
    mean = float(Y[seen].mean())
    rest = np.where(seen, Y - mean, 0.0)
    n_cells, n_drugs = seen.sum(axis=1), np.maximum(seen.sum(axis=0), 1)
    cell = np.zeros(len(Y))
    for _ in range(n_sweeps):
        drug = (rest.sum(axis=0) - cell @ seen) / n_drugs
        cell = (rest.sum(axis=1) - seen @ drug) / np.maximum(n_cells + shrink, 1e-12)
    return mean, drug, cell


@dataclass(kw_only=True, repr=False)
class DrugMean(PerDrug):
    """The mean response of each drug, whatever the cell.

    Most of the variance of an IC50 table is between drugs, so the global correlation of this floor is high
    (0.85 on GDSC) with no knowledge of the cell at all.

    Parameters
    ----------
    new_drugs
        What a drug that was not fitted gets: "neighbours" or "kernel" (by likeness of structure), or the "mean" drug.
    """

    def _learn(self, data: ResponseData, y: np.ndarray, held: np.ndarray, n_jobs: int) -> Learned:
        return {}, {"drug_mean": np.nanmean(response_matrix(data, y), axis=0)}

    def _grid(self, cells: AnnData) -> np.ndarray:
        return np.tile(self.arrays_["drug_mean"], (cells.n_obs, 1))


@dataclass(kw_only=True, repr=False)
class CellMean(PerDrug):
    """The mean response of each cell, whatever the drug; the grand mean for a new cell.

    Parameters
    ----------
    new_drugs
        Without effect: drugs make no difference.
    """

    def _learn(self, data: ResponseData, y: np.ndarray, held: np.ndarray, n_jobs: int) -> Learned:
        Y = response_matrix(data, y)
        arrays = {"cell_mean": np.nanmean(Y, axis=1), "mean": np.array([np.nanmean(Y)])}
        return {"cells": list(data.cells.obs_names), "n_drugs": len(data.drugs)}, arrays

    def _grid(self, cells: AnnData) -> np.ndarray:
        means = known_cells(cells, self.spec_["cells"], self.arrays_["cell_mean"], float(self.arrays_["mean"][0]))
        return np.tile(means[:, None], (1, self.spec_["n_drugs"]))


@dataclass(kw_only=True, repr=False)
class MeanEffects(PerDrug):
    """Drug effect plus cell effect: the floor that every network has to beat.

    Parameters
    ----------
    shrink
        Measurements of weight zero added to each cell's effect.
    new_drugs
        What a drug that was not fitted gets: "neighbours" or "kernel" (by likeness of structure), or the "mean" drug.

    Notes
    -----
    A new cell has effect 0, so that on unseen cells this is :class:`DrugMean`; a new drug has the average drug effect.
    """

    shrink: float = param(1.0, low=0)

    def _learn(self, data: ResponseData, y: np.ndarray, held: np.ndarray, n_jobs: int) -> Learned:
        mean, drug, cell = mean_effects(response_matrix(data, y), self.shrink)
        return {"cells": list(data.cells.obs_names)}, {"drug_mean": mean + drug, "cell_effect": cell}

    def _grid(self, cells: AnnData) -> np.ndarray:
        effects = known_cells(cells, self.spec_["cells"], self.arrays_["cell_effect"], 0.0)
        return effects[:, None] + self.arrays_["drug_mean"]


@dataclass(kw_only=True, repr=False)
class TissueDrugMean(PerDrug):
    r"""The mean response of each drug in each tissue, shrunk to the drug's mean.

    :math:`\hat y_{td} = m_d + \sum_{c \in t} (y_{cd} - m_d) / (n_{td} + s)`, with :math:`s` chosen by leaving each
    measurement of the training cells out. Needs ``cells.obs["tissue"]``; a new tissue gets the drug's mean.

    Parameters
    ----------
    new_drugs
        What a drug that was not fitted gets: "neighbours" or "kernel" (by likeness of structure), or the "mean" drug.
    """

    def _learn(self, data: ResponseData, y: np.ndarray, held: np.ndarray, n_jobs: int) -> Learned:
        Y = response_matrix(data, y)
        codes, levels = tissue_codes(data.cells)
        member = (codes[:, None] == np.arange(len(levels))).astype(np.float64)
        mean = np.nanmean(Y, axis=0)
        seen = ~np.isnan(Y)
        rest = np.where(seen, Y - mean, 0.0)
        total, count = member.T @ rest, member.T @ seen
        left_out, others = (member @ total - rest), (member @ count - seen)
        errors = [np.sum(np.where(seen, rest - left_out / (others + s), 0.0) ** 2) for s in SHRINKAGES]
        shrink = SHRINKAGES[int(np.argmin(errors))]
        return {"tissues": levels}, {"drug_mean": mean, "tissue_effect": total / (count + shrink)}

    def _grid(self, cells: AnnData) -> np.ndarray:
        tissue = pd.Index(self.spec_["tissues"]).get_indexer(_tissues(cells))
        effect = np.vstack([self.arrays_["tissue_effect"], np.zeros(self.arrays_["drug_mean"].shape)])
        return effect[tissue] + self.arrays_["drug_mean"]


def known_cells(cells: AnnData, known: list[str], values: np.ndarray, otherwise: float) -> np.ndarray:
    """The value (or row of values) of each cell by id, ``otherwise`` for a cell that is not known."""
    at = pd.Index(known).get_indexer(cells.obs_names)
    found = values[at].copy()
    found[at < 0] = otherwise
    return found


def _tissues(cells: AnnData) -> pd.Series:
    if "tissue" not in cells.obs:
        raise ValueError(
            f"TissueDrugMean needs cells.obs['tissue']; the cells have {list(cells.obs.columns)[:8]}. "
            "Read a table of cells with a tissue column."
        )
    return cells.obs["tissue"].astype("object").where(cells.obs["tissue"].notna(), "unknown").astype(str)


def tissue_codes(cells: AnnData) -> tuple[np.ndarray, list[str]]:
    """Tissue of each cell as an integer, and the tissues in sorted order."""
    codes, levels = pd.factorize(_tissues(cells), sort=True)
    return np.asarray(codes), [str(level) for level in levels]
