"""Laws that every response model obeys; a new model is one row in ``cases.py``."""

from __future__ import annotations

import json
import random
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from cases import CASES, Case, small_screen
from commands import program

import galenic
from galenic.data.response import ResponseData
from galenic.models import MODELS, RESPONSE_MODELS
from galenic.models.base import NotFittedError
from galenic.models.fields import to_dict, with_params

every_model = pytest.mark.parametrize("case", CASES, ids=str)
every_reader_of_genes = pytest.mark.parametrize("case", [case for case in CASES if case.reads_genes], ids=str)
# Bootstrapped trees draw their samples by row number.
every_model_but_trees = pytest.mark.parametrize("case", [case for case in CASES if not case.draws_rows], ids=str)


def predicted(model: object, data: ResponseData) -> np.ndarray:
    return model.predict(data)["prediction"].to_numpy()


def fingerprint(data: ResponseData) -> list[object]:
    frames = [data.pairs, data.drugs, data.cells.obs, data.cells.to_df(), *data.cells.obsm.values()]
    return [pd.util.hash_pandas_object(frame.astype(str)).sum() for frame in frames]


def test_every_model_has_a_case() -> None:
    assert {case.name for case in CASES} == set(RESPONSE_MODELS)


@every_model
def test_batch_of_one_equals_batch_of_many(case: Case) -> None:
    data, model = small_screen(), case.fitted()
    whole = predicted(model, data)[:12]
    alone = np.concatenate([predicted(model, data.take([i])) for i in range(12)])
    np.testing.assert_allclose(alone, whole, atol=1e-6)


@every_model
def test_permuted_pairs_permute_predictions(case: Case, rng: np.random.Generator) -> None:
    data, model = small_screen(), case.fitted()
    order = rng.permutation(len(data))
    np.testing.assert_allclose(predicted(model, data.take(order)), predicted(model, data)[order], atol=1e-9)


@every_model
def test_gene_order_does_not_matter(case: Case, rng: np.random.Generator) -> None:
    data = small_screen()
    cells = data.cells[:, rng.permutation(data.cells.n_vars)].copy()
    for name, table in data.cells.obsm.items():
        cells.obsm[name] = table[table.columns[rng.permutation(table.shape[1])]]
    shuffled = replace(data, cells=cells)
    np.testing.assert_allclose(predicted(case.fitted(), shuffled), predicted(case.fitted(), data), atol=1e-9)


@every_model_but_trees
def test_order_of_training_pairs_does_not_matter_to_the_answer(case: Case, rng: np.random.Generator) -> None:
    data = small_screen()
    model = case.make().fit(data.take(rng.permutation(len(data))))
    np.testing.assert_allclose(predicted(model, data), predicted(case.fitted(), data), atol=1e-3)


@every_model
def test_save_and_load_in_a_new_process_is_bit_equal(case: Case, tmp_path: Path) -> None:
    data, model = small_screen(), case.fitted()
    model.save(tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.json", "weights.safetensors"]
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]);"
        "import galenic; from cases import small_screen;"
        "table = galenic.load(sys.argv[1]).predict(small_screen())[['prediction']];"
        "table.to_parquet(sys.argv[1] + '.parquet')"
    )
    program(code, tmp_path / "model", Path(__file__).parent)
    again = pd.read_parquet(tmp_path / "model.parquet")["prediction"].to_numpy()
    np.testing.assert_array_equal(again, predicted(model, data))


@every_model
def test_refit_equals_fresh_and_same_seed_is_equal(case: Case) -> None:
    data = small_screen()
    model = case.make().fit(data.take(np.arange(150)))
    model.fit(data)
    np.testing.assert_array_equal(predicted(model, data), predicted(case.fitted(), data))


@every_model
def test_random_state_and_inputs_are_untouched(case: Case) -> None:
    data = small_screen()
    before = fingerprint(data)
    states = [random.getstate()[1][:5], np.random.get_state()[1][:5].tolist(), torch.get_rng_state()[:50].tolist()]  # noqa: NPY002
    model = case.make().fit(data)
    model.predict(data)
    after = [random.getstate()[1][:5], np.random.get_state()[1][:5].tolist(), torch.get_rng_state()[:50].tolist()]  # noqa: NPY002
    assert states == after
    assert before == fingerprint(data)


