"""New drugs by a kernel on structures: weights of the known drugs are those of the regression they stand for."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import galenic
from galenic.data.drugs import similarity
from galenic.data.response import ResponseData
from galenic.data.simulate import screen
from galenic.models.baselines.new_drugs import STRUCTURE_PENALTY, kernel_weights, left_out_weights

KNOWN = pd.Series(
    {
        "ethanol": "CCO",
        "propanol": "CCCO",
        "unknown": None,
        "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
        "salicylic": "O=C(O)c1ccccc1O",
        "erlotinib": "COCCOc1cc2ncnc(Nc3cccc(C#C)c3)c2cc1OCCOC",
        "gefitinib": "COc1cc2ncnc(Nc3ccc(F)c(Cl)c3)c2cc1OCCCN1CCOCC1",
        "caffeine": "Cn1c(=O)c2c(ncn2C)n(C)c1=O",
    }
)
NEW = pd.Series({"butanol": "CCCCO", "paracetamol": "CC(=O)Nc1ccc(O)cc1", "theophylline": "Cn1c(=O)c2[nH]cnc2n(C)c1=O"})
WITHOUT = "no structure"


def refit(smiles: str, known: pd.Series, y: np.ndarray) -> float:
    """Kernel ridge on the drugs that have a structure, their mean the intercept."""
    has = known.notna().to_numpy()
    structures, mean = list(known[has]), y[has].mean()
    K = similarity(structures, structures) + STRUCTURE_PENALTY * np.eye(len(structures))
    return float(mean + similarity([smiles], structures)[0] @ np.linalg.solve(K, y[has] - mean))


def test_weights_are_those_of_kernel_ridge(rng: np.random.Generator) -> None:
    weights, y = kernel_weights(NEW, KNOWN), rng.normal(size=len(KNOWN)) + 5
    assert weights.shape == (3, 8)
    np.testing.assert_allclose(weights @ y, [refit(text, KNOWN, y) for text in NEW], atol=1e-10)
    assert np.abs(weights @ y - y[KNOWN.notna()].mean()).min() > 1e-3


def test_rows_sum_to_one_and_read_no_drug_without_structure() -> None:
    weights, left = kernel_weights(NEW, KNOWN), left_out_weights(KNOWN)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(left.sum(axis=1), 1)
    unknown = KNOWN.index.get_loc("unknown")
    assert (weights[:, unknown] == 0).all()
    assert (np.delete(left[:, unknown], unknown) == 0).all()


def test_a_response_that_is_the_same_for_all_stays_so() -> None:
    np.testing.assert_allclose(kernel_weights(NEW, KNOWN) @ np.full(8, -3.5), -3.5)
    np.testing.assert_allclose(left_out_weights(KNOWN) @ np.full(8, -3.5), -3.5)


def test_leaving_out_at_once_equals_refitting_without_each(rng: np.random.Generator) -> None:
    left, y = left_out_weights(KNOWN), rng.normal(size=len(KNOWN)) + 5
    for row, (name, text) in enumerate(KNOWN.items()):
        rest = np.arange(len(KNOWN)) != row
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*" + WITHOUT)
            expected = kernel_weights(KNOWN.loc[[name]], KNOWN[rest])[0]
        assert left[row, row] == 0
        np.testing.assert_allclose(left[row, rest], expected, atol=1e-12)
        naive = y[rest].mean() if pd.isna(text) else refit(text, KNOWN[rest], y[rest])
        assert left[row] @ y == pytest.approx(naive)


@pytest.mark.parametrize("name", [name for name, text in KNOWN.items() if pd.notna(text)])
def test_a_copy_of_a_known_drug_listens_most_to_it(name: str) -> None:
    weights = kernel_weights(KNOWN.loc[[name]].rename({name: "copy"}), KNOWN)[0]
    at = KNOWN.index.get_loc(name)
    assert weights.argmax() == at
    assert weights[at] > 0.5 > np.delete(weights, at).max()


def test_kin_weigh_more_than_strangers() -> None:
    weights = pd.DataFrame(kernel_weights(NEW, KNOWN), NEW.index, KNOWN.index)
    assert set(weights.loc["butanol"].nlargest(2).index) == {"ethanol", "propanol"}
    assert weights.loc["theophylline"].idxmax() == "caffeine"


def test_the_order_of_the_known_permutes_the_weights(rng: np.random.Generator) -> None:
    order = rng.permutation(len(KNOWN))
    np.testing.assert_allclose(kernel_weights(NEW, KNOWN.iloc[order]), kernel_weights(NEW, KNOWN)[:, order], atol=1e-12)
    left = left_out_weights(KNOWN)
    np.testing.assert_allclose(left_out_weights(KNOWN.iloc[order]), left[np.ix_(order, order)], atol=1e-12)


def test_a_new_drug_without_structure_is_the_mean_and_is_named() -> None:
    asked = pd.concat([NEW, pd.Series({"antibody": None})])
    with pytest.warns(UserWarning, match=r"1 new drug\(s\) have no structure \(first: 'antibody'\).*average drug"):
        weights = kernel_weights(asked, KNOWN)
    np.testing.assert_array_equal(weights[3], np.full(8, 1 / 8))
    np.testing.assert_array_equal(weights[:3], kernel_weights(NEW, KNOWN))


def test_where_no_known_drug_has_a_structure_all_weigh_alike() -> None:
    bare = pd.Series([None, None, None], dtype=object)
    with pytest.warns(UserWarning, match="none of the 3 drugs of fitting has a structure"):
        np.testing.assert_array_equal(kernel_weights(NEW, bare), np.full((3, 3), 1 / 3))
    np.testing.assert_array_equal(left_out_weights(bare), [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


@pytest.mark.parametrize("known", [["CCO", "CCCO"], [None, "CCO"], ["CCO", "CCCO", "c1ccccc1"]])
def test_few_known_drugs_are_enough(known: list[str | None]) -> None:
    table = pd.Series(known, index=[f"d{i}" for i in range(len(known))])
    for weights in (kernel_weights(NEW, table), left_out_weights(table)):
        assert np.isfinite(weights).all()
        np.testing.assert_allclose(weights.sum(axis=1), 1)


def test_leaving_one_of_two_structures_out_equals_refitting() -> None:
    known = pd.Series(["CCO", "CCN", None], index=["a", "b", "c"])
    np.testing.assert_allclose(left_out_weights(known)[0, 1:], kernel_weights(known.iloc[[0]], known.iloc[1:])[0])


@pytest.fixture(scope="module")
def data() -> ResponseData:
    return screen(n_cells=24, n_drugs=12, n_genes=40, n_drivers=2, seed=2)[0]


@pytest.fixture(scope="module")
def seen(data: ResponseData) -> np.ndarray:
    """Pairs of all drugs but two."""
    return ~data.pairs["drug"].isin(data.drugs.index[[3, 8]]).to_numpy()


def test_kernel_ridge_predicts_new_drugs_by_their_structure(data: ResponseData, seen: np.ndarray) -> None:
    asked, predictions = data.take(~seen), {}
    for how in ("kernel", "mean", "neighbours"):
        model = galenic.KernelRidge(new_drugs=how, fill="mean").fit(data.take(seen))
        predictions[how] = model.predict(asked)["prediction"].to_numpy()
    assert all(np.isfinite(values).all() for values in predictions.values())
    assert np.abs(predictions["kernel"] - predictions["mean"]).max() > 0.1
    assert np.abs(predictions["kernel"] - predictions["neighbours"]).max() > 0.01


def test_a_new_drug_is_the_weighed_sum_of_the_known(data: ResponseData, seen: np.ndarray) -> None:
    model = galenic.KernelRidge(new_drugs="kernel", fill="mean").fit(data.take(seen))
    asked = data.take(~seen)
    known = model.drugs_
    grid = np.column_stack(
        [
            model.predict(one_drug(data, drug))["prediction"].to_numpy()  # every cell, one known drug
            for drug in known.index
        ]
    )
    new = data.drugs.index[[3, 8]]
    expected = pd.DataFrame(
        grid @ kernel_weights(data.drugs.loc[new, "smiles"], known["smiles"]).T, data.cells.obs_names, new
    )
    found = model.predict(asked)
    by_hand = [expected.loc[cell, drug] for cell, drug in zip(found["cell"], found["drug"], strict=True)]
    np.testing.assert_allclose(found["prediction"], by_hand, rtol=1e-9)


def one_drug(data: ResponseData, drug: str) -> ResponseData:
    """Every cell and one drug."""
    return ResponseData(pd.DataFrame({"cell": data.cells.obs_names, "drug": drug}), data.cells, data.drugs)


def test_known_drugs_do_not_hear_of_it(data: ResponseData, seen: np.ndarray) -> None:
    asked = data.take(seen)
    kernel, mean = (galenic.DrugMean(new_drugs=how).fit(asked).predict(asked) for how in ("kernel", "mean"))
    pd.testing.assert_frame_equal(kernel, mean)


def test_planted_families_are_predicted_better_than_the_mean() -> None:
    """Planted: one response a family of structures. Left out, each drug must be recognised by its family."""
    data, _ = screen(n_cells=10, n_drugs=24, n_genes=60, seed=3)
    planted = 3.0 * data.drugs["moa"].astype("category").cat.codes.to_numpy()
    found = left_out_weights(data.drugs["smiles"]) @ planted
    average = (planted.sum() - planted) / (len(planted) - 1)
    assert np.abs(found - planted).mean() < 0.6 * np.abs(average - planted).mean()
