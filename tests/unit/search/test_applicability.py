"""Applicability: distances against a loop, planted outsiders and weak profiles, state."""

from __future__ import annotations

import numpy as np
import pytest

from galenic.search import Applicability, activity, applicability, signature_strength


@pytest.fixture
def training(rng):
    return rng.normal(size=(400, 6)) + np.array([3.0, 0, 0, 0, 0, 0])


def test_distances_equal_the_loop(training, rng, monkeypatch):
    unit = training / np.linalg.norm(training, axis=1, keepdims=True)
    own = [min(1 - unit[i] @ unit[j] for j in range(400) if j != i) for i in range(400)]
    monkeypatch.setattr(applicability, "BLOCK", 3_000)
    trained = Applicability(training)
    np.testing.assert_allclose(trained.distances, np.quantile(own, np.linspace(0, 1, 1_001)), atol=1e-6)
    queries = rng.normal(size=(20, 6))
    table = trained.judge(queries)
    for row, query in zip(table.itertuples(), queries / np.linalg.norm(queries, axis=1, keepdims=True), strict=True):
        values = 1 - unit @ query
        assert row.distance == pytest.approx(values.min(), abs=1e-6)
        assert row.nearest == values.argmin()
        assert row.distance_quantile == pytest.approx(np.mean(np.array(own) < row.distance), abs=0.005)


def test_queries_like_training_are_seldom_far_and_outsiders_are(training, rng):
    trained = Applicability(training[:200])
    assert (trained.judge(training[200:])["flag"] == "far").mean() < 0.06
    assert (trained.judge(-training)["flag"] == "far").mean() > 0.95


def test_weak_profiles_are_flagged(training):
    strength = np.arange(400)
    trained = Applicability(training, strength)
    table = trained.judge(training[[1, 2, 3, 4]], np.array([5, 200, 300, 300]), np.array([np.nan, np.nan, 0.9, 0.01]))
    assert table["flag"].tolist() == ["weak", "", "", "weak"]
    assert "changed genes" in table["reason"][0]
    assert "activity below 0.2" in table["reason"][3]
    both = trained.judge(-training[[1]], np.array([0]))
    assert both["flag"].tolist() == ["weak, far"]
    assert both["reason"].str.contains("; ").all()
    assert (
        Applicability(training).judge(training[:3])[["strength", "strength_quantile", "activity"]].isna().all(axis=None)
    )


def test_activity_and_strength():
    profiles = np.array([[2.5, -3.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    assert signature_strength(profiles).tolist() == [2, 0]
    assert activity(np.array([2, 0, 2]), np.array([0.5, 1, np.nan]), n_genes=4)[:2].tolist() == [0.5, 0.0]
    assert np.isnan(activity(np.array([2]), np.array([np.nan])))


def test_the_state_is_arrays_and_enough(training, rng, tmp_path):
    trained = Applicability(training, np.arange(400), far=0.9)
    np.savez(tmp_path / "state.npz", **trained.state())
    with np.load(tmp_path / "state.npz", allow_pickle=False) as file:
        again = Applicability.from_state(dict(file))
    queries, strength = rng.normal(size=(30, 6)), rng.integers(0, 400, 30)
    assert trained.judge(queries, strength).equals(again.judge(queries, strength))


def test_a_sample_of_training_rows_is_near_the_whole(training):
    whole, some = Applicability(training), Applicability(training, max_rows=200)
    assert some.distances[500] == pytest.approx(whole.distances[500], rel=0.2)


def test_refusals(training):
    with pytest.raises(ValueError, match="at least 2 training profiles; received 1"):
        Applicability(training[:1])
    with pytest.raises(ValueError, match="strength should hold one number for each of 400"):
        Applicability(training, np.zeros(3))
    with pytest.raises(ValueError, match="6 columns"):
        Applicability(training).judge(np.ones((1, 3)))
    with pytest.raises(ValueError, match="the state needs distances"):
        Applicability.from_state({"training": training})
    with pytest.raises(ValueError, match="all zero"):
        Applicability(training).judge(np.zeros((1, 6)))
