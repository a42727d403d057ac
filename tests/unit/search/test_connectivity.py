"""Connectivity scores against the running sum of one profile at a time, and hand-worked cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galenic.search import (
    RankedProfiles,
    connectivity,
    enrichment_scores,
    gene_sets,
    ncs,
    reference_quantiles,
    summarise_over_cells,
    tau,
    wtcs,
)


def running_sum(z, genes):
    """Enrichment score by walking down one profile; equal z-scores keep the order of the genes."""
    z = z.astype(np.float64)
    order = sorted(range(len(z)), key=lambda gene: (-z[gene], gene))
    genes = set(map(int, genes))
    total = sum(abs(z[gene]) for gene in genes)
    value, highest, lowest = 0.0, 0.0, 0.0
    for gene in order:
        value += abs(z[gene]) / total if gene in genes else -1 / (len(z) - len(genes))
        highest, lowest = max(highest, value), min(lowest, value)
    return highest if highest >= -lowest - 1e-9 else lowest


def naive_wtcs(z, up, down):
    raised, lowered = running_sum(z, up), running_sum(z, down)
    return (raised - lowered) / 2 if np.sign(raised) != np.sign(lowered) else 0.0


@given(seed=st.integers(0, 10_000), ties=st.booleans(), size=st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_equals_the_running_sum(seed, ties, size):
    rng = np.random.default_rng(seed)
    profiles = rng.normal(size=(20, 30)).astype(np.float32)
    if ties:
        profiles = profiles.round(0) + 0.5 * (rng.random(profiles.shape) < 0.1).astype(np.float32)
        profiles[:, 0] = 1  # no set of only zeros below
    sets = [np.append(0, 1 + rng.choice(29, size, replace=False)) for _ in range(4)]
    reference = RankedProfiles.of(profiles)
    loop = np.array([[running_sum(z, genes) for z in profiles] for genes in sets])
    np.testing.assert_allclose(enrichment_scores(reference, sets), loop, atol=1e-6)


def test_wtcs_of_many_queries_equals_one_profile_at_a_time(rng, monkeypatch):
    profiles = rng.normal(size=(300, 100)).astype(np.float32)
    profiles[1] = -profiles[0]
    up, down = gene_sets(profiles[:5], 10)
    reference = RankedProfiles.of(profiles)
    scores = wtcs(reference, list(up), list(down))
    loop = [[naive_wtcs(z, *sets) for z in profiles] for sets in zip(up, down, strict=True)]
    np.testing.assert_allclose(scores, loop, atol=1e-6)
    np.testing.assert_allclose(scores[0, :2], [1, -1], atol=1e-6)  # itself, and its reverse
    monkeypatch.setattr(connectivity, "BLOCK", 7)
    monkeypatch.setattr(connectivity, "RANKED", 1_000)
    np.testing.assert_array_equal(wtcs(RankedProfiles.of(profiles), list(up), list(down)), scores)
    for at in range(5):
        np.testing.assert_array_equal(wtcs(reference, [up[at]], [down[at]])[0], scores[at])


def test_one_set_alone(rng):
    profiles = rng.normal(size=(50, 40))
    up, down = gene_sets(profiles[:2], 5)
    reference = RankedProfiles.of(profiles)
    np.testing.assert_array_equal(wtcs(reference, list(up)), enrichment_scores(reference, list(up)))
    np.testing.assert_array_equal(wtcs(reference, down=list(down)), -enrichment_scores(reference, list(down)))


def test_an_example_by_hand():
    """z = 4, 3, 2, 1, -5 and the set {4, 2}: 0.667, 0.333, 0.667, 0.333, 0; the reverse profile starts with misses."""
    reference = RankedProfiles.of(np.array([[4.0, 3.0, 2.0, 1.0, -5.0], [-4.0, -3.0, -2.0, -1.0, 5.0]]))
    genes = np.array([0, 2])
    # Second row, ranked 5, -1, -2, -3, -4: -0.333, -0.667, then -0.333, -0.667, 0.333 - 0.333: lowest -0.667.
    np.testing.assert_allclose(enrichment_scores(reference, [genes])[0], [2 / 3, -2 / 3], atol=1e-7)
    assert np.isnan(enrichment_scores(RankedProfiles.of(np.array([[0.0, 0.0, 1.0]])), [np.array([0, 1])])[0, 0])


def test_equal_signs_give_zero():
    reference = RankedProfiles.of(np.array([[5.0, 4.0, 3.0, 0.1, 0.05, -0.1]]))
    assert wtcs(reference, [np.array([0])], [np.array([1])])[0, 0] == 0


def test_storage(rng):
    profiles = rng.normal(size=(10, 30)).astype(np.float16)
    small, large = RankedProfiles.of(profiles), RankedProfiles.of(profiles.astype(np.float64))
    assert (small.weights.dtype, large.weights.dtype) == (np.float16, np.float32)
    assert small.ranks.dtype == np.uint16
    assert (len(small), small.n_genes) == (10, 30)
    up, down = gene_sets(profiles.astype(float), 3)
    np.testing.assert_allclose(wtcs(small, list(up), list(down)), wtcs(large, list(up), list(down)), atol=1e-6)


def test_gene_sets_keep_the_order_of_genes_among_ties():
    up, down = gene_sets(np.array([[1.0, 2.0, 2.0, 0.0, 0.0, 5.0]]), 2)
    assert up.tolist() == [[5, 1]]
    assert sorted(down[0]) == [3, 4]


def test_ncs_equals_the_loop(rng):
    scores = rng.normal(size=(4, 60)).round(1)
    scores[0, 5], scores[1, 7] = np.nan, 0
    groups = rng.choice(list("abc"), 60)
    result = ncs(scores, groups)
    for query in range(4):
        for column in range(60):
            value, own = scores[query, column], scores[query, groups == groups[column]]
            if np.isnan(value) or value == 0:
                assert np.array_equal(result[query, column], value, equal_nan=True)
                continue
            same = own[np.sign(own) == np.sign(value)]
            assert result[query, column] == pytest.approx(value / abs(same.mean()))


def test_tau_equals_counting(rng):
    scores = rng.normal(size=(2_000, 6))
    table = reference_quantiles(scores)
    assert table.shape == (6, 201)
    queries = rng.normal(size=(30, 6)) * 2
    queries[0, 0] = np.nan
    loop = [[np.sign(v) * 100 * np.mean(np.abs(scores[:, r]) < abs(v)) for r, v in enumerate(row)] for row in queries]
    result = tau(queries, table)
    assert np.isnan(result[0, 0])
    np.testing.assert_allclose(result.ravel()[1:], np.ravel(loop)[1:], atol=0.5)
    zeros = reference_quantiles(np.array([[0.0], [0.0], [0.0], [1.0], [2.0]]), 5)
    assert tau(np.array([[0.0]]), zeros)[0, 0] == 0
    assert tau(np.array([[-5.0]]), zeros)[0, 0] == -100


def test_summary_over_cells_equals_the_loop(rng):
    scores, names = rng.normal(size=(5, 40)), rng.choice(list("wxyz"), 40)
    scores[0, names == "w"] = np.nan
    scores[1, 3] = np.nan
    table = summarise_over_cells(scores, names)
    assert list(table) == list("wxyz")
    for query in range(5):
        for name in table:
            own = scores[query, names == name]
            own = own[~np.isnan(own)]
            if not len(own):
                assert np.isnan(table.loc[query, name])
                continue
            high, low = np.quantile(own, [0.67, 0.33])
            assert table.loc[query, name] == pytest.approx(high if abs(high) >= abs(low) else low)


def test_refusals(rng):
    reference = RankedProfiles.of(rng.normal(size=(3, 6)))
    with pytest.raises(ValueError, match="1 out of range"):
        enrichment_scores(reference, [np.array([0, 6])])
    with pytest.raises(ValueError, match="set 1 has 2 entries, 1 different"):
        enrichment_scores(reference, [np.array([0]), np.array([1, 1])])
    with pytest.raises(ValueError, match="lists of the same length"):
        wtcs(reference, [np.array([0])], [])
    with pytest.raises(ValueError, match="2 to 65,536 genes; received 1"):
        RankedProfiles.of(np.ones((3, 1)))
    with pytest.raises(ValueError, match=r"finite; 1 of 2 rows"):
        RankedProfiles.of(np.array([[1.0, 2.0], [np.nan, 1.0]]))
    with pytest.raises(ValueError, match="half of the 6 genes; received n = 4"):
        gene_sets(rng.normal(size=(2, 6)), 4)
    with pytest.raises(ValueError, match=r"1 of them missing"):
        ncs(np.ones((1, 2)), ["a", None])
    with pytest.raises(ValueError, match="2 rows"):
        tau(np.ones((1, 2)), np.ones((3, 5)))
