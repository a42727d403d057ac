"""Consensus: planted directions come back whatever their signs, order and scale; averages are averages."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from galenic.models.deeppert.consensus import averaging, consensus


def copies(rng: np.random.Generator, noise: float = 0.4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sources, noisy copies of them with any sign, mean and scale, and which is of which."""
    sources, which = rng.gamma(1, size=(200, 5)), np.repeat(np.arange(5), 20)
    latents = sources[:, which] / sources[:, which].std(axis=0) + noise * rng.normal(size=(200, 100))
    return sources, latents * rng.choice([-3.0, -0.5, 0.1, 2.0], size=100) + rng.normal(size=100), which


@pytest.mark.parametrize("how", [{}, {"n_consensus": 5}, {"choose": "g-means"}])
def test_planted_sources_are_found(how: dict[str, object], rng: np.random.Generator) -> None:
    sources, latents, which = copies(rng)
    found = consensus(latents, np.arange(100) % 10, **how)
    assert adjusted_rand_score(which, found.labels) == 1
    dimensions = (latents - found.centre) @ found.mixing()
    r = np.corrcoef(sources.T, dimensions.T)[:5, 5:]
    assert (r.max(axis=0) > 0.98).all()  # positive: dimensions are turned to where their extremes are
    assert (found.curve is None) == (how != {})
    assert (found.agreement > 0.7).all()


def test_signs_scales_and_order_of_latents_do_not_matter(rng: np.random.Generator) -> None:
    _, latents, _ = copies(rng, noise=0.8)
    order, change = rng.permutation(100), rng.choice([-2.0, 1.0, 5.0], size=100)
    one, other = consensus(latents, np.arange(100)), consensus((latents * change + 3)[:, order], np.arange(100)[order])
    assert adjusted_rand_score(one.labels[order], other.labels) == 1
    a, b = (
        x @ f.mixing() - f.centre @ f.mixing() for x, f in ((latents, one), ((latents * change + 3)[:, order], other))
    )
    r = np.corrcoef(a.T, b.T)[: one.n, one.n :]
    np.testing.assert_allclose(np.sort(r.max(axis=1)), 1, atol=1e-8)


def test_dimensions_are_means_of_aligned_standard_latents(rng: np.random.Generator) -> None:
    _, latents, _ = copies(rng)
    found = consensus(latents, np.arange(100), n_consensus=4)
    dimensions = (latents - found.centre) @ found.mixing()
    for number in range(4):
        own = found.labels == number
        z = (latents[:, own] - latents[:, own].mean(axis=0)) / latents[:, own].std(axis=0) * found.signs[own]
        np.testing.assert_allclose(dimensions[:, number], z.mean(axis=1), atol=1e-12)
        r = np.corrcoef(z.T)
        np.testing.assert_allclose(found.agreement[own], (r.sum(axis=0) - 1) / (own.sum() - 1), atol=1e-10)
    strength = [(dimensions[:, k] ** 2).mean() * (found.labels == k).sum() for k in range(4)]
    assert strength == sorted(strength, reverse=True)


def test_idle_latents_belong_nowhere(rng: np.random.Generator) -> None:
    _, latents, which = copies(rng)
    latents[:, [3, 50]] = [0.0, 1.7]
    found = consensus(latents, np.arange(100))
    assert found.labels[[3, 50]].tolist() == [-1, -1]
    assert np.isnan(found.agreement[[3, 50]]).all()
    assert (found.mixing()[[3, 50]] == 0).all()
    assert adjusted_rand_score(np.delete(which, [3, 50]), np.delete(found.labels, [3, 50])) == 1
    with pytest.raises(
        ValueError, match=r"a consensus of some dimensions .*; received 100, of which 0 vary and 0 .*\. Fit more"
    ):
        consensus(latents * 0, np.arange(100))
    with pytest.raises(ValueError, match=r"a consensus of 99 dimensions .*, of which 98 vary and 98 are shared"):
        consensus(latents, np.arange(100), n_consensus=99)


def test_what_no_other_member_shares_is_set_aside(rng: np.random.Generator) -> None:
    """Members have copies of two sources and latents of their own; the same again within a member is no support."""
    sources, owners = rng.gamma(1, size=(200, 2)), np.repeat(np.arange(12), 5)
    latents = rng.normal(size=(200, 12, 5))
    latents[:, :, :2] = sources[:, None] + 0.2 * latents[:, :, :2]
    latents[:, :, 4] = latents[:, :, 3]
    found = consensus(latents.reshape(200, 60), owners)
    assert found.n == 2
    assert (found.labels.reshape(12, 5)[:, :2] == found.labels[:2]).all()
    assert (found.labels.reshape(12, 5)[:, 2:] == -1).all()
    z = (latents - latents.mean(axis=0)) / latents.std(axis=0)
    r = np.abs(np.einsum("nai,nbj->aibj", z, z)) / 200
    r[np.arange(12), :, np.arange(12)] = 0
    np.testing.assert_allclose(found.link, r.max(axis=(2, 3)).ravel(), atol=1e-10)
    assert consensus(latents.reshape(200, 60), owners, shared=0.0, n_consensus=9).n == 9
    with pytest.raises(
        ValueError, match=r"two members share \(correlation 0\.5 or more\); received 36, .* 0 are shared"
    ):
        consensus(latents[:, :, 2:].reshape(200, 36), np.repeat(np.arange(12), 3))


def test_copies_that_were_split_are_merged(rng: np.random.Generator) -> None:
    """Two families with the same direction, one noisier: G-means may tell them apart, their averages are one."""
    source = rng.gamma(1, size=(300, 2))
    which = np.repeat([0, 0, 1], 40)
    noise = np.repeat([0.1, 0.6, 0.3], 40)
    common = rng.normal(size=(300, 1)) * np.repeat([0.0, 0.5, 0.0], 40)
    latents = source[:, which] + common + noise * rng.normal(size=(300, 120))
    apart, joined = (consensus(latents, np.arange(120), choose="g-means", merge=merge) for merge in (1.0, 0.8))
    assert apart.n > joined.n == 2
    assert adjusted_rand_score(which, joined.labels) == 1


def test_without_alignment_latents_stay_as_they_are(rng: np.random.Generator) -> None:
    _, latents, _ = copies(rng)
    found = consensus(latents, np.arange(100), n_consensus=3, align=False)
    assert (found.signs == 1).all()
    np.testing.assert_allclose(latents @ found.mixing(), latents @ averaging(found.labels, 3))
    opposite = np.concatenate([latents[:, :1], -latents[:, :1]], axis=1)
    assert np.abs(opposite @ consensus(opposite, np.arange(2), n_consensus=1, align=False).mixing()).max() < 1e-12
    assert np.abs(opposite @ consensus(opposite, np.arange(2), n_consensus=1).mixing()).max() > 1
