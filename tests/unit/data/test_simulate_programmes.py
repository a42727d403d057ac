"""Simulated programmes: the truth that is handed over is what the profiles were made of."""

from __future__ import annotations

import numpy as np
import pytest

from galenic.data.aligned import require_scores
from galenic.data.simulate import programmes


def test_profiles_are_activities_times_loadings() -> None:
    adata = programmes(30, 80, n_programmes=5, genes_per_programme=12, noise=0.0, seed=3)
    activity, loadings = adata.obsm["programmes"], adata.varm["programmes"]
    np.testing.assert_allclose(adata.X, activity @ loadings.T, atol=1e-5)
    assert ((loadings != 0).sum(axis=0) == 12).all()
    assert (activity >= 0).all()
    assert set((activity > 0).sum(axis=1)) <= {1, 2}
    assert adata.uns["programmes"] == [f"programme {k}" for k in range(5)]
    assert (activity[np.arange(len(activity)), [int(name.split()[1]) for name in adata.obs["moa"]]] > 0).all()


def test_activity_rises_with_dose() -> None:
    adata = programmes(20, 40, n_programmes=3, genes_per_programme=10, n_cells=1, seed=1)
    total = adata.obsm["programmes"].sum(axis=1).reshape(20, 6)
    assert (np.diff(total, axis=1) > 0).all()
    assert (np.diff(adata.obs["dose"].to_numpy().reshape(20, 6), axis=1) > 0).all()


def test_dose_and_plate_move_every_profile() -> None:
    how = {"n_perturbagens": 60, "n_genes": 50, "n_programmes": 3, "genes_per_programme": 10, "strength": 0.0}
    plain, dosed, plated = (
        np.asarray(programmes(**how, **extra).X) for extra in ({}, {"dose_effect": 2.0}, {"plate_effect": 1.0})
    )
    dose = np.log10(programmes(**how).obs["dose"].to_numpy())
    r = [np.abs(np.corrcoef(x.T, dose)[:-1, -1]).mean() for x in (plain, dosed)]
    assert r[0] < 0.06 < 0.4 < r[1]
    plate = programmes(**how).obs["plate"].astype("category").cat.codes.to_numpy()
    between = [np.stack([x[plate == k].mean(axis=0) for k in range(plate.max() + 1)]).var() for x in (plain, plated)]
    assert between[1] > 10 * between[0]


def test_they_are_scores_with_unique_ids_and_one_seed_gives_one_answer() -> None:
    adata, again, other = (programmes(25, 40, genes_per_programme=8, seed=seed) for seed in (0, 0, 1))
    require_scores(np.asarray(adata.X), "profiles")
    assert adata.obs_names.is_unique
    np.testing.assert_array_equal(adata.X, again.X)
    assert not np.array_equal(adata.X, other.X)


def test_what_cannot_be_simulated_is_refused() -> None:
    for how in ({"n_cells": 9}, {"genes_per_programme": 300}, {"n_programmes": 0}):
        with pytest.raises(ValueError, match=r"should be .*; received .*\. Ask for fewer\."):
            programmes(**how)
