"""Laws that every model of perturbations obeys; a new model is one row in ``perturbation_cases.py``."""

from __future__ import annotations

import json
import random
from dataclasses import fields, replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from commands import program
from perturbation_cases import CASES, HELD_OUT, PerturbationCase, all_cells, is_held_out, training_cells
from scipy import sparse

import galenic
from galenic.models import PERTURBATION_MODELS
from galenic.models.base import NotFittedError
from galenic.models.fields import to_dict, with_params

every_model = pytest.mark.parametrize("case", CASES, ids=str)


def fingerprint(adata: AnnData) -> list[object]:
    frames = [adata.obs, adata.var, adata.to_df()]
    return [pd.util.hash_pandas_object(frame.astype(str)).sum() for frame in frames]


def expected(case: PerturbationCase) -> AnnData:
    return case.fitted().predict(all_cells(), HELD_OUT)


def assert_same(one: AnnData, other: AnnData, atol: float = 0.0) -> None:
    pd.testing.assert_frame_equal(one.obs, other.obs)
    assert one.var_names.equals(other.var_names)
    np.testing.assert_allclose(one.X, other.X, rtol=0, atol=atol)
    np.testing.assert_allclose(one.layers["effect"], other.layers["effect"], rtol=0, atol=atol)


def test_every_model_has_a_case() -> None:
    assert {case.name for case in CASES} == set(PERTURBATION_MODELS)


@every_model
def test_one_row_a_condition_with_its_effect_and_a_readable_name(case: PerturbationCase) -> None:
    predicted, adata = expected(case), all_cells()
    assert predicted.obs_names.tolist() == ["type A|P02", "type B|P00", "type C|P04", "type B|P01+P04"]
    assert predicted.obs[["context", "perturbation"]].to_numpy().tolist() == HELD_OUT.to_numpy().tolist()
    assert {"n_sources", "fallback"} <= set(predicted.obs)
    assert predicted.var_names.equals(adata.var_names)
    assert predicted.X.dtype == predicted.layers["effect"].dtype == np.float32
    for row, context in enumerate(HELD_OUT["context"]):
        controls = adata.X[(adata.obs["cell_type"] == context) & adata.obs["control"]].mean(axis=0)
        np.testing.assert_allclose(predicted.X[row] - predicted.layers["effect"][row], controls, atol=1e-5)


@every_model
def test_cells_of_an_asked_condition_are_never_read(case: PerturbationCase, rng: np.random.Generator) -> None:
    for value in (rng.normal(size=30) * 1e4, np.nan):
        adata = all_cells().copy()
        adata.X[is_held_out(adata)] = value
        assert_same(case.fitted().predict(adata, HELD_OUT), expected(case))
    adata = all_cells()
    assert_same(case.fitted().predict(adata[~is_held_out(adata)].copy(), HELD_OUT), expected(case))


@every_model
def test_a_condition_alone_is_predicted_as_among_others_in_any_order(case: PerturbationCase) -> None:
    model, adata = case.fitted(), all_cells()
    order = [3, 1, 0, 2]
    assert_same(model.predict(adata, HELD_OUT.iloc[order]), expected(case)[order].copy(), atol=1e-5)
    for row in range(len(HELD_OUT)):
        assert_same(model.predict(adata, HELD_OUT.iloc[[row]]), expected(case)[[row]].copy(), atol=1e-5)


@every_model
def test_order_of_cells_does_not_matter(case: PerturbationCase, rng: np.random.Generator) -> None:
    adata, train = all_cells(), training_cells()
    mixed = adata[rng.permutation(adata.n_obs)].copy()
    assert_same(case.fitted().predict(mixed, HELD_OUT), expected(case), atol=1e-5)
    if not case.draws:
        model = case.fit(train[rng.permutation(train.n_obs)].copy())
        assert_same(model.predict(adata, HELD_OUT), expected(case), atol=1e-4)


