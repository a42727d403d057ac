"""The floors of retrieval against scipy."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr

from galenic.data.simulate import profiles
from galenic.models.profiles.similarities import Connectivity, Euclidean, RawCosine, Spearman, WhitenedPCA
from galenic.search import RankedProfiles, gene_sets, wtcs

ADATA = profiles(n_perturbagens=10, n_genes=30, n_cells=2, seed=2)


def similar(model: object) -> np.ndarray:
    vectors = model.fit(ADATA).embed(ADATA)
    return model.similarity(vectors, vectors)


def test_cosine() -> None:
    np.testing.assert_allclose(similar(RawCosine()), 1 - cdist(ADATA.X, ADATA.X, "cosine"), atol=1e-6)


def test_spearman() -> None:
    np.testing.assert_allclose(similar(Spearman()), spearmanr(ADATA.X, axis=1).statistic, atol=1e-6)


def test_euclidean() -> None:
    scaled = ADATA.X / ADATA.X.std(axis=0)
    np.testing.assert_allclose(similar(Euclidean()), -cdist(scaled, scaled), atol=2e-3)


def test_whitened_components_have_variance_1_and_no_correlation() -> None:
    model = WhitenedPCA(n_latent=5).fit(ADATA)
    scores = (ADATA.X - model.arrays_["mean"]) @ model.arrays_["directions"]
    np.testing.assert_allclose(np.cov(scores.T, bias=True), np.eye(5), atol=1e-4)


def test_connectivity() -> None:
    up, down = gene_sets(ADATA.X, 4)
    expected = wtcs(RankedProfiles.of(ADATA.X), list(up), list(down))
    np.testing.assert_allclose(similar(Connectivity(n_genes=4)), expected, atol=1e-6)
