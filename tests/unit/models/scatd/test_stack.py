"""Networks are heard where lines that were left out say so."""

from __future__ import annotations

import numpy as np

from galenic.models.scatd.stack import joined


def lines(rng: np.random.Generator, n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two signals, the labels that both make, and folds."""
    one, two = rng.normal(size=(2, n))
    y = (one + two + 0.5 * rng.normal(size=n) > 0).astype(int)
    return one, two, y, np.arange(n) % 5


def test_networks_that_know_more_get_a_share(rng: np.random.Generator) -> None:
    one, two, y, fold = lines(rng)
    found = joined(one, two, y, fold)
    assert 0.3 < found.share < 0.7
    assert found.start > 0
    assert found.network > 0


def test_noise_and_repetition_get_none() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        one, _, y, fold = lines(rng)
        assert joined(one, rng.normal(size=len(y)), y, fold).share == 0.0
        assert joined(one, one + 1e-6 * rng.normal(size=len(y)), y, fold).share == 0.0


def test_a_score_that_points_the_wrong_way_counts_nothing(rng: np.random.Generator) -> None:
    one, two, y, fold = lines(rng)
    found = joined(one, -two, y, fold)
    assert found.network == 0.0
    assert joined(-one, None, y, fold).start == 0.0


def test_left_out_logits_did_not_see_their_fold(rng: np.random.Generator) -> None:
    one, _, y, fold = lines(rng)
    before = joined(one, None, y, fold).left_out
    flipped = np.where(fold == 2, 1 - y, y)
    after = joined(one, None, flipped, fold).left_out
    np.testing.assert_allclose(after[fold == 2], before[fold == 2])
    assert np.abs(after - before)[fold != 2].max() > 0.1


def test_scale_and_level_of_scores_do_not_matter(rng: np.random.Generator) -> None:
    one, two, y, fold = lines(rng)
    np.testing.assert_allclose(
        joined(100 * one, two / 7, y, fold).left_out, joined(one, two, y, fold).left_out, atol=1e-3
    )


def test_networks_alone_are_all_there_is(rng: np.random.Generator) -> None:
    _, two, y, fold = lines(rng)
    found = joined(None, two, y, fold)
    assert found.share == 1.0
    assert found.start == 0.0
