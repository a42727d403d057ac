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
    found = halves("ridge", x, (y > 0).astype(int), -y, line, seed=0, n_splits=5)
    np.testing.assert_allclose(found.mean(axis=(0, 1))[:2], [1, -1], atol=0.05)
    # What one line alone teaches is known to one half only.
    y[:2] += 1000 * x[:2, 2]
    told = np.abs(halves("ridge", x, (y > 0).astype(int), -y, line, seed=0, n_splits=5))[:, :, 2]
    assert (told.max(axis=1) > 3 * told.min(axis=1)).all()


def test_shuffled_responses_do_not_agree(rng: np.random.Generator) -> None:
    x, y = planted(rng, n=200)
    line, cells = np.arange(200).astype(str), rng.normal(size=(300, 8))
    scores = [
        cells @ halves("ridge", x, (numbers > 0).astype(int), -numbers, line, 0).reshape(-1, 8).T
        for numbers in (y, rng.permutation(y))
    ]
    planted_, shuffled = (agreement(part[:, 0::2], part[:, 1::2]) for part in scores)
    assert planted_ > 0.8
    assert abs(shuffled) < 0.3


@pytest.mark.parametrize("strength", [0.0, 0.7, 1.5])
def test_sign_confidence_is_how_often_the_sign_is_right(strength: float, rng: np.random.Generator) -> None:
    """Data sets along one axis with a normal error; directions of either sign are as likely before."""
    signs = rng.choice([-1, 1], 400)
    told, right = [], []
    for sign in signs:
        values = sign * strength / np.sqrt(60) + rng.normal(size=60)
        halves_ = [rng.permutation(60)[:30] for _ in range(200)]
        first = np.array([values[rows].mean() for rows in halves_])
        second = 2 * values.mean() - first
        told.append(sign_confidence(float(np.mean(np.sign(first) * np.sign(second)))))
        right.append(np.sign(values.mean()) == sign)
    if strength == 0:
        # Nothing to find: evenly between a half and one.
        assert np.mean(np.array(told) > 0.95) == pytest.approx(0.1, abs=0.05)
    else:
        # With nothing known before it is right for signals of any size together, and careful for large ones.
        assert np.mean(told) <= np.mean(right) + 0.06


def test_agreement_does_not_depend_on_scale_or_level(rng: np.random.Generator) -> None:
    first, second = rng.normal(size=(2, 50, 4))
    assert agreement(first, second) == pytest.approx(agreement(3 * first + 7, 0.1 * second - 2))
    assert agreement(first, np.ones_like(first)) == 0.0
