"""How members are joined: folds that cover everything, the share that is best for the mean of all, honest intervals."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

import galenic
from galenic.models.kdrug.fitting import best_share, left_out, unseen_cells
from galenic.models.kdrug.uncertainty import conformal

SHAPE = (300, 40)
GRID = np.linspace(0, 1, 1001)


def folds(n_members: int, n: int, groups: pd.Series | None = None, seed: int = 0) -> np.ndarray:
    """What each member leaves out, members x things."""
    model = galenic.KDRUG(n_members=n_members, seed=seed)
    return np.stack([left_out(groups, n, model, number) for number in range(n_members)])


@pytest.mark.parametrize("n", [4, 5, 50, 203])
def test_each_thing_is_left_out_by_two_of_eight_members(n: int) -> None:
    out = folds(8, n)
    assert out.shape == (8, n)
    np.testing.assert_array_equal(out.sum(axis=0), np.full(n, 2))
    # Once in each division, whose folds are equally large but for one.
    np.testing.assert_array_equal(out[:4].sum(axis=0), np.ones(n))
    assert np.ptp(out.sum(axis=1)) <= 1


@pytest.mark.parametrize(("n_members", "times"), [(2, 1), (3, 1), (4, 2), (6, 2), (10, 2)])
def test_other_numbers_of_members_cover_everything_too(n_members: int, times: int) -> None:
    np.testing.assert_array_equal(folds(n_members, 60).sum(axis=0), np.full(60, times))


@pytest.mark.parametrize("n_members", [5, 7, 9])
def test_an_odd_member_leaves_out_one_fold_more(n_members: int) -> None:
    out = folds(n_members, 60)
    assert set(out.sum(axis=0)) == {2, 3}
    np.testing.assert_array_equal(out[:-1].sum(axis=0), np.full(60, 2))


def test_the_second_division_is_another_one() -> None:
    """Two members that left out the same thing learned from different ones beside it."""
    out = folds(8, 400)
    shared = out[:4].astype(int) @ out[4:].T
    assert shared.min() > 0
    assert shared.max() < 50  # of 100 in a fold; 25 by chance
    assert not np.array_equal(out, folds(8, 400, seed=1))
    np.testing.assert_array_equal(out, folds(8, 400))


def test_structures_stay_together(rng: np.random.Generator) -> None:
    structures = np.array([f"S{i}" for i in rng.integers(25, size=80)], dtype=object)
    structures[rng.random(80) < 0.2] = None
    groups = pd.Series(structures, index=[f"d{i}" for i in range(80)])
    out = folds(8, 80, groups)
    np.testing.assert_array_equal(out.sum(axis=0), np.full(80, 2))
    for _, rows in groups.groupby(groups).indices.items():
        assert (out[:, rows] == out[:, rows[:1]]).all()
    # Drugs without a structure are each a group of their own: they do not all go together.
    alone = out[:, groups.isna().to_numpy()]
    assert (alone.sum(axis=1) < alone.shape[1]).all()
    # Folds have as many structures, not as many drugs.
    names = groups.fillna(pd.Series(groups.index, index=groups.index)).to_numpy()
    counts = [len(set(names[row])) for row in out[:4]]
    assert max(counts) - min(counts) <= 1


def test_nothing_is_divided_into_nothing() -> None:
    assert folds(8, 0).shape == (8, 0)


def test_unseen_cells_equal_the_loop(rng: np.random.Generator) -> None:
    networks, out = rng.normal(size=(6, 20, 3)), rng.random((6, 20)) < 0.25
    out[:, 4], out[:, 5], out[[1, 2, 5], 6] = False, True, True
    expected = np.full((2, 20, 3), np.nan)
    for cell in range(20):
        for place, member in enumerate(np.flatnonzero(out[:, cell])[:2]):
            expected[place, cell] = networks[member, cell]
    np.testing.assert_array_equal(unseen_cells(networks, out), expected)
    assert {0, 1, 2} <= set(np.minimum(out.sum(axis=0), 2))


def test_unseen_cells_hear_no_member_that_learned_from_them() -> None:
    out = folds(8, 30)
    networks = np.where(out, 1.0, np.nan)[:, :, None]
    np.testing.assert_array_equal(unseen_cells(networks, out), np.ones((2, 30, 1)))


def one(values: np.ndarray) -> np.ndarray:
    """As what one member says: there is no second."""
    return np.stack([values, np.full_like(values, np.nan)])


def optimum(truth: np.ndarray, start: np.ndarray, network: np.ndarray) -> float:
    """The share with the least squared error, of 1,001."""
    errors = [np.nanmean((truth - (1 - share) * start - share * network) ** 2) for share in GRID]
    return float(GRID[int(np.argmin(errors))])


@pytest.mark.parametrize("planted", [0.15, 0.5, 0.85])
def test_of_one_member_the_share_is_the_optimum(planted: float, rng: np.random.Generator) -> None:
    start, network = rng.normal(size=(2, *SHAPE))
    truth = (1 - planted) * start + planted * network + rng.normal(size=SHAPE)
    share = best_share(truth, one(start), one(network), 1)
    assert share == pytest.approx(optimum(truth, start, network), abs=6e-4)
    assert share == pytest.approx(planted, abs=0.05)


def simulated(rng: np.random.Generator, n: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, start, and members with a shared error and an independent one each, which the mean of all averages out."""
    signal, start = rng.normal(size=(2, *SHAPE))
    shared, noise = 0.3 * rng.normal(size=SHAPE), 1.2 * rng.normal(size=(n, *SHAPE))
    return start + 0.7 * signal + 0.2 * rng.normal(size=SHAPE), start, start + signal + shared + noise


