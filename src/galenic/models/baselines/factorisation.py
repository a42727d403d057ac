"""Low-rank factorisation of the response matrix by alternating ridge regressions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from anndata import AnnData

from galenic.data.response import ResponseData
from galenic.models.baselines.baseline import Learned, PerDrug, response_matrix
from galenic.models.baselines.means import known_cells, mean_effects
from galenic.models.fields import param

RANKS = (5, 10, 20, 30, 40)
PENALTIES = (8.0, 16.0, 32.0)
N_SWEEPS = 15


def factorise(R: np.ndarray, rank: int, penalty: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Factors of cells and drugs with :math:`R_{cd} \approx u_c \cdot v_d` where R is measured.

    Alternating least squares with the penalty :math:`\lambda (\|U\|^2 + \|V\|^2)` (Zhou et al., AAIM 2008, without
    its weighting by counts).

    Parameters
    ----------
    R
        Residuals, cells x drugs, NaN where not measured.
    rank
        Length of the factors.
    penalty
        :math:`\lambda`.
    seed
        Of the random start.

    Returns
    -------
    tuple of ndarray (n_cells, rank), ndarray (n_drugs, rank)
    """
    seen = ~np.isnan(R)
    filled, mask = np.where(seen, R, 0.0), seen.astype(np.float64)
    V = np.random.default_rng(seed).normal(scale=0.1, size=(R.shape[1], rank))
    U = _solve(filled, mask, V, penalty)
    for _ in range(N_SWEEPS):
        V = _solve(filled.T, mask.T, U, penalty)
        U = _solve(filled, mask, V, penalty)
    return U, V


def _solve(values: np.ndarray, mask: np.ndarray, factors: np.ndarray, penalty: float) -> np.ndarray:
    """One ridge regression for each row of ``values`` on ``factors``, all at once."""
    rank = factors.shape[1]
    outer = (factors[:, :, None] * factors[:, None, :]).reshape(len(factors), rank * rank)
    gram = (mask @ outer).reshape(-1, rank, rank) + penalty * np.eye(rank)
    return np.linalg.solve(gram, (values @ factors)[:, :, None])[:, :, 0]


def complete(Y: np.ndarray, rank: int, penalty: float, shrink: float, seed: int) -> dict[str, np.ndarray]:
    """Mean effects and factors of a response matrix with holes, as named arrays."""
    mean, drug, cell = mean_effects(Y, shrink)
    U, V = factorise(Y - mean - drug - cell[:, None], rank, penalty, seed)
    return {"drug_mean": mean + drug, "cell_effect": cell, "cell_factors": U, "drug_factors": V}


def rebuild(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Cells x drugs as :func:`complete` sees them."""
    return arrays["cell_effect"][:, None] + arrays["drug_mean"] + arrays["cell_factors"] @ arrays["drug_factors"].T


def choose(Y: np.ndarray, ranks: tuple[int, ...], shrink: float, seed: int, share: float = 0.1) -> tuple[int, float]:
    """Rank and penalty with the least squared error on a held-out share of the measured pairs."""
    rows, columns = np.nonzero(~np.isnan(Y))
    held = np.random.default_rng(seed).random(len(rows)) < share
    if not held.any() or len(rows) < 50:
        return ranks[0], PENALTIES[-1]
    inner = Y.copy()
    inner[rows[held], columns[held]] = np.nan
    at = (rows[held], columns[held])
    # A cell or drug whose every measurement was held out has no mean; its pairs cannot judge.
    judged = ~(np.isnan(inner).all(axis=1)[at[0]] | np.isnan(inner).all(axis=0)[at[1]])
    errors = {
        (rank, penalty): float(np.sum(((Y - rebuild(complete(inner, rank, penalty, shrink, seed)))[at] ** 2)[judged]))
        for rank in ranks
        for penalty in PENALTIES
    }
    return min(errors, key=lambda key: errors[key])


@dataclass(kw_only=True, repr=False)
class Factorisation(PerDrug):
    """Mean effects plus low-rank factors of cells and drugs: no omics, no chemistry.

    On random pairs this equals the published figures of many networks, because each cell and drug was seen.

    Parameters
    ----------
    rank
        Length of the factors; None = chosen, with the penalty, on a tenth of the training pairs.
    penalty
        Ridge penalty of the factors; None = chosen likewise.
    shrink
        Measurements of weight zero added to each cell's effect.
    seed
        Of the random start and of the held-out tenth.
    new_drugs
        What a drug that was not fitted gets: "neighbours" or "kernel" (by likeness of structure), or the "mean" drug.

    Notes
    -----
    A new cell has no factors and gets the mean effects.
    """

    rank: int | None = param(None, low=1)
    penalty: float | None = param(None, low=0)
    shrink: float = param(1.0, low=0)
    seed: int = 0

    def _learn(self, data: ResponseData, y: np.ndarray, held: np.ndarray, n_jobs: int) -> Learned:
        Y = response_matrix(data, y)
        rank, penalty = self.rank, self.penalty
        if rank is None or penalty is None:
            best_rank, best_penalty = choose(Y, RANKS if rank is None else (rank,), self.shrink, self.seed)
            rank, penalty = rank or best_rank, best_penalty if penalty is None else penalty
        arrays = complete(Y, rank, penalty, self.shrink, self.seed)
        return {"cells": list(data.cells.obs_names), "rank": rank, "penalty": penalty}, arrays

    def _grid(self, cells: AnnData) -> np.ndarray:
        known, arrays = self.spec_["cells"], self.arrays_
        product = arrays["cell_factors"] @ arrays["drug_factors"].T + arrays["cell_effect"][:, None]
        return known_cells(cells, known, product, 0.0) + arrays["drug_mean"]
