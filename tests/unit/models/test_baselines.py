"""Each fast routine of the baselines against a slow obvious one, or against the reference library."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.kernel_ridge import KernelRidge as Reference
from sklearn.linear_model import enet_path

import galenic
from galenic.data.response import ResponseData
from galenic.data.simulate import screen
from galenic.models.baselines.baseline import locate, response_matrix
from galenic.models.baselines.elastic import elastic_path
from galenic.models.baselines.factorisation import complete, factorise, rebuild
from galenic.models.baselines.forest import answer, flatten_boosting, flatten_forest
from galenic.models.baselines.inputs import learn_inputs, read_inputs
from galenic.models.baselines.means import mean_effects
from galenic.models.baselines.ridge import leave_one_out, squared_distances


def holes(Y: np.ndarray, rng: np.random.Generator, share: float = 0.2) -> np.ndarray:
    Y = Y.copy()
    Y[rng.random(Y.shape) < share] = np.nan
    return Y


def container(Y: np.ndarray, genes: np.ndarray | None = None) -> ResponseData:
    cells = [f"c{i}" for i in range(len(Y))]
    drugs = pd.DataFrame({"smiles": None}, index=[f"d{j}" for j in range(Y.shape[1])])
    X = np.zeros((len(Y), 1)) if genes is None else genes
    adata = AnnData(pd.DataFrame(X, index=cells, columns=[f"G{k}" for k in range(X.shape[1])]))
    rows, columns = np.nonzero(~np.isnan(Y))
    pairs = pd.DataFrame(
        {"cell": np.array(cells)[rows], "drug": drugs.index.to_numpy()[columns], "response": Y[rows, columns]}
    )
    return ResponseData(pairs, adata, drugs)


def test_response_matrix_averages_replicates() -> None:
    data = container(np.array([[1.0, np.nan], [3.0, 4.0]]))
    twice = pd.concat([data.pairs.assign(replicate="1"), data.pairs.assign(replicate="2", response=data.response + 2)])
    doubled = replace(data, pairs=twice.reset_index(drop=True))
    np.testing.assert_array_equal(response_matrix(doubled, doubled.response), [[2.0, np.nan], [4.0, 5.0]])


def test_mean_effects_equal_least_squares(rng: np.random.Generator) -> None:
    Y = holes(rng.normal(size=(20, 6)) + rng.normal(size=(20, 1)) + 3 * rng.normal(size=6), rng)
    mean, drug, cell = mean_effects(Y, shrink=0.0, n_sweeps=200)
    rows, columns = np.nonzero(~np.isnan(Y))
    design = np.zeros((len(rows), 26))
    design[np.arange(len(rows)), rows] = 1
    design[np.arange(len(rows)), 20 + columns] = 1
    solved = design @ np.linalg.lstsq(design, Y[rows, columns], rcond=None)[0]
    np.testing.assert_allclose((mean + drug + cell[:, None])[rows, columns], solved, atol=1e-6)


def test_factorisation_solves_each_row_as_its_own_ridge(rng: np.random.Generator) -> None:
    R = holes(rng.normal(size=(15, 8)), rng, 0.3)
    U, V = factorise(R, rank=3, penalty=2.0, seed=0)
    for i, row in enumerate(R):
        seen = ~np.isnan(row)
        own = np.linalg.solve(V[seen].T @ V[seen] + 2.0 * np.eye(3), V[seen].T @ row[seen])
        np.testing.assert_allclose(U[i], own, atol=1e-10)


def test_factorisation_recovers_planted_factors_in_unmeasured_pairs(rng: np.random.Generator) -> None:
    truth = rng.normal(size=(60, 2)) @ rng.normal(size=(2, 30)) + rng.normal(size=30)
    Y = holes(truth + 0.1 * rng.normal(size=truth.shape), rng, 0.3)
    hidden = np.isnan(Y)
    found = rebuild(complete(Y, rank=2, penalty=0.5, shrink=1.0, seed=0))
    assert np.corrcoef(found[hidden], truth[hidden])[0, 1] > 0.97


def test_factorisation_chooses_a_rank_near_the_planted_one(rng: np.random.Generator) -> None:
    truth = 2 * rng.normal(size=(80, 5)) @ rng.normal(size=(5, 40))
    model = galenic.Factorisation().fit(container(holes(truth + rng.normal(size=truth.shape), rng, 0.2)))
    assert model.spec_["rank"] in (5, 10)


def test_leave_one_out_equals_refitting_without_each_cell(rng: np.random.Generator) -> None:
    X, Y = rng.normal(size=(12, 3)), rng.normal(size=(12, 2))
    K = np.exp(-squared_distances(X, X))
    seen = rng.random(Y.shape) < 0.8
    penalties = np.array([0.1, 1.0])
    fast = leave_one_out(K, Y, seen, penalties)
    for a, penalty in enumerate(penalties):
        for d in range(2):
            errors = []
            for i in range(12):
                rest = np.arange(12) != i
                model = Reference(alpha=penalty, kernel="precomputed").fit(K[np.ix_(rest, rest)], Y[rest, d])
                errors.append((Y[i, d] - model.predict(K[i : i + 1, rest])[0]) ** 2)
            assert fast[a, d] == pytest.approx(np.mean(np.array(errors)[seen[:, d]]))


def test_squared_distances_equal_the_loop(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(4, 5)), rng.normal(size=(3, 5))
    loop = [[((x - y) ** 2).sum() for y in b] for x in a]
    np.testing.assert_allclose(squared_distances(a, b), loop)


def test_kernel_ridge_slopes_equal_finite_differences(rng: np.random.Generator) -> None:
    genes = rng.normal(size=(30, 6))
    Y = np.column_stack([genes[:, 0] ** 2 + genes[:, 1], np.sin(genes[:, 2])]) + 0.1 * rng.normal(size=(30, 2))
    data = container(Y, genes)
    model = galenic.KernelRidge(inputs=("expression",), new_drugs="mean").fit(data)
    table = model.importance(data)
    step = 1e-5
    scale = model.arrays_["scale.expression"]
    for k, gene in enumerate(data.cells.var_names):
        moved = data.cells.copy()
        moved.X[:, k] += step * scale[k]
        up = model.predict(replace(data, cells=moved))["prediction"] - model.predict(data)["prediction"]
        slope = up.to_numpy().reshape(30, 2).mean(axis=0) / step
        np.testing.assert_allclose(table.loc[("expression", gene)].to_numpy(), slope, rtol=1e-3, atol=1e-6)


def test_linear_kernel_importance_is_the_coefficient(rng: np.random.Generator) -> None:
    genes = rng.normal(size=(40, 5))
    data = container((genes @ rng.normal(size=(5, 3))), genes)
    model = galenic.Ridge(inputs=("expression",)).fit(data)
    coefficients = model.importance(data).to_numpy()
    block = read_inputs(data.cells, model.spec_["inputs"], model.arrays_)["expression"]
    explained = block @ coefficients + model.arrays_["drug_mean"]
    np.testing.assert_allclose(explained.ravel(), model.predict(data)["prediction"], atol=1e-9)


@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_elastic_path_equals_scikit_learn(l1_ratio: float, rng: np.random.Generator) -> None:
    X = rng.normal(size=(80, 20))
    X -= X.mean(axis=0)
    Y = X[:, :3] @ rng.normal(size=(3, 2)) + rng.normal(size=(80, 2))
    Y -= Y.mean(axis=0)
    path, penalties = elastic_path(X, Y, np.array([0.5, 0.1]), l1_ratio, n_steps=400)
    for d in range(2):
        _, theirs, _ = enet_path(X, Y[:, d], l1_ratio=l1_ratio, alphas=penalties[:, d], tol=1e-10, max_iter=10_000)
        np.testing.assert_allclose(path[:, :, d], theirs.T, atol=2e-4)


def test_flat_forest_answers_as_scikit_learn(rng: np.random.Generator) -> None:
    X, y = rng.normal(size=(300, 5)).astype(np.float32), rng.normal(size=300)
    forest = RandomForestRegressor(12, min_samples_leaf=2, random_state=0).fit(X, y)
    np.testing.assert_allclose(answer(flatten_forest(forest.estimators_), X), forest.predict(X), atol=1e-12)


def test_flat_boosting_answers_as_scikit_learn(rng: np.random.Generator) -> None:
    X, y = rng.normal(size=(300, 5)).astype(np.float32), rng.normal(size=300)
    boosted = HistGradientBoostingRegressor(max_iter=15, random_state=0).fit(X, y)
    np.testing.assert_allclose(answer(flatten_boosting(boosted), X), boosted.predict(X), atol=1e-9)


def test_tissue_means_are_shrunk_towards_the_drug_mean() -> None:
    data, _ = screen(n_cells=60, n_drugs=5, n_genes=30, seed=0)
    model = galenic.TissueDrugMean().fit(data)
    table = model.predict(data).assign(tissue=data.pairs_with("tissue")["tissue"])
    drug = table.groupby("drug")["response"].transform("mean")
    raw = table.groupby(["drug", "tissue"])["response"].transform("mean")
    inside = (table["prediction"] - drug) / (raw - drug).where((raw - drug).abs() > 1e-9)
    assert inside.dropna().between(0, 1).all()
    assert inside.mean() < 0.999


def test_nearest_drugs_follow_structure_when_potency_does() -> None:
    """Planted: families of structures share their potency. Neighbours must beat the average drug."""
    data, _ = screen(n_cells=30, n_drugs=40, n_genes=30, noise=0.1, seed=3)
    family = data.drugs["moa"].astype("category").cat.codes
    planted = replace(data, pairs=data.pairs.assign(response=3.0 * family.loc[data.pairs["drug"]].to_numpy()))
    held = data.drugs.index[::7]
    seen = ~planted.pairs["drug"].isin(held).to_numpy()
    asked = planted.take(~seen)

    def error(model: galenic.MeanEffects) -> float:
        return float((model.fit(planted.take(seen)).predict(asked)["prediction"] - asked.response).abs().mean())

    assert error(galenic.NearestDrugs()) < 0.5 * error(galenic.MeanEffects())


def test_scaling_is_learned_on_training_cells_only(rng: np.random.Generator) -> None:
    genes = rng.normal(size=(20, 4))
    data = container(rng.normal(size=(20, 2)), genes)
    train = data.take(data.cell_rows < 10)
    extreme = genes.copy()
    extreme[10:] *= 100
    other = container(rng.normal(size=(20, 2)), extreme)
    a = galenic.Ridge(inputs=("expression",)).fit(train)
    b = galenic.Ridge(inputs=("expression",)).fit(replace(other, pairs=train.pairs))
    np.testing.assert_array_equal(a.arrays_["scale.expression"], b.arrays_["scale.expression"])
    np.testing.assert_array_equal(a.arrays_["dual"], b.arrays_["dual"])


def test_unmeasured_modalities_count_as_average(rng: np.random.Generator) -> None:
    genes = rng.normal(size=(6, 3))
    genes[2] = np.nan
    data = container(rng.normal(size=(6, 2)), genes)
    features, arrays = learn_inputs(data.cells, ("expression",))
    with pytest.warns(UserWarning, match="1 of 6 cells have no expression"):
        block = read_inputs(data.cells, features, arrays)["expression"]
    np.testing.assert_array_equal(block[2], 0)
    np.testing.assert_allclose(arrays["mean.expression"], np.nanmean(genes, axis=0), rtol=1e-6)


def test_only_the_most_variable_features_are_read(rng: np.random.Generator) -> None:
    genes = rng.normal(size=(30, 4)) * np.array([1, 5, 0, 3])
    features, _ = learn_inputs(container(np.ones((30, 1)), genes).cells, ("expression",), n_features=2)
    assert features["expression"] == ["G1", "G3"]


def test_locate_prefers_ids_and_falls_back_to_structure() -> None:
    known = pd.DataFrame({"structure": ["AAA", "BBB", None]}, index=["1", "2", "3"])
    asked = pd.DataFrame({"structure": ["BBB", "ZZZ", "AAA", None]}, index=["1", "9", "8", "7"])
    np.testing.assert_array_equal(locate(asked, known), [0, -1, 0, -1])


def test_valid_of_another_container_is_refused() -> None:
    data, _ = screen(n_cells=20, n_drugs=4, n_genes=20, seed=0)
    other, _ = screen(n_cells=20, n_drugs=4, n_genes=20, seed=0)
    with pytest.raises(ValueError, match="taken from the same container"):
        galenic.DrugMean().fit(data, valid=other)


def test_valid_pairs_are_learned_from_too() -> None:
    data, _ = screen(n_cells=20, n_drugs=4, n_genes=20, seed=0)
    rows = np.arange(len(data))
    whole = galenic.DrugMean().fit(data).predict(data)["prediction"]
    parts = galenic.DrugMean().fit(data.take(rows[:50]), valid=data.take(rows[50:])).predict(data)["prediction"]
    np.testing.assert_allclose(whole, parts)


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"rank": 0}, ValueError, "rank should be from 1"),
        ({"rank": 2.5}, TypeError, "rank should be int or None; received 2.5"),
        ({"penalty": -1.0}, ValueError, "penalty should be from 0"),
    ],
)
def test_fields_are_checked_when_the_model_is_made(
    fields: dict[str, float], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        galenic.Factorisation(**fields)


def test_a_choice_is_checked_in_words() -> None:
    with pytest.raises(TypeError, match="kernel should be one of 'rbf', 'linear'; received 'poly'"):
        galenic.KernelRidge(kernel="poly")


@pytest.mark.parametrize("name", ["Ridge", "ElasticNet", "Boosting"])
def test_no_expression_is_refused_before_the_work(name: str) -> None:
    data, _ = screen(n_cells=20, n_drugs=4, n_genes=20, seed=0)
    bare = replace(data, cells=AnnData(obs=data.cells.obs))
    with pytest.raises(ValueError, match="expression"):
        getattr(galenic, name)().fit(bare)


def test_no_pairs_are_refused() -> None:
    data, _ = screen(n_cells=20, n_drugs=4, n_genes=20, seed=0)
    with pytest.raises(ValueError, match="0 rows"):
        galenic.DrugMean().fit(data.take([]))
