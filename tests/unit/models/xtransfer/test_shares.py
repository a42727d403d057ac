"""What networks count: as much as they said of conditions that they had not seen."""

from __future__ import annotations

import numpy as np
import pytest

import galenic
from galenic.data.simulate import perturbations
from galenic.models.perturbation.linear import usual
from galenic.models.xtransfer import shares
from galenic.models.xtransfer.lesson import Lesson, lesson_of
from galenic.models.xtransfer.member import Member
from galenic.models.xtransfer.shares import PRIOR, STRENGTH, apart, learned, left_out, n_groups

MANY = 10**6


def lesson_from(**how: object) -> Lesson:
    how = {"n_contexts": 3, "n_perturbations": 10, "n_genes": 20, "n_cells": 4, "interaction": 1.0} | how
    return lesson_of(galenic.StackedShift().fit(perturbations(**how)))


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    return lesson_from()


def every(lesson: Lesson, values: np.ndarray) -> shares.Said:
    return values, np.ones(len(lesson.own), dtype=bool)


def test_what_is_exactly_left_counts_whole_and_noise_does_not(lesson: Lesson, rng: np.random.Generator) -> None:
    left = lesson.own - lesson.start
    noise = rng.normal(size=left.shape) * left.std()
    found = learned({"genes": every(lesson, noise), "towers": every(lesson, left)}, lesson, MANY)
    assert found["share_towers"] == pytest.approx(1, abs=0.01)
    assert found["share_genes"] < 0.05
    found = learned({"towers": every(lesson, noise)}, lesson, 10)
    assert found["share_towers"] < 0.15
    assert learned({"towers": every(lesson, -left)}, lesson, 10)["share_towers"] == 0
    assert learned({"towers": every(lesson, 0.1 * left)}, lesson, MANY)["share_towers"] == 1
    assert learned({"towers": every(lesson, 2 * left)}, lesson, MANY)["share_towers"] == pytest.approx(0.5, abs=1e-3)


def test_few_groups_are_drawn_to_the_prior(lesson: Lesson) -> None:
    """Exactly half-way where as many groups were left out as the prior weighs."""
    left = lesson.own - lesson.start
    for name, prior in PRIOR.items():
        found = learned({name: every(lesson, left)}, lesson, STRENGTH)[f"share_{name}"]
        assert found == pytest.approx((1 + prior) / 2, abs=1e-6)


def test_two_kinds_that_say_the_same_share_it(lesson: Lesson) -> None:
    left = every(lesson, lesson.own - lesson.start)
    found = learned({"genes": left, "towers": left}, lesson, MANY)
    assert sum(found.values()) == pytest.approx(1, abs=0.01)


def test_without_anything_left_out_the_prior_stands(lesson: Lesson) -> None:
    nothing = np.zeros_like(lesson.own), np.zeros(len(lesson.own), dtype=bool)
    assert learned({"genes": nothing, "towers": nothing}, lesson, 0) == {"share_genes": 0.5, "share_towers": 0.0}
    assert learned({}, lesson, 0) == {}
    zeros = every(lesson, np.zeros_like(lesson.own))
    assert learned({"genes": zeros}, lesson, 5)["share_genes"] == pytest.approx(0.5)


def test_what_is_left_out_twice_is_averaged(lesson: Lesson) -> None:
    def member(rows: list[int], value: float) -> Member:
        return Member({}, None, np.array(rows), np.full((len(rows), 20), value))

    values, known = left_out([member([0, 1], 1.0), member([1, 2], 3.0)], lesson)
    assert values[:4, 0].tolist() == [1, 2, 3, 0]
    assert known[:4].tolist() == [True, True, True, False]


def test_the_stretch_of_true_effects_is_one_and_of_half_of_them_two(lesson: Lesson, rng: np.random.Generator) -> None:
    usually = usual(lesson.conditions, lesson.known)
    shift = rng.normal(size=(3, 20))[lesson.conditions.context]
    assert apart(lesson.own, lesson)[0] == pytest.approx(1)
    assert apart(usually + (lesson.own - usually) / 2 + shift, lesson)[0] == pytest.approx(2)
    assert apart(usually + shift, lesson)[0] == 1


def test_it_is_around_the_mean_of_the_predictions_of_a_context(lesson: Lesson, rng: np.random.Generator) -> None:
    said = rng.normal(size=lesson.own.shape)
    middle = apart(said, lesson)[1]
    beyond = said - usual(lesson.conditions, lesson.known)
    for context in range(3):
        np.testing.assert_allclose(middle[context], beyond[lesson.conditions.context == context].mean(axis=0))


def test_single_perturbations_are_not_stretched() -> None:
    """Nothing lies apart in a context with one perturbation."""
    lesson = lesson_from(n_perturbations=1, n_contexts=5)
    assert apart(0.5 * lesson.own, lesson)[0] == 1


def test_folds_leave_whole_perturbations_out_or_whole_contexts(lesson: Lesson) -> None:
    folds = lesson.folds(4, 0)
    assert sorted(set(folds)) == [0, 1, 2, 3]
    assert all(len(set(folds[lesson.conditions.perturbation == p])) == 1 for p in range(10))
    assert n_groups(lesson, folds) == 10
    assert not np.array_equal(folds, lesson.folds(4, 1))
    np.testing.assert_array_equal(folds, lesson.folds(4, 0))
    few = lesson_from(n_perturbations=3, n_contexts=4)
    folds = few.folds(2, 0)
    assert all(len(set(folds[few.conditions.context == c])) == 1 for c in range(4))
    assert n_groups(few, folds) == 4
    two = lesson_from(n_perturbations=2, n_contexts=2)
    assert set(two.folds(4, 0)) == {-1}


@pytest.mark.parametrize("n_perturbations", [10, 24])
def test_the_start_of_a_lesson_is_that_of_a_model_without_the_condition(n_perturbations: int) -> None:
    """With the same weights: what is left out is only the measurement. With 24 there is a regression."""
    adata = perturbations(n_contexts=3, n_perturbations=n_perturbations, n_genes=20, n_cells=4, interaction=1.0)
    whole = galenic.StackedShift().fit(adata)
    lesson = lesson_of(whole)
    for row in (0, 13, 29):
        context, what = whole.spec_["conditions"][row]
        own = (adata.obs["cell_type"] == context) & (adata.obs["perturbation"] == what)
        less = galenic.StackedShift().fit(adata[~own].copy())
        assert less.arrays_["regression_penalty"] == whole.arrays_["regression_penalty"]
        less.arrays_["weights"] = whole.arrays_["weights"]
        asked = adata.obs.loc[own, ["cell_type", "perturbation"]].iloc[:1].set_axis(["context", "perturbation"], axis=1)
        found = less.predict(adata, asked).layers["effect"][0]
        np.testing.assert_allclose(found, lesson.start[row], atol=1e-5)
