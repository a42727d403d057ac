"""Weights of the stacked effects against a plain design matrix, and on measured data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import nnls

import galenic
from galenic.data.condition_means import condition_means
from galenic.data.perturbation import perturbation_columns
from galenic.data.simulate import perturbations
from galenic.models.perturbation import regression
from galenic.models.perturbation.known import Conditions, Known, compare
from galenic.models.perturbation.kriging import NOISE, RANGE


def kriged(conditions: Conditions, known: Known) -> np.ndarray:
    """Each condition from the same perturbation elsewhere, by how alike the controls are."""
    alike = np.exp((np.corrcoef(known.controls) - 1) / RANGE)
    found = []
    for context, what in zip(conditions.context, conditions.perturbation, strict=True):
        sources = np.flatnonzero((known.at.perturbation == what) & (known.at.context != context))
        places = known.at.context[sources]
        system = alike[np.ix_(places, places)] + NOISE * np.eye(len(places))
        weights = np.linalg.solve(system, alike[places, context])
        weights += (1 - weights.sum()) / len(weights)
        found.append(weights @ known.effects[sources])
    return np.stack(found)


@pytest.mark.parametrize("n_perturbations", [6, regression.LEAST + 2])
def test_weights_are_the_least_squares_of_what_each_says_of_held_out_conditions(n_perturbations: int) -> None:
    how = {"n_contexts": 3, "n_genes": 12, "n_cells": 4, "noise": 0.5, "interaction": 1.0, "seed": 2}
    adata = perturbations(n_perturbations=n_perturbations, **how)
    model = galenic.StackedShift().fit(adata)
    means = condition_means(adata, perturbation_columns(adata, context="cell_type", perturbation="perturbation"))
    asked = means.table[["context", "perturbation"]]
    told = {
        name: getattr(galenic, name)().fit(adata).predict(adata, asked).layers["effect"].astype(float)
        for name in ("ContextMeanEffect", "MeanShift", "ScaledShift")
    }
    scale = galenic.ScaledShift().fit(adata).arrays_["scale"][0]
    special = (told["ScaledShift"] - told["ContextMeanEffect"]) / scale
    conditions, known = compare(model.spec_, model.arrays_, None)
    simple = [told["ContextMeanEffect"], special, told["MeanShift"], kriged(conditions, known)]
    _, left_out = regression.learn(conditions, known)
    design = [*simple, left_out]
    expected, _ = nnls(np.stack([part.ravel() for part in design], axis=1), means.effects.ravel())
    found = sum(w * part for w, part in zip(model.arrays_["weights"], design, strict=True))
    wanted = sum(w * part for w, part in zip(expected, design, strict=True))
    np.testing.assert_allclose(found, wanted, atol=2e-3)
    assert bool(model.arrays_["weights"][4] > 0) == (n_perturbations >= regression.LEAST)
    says = [*simple, regression.predict(model.arrays_, conditions, known)]
    predicted = sum(w * part for w, part in zip(model.arrays_["weights"], says, strict=True))
    np.testing.assert_allclose(model.predict(adata, asked).layers["effect"], predicted, atol=1e-3)


def test_without_a_source_the_mean_of_the_context_answers() -> None:
    adata = perturbations(n_contexts=3, n_perturbations=6, n_genes=12, n_cells=4, seed=2)
    only = adata[~((adata.obs["perturbation"] == "P01") & (adata.obs["cell_type"] != "type A"))].copy()
    asked = galenic.StackedShift().fit(only).predict(only).obs
    assert asked.loc["type A|P01", "fallback"] == "ContextMeanEffect"


@pytest.mark.real
def test_it_beats_the_nearest_context_on_interferon(perturb_folder: Path) -> None:
    """Each of five cell types left out: the bar is 0.881 and 0.103."""
    import anndata

    cells = anndata.read_h5ad(perturb_folder / "kang_ifnb_pbmc.h5ad")
    scores = {"StackedShift": [], "NearestContextShift": []}
    truth = condition_means(cells, perturbation_columns(cells, context="cell_type", perturbation="perturbation"))
    for number, name in enumerate(truth.table["context"]):
        treated = (cells.obs["cell_type"] == name) & (cells.obs["perturbation"] != "control")
        asked = truth.table.iloc[[number]][["context", "perturbation"]]
        for model, found in scores.items():
            fitted = getattr(galenic, model)().fit(cells[~treated].copy())
            effect = fitted.predict(cells, asked).layers["effect"][0]
            own = truth.effects[number]
            found.append((np.corrcoef(effect, own)[0, 1], np.abs(effect - own).mean()))
    stacked, nearest = (np.mean(values, axis=0) for values in scores.values())
    assert nearest == pytest.approx([0.881, 0.103], abs=2e-3)
    assert stacked[0] > 0.885
    assert stacked[1] < 0.103


def test_where_no_perturbation_is_shared_effects_are_carried_as_they_are() -> None:
    """One line was screened, another is asked: the answer is the plain shift, and a warning says why."""
    adata = perturbations(n_contexts=2, n_perturbations=12, n_genes=20, n_cells=6, seed=4)
    one = adata[(adata.obs["cell_type"] == "type A") | adata.obs["control"]].copy()
    with pytest.warns(UserWarning, match="no perturbation was measured in two contexts"):
        model = galenic.StackedShift().fit(one)
    asked = adata.uns["truth"]["conditions"].query("context == 'type B'")
    plain = galenic.MeanShift().fit(one).predict(adata, asked)
    assert np.abs(plain.layers["effect"]).max() > 0.5
    np.testing.assert_allclose(model.predict(adata, asked).X, plain.X, atol=1e-5)