@every_model
def test_order_of_genes_does_not_matter(case: PerturbationCase, rng: np.random.Generator) -> None:
    adata = all_cells()
    shuffled = adata[:, rng.permutation(adata.n_vars)].copy()
    assert_same(case.fitted().predict(shuffled, HELD_OUT), expected(case), atol=1e-6)


@every_model
@pytest.mark.parametrize("form", ["sparse", "backed", "backed-sparse"])
def test_sparse_dense_and_backed_cells_are_the_same(case: PerturbationCase, form: str, tmp_path: Path) -> None:
    def stored(adata: AnnData, name: str) -> AnnData:
        X = sparse.csr_matrix(adata.X) if "sparse" in form else adata.X
        other = AnnData(X, obs=adata.obs, var=adata.var)
        if "backed" not in form:
            return other
        other.write_h5ad(tmp_path / f"{name}.h5ad")
        return anndata.read_h5ad(tmp_path / f"{name}.h5ad", backed="r")

    train, adata = stored(training_cells(), "train"), stored(all_cells(), "all")
    assert_same(case.fit(train).predict(adata, HELD_OUT), expected(case), atol=1e-6)
    for one in (train, adata):
        if one.isbacked:
            one.file.close()


@every_model
def test_save_and_load_in_a_new_process_is_bit_equal(case: PerturbationCase, tmp_path: Path) -> None:
    case.fitted().save(tmp_path / "model")
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]);"
        "import galenic, numpy; from perturbation_cases import all_cells, HELD_OUT;"
        "predicted = galenic.load(sys.argv[1]).predict(all_cells(), HELD_OUT);"
        "numpy.savez(sys.argv[1] + '.npz', X=predicted.X, effect=predicted.layers['effect'])"
    )
    program(code, tmp_path / "model", Path(__file__).parent)
    again = np.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again["X"], expected(case).X)
    np.testing.assert_array_equal(again["effect"], expected(case).layers["effect"])


@every_model
def test_refit_equals_fresh_and_same_seed_is_equal(case: PerturbationCase) -> None:
    train = training_cells()
    model = case.fit(train[train.obs["cell_type"] != "type C"].copy())
    model.fit(train, **case.how())
    assert_same(model.predict(all_cells(), HELD_OUT), expected(case))


def test_another_seed_gives_another_prediction() -> None:
    for case in CASES:
        if case.draws:
            other = replace(case.make(), seed=5).fit(training_cells(), **case.how())
            assert not np.array_equal(other.predict(all_cells(), HELD_OUT).X, expected(case).X)


@every_model
def test_random_state_and_inputs_are_untouched(case: PerturbationCase) -> None:
    train, adata, asked = training_cells(), all_cells(), HELD_OUT.copy()
    before = [fingerprint(train), fingerprint(adata)]
    states = [random.getstate()[1][:5], np.random.get_state()[1][:5].tolist(), torch.get_rng_state()[:50].tolist()]  # noqa: NPY002
    case.fit(train).predict(adata, asked)
    after = [random.getstate()[1][:5], np.random.get_state()[1][:5].tolist(), torch.get_rng_state()[:50].tolist()]  # noqa: NPY002
    assert states == after
    assert before == [fingerprint(train), fingerprint(adata)]
    pd.testing.assert_frame_equal(asked, HELD_OUT)


@every_model
def test_other_names_of_the_same_columns_give_the_same(case: PerturbationCase) -> None:
    def renamed(adata: AnnData, context: str, perturbation: str, control: str) -> AnnData:
        obs = pd.DataFrame(
            {
                context: adata.obs["cell_type"].to_numpy(),
                perturbation: adata.obs["perturbation"].astype(str).replace("control", control).to_numpy(),
            },
            index=adata.obs_names,
        )
        return AnnData(adata.X, obs=obs, var=adata.var)

    for names in (("cell_line", "drug", "DMSO"), ("cell_id", "condition", "ctrl")):
        model = case.fit(renamed(training_cells(), *names))
        assert_same(model.predict(renamed(all_cells(), *names), HELD_OUT), expected(case))
    names = ("tissue", "guide", "scramble")
    model = case.fit(renamed(training_cells(), *names), context="tissue", perturbation="guide", control="scramble")
    assert_same(model.predict(renamed(all_cells(), *names), HELD_OUT), expected(case))


