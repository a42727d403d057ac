"""Similarities that learn no class: the floors of retrieval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.stats import rankdata

from galenic.data.aligned import Aligned
from galenic.models.fields import param
from galenic.models.profiles.profile_model import ProfileModel, unit
from galenic.search.connectivity import RankedProfiles, gene_sets, wtcs


@dataclass(kw_only=True, repr=False)
class RawCosine(ProfileModel):
    """Cosine of z-scores as they are; learns nothing.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> profiles = anndata.AnnData(np.array([[3.0, -4.0], [6.0, -8.0]], dtype="float32"))
    >>> model = RawCosine().fit(profiles)
    >>> vectors = model.embed(profiles)
    >>> model.similarity(vectors, vectors).round(3).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """

    def _embed_rows(self, part: np.ndarray, obs: pd.DataFrame, device: str) -> np.ndarray:
        return unit(part)


@dataclass(kw_only=True, repr=False)
class Spearman(ProfileModel):
    """Rank correlation of z-scores over genes, ties sharing their mean rank; learns nothing."""

    def _embed_rows(self, part: np.ndarray, obs: pd.DataFrame, device: str) -> np.ndarray:
        ranks = rankdata(part, axis=1) if len(part) else part
        return unit(ranks - (part.shape[1] + 1) / 2)


@dataclass(kw_only=True, repr=False)
class Euclidean(ProfileModel):
    """Distance of z-scores, each gene divided by its standard deviation; similarity is minus the distance."""

    def _learn(
        self, adata: AnnData, rows: Aligned, spec: dict[str, Any], **how: Any
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        mean, deviation, _ = _moments(rows)
        return spec, {"mean": mean, "deviation": deviation}

    def _embed_rows(self, part: np.ndarray, obs: pd.DataFrame, device: str) -> np.ndarray:
        return ((part - self.arrays_["mean"]) / self.arrays_["deviation"]).astype(np.float32)

    def similarity(self, queries: np.ndarray, references: np.ndarray) -> np.ndarray:
        """Minus the distance, ``(n_queries, n_references)``.

        Parameters
        ----------
        queries
            Embedded profiles, ``(n_queries, n_dims)``.
        references
            Embedded profiles, ``(n_references, n_dims)``.
        """
        self._check_fitted()
        squares = (queries.astype(np.float64) ** 2).sum(1)[:, None] + (references.astype(np.float64) ** 2).sum(1)
        inner = queries.astype(np.float64) @ references.T.astype(np.float64)
        return -np.sqrt(np.maximum(squares - 2 * inner, 0)).astype(np.float32)


@dataclass(kw_only=True, repr=False)
class WhitenedPCA(ProfileModel):
    """Cosine of principal components, each divided by its standard deviation.

    Parameters
    ----------
    n_latent
        Number of components; fewer where there are fewer genes or profiles.
    """

    n_latent: int = param(50, low=1)

    def _learn(
        self, adata: AnnData, rows: Aligned, spec: dict[str, Any], **how: Any
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        mean, _, covariance = _moments(rows)
        variances, axes = np.linalg.eigh(covariance)
        n = min(self.n_latent, len(variances), max(1, len(rows) - 1))
        kept = np.maximum(variances[::-1][:n], 1e-12)
        return spec, {"mean": mean, "directions": axes[:, ::-1][:, :n] / np.sqrt(kept)}

    def _embed_rows(self, part: np.ndarray, obs: pd.DataFrame, device: str) -> np.ndarray:
        return unit((part - self.arrays_["mean"]) @ self.arrays_["directions"])


@dataclass(kw_only=True, repr=False)
class Connectivity(ProfileModel):
    """Weighted connectivity score (WTCS) of the Connectivity Map; learns nothing.

    The ends of each query's profile, as gene sets, against the ranked reference profiles; see
    :func:`galenic.search.wtcs`. :meth:`embed` gives the z-scores themselves.

    Parameters
    ----------
    n_genes
        Genes at each end: 50 of the landmarks, 150 where all genes are measured.
    """

    n_genes: int = param(50, low=1)

    def _embed_rows(self, part: np.ndarray, obs: pd.DataFrame, device: str) -> np.ndarray:
        return part.astype(np.float32)

    def similarity(self, queries: np.ndarray, references: np.ndarray) -> np.ndarray:
        """WTCS of each query's up and down genes in each reference, ``(n_queries, n_references)``, -1 to 1.

        Parameters
        ----------
        queries
            Embedded profiles, ``(n_queries, n_dims)``.
        references
            Embedded profiles, ``(n_references, n_dims)``.
        """
        self._check_fitted()
        up, down = gene_sets(queries, min(self.n_genes, queries.shape[1] // 2))
        return np.asarray(wtcs(RankedProfiles.of(references), list(up), list(down)), dtype=np.float32)


def _moments(rows: Aligned) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation (1 where it is 0) and covariance of genes, in one pass over blocks."""
    total, products = np.zeros(rows.shape[1]), np.zeros((rows.shape[1], rows.shape[1]))
    for _, part in rows.blocks():
        part = part.astype(np.float64)
        total += part.sum(axis=0)
        products += part.T @ part
    mean = total / len(rows)
    covariance = products / len(rows) - np.outer(mean, mean)
    deviation = np.sqrt(np.maximum(np.diag(covariance), 0))
    return mean, np.where(deviation > 1e-6, deviation, 1), covariance
