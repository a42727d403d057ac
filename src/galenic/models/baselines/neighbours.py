"""Mean effects carried to new drugs by the similarity of their structures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from galenic.data.drugs import fingerprints, tanimoto
from galenic.data.response import ResponseData
from galenic.models.baselines.baseline import Learned, locate
from galenic.models.baselines.means import MeanEffects
from galenic.models.baselines.new_drugs import N_BITS, neighbour_weights

NEIGHBOUR_COUNTS = (1, 2, 3, 5, 10, 20)
TRUSTS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(kw_only=True, repr=False)
class NearestDrugs(MeanEffects):
    r"""Cell effect plus the drug effects of the nearest structures, shrunk to the average drug.

    For a new drug :math:`\hat y_{cd} = a_c + (1 - t)\,\bar m + t \sum_{j \in N_k(d)} w_{dj} m_j` with Tanimoto weights
    :math:`w`. The number of neighbours :math:`k` and the trust :math:`t` are chosen by leaving each training drug out
    (drugs that share its structure with it). For a known drug this is :class:`MeanEffects`.

    Parameters
    ----------
    new_drugs
        What a drug that was not fitted gets: "neighbours" or "kernel" (by likeness of structure), or the "mean" drug.
    shrink
        Measurements of weight zero added to each cell's effect.
    """

    new_drugs: Literal["neighbours", "kernel", "mean"] = "neighbours"

    def _learn(self, data: ResponseData, y: np.ndarray, held: np.ndarray, n_jobs: int) -> Learned:
        spec, arrays = super()._learn(data, y, held, n_jobs)
        spec["n_neighbours"], spec["trust"] = _tune(data.drugs, arrays["drug_mean"])
        return spec, arrays

    def _drug_weights(self, drugs: pd.DataFrame) -> np.ndarray:
        weights = super()._drug_weights(drugs)
        new = np.flatnonzero(locate(drugs, self.drugs_) < 0)
        if len(new) and self.new_drugs == "neighbours":
            near = neighbour_weights(drugs["smiles"].iloc[new], self.drugs_["smiles"], self.spec_["n_neighbours"])
            trust = self.spec_["trust"]
            weights[new] = trust * near + (1 - trust) / near.shape[1]
        return weights


def _tune(drugs: pd.DataFrame, means: np.ndarray) -> tuple[int, float]:
    """Number of neighbours and trust with the least squared error on left-out training drugs."""
    has = drugs["smiles"].notna().to_numpy()
    if has.sum() < 3:
        return 1, 0.0
    bits, target = fingerprints(drugs["smiles"][has], n_bits=N_BITS), means[has]
    similarity = tanimoto(bits, bits)
    # A twin under a second id would answer for itself; it counts as left out too.
    similarity[similarity > 1 - 1e-9] = -1.0
    order = np.argsort(-similarity, axis=1, kind="stable")
    near = np.maximum(np.take_along_axis(similarity, order, axis=1), 0) + 1e-6
    n = len(target)
    average = (target.sum() - target) / (n - 1)
    best, least = (1, 0.0), np.inf
    for k in NEIGHBOUR_COUNTS:
        k = min(k, n - 1)
        guess = (near[:, :k] * target[order[:, :k]]).sum(axis=1) / near[:, :k].sum(axis=1)
        for trust in TRUSTS:
            error = float(np.sum((target - trust * guess - (1 - trust) * average) ** 2))
            if error < least:
                best, least = (k, trust), error
    return best
