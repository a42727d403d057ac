"""Planted programmes of genes are found, again with other seeds and in new profiles; noise has none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from anndata import AnnData
from sklearn.metrics import roc_auc_score

import galenic
from galenic.data.simulate import programmes
from galenic.models.deeppert.member import encoded

TRAINING = galenic.Training(lr=2e-3, batch_size=128, max_epochs=12, patience=0, schedule="cosine", monitor="none")
MODEL = galenic.DeepPert(sizes=(8, 16), runs=2, n_components=40, n_explained=100, training=TRAINING)
N = 8


@pytest.fixture(scope="module")
def halves() -> tuple[AnnData, AnnData]:
    """80 perturbagens to learn from and 20 that stay unseen."""
    adata = programmes(100, 200, n_programmes=N, genes_per_programme=20, seed=0)
    seen = adata.obs["pert_id"] < "SIM-00080"
    return adata[seen].copy(), adata[~seen].copy()


@pytest.fixture(scope="module")
def ensembles(halves: tuple[AnnData, AnnData]) -> tuple[galenic.DeepPert, galenic.DeepPert]:
    """Two, which share no seed."""
    return replace(MODEL).fit(halves[0]), replace(MODEL, seed=9).fit(halves[0])


def alike(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlations of columns, ``(columns of a, columns of b)``."""
    return np.corrcoef(a.T, b.T)[: a.shape[1], a.shape[1] :]


def test_dimensions_are_the_planted_programmes(
    halves: tuple[AnnData, AnnData], ensembles: tuple[galenic.DeepPert, galenic.DeepPert]
) -> None:
    known, new = halves
    for model in ensembles:
        found = alike(known.obsm["programmes"], model.embed(known))
        assert N <= found.shape[1] <= N + 3
        assert len(set(found.argmax(axis=1))) == N
        assert (found.max(axis=1) > 0.8).all()  # and with their sign: silent in most profiles, up in some
        unseen = alike(new.obsm["programmes"], model.embed(new))
        assert np.median(unseen.max(axis=1)) > 0.8


def test_gene_weights_rank_the_planted_genes(
    halves: tuple[AnnData, AnnData], ensembles: tuple[galenic.DeepPert, galenic.DeepPert]
) -> None:
    known, model = halves[0], ensembles[0]
    best = alike(known.obsm["programmes"], model.embed(known)).argmax(axis=1)
    loadings, size, signed = known.varm["programmes"], model.weights("absolute"), model.weights()
    auroc = [roc_auc_score(loadings[:, p] != 0, size[best[p]]) for p in range(N)]
    assert np.mean(auroc) > 0.95
    assert min(auroc) > 0.85
    assert min(np.corrcoef(loadings[:, p], signed[best[p]])[0, 1] for p in range(N)) > 0.75
    other = [roc_auc_score(loadings[:, p] != 0, size[best[(p + 1) % N]]) for p in range(N)]
    assert np.mean(other) < 0.65
    sets = {f"programme {p}": known.var["symbol"].to_numpy()[loadings[:, p] != 0] for p in range(N)}
    table = model.enrich(sets, top=20)
    first = table.sort_values("p_value").groupby("dimension")["pathway"].first()
    assert sum(first[best[p]] == f"programme {p}" for p in range(N)) == N


def test_dimensions_return_with_other_seeds_more_than_those_of_single_members(
    halves: tuple[AnnData, AnnData], ensembles: tuple[galenic.DeepPert, galenic.DeepPert]
) -> None:
    known, (one, other) = halves[0], ensembles
    again = np.abs(alike(one.embed(known), other.embed(known))).max(axis=1)
    scores = [m._front().scores(m._deviations(np.asarray(known.X), known.obs)) for m in ensembles]
    members = one.spec_["members"]
    for number, (layers, twin) in enumerate(zip(one._encoders(), other._encoders(), strict=True)):
        if members[number]["size"] < N:
            continue
        single = np.abs(alike(encoded(layers, scores[0]), encoded(twin, scores[1]))).max(axis=1)
        assert np.median(again) > np.median(single)
        assert np.sort(again)[-N:].mean() > np.sort(single)[-N:].mean()
    assert np.sort(again)[-N:].min() > 0.9


def test_principal_components_and_latents_that_are_not_unmixed_find_less(
    halves: tuple[AnnData, AnnData], ensembles: tuple[galenic.DeepPert, galenic.DeepPert]
) -> None:
    known = halves[0]
    truth = known.obsm["programmes"]
    ours = np.abs(alike(truth, ensembles[0].embed(known))).max(axis=1).mean()
    floor = replace(MODEL, families=("pca",), n_consensus=16, shared=0.0).fit(known)
    mixed = replace(MODEL, unmix=False, n_consensus=N, shared=0.0).fit(known)
    for model in (floor, mixed):
        assert np.abs(alike(truth, model.embed(known))).max(axis=1).mean() < ours - 0.1


def test_noise_has_no_programmes(halves: tuple[AnnData, AnnData], rng: np.random.Generator) -> None:
    """Each gene shuffled over profiles by itself: members share little, and what they share is said to be little."""
    noise = halves[0].copy()
    noise.X = rng.permuted(np.asarray(noise.X), axis=0)
    model = replace(MODEL, sizes=(8,), shared=0.0).fit(noise)
    link = model.latents_["link"]
    assert (link >= MODEL.shared).mean() < 0.4
    assert model.dimensions_["agreement"].max() < 0.7
