"""Stability over seeds: what a naive loop finds, planted programmes come back, and nothing is touched."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from galenic.data.simulate import programmes
from galenic.models.deeppert.member import encoded
from galenic.models.deeppert.model import DeepPert
from galenic.models.deeppert.seeds import ENSEMBLE, stability_over_seeds
from galenic.train import Training

QUICK = {"sizes": (4, 8), "runs": 4, "n_components": 20, "training": Training(max_epochs=15, monitor="none")}


@pytest.fixture(scope="module")
def adata():
    return programmes(40, 80, n_programmes=4, genes_per_programme=12, n_cells=1, seed=1)


@pytest.fixture(scope="module")
def model(adata):
    return DeepPert(families=("ae", "ica", "pca"), **QUICK).fit(adata)


@pytest.fixture(scope="module")
def table(model, adata) -> pd.DataFrame:
    return stability_over_seeds(model, adata, n_divisions=6)


def naive_again(one: np.ndarray, other: np.ndarray) -> float:
    """Median over columns of the best correlation with a column of the other, mean of both ways."""
    sides = []
    for a, b in ((one, other), (other, one)):
        best = [max(abs(np.corrcoef(x, y)[0, 1]) for y in b.T) for x in a.T]
        sides.append(np.median(best))
    return float(np.mean(sides))


def test_single_members_are_what_a_loop_finds(model, adata, table) -> None:
    scores = model._front().scores(model._all_deviations(adata))
    latents = [encoded(layers, scores).astype(np.float64) for layers in model._encoders()]
    members = [number for number, one in enumerate(model.spec_["members"]) if (one["family"], one["size"]) == ("ae", 8)]
    pairs = {(a, b): naive_again(latents[a], latents[b]) for a in members for b in members if a < b}
    parted = [
        np.mean([value for (a, b), value in pairs.items() if (a in half) != (b in half)])
        for half in ({members[0], other} for other in members[1:])
    ]
    for value in table.loc[table["what"] == "ae of 8", "again"]:
        assert np.abs(np.array(parted) - value).min() < 1e-6


def test_halves_of_the_seeds_share_none_and_principal_components_have_none(table) -> None:
    assert set(table["what"]) == {ENSEMBLE, "ae of 4", "ae of 8", "ica of 4", "ica of 8"}
    assert (table.groupby("what")["division"].nunique() == 6).all()
    assert table["again"].between(0, 1).all()


def test_planted_programmes_come_back_and_latents_of_members_less(table) -> None:
    means = table.groupby("what")["again"].mean()
    assert means[ENSEMBLE] > 0.8
    assert means[ENSEMBLE] > means["ae of 8"] + 0.2


def test_noise_does_not_come_back(rng) -> None:
    noise = programmes(40, 80, n_programmes=4, genes_per_programme=12, n_cells=1, seed=1)
    noise.X = rng.normal(size=noise.shape).astype(np.float32)
    model = DeepPert(families=("ae",), n_consensus=8, shared=0.0, **QUICK).fit(noise)
    assert stability_over_seeds(model, noise, n_divisions=6).query("what == 'ensemble'")["again"].mean() < 0.8


def test_it_is_repeatable_and_touches_nothing(model, adata, table) -> None:
    before, arrays = adata.X.copy(), {name: array.copy() for name, array in model.arrays_.items()}
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    pd.testing.assert_frame_equal(stability_over_seeds(model, adata, n_divisions=6), table)
    np.testing.assert_array_equal(adata.X, before)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, model.arrays_[name])


def test_where_there_is_one_run_there_is_nothing_to_say(adata) -> None:
    model = DeepPert(families=("ae", "pca"), **QUICK | {"runs": 1}).fit(adata)
    assert stability_over_seeds(model, adata) is None


def test_halves_that_share_too_little_are_missing(adata) -> None:
    model = DeepPert(families=("ae",), n_consensus=12, shared=0.0, **QUICK | {"sizes": (8,), "runs": 2}).fit(adata)
    found = stability_over_seeds(model, adata, n_divisions=2)
    assert found.loc[found["what"] == ENSEMBLE, "again"].isna().all()
    assert found.loc[found["what"] == "ae of 8", "again"].notna().all()
