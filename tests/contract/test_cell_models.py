"""Laws that every model of cells obeys; a new model is one row in ``cell_cases.py``."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from cell_cases import CASES, CellCase, few_labels, given
from commands import program
from scipy import sparse

import galenic
from galenic.evaluate import auroc
from galenic.models import CELL_MODELS
from galenic.models.base import NotFittedError
from galenic.models.fields import to_dict, with_params

every_model = pytest.mark.parametrize("case", CASES, ids=str)
pytestmark = pytest.mark.filterwarnings("ignore:labels should not depend on the platform")


def said(model: Any, cells: AnnData, **how: Any) -> np.ndarray:
    """Probability and spread of each cell, ``(n_cells, 2)``."""
    return model.predict(cells, **how)[["probability", "sd"]].to_numpy()


def with_x(cells: AnnData, x: Any, **more: Any) -> AnnData:
    return AnnData(x, obs=cells.obs.copy(), var=more.get("var", cells.var.copy()))


def fingerprint(adata: AnnData) -> list[object]:
    frames = [adata.obs, adata.var, adata.to_df()]
    return [pd.util.hash_pandas_object(frame.astype(str)).sum() for frame in frames]


def test_every_model_has_a_case() -> None:
    assert {case.name for case in CASES} == set(CELL_MODELS)


@every_model
def test_answers_are_probabilities_with_a_threshold(case: CellCase) -> None:
    _, cells = given()
    table = case.fitted().predict(cells)
    assert list(table.columns[:4]) == ["probability", "sd", "label", "abstain"]
    assert table.index.equals(cells.obs_names)
    assert table["probability"].between(0, 1).all()
    assert table["sd"].between(0, 0.5).all()
    assert set(table["label"]) <= {0, 1}
    if "score" not in table:
        called = table["probability"] >= case.fitted().spec_["threshold"]
        assert (called == (table["label"] == 1)).all()
    if not (case.is_chance or case.is_weak):
        assert auroc(cells.obs["label"], table["probability"]) > 0.75


@every_model
def test_what_the_lines_say_of_the_model_is_told(case: CellCase) -> None:
    spec = case.fitted().spec_
    bulk, _ = given()
    assert spec["n_sensitive"] + spec["n_resistant"] == bulk.n_obs
    assert 0 <= spec["threshold"] <= 1
    assert spec["source"]["auroc"] > (0.3 if case.is_chance or case.is_weak else 0.7)
    if "platform" in case.columns:
        assert {"auroc_within", "platform_alone"} <= set(spec["source"])


@every_model
def test_a_cell_alone_is_judged_as_among_others(case: CellCase) -> None:
    if not case.is_alone:
        return
    _, cells = given()
    alone = np.concatenate([said(case.fitted(), cells[i].copy(), statistics="stored") for i in range(6)])
    np.testing.assert_allclose(alone, said(case.fitted(), cells, statistics="stored")[:6], atol=1e-6)


@every_model
def test_gene_order_does_not_matter(case: CellCase, rng: np.random.Generator) -> None:
    bulk, cells = given()
    lines, target = (adata[:, rng.permutation(adata.n_vars)].copy() for adata in (bulk, cells))
    np.testing.assert_allclose(said(case.fit(lines, target), cells), said(case.fitted(), target), atol=1e-6)


@every_model
def test_order_of_lines_and_of_cells_does_not_matter(case: CellCase, rng: np.random.Generator) -> None:
    bulk, cells = given()
    order = rng.permutation(cells.n_obs)
    np.testing.assert_allclose(said(case.fitted(), cells[order].copy()), said(case.fitted(), cells)[order], atol=1e-6)
    if case.draws:
        return
    model = case.fit(bulk[rng.permutation(bulk.n_obs)].copy(), cells[order].copy())
    np.testing.assert_allclose(said(model, cells), said(case.fitted(), cells), atol=1e-6)


@every_model
def test_sparse_dense_and_backed_cells_are_the_same(case: CellCase, tmp_path: Path) -> None:
    bulk, cells = given()
    expected = said(case.fitted(), cells)
    thin = with_x(cells, sparse.csr_matrix(cells.X))
    for number, one in enumerate((cells, thin, with_x(cells, sparse.csc_matrix(cells.X)))):
        one.copy().write_h5ad(tmp_path / f"{number}.h5ad")
        backed = anndata.read_h5ad(tmp_path / f"{number}.h5ad", backed="r")
        np.testing.assert_allclose(said(case.fitted(), one), expected, atol=1e-9)
        np.testing.assert_allclose(said(case.fitted(), backed), expected, atol=1e-9)
        np.testing.assert_allclose(said(case.fit(bulk, backed), backed), expected, atol=1e-9)
        backed.file.close()
    thin_bulk = AnnData(sparse.csr_matrix(bulk.X), obs=bulk.obs, var=bulk.var)
    np.testing.assert_allclose(said(case.fit(thin_bulk, thin), cells), expected, atol=1e-6)


@every_model
def test_counts_and_their_logarithm_are_the_same(case: CellCase) -> None:
    bulk, cells = given()
    counts = with_x(cells, cells.layers["counts"].copy())
    np.testing.assert_allclose(said(case.fit(bulk, counts), counts), said(case.fitted(), cells), atol=1e-9)
    np.testing.assert_allclose(said(case.fitted(), counts), said(case.fitted(), cells), atol=1e-9)


@every_model
def test_repeated_symbols_are_one_gene(case: CellCase, rng: np.random.Generator) -> None:
    """Counts of a gene, parted between two columns of its name, are summed; symbols may stand in a column of var."""
    _, cells = given()
    counts = cells.layers["counts"].astype(np.int64)
    part = rng.binomial(counts[:, :5], 0.5)
    x = np.hstack([counts, part]).astype(np.float64)
    x[:, :5] -= part
    names = [*cells.var_names, *cells.var_names[:5]]
    var = pd.DataFrame({"symbol": names}, index=[str(number) for number in range(1000, 1000 + len(names))])
    np.testing.assert_allclose(said(case.fitted(), with_x(cells, x, var=var)), said(case.fitted(), cells), atol=1e-9)


@every_model
def test_save_and_load_in_a_new_process_is_bit_equal(case: CellCase, tmp_path: Path) -> None:
    case.fitted().save(tmp_path / "model")
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]);"
        "import galenic; from cell_cases import given; model = galenic.load(sys.argv[1]);"
        "model.predict(given()[1]).to_pickle(sys.argv[1] + '.pkl')"
    )
    program(code, tmp_path / "model", Path(__file__).parent)
    pd.testing.assert_frame_equal(
        pd.read_pickle(tmp_path / "model.pkl"), case.fitted().predict(given()[1]), check_exact=True
    )


@every_model
def test_asked_twice_it_says_the_same_and_refit_equals_fresh(case: CellCase) -> None:
    bulk, cells = given()
    expected = said(case.fitted(), cells)
    np.testing.assert_array_equal(said(case.fitted(), cells), expected)
    model = case.make().fit(None, target=cells[:, ::2].copy(), few=few_labels())
    model.fit(bulk, target=cells, **case.columns)
    np.testing.assert_array_equal(said(model, cells), expected)
    assert json.dumps(model.spec_) == json.dumps(case.fitted().spec_)
    model.fit(None, target=cells, few=few_labels())
    fresh = case.make().fit(None, target=cells, few=few_labels())
    np.testing.assert_array_equal(said(model, cells), said(fresh, cells))
    assert set(vars(model)) == set(vars(fresh))
    assert model.source_ is None


@every_model
def test_random_state_and_inputs_are_untouched(case: CellCase) -> None:
    import torch

    bulk, cells = (adata.copy() for adata in given())
    few = few_labels()
    before = [*fingerprint(bulk), *fingerprint(cells), pd.util.hash_pandas_object(few).sum()]
    states = [random.getstate()[1][:5], np.random.get_state()[1][:5].tolist(), torch.get_rng_state()[:50].tolist()]  # noqa: NPY002
    case.fit(bulk, cells, few=few).predict(cells)
    after = [random.getstate()[1][:5], np.random.get_state()[1][:5].tolist(), torch.get_rng_state()[:50].tolist()]  # noqa: NPY002
    assert states == after
    assert before == [*fingerprint(bulk), *fingerprint(cells), pd.util.hash_pandas_object(few).sum()]


@every_model
def test_labels_of_the_target_are_never_read(case: CellCase, rng: np.random.Generator) -> None:
    """Not at fitting, not at predicting; nor anything else that is said of cells."""
    bulk, cells = given()
    expected = said(case.fitted(), cells)
    bare, false, rich = (cells.copy() for _ in range(3))
    bare.obs, bare.uns = pd.DataFrame(index=cells.obs_names), {}
    false.obs["label"] = rng.permutation(false.obs["label"].to_numpy())
    false.obs["cluster"] = rng.permutation(false.obs["cluster"].to_numpy())
    rich.obs["label"], rich.obs["ln_ic50"] = 1 - rich.obs["label"], np.arange(cells.n_obs)
    for other in (bare, false, rich):
        np.testing.assert_array_equal(said(case.fit(bulk, other), other), expected)
        np.testing.assert_array_equal(said(case.fitted(), other), expected)
    few = few_labels()
    with_few = said(case.fit(bulk, cells, few=few), cells)
    for other in (bare, false, rich):
        np.testing.assert_array_equal(said(case.fit(bulk, other, few=few), other), with_few)


@every_model
def test_other_columns_of_the_lines_are_not_read(case: CellCase, rng: np.random.Generator) -> None:
    bulk, cells = given()
    other = bulk.copy()
    other.obs = other.obs[["label", *case.columns.values()]].assign(truth=rng.permutation(bulk.obs["label"]))
    np.testing.assert_array_equal(said(case.fit(other, cells), cells), said(case.fitted(), cells))


@every_model
def test_turned_labels_turn_the_ranking(case: CellCase) -> None:
    if case.is_weak:
        return
    bulk, cells = given()
    turned = bulk.copy()
    turned.obs["label"], turned.obs["ln_ic50"] = 1 - bulk.obs["label"], -bulk.obs["ln_ic50"]
    there, back = (
        auroc(cells.obs["label"], model.predict(cells)["probability"])
        for model in (case.fitted(), case.fit(turned, cells))
    )
    assert there + back == pytest.approx(1, abs=0.1)


@every_model
def test_lines_without_label_are_left_out_and_counted(case: CellCase) -> None:
    bulk, cells = given()
    some = bulk.copy()
    some.obs["label"] = some.obs["label"].astype("float64")
    some.obs.iloc[::7, some.obs.columns.get_loc("label")] = np.nan
    kept = bulk[some.obs["label"].notna().to_numpy()].copy()
    with pytest.warns(UserWarning, match="of 100 lines have no label; left out"):
        model = case.fit(some, cells)
    np.testing.assert_array_equal(said(model, cells), said(case.fit(kept, cells), cells))


@every_model
def test_samples_of_one_line_share_a_fold(case: CellCase) -> None:
    table = case.fitted().source_
    assert table["line"].duplicated().any()
    assert not table[["line", "fold"]].drop_duplicates()["line"].duplicated().any()
    assert (table.groupby("fold")["label"].nunique() == 2).all()


@every_model
def test_empty_cells_are_abstained_from_and_change_nothing_for_others(case: CellCase) -> None:
    _, cells = given()
    some = cells.copy()
    some.X[3:6] = 0
    counts = with_x(cells, cells.layers["counts"].copy())
    counts.X[3:6] = 0
    for one in (some, counts):
        table = case.fitted().predict(one)
        assert table["abstain"].iloc[3:6].all()
        assert table.iloc[3:6][["probability", "sd", "label"]].isna().all(axis=None)
        if case.is_alone:
            others = np.r_[:3, 6 : cells.n_obs]
            np.testing.assert_allclose(
                table[["probability", "sd"]].to_numpy()[others], said(case.fitted(), cells)[others], atol=1e-9
            )


@every_model
def test_a_few_labels_are_enough_without_lines(case: CellCase) -> None:
    _, cells = given()
    few = few_labels()
    model = case.fit(None, cells, few=few)
    table = model.predict(cells)
    asked = ~cells.obs_names.isin(few.index)
    score = auroc(cells.obs["label"][asked], table["probability"][asked])
    assert table["probability"].between(0, 1).all()
    assert score == 0.5 if case.is_chance else score > 0.75
    assert model.spec_["few"] == 20
    assert "source" not in model.spec_


@every_model
def test_order_and_type_of_few_labels_do_not_matter(case: CellCase, rng: np.random.Generator) -> None:
    bulk, cells = given()
    few = few_labels()
    shuffled = few.iloc[rng.permutation(len(few))].astype("float64")
    unknown = pd.concat([shuffled, pd.Series({cells.obs_names[-1]: np.nan})])
    expected = said(case.fit(bulk, cells, few=few), cells)
    for other in (shuffled, unknown, few.astype(str), few.astype(bool)):
        np.testing.assert_array_equal(said(case.fit(bulk, cells, few=other), cells), expected)
    if not case.is_chance:
        assert not np.array_equal(expected, said(case.fitted(), cells))


@every_model
def test_own_and_stored_statistics_agree_on_the_target_itself(case: CellCase) -> None:
    _, cells = given()
    np.testing.assert_allclose(
        said(case.fitted(), cells, statistics="own"), said(case.fitted(), cells, statistics="stored"), atol=1e-9
    )


@every_model
def test_missing_genes_warn_and_too_few_are_refused(case: CellCase) -> None:
    _, cells = given()
    with pytest.warns(UserWarning, match="5 of 60 features are not in these cells"):
        case.fitted().predict(cells[:, 5:].copy())
    with pytest.raises(ValueError, match="should have half of the 60 features of fitting or more; they have 20"):
        case.fitted().predict(cells[:, 40:].copy())


def spoiled(change: Callable[[AnnData, AnnData], None]) -> tuple[AnnData, AnnData]:
    bulk, cells = (adata.copy() for adata in given())
    change(bulk, cells)
    return bulk, cells


def _no_shared(bulk: AnnData, cells: AnnData) -> None:
    cells.var_names = [f"OTHER{number}" for number in range(cells.n_vars)]


def _one_class(bulk: AnnData, cells: AnnData) -> None:
    bulk.obs["label"] = 1


def _mouse(bulk: AnnData, cells: AnnData) -> None:
    stems = ["Trp", "Egf", "Kra", "Myc", "Bra", "Pte", "Rbl", "Cdk", "Mdm", "Aka"]
    cells.var_names = [f"{stems[number % 10]}{'abcdef'[number // 10]}" for number in range(cells.n_vars)]


def _twice(bulk: AnnData, cells: AnnData) -> None:
    cells.obs_names = [cells.obs_names[0], *cells.obs_names[:-1]]


def _lines_twice(bulk: AnnData, cells: AnnData) -> None:
    bulk.obs_names = [bulk.obs_names[0], *bulk.obs_names[:-1]]


def _words(bulk: AnnData, cells: AnnData) -> None:
    bulk.obs["label"] = np.where(bulk.obs["label"] == 1, "S", "R")


def _two(bulk: AnnData, cells: AnnData) -> None:
    bulk.obs["label"] = bulk.obs["label"] + 1


def _no_column(bulk: AnnData, cells: AnnData) -> None:
    del bulk.obs["label"]


def _missing(bulk: AnnData, cells: AnnData) -> None:
    cells.X[3, 4] = np.nan


REJECTED = [
    (_no_shared, "should share 10 features or more; they share 0"),
    (_one_class, "needs 5 sensitive and 5 resistant lines or more; received 100 and 0"),
    (_mouse, "genes should be human"),
    (_twice, "barcodes of the cells must be unique"),
    (_lines_twice, "ids of the bulk lines must be unique"),
    (_words, r"should be 1 \(sensitive\) or 0 \(resistant\).*received 'R', 'S'|received 'S', 'R'"),
    (_two, r"should be 1 \(sensitive\) or 0 \(resistant\).*received '2"),
    (_no_column, r"needs the column\(s\) 'label'"),
    (_missing, "values of cells should be finite; received 1"),
]


@every_model
@pytest.mark.parametrize(("change", "message"), REJECTED, ids=lambda one: getattr(one, "__name__", ""))
def test_what_cannot_be_learned_from_is_refused(
    case: CellCase, change: Callable[[AnnData, AnnData], None], message: str
) -> None:
    bulk, cells = spoiled(change)
    with pytest.raises(ValueError, match=message):
        case.fit(bulk, cells)


@every_model
def test_few_labels_that_fit_nothing_are_refused(case: CellCase) -> None:
    bulk, cells = given()
    few = few_labels()
    with pytest.raises(ValueError, match="should be among the target; 1 of 21 are not"):
        case.fit(bulk, cells, few=pd.concat([few, pd.Series({"nobody": 1})]))
    with pytest.raises(ValueError, match="received only sensitive cells"):
        case.fit(bulk, cells, few=few[few == 1])
    with pytest.raises(ValueError, match="received no cells"):
        case.fit(bulk, cells, few=few[:0])
    with pytest.raises(ValueError, match="belong to a target; received none"):
        case.fit(bulk, None, few=few)
    with pytest.raises(ValueError, match="needs labelled lines, or a target with a few labelled cells"):
        case.fit(None, cells)
    with pytest.raises(ValueError, match="cells with few-shot labels must be unique"):
        case.fit(bulk, cells, few=pd.concat([few, few[:1]]))


@every_model
def test_labels_that_count_the_other_way_round_are_refused(case: CellCase) -> None:
    bulk, cells = given()
    other = bulk.copy()
    other.obs["label"] = 1 - bulk.obs["label"]
    with pytest.raises(ValueError, match="should have the lower response"):
        case.fit(other, cells, response="ln_ic50")


@every_model
def test_an_unfitted_model_says_so(case: CellCase, tmp_path: Path) -> None:
    with pytest.raises(NotFittedError, match=r"is not fitted; call fit\(data\) or galenic.load"):
        case.make().predict(given()[1])
    with pytest.raises(NotFittedError):
        case.make().save(tmp_path / "m")


@every_model
def test_fields_are_written_once(case: CellCase, tmp_path: Path) -> None:
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
def test_the_short_repr_builds_the_model_again(case: CellCase) -> None:
    model = case.make()
    assert eval(repr(model), {name: getattr(galenic, name) for name in (*CELL_MODELS, "Training")}) == model


@every_model
def test_an_unknown_field_is_refused_with_the_nearest_name(case: CellCase) -> None:
    with pytest.raises(ValueError, match="no parameter"):
        with_params(case.make(), {next(iter(to_dict(case.make()))) + "x": 1})


@every_model
def test_an_embedding_can_be_read_instead_of_genes(case: CellCase) -> None:
    """Lines and cells with the same numbers in obsm are judged as by genes; without it they are refused."""
    bulk, cells = (adata.copy() for adata in given())
    for adata in (bulk, cells):
        adata.obsm["X_other"] = np.asarray(adata.X, dtype=np.float64)
    model = with_params(case.make(), {"use_rep": "X_other"}).fit(bulk, target=cells, **case.columns)
    assert model.spec_["kind"] == "embedding"
    if case.is_alone and not case.draws:
        # Features carry other names, so that only their order may differ.
        expected = auroc(cells.obs["label"], case.fitted().predict(cells)["probability"])
        assert auroc(cells.obs["label"], model.predict(cells)["probability"]) == pytest.approx(expected, abs=0.02)
    with pytest.raises(ValueError, match=r"should carry obsm\['X_other'\]"):
        model.predict(given()[1])
