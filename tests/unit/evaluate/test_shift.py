"""Domain shift: none found between samples of one distribution, found where planted; naive twins."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from galenic.evaluate import domain_shift
from galenic.evaluate.shift import mmd2


def measures(reference, target, **options):
    return domain_shift(reference, target, **options).set_index("measure")


@pytest.mark.parametrize("seed", range(3))
def test_one_distribution_is_indistinguishable(seed):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(20, 20))
    table = measures(rng.normal(size=(150, 20)) @ mixing, rng.normal(size=(100, 20)) @ mixing, seed=seed)
    assert table.loc["classifier_auroc", "value"] == pytest.approx(0.5, abs=0.12)
    assert table.loc["mmd2", "p_value"] > 0.01
    assert abs(table.loc["mmd2", "value"]) < 0.01
    assert table.loc["outside_share", "value"] < 0.08
    assert (table["n_reference"] == 150).all()
    assert (table["n_target"] == 100).all()


def test_a_shifted_mean_is_found(rng):
    table = measures(rng.normal(size=(150, 20)), rng.normal(0.5, 1, size=(100, 20)))
    assert table.loc["classifier_auroc", "low"] > 0.7
    assert table.loc["mmd2", "p_value"] < 0.01
    assert table.loc["mmd2", "value"] > 0.01


def test_cells_out_of_range_are_counted(rng):
    target = rng.normal(size=(100, 20))
    target[:30] += 10
    row = measures(rng.normal(size=(150, 20)), target).loc["outside_share"]
    assert row["value"] == pytest.approx(0.3, abs=0.04)
    assert row["low"] < 0.3 < row["high"]


def test_a_change_of_spread_escapes_the_linear_classifier_but_not_the_kernel(rng):
    table = measures(rng.normal(size=(200, 10)), 2 * rng.normal(size=(150, 10)))
    assert table.loc["classifier_auroc", "value"] == pytest.approx(0.5, abs=0.12)
    assert table.loc["mmd2", "p_value"] < 0.01
    assert table.loc["outside_share", "value"] > 0.3


def test_permutation_p_values_are_uniform_without_shift():
    p_values = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(2, 15, 3))
        p_values.append(measures(x, y, seed=seed, n_permutations=99, n_folds=2).loc["mmd2", "p_value"])
    assert 0.35 < np.mean(p_values) < 0.65
    assert np.mean(np.array(p_values) <= 0.05) < 0.15


def test_mmd_equals_the_loop(rng):
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(5, 3))
    z = np.vstack([x, y])
    kernel = np.exp(-((z[:, None] - z[None]) ** 2).sum(-1))

    def k(a, b):
        return np.exp(-((a - b) ** 2).sum())

    loop = sum(k(x[i], x[j]) for i in range(7) for j in range(7) if i != j) / 42
    loop += sum(k(y[i], y[j]) for i in range(5) for j in range(5) if i != j) / 20
    loop -= 2 * sum(k(a, b) for a in x for b in y) / 35
    np.fill_diagonal(kernel, 0)
    sides = np.repeat([1.0, 0.0], [7, 5])[:, None]
    np.testing.assert_allclose(mmd2(kernel, np.hstack([sides, 1 - sides])), loop)


def test_scale_and_order_of_features_do_not_matter(rng):
    x, y = rng.normal(size=(60, 6)), rng.normal(0.3, 1, size=(50, 6))
    base = measures(x, y)
    order, scale = rng.permutation(6), rng.uniform(0.1, 50, size=6)
    pd.testing.assert_frame_equal(base, measures((x * scale)[:, order], (y * scale)[:, order]), atol=1e-5)


def test_large_sides_are_subsampled_and_say_so(rng):
    x, y = rng.normal(size=(300, 4)), rng.normal(size=(40, 4))
    table = measures(x, y, max_cells=60)
    assert (table["n_reference"] == 60).all()
    assert (table["n_target"] == 40).all()
    pd.testing.assert_frame_equal(table, measures(x, y, max_cells=60))


def test_constant_features_are_harmless(rng):
    x, y = rng.normal(size=(40, 4)), rng.normal(size=(40, 4))
    x[:, 2] = y[:, 2] = 7.0
    assert measures(x, y)["value"].notna().all()
    assert measures(np.ones((20, 2)), np.ones((20, 2)))["value"].tolist() == [0.5, 0.0, 0.0]


def test_refusals(rng):
    x = pd.DataFrame(rng.normal(size=(30, 3)), columns=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"2 stand in one only.*Align them"):
        domain_shift(x, x.rename(columns={"a": "z"}))
    with pytest.raises(ValueError, match="same features in the same order"):
        domain_shift(x, x[["b", "a", "c"]])
    with pytest.raises(ValueError, match=r"target is \(4, 3\)"):
        domain_shift(x, x.iloc[:4])
    with pytest.raises(ValueError, match=r"target is \(30, 2\)"):
        domain_shift(x, x.to_numpy()[:, :2])
    with pytest.raises(ValueError, match="target has 1 missing"):
        domain_shift(x, x.where(x != x.iloc[0, 0]))
