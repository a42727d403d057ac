"""Neighbourhoods of cells: the dense solution, symmetries, and a sample in place of all cells."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData

from galenic.data import cell_matrix
from galenic.data.cell_matrix import CellMatrix
from galenic.data.neighbourhood import Neighbourhood, components
from galenic.evaluate import auroc


@pytest.fixture
def cells(rng: np.random.Generator) -> np.ndarray:
    """Two clouds of 60 cells."""
    return np.concatenate([rng.normal(size=(60, 5)), rng.normal(4.0, 1.0, size=(60, 5))])


def dense_graph(cells: np.ndarray, k: int) -> np.ndarray:
    """Links by a loop: half for each of two that name the other; shares of each cell."""
    n = len(cells)
    links = np.zeros((n, n))
    for i in range(n):
        distance = ((cells - cells[i]) ** 2).sum(axis=1)
        for j in np.argsort(distance, kind="stable")[:k]:
            links[i, j] = 1
    links = (links + links.T) / 2
    np.fill_diagonal(links, 0)
    return links / links.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("spread", [0.0, 0.5, 0.9])
def test_spread_scores_are_the_dense_solution(cells: np.ndarray, rng: np.random.Generator, spread: float) -> None:
    values = rng.normal(size=(120, 3))
    graph = dense_graph(cells, 7)
    found = Neighbourhood.of(cells, n_neighbours=7)
    np.testing.assert_allclose(found.graph.toarray(), graph, atol=1e-12)
    expected = (1 - spread) * np.linalg.solve(np.eye(120) - spread * graph, values)
    # A hundred steps leave 0.9^100 = 3e-5 of the values.
    np.testing.assert_allclose(found.smooth(values, spread=spread), expected, atol=2e-4)
    np.testing.assert_allclose(found.smooth(values[:, 1], spread=spread), expected[:, 1], atol=2e-4)


def test_order_of_cells_does_not_matter(cells: np.ndarray, rng: np.random.Generator) -> None:
    values, order = rng.normal(size=120), rng.permutation(120)
    there = Neighbourhood.of(cells).smooth(values)
    np.testing.assert_allclose(Neighbourhood.of(cells[order]).smooth(values[order]), there[order], atol=1e-10)


@pytest.mark.parametrize("n_landmarks", [5000, 60])
def test_spreading_is_linear_within_the_range_and_keeps_constants(
    cells: np.ndarray, rng: np.random.Generator, n_landmarks: int
) -> None:
    cells[:50] = 0.0  # cells that coincide, as empty ones do
    found = Neighbourhood.of(cells, n_neighbours=5, n_landmarks=n_landmarks)
    np.testing.assert_allclose(found.smooth(np.full(120, 2.5)), 2.5, atol=1e-10)
    a, b = rng.normal(size=(2, 120))
    np.testing.assert_allclose(found.smooth(2 * a - b), 2 * found.smooth(a) - found.smooth(b), atol=1e-10)
    assert found.smooth(a).min() >= a.min()
    assert found.smooth(a).max() <= a.max()


def test_a_noisy_score_of_two_kinds_gains_by_neighbours(cells: np.ndarray, rng: np.random.Generator) -> None:
    truth = np.repeat([0, 1], 60)
    noisy = truth + rng.normal(scale=2.0, size=120)
    smooth = Neighbourhood.of(cells).smooth(noisy)
    assert auroc(truth, noisy) < 0.75
    assert auroc(truth, smooth) > 0.99


def test_a_score_that_is_wrong_gains_nothing(cells: np.ndarray, rng: np.random.Generator) -> None:
    """Neighbours make a direction surer, not righter."""
    truth = np.repeat([0, 1], 60)
    wrong = -truth + rng.normal(scale=2.0, size=120)
    assert auroc(truth, Neighbourhood.of(cells).smooth(wrong)) < 0.05


def test_landmarks_are_nearly_all_cells(rng: np.random.Generator) -> None:
    centre = rng.normal(scale=4.0, size=(4, 5))
    kind = rng.integers(4, size=1500)
    cells = centre[kind] + rng.normal(size=(1500, 5))
    values = kind + rng.normal(size=1500)
    whole = Neighbourhood.of(cells).smooth(values)
    some = Neighbourhood.of(cells, n_landmarks=500, seed=3)
    assert some.lookup is not None
    assert len(some.landmarks) == 500
    np.testing.assert_allclose(some.lookup.sum(axis=1), 1)
    found = some.smooth(values)
    assert np.corrcoef(whole, found)[0, 1] > 0.97
    assert abs(whole.mean() - found.mean()) < 0.1
    np.testing.assert_array_equal(found, Neighbourhood.of(cells, n_landmarks=500, seed=3).smooth(values))
    assert not np.array_equal(found, Neighbourhood.of(cells, n_landmarks=500, seed=4).smooth(values))
    both = some.smooth(np.column_stack([values, -values]))
    np.testing.assert_allclose(both, np.column_stack([found, -found]))


def test_few_cells_and_cells_that_coincide_are_no_trouble() -> None:
    two = Neighbourhood.of(np.array([[0.0], [1.0]]))
    assert np.isfinite(two.smooth(np.array([1.0, -1.0]))).all()
    same = Neighbourhood.of(np.zeros((40, 2)))
    assert np.isfinite(same.smooth(np.arange(40.0))).all()


def test_too_little_to_link_is_refused() -> None:
    with pytest.raises(ValueError, match="needs two cells and two neighbours or more; received 1 and 15"):
        Neighbourhood.of(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="received 5 and 1"):
        Neighbourhood.of(np.zeros((5, 2)), n_neighbours=1)
    for spread in (-0.1, 1.0):
        with pytest.raises(ValueError, match=r"spread should be in \[0, 1\)"):
            Neighbourhood.of(np.arange(5.0)[:, None]).smooth(np.zeros(5), spread=spread)


def test_values_and_the_random_state_are_untouched(cells: np.ndarray) -> None:
    values = np.arange(120.0)
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    Neighbourhood.of(cells, n_landmarks=50).smooth(values)
    np.testing.assert_array_equal(values, np.arange(120.0))
    assert state == np.random.get_state()[1].tolist()  # noqa: NPY002


def test_components_hold_the_planted_kinds_and_ignore_constant_and_missing_features(rng: np.random.Generator) -> None:
    kind = np.repeat([0.0, 1.0], 50)
    x = kind[:, None] * np.r_[np.ones(10), np.zeros(20)] * 2 + rng.normal(size=(100, 30))
    x[:, 29] = 7.0
    adata = AnnData(x)
    adata.var_names = [f"GENE{number:02d}" for number in range(30)]
    whole = components(CellMatrix.of(adata), 3)
    assert whole.shape == (100, 3)
    assert abs(np.corrcoef(whole[:, 0], kind)[0, 1]) > 0.9
    names = list(adata.var_names)
    also = components(CellMatrix.of(adata, features=["ABSENT", *names[:29]], kind="scaled"), 3)
    np.testing.assert_allclose(np.abs(also), np.abs(whole), atol=1e-8)
    assert components(CellMatrix.of(AnnData(np.ones((5, 3)))), 3).shape == (5, 1)
    assert components(CellMatrix.of(adata[:4]), 20).shape == (4, 3)


def test_components_of_a_sample_and_of_blocks_are_those_of_all(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = rng.integers(3, size=400)
    x = rng.normal(size=(3, 25))[kind] * 3 + 0.3 * rng.normal(size=(400, 25))
    adata = AnnData(x)
    whole = components(CellMatrix.of(adata), 2)
    some = components(CellMatrix.of(adata), 2, most=150, seed=1)
    turned = some @ np.linalg.lstsq(some, whole, rcond=None)[0]  # nearly equal axes may be turned
    assert 1 - ((turned - whole) ** 2).sum() / (whole**2).sum() > 0.99
    monkeypatch.setattr(cell_matrix, "VALUES", 7 * adata.n_vars)
    np.testing.assert_allclose(components(CellMatrix.of(adata), 2), whole, atol=1e-10)
