"""Kernel ridge on the omics of a cell, corrected by what the cell's own measured responses say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from anndata import AnnData

from galenic.data.response import ResponseData
from galenic.models.baselines.baseline import Learned, response_matrix
from galenic.models.baselines.factorisation import RANKS, choose, complete, rebuild
from galenic.models.baselines.inputs import learn_inputs, read_inputs
from galenic.models.baselines.means import known_cells
from galenic.models.baselines.ridge import PENALTIES, KernelRidge, leave_one_out
from galenic.models.fields import param

CHUNK = 2**27
"""Bytes of covariance matrices held at once."""
SMALLEST_NOISE = 0.05
"""Least noise of a drug, as a share of the mean over drugs."""


@dataclass(frozen=True)
class Smooth:
    """Kernel ridge of all drugs at once: the mean of two regressions.

    One is for each drug, and one for each principal component of the responses (so that what drugs share is learned
    from all of them); every penalty is chosen by exact leave-one-out.

    Attributes
    ----------
    values, vectors
        Of the kernel of the training cells.
    targets, penalties, backs
        For each regression: its columns, the penalty of each, and how columns become drugs.
    """

    values: np.ndarray
    vectors: np.ndarray
    targets: tuple[np.ndarray, np.ndarray]
    penalties: tuple[np.ndarray, np.ndarray]
    backs: tuple[np.ndarray, np.ndarray]

    @classmethod
    def fit(cls, K: np.ndarray, Y: np.ndarray, seen: np.ndarray) -> Self:
        """Learn from a kernel (n, n) and centred responses without holes (n, n_drugs).

        ``seen`` marks the responses that were measured; only those choose the penalties of the drugs.
        """
        values, vectors = np.linalg.eigh(K)
        axes = np.linalg.svd(Y, full_matrices=False)[2]
        targets = Y, Y @ axes.T
        judged = seen, np.ones(targets[1].shape, dtype=bool)
        best = [leave_one_out(K, *pair, PENALTIES).argmin(axis=0) for pair in zip(targets, judged, strict=True)]
        penalties = PENALTIES[best[0]], PENALTIES[best[1]]
        return cls(np.maximum(values, 0), vectors, targets, penalties, (np.eye(Y.shape[1]), axes))

    @property
    def dual(self) -> np.ndarray:
        """Coefficients of the training cells, (n, n_drugs)."""
        total = np.zeros_like(self.targets[0])
        for target, penalty, back in zip(self.targets, self.penalties, self.backs, strict=True):
            shrunk = (self.vectors.T @ target) / (self.values[:, None] + penalty)
            total += (self.vectors @ shrunk) @ back / 2
        return total

    def left_out(self) -> np.ndarray:
        """What is said of each training cell when that cell alone is left out, (n, n_drugs)."""
        total = np.zeros_like(self.targets[0])
        for target, penalty, back in zip(self.targets, self.penalties, self.backs, strict=True):
            shrink = self.values[:, None] / (self.values[:, None] + penalty)
            fitted = self.vectors @ (shrink * (self.vectors.T @ target))
            total += (target - (target - fitted) / (1 - self.vectors**2 @ shrink)) @ back / 2
        return total

    def without(self, rows: np.ndarray) -> np.ndarray:
        """What is said of the training cells ``rows`` (mask) when all of them are left out, penalties as they are.

        With :math:`H` the smoother, the residuals of the left-out cells are :math:`(I - H_{rr})^{-1} (y - Hy)_r`.
        """
        some = self.vectors[rows]
        total = np.zeros((len(some), self.targets[0].shape[1]))
        for target, penalty, back in zip(self.targets, self.penalties, self.backs, strict=True):
            answer = np.zeros((len(some), target.shape[1]))
            rotated = self.vectors.T @ target
            for value in np.unique(penalty):
                columns = penalty == value
                shrink = self.values / (self.values + value)
                residual = target[rows][:, columns] - (some * shrink) @ rotated[:, columns]
                gap = np.linalg.solve(np.eye(len(some)) - (some * shrink) @ some.T, residual)
                answer[:, columns] = target[rows][:, columns] - gap
            total += answer @ back / 2
        return total


def own_responses(
    rest: np.ndarray, covariance: np.ndarray, noise: np.ndarray, n_sweeps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""What is left of each cell's responses, measured or not, given those that were measured.

    Each row is a draw from :math:`N(0, A)` over drugs, measured with noise of variance :math:`s_d`. The posterior
    mean is :math:`A_{\cdot o}(A_{oo} + S_{oo})^{-1} r_o` over the measured drugs :math:`o`; :math:`A` and :math:`s`
    are improved by expectation-maximisation.

    Parameters
    ----------
    rest
        Responses less what the omics say, cells x drugs, NaN where not measured.
    covariance, noise
        A first guess of :math:`A`, (n_drugs, n_drugs), and of :math:`s`, (n_drugs,).
    n_sweeps
        Steps of expectation-maximisation.

    Returns
    -------
    tuple of ndarray (n_cells, n_drugs), ndarray (n_drugs, n_drugs), ndarray (n_drugs,)
        Posterior means, covariance, noise.
    """
    seen = ~np.isnan(rest)
    values, n_seen = np.where(seen, rest, 0.0), np.maximum(seen.sum(axis=0), 1)
    for _ in range(n_sweeps):
        mean, uncertain, variance = _posterior(values, seen, covariance, noise, with_variance=True)
        errors = np.where(seen, (values - mean) ** 2 + variance, 0.0).sum(axis=0) / n_seen
        covariance = (mean.T @ mean + uncertain) / len(rest)
        noise = np.maximum(errors, max(SMALLEST_NOISE * errors.mean(), 1e-8))
    return _posterior(values, seen, covariance, noise, with_variance=False)[0], covariance, noise


