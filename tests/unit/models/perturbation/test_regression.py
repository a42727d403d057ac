"""Kernel regression of excess effects: against refits, against scikit-learn, and on a planted map."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData
from sklearn.kernel_ridge import KernelRidge

import galenic
from galenic.data.simulate import perturbations
from galenic.models.perturbation import regression
from galenic.models.perturbation.known import Conditions, Known, compare
from galenic.models.perturbation.linear import own_excess, usual


def learned(adata: AnnData) -> tuple[Conditions, Known]:
    model = galenic.ContextMeanEffect().fit(adata)
    return compare(model.spec_, model.arrays_, None)


@pytest.fixture(scope="module")
def interacting() -> tuple[Conditions, Known]:
    """Of two perturbations nothing is known elsewhere: they count in the means of their context only."""
    adata = perturbations(n_contexts=3, n_perturbations=24, n_genes=15, n_cells=3, interaction=1.0)
    lonely = adata.obs["perturbation"].isin(["P03", "P20"]) & (adata.obs["cell_type"] != "type B")
    return learned(adata[~lonely].copy())


def refitted(inputs: np.ndarray, effects: np.ndarray, able: np.ndarray, penalty: float) -> np.ndarray:
    """Every condition of a context predicted as if it had not been measured."""
    found = np.zeros_like(effects)
    for row in np.flatnonzero(able):
        others = np.delete(np.arange(len(effects)), row)
        usable = others[able[others]]
        excess = [effects[one] - effects[others[others != one]].mean(axis=0) for one in usable]
        kernel = inputs[usable] @ inputs[usable].T
        weights = np.linalg.solve(kernel + penalty * np.eye(len(usable)), np.stack(excess))
        found[row] = inputs[row] @ inputs[usable].T @ weights
    return found


def test_left_out_predictions_are_those_of_refits_and_the_penalty_is_the_best(
    interacting: tuple[Conditions, Known],
) -> None:
    conditions, known = interacting
    arrays, left_out = regression.learn(conditions, known)
    (inputs, able), own = regression.inputs_of(conditions, known), own_excess(conditions, known)
    effects = known.effects[known.itself(conditions).argmax(axis=1)]
    errors = dict.fromkeys(regression.PENALTIES, 0.0)
    for context in range(3):
        rows = conditions.context == context
        told = {penalty: refitted(inputs[rows], effects[rows], able[rows], penalty) for penalty in errors}
        for penalty, found in told.items():
            errors[penalty] += ((found - own[rows])[able[rows]] ** 2).sum()
        np.testing.assert_allclose(left_out[rows], told[arrays["regression_penalty"][0]], atol=1e-9)
    assert able.sum() == 66
    assert not left_out[~able].any()
    assert arrays["regression_penalty"][0] == min(errors, key=errors.get)


def test_it_is_the_kernel_ridge_of_scikit_learn(interacting: tuple[Conditions, Known]) -> None:
    conditions, known = interacting
    arrays, _ = regression.learn(conditions, known)
    (inputs, able), own = regression.inputs_of(conditions, known), own_excess(conditions, known)
    np.testing.assert_allclose(np.linalg.norm(inputs[able], axis=1), 1)
    found = regression.predict(arrays, conditions, known)
    for context in range(3):
        rows = (conditions.context == context) & able
        ridge = KernelRidge(alpha=arrays["regression_penalty"][0], kernel="linear").fit(inputs[rows], own[rows])
        np.testing.assert_allclose(found[rows], ridge.predict(inputs[rows]), atol=1e-5)


@pytest.mark.parametrize("n", [regression.LEAST - 1, regression.LEAST])
def test_a_context_with_few_conditions_has_none(n: int) -> None:
    adata = perturbations(n_contexts=3, n_perturbations=n + 4, n_genes=10, n_cells=2, interaction=1.0)
    few = (adata.obs["cell_type"] == "type B") & (adata.obs["perturbation"] >= f"P{n:02d}") & ~adata.obs["control"]
    conditions, known = learned(adata[~few].copy())
    arrays, left_out = regression.learn(conditions, known)
    has = n >= regression.LEAST
    assert bool(left_out[conditions.context == 1].any()) == has
    assert bool(regression.predict(arrays, conditions, known)[conditions.context == 1].any()) == has
    assert left_out[conditions.context == 0].any()


def test_without_any_context_that_has_enough_all_is_zero() -> None:
    conditions, known = learned(perturbations(n_contexts=2, n_perturbations=5, n_genes=10, n_cells=2))
    arrays, left_out = regression.learn(conditions, known)
    assert not left_out.any()
    assert arrays["regression_weights"].shape == (0, 10)
    assert not regression.predict(arrays, conditions, known).any()


def test_a_planted_map_between_two_contexts_is_found_where_scaling_cannot(rng: np.random.Generator) -> None:
    """Effects of four factors, each with other genes here than there."""
    factors, genes = rng.normal(size=(60, 4)), rng.normal(size=(2, 4, 30))
    adata = perturbations(n_contexts=2, n_perturbations=60, n_genes=30, n_cells=2, noise=0.0)
    adata.X = np.random.default_rng(1).normal(3, 1, size=30) + np.zeros(adata.shape)
    number = adata.obs["perturbation"].astype(str).str.removeprefix("P").replace("control", "-1").astype(int)
    context = (adata.obs["cell_type"] == "type B").astype(int).to_numpy()
    effects = np.einsum("pk,ckg->cpg", factors, genes)
    treated = number.to_numpy() >= 0
    adata.X[treated] += effects[context[treated], number[treated]]
    hidden = (number >= 45) & (context == 1)
    train = adata[~hidden].copy()
    asked = adata.obs.loc[hidden, ["cell_type", "perturbation"]].drop_duplicates().astype(str)
    asked.columns = ["context", "perturbation"]
    truth = effects[1, 45:]
    scaled = galenic.ScaledShift().fit(train).predict(train, asked).layers["effect"]
    model = galenic.StackedShift().fit(train)
    stacked = model.predict(train, asked).layers["effect"]
    errors = [float(((found - truth) ** 2).mean()) for found in (scaled, stacked)]
    assert errors[1] < 0.3 * errors[0]
    conditions, known = compare(model.spec_, model.arrays_, None)
    left_out = usual(conditions, known) + regression.learn(conditions, known)[1]
    own = known.effects[known.itself(conditions).argmax(axis=1)]
    here = conditions.context == 1
    assert ((left_out - own)[here] ** 2).mean() < 0.3 * (own[here] ** 2).mean()
