"""Two kinds of cells behind one score."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from galenic.models.scatd.mixture import Mixture


def two(rng: np.random.Generator, n: int = 400, share: float = 0.3, gap: float = 4.0) -> np.ndarray:
    high = rng.random(n) < share
    return rng.normal(size=n) + gap * high


def test_it_is_the_mixture_of_the_reference_library(rng: np.random.Generator) -> None:
    scores = two(rng)
    known = GaussianMixture(2, covariance_type="tied", tol=1e-9, max_iter=1000, random_state=0, n_init=5)
    known.fit(scores[:, None])
    found = Mixture.of(scores)
    assert found is not None
    np.testing.assert_allclose([found.low, found.high], np.sort(known.means_[:, 0]), atol=0.02)
    np.testing.assert_allclose(found.sd**2, known.covariances_[0, 0], rtol=0.02)
    high = int(known.means_[:, 0].argmax())
    np.testing.assert_allclose(found.posterior(scores), known.predict_proba(scores[:, None])[:, high], atol=0.01)
    one = GaussianMixture(1).fit(scores[:, None])
    # The tied mixture has two parameters more than one distribution.
    gain = 2 * len(scores) * (known.score(scores[:, None]) - one.score(scores[:, None])) - 2 * np.log(len(scores))
    assert found.gain == pytest.approx(gain, abs=0.1)


def test_one_kind_is_seldom_taken_for_two() -> None:
    found = [Mixture.of(np.random.default_rng(seed).normal(size=200)) for seed in range(50)]
    assert sum(mixture is not None for mixture in found) <= 2


@pytest.mark.parametrize("share", [0.05, 0.2, 0.8])
def test_unequal_shares_are_found(share: float, rng: np.random.Generator) -> None:
    found = Mixture.of(two(rng, n=2000, share=share, gap=5.0))
    assert found is not None
    assert found.share == pytest.approx(share, abs=0.03)


def test_order_of_cells_does_not_matter_and_missing_ones_are_left_out(rng: np.random.Generator) -> None:
    scores = two(rng)
    assert Mixture.of(rng.permutation(scores)) == Mixture.of(scores)
    assert Mixture.of(np.append(scores, np.nan)) == Mixture.of(scores)


def test_turned_scores_turn_the_kinds(rng: np.random.Generator) -> None:
    scores = two(rng)
    found, turned = Mixture.of(scores), Mixture.of(-scores)
    assert found is not None
    assert turned is not None
    assert turned.share == pytest.approx(1 - found.share, abs=1e-4)
    np.testing.assert_allclose(turned.posterior(-scores), 1 - found.posterior(scores), atol=1e-3)


def test_posterior_rises_with_the_score(rng: np.random.Generator) -> None:
    found = Mixture.of(two(rng))
    assert found is not None
    assert (np.diff(found.posterior(np.linspace(-10, 10, 200))) >= 0).all()


@pytest.mark.parametrize("scores", [np.zeros(100), np.arange(5.0), np.full(50, np.nan)])
def test_too_little_to_tell_is_one_kind(scores: np.ndarray) -> None:
    assert Mixture.of(scores) is None
