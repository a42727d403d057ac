"""Ridge and kernel ridge regression on the omics of a cell, one regression for each drug, solved together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.response import ResponseData
from galenic.models.baselines.baseline import Learned, PerDrug, response_matrix
from galenic.models.baselines.factorisation import choose, complete, rebuild
from galenic.models.baselines.inputs import feature_index, learn_inputs, read_inputs

PENALTIES = np.logspace(-2, 2.5, 19)
WIDTHS = (0.35, 0.5, 0.7, 1.0, 2.0)
MIXES = (0.0, 0.1, 0.3, 1.0)
FILL_RANKS = (5, 10, 20)


def fill(Y: np.ndarray, how: str, seed: int) -> np.ndarray:
    """Responses with the holes filled: by factorisation, or by the mean of the drug."""
    seen = ~np.isnan(Y)
    if seen.all():
        return Y
    if how == "mean":
        return np.where(seen, Y, np.nanmean(Y, axis=0))
    rank, penalty = choose(Y, FILL_RANKS, shrink=1.0, seed=seed)
    return np.where(seen, Y, rebuild(complete(Y, rank, penalty, shrink=1.0, seed=seed)))


def leave_one_out(K: np.ndarray, Y: np.ndarray, seen: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    r"""Squared leave-one-out error of kernel ridge, for each penalty and each column of ``Y``.

    With :math:`H = K (K + \lambda I)^{-1}` the left-out residual is :math:`(y_i - (Hy)_i) / (1 - H_{ii})`.

    Parameters
    ----------
    K
        Kernel of the training cells, (n, n).
    Y
        Centred responses, (n, n_drugs).
    seen
        Which of them were measured; only those are judged.
    penalties
        (n_penalties,).

    Returns
    -------
    ndarray, (n_penalties, n_drugs)
        Mean over the measured cells of each drug.
    """
    values, vectors = np.linalg.eigh(K)
    values = np.maximum(values, 0)
    rotated, squared = vectors.T @ Y, vectors**2
    errors = []
    for penalty in penalties:
        shrunk = values / (values + penalty)
        residual = (Y - vectors @ (shrunk[:, None] * rotated)) / (1 - squared @ shrunk)[:, None]
        errors.append(np.where(seen, residual**2, 0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1))
    return np.array(errors)


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared Euclidean distance of every row of ``a`` to every row of ``b``."""
    return np.maximum((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T, 0)


@dataclass(kw_only=True, repr=False)
class KernelRidge(PerDrug):
    r"""Kernel ridge regression on several modalities, one for each drug, all drugs solved at once.

    :math:`\hat y_{cd} = m_d + \sum_i k(c, i)\,\alpha_{id}` with
    :math:`k = \sum_m w_m \exp(-\|x^m_c - x^m_i\|^2 / (2 s^2 h_m))`, :math:`h_m` the median squared distance of the
    training cells in modality :math:`m` (tissue: 1 for the same tissue, else 0). The width :math:`s`, the weights
    :math:`w` and each penalty are chosen by exact leave-one-out over the training cells.

    Parameters
    ----------
    inputs
        Modalities to read: expression, tissue (used where known), or any key of cells.obsm. The first has weight 1.
    kernel
        "rbf" or "linear".
    fill
        How unmeasured pairs of the training screen are filled so that all drugs share one kernel: "factorisation"
        or "mean" (of the drug).
    new_drugs
        As for every baseline: "neighbours" or "kernel" by structure, or the "mean" drug.
    seed
        Of the factorisation.
    """

    inputs: tuple[str, ...] = ("expression", "tissue")
    kernel: Literal["rbf", "linear"] = "rbf"
    fill: Literal["factorisation", "mean"] = "factorisation"
    new_drugs: Literal["neighbours", "kernel", "mean"] = "neighbours"
    seed: int = 0

    def _learn(self, data: ResponseData, y: np.ndarray, held: np.ndarray, n_jobs: int) -> Learned:
        features, arrays = learn_inputs(data.cells, self.inputs)
        blocks = read_inputs(data.cells, features, arrays)
        Y = response_matrix(data, y)
        seen, mean = ~np.isnan(Y), np.nanmean(Y, axis=0)
        centred = fill(Y, self.fill, self.seed) - mean
        scales = {name: self._typical(block) for name, block in blocks.items()}
        width, mix = self._tune(blocks, scales, centred, seen)
        K = self._mixed(blocks, blocks, scales, width, mix)
        best = leave_one_out(K, centred, seen, PENALTIES).argmin(axis=0)
        values, vectors = np.linalg.eigh(K)
        shrunk = (vectors.T @ centred) / (np.maximum(values, 0)[:, None] + PENALTIES[best])
        arrays |= {"drug_mean": mean, "dual": vectors @ shrunk, "penalty": PENALTIES[best]}
        arrays |= {f"train.{name}": block for name, block in blocks.items()}
        spec = {"inputs": features, "scales": scales, "width": width, "mix": mix}
        return spec, arrays

    def _typical(self, block: np.ndarray) -> float:
        """What a modality's kernel is scaled by: the median squared distance, or the mean squared length."""
        if self.kernel == "linear":
            return float(max((block**2).sum(axis=1).mean(), 1e-12))
        distances = squared_distances(block, block)
        positive = distances[distances > 1e-12]
        return float(np.median(positive)) if len(positive) else 1.0

    def _kernel(self, name: str, a: np.ndarray, b: np.ndarray, scale: float, width: float) -> np.ndarray:
        if name == "tissue":
            return a @ b.T
        if self.kernel == "linear":
            return a @ b.T / scale
        return np.exp(-squared_distances(a, b) / (2 * width**2 * scale))

    def _mixed(
        self,
        a: dict[str, np.ndarray],
        b: dict[str, np.ndarray],
        scales: dict[str, float],
        width: float,
        mix: dict[str, float],
    ) -> np.ndarray:
        parts = [w * self._kernel(name, a[name], b[name], scales[name], width) for name, w in mix.items() if w]
        return np.add.reduce(parts)

    def _tune(
        self, blocks: dict[str, np.ndarray], scales: dict[str, float], Y: np.ndarray, seen: np.ndarray
    ) -> tuple[float, dict[str, float]]:
        """Width and modality weights with the least leave-one-out error, one weight after the other."""

        def error(width: float, mix: dict[str, float]) -> float:
            K = self._mixed(blocks, blocks, scales, width, mix)
            per_drug = leave_one_out(K, Y, seen, PENALTIES).min(axis=0)
            return float(per_drug @ seen.sum(axis=0))

        names = list(blocks)
        mix = {name: 1.0 if i == 0 else 0.3 for i, name in enumerate(names)}
        widths = WIDTHS if self.kernel == "rbf" else (1.0,)
        width = min(widths, key=lambda value: error(value, mix))
        for name in names[1:]:
            mix[name] = min(MIXES, key=lambda value: error(width, {**mix, name: value}))
        return width, mix

    def _grid(self, cells: AnnData) -> np.ndarray:
        spec, arrays = self.spec_, self.arrays_
        blocks = read_inputs(cells, spec["inputs"], arrays)
        train = {name: arrays[f"train.{name}"] for name in blocks}
        K = self._mixed(blocks, train, spec["scales"], spec["width"], spec["mix"])
        return K @ arrays["dual"] + arrays["drug_mean"]

    def importance(self, data: ResponseData) -> pd.DataFrame:
        r"""Average slope of each drug's prediction along each standardised feature over the cells of ``data``.

        For the RBF kernel :math:`\frac{1}{n}\sum_c \partial \hat y_{cd} / \partial x_c`; for the linear kernel this
        is the coefficient. Positive: higher values go with resistance. Tissues are not listed.

        Returns
        -------
        DataFrame, features x drugs
            Index levels ``modality`` and ``feature``.
        """
        self._check_fitted()
        spec, arrays = self.spec_, self.arrays_
        blocks = read_inputs(data.cells, spec["inputs"], arrays)
        slopes, names = [], [name for name in blocks if name != "tissue"]
        for name in names:
            train, scale, weight = arrays[f"train.{name}"], spec["scales"][name], spec["mix"][name]
            if self.kernel == "linear":
                slopes.append(weight * train.T @ arrays["dual"] / scale)
                continue
            K = weight * self._kernel(name, blocks[name], train, scale, spec["width"])
            toward = train.T @ (K.sum(axis=0)[:, None] * arrays["dual"]) - blocks[name].T @ (K @ arrays["dual"])
            slopes.append(toward / (len(K) * spec["width"] ** 2 * scale))
        index = feature_index(spec["inputs"], names)
        return pd.DataFrame(np.vstack(slopes), index=index, columns=self.drugs_.index)


@dataclass(kw_only=True, repr=False)
class Ridge(KernelRidge):
    """Linear ridge regression on expression, one for each drug; the coefficients are the biomarkers.

    The same as :class:`KernelRidge` with a linear kernel (the dual form: fast when there are more genes than cells).

    Parameters
    ----------
    inputs
        Modalities to read: expression, tissue (used where known), or any key of cells.obsm. The first has weight 1.
    kernel
        "rbf" or "linear".
    fill
        How unmeasured pairs of the training screen are filled so that all drugs share one kernel: "factorisation" or
        "mean" (of the drug).
    new_drugs
        What a drug that was not fitted gets: "neighbours" or "kernel" (by likeness of structure), or the "mean" drug.
    seed
        Of the factorisation.
    """

    kernel: Literal["rbf", "linear"] = "linear"