def _posterior(
    values: np.ndarray, seen: np.ndarray, covariance: np.ndarray, noise: np.ndarray, with_variance: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Posterior means, the sum of the posterior covariances, and the posterior variances, over chunks of cells."""
    n_cells, n_drugs = values.shape
    mean, variance = np.zeros_like(values), np.zeros_like(values)
    explained, diagonal = np.zeros_like(covariance), np.arange(n_drugs)
    step = max(1, CHUNK // (8 * n_drugs**2))
    for rows in (slice(at, at + step) for at in range(0, n_cells, step)):
        both = seen[rows, :, None] & seen[rows, None, :]
        total = np.where(both, covariance, 0.0)
        # Drugs that were not measured get a row of the identity: it solves to 0 and touches no other drug.
        total[:, diagonal, diagonal] += np.where(seen[rows], noise, 1.0)
        if not with_variance:
            mean[rows] = np.linalg.solve(total, values[rows, :, None])[:, :, 0] @ covariance
            continue
        inverse = np.where(both, np.linalg.inv(total), 0.0)
        mean[rows] = (inverse @ values[rows, :, None])[:, :, 0] @ covariance
        variance[rows] = np.diag(covariance) - ((covariance @ inverse) * covariance).sum(axis=-1)
        explained += inverse.sum(axis=0)
    return mean, n_cells * covariance - covariance @ explained @ covariance, variance


@dataclass(frozen=True)
class Completion:
    """What a completion says of its training cells, cells x drugs, less the mean of each drug.

    Attributes
    ----------
    centred
        Measured responses, NaN where there are none.
    fitted, left_out
        What the omics say of each cell, and what they say when that cell is left out.
    smooth
        The regression on the omics.
    own
        What a cell's other responses add to ``left_out``.
    covariance, noise
        Of the cells' own deviations over drugs; of each drug.
    """

    centred: np.ndarray
    fitted: np.ndarray
    smooth: Smooth
    left_out: np.ndarray
    own: np.ndarray
    covariance: np.ndarray
    noise: np.ndarray


@dataclass(kw_only=True, repr=False)
class KernelCompletion(KernelRidge):
    r"""Kernel ridge on the omics, plus what a known cell's other responses say about each drug.

    :math:`\hat y_{cd} = m_d + f_d(x_c) + e_{cd}`: :math:`f` is kernel ridge, half of it one regression a drug and half
    one a principal component of the responses; :math:`e_c` is the posterior mean of a cell's own deviations, a draw
    from one Gaussian over drugs, given its measured responses less what :math:`f` says when the cell is left out
    (:func:`own_responses`). A new cell has :math:`e = 0`.

    Parameters
    ----------
    n_rounds
        Times that holes are filled by the model itself and the regression is fitted again.
    n_sweeps
        Steps of expectation-maximisation for covariance and noise in each round.
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

    Notes
    -----
    Needs memory and time for a covariance of drugs: comfortable to about 1,500 drugs.
    """

    new_drugs: Literal["neighbours", "kernel", "mean"] = "kernel"
    n_rounds: int = param(2, low=1)
    n_sweeps: int = param(2, low=0)

    def _learn(self, data: ResponseData, y: np.ndarray, held: np.ndarray, n_jobs: int) -> Learned:
        spec, arrays, found = self._complete(data, y)
        arrays["own"] = found.left_out + found.own - found.fitted
        return spec, arrays

    def _complete(self, data: ResponseData, y: np.ndarray) -> tuple[dict[str, Any], dict[str, np.ndarray], Completion]:
        """What a fit learns, and its answers for the training cells."""
        features, arrays = learn_inputs(data.cells, self.inputs)
        blocks = read_inputs(data.cells, features, arrays)
        Y = response_matrix(data, y)
        seen, mean = ~np.isnan(Y), np.nanmean(Y, axis=0)
        centred = Y - mean
        low_rank = rebuild(complete(Y, *choose(Y, RANKS, 1.0, self.seed), shrink=1.0, seed=self.seed)) - mean
        filled = np.where(seen, centred, low_rank)
        scales = {name: self._typical(block) for name, block in blocks.items()}
        width, mix = self._tune(blocks, scales, filled, seen)
        K = self._mixed(blocks, blocks, scales, width, mix)
        covariance = noise = None
        for _ in range(self.n_rounds):
            smooth = Smooth.fit(K, filled, seen)
            left_out = smooth.left_out()
            if covariance is None or noise is None:
                covariance, noise = _first_guess(low_rank - left_out, centred - low_rank)
            own, covariance, noise = own_responses(centred - left_out, covariance, noise, self.n_sweeps)
            filled = np.where(seen, centred, left_out + own)
        arrays |= {"drug_mean": mean, "dual": smooth.dual}
        arrays |= {f"train.{name}": block for name, block in blocks.items()}
        spec = {"inputs": features, "scales": scales, "width": width, "mix": mix, "cells": list(data.cells.obs_names)}
        assert covariance is not None
        assert noise is not None
        return spec, arrays, Completion(centred, K @ arrays["dual"], smooth, left_out, own, covariance, noise)

    def _grid(self, cells: AnnData) -> np.ndarray:
        return super()._grid(cells) + known_cells(cells, self.spec_["cells"], self.arrays_["own"], 0.0)


def _first_guess(rest: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of deviations free of noise, its diagonal raised by a tenth; noise from errors, as they are small."""
    covariance = rest.T @ rest / len(rest)
    covariance += np.diag(0.1 * np.diag(covariance) + 1e-8)
    noise = 1.3 * np.nanmean(errors**2, axis=0)
    return covariance, np.maximum(noise, max(SMALLEST_NOISE * noise.mean(), 1e-8))
