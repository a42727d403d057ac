"""Discriminant directions against plain loops and the reference library."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from galenic.data.aligned import Aligned
from galenic.data.simulate import profiles
from galenic.models.profiles.discriminant import (
    ShrinkageLDA,
    chosen,
    discriminants,
    scatter,
    squashed,
    weights,
    whitener,
)
from galenic.models.profiles.profile_model import classes

ADATA = profiles(n_perturbagens=12, n_genes=15, n_cells=5, seed=3)
ROWS = Aligned(ADATA, list(ADATA.var_names))
CODES = classes(ADATA, "pert_id")[0]


def test_scatter_equals_a_loop() -> None:
    codes = CODES.copy()
    codes[:4] = -1  # one of the first class is left alone
    found = scatter(ROWS, codes, 3.0)
    kept = np.tanh(ADATA.X[codes >= 0].astype(float) / 3)
    own = codes[codes >= 0]
    within, n, several = np.zeros((15, 15)), 0, 0
    for name in np.unique(own):
        part = kept[own == name]
        if len(part) > 1:
            several += 1
            n += len(part)
            for row in part - part.mean(axis=0):
                within += np.outer(row, row)
    within /= n - several
    np.testing.assert_allclose(found.mean, kept.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(found.within, within, atol=1e-12)
    np.testing.assert_allclose(found.between, np.cov(kept.T, bias=True) - within, atol=1e-12)


def test_directions_span_those_of_the_reference() -> None:
    """Without shrinkage: the same subspace, in which classes spread alike."""
    X = ADATA.X.astype(float)
    theirs = LinearDiscriminantAnalysis(solver="eigen", n_components=5).fit(X, CODES).scalings_[:, :5]
    ours, _ = discriminants(scatter(ROWS, CODES, 0.0), 0.0, 5)
    a, b = np.linalg.qr(ours)[0], np.linalg.qr(theirs)[0]
    np.testing.assert_allclose(np.linalg.svd(a.T @ b)[1], 1, atol=1e-6)


def test_whitened_profiles_of_a_class_spread_alike() -> None:
    spread = scatter(ROWS, CODES, 3.0)
    white = whitener(spread, 0.0)
    np.testing.assert_allclose(white @ spread.within @ white, np.eye(15), atol=1e-3)


def test_variances_fall_and_weights_are_shares() -> None:
    plain, variances = discriminants(scatter(ROWS, CODES, 3.0), 0.3, 15)
    assert plain.shape == (15, 15)
    assert (np.diff(variances) <= 1e-9).all()
    np.testing.assert_allclose(weights(np.array([0.0, 1.0, 3.0]), 0.5), [0, 0.5**0.5, 0.75**0.5])
    np.testing.assert_array_equal(weights(variances, 0.0), 1)


def test_squash_keeps_small_scores_and_bounds_large_ones() -> None:
    part = np.array([[0.1, 50.0, -50.0]], dtype=np.float32)
    np.testing.assert_allclose(3 * squashed(part, 3.0), [[0.1, 3.0, -3.0]], atol=1e-3)
    np.testing.assert_array_equal(squashed(part, 0.0), part.astype(float))


def test_settings_are_chosen_on_classes_that_were_left_out() -> None:
    adata = profiles(n_perturbagens=60, n_genes=40, n_cells=4, noise=3.0, seed=0)
    rows, codes = Aligned(adata, list(adata.var_names)), classes(adata, "pert_id")[0]
    shrinkage, _ = chosen(rows, codes, 0.0, 0, shrinkages=(1e-6, 1.0))
    assert shrinkage == 1.0
    assert chosen(rows, codes, 0.0, 0) == chosen(rows, codes, 0.0, 0)


def test_too_few_classes_to_choose_by() -> None:
    codes = np.where(CODES < 2, CODES, -1)
    assert chosen(ROWS, codes, 3.0, 0) == (1.0, 0.5)


def test_a_constant_gene_does_not_break_it() -> None:
    adata = ADATA.copy()
    adata.X[:, 0] = 0
    assert np.isfinite(ShrinkageLDA(shrinkage=0.0, n_latent=5).fit(adata).embed(adata)).all()


@pytest.mark.parametrize("field", ["shrinkage", "squash"])
def test_negative_settings_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} should be from 0"):
        ShrinkageLDA(**{field: -1.0})
