"""Clusters: against scipy and scikit-learn, planted numbers are found, and signs and order do not matter."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from galenic.explain.clusters import CRITICAL, align_signs, anderson_darling, choose_k, g_means, k_means


def blobs(n_clusters: int, n: int, n_dims: int, sep: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_clusters, n_dims)) * sep
    points = [centre + rng.normal(size=(n, n_dims)) for centre in centres]
    return np.concatenate(points), np.repeat(np.arange(n_clusters), n)


@pytest.mark.parametrize("n", [8, 30, 500])
@pytest.mark.parametrize("shape", ["normal", "exponential", "two"])
def test_the_statistic_is_that_of_scipy_corrected(n: int, shape: str, rng: np.random.Generator) -> None:
    values = {
        "normal": rng.normal(3, 2, size=n),
        "exponential": rng.exponential(size=n),
        "two": rng.normal(size=n) + 6 * (np.arange(n) % 2),
    }[shape]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        plain = stats.anderson(values, "norm").statistic
    assert anderson_darling(values) == pytest.approx(plain * (1 + 4 / n - 25 / n**2), rel=1e-10)


def test_far_values_keep_the_statistic_finite() -> None:
    assert np.isfinite(anderson_darling(np.array([0.0] * 500 + [1e6])))
    assert anderson_darling(np.full(20, 3.7)) == 0


def test_the_level_is_as_rare_as_it_says(rng: np.random.Generator) -> None:
    """Of 20,000 normal samples two should exceed the critical value at level 0.0001; ten would be far too many."""
    n_above = sum(anderson_darling(sample) > CRITICAL for sample in rng.normal(size=(20_000, 50)))
    assert n_above < 10


@pytest.mark.parametrize(
    ("n_clusters", "n", "n_dims", "sep", "seed", "found", "least"),
    [(8, 60, 20, 3, 0, (8, 9), 0.96), (20, 40, 50, 2, 1, (20, 20), 1.0), (1, 500, 10, 1, 2, (1, 1), 1.0)],
)
def test_planted_clusters_are_found(
    n_clusters: int, n: int, n_dims: int, sep: float, seed: int, found: tuple[int, int], least: float
) -> None:
    points, truth = blobs(n_clusters, n, n_dims, sep, seed)
    labels = g_means(points)
    assert found[0] <= labels.max() + 1 <= found[1]
    assert adjusted_rand_score(truth, labels) >= least


def test_order_of_points_does_not_matter(rng: np.random.Generator) -> None:
    points, _ = blobs(8, 30, 10, 3, 3)
    order = rng.permutation(len(points))
    for cluster in (g_means, lambda x: k_means(x, 8)):
        assert adjusted_rand_score(cluster(points)[order], cluster(points[order])) == 1
        np.testing.assert_array_equal(cluster(points), cluster(points))


def test_clusters_are_numbered_by_first_appearance() -> None:
    labels = g_means(blobs(5, 30, 10, 4, 4)[0])
    _, first = np.unique(labels, return_index=True)
    assert (np.diff(first) > 0).all()


def test_turning_and_moving_points_changes_nothing(rng: np.random.Generator) -> None:
    points, _ = blobs(6, 40, 8, 3, 5)
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    assert adjusted_rand_score(g_means(points), g_means(7 * points @ turn + 3)) == 1


def test_few_points_warn_and_small_leaves_are_not_made() -> None:
    points, _ = blobs(2, 3, 4, 9, 6)
    with pytest.warns(UserWarning, match=r"8 points or more; received 6, which stay one cluster\. Set"):
        assert g_means(points).max() == 0
    lone = np.concatenate([blobs(1, 40, 4, 0, 7)[0], np.full((1, 4), 50.0)])
    assert g_means(lone, min_leaf=1).max() > 0
    assert g_means(lone, min_leaf=2).max() == 0
    assert g_means(blobs(8, 20, 10, 4, 8)[0], max_depth=1).max() == 1


@pytest.mark.parametrize("n_clusters", [1, 3, 8, 12])
def test_k_means_settles_as_well_as_scikit_learns(n_clusters: int) -> None:
    points, _ = blobs(8, 40, 10, 2, 9)

    def error(labels: np.ndarray) -> float:
        return sum(((points[labels == k] - points[labels == k].mean(axis=0)) ** 2).sum() for k in range(n_clusters))

    best = KMeans(n_clusters, n_init=20, random_state=0).fit(points)
    assert error(k_means(points, n_clusters)) <= 1.05 * best.inertia_
    ours = k_means(points, n_clusters, centres=best.cluster_centers_)
    assert adjusted_rand_score(ours, best.labels_) == 1


def test_k_means_leaves_no_cluster_empty(rng: np.random.Generator) -> None:
    points = rng.normal(size=(12, 3))
    assert sorted(k_means(points, 12)) == list(range(12))
    far = np.full((3, 3), 99.0) + np.arange(3)[:, None]
    assert len(set(k_means(points, 3, centres=far))) == 3


def test_nothing_that_was_given_changes(rng: np.random.Generator) -> None:
    points, centres = rng.normal(size=(30, 4)), rng.normal(size=(3, 4))
    before = points.copy(), centres.copy()
    k_means(points, 3, centres=centres)
    g_means(points)
    choose_k(points, [2, 3])
    np.testing.assert_array_equal(points, before[0])
    np.testing.assert_array_equal(centres, before[1])


def test_stability_chooses_the_planted_number() -> None:
    points, truth = blobs(7, 40, 10, 4, 10)
    n, curve = choose_k(points, range(2, 15))
    assert n == 7
    assert curve.loc[curve["chosen"], "n_clusters"].tolist() == [7]
    assert curve.set_index("n_clusters").loc[7, "stability"] == pytest.approx(1)
    assert curve.set_index("n_clusters").loc[12, "stability"] < 0.95
    assert adjusted_rand_score(truth, k_means(points, 7)) == 1
    again = choose_k(points, range(2, 15))[1]
    assert again.equals(curve)


def test_halves_are_drawn_of_whole_groups() -> None:
    """One group holds a cluster that no other has: it is in one half only, and is not agreed on."""
    points, truth = blobs(4, 30, 10, 5, 11)
    groups = np.where(truth == 3, 99, np.arange(len(truth)) % 6)
    alone = choose_k(points, [3, 4], groups=groups)[1].set_index("n_clusters")["stability"]
    mixed = choose_k(points, [3, 4])[1].set_index("n_clusters")["stability"]
    assert mixed[4] == pytest.approx(1)
    assert alone[4] < 0.95


def test_aligned_signs_make_copies_agree(rng: np.random.Generator) -> None:
    sources = rng.normal(size=(6, 300))
    which, flips = rng.integers(6, size=80), rng.choice([-1.0, 1.0], size=80)
    copies = flips[:, None] * (sources[which] + 0.4 * rng.normal(size=(80, 300)))
    signs = align_signs(np.corrcoef(copies))
    for source in range(6):
        own = signs[which == source] * flips[which == source]
        assert abs(own.sum()) == len(own)


def test_signs_that_variables_come_with_do_not_matter(rng: np.random.Generator) -> None:
    gram = np.corrcoef(rng.normal(size=(40, 15)))
    flips = rng.choice([-1.0, 1.0], size=40)
    plain, turned = align_signs(gram), align_signs(gram * flips * flips[:, None]) * flips
    assert np.array_equal(plain, turned) or np.array_equal(plain, -turned)


def test_strongest_links_are_never_negative(rng: np.random.Generator) -> None:
    gram = np.corrcoef(rng.normal(size=(30, 12)))
    signs = align_signs(gram)
    aligned = gram * signs * signs[:, None]
    np.fill_diagonal(gram, 0)
    partner = np.abs(gram).argmax(axis=1)  # an edge of every maximum spanning tree
    assert (aligned[np.arange(30), partner] > 0).all()


@pytest.mark.parametrize("bad", [np.zeros((2, 3)), np.array([[1.0, np.nan], [np.nan, 1.0]])])
def test_signs_of_no_correlations_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"signs are aligned by .*; received shape .*\. Leave out"):
        align_signs(bad)


def test_bad_points_are_refused(rng: np.random.Generator) -> None:
    points = rng.normal(size=(10, 3))
    for call in (lambda: k_means(points, 11), lambda: k_means(points, 0), lambda: g_means(points * np.nan)):
        with pytest.raises(ValueError, match=r"clustering needs finite points.*; received .*\. Correct these\."):
            call()
    with pytest.raises(ValueError, match=r"8 points at least; received 7\. Choose"):
        anderson_darling(points[:7, 0])
    with pytest.raises(ValueError, match=r"two groups at least; received 10 points in 1 groups .*\. Fit more"):
        choose_k(points, [2, 3], groups=np.zeros(10))