def test_the_share_of_two_members_is_that_of_the_mean_of_eight(rng: np.random.Generator) -> None:
    truth, start, members = simulated(rng)
    share = best_share(truth, np.stack([start, start]), members[:2], 8)
    assert share == pytest.approx(optimum(truth, start, members.mean(axis=0)), abs=0.02)
    # The mean of two would be given less: what is independent is not averaged out so far.
    assert share > optimum(truth, start, members[:2].mean(axis=0)) + 0.1


@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_the_square_of_the_mean_is_extrapolated(n: int, rng: np.random.Generator) -> None:
    """The share is pull over square, so the square that was used shows: beside it that of means that are drawn."""
    truth, start, members = simulated(rng)
    pull = ((members[:2] - start) * (truth - start)).mean()
    square = pull / best_share(truth, np.stack([start, start]), members[:2], n)
    drawn = ((members.reshape(-1, n, *SHAPE).mean(axis=1) - start) ** 2).mean()
    assert square == pytest.approx(drawn, rel=0.03)


def test_of_two_members_that_agree_more_members_change_nothing(rng: np.random.Generator) -> None:
    truth, start, members = simulated(rng)
    twice = np.stack([members[0], members[0]])
    shares = [best_share(truth, np.stack([start, start]), twice, n) for n in (1, 2, 8, 100)]
    np.testing.assert_allclose(shares, shares[0])
    assert shares[0] == pytest.approx(best_share(truth, one(start), one(members[0]), 8))


def test_the_starts_may_differ_between_the_members(rng: np.random.Generator) -> None:
    """Each member is set beside a start that left out the same cells: only the distance between them counts."""
    truth, start, members = simulated(rng)
    starts = np.stack([start, start + 0.5 * rng.normal(size=SHAPE)])
    gaps, wanted = members[:2] - starts, truth - starts
    shared = np.mean(gaps[0] * gaps[1])
    expected = np.mean(gaps * wanted) / (shared + (np.mean(gaps**2) - shared) / 8)
    assert best_share(truth, starts, members[:2], 8) == pytest.approx(expected)


def test_the_share_stays_within_zero_and_one(rng: np.random.Generator) -> None:
    start, network = rng.normal(size=(2, *SHAPE))
    toward = network - start
    both = np.stack([start, start]), np.stack([network, network])
    assert best_share(start + 3 * toward, *both, 8) == 1.0
    assert best_share(start - toward, *both, 8) == 0.0
    assert best_share(start + toward, *both, 8) == pytest.approx(1.0)
    assert best_share(start, *both, 8) == 0.0


def test_networks_that_say_what_the_start_says_get_no_share(rng: np.random.Generator) -> None:
    truth, start = rng.normal(size=(2, *SHAPE))
    assert best_share(truth, np.stack([start, start]), np.stack([start, start]), 8) == 0.0


