"""Shift of aligned domains: what is planted is seen, what is not there is not."""

from __future__ import annotations

import numpy as np
import pytest

from galenic.evaluate.cell_shift import cell_shift, coexpression, told_apart
from galenic.evaluate.shift import domain_shift


def together(rng: np.random.Generator, n: int, axes: np.ndarray) -> np.ndarray:
    return rng.normal(size=(n, len(axes))) @ axes + rng.normal(size=(n, axes.shape[1]))


def test_coexpression_is_the_correlation_of_correlations(rng: np.random.Generator) -> None:
    """Against a naive twin, and as a test: uniform without, smallest with a shared structure."""
    axes = rng.normal(size=(3, 12))
    a, b = together(rng, 200, axes), together(rng, 150, axes)
    pairs = [(i, j) for i in range(12) for j in range(i)]
    known = [np.corrcoef(a[:, i], a[:, j])[0, 1] for i, j in pairs]
    asked = [np.corrcoef(b[:, i], b[:, j])[0, 1] for i, j in pairs]
    value, p_value = coexpression(a, b, n_permutations=99)
    assert value == pytest.approx(np.corrcoef(known, asked)[0, 1])
    assert p_value == pytest.approx(0.01)
    alone = [
        coexpression(rng.normal(size=(60, 12)), rng.normal(size=(60, 12)), n_permutations=19)[1] for _ in range(60)
    ]
    assert 0.35 < np.mean(alone) < 0.68


def test_coexpression_sees_wrong_names_and_not_alignment(rng: np.random.Generator) -> None:
    axes = rng.normal(size=(4, 80))
    a, b = together(rng, 150, axes), together(rng, 150, axes)
    moved = 3 + b * rng.uniform(0.2, 4, size=80)
    assert coexpression(a, moved)[0] == pytest.approx(coexpression(a, b)[0])
    assert coexpression(a, b[:, rng.permutation(80)])[1] > 0.05
    assert coexpression(a, b)[1] < 0.01
    assert np.isnan(coexpression(a[:, :3], b[:, :3])).all()
    still = b.copy()
    still[:, 5] = 7.0
    assert np.isfinite(coexpression(a, still)[0])


def test_the_forest_sees_what_alignment_leaves(rng: np.random.Generator) -> None:
    """Of equal means and spreads but other correlations a linear classifier sees nothing."""
    axes = 3 * rng.normal(size=(1, 6))
    a, b = together(rng, 300, axes), rng.normal(size=(300, 6))
    a, b = ((side - side.mean(axis=0)) / side.std(axis=0) for side in (a, b))
    linear = domain_shift(a, b, n_permutations=10).set_index("measure").loc["classifier_auroc", "value"]
    value, low, high = told_apart(a, b)
    assert linear < 0.6 < low <= value <= high
    same = told_apart(a[:150], a[150:])
    assert 0.3 < same[0] < 0.65
    assert told_apart(np.ones((20, 2)), np.ones((20, 2))) == (0.5, 0.5, 0.5)


def test_the_table(rng: np.random.Generator) -> None:
    """Far cells lie outside, near ones do not; the same seed gives the same numbers and leaves others alone."""
    a, near, far = rng.normal(size=(100, 8)), rng.normal(size=(120, 8)), rng.normal(20.0, 1.0, size=(120, 8))
    before = np.random.get_state()[1].copy()  # noqa: NPY002, it is what must not change
    tables = [cell_shift(a, cells, n_permutations=20).set_index("measure") for cells in (near, near, far)]
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    assert tables[0].equals(tables[1])
    assert tables[0].loc["outside_share", "value"] < 0.1
    assert tables[2].loc["outside_share", "value"] == 1
    assert tables[2].loc["mmd2", "p_value"] < 0.05 < tables[0].loc["mmd2", "p_value"]
    assert len(cell_shift(a, near, n_permutations=5, max_cells=50)["n_target"].unique()) == 1
