"""The regression of KernelCompletion: what its closed forms say is what refitting without the cells says."""

from __future__ import annotations

import numpy as np
import pytest

from galenic.models.baselines.completion import Smooth
from galenic.models.baselines.ridge import PENALTIES, squared_distances

N_CELLS, N_DRUGS = 14, 5
Problem = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(params=["rbf", "linear", "more drugs than cells"])
def problem(request: pytest.FixtureRequest, rng: np.random.Generator) -> Problem:
    """A kernel (that of "linear" has rank 3), centred responses, which of them were measured."""
    n_drugs = N_CELLS + 3 if request.param == "more drugs than cells" else N_DRUGS
    X = rng.normal(size=(N_CELLS, 3))
    K = X @ X.T if request.param == "linear" else np.exp(-squared_distances(X, X) / 4)
    # Drugs of different noise need different penalties.
    Y = X @ rng.normal(size=(3, n_drugs)) + np.geomspace(0.05, 3, n_drugs) * rng.normal(size=(N_CELLS, n_drugs))
    return K, Y - Y.mean(axis=0), rng.random(Y.shape) < 0.8


@pytest.fixture
def smooth(problem: Problem) -> Smooth:
    return Smooth.fit(*problem)


def refit(smooth: Smooth, K: np.ndarray, Y: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    """Answers for the cells ``left_out`` by two ridge regressions on the others, a column at a time."""
    rest, axes = ~left_out, np.linalg.svd(Y, full_matrices=False)[2]
    seen, asked = K[np.ix_(rest, rest)], K[np.ix_(left_out, rest)]

    def ridge(y: np.ndarray, penalty: float) -> np.ndarray:
        return asked @ np.linalg.solve(seen + penalty * np.eye(len(seen)), y[rest])

    by_drug, by_component = np.zeros((2, left_out.sum(), Y.shape[1]))
    for d in range(Y.shape[1]):
        by_drug[:, d] = ridge(Y[:, d], smooth.penalties[0][d])
    for component, axis in enumerate(axes):
        by_component += np.outer(ridge(Y @ axis, smooth.penalties[1][component]), axis)
    return (by_drug + by_component) / 2


def test_the_problem_needs_several_penalties(smooth: Smooth) -> None:
    assert all(len(np.unique(penalty)) > 1 for penalty in smooth.penalties)


def test_left_out_equals_refitting_without_each_cell(problem: Problem, smooth: Smooth) -> None:
    K, Y, _ = problem
    found = smooth.left_out()
    for cell in range(N_CELLS):
        np.testing.assert_allclose(found[[cell]], refit(smooth, K, Y, np.arange(N_CELLS) == cell), atol=1e-8)


@pytest.mark.parametrize("rows", [[3], [0, 13], [1, 4, 5, 9, 12], list(range(1, 14)), list(range(14))])
def test_without_equals_refitting_without_the_cells(rows: list[int], problem: Problem, smooth: Smooth) -> None:
    K, Y, _ = problem
    left_out = np.isin(np.arange(N_CELLS), rows)
    found = smooth.without(left_out)
    assert found.shape == (len(rows), Y.shape[1])
    np.testing.assert_allclose(found, refit(smooth, K, Y, left_out), atol=1e-8)


def test_without_one_cell_is_left_out(smooth: Smooth) -> None:
    found = smooth.left_out()
    for cell in range(N_CELLS):
        np.testing.assert_allclose(smooth.without(np.arange(N_CELLS) == cell)[0], found[cell], atol=1e-9)


def test_without_no_cell_is_empty(problem: Problem, smooth: Smooth) -> None:
    assert smooth.without(np.zeros(N_CELLS, dtype=bool)).shape == (0, problem[1].shape[1])


def test_left_out_cells_do_not_hear_their_own_responses(problem: Problem, smooth: Smooth) -> None:
    K, Y, _ = problem
    rows = np.isin(np.arange(N_CELLS), [2, 7])
    other = Y.copy()
    other[rows] += 100
    # Axes and penalties as they were: only what is regressed differs.
    same = Smooth(smooth.values, smooth.vectors, (other, other @ smooth.backs[1].T), smooth.penalties, smooth.backs)
    np.testing.assert_allclose(same.without(rows), smooth.without(rows), atol=1e-6)
    assert np.abs(K @ same.dual - K @ smooth.dual)[rows].min() > 0.1


def test_dual_gives_the_fitted_values(problem: Problem, smooth: Smooth) -> None:
    K, Y, _ = problem
    axes = np.linalg.svd(Y, full_matrices=False)[2]
    fitted, by_component = np.zeros_like(Y), np.zeros_like(Y)
    for d, penalty in enumerate(smooth.penalties[0]):
        fitted[:, d] = K @ np.linalg.solve(K + penalty * np.eye(N_CELLS), Y[:, d])
    for axis, penalty in zip(axes, smooth.penalties[1], strict=True):
        by_component += np.outer(K @ np.linalg.solve(K + penalty * np.eye(N_CELLS), Y @ axis), axis)
    np.testing.assert_allclose(K @ smooth.dual, (fitted + by_component) / 2, atol=1e-9)


def test_dual_answers_for_new_cells_what_without_says(problem: Problem, rng: np.random.Generator) -> None:
    """A fit on some cells with the penalties and axes of all answers for the others as ``without`` does."""
    K, Y, seen = problem
    whole = Smooth.fit(K, Y, seen)
    rows = rng.random(N_CELLS) < 0.3
    values, vectors = np.linalg.eigh(K[np.ix_(~rows, ~rows)])
    targets = Y[~rows], (Y @ whole.backs[1].T)[~rows]
    part = Smooth(np.maximum(values, 0), vectors, targets, whole.penalties, whole.backs)
    np.testing.assert_allclose(K[np.ix_(rows, ~rows)] @ part.dual, whole.without(rows), atol=1e-8)


def test_penalties_have_the_least_leave_one_out_error_of_measured_responses(problem: Problem, smooth: Smooth) -> None:
    K, Y, seen = problem
    axes = np.linalg.svd(Y, full_matrices=False)[2]
    for target, judged, chosen in (
        (Y, seen, smooth.penalties[0]),
        (Y @ axes.T, np.ones((N_CELLS, len(axes)), dtype=bool), smooth.penalties[1]),
    ):
        for column in range(target.shape[1]):
            errors = []
            for penalty in PENALTIES:
                total = 0.0
                for cell in np.flatnonzero(judged[:, column]):
                    rest = np.arange(N_CELLS) != cell
                    weights = np.linalg.solve(K[np.ix_(rest, rest)] + penalty * np.eye(N_CELLS - 1), K[rest, cell])
                    total += (target[cell, column] - weights @ target[rest, column]) ** 2
                errors.append(total)
            at = int(np.flatnonzero(np.isclose(PENALTIES, chosen[column]))[0])
            assert errors[at] <= min(errors) * (1 + 1e-9)


def test_the_order_of_cells_and_drugs_does_not_matter(
    problem: Problem, smooth: Smooth, rng: np.random.Generator
) -> None:
    K, Y, seen = problem
    cells, drugs = rng.permutation(N_CELLS), rng.permutation(Y.shape[1])
    mixed = Smooth.fit(K[np.ix_(cells, cells)], Y[np.ix_(cells, drugs)], seen[np.ix_(cells, drugs)])
    np.testing.assert_allclose(mixed.left_out(), smooth.left_out()[np.ix_(cells, drugs)], atol=1e-8)
    np.testing.assert_allclose(mixed.dual, smooth.dual[np.ix_(cells, drugs)], atol=1e-6)


def test_fitting_changes_nothing_that_was_given(problem: Problem) -> None:
    before = [array.copy() for array in problem]
    smooth = Smooth.fit(*problem)
    for answers in (smooth.left_out(), smooth.without(np.arange(N_CELLS) < 4), smooth.dual):
        answers[:] = 0
    for array, kept in zip(problem, before, strict=True):
        np.testing.assert_array_equal(array, kept)
