"""Tests of genes and distances of cells against scipy, loops and recorded numbers."""

from __future__ import annotations

import importlib

import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats

from galenic.evaluate import (
    benjamini_hochberg,
    de_overlap,
    differential,
    distances_by_condition,
    energy_distance,
    mmd,
    precision_at_k,
)
from galenic.evaluate import deltas as blocks
from galenic.evaluate.cells import median_gamma

N = 50


def counts(seed=0, n_genes=30):
    rng = np.random.default_rng(seed)
    X = np.log1p(rng.poisson(1.0, size=(N, n_genes)))
    X[:20, :2] += rng.poisson(1.0, size=(20, 2))
    return X, np.arange(N) < 20


def test_rank_sums_equal_scipy():
    X, is_treated = counts()
    found = differential(X, is_treated)
    expected = stats.mannwhitneyu(X[is_treated], X[~is_treated], method="asymptotic", axis=0)
    np.testing.assert_allclose(found["statistic"], expected.statistic)
    np.testing.assert_allclose(found["p_value"], expected.pvalue)
    np.testing.assert_allclose(found["delta"], X[:20].mean(axis=0) - X[20:].mean(axis=0))
    np.testing.assert_allclose(found["q_value"], benjamini_hochberg(expected.pvalue))


def test_welch_equals_scipy():
    X, is_treated = counts()
    found = differential(X, is_treated, test="welch")
    expected = stats.ttest_ind(X[is_treated], X[~is_treated], equal_var=False)
    np.testing.assert_allclose(found["statistic"], expected.statistic)
    np.testing.assert_allclose(found["p_value"], expected.pvalue)


@pytest.mark.parametrize("test", ["rank_sum", "welch"])
def test_blocks_and_sparse_change_nothing_and_a_constant_gene_has_no_p_value(test, monkeypatch):
    X, is_treated = counts()
    X[:, 7] = 1.0
    whole = differential(X, is_treated, test=test)
    # By its name in sys.modules: as an attribute of the package, the function hides its module.
    monkeypatch.setattr(importlib.import_module("galenic.evaluate.differential"), "BLOCK", 3 * N)
    pd.testing.assert_frame_equal(whole, differential(sparse.csr_matrix(X), is_treated, test=test))
    assert np.isnan(whole.loc[7, ["p_value", "q_value"]].astype(float)).all()
    assert whole["q_value"].notna().sum() == 29


def test_names_come_back_and_errors_say_what_came():
    X, is_treated = counts(n_genes=3)
    assert differential(X, is_treated, ["a", "b", "c"])["gene"].tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match="mask with one boolean a cell"):
        differential(X, is_treated.astype(int))
    with pytest.raises(ValueError, match="received 1 treated and 49 controls"):
        differential(X, np.arange(N) < 1)
    with pytest.raises(ValueError, match="3 columns; received 2 names"):
        differential(X, is_treated, ["a", "b"])
    with pytest.raises(ValueError, match="1 of 3 genes hold missing"):
        differential(np.where(np.arange(3) == 1, np.nan, X), is_treated)
    with pytest.raises(ValueError, match="test should be one of"):
        differential(X, is_treated, test="t")


def test_overlap_and_precision_equal_the_loop(rng):
    truth, prediction = rng.random((2, 8, 25))
    is_de = truth < 0.3
    is_de[3] = False
    overlap, precision = de_overlap(truth, prediction, 6), precision_at_k(is_de, prediction, 6)
    for i in range(8):
        first = set(np.argsort(truth[i])[:6])
        guess = list(np.argsort(prediction[i])[:6])
        assert overlap[i] == pytest.approx(len(first & set(guess)) / 6)
        expected = np.nan if i == 3 else np.mean([is_de[i, gene] for gene in guess])
        assert precision[i] == pytest.approx(expected, nan_ok=True)
    assert np.isnan(de_overlap(truth, prediction, 26)).all()
    np.testing.assert_allclose(de_overlap(truth, np.ones_like(truth), 5), 5 / 25)
    with pytest.raises(ValueError, match="of one shape"):
        de_overlap(truth, prediction[:3], 5)


