"""Laws that every model of profiles obeys; a new model is one row in ``profile_cases.py``."""

from __future__ import annotations

import json
import random
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from commands import program
from profile_cases import CASES, ProfileCase, few_profiles
from scipy import sparse

import galenic
from galenic.models import PROFILE_MODELS
from galenic.models.base import NotFittedError
from galenic.models.fields import to_dict, with_params

every_model = pytest.mark.parametrize("case", CASES, ids=str)


def similar(model: object, adata: AnnData) -> np.ndarray:
    vectors = model.embed(adata)
    return model.similarity(vectors, vectors)


def fingerprint(adata: AnnData) -> list[object]:
    frames = [adata.obs, adata.var, adata.to_df()]
    return [pd.util.hash_pandas_object(frame.astype(str)).sum() for frame in frames]


def test_every_model_has_a_case() -> None:
    assert {case.name for case in CASES} == set(PROFILE_MODELS)


@every_model
def test_a_profile_alone_is_embedded_as_among_others(case: ProfileCase) -> None:
    adata, model = few_profiles(), case.fitted()
    alone = np.concatenate([model.embed(adata[i].copy()) for i in range(6)])
    np.testing.assert_allclose(alone, model.embed(adata)[:6], atol=1e-6)


@every_model
def test_permuted_profiles_permute_similarities(case: ProfileCase, rng: np.random.Generator) -> None:
    adata, model = few_profiles(), case.fitted()
    order = rng.permutation(adata.n_obs)
    expected = similar(model, adata)[np.ix_(order, order)]
    np.testing.assert_allclose(similar(model, adata[order].copy()), expected, atol=1e-5)


@every_model
def test_gene_order_does_not_matter(case: ProfileCase, rng: np.random.Generator) -> None:
    adata, model = few_profiles(), case.fitted()
    shuffled = adata[:, rng.permutation(adata.n_vars)].copy()
    np.testing.assert_array_equal(model.embed(shuffled), model.embed(adata))


@every_model
def test_order_of_training_profiles_does_not_matter_to_the_answer(case: ProfileCase, rng: np.random.Generator) -> None:
    if case.draws:
        return  # batches are drawn by row number
    adata = few_profiles()
    model = case.make().fit(adata[rng.permutation(adata.n_obs)].copy())
    np.testing.assert_allclose(similar(model, adata), similar(case.fitted(), adata), atol=1e-4)


@every_model
def test_sparse_and_dense_profiles_are_the_same(case: ProfileCase) -> None:
    adata = few_profiles()
    thin = AnnData(sparse.csr_matrix(adata.X), obs=adata.obs, var=adata.var)
    np.testing.assert_array_equal(case.fitted().embed(thin), case.fitted().embed(adata))


@every_model
def test_genes_named_by_symbol_are_found(case: ProfileCase) -> None:
    adata = few_profiles()
    named = AnnData(adata.X, obs=adata.obs, var=pd.DataFrame(index=adata.var["symbol"].to_numpy()))
    np.testing.assert_array_equal(case.fitted().embed(named), case.fitted().embed(adata))


@every_model
def test_save_and_load_in_a_new_process_is_bit_equal(case: ProfileCase, tmp_path: Path) -> None:
    adata, model = few_profiles(), case.fitted()
    model.save(tmp_path / "model")
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]);"
        "import galenic, numpy; from profile_cases import few_profiles; model = galenic.load(sys.argv[1]);"
        "vectors = model.embed(few_profiles());"
        "numpy.savez(sys.argv[1] + '.npz', vectors=vectors, similar=model.similarity(vectors, vectors))"
    )
    program(code, tmp_path / "model", Path(__file__).parent)
    again = np.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again["vectors"], model.embed(adata))
    np.testing.assert_array_equal(again["similar"], similar(model, adata))


@every_model
def test_refit_equals_fresh_and_same_seed_is_equal(case: ProfileCase) -> None:
    adata = few_profiles()
    model = case.make().fit(adata[:40].copy())
    model.fit(adata)
    np.testing.assert_array_equal(model.embed(adata), case.fitted().embed(adata))


def test_another_seed_gives_another_embedding() -> None:
    for case in CASES:
        if case.draws:
            other = replace(case.make(), seed=5).fit(few_profiles())
            assert not np.array_equal(other.embed(few_profiles()), case.fitted().embed(few_profiles()))


@every_model
def test_random_state_and_inputs_are_untouched(case: ProfileCase) -> None:
    adata = few_profiles()
    before = fingerprint(adata)
    states = [random.getstate()[1][:5], np.random.get_state()[1][:5].tolist(), torch.get_rng_state()[:50].tolist()]  # noqa: NPY002
    similar(case.make().fit(adata), adata)
    after = [random.getstate()[1][:5], np.random.get_state()[1][:5].tolist(), torch.get_rng_state()[:50].tolist()]  # noqa: NPY002
    assert states == after
    assert before == fingerprint(adata)


