"""The linear start: leave-one-out in closed form, halves of the lines, and how sure of its direction one may be."""

from __future__ import annotations

import numpy as np
import pytest

from galenic.models.scatd.start import PENALTIES, agreement, halves, ridge, sign_confidence


def planted(rng: np.random.Generator, n: int = 40, d: int = 8, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    x = rng.normal(size=(n, d))
    return x, x[:, 0] - x[:, 1] + noise * rng.normal(size=n)


def left_out(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    """Residuals of fits without each row, one by one, the mean and the intercept those of all rows' fit."""
    n = len(y)
    found = np.empty(n)
    for i in range(n):
        rows = np.delete(np.arange(n), i)
        centre, level = x[rows].mean(axis=0), y[rows].mean()
        a, b = x[rows] - centre, y[rows] - level
        w = np.linalg.solve(a.T @ a + penalty * n * np.eye(x.shape[1]), a.T @ b)
        found[i] = y[i] - level - (x[i] - centre) @ w
    return found


def test_the_penalty_is_the_largest_within_one_standard_error_of_left_out_rows(rng: np.random.Generator) -> None:
    x, y = planted(rng)
    errors = np.array([left_out(x, y, penalty) ** 2 for penalty in PENALTIES])
    means = errors.mean(axis=1)
    best = means.argmin()
    allowed = means[best] + errors[best].std() / np.sqrt(len(y))
    assert ridge(x, y)[1] == PENALTIES[np.flatnonzero(means <= allowed).max()]
    assert ridge(x, y)[1] > PENALTIES[best]


def test_weights_solve_the_ridge_equations(rng: np.random.Generator) -> None:
    x, y = planted(rng)
    weights, penalty = ridge(x, y)
    a, b = x - x.mean(axis=0), y - y.mean()
    expected = np.linalg.solve(a.T @ a + penalty * len(y) * np.eye(x.shape[1]), a.T @ b)
    np.testing.assert_allclose(weights[:-1], expected, rtol=1e-8)
    np.testing.assert_allclose(np.mean(x @ weights[:-1] + weights[-1]), y.mean())


def test_a_row_that_counts_twice_is_two_rows_to_the_weights(rng: np.random.Generator) -> None:
    x, y = planted(rng, noise=0.1)
    twice = np.concatenate([np.arange(40), [0]])
    weight = np.ones(40)
    weight[0] = 2
    np.testing.assert_allclose(ridge(x, y, weight)[0], ridge(x[twice], y[twice])[0], atol=0.02)


def test_halves_share_no_line_and_find_what_was_planted(rng: np.random.Generator) -> None:
    x, y = planted(rng, n=400, noise=0.1)
    line = np.repeat(np.arange(200), 2).astype(str)
    found = halves(x, y, line, 0.01, seed=0, n_splits=5)
    np.testing.assert_allclose(found.mean(axis=(0, 1))[:2], [1, -1], atol=0.05)
    # What one line alone teaches is known to one half only.
    y[:2] += 1000 * x[:2, 2]
    told = np.abs(halves(x, y, line, 0.01, seed=0, n_splits=5))[:, :, 2]
    assert (told.max(axis=1) > 3 * told.min(axis=1)).all()


def test_shuffled_responses_do_not_agree(rng: np.random.Generator) -> None:
    x, y = planted(rng, n=200)
    line, cells = np.arange(200).astype(str), rng.normal(size=(300, 8))
    scores = [cells @ halves(x, numbers, line, 1.0, 0).reshape(-1, 8).T for numbers in (y, rng.permutation(y))]
    planted_, shuffled = (agreement(part[:, 0::2], part[:, 1::2]) for part in scores)
    assert planted_ > 0.8
    assert abs(shuffled) < 0.3


@pytest.mark.parametrize("strength", [0.3, 0.8, 1.5])
def test_sign_confidence_is_how_often_the_sign_is_right(strength: float, rng: np.random.Generator) -> None:
    """Along one axis, scores of halves and of all lines are the true direction plus a normal error."""
    errors = rng.normal(size=(20_000, 2)) * np.sqrt(2)
    first, second = strength + errors[:, 0], strength + errors[:, 1]
    agreed = np.mean(np.sign(first) * np.sign(second))
    right = np.mean((first + second) / 2 > 0)
    assert sign_confidence(agreed) == pytest.approx(right, abs=0.04)


def test_sign_confidence_rises_from_a_half_to_one() -> None:
    values = [sign_confidence(agreed) for agreed in np.linspace(-1, 1, 21)]
    assert values[0] == 0.5
    assert values[-1] == pytest.approx(1.0)
    assert (np.diff(values) >= 0).all()


def test_agreement_does_not_depend_on_scale_or_level(rng: np.random.Generator) -> None:
    first, second = rng.normal(size=(2, 50, 4))
    assert agreement(first, second) == pytest.approx(agreement(3 * first + 7, 0.1 * second - 2))
    assert agreement(first, np.ones_like(first)) == 0.0
