"""Alignment: loops, the published formula, and what a cell's neighbours may not change."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.stats import entropy

from galenic.data.alignment import AlignedStatistics, Alignment, histogram_kl, shift_by_feature


@pytest.fixture
def cells(rng: np.random.Generator) -> np.ndarray:
    return rng.normal([3.0, -1.0, 0.0, 8.0], [1.0, 2.0, 0.1, 5.0], size=(80, 4))


@pytest.fixture
def bulk(rng: np.random.Generator) -> np.ndarray:
    return rng.gamma(3, [1.0, 2.0, 3.0, 0.5], size=(60, 4))


def test_statistics_and_restyling_by_loops(cells: np.ndarray, bulk: np.ndarray) -> None:
    restyled = AlignedStatistics.of(cells).restyle(cells, AlignedStatistics.of(bulk))
    for j in range(4):
        mean, other = sum(cells[:, j]) / 80, sum(bulk[:, j]) / 60
        sd = (sum((v - mean) ** 2 for v in cells[:, j]) / 80) ** 0.5
        other_sd = (sum((v - other) ** 2 for v in bulk[:, j]) / 60) ** 0.5
        for i in range(80):
            expected = (cells[i, j] - mean) / (sd + 1e-8) * other_sd + other
            assert restyled[i, j] == pytest.approx(expected, rel=1e-9)


def test_restyled_cells_have_the_other_domains_statistics(cells: np.ndarray, bulk: np.ndarray) -> None:
    own, other = AlignedStatistics.of(cells), AlignedStatistics.of(bulk)
    restyled = own.restyle(cells, other)
    np.testing.assert_allclose(restyled.mean(axis=0), bulk.mean(axis=0))
    np.testing.assert_allclose(restyled.std(axis=0), bulk.std(axis=0), rtol=1e-6)
    np.testing.assert_allclose(own.restyle(cells, own), cells, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(other.restyle(restyled, own), cells, rtol=1e-6, atol=1e-6)
    # The order of the cells within each feature stays.
    np.testing.assert_array_equal(restyled.argsort(axis=0), cells.argsort(axis=0))


def test_unit_and_origin_of_a_domain_do_not_matter(cells: np.ndarray, bulk: np.ndarray) -> None:
    towards = AlignedStatistics.of(bulk)
    moved = 7 * cells - 100
    np.testing.assert_allclose(
        AlignedStatistics.of(moved).restyle(moved, towards),
        AlignedStatistics.of(cells).restyle(cells, towards),
        rtol=1e-6,
        atol=1e-5,
    )


def test_one_cell_is_restyled_as_among_others(cells: np.ndarray, bulk: np.ndarray) -> None:
    own, other = AlignedStatistics.of(cells), AlignedStatistics.of(bulk)
    np.testing.assert_array_equal(own.restyle(cells[3:4], other), own.restyle(cells, other)[3:4])
    assert own.restyle(cells[:0], other).shape == (0, 4)


def test_constant_features_become_the_mean(bulk: np.ndarray, rng: np.random.Generator) -> None:
    flat = np.column_stack([np.full(60, 2.5), rng.normal(size=60), np.zeros(60), rng.normal(size=60)])
    restyled = AlignedStatistics.of(flat).restyle(flat, AlignedStatistics.of(bulk))
    np.testing.assert_allclose(restyled[:, [0, 2]], np.tile(bulk.mean(axis=0)[[0, 2]], (60, 1)))
    back = AlignedStatistics.of(bulk).restyle(bulk, AlignedStatistics.of(flat))
    np.testing.assert_allclose(back[:, 0], 2.5)
    assert np.isfinite(restyled).all()


def test_sparse_and_dense_agree_also_far_from_zero(rng: np.random.Generator) -> None:
    dense = np.where(rng.random((70, 6)) < 0.3, 1e6 + rng.random((70, 6)), 0)
    dense[:, 0], dense[:, 1] = 1e6 + rng.random(70), 0
    matrices = [AlignedStatistics.of(kind(dense)) for kind in (np.asarray, sparse.csr_matrix, sparse.csc_array)]
    for other in matrices[1:]:
        np.testing.assert_allclose(other.mean, matrices[0].mean, rtol=1e-12)
        np.testing.assert_allclose(other.sd, matrices[0].sd, rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(
        matrices[0].restyle(sparse.csr_matrix(dense), matrices[0]), matrices[0].restyle(dense, matrices[0])
    )


def test_a_value_stored_in_two_parts_is_their_sum(cells: np.ndarray) -> None:
    rows, columns = np.indices(cells.shape).reshape(2, -1)
    order = np.argsort(np.tile(rows, 2), kind="stable")
    parts = np.concatenate([cells.ravel() - 1, np.ones(cells.size)])[order]
    starts = np.arange(0, 2 * cells.size + 1, 2 * cells.shape[1])
    matrix = sparse.csr_matrix((parts, np.tile(columns, 2)[order], starts), shape=cells.shape)
    found = AlignedStatistics.of(matrix)
    np.testing.assert_allclose([found.mean, found.sd], [cells.mean(axis=0), cells.std(axis=0)])
    assert matrix.nnz == 2 * cells.size


def test_groups_of_any_size_count_the_same(rng: np.random.Generator) -> None:
    """A class mix changes plain statistics, not those over groups."""
    one, other = rng.normal(0, 1, size=(60, 3)), rng.normal(4, 2, size=(60, 3))
    labels = np.repeat(["a", "b"], 60)
    both = AlignedStatistics.of(np.vstack([one, other]), groups=labels)
    many = AlignedStatistics.of(np.vstack([one, one, one, other]), groups=["a"] * 180 + ["b"] * 60)
    np.testing.assert_allclose(many.mean, both.mean)
    np.testing.assert_allclose(many.sd, both.sd)
    plain = AlignedStatistics.of(np.vstack([one, other]))
    np.testing.assert_allclose([both.mean, both.sd], [plain.mean, plain.sd])
    assert np.abs(AlignedStatistics.of(np.vstack([one, one, one, other])).mean - both.mean).min() > 0.5
    values = sparse.csr_matrix(np.vstack([one, one, one, other]))
    np.testing.assert_allclose(AlignedStatistics.of(values, groups=["a"] * 180 + ["b"] * 60).sd, both.sd)


def test_few_cells_and_one_sided_sets_are_told(cells: np.ndarray) -> None:
    with pytest.warns(UserWarning, match=r"need 50 cells or more to be trusted; received 49\. Learn them"):
        AlignedStatistics.of(cells[:49])
    AlignedStatistics.of(cells[:50])
    with pytest.warns(UserWarning, match=r"'T' holds 73 of 80\. What is particular"):
        AlignedStatistics.of(cells, groups=["T"] * 73 + ["B"] * 7)
    AlignedStatistics.of(cells, groups=["T"] * 72 + ["B"] * 8)


def test_modes_of_a_stored_alignment(cells: np.ndarray, bulk: np.ndarray, rng: np.random.Generator) -> None:
    atlas = rng.normal(20, 3, size=(90, 4))
    alignment = Alignment(AlignedStatistics.of(bulk), AlignedStatistics.of(atlas))
    for found, expected in (
        (alignment.of_source(bulk), atlas),
        (alignment.of_target(cells), atlas),
        (alignment.of_target(cells, mode="as_published"), bulk),
        (alignment.of_target(cells, mode="none"), cells),
        (Alignment(AlignedStatistics.of(bulk)).of_target(cells), bulk),
        (Alignment(AlignedStatistics.of(bulk)).of_source(bulk), bulk),
    ):
        np.testing.assert_allclose(found.mean(axis=0), expected.mean(axis=0))
        np.testing.assert_allclose(found.std(axis=0), expected.std(axis=0), rtol=1e-6)
    own = AlignedStatistics.of(cells)
    np.testing.assert_array_equal(alignment.of_target(cells[:1], own=own), alignment.of_target(cells)[:1])
    with pytest.warns(UserWarning, match="received 1"):
        alignment.of_target(cells[:1])
    with pytest.raises(ValueError, match=r"received 'paper'\. Choose"):
        alignment.of_target(cells, mode="paper")


def test_nothing_given_is_changed(cells: np.ndarray, bulk: np.ndarray) -> None:
    before = cells.copy(), bulk.copy()
    own = AlignedStatistics.of(cells)
    restyled = own.restyle(cells, AlignedStatistics.of(bulk))
    untouched = Alignment(own).of_target(cells, mode="none")
    untouched += 1
    shift_by_feature(cells, restyled, bulk)
    np.testing.assert_array_equal(cells, before[0])
    np.testing.assert_array_equal(bulk, before[1])
    with pytest.raises(FrozenInstanceError):
        own.n = 3


def naive_kl(x: np.ndarray, reference: np.ndarray, n_bins: int = 30) -> list[float]:
    found = []
    for j in range(x.shape[1]):
        edges = np.histogram_bin_edges(np.concatenate([x[:, j], reference[:, j]]), bins=n_bins)
        shares = [np.histogram(side[:, j], edges)[0] / len(side) + 1e-10 for side in (x, reference)]
        found.append(float(entropy(*shares)))
    return found


@pytest.mark.parametrize("n_bins", [1, 7, 30])
def test_divergence_equals_numpys_histogram(
    cells: np.ndarray, bulk: np.ndarray, rng: np.random.Generator, n_bins: int
) -> None:
    np.testing.assert_allclose(histogram_kl(cells, bulk, n_bins=n_bins), naive_kl(cells, bulk, n_bins), atol=1e-9)
    # Whole numbers and tenths lie on edges.
    x, y = rng.integers(0, 30, size=(2, 50, 20)) / 10
    x[0], y[0] = 0, 3
    np.testing.assert_allclose(histogram_kl(x, y, n_bins=n_bins), naive_kl(x, y, n_bins), atol=1e-9)


def test_laws_of_the_divergence(cells: np.ndarray, bulk: np.ndarray) -> None:
    found = histogram_kl(cells, bulk)
    assert (found > 0).all()
    np.testing.assert_allclose(histogram_kl(cells[::-1], bulk), found)
    np.testing.assert_allclose(histogram_kl(8 * cells, 8 * bulk), found, atol=1e-9)
    np.testing.assert_allclose(histogram_kl(cells[:, ::-1], bulk[:, ::-1]), found[::-1])
    np.testing.assert_allclose(histogram_kl(cells, cells), 0, atol=1e-12)
    assert histogram_kl(np.ones((5, 1)), np.ones((3, 1))).tolist() == [0.0]
    assert not np.allclose(histogram_kl(bulk, cells), found)


def test_alignment_lowers_a_shift_of_mean_and_spread(rng: np.random.Generator) -> None:
    cells, bulk = rng.normal(size=(400, 6)), rng.normal(rng.normal(0, 3, 6), 2.0, size=(400, 6))
    aligned = AlignedStatistics.of(cells).restyle(cells, AlignedStatistics.of(bulk))
    table = shift_by_feature(cells, aligned, bulk, names=list("abcdef"))
    assert (table["after"] < table["before"] / 2).all()
    pd.testing.assert_index_equal(table.index, pd.Index(list("abcdef"), name="feature"))
    np.testing.assert_allclose(table["before"], histogram_kl(cells, bulk))


def test_what_cannot_be_aligned_is_refused(cells: np.ndarray, bulk: np.ndarray) -> None:
    own = AlignedStatistics.of(cells)
    holes = cells.copy()
    holes[0, 0] = np.nan
    for call, message in (
        (lambda: AlignedStatistics.of(cells[0]), r"received shape \(4,\)\. Give a single cell as one row"),
        (lambda: AlignedStatistics.of(cells[:0]), "with a row at least"),
        (lambda: AlignedStatistics.of(holes), "received 1 missing or infinite"),
        (lambda: AlignedStatistics.of(sparse.csr_matrix(holes)), "received 1 missing or infinite"),
        (lambda: own.restyle(cells[:, :3], own), r"received 3, 4 and 4\. Align the genes"),
        (lambda: AlignedStatistics.of(cells, groups=["a"] * 3), "label for each of 80 cells; received 3"),
        (lambda: AlignedStatistics.of(cells, groups=[None] + ["a"] * 79), "of which 1 missing"),
        (lambda: histogram_kl(cells, bulk[:, :2]), r"received 4 and 2 features and 30 bins\. Align"),
        (lambda: histogram_kl(cells, bulk, n_bins=0), "0 bins"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
