"""Each metric against scipy or scikit-learn, within groups against the loop, and NaN where it is undefined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from galenic.evaluate import METRICS, auroc, grouped, pearson, r2, spearman
from galenic.evaluate.metrics import ranks

REFERENCE = {
    "rmse": sk.root_mean_squared_error,
    "mae": sk.mean_absolute_error,
    "r2": sk.r2_score,
    "pearson": lambda truth, prediction: stats.pearsonr(truth, prediction)[0],
    "spearman": lambda truth, prediction: stats.spearmanr(truth, prediction)[0],
    "auroc": sk.roc_auc_score,
    "auprc": sk.average_precision_score,
    "balanced_accuracy": lambda truth, prediction: sk.balanced_accuracy_score(truth, prediction >= 0.5),
}


def example(metric, seed, n=60, ties=True):
    rng = np.random.default_rng(seed)
    truth, prediction = rng.normal(size=(2, n))
    if ties:
        truth, prediction = truth.round(1), prediction.round(1)
    if metric in ("auroc", "auprc", "balanced_accuracy"):
        truth = (truth > 0.3).astype(float)
    return truth, prediction


@pytest.mark.parametrize("metric", METRICS)
@given(seed=st.integers(0, 10_000), ties=st.booleans())
@settings(max_examples=25, deadline=None)
def test_equals_the_reference_library(metric, seed, ties):
    truth, prediction = example(metric, seed, ties=ties)
    value = METRICS[metric].function(truth, prediction)
    assert type(value) is float
    assert value == pytest.approx(REFERENCE[metric](truth, prediction), abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_grouped_equals_the_loop(metric, rng):
    truth, prediction = example(metric, 1, n=400)
    codes = rng.integers(0, 25, size=400)
    codes[codes == 7] = 8
    values = grouped(metric, truth, prediction, codes, 27)
    loop = [METRICS[metric].function(truth[codes == code], prediction[codes == code]) for code in range(27)]
    np.testing.assert_allclose(values, loop, atol=1e-12)
    assert np.isnan(values[[7, 25, 26]]).all()
    assert np.isfinite(np.delete(values, [7, 25, 26])).all()


@pytest.mark.parametrize("metric", METRICS)
def test_a_perfect_prediction_has_the_best_value(metric):
    truth, _ = example(metric, 2)
    assert METRICS[metric].function(truth, truth) == pytest.approx(METRICS[metric].best, abs=1e-12)
    worse = METRICS[metric].function(truth, -truth)
    assert (METRICS[metric].best > worse) is METRICS[metric].greater_is_better


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_not_finite_gives_nan_in_its_group_only(metric, bad):
    truth, prediction = example(metric, 3)
    codes = np.repeat([0, 1], 30)
    clean = grouped(metric, truth, prediction, codes)
    prediction[4] = bad
    values = grouped(metric, truth, prediction, codes)
    assert np.isnan(values[0])
    assert values[1] == clean[1]


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_is_undefined(metric):
    assert np.isnan(METRICS[metric].function([], []))


@pytest.mark.parametrize("function", [pearson, spearman])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 / 3, -7.3])
def test_correlation_with_a_constant_is_undefined(function, value):
    truth = np.arange(7.0)
    assert np.isnan(function(truth, np.full(7, value)))
    assert np.isnan(function(np.full(7, value), truth))
    assert np.isnan(function(truth[:2], truth[:2]))
    # Rounding errors of a mean are not variation.
    assert np.isnan(pearson(truth, value + 1e-14 * value * truth))


def test_other_undefined_cases():
    assert np.isnan(r2([1.0], [2.0]))
    assert np.isnan(r2([0.1, 0.1, 0.1], [1.0, 2.0, 3.0]))
    assert r2([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]) == 0
    for metric in ("auroc", "auprc", "balanced_accuracy"):
        assert np.isnan(METRICS[metric].function([1, 1], [0.1, 0.2]))
        assert np.isnan(METRICS[metric].function([0, 0], [0.1, 0.2]))


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100), shift=st.floats(-1000, 1000))
@settings(max_examples=25, deadline=None)
def test_correlation_ignores_scale_and_shift(seed, scale, shift):
    truth, prediction = example("pearson", seed, ties=False)
    assert pearson(truth, scale * prediction + shift) == pytest.approx(pearson(truth, prediction), abs=1e-9)
    assert spearman(truth, np.exp(prediction)) == pytest.approx(spearman(truth, prediction), abs=1e-12)


def test_float32_is_computed_in_float64(rng):
    truth = (1e4 + rng.normal(size=1000)).astype(np.float32)
    prediction = (1e4 + rng.normal(size=1000)).astype(np.float32)
    expected = stats.pearsonr(truth.astype(float), prediction.astype(float))[0]
    assert pearson(truth, prediction) == pytest.approx(expected, abs=1e-12)


def test_ranks_equal_scipy_in_each_group(rng):
    values, codes = rng.integers(0, 6, size=200).astype(float), rng.integers(0, 9, size=200)
    for code in range(9):
        np.testing.assert_array_equal(ranks(values, codes)[codes == code], stats.rankdata(values[codes == code]))


def test_refusals():
    with pytest.raises(ValueError, match=r"one of rmse, mae.*received 'rmsd'"):
        grouped("rmsd", [1.0], [1.0], [0])
    with pytest.raises(ValueError, match="labels 0 and 1; received 1 other values"):
        auroc([0, 1, 2], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="2 truths, 1 predictions"):
        pearson([1.0, 2.0], [1.0])