def naive(x, y, kernel, unbiased):
    def mean(a, b, own):
        pairs = [kernel(p, q) for i, p in enumerate(a) for j, q in enumerate(b) if not (own and unbiased and i == j)]
        return sum(pairs) / len(pairs)

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("block", [blocks.BLOCK, 20])
def test_distances_of_cells_equal_the_loop(unbiased, block, rng, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", block)
    x, y = rng.normal(size=(9, 4)) + 5, rng.normal(size=(12, 4)) + 5.5
    found = energy_distance(x, y, unbiased=unbiased)
    assert found == pytest.approx(naive(x, y, lambda a, b: -np.sqrt(((a - b) ** 2).sum()), unbiased))
    gamma = 0.3
    found = mmd(x, y, gamma, unbiased=unbiased)
    assert found == pytest.approx(naive(x, y, lambda a, b: np.exp(-gamma * ((a - b) ** 2).sum()), unbiased))


def test_energy_distance_in_one_dimension_equals_scipy(rng):
    x, y = rng.normal(size=30), rng.normal(1.0, size=20)
    found = energy_distance(x[:, None], y[:, None], unbiased=False)
    assert found == pytest.approx(stats.energy_distance(x, y) ** 2)


def test_equal_distributions_lie_about_zero_and_others_above(rng):
    x, y = rng.normal(size=(2, 400, 5))
    assert abs(energy_distance(x, y)) < 0.02
    assert abs(mmd(x, y)) < 0.005
    assert energy_distance(x, y + 1) > 0.3
    assert mmd(x, y + 1) > 0.05
    assert mmd(x, x, unbiased=False) == pytest.approx(0, abs=1e-12)


def test_too_few_cells_are_undefined_and_other_genes_an_error(rng):
    x = rng.normal(size=(5, 3))
    assert np.isnan(energy_distance(x[:1], x))
    assert np.isfinite(energy_distance(x[:1], x, unbiased=False))
    assert np.isnan(mmd(x[:0], x, gamma=1.0, unbiased=False))
    with pytest.raises(ValueError, match="of the same genes"):
        mmd(x, x[:, :2])
    with pytest.raises(ValueError, match="y has 1 missing"):
        mmd(x, np.where(x == x[0, 0], np.nan, x))


def test_distances_of_conditions_are_joined_by_name(rng):
    table = pd.DataFrame({"context": np.repeat(["A", "B"], 40), "perturbation": np.tile(np.repeat(["x", "y"], 20), 2)})
    truth, prediction = rng.normal(size=(2, 80, 6))
    chosen = rng.permutation(80)[:60]
    found = distances_by_condition(truth, table, sparse.csr_matrix(prediction[chosen]), table.iloc[chosen])
    assert list(zip(found["context"], found["perturbation"], strict=True)) == [
        ("A", "x"),
        ("A", "y"),
        ("B", "x"),
        ("B", "y"),
    ]
    assert found["n_prediction"].sum() == 60
    x = truth[20:40]
    y = prediction[np.sort(chosen[(chosen >= 20) & (chosen < 40)])]
    assert found["energy_distance"][1] == pytest.approx(energy_distance(x, y))
    assert found["mmd"][1] == pytest.approx(mmd(x, y, median_gamma(x, x[:0])))
    few = distances_by_condition(truth, table, prediction, table, max_cells=5)
    assert (few["n_truth"] == 5).all()
    with pytest.raises(ValueError, match="2 of 4 are not"):
        distances_by_condition(truth[:40], table[:40], prediction, table)
    with pytest.raises(ValueError, match="a row a row of its table"):
        distances_by_condition(truth, table[:40], prediction, table)


@pytest.mark.real
def test_biased_mmd_equals_the_recorded_number(shared):
    recorded = np.load(shared / "golden" / "scatd_mmd.npz")
    x, y, gamma = recorded["x"], recorded["y"], float(recorded["gamma"])
    assert mmd(x, y, gamma, unbiased=False) == pytest.approx(float(recorded["mmd"]), rel=1e-6)
    # Recorded with the lower of the two middle distances, not their mean.
    assert median_gamma(x, y) == pytest.approx(gamma, rel=1e-3)
