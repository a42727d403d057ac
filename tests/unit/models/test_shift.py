"""Samples on another scale or from another platform are warned of; others of the same kind are not."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import galenic
from galenic.data.response import ResponseData
from galenic.data.simulate import screen
from galenic.models.baselines.inputs import learn_inputs
from galenic.models.shift import USUAL, shift, usual

SAVED = Path(__file__).parents[2] / "regression" / "format-1"
READERS = {
    "Ridge": {},
    "KernelRidge": {"inputs": ("expression", "tissue")},
    "KernelCompletion": {"n_rounds": 1, "n_sweeps": 1},
    "ElasticNet": {"n_features": 20},
    "RandomForest": {"n_trees": 2, "n_components": 4},
    "Boosting": {"n_trees": 2, "n_components": 4, "offset": "drug"},
    "KDRUG": {"n_members": 2, "hidden": 8, "n_latent": 4, "n_heads": 1, "stages": 1,
              "training": galenic.Training(max_epochs=1, patience=0, monitor="none")},
}  # fmt: skip


def expression(rng: np.random.Generator, n: int, n_genes: int = 300) -> pd.DataFrame:
    """Logarithms of expression with genes that move together: (n, n_genes)."""
    structure = np.random.default_rng(7)
    mean, loading = structure.uniform(2, 9, n_genes), structure.normal(0, 0.3, (5, n_genes))
    values = mean + rng.normal(size=(n, 5)) @ loading + rng.normal(size=(n, n_genes))
    return pd.DataFrame(values, index=[f"s{i}" for i in range(n)], columns=[f"G{i}" for i in range(n_genes)])


def fitted(table: pd.DataFrame) -> SimpleNamespace:
    """What is shared by all models that read expression."""
    features, arrays = learn_inputs(AnnData(table), ("expression",))
    return SimpleNamespace(spec_={"inputs": features}, arrays_=arrays)


def is_warned(model: SimpleNamespace, table: pd.DataFrame) -> bool:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        shift(model, AnnData(table))
    return any("samples should resemble" in str(one.message) for one in caught)


OTHERS = {
    "counts": lambda x, rng: 2**x - 1,
    "another logarithm": lambda x, rng: x * np.log10(2),
    "z-scores": lambda x, rng: (x - x.mean()) / x.std(),
    "a constant": lambda x, rng: x + 2.0,
    "another platform": lambda x, rng: x + rng.normal(0, 2.5, x.shape[1]),
    "other names": lambda x, rng: x.set_axis(rng.permutation(x.columns), axis=1),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("n", [1, 12])
def test_a_planted_shift_is_found(kind: str, n: int, rng: np.random.Generator) -> None:
    model, new = fitted(expression(rng, 80)), expression(rng, n)
    assert not is_warned(model, new)
    assert is_warned(model, OTHERS[kind](new, rng) if n > 1 or kind != "z-scores" else new * 0.0)
    with pytest.warns(UserWarning, match=r"lie more than 2 times as far out.*Check that expression is on the scale"):
        assert shift(model, AnnData(new + 5.0))["far"].all()


def test_the_rest_of_the_same_data_is_not(rng: np.random.Generator) -> None:
    whole, warned = expression(rng, 4000), 0
    for start in range(0, 4000, 100):
        part = whole.iloc[start : start + 100]
        warned += is_warned(fitted(part.iloc[:60]), part.iloc[60:])
    assert warned <= 3  # of 40


def test_what_all_samples_share_is_seen_where_none_is_far(rng: np.random.Generator) -> None:
    model = fitted(expression(rng, 200))
    near = expression(rng, 30)
    wanted = 1.5 * np.quantile(model.arrays_[USUAL][:, 1], 0.99)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        missing = wanted - shift(model, AnnData(near))["level"].to_numpy()
    near += missing[:, None] * model.arrays_["scale.expression"]
    with pytest.warns(UserWarning, match="the median of these 30 lies farther out than 99 of 100"):
        table = shift(model, AnnData(near))
    assert table["far"].mean() < 0.1
    np.testing.assert_allclose(table["level"], wanted)


def test_measures_are_those_of_a_naive_twin(rng: np.random.Generator) -> None:
    old, new = expression(rng, 40, 50), expression(rng, 3, 50)
    old.iloc[2, 3] = new.iloc[1, 4] = np.nan
    found = shift(fitted(old), AnnData(new))
    for row, (_, values) in enumerate(new.iterrows()):
        z = [(values[gene] - old[gene].mean()) / old[gene].std(ddof=0) for gene in old if not np.isnan(values[gene])]
        assert found["level"][row] == pytest.approx(np.mean(z))
        assert found["distance"][row] == pytest.approx(np.mean(np.square(z)) ** 0.5)
        assert found["extreme"][row] == pytest.approx(np.mean(np.abs(z) > 3))


def test_order_and_company_of_samples_change_nothing(rng: np.random.Generator) -> None:
    model, new = fitted(expression(rng, 50)), expression(rng, 8)
    whole = shift(model, AnnData(new)).set_index("cell")
    shuffled = new.iloc[::-1, rng.permutation(new.shape[1])]
    pd.testing.assert_frame_equal(shift(model, AnnData(shuffled)).set_index("cell").loc[whole.index], whole)
    alone = shift(model, AnnData(new.iloc[[3]])).set_index("cell")
    pd.testing.assert_frame_equal(alone, whole.loc[["s3"]])


def test_what_cannot_be_told_is_not_told(rng: np.random.Generator) -> None:
    few = fitted(expression(rng, 9))
    assert shift(few, AnnData(expression(rng, 4) + 50)).empty
    assert shift(fitted(expression(rng, 50)), AnnData(expression(rng, 4).iloc[:, :149] + 50)).empty
    new = expression(rng, 4)
    new.iloc[1] = np.nan
    table = shift(fitted(expression(rng, 50)), AnnData(new))
    assert table["reach"].isna().tolist() == [False, True, False, False]
    assert not table["far"].any()
    empty = expression(rng, 12)
    empty.iloc[:4] = np.nan
    assert len(fitted(empty).arrays_[USUAL]) == 8


def test_a_sample_cannot_be_too_near(rng: np.random.Generator) -> None:
    old = expression(rng, 60)
    table = shift(fitted(old), AnnData(old.mean().to_frame("mean").T))
    assert table["distance"][0] < 1e-6
    assert not table["far"][0]


def test_few_genes_with_one_value_stay_finite() -> None:
    z = np.zeros((12, 2))
    z[0] = np.sqrt(11)  # one cell is all that differs
    z[1:] = -1 / np.sqrt(11)
    assert np.isfinite(usual(z)).all()


@pytest.fixture(scope="module")
def data() -> ResponseData:
    return screen(30, 5, 40, seed=2)[0]


@pytest.mark.parametrize("name", READERS)
@pytest.mark.filterwarnings("ignore:the model reads tissues")
def test_every_model_that_reads_expression_warns(name: str, data: ResponseData, tmp_path: Path) -> None:
    model = getattr(galenic, name)(**READERS[name]).fit(data)
    counts = AnnData(np.exp2(data.cells.to_df() + 8), obs=data.cells.obs)
    with pytest.warns(UserWarning, match="samples should resemble"):
        table = shift(model, counts)
    assert not is_warned(model, data.cells.to_df())
    with pytest.warns(UserWarning, match="samples should resemble"):
        loaded = shift(galenic.load(model.save(tmp_path / "model")), counts)
    pd.testing.assert_frame_equal(loaded, table)


def test_a_model_without_genes_has_nothing_to_compare(data: ResponseData) -> None:
    assert shift(galenic.MeanEffects().fit(data), data.cells).empty


def test_an_earlier_version_did_not_keep_what_is_needed(data: ResponseData) -> None:
    with pytest.warns(UserWarning, match="cannot be told. Fit it anew"):
        assert shift(galenic.load(SAVED / "KernelRidge"), data.cells).empty


@pytest.mark.real
@pytest.mark.parametrize("file", ["expression_rnaseq_log2tpm_697genes.csv.gz", "expression_array_z_656genes.csv.gz"])
def test_halves_of_measured_cells_are_alike_and_other_scales_are_not(shared: Path, file: str) -> None:
    table = pd.read_csv(shared / "gdsc" / file, index_col=0).select_dtypes("number")
    table, rng = table.set_axis(table.index.astype(str)), np.random.default_rng(0)
    warned = 0
    for _ in range(20):
        order = rng.permutation(len(table))
        old, new = table.iloc[order[: len(order) // 2]], table.iloc[order[len(order) // 2 :]]
        model = fitted(old)
        warned += sum(is_warned(model, new.iloc[:size]) for size in (1, 3, 10, len(new)))
    assert warned <= 4  # of 80
    for other in (2**new, new + 2.0, new.sample(frac=1, axis=1, random_state=0).set_axis(new.columns, axis=1) + 1.0):
        assert is_warned(model, other)
