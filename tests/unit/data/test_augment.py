"""Augmentation: the published rule case by case, rows that lie where they should, links by a loop."""

from __future__ import annotations

import numpy as np
import pytest

from galenic.data.augment import (
    Augmented,
    decoded,
    multipliers,
    smote,
    tomek_links,
    without_tomek_links,
)


@pytest.fixture
def rows(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping classes, 40 resistant and 15 sensitive."""
    label = np.repeat([0, 1], [40, 15])
    return rng.normal(size=(55, 4)) + 0.7 * label[:, None], label


def by_the_rule(M: int, m: int) -> tuple[float, float]:
    """The published rule, written out."""
    if M - m < 0.3 * M:
        return 1, M / m
    major, minor = 1.5, min(max(1.5 * M / m, 1.2), 4)
    if minor * m < 0.5 * 1.5 * M:
        major, minor = 1, min(max(M / m, 1.2), 4)
    return major, minor


@pytest.mark.parametrize("large", [10, 100, 333])
def test_multipliers_follow_the_rule_at_every_size(large: int) -> None:
    branches = set()
    for small in range(1, large + 1):
        major, minor = by_the_rule(large, small)
        for one in (0, 1):
            label = np.repeat([one, 1 - one], [large, small])
            expected = {one: major, 1 - one: minor}
            if large == small:
                expected = {0: 1, 1: 1}
            assert multipliers(label) == pytest.approx(expected)
        branches.add((major, minor == 4, large - small < 0.3 * large))
    assert {(1, True, False), (1.5, True, False), (1.5, False, False), (1, False, True)} <= branches


def test_order_of_labels_does_not_matter(rng: np.random.Generator) -> None:
    label = np.repeat([0, 1], [90, 30])
    assert multipliers(rng.permutation(label)) == multipliers(label)


def shaken(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rows + 1e-3 * rng.normal(size=rows.shape)


def check_rows(more: Augmented, x: np.ndarray, label: np.ndarray, growth: dict[int, float]) -> None:
    """Given rows first and as they were; of new rows as many as asked, each of its origin's class."""
    np.testing.assert_array_equal(more.x[:55], x)
    np.testing.assert_array_equal(more.label[:55], label)
    np.testing.assert_array_equal(more.origin[:55], np.arange(55))
    np.testing.assert_array_equal(more.label, label[more.origin])
    for one, times in growth.items():
        n = (label == one).sum()
        assert (more.label[55:] == one).sum() == int((times - 1) * n)


@pytest.mark.parametrize("make", [smote, lambda *given, **how: decoded(*given, shaken, **how)])
@pytest.mark.parametrize("growth", [{0: 1.5, 1: 4.0}, {0: 1.0, 1: 1.0}, {1: 2.49}])
def test_as_many_rows_as_asked(make, growth, rows) -> None:
    x, label = rows
    before = x.copy()
    check_rows(make(x, label, growth), x, label, growth)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("make", [smote, lambda *given, **how: decoded(*given, shaken, **how)])
def test_one_seed_gives_one_answer_and_leaves_the_global_state_alone(make, rows) -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, again, other = (make(*rows, {1: 3.0}, seed=seed).x for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_new_rows_are_made_of_their_origin(rows) -> None:
    x, label = rows
    more = decoded(x, label, {0: 1.5, 1: 4.0}, shaken)
    np.testing.assert_allclose(more.x, x[more.origin], atol=0.01)
    assert len(set(more.origin[55:])) > 20


def test_values_below_what_expression_can_be_are_raised(rows) -> None:
    x, label = np.abs(rows[0]), rows[1]
    plain, clipped = (decoded(x, label, {1: 4.0}, lambda r, rng: r - 1, low=low) for low in (None, 0.0))
    assert plain.x.min() < 0
    np.testing.assert_array_equal(clipped.x, np.maximum(plain.x, 0))


def test_a_sample_of_another_shape_is_refused(rows) -> None:
    with pytest.raises(ValueError, match=r"\(45, 4\); received \(3, 4\)\. Decode"):
        decoded(*rows, {1: 4.0}, lambda r, rng: r[:3])


@pytest.mark.parametrize("n_neighbours", [1, 3, 5, 100])
def test_smote_lies_between_a_row_and_a_near_one(rows, n_neighbours: int) -> None:
    x, label = rows
    more = smote(x, label, {0: 2.0, 1: 4.0}, n_neighbours=n_neighbours)
    for new, one, origin in zip(more.x[55:], more.label[55:], more.origin[55:], strict=True):
        others = [i for i in np.flatnonzero(label == one) if i != origin]
        near = sorted(others, key=lambda i: np.linalg.norm(x[i] - x[origin]))[:n_neighbours]
        fits = []
        for j in near:
            way = x[j] - x[origin]
            step = (new - x[origin]) @ way / (way @ way)
            fits.append(0 <= step < 1 and np.allclose(x[origin] + step * way, new, atol=1e-9))
        assert any(fits)


def test_smote_agrees_with_the_reference_in_distribution(rows) -> None:
    """Not the same random numbers, but rows on the same segments: mean and spread agree."""
    over_sampling = pytest.importorskip("imblearn.over_sampling")
    x, label = rows
    ours, theirs = [], []
    for seed in range(20):
        ours.append(smote(x, label, {1: 40 / 15}, seed=seed).x[55:])
        theirs.append(over_sampling.SMOTE(random_state=seed).fit_resample(x, label)[0][55:])
    ours, theirs = np.concatenate(ours), np.concatenate(theirs)
    np.testing.assert_allclose(ours.mean(axis=0), theirs.mean(axis=0), atol=0.15)
    np.testing.assert_allclose(ours.std(axis=0), theirs.std(axis=0), rtol=0.15)


def naive_links(x: np.ndarray, label: np.ndarray) -> list[list[int]]:
    nearest = []
    for i in range(len(x)):
        distances = [np.inf if i == j else float(((x[i] - x[j]) ** 2).sum()) for j in range(len(x))]
        nearest.append(int(np.argmin(distances)))
    return [
        [i, nearest[i]]
        for i in range(len(x))
        if i < nearest[i] and nearest[nearest[i]] == i and label[i] != label[nearest[i]]
    ]


def test_links_equal_the_loop(rows) -> None:
    x, label = rows
    links = tomek_links(x, label)
    assert len(links) >= 2
    assert links.tolist() == naive_links(x, label)


@pytest.mark.parametrize("turned", [False, True])
def test_the_larger_class_gives_its_rows_up(rows, turned: bool) -> None:
    x, label = rows[0], 1 - rows[1] if turned else rows[1]
    large = int(turned)
    kept = without_tomek_links(x, label)
    gone = np.setdiff1d(np.arange(55), kept)
    assert gone.tolist() == sorted(i for pair in naive_links(x, label) for i in pair if label[i] == large)
    assert len(gone) >= 2
    np.testing.assert_array_equal(np.sort(kept), kept)


def test_classes_of_one_size_keep_their_rows(rng: np.random.Generator) -> None:
    x, label = rng.normal(size=(20, 2)), np.repeat([0, 1], 10)
    assert len(tomek_links(x, label)) > 0
    assert len(without_tomek_links(x, label)) == 20


def test_links_equal_the_reference(rows) -> None:
    under_sampling = pytest.importorskip("imblearn.under_sampling")
    reference = under_sampling.TomekLinks()
    reference.fit_resample(*rows)
    np.testing.assert_array_equal(without_tomek_links(*rows), np.sort(reference.sample_indices_))


def test_classes_far_apart_have_no_links(rows) -> None:
    x, label = rows
    assert len(tomek_links(x + 100 * label[:, None], label)) == 0
    assert len(without_tomek_links(x + 100 * label[:, None], label)) == 55


def test_what_cannot_be_augmented_is_refused(rows) -> None:
    x, label = rows
    for call, message in (
        (lambda: multipliers(np.zeros(5)), "each at least once; received 0"),
        (lambda: multipliers(label + 1), "received 1, 2. Convert"),
        (lambda: multipliers([]), "received none"),
        (lambda: smote(x, label, {1: 0.5}), r"1 or more; received \{1: 0.5\}"),
        (lambda: smote(x, label, {2: 2.0}), r"received \{2: 2.0\}"),
        (lambda: smote(x[:41], label[:41], {1: 3.0}), "label 1 has 1. Leave"),
        (lambda: smote(x[:9], label, {1: 3.0}), r"received shape \(9, 4\), 55 labels"),
        (lambda: tomek_links(np.where(x > 1, np.nan, x), label), "missing or infinite numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
