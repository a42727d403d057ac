"""Planted truth is found, shuffled responses give chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import galenic
from galenic.data.response import ResponseData
from galenic.data.simulate import screen
from galenic.explain import biomarkers, recovered
from galenic.models.importance import resampled_importance


@pytest.fixture(scope="module")
def planted() -> tuple[ResponseData, object]:
    return screen(n_cells=150, n_drugs=12, n_genes=200, n_drivers=3, noise=0.5, seed=2)


def shuffled(data: ResponseData) -> ResponseData:
    rng, response = np.random.default_rng(0), data.response
    for rows in data.pairs.groupby("drug").indices.values():
        response[rows] = rng.permutation(response[rows])
    return replace(data, pairs=data.pairs.assign(response=response))


def found(model: galenic.Ridge, data: ResponseData, truth: object, n_null: int = 0) -> tuple[float, float, object]:
    weights, null, index, drugs = resampled_importance(model, data, n_repeats=6, n_null=n_null)
    features, kinds = list(index.get_level_values("feature")), list(index.get_level_values("modality"))
    table = biomarkers(weights, features, drugs, null=null if n_null else None, modality=kinds)
    counts = recovered(table, truth[truth["modality"] == "expression"])
    return counts["found"].sum() / counts["planted"].sum(), counts["expected"].sum() / counts["planted"].sum(), table


@pytest.mark.parametrize("name", ["Ridge", "KernelRidge", "ElasticNet"])
@pytest.mark.parametrize("seed", [0, 1])
def test_q_values_find_nothing_where_expression_is_noise(name: str, seed: int) -> None:
    """The cells' expression is dealt out anew, so whatever a model learns of it is luck, its choice of penalty too."""
    data, _ = screen(n_cells=60, n_drugs=10, n_genes=80, seed=seed)
    cells = data.cells.copy()
    cells.X = np.asarray(cells.X)[np.random.default_rng(seed).permutation(cells.n_obs)]
    weights, null, index, drugs = resampled_importance(
        getattr(galenic, name)(), replace(data, cells=cells), n_repeats=6, n_null=4, seed=seed
    )
    table = biomarkers(weights, list(index.get_level_values("feature")), drugs, null=null)
    assert (table.groupby("drug")["q_value"].min() < 0.05).mean() <= 0.1


NETWORKS = galenic.KDRUG(n_members=2, teacher=(), start="means")
"""Networks alone: beside a strong start it would be the start that finds the drivers."""


def test_networks_recover_planted_drivers_and_not_after_shuffling(planted: tuple[ResponseData, object]) -> None:
    data, truth = planted
    genes = truth[truth["modality"] == "expression"]
    hits = []
    for given in (data, shuffled(data)):
        table = NETWORKS.fit(given).importance(data).loc["expression"]
        ranked = biomarkers(table.to_numpy()[None], list(table.index), list(table.columns))
        counts = recovered(ranked, genes)
        hits.append(counts["found"].sum() / counts["planted"].sum())
    assert hits[0] > 0.4
    assert hits[1] < 0.2


@pytest.mark.parametrize(("name", "share"), [("Ridge", 0.5), ("KernelRidge", 0.5), ("ElasticNet", 0.7)])
def test_planted_drivers_are_recovered_and_not_after_shuffling(
    name: str, share: float, planted: tuple[ResponseData, object]
) -> None:
    data, truth = planted
    model = getattr(galenic, name)()
    hits, chance, _ = found(model, data, truth)
    assert hits > share
    noise, _, _ = found(model, shuffled(data), truth)
    assert noise < 0.2
    assert chance < 0.05


def test_trees_recover_drivers_through_their_components(planted: tuple[ResponseData, object]) -> None:
    """Components blur genes, so half of what linear models find is asked."""
    data, truth = planted
    table = galenic.Boosting(n_trees=60, n_components=60, offset="drug").fit(data).importance(data)
    weights = table.to_numpy()[None]
    genes = biomarkers(weights, list(table.index.get_level_values("feature")), list(table.columns))
    counts = recovered(genes.assign(modality="expression"), truth[truth["modality"] == "expression"], top=20)
    assert counts["found"].sum() / counts["planted"].sum() > 0.25
    assert counts["expected"].sum() / counts["planted"].sum() < 0.11


def test_q_values_find_drivers_and_spare_the_rest(planted: tuple[ResponseData, object]) -> None:
    data, truth = planted
    _, _, table = found(galenic.ElasticNet(), data, truth, n_null=4)
    genes = truth[truth["modality"] == "expression"]
    driver = table.merge(genes[["drug", "feature"]], left_on=["drug", "gene"], right_on=["drug", "feature"], how="left")
    is_driver = driver["feature"].notna()
    significant = driver["q_value"] < 0.1
    assert significant[is_driver].mean() > 0.5
    # Genes of a driver's pathway are correlated with it, so some of them are rightly found.
    assert significant[~is_driver].mean() < 0.1
    _, _, noise = found(galenic.ElasticNet(), shuffled(data), truth, n_null=4)
    assert (noise["q_value"] < 0.1).mean() < 0.02


def test_expression_predicts_unseen_cells_only_where_truth_is_planted(planted: tuple[ResponseData, object]) -> None:
    data, _ = planted

    def beyond(some: ResponseData) -> float:
        scores = galenic.benchmark([galenic.KernelRidge()], some, n_folds=4).metrics
        mine = scores.query("model == 'KernelRidge' and group == 'beyond_floor' and metric == 'r2'")
        return float(mine["value"].mean())

    assert beyond(data) > 0.2
    assert beyond(shuffled(data)) < 0.02


def test_mutation_adds_what_expression_does_not_show(planted: tuple[ResponseData, object]) -> None:
    data, _ = planted
    models = {"expression": galenic.Ridge(), "omics": galenic.Ridge(inputs=("expression", "mutation", "methylation"))}
    scores = galenic.benchmark(models, data, n_folds=4).metrics.query("group == 'all' and metric == 'rmse'")
    means = scores.groupby("model")["value"].mean()
    assert means["omics"] < means["expression"]
