"""ReadAcross: what its fields do, piece by piece."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from profile_cases import BRIEF, few_profiles

from galenic.data.aligned import Aligned
from galenic.data.simulate import profiles
from galenic.models.profiles.discriminant import scatter
from galenic.models.profiles.profile_model import classes, unit
from galenic.models.readacross import context, model
from galenic.models.readacross.member import Features
from galenic.models.readacross.model import ReadAcross

SMALL = {"n_members": 1, "n_latent": 8, "width": 8, "growth": 16, "training": BRIEF}


def test_the_network_of_the_publication() -> None:
    """64 layers of 16 on 978 genes: 2,002 features, a trunk of 1.52 million weights, 32 dimensions."""
    adata = profiles(n_perturbagens=4, n_genes=978, n_cells=2)
    fitted = ReadAcross(as_published=True, training=BRIEF).fit(adata)
    (encoder,) = fitted._encoders()
    trunk = sum(layer.weight.numel() for layer in encoder.dense.layers)
    assert encoder.dense.n_seen == 2002
    assert trunk == pytest.approx(1.52e6, rel=0.01)
    assert encoder.dense.out.weight.numel() == 2002 * 32
    assert fitted.embed(adata).shape == (8, 32)
    assert not fitted.offsets(fitted.embed(adata)).any()


def test_features_have_variance_1_and_are_the_same_when_computed_late(monkeypatch: pytest.MonkeyPatch) -> None:
    adata = few_profiles()
    rows, codes = Aligned(adata, list(adata.var_names)), classes(adata, "pert_id")[0]
    for whiten in (True, False):
        front = model._front(ReadAcross(whiten=whiten), scatter(rows, codes, 3.0), 1.0)
        features = Features(rows, front)
        np.testing.assert_allclose(features[:].std(axis=0), 1, atol=1e-3)
        np.testing.assert_array_equal(features[np.array([2, 5])], features[:][[2, 5]])
    at_once = ReadAcross(**SMALL).fit(adata).embed(adata)
    monkeypatch.setattr(model, "RESIDENT", 0)
    np.testing.assert_array_equal(ReadAcross(**SMALL).fit(adata).embed(adata), at_once)


def test_offsets_are_half_the_mean_similarity_to_the_nearest_training_profiles() -> None:
    fitted = ReadAcross(**SMALL).fit(few_profiles())
    vectors, cohort = fitted.embed(few_profiles())[:5], fitted.arrays_["usual/training"]
    expected = [0.5 * np.mean(sorted((cohort @ vector).tolist())[-50:]) for vector in vectors]
    np.testing.assert_allclose(fitted.offsets(vectors), expected, atol=1e-6)
    plain = vectors @ vectors.T
    np.testing.assert_allclose(fitted.similarity(vectors, vectors), plain - np.add.outer(expected, expected), atol=1e-5)


def test_without_hubs_similarity_is_the_cosine() -> None:
    fitted = ReadAcross(**SMALL, hubs=0.0).fit(few_profiles())
    vectors = fitted.embed(few_profiles())
    np.testing.assert_allclose(fitted.similarity(vectors, vectors), vectors @ vectors.T, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_start_of_weight_0_is_absent_and_no_members_leave_the_start() -> None:
    adata = few_profiles()
    alone = ReadAcross(**SMALL, start=0.0).fit(adata)
    assert "directions" not in alone.arrays_
    start = ReadAcross(**{**SMALL, "n_members": 0, "n_latent": 256}, hubs=0.0).fit(adata)
    assert start.history_ is None
    squashed = np.tanh(adata.X.astype(float) / 3) - start.arrays_["mean"]
    directions = unit(squashed @ start.arrays_["directions"])
    vectors = start.embed(adata)
    np.testing.assert_allclose(vectors @ vectors.T, directions @ directions.T, atol=1e-4)


def test_neither_networks_nor_a_start_is_refused() -> None:
    with pytest.raises(ValueError, match="needs networks or a start"):
        ReadAcross(n_members=0, start=0.0)


def test_the_context_reaches_the_networks() -> None:
    adata = few_profiles()
    fitted = ReadAcross(**SMALL, start=0.0, context=("cell", "dose")).fit(adata)
    moved = adata.copy()
    moved.obs["cell"] = np.roll(adata.obs["cell"].to_numpy(), 1)
    assert not np.allclose(fitted.embed(moved), fitted.embed(adata))
    blind, other = adata.copy(), adata.copy()
    blind.obs = blind.obs.drop(columns="cell")
    other.obs["cell"] = "K562"
    with pytest.warns(UserWarning, match="no such column"):
        fitted.embed(blind)
    with pytest.warns(UserWarning, match="were not seen in the fit"):
        fitted.embed(other)


def test_context_of_numbers_is_standardised_and_missing_is_0() -> None:
    obs = pd.DataFrame({"dose": [0.1, 1.0, 10.0, np.nan], "cell": ["A", None, "B", "A"]})
    how = context.learn(obs, ["dose", "cell"])
    found = context.encode(obs, how)
    assert context.width(how) == found.shape[1] == 3
    np.testing.assert_allclose(found[:3, 0].mean(), 0, atol=1e-6)
    assert found[3, 0] == 0
    assert found[1, 1:].tolist() == [0, 0]


def test_the_mechanism_is_a_term_of_its_own() -> None:
    adata = few_profiles()
    history = ReadAcross(**SMALL, mechanism=0.5).fit(adata).history_
    assert {"train_perturbagen", "train_mechanism"} <= set(history)
    assert "train_mechanism" not in ReadAcross(**SMALL).fit(adata).history_
    unknown = adata.copy()
    unknown.obs["moa"] = None
    with pytest.raises(ValueError, match="'moa' should have two profiles or more"):
        ReadAcross(**SMALL, mechanism=0.5).fit(unknown)


def test_validation_profiles_are_watched_only() -> None:
    adata = few_profiles()
    first, second = adata[:45].copy(), adata[45:].copy()
    watched = ReadAcross(**SMALL).fit(first, valid=second)
    assert "valid_perturbagen" in watched.history_
    np.testing.assert_array_equal(watched.embed(second), ReadAcross(**SMALL).fit(first).embed(second))


def test_profiles_without_a_label_are_not_learned_from() -> None:
    adata = few_profiles().copy()
    adata.obs["pert_id"] = adata.obs["pert_id"].astype("object")
    some = adata.copy()
    some.obs.iloc[:6, some.obs.columns.get_loc("pert_id")] = None
    fitted, rest = ReadAcross(**SMALL).fit(some), ReadAcross(**SMALL).fit(some[6:].copy())
    np.testing.assert_allclose(fitted.arrays_["directions"], rest.arrays_["directions"], atol=1e-9)
    assert len(fitted.arrays_["usual/training"]) == len(adata) - 6


def test_strange_and_weak_profiles_are_flagged() -> None:
    adata = few_profiles()
    fitted = ReadAcross(**SMALL).fit(adata)
    asked = adata[:3].copy()
    asked.X[0] = 0.01
    told = fitted.judge(asked)
    assert list(told.index) == list(asked.obs_names)
    assert "weak" in told["flag"].iloc[0]
    assert told["reason"].iloc[0]


def test_threads_of_the_caller_are_left_alone() -> None:
    before = torch.get_num_threads()
    ReadAcross(**SMALL).fit(few_profiles(), n_jobs=2)
    assert torch.get_num_threads() == before
