"""Components, consensus and members of rows too many to hold are those of the rows held."""

from __future__ import annotations

import numpy as np
import pytest

from galenic.models.deeppert import components, front, latents, member
from galenic.models.deeppert.consensus import consensus
from galenic.models.deeppert.front import Deviations, Front
from galenic.models.deeppert.latents import Latents

NAMES = [f"G{number}" for number in range(30)]


@pytest.fixture
def values(rng: np.random.Generator) -> np.ndarray:
    return (rng.normal(size=(400, 4)) @ rng.normal(size=(4, 30)) * 3 + rng.normal(size=(400, 30))).astype(np.float32)


@pytest.mark.parametrize("square", [4096, 10])
def test_axes_found_block_by_block_are_those_of_the_whole(
    square: int, values: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    mean, axes = components.principal(values, 4)
    monkeypatch.setattr(components, "HELD", 0)
    monkeypatch.setattr(components, "BLOCK", 1000)
    monkeypatch.setattr(components, "SQUARE", square)
    other_mean, other = components.principal(values, 4)
    np.testing.assert_allclose(other_mean, mean, atol=1e-6)
    np.testing.assert_allclose(other, axes, atol=1e-5)


def test_a_front_learned_block_by_block_gives_the_same_scores(
    values: np.ndarray, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = np.eye(3, dtype=np.float32)[rng.integers(3, size=400)]  # centred, these depend on each other
    whole = Front.fit(values, cell, NAMES, n_components=4)
    expected = whole.scores(whole.deviations(values, cell))
    for module in (components, front):
        monkeypatch.setattr(module, "BLOCK", 1000)
    monkeypatch.setattr(components, "HELD", 0)
    other = Front.fit(values, cell, NAMES, n_components=4)
    np.testing.assert_allclose(Deviations(values, cell, other).scores(), expected, atol=1e-4)
    shortest = np.linalg.lstsq(cell - cell.mean(axis=0, dtype=np.float64), values - values.mean(axis=0), rcond=None)[0]
    np.testing.assert_allclose(other.effects, shortest, atol=1e-4)


def test_a_consensus_of_blocks_is_that_of_the_whole(
    values: np.ndarray, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = [[(rng.normal(size=(3, 30)), rng.normal(size=3))] for _ in range(6)]
    scores, owners = np.abs(values), np.repeat(np.arange(6), 3)
    whole = consensus(Latents(scores, layers), owners, n_consensus=4, shared=0.0)
    monkeypatch.setattr(latents, "HELD", 0)
    monkeypatch.setattr(latents, "BLOCK", 500)
    monkeypatch.setattr(member, "ROWS", 7)
    other = consensus(Latents(scores, layers), owners, n_consensus=4, shared=0.0)
    np.testing.assert_array_equal(other.labels, whole.labels)
    np.testing.assert_array_equal(other.signs, whole.signs)
    for name in ("centre", "deviation", "agreement", "link"):
        np.testing.assert_allclose(getattr(other, name), getattr(whole, name), atol=1e-9)
