"""Shrinkage linear discriminant analysis: the directions in which profiles of one perturbagen agree most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.aligned import Aligned
from galenic.evaluate.retrieval import retrieval
from galenic.models.fields import param
from galenic.models.profiles.profile_model import ProfileModel, classes, unit

SHRINKAGES = (0.1, 0.3, 1.0, 3.0)
RELIABILITIES = (0.0, 0.25, 0.5, 1.0)
N_DIRECTIONS = 256
"""Directions that a start has at most."""
CLASSES = 2**13
"""Classes whose means are scaled at once."""


@dataclass(frozen=True)
class Scatter:
    """How squashed profiles spread: their mean, and covariances within and between classes, ``(n_genes, n_genes)``.

    ``within`` is pooled over classes of two profiles or more, over their number less the number of classes;
    ``between`` is the covariance of all profiles less that.
    """

    mean: np.ndarray
    within: np.ndarray
    between: np.ndarray


def squashed(part: np.ndarray, squash: float) -> np.ndarray:
    """``tanh(z / squash)``, which keeps a few huge z-scores from deciding; as they are where ``squash`` is 0."""
    return np.tanh(part.astype(np.float64) / squash) if squash else part.astype(np.float64)


def scatter(rows: Aligned, codes: np.ndarray, squash: float) -> Scatter:
    """Covariances within and between classes, in one pass over blocks of rows; profiles of class -1 are left out."""
    counts = np.bincount(codes[codes >= 0])
    n_genes = rows.shape[1]
    sums, every, repeated = np.zeros((len(counts), n_genes)), np.zeros((n_genes,) * 2), np.zeros((n_genes,) * 2)
    for numbers, part in rows.blocks(np.flatnonzero(codes >= 0)):
        part, own = squashed(part, squash), codes[numbers]
        order = np.argsort(own, kind="stable")
        present, starts = np.unique(own[order], return_index=True)
        sums[present] += np.add.reduceat(part[order], starts, axis=0)
        every += part.T @ part
        again = part[counts[own] > 1]
        repeated += again.T @ again
    several, n = counts > 1, counts.sum()
    for start in range(0, len(sums), CLASSES):
        part, own = sums[start : start + CLASSES], counts[start : start + CLASSES]
        scaled = part[own > 1] / np.sqrt(own[own > 1])[:, None]
        repeated -= scaled.T @ scaled
    within = repeated / max(1, counts[several].sum() - several.sum())
    mean = sums.sum(axis=0) / n
    return Scatter(mean, within, every / n - np.outer(mean, mean) - within)


def whitener(spread: Scatter, shrinkage: float) -> np.ndarray:
    """Symmetric ``(n_genes, n_genes)`` after which profiles of one class spread alike in all directions."""
    values, axes = np.linalg.eigh(_shrunk(spread.within, shrinkage))
    result: np.ndarray = (axes / np.sqrt(values)) @ axes.T
    return result


def discriminants(spread: Scatter, shrinkage: float, n_latent: int) -> tuple[np.ndarray, np.ndarray]:
    """Discriminant directions, ``(n_genes, n_latent)``, best first, and the variance between classes along each.

    Of the whitened profiles the axes of largest variance between classes, in units of that within.
    """
    white = whitener(spread, shrinkage)
    variances, axes = np.linalg.eigh(white @ spread.between @ white)
    return white @ axes[:, ::-1][:, :n_latent], np.maximum(variances[::-1][:n_latent], 0)


def weights(variances: np.ndarray, reliability: float) -> np.ndarray:
    """``(b / (1 + b)) ** reliability``: what a direction says of a class counts as far as it is not noise."""
    result: np.ndarray = (variances / (1 + variances)) ** reliability
    return result


def chosen(
    rows: Aligned,
    codes: np.ndarray,
    squash: float,
    seed: int,
    shrinkages: Sequence[float] = SHRINKAGES,
    reliabilities: Sequence[float] = RELIABILITIES,
) -> tuple[float, float]:
    """Shrinkage and reliability with the best mean average precision on a third of the classes, from the others.

    At most 2,000 profiles are asked. Where too few classes repeat on either side: the last but one of both.
    """
    repeated = np.flatnonzero(np.bincount(codes[codes >= 0]) > 1)
    order = np.random.default_rng([seed, 2]).permutation(repeated)
    left_out = order[: len(order) // 3]
    if len(left_out) < 2 or len(order) - len(left_out) < 2:
        return shrinkages[-2:][0], reliabilities[-2:][0]
    asked = np.flatnonzero(np.isin(codes, left_out))[:2000]
    spread = scatter(rows, np.where(np.isin(codes, left_out), -1, codes), squash)
    centred = squashed(rows[asked], squash) - spread.mean
    table = pd.DataFrame({"class": codes[asked].astype(str)})
    scores = {}
    for shrinkage in shrinkages:
        plain, variances = discriminants(spread, shrinkage, N_DIRECTIONS)
        for reliability in reliabilities:
            vectors = unit(centred @ (plain * weights(variances, reliability)))
            scored = retrieval(table, vectors, same=["class"]).set_index("metric")["value"]
            scores[shrinkage, reliability] = float(scored["map"])
    return max(scores, key=lambda key: scores[key])


def _shrunk(within: np.ndarray, shrinkage: float) -> np.ndarray:
    size = np.trace(within) / len(within)
    # A constant gene, or a single profile in every class, leaves directions without any spread.
    return within + max(shrinkage * size, 1e-6 * max(size, 1e-6)) * np.eye(len(within))


@dataclass(kw_only=True, repr=False)
class ShrinkageLDA(ProfileModel):
    r"""Cosine of linear discriminants: a closed form that is hard to beat on a few thousand profiles.

    With :math:`x = \tanh(z / squash)`, covariances within and between perturbagens :math:`S_w, S_b` and
    :math:`\tilde S_w = S_w + a\,\frac{tr S_w}{p} I`, the directions are the eigenvectors of
    :math:`\tilde S_w^{-1/2} S_b \tilde S_w^{-1/2}`.

    Parameters
    ----------
    shrinkage
        a: how much of the mean variance within a perturbagen is added to every direction.
    n_latent
        Number of directions.
    squash
        z-scores are squashed to ``tanh(z / squash)``; 0 = not.
    reliability
        Exponent of the weight b / (1 + b) of a direction with the variance b between perturbagens, in units of that
        within; 0 = all count the same, as in textbooks.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> obs = pd.DataFrame({"pert_id": list("aabbccdd")}, index=[f"p{i}" for i in range(8)])
    >>> z = np.repeat(rng.normal(size=(4, 6)), 2, axis=0) + rng.normal(size=(8, 6)) / 4
    >>> model = ShrinkageLDA(n_latent=3).fit(anndata.AnnData(z.astype("float32"), obs=obs))
    >>> model.embed(anndata.AnnData(z.astype("float32"))).shape
    (8, 3)
    """

    shrinkage: float = param(0.3, low=0)
    n_latent: int = param(256, low=1)
    squash: float = param(3.0, low=0)
    reliability: float = param(0.0, low=0)

    needs_labels: ClassVar[bool] = True

    def _learn(
        self, adata: AnnData, rows: Aligned, spec: dict[str, Any], **how: Any
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        codes, _ = classes(adata, spec["label"])
        spread = scatter(rows, codes, self.squash)
        found, variances = discriminants(spread, self.shrinkage, self.n_latent)
        return spec, {"mean": spread.mean, "directions": found * weights(variances, self.reliability)}

    def _embed_rows(self, part: np.ndarray, obs: pd.DataFrame, device: str) -> np.ndarray:
        return unit((squashed(part, self.squash) - self.arrays_["mean"]) @ self.arrays_["directions"])
