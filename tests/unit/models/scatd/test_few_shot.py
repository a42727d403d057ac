"""A few labels: ridge on a cell and on its neighbourhood."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData

from galenic.data.cell_matrix import CellMatrix
from galenic.data.neighbourhood import Neighbourhood, components
from galenic.models.scatd.few_shot import LEAST, NOISE, FewShot


def two_kinds(
    rng: np.random.Generator, n: int = 80, d: int = 60, gap: float = 0.6
) -> tuple[CellMatrix, Neighbourhood, np.ndarray]:
    """Cells of two kinds that no single gene tells apart."""
    y = np.arange(n) % 2
    x = rng.normal(size=(n, d)) + gap * np.outer(2 * y - 1, rng.choice([-1, 1], d))
    matrix = CellMatrix.of(AnnData(x))
    return matrix, Neighbourhood.of(components(matrix), n_neighbours=10), y


def naive(matrix: CellMatrix, graph: Neighbourhood, rows: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The same with kernels of all cells."""
    x = matrix.dense()
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    walk = 0.1 * np.linalg.inv(np.eye(len(x)) - 0.9 * graph.graph.toarray())
    kernels = []
    for part in (x, walk @ x):
        part = part - part.mean(axis=0)
        kernels.append(part @ part.T / ((part**2).sum() / len(part)))
    kernel = sum(kernels)
    return kernel[:, rows] @ np.linalg.solve(kernel[np.ix_(rows, rows)] + NOISE * np.eye(len(y)), 2.0 * y - 1)


def test_it_is_ridge_with_the_sum_of_two_kernels(rng: np.random.Generator) -> None:
    matrix, graph, y = two_kinds(rng)
    rows = np.array([0, 1, 6, 9])
    few = FewShot.of(matrix, graph, rows, y[rows], spread=0.9)
    np.testing.assert_allclose(few.score(matrix, graph, 0.9), naive(matrix, graph, rows, y[rows]), atol=2e-4)


def test_one_label_of_each_class_moves_cells_that_resemble_it(rng: np.random.Generator) -> None:
    matrix, graph, y = two_kinds(rng, n=300, gap=0.35)
    few = FewShot.of(matrix, graph, np.array([0, 1]), y[:2], spread=0.9)
    scores = few.score(matrix, graph, 0.9)
    assert np.mean((scores > 0) == y) > 0.9
    alone = FewShot.of(matrix, None, np.array([0, 1]), y[:2], spread=0.9).score(matrix, None, 0.9)
    assert np.mean((alone > 0) == y) < np.mean((scores > 0) == y)


def test_turned_labels_turn_the_scores(rng: np.random.Generator) -> None:
    matrix, graph, y = two_kinds(rng)
    rows = np.arange(6)
    one, other = (FewShot.of(matrix, graph, rows, labels, spread=0.9) for labels in (y[:6], 1 - y[:6]))
    np.testing.assert_allclose(one.score(matrix, graph, 0.9), -other.score(matrix, graph, 0.9), atol=1e-9)
    assert one.right == other.right


def test_trust_grows_with_labels_that_agree_and_not_with_labels_at_random(rng: np.random.Generator) -> None:
    matrix, graph, y = two_kinds(rng)
    trust = [FewShot.of(matrix, graph, np.arange(n), y[:n], spread=0.9).right for n in (2, 6, 20)]
    assert trust[0] == 0.75
    assert trust[0] < trust[1] < trust[2]
    at_random = rng.permutation(y[:20])
    assert FewShot.of(matrix, graph, np.arange(20), at_random, spread=0.9).right < trust[1]


def test_right_is_the_share_that_the_others_tell(rng: np.random.Generator) -> None:
    matrix, graph, y = two_kinds(rng, d=8)
    rows = np.arange(10)
    told = 0
    x = [matrix.dense(), None]
    x[0] = (x[0] - x[0].mean(axis=0)) / x[0].std(axis=0)
    x[1] = graph.smooth(x[0], spread=0.9)
    parts = [(part - part.mean(axis=0)) / np.sqrt(part.var(axis=0).sum()) for part in x]
    features = np.concatenate(parts, axis=1)
    for row in rows:
        rest = np.setdiff1d(rows, [row])
        kernel = features[rest] @ features[rest].T + NOISE * np.eye(9)
        score = features[row] @ features[rest].T @ np.linalg.solve(kernel, 2.0 * y[rest] - 1)
        told += (score > 0) == (y[row] == 1)
    found = FewShot.of(matrix, graph, rows, y[rows], spread=0.9).right
    assert found == pytest.approx(max(LEAST, (told + 1) / 12))
