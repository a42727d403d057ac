"""Elastic net on the omics of a cell, one sparse linear model for each drug, solved together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.response import ResponseData
from galenic.models.baselines.baseline import Learned, PerDrug, response_matrix
from galenic.models.baselines.inputs import feature_index, learn_inputs, read_inputs
from galenic.models.baselines.ridge import fill
from galenic.models.fields import param

SHARES = np.array([0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08])
"""Penalties tried, as shares of the smallest one that sets every coefficient to zero."""


def elastic_path(
    X: np.ndarray, Y: np.ndarray, shares: np.ndarray, l1_ratio: float, n_steps: int = 60
) -> tuple[np.ndarray, np.ndarray]:
    r"""Elastic net coefficients for every column of ``Y`` along a path of penalties.

    Minimises :math:`\frac{1}{2n}\|y - Xb\|^2 + \lambda\rho\|b\|_1 + \frac{\lambda(1-\rho)}{2}\|b\|^2` (the form of
    scikit-learn) by accelerated proximal gradient (FISTA, Beck and Teboulle 2009), for all columns at once and
    with each penalty started from the last.

    Parameters
    ----------
    X
        Centred features, (n, p).
    Y
        Centred responses, (n, q).
    shares
        Decreasing; :math:`\lambda` of a column = share times its smallest all-zero penalty.
    l1_ratio
        :math:`\rho` in (0, 1].
    n_steps
        Steps for each penalty.

    Returns
    -------
    tuple of ndarray (n_shares, p, q), ndarray (n_shares, q)
        Coefficients and penalties.
    """
    n = len(X)
    X, Y = X.astype(np.float32), Y.astype(np.float32)
    gram, target = X.T @ X / n, X.T @ Y / n
    largest = np.abs(target).max(axis=0) / l1_ratio
    smooth = float(np.linalg.norm(gram, 2))
    b = np.zeros_like(target)
    path = []
    for share in shares:
        penalty = (share * largest).astype(np.float32)
        # The ridge part is smooth too: it lengthens the gradient and shortens the step, column by column.
        step = 1 / (smooth + penalty * (1 - l1_ratio))
        ahead, t = b, 1.0
        for _ in range(n_steps):
            moved = ahead - step * (gram @ ahead - target + penalty * (1 - l1_ratio) * ahead)
            new = np.sign(moved) * np.maximum(np.abs(moved) - step * penalty * l1_ratio, 0)
            t_new = (1 + np.sqrt(1 + 4 * t * t)) / 2
            ahead, b, t = new + np.float32((t - 1) / t_new) * (new - b), new, t_new
        path.append(b)
    return np.array(path), shares[:, None] * largest


@dataclass(kw_only=True, repr=False)
class ElasticNet(PerDrug):
    """Elastic net on standardised features, one model for each drug; the few coefficients left are the biomarkers.

    Each drug's penalty is chosen on a fifth of the training cells, then all cells are fitted.

    Parameters
    ----------
    inputs
        Modalities to read: expression, tissue (used where known), or any key of cells.obsm.
    n_features
        Of each modality, the number of features that vary most.
    l1_ratio
        1 = lasso; towards 0 = ridge.
    fill
        How unmeasured pairs of the training screen are filled: "factorisation" or "mean" (of the drug).
    new_drugs
        As for every baseline: "neighbours" by structure, or the "mean" drug.
    seed
        Of the held-out fifth and the factorisation.

    Notes
    -----
    A fixed number of steps is taken for each penalty; coefficients agree with scikit-learn to about 1e-3 of their
    scale.
    """

    inputs: tuple[str, ...] = ("expression", "tissue")
    n_features: int = param(1000, low=1)
    l1_ratio: float = param(0.5, low=0.01, high=1)
    fill: Literal["factorisation", "mean"] = "factorisation"
    new_drugs: Literal["neighbours", "kernel", "mean"] = "neighbours"
    seed: int = 0

    def _learn(self, data: ResponseData, y: np.ndarray, held: np.ndarray, n_jobs: int) -> Learned:
        features, arrays = learn_inputs(data.cells, self.inputs, self.n_features)
        X = np.hstack(list(read_inputs(data.cells, features, arrays).values()))
        Y = response_matrix(data, y)
        seen, mean = ~np.isnan(Y), np.nanmean(Y, axis=0)
        centred = fill(Y, self.fill, self.seed) - mean
        centre = X.mean(axis=0)
        best = self._choose(X - centre, centred, seen)
        path, penalty = elastic_path(X - centre, centred, SHARES, self.l1_ratio)
        columns = np.arange(len(mean))
        arrays |= {"coefficient": path[best, :, columns].T.astype(np.float64), "drug_mean": mean, "centre": centre}
        return {"inputs": features}, arrays | {"penalty": penalty[best, columns]}

    def _choose(self, X: np.ndarray, Y: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Index of the best share for each drug, on a fifth of the cells."""
        held = np.random.default_rng(self.seed).permutation(len(X)) % 5 == 0
        path, _ = elastic_path(X[~held], Y[~held], SHARES, self.l1_ratio)
        residual = np.where(seen[held], Y[held] - X[held] @ path, 0)
        best: np.ndarray = (residual**2).sum(axis=1).argmin(axis=0)
        return best

    def _grid(self, cells: AnnData) -> np.ndarray:
        X = np.hstack(list(read_inputs(cells, self.spec_["inputs"], self.arrays_).values()))
        return (X - self.arrays_["centre"]) @ self.arrays_["coefficient"] + self.arrays_["drug_mean"]

    def importance(self, data: ResponseData) -> pd.DataFrame:
        """Coefficients of the standardised features; positive: higher values go with resistance.

        Returns
        -------
        DataFrame, features x drugs
            Index levels ``modality`` and ``feature``. Tissues are not listed.
        """
        self._check_fitted()
        index = feature_index(self.spec_["inputs"])
        table = pd.DataFrame(self.arrays_["coefficient"], index=index, columns=self.drugs_.index)
        return table[index.get_level_values("modality") != "tissue"]