@every_model
def test_everything_that_the_cells_hold_is_answered_where_nothing_is_named(case: PerturbationCase) -> None:
    predicted = case.fitted().predict(all_cells())
    assert sorted(predicted.obs_names) == sorted(all_cells().uns["truth"]["conditions"].index)
    assert np.isfinite(predicted.X).all()


@every_model
def test_names_that_are_not_known_are_refused_with_the_nearest(case: PerturbationCase) -> None:
    model, adata = case.fitted(), all_cells()
    with pytest.raises(ValueError, match="did you mean 'type A'"):
        model.predict(adata, pd.DataFrame({"context": ["type a"], "perturbation": ["P02"]}))
    with pytest.raises(ValueError, match="did you mean 'cell_type'"):
        case.fit(training_cells(), context="celltype")
    with pytest.raises(ValueError, match="needs the column"):
        model.predict(adata, HELD_OUT.rename(columns={"context": "where"}))


@every_model
def test_what_cannot_be_learned_from_is_refused(case: PerturbationCase) -> None:
    train = training_cells()
    with pytest.raises(ValueError, match="every context should have controls; 1 of 3"):
        case.fit(train[~((train.obs["cell_type"] == "type B") & train.obs["control"])].copy())
    holes = train.copy()
    holes.X[3, 4] = np.nan
    with pytest.raises(ValueError, match="expression should be finite; 1 of"):
        case.fit(holes)
    with pytest.raises(ValueError, match="raw counts"):
        case.fit(AnnData(np.rint(train.X * 100).astype(np.float32), obs=train.obs, var=train.var))
    with pytest.raises(ValueError, match="treated cells are needed"):
        case.fit(train[train.obs["control"]].copy())


@every_model
def test_missing_genes_warn_and_too_few_are_refused(case: PerturbationCase) -> None:
    adata = all_cells()
    with pytest.warns(UserWarning, match="3 of 30 genes of the fit are missing"):
        predicted = case.fitted().predict(adata[:, 3:].copy(), HELD_OUT)
    assert predicted.n_vars == 30
    with pytest.raises(ValueError, match="at least 80% of the 30 genes"):
        case.fitted().predict(adata[:, 20:].copy(), HELD_OUT)


@every_model
def test_an_unfitted_model_says_so(case: PerturbationCase, tmp_path: Path) -> None:
    with pytest.raises(NotFittedError, match=r"is not fitted; call fit\(data\) or galenic.load"):
        case.make().predict(all_cells())
    with pytest.raises(NotFittedError):
        case.make().save(tmp_path / "m")


@every_model
def test_fields_are_written_once(case: PerturbationCase, tmp_path: Path) -> None:
    """Signature and saved file agree."""
    model = case.fitted()
    model.save(tmp_path / "m")
    saved = json.loads((tmp_path / "m" / "model.json").read_text())["fields"]
    assert set(saved) == {field.name for field in fields(model)}
    assert with_params(type(model)(), saved) == model


@every_model
def test_the_short_repr_builds_the_model_again(case: PerturbationCase) -> None:
    model = case.make()
    assert eval(repr(model), {name: getattr(galenic, name) for name in (*PERTURBATION_MODELS, "Training")}) == model


@every_model
def test_an_unknown_field_is_refused_with_the_nearest_name(case: PerturbationCase) -> None:
    names = list(to_dict(case.make())) or ["rank"]
    with pytest.raises(ValueError, match="no parameter"):
        with_params(case.make(), {names[0] + "x": 1})
