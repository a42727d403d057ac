"""The model: weights are attributions of its dimensions, covariates are removed, and what is no gene is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData

import galenic
from galenic.data.simulate import programmes
from galenic.explain.attribution import integrated_gradients
from galenic.models.deeppert.attribution import gene_weights
from galenic.models.deeppert.member import encoded

BRIEF = galenic.Training(lr=5e-3, max_epochs=5, batch_size=64, patience=0, monitor="none")
DATA = programmes(30, 50, n_programmes=3, genes_per_programme=12, n_cells=1, dose_effect=1.0, seed=1)


def small(**how: Any) -> galenic.DeepPert:
    return galenic.DeepPert(**{"sizes": (2, 4), "runs": 2, "n_components": 10, "training": BRIEF, "shared": 0.2} | how)


@pytest.fixture(scope="module")
def model() -> galenic.DeepPert:
    return small().fit(DATA)


def test_contributions_add_up_to_the_embedding(model: galenic.DeepPert) -> None:
    few = DATA[:7].copy()
    parts, gap = model.contributions(few, n_steps=400)
    assert parts.shape == (7, 50, model.embed(few).shape[1])
    mean = AnnData(np.asarray(DATA.X).mean(axis=0, keepdims=True), obs=DATA.obs[:1], var=DATA.var)
    np.testing.assert_allclose(parts.sum(axis=1) + gap, model.embed(few) - model.embed(mean), atol=2e-5)
    assert np.abs(gap).max() < 0.01
    alone = model.contributions(few[2].copy(), n_steps=400)[0]
    np.testing.assert_allclose(alone[0], parts[2], atol=1e-9)


def test_contributions_against_a_background_add_up_too(model: galenic.DeepPert) -> None:
    few, others = DATA[:3].copy(), DATA[60:120].copy()
    parts, gap = model.contributions(few, background=others, n_steps=800)
    np.testing.assert_allclose(parts.sum(axis=1) + gap, model.embed(few) - model.embed(others).mean(axis=0), atol=2e-5)
    assert np.abs(gap).max() < 0.3
    assert np.abs(parts - model.contributions(few)[0]).max() > 0.05


def test_weights_are_means_of_contributions(model: galenic.DeepPert) -> None:
    """With few profiles all are explained: the mean of exact contributions is the table."""
    parts, _ = model.contributions(DATA, n_steps=model.n_steps)
    np.testing.assert_allclose(parts.mean(axis=0), model.weights("mean"), atol=2e-4)
    # The absolute weights average latents, not their average: never below those of the dimension itself.
    assert (np.abs(parts).mean(axis=0) <= model.weights("absolute") + 1e-3).all(axis=None)
    assert (model.weights("absolute") >= 0).all(axis=None)


def test_signed_weights_are_slopes(model: galenic.DeepPert) -> None:
    """Raising a gene a little moves the embedding by about its signed weight, on average over training profiles."""
    up = DATA.copy()
    up.X[:, 4] += 0.2 * np.asarray(DATA.X)[:, 4].std()
    moved = (model.embed(up) - model.embed(DATA)).mean(axis=0) / 0.2
    found = model.weights().iloc[4].to_numpy()
    assert np.corrcoef(moved, found)[0, 1] > 0.95


def test_gene_weights_of_a_member_are_integrated_gradients_through_the_components(model: galenic.DeepPert) -> None:
    front = model._front()
    deviations = front.deviations(np.asarray(DATA.X), np.zeros((DATA.n_obs, 0)))
    matrix = torch.from_numpy(front.matrix())
    for number, layers in enumerate(model._encoders()):

        def function(x: torch.Tensor, layers: Any = layers) -> torch.Tensor:
            x = x @ matrix
            for place, (weight, bias) in enumerate(layers):
                x = (x.relu() if place else x) @ torch.from_numpy(weight).double().T + torch.from_numpy(bias)
            return x

        x = torch.from_numpy(deviations)
        exact = integrated_gradients(function, [x], [torch.zeros_like(x[:1])], n_steps=64, rule="midpoint")
        fast = gene_weights(layers, front.matrix(), deviations, n_steps=64)
        parts = exact.contributions[0]
        np.testing.assert_allclose(fast.absolute, np.abs(parts).mean(axis=0), atol=1e-3 * np.abs(parts).max())
        np.testing.assert_allclose(fast.mean, parts.mean(axis=0), atol=1e-3 * np.abs(parts).max())
        np.testing.assert_allclose(fast.gap, np.abs(exact.gap).mean(axis=0), atol=1e-2)
        if number >= 3:
            break


def test_gaps_shrink_with_steps() -> None:
    gaps = [small(families=("vae",), n_steps=n).fit(DATA).latents_["gap"].mean() for n in (4, 64)]
    assert gaps[1] < gaps[0] / 4


def test_spread_is_that_of_the_latents_of_a_dimension() -> None:
    model = small(families=("pca", "rp"), sizes=(3,), n_consensus=2).fit(DATA)
    table, front = model.latents_, model._front()
    nodes = np.concatenate([layers[0][0] for layers in model._encoders()])  # linear: weights are slopes
    each = (front.matrix() @ nodes.T) * (table["sign"] / model.arrays_["latent/deviation"]).to_numpy()
    for number in range(2):
        own = (table["cluster"] == number).to_numpy()
        np.testing.assert_allclose(model.weights()[number], each[:, own].mean(axis=1), atol=1e-5)
        if own.sum() > 1:
            np.testing.assert_allclose(model.weights("spread")[number], each[:, own].std(axis=1, ddof=1), atol=1e-5)


def carried(model: galenic.DeepPert, adata: AnnData) -> float:
    """Largest correlation of any dimension with log dose."""
    dose = np.log1p(adata.obs["dose"].to_numpy())
    return float(np.abs(np.corrcoef(model.embed(adata).T, dose)[:-1, -1]).max())


def test_covariates_are_taken_out_of_new_profiles_too() -> None:
    """Without perturbagens that act, dose is all there is; only its linear part is removed."""
    idle = programmes(60, 50, n_programmes=3, genes_per_programme=12, n_cells=1, strength=0.0, dose_effect=2.0, seed=2)
    known, new = idle[:240].copy(), idle[240:].copy()
    how = {"families": ("ae", "pca")}
    assert carried(small(**how).fit(known), new) > 0.8
    assert carried(small(**how, covariates=("dose",)).fit(known), new) < 0.45
    model, blind = small(**how, covariates=("dose",)).fit(known), new.copy()
    blind.obs = blind.obs.drop(columns="dose")
    with pytest.warns(UserWarning, match="these profiles have no such column"):
        model.embed(blind)


def test_decoder_covariates_are_not_asked_of_new_profiles() -> None:
    model = small(families=("vae",), covariates=("dose", "time"), adjust="decoder").fit(DATA)
    blind = DATA.copy()
    blind.obs = blind.obs[[]]
    np.testing.assert_array_equal(model.embed(blind), model.embed(DATA))


@pytest.mark.parametrize("name", ["dose", "Dose", "pert_dose", "dose_um", "time", "plate", "cell_line", "pert_itime"])
def test_what_is_no_gene_is_refused(name: str) -> None:
    wrong = DATA.copy()
    wrong.var_names = [name, *wrong.var_names[1:]]
    with pytest.raises(ValueError, match=rf"should be a gene; 1 of 50 are not \(first: '{name}'\)\. Move them to obs"):
        small().fit(wrong)


def test_repeated_ids_too_few_profiles_and_too_few_genes_are_refused() -> None:
    twice = DATA.copy()
    twice.obs_names = ["a", "a", *twice.obs_names[2:]]
    with pytest.raises(ValueError, match=r"ids of the profiles must be unique; 1 stand more than once \(first: 'a'\)"):
        small().fit(twice)
    genes = DATA.copy()
    genes.var_names = ["1000", "1000", *genes.var_names[2:]]
    with pytest.raises(ValueError, match="gene ids of the profiles must be unique"):
        small().fit(genes)
    with pytest.raises(
        ValueError, match=r"a member of 4 latents needs .*; received 5 profiles and 50 genes .*\. Give more"
    ):
        small().fit(DATA[:5].copy())
    with pytest.raises(ValueError, match=r"a member of 4 latents needs .*; received 180 profiles and 3 genes"):
        small().fit(DATA[:, :3].copy())


def test_constant_genes_are_said() -> None:
    flat = DATA.copy()
    flat.X[:, 9] = 0
    with pytest.warns(UserWarning, match=r"1 of 50 are constant \(first: '1009'\)"):
        model = small().fit(flat)
    assert (model.weights("absolute").loc["1009"] == 0).all()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"families": ("ae", "gan")}, "families should be one or more of"),
        ({"families": ()}, "families should be one or more of"),
        ({"sizes": (5, 5)}, "each once; received"),
        ({"families": ("vae", "pca"), "covariates": ("dose",), "adjust": "decoder"}, "needs decoders"),
        ({"sizes": (0,)}, "sizes should be from 1"),
    ],
)
def test_fields_that_do_not_fit_are_refused(how: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        galenic.DeepPert(**how)
    model = small().fit(DATA)
    with pytest.raises(ValueError, match=r"kind should be one of .*; received 'abs'\. Choose"):
        model.weights("abs")


def test_the_published_pipeline_runs_as_it_is_described() -> None:
    model = galenic.DeepPert(as_published=True, sizes=(5,), runs=2, n_components=12).fit(DATA)
    table = model.latents_
    assert set(table["family"]) == {"vae"}
    assert (table["sign"] == 1).all()
    latents = np.concatenate(
        [
            encoded(layers, model._front().scores(model._deviations(np.asarray(DATA.X), DATA.obs)))
            for layers in model._encoders()
        ],
        axis=1,
    )
    expected = np.stack(
        [latents[:, table["cluster"] == k].mean(axis=1) for k in range(table["cluster"].max() + 1)], axis=1
    )
    np.testing.assert_allclose(model.embed(DATA), expected, atol=1e-6)
    assert model.history_["beta"].eq(1).all()
    assert len(model.history_) == 200


def test_pathways_are_found_by_symbol_or_id(model: galenic.DeepPert) -> None:
    by_symbol = {"planted": DATA.var["symbol"].to_numpy()[DATA.varm["programmes"][:, 0] != 0]}
    by_id = {"planted": DATA.var_names[DATA.varm["programmes"][:, 0] != 0]}
    one, other = model.enrich(by_symbol, top=12), model.enrich(by_id, top=12)
    pd.testing.assert_frame_equal(one, other)
    assert one["n"].eq(12).all()


def test_transform_is_embed_and_similarity_a_cosine(model: galenic.DeepPert) -> None:
    vectors = model.transform(DATA)
    np.testing.assert_array_equal(vectors, model.embed(DATA))
    similar = model.similarity(vectors, vectors)
    np.testing.assert_allclose(np.diag(similar), 1, atol=1e-6)
    np.testing.assert_allclose(similar, model.similarity(3 * vectors, vectors), atol=1e-6)
