"""Drug vectors, replicate weights and concentration against loops over groups; planted outliers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from galenic.search import (
    aggregate,
    best_over,
    concentration,
    perturbagens,
    replicate_correlation,
    replicate_weights,
)


@pytest.fixture
def profiles(rng):
    labels = np.append(rng.choice(list("abcdef"), 60), "single")
    return rng.normal(size=(61, 12)) + 0.7 * rng.normal(size=(1, 12)), labels


def naive_weights(own, correlation):
    if len(own) == 1:
        return np.ones(1)
    raw = []
    for i in range(len(own)):
        with_others = []
        for j in range(len(own)):
            if i != j:
                cosine = own[i] @ own[j] / np.linalg.norm(own[i]) / np.linalg.norm(own[j])
                with_others.append(max(0, spearmanr(own[i], own[j])[0] if correlation == "spearman" else cosine))
        raw.append(max(0.01, np.mean(with_others)))
    return np.array(raw) / sum(raw)


@pytest.mark.parametrize("correlation", ["spearman", "cosine"])
@pytest.mark.parametrize("pairs", [4_000_000, 30])
def test_replicate_weights_equal_the_loop(profiles, correlation, pairs, monkeypatch):
    monkeypatch.setattr(perturbagens, "PAIRS", pairs)
    vectors, labels = profiles
    weights = replicate_weights(vectors, labels, correlation)
    for label in set(labels):
        np.testing.assert_allclose(weights[labels == label], naive_weights(vectors[labels == label], correlation))


@pytest.mark.parametrize("how", ["mean", "modz"])
@pytest.mark.parametrize("normalise", [True, False])
def test_aggregate_equals_the_loop(profiles, how, normalise):
    vectors, labels = profiles
    merged, table = aggregate(vectors, labels, how, normalise=normalise)
    assert list(table.index) == sorted(set(labels))
    for row, label in enumerate(table.index):
        own = vectors[labels == label]
        weights = naive_weights(own, "spearman") if how == "modz" else np.full(len(own), 1 / len(own))
        expected = weights @ (own / np.linalg.norm(own, axis=1, keepdims=True) if normalise else own)
        expected = expected / np.linalg.norm(expected) if normalise else expected
        np.testing.assert_allclose(merged[row], expected)
        assert table["n"].iloc[row] == len(own)


def test_two_replicates_weigh_the_same_and_an_outlier_little(rng):
    assert replicate_weights(rng.normal(size=(2, 30)), ["x", "x"]).tolist() == [0.5, 0.5]
    signal = rng.normal(size=50)
    vectors = np.vstack([signal + 0.3 * rng.normal(size=(4, 50)), rng.normal(size=(1, 50))])
    weights = replicate_weights(vectors, ["x"] * 5)
    assert weights[4] < weights[:4].min() / 3
    modz, mean = (aggregate(vectors, ["x"] * 5, how)[0][0] for how in ("modz", "mean"))
    assert np.corrcoef(modz, signal)[0, 1] > np.corrcoef(mean, signal)[0, 1]


def test_replicate_correlation_equals_the_loop(profiles):
    vectors, labels = profiles
    values = replicate_correlation(vectors, labels)
    for label in "abcdef":
        own = vectors[labels == label]
        pairs = [spearmanr(own[i], own[j])[0] for i in range(len(own)) for j in range(i)]
        assert values[label] == pytest.approx(np.mean(pairs))
    assert np.isnan(values["single"])


def test_concentration(rng):
    vectors = np.vstack([np.tile([1.0, 2.0, 2.0], (4, 1)), [[1.0, 0, 0], [-1.0, 0, 0]], rng.normal(size=(1, 3))])
    labels = ["equal"] * 4 + ["opposite"] * 2 + ["one"]
    table = concentration(vectors.astype(np.float32), labels)
    assert table.loc["equal", "resultant"] == 1
    assert np.isinf(table.loc["equal", "kappa"])
    assert table.loc["opposite", "resultant"] == pytest.approx(0)
    assert table.loc["one"].isna().tolist() == [False, True, True]
    assert np.isnan(aggregate(vectors, labels)[0][2]).all()  # opposite directions have no mean
    # A planted concentration comes back.
    from scipy.stats import vonmises_fisher

    drawn = vonmises_fisher([0, 0, 0, 1.0], 20.0, seed=0).rvs(4_000)
    assert concentration(drawn, np.zeros(4_000))["kappa"].iloc[0] == pytest.approx(20, rel=0.05)


@pytest.mark.parametrize("how", ["max", "mean", 0.9])
def test_best_over_equals_the_loop(rng, how):
    similarity, labels = rng.normal(size=(4, 50)), rng.choice(list("xyz"), 50)
    similarity[0, 3] = np.nan
    table = best_over(similarity, labels, how)
    reduce = {"max": np.nanmax, "mean": np.nanmean}.get(how, lambda own: np.nanquantile(own, 0.9))
    for label in "xyz":
        np.testing.assert_allclose(table[label], [reduce(row[labels == label]) for row in similarity])


def test_order_of_profiles_changes_nothing(profiles, rng):
    vectors, labels = profiles
    order = rng.permutation(len(vectors))
    (left, one), (right, two) = aggregate(vectors, labels, "modz"), aggregate(vectors[order], labels[order], "modz")
    np.testing.assert_allclose(left, right, atol=1e-12)
    pd.testing.assert_frame_equal(one, two)


def test_refusals(rng):
    vectors = rng.normal(size=(3, 4))
    with pytest.raises(ValueError, match=r"'mean' or 'modz'; received 'max'.*best_over"):
        aggregate(vectors, list("aab"), "max")
    with pytest.raises(ValueError, match="received 2 labels, 0 of them missing"):
        aggregate(vectors, list("aa"))
    with pytest.raises(ValueError, match="'spearman' or 'cosine'; received 'pearson'"):
        replicate_weights(vectors, list("aab"), "pearson")
    with pytest.raises(ValueError, match="quantile from 0 to 1; received 2"):
        best_over(vectors, list("aabb"), 2)
    with pytest.raises(ValueError, match="quantile from 0 to 1; received 'median'"):
        best_over(vectors, list("aabb"), "median")