def test_unknown_pairs_and_members_count_for_nothing(rng: np.random.Generator) -> None:
    truth, start, members = simulated(rng)
    starts, networks = np.stack([start, start]), members[:2].copy()
    truth[rng.random(SHAPE) < 0.2] = np.nan
    networks[1, ::3] = np.nan  # one member only
    networks[:, ::7] = np.nan  # none
    singles, products, pulls = [], [], []
    for c in range(SHAPE[0]):
        for d in range(SHAPE[1]):
            if np.isnan(truth[c, d]):
                continue
            gaps = [networks[k, c, d] - start[c, d] for k in (0, 1) if not np.isnan(networks[k, c, d])]
            singles += [gap**2 for gap in gaps]
            pulls += [gap * (truth[c, d] - start[c, d]) for gap in gaps]
            products += [gaps[0] * gaps[1]] if len(gaps) == 2 else []
    square = np.mean(products) + (np.mean(singles) - np.mean(products)) / 8
    found = best_share(truth, starts, networks, 8)
    assert found == pytest.approx(np.mean(pulls) / square)
    # What stands at places that are not known does not matter: not the truth, nor the start.
    others = starts.copy()
    others[np.isnan(networks)] = 1e6
    assert best_share(truth, others, networks, 8) == found
    others[:, np.isnan(truth)] = np.nan
    assert best_share(truth, others, networks, 8) == found


def test_where_nothing_is_known_the_start_answers(rng: np.random.Generator) -> None:
    start, network = rng.normal(size=(2, *SHAPE))
    nothing = np.full(SHAPE, np.nan)
    assert best_share(nothing, one(start), one(network), 8) == 0.0
    assert best_share(start, one(start), one(nothing), 8) == 0.0


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("n", [20, 39, 99, 100, 257])
def test_conformal_is_the_naive_rank(n: int, coverage: float, rng: np.random.Generator) -> None:
    errors = rng.exponential(size=n)
    before = errors.copy()
    rank = math.ceil((n + 1) * Fraction(str(coverage)))
    assert conformal(errors, coverage, np.array([1e9])) == sorted(errors)[rank - 1]
    np.testing.assert_array_equal(errors, before)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("n", [12, 30])
@pytest.mark.parametrize("ties", [False, True])
def test_leaving_each_out_in_turn_covers_the_nominal_share(
    n: int, coverage: float, ties: bool, rng: np.random.Generator
) -> None:
    """Of n + 1 exchangeable errors each is as likely the new one: the share that is covered is a chance, exactly."""
    errors = rng.exponential(size=n + 1)
    errors = np.ceil(3 * errors) if ties else errors
    covered = [error <= conformal(np.delete(errors, i), coverage, errors) for i, error in enumerate(errors)]
    assert np.mean(covered) >= coverage
    if not ties:
        assert sum(covered) == math.ceil((n + 1) * Fraction(str(coverage)))


@pytest.mark.parametrize(("n", "coverage"), [(9, 0.9), (24, 0.8), (30, 0.9)])
def test_new_errors_are_covered_on_average(n: int, coverage: float, rng: np.random.Generator) -> None:
    """Errors of one screen share a scale that is drawn anew each time: exchangeable, far from independent."""
    draws = 4000
    errors = np.abs(rng.normal(size=(draws, n + 1))) * rng.exponential(size=(draws, 1))
    widths = np.array([conformal(row[:-1], coverage, row[:-1]) for row in errors])
    found, expected = (errors[:, -1] <= widths).mean(), math.ceil((n + 1) * Fraction(str(coverage))) / (n + 1)
    sampling = math.sqrt(coverage * (1 - coverage) / draws)
    assert found >= coverage - 4 * sampling
    assert abs(found - expected) < 4 * sampling


def test_too_few_errors_ask_those_of_all_drugs(rng: np.random.Generator) -> None:
    others = rng.exponential(size=99)
    few = np.full(8, 1e6)  # of 8, the ninth smallest would be needed
    assert conformal(few, 0.9, others) == sorted(others)[89]
    assert conformal(np.zeros(0), 0.9, others) == sorted(others)[89]
    enough = np.append(few, 1e6)
    assert conformal(enough, 0.9, others) == 1e6
    # Where those are too few as well, nothing can be said.
    assert np.isnan(conformal(few[:2], 0.9, np.array([3.0, 5.0, 4.0])))
    assert np.isnan(conformal(few[:2], 0.9, np.array([3.0])))


def test_wider_coverage_is_never_narrower(rng: np.random.Generator) -> None:
    errors = rng.exponential(size=60)
    widths = [conformal(errors, coverage, errors) for coverage in np.linspace(0.02, 0.98, 97)]
    assert (np.diff(widths) >= 0).all()
    assert widths[0] < widths[-1] == errors.max()