@every_model
def test_labels_are_not_read_when_embedding(case: ProfileCase, rng: np.random.Generator) -> None:
    adata = few_profiles()
    blind = adata.copy()
    blind.obs = blind.obs.drop(columns=["pert_id", "moa", "pert_name"])
    np.testing.assert_array_equal(case.fitted().embed(blind), case.fitted().embed(adata))
    np.testing.assert_array_equal(case.fitted().embed(adata), case.fitted().embed(adata))


@every_model
def test_missing_values_count_as_unchanged(case: ProfileCase) -> None:
    adata = few_profiles()
    holes, zeros = adata.copy(), adata.copy()
    holes.X[:, 3], zeros.X[:, 3] = np.nan, 0
    np.testing.assert_array_equal(case.fitted().embed(holes), case.fitted().embed(zeros))


@every_model
def test_missing_genes_warn_and_too_few_are_refused(case: ProfileCase) -> None:
    adata = few_profiles()
    with pytest.warns(UserWarning, match="5 of 50 genes of the model are missing"):
        case.fitted().embed(adata[:, 5:].copy())
    with pytest.raises(ValueError, match="at least 80% of the 50 genes"):
        case.fitted().embed(adata[:, 20:].copy())


@every_model
def test_an_unfitted_model_says_so(case: ProfileCase, tmp_path: Path) -> None:
    with pytest.raises(NotFittedError, match=r"is not fitted; call fit\(data\) or galenic.load"):
        case.make().embed(few_profiles())
    with pytest.raises(NotFittedError):
        case.make().save(tmp_path / "m")


@every_model
def test_a_missing_label_or_nothing_to_learn_is_refused(case: ProfileCase) -> None:
    if not case.reads_labels:
        return
    with pytest.raises(ValueError, match="needs the column"):
        case.make().fit(few_profiles(), label="drug")
    with pytest.raises(ValueError, match="should have two profiles or more"):
        case.make().fit(few_profiles()[::3].copy())


@every_model
def test_levels_and_empty_profiles_are_refused_or_said(case: ProfileCase) -> None:
    adata = few_profiles()
    levels, empty, some, infinite = (adata.copy() for _ in range(4))
    levels.X = np.abs(levels.X) + 2
    empty.X = np.zeros_like(empty.X)
    some.X[:2] = np.nan
    infinite.X[3, 4] = np.inf
    with pytest.raises(ValueError, match=r"should be z-scores.*--level 4"):
        case.make().fit(levels)
    with pytest.raises(ValueError, match="all 60 are empty"):
        case.make().fit(empty)
    with pytest.raises(ValueError, match="1 are infinite"):
        case.make().fit(infinite)
    with pytest.warns(UserWarning, match="2 of 60 profiles are empty"):
        case.make().fit(some)


@every_model
def test_fields_are_written_once(case: ProfileCase, tmp_path: Path) -> None:
    """Signature, saved file and command line agree."""
    import typer
    from typer.testing import CliRunner

    from galenic.cli.fit import _command, kebab

    model = case.fitted()
    model.save(tmp_path / "m")
    saved = json.loads((tmp_path / "m" / "model.json").read_text())["fields"]
    assert set(saved) == {field.name for field in fields(model)}
    assert with_params(type(model)(), saved) == model
    app = typer.Typer()
    app.command()(_command(case.name))
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "300"}).output
    for field in fields(model):
        assert "--" + field.name.replace("_", "-") in shown, f"{kebab(case.name)} lacks a flag for {field.name}"


@every_model
def test_the_short_repr_builds_the_model_again(case: ProfileCase) -> None:
    model = case.make()
    assert eval(repr(model), {name: getattr(galenic, name) for name in (*PROFILE_MODELS, "Training")}) == model


@every_model
def test_an_unknown_field_is_refused_with_the_nearest_name(case: ProfileCase) -> None:
    names = list(to_dict(case.make())) or ["n_latent"]
    with pytest.raises(ValueError, match="no parameter"):
        with_params(case.make(), {names[0] + "x": 1})


def test_every_trainable_tensor_of_the_network_learns() -> None:
    from galenic.models.readacross.member import new_encoder, new_loss
    from galenic.models.readacross.network import Learner, step
    from galenic.train.terms import unreached

    for case in CASES:
        if case.name != "ReadAcross":
            continue
        model = case.make()._effective()
        codes = np.arange(12) % 4
        mechanism = new_loss(model, codes // 2) if model.mechanism else None
        net = Learner(new_encoder(model, 50, 2), new_loss(model, codes), mechanism, model.mechanism)
        batch = {"x": torch.randn(12, 50), "context": torch.randn(12, 2), "label": torch.from_numpy(codes)}
        batch["mechanism"] = torch.from_numpy(codes // 2)
        assert unreached(net, batch, step) == []