@every_model
def test_predict_twice_is_equal(case: Case) -> None:
    data = small_screen()
    np.testing.assert_array_equal(predicted(case.fitted(), data), predicted(case.fitted(), data))


@every_model
def test_responses_are_not_read_at_prediction(case: Case) -> None:
    data = small_screen()
    blind = replace(data, pairs=data.pairs.drop(columns="response"))
    noise = replace(data, pairs=data.pairs.assign(response=-1.0))
    np.testing.assert_array_equal(predicted(case.fitted(), blind), predicted(case.fitted(), data))
    np.testing.assert_array_equal(predicted(case.fitted(), noise), predicted(case.fitted(), data))


@every_model
def test_a_new_cell_and_a_new_drug_get_a_finite_answer(case: Case) -> None:
    data = small_screen()
    pairs = data.pairs
    seen = ~pairs["cell"].isin(pairs["cell"].unique()[:8]) & ~pairs["drug"].isin(pairs["drug"].unique()[:3])
    model = case.make().fit(data.take(seen.to_numpy()))
    assert np.isfinite(predicted(model, data)).all()


@every_model
def test_a_drug_is_recognised_by_structure_under_another_id(case: Case) -> None:
    data = small_screen()
    renamed = replace(
        data,
        drugs=data.drugs.rename(index=lambda drug: f"other-{drug}"),
        pairs=data.pairs.assign(drug="other-" + data.pairs["drug"].astype(str)),
    )
    np.testing.assert_allclose(predicted(case.fitted(), renamed), predicted(case.fitted(), data), atol=1e-9)


@every_model
def test_fields_are_written_once(case: Case, tmp_path: Path) -> None:
    """Signature, saved file and command line agree."""
    from typer.testing import CliRunner

    from galenic.cli.fit import _command, kebab

    model = case.fitted()
    model.save(tmp_path / "m")
    saved = json.loads((tmp_path / "m" / "model.json").read_text())["fields"]
    assert set(saved) == {field.name for field in fields(model)}
    assert with_params(type(model)(), saved) == model
    import typer

    app = typer.Typer()
    app.command()(_command(case.name))
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "300"}).output
    for field in fields(model):
        assert "--" + field.name.replace("_", "-") in shown, f"{kebab(case.name)} lacks a flag for {field.name}"


@every_model
def test_an_unfitted_model_says_so(case: Case, tmp_path: Path) -> None:
    model = case.make()
    with pytest.raises(NotFittedError, match=r"is not fitted; call fit\(data\) or galenic.load"):
        model.predict(small_screen())
    with pytest.raises(NotFittedError):
        model.save(tmp_path / "m")


@every_model
def test_an_unknown_field_is_refused_with_the_nearest_name(case: Case) -> None:
    names = list(to_dict(case.make()))
    with pytest.raises(ValueError, match=f"no parameter '{names[0]}x'; did you mean '{names[0]}'"):
        with_params(case.make(), {names[0] + "x": 1})


@every_model
def test_importance_names_genes_or_says_that_there_are_none(case: Case) -> None:
    data = small_screen()
    if not case.reads_genes:
        with pytest.raises(ValueError, match="reads no genes"):
            case.fitted().importance(data)
        return
    table = case.fitted().importance(data)
    assert table.index.names == ["modality", "feature"]
    assert set(table.columns) == set(data.drugs.index)
    assert set(table.loc["expression"].index) <= set(data.cells.var_names)
    assert np.isfinite(table.to_numpy()).all()
    assert (table.to_numpy() != 0).any()


@every_reader_of_genes
def test_missing_genes_warn_and_too_few_are_refused(case: Case) -> None:
    data = small_screen()
    some = replace(data, cells=data.cells[:, :50].copy())
    with pytest.warns(UserWarning, match="of expression are missing"):
        case.fitted().predict(some)
    few = replace(data, cells=data.cells[:, :10].copy())
    with pytest.raises(ValueError, match="needs at least half of them"):
        case.fitted().predict(few)


@every_model
def test_the_short_repr_builds_the_model_again(case: Case) -> None:
    model = case.make()
    assert eval(repr(model), {name: getattr(galenic, name) for name in (*MODELS, "Training")}) == model


def test_seeds_change_what_is_random() -> None:
    data = small_screen()
    for case in CASES:
        if case.draws_rows:
            other = replace(case.make(), seed=5).fit(data)
            assert not np.array_equal(predicted(other, data), predicted(case.fitted(), data))
