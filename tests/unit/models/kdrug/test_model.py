"""KDRUG as a user meets it: roles, missing modalities, new drugs, intervals, attributions, refusals."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import galenic
from galenic.data.response import ResponseData
from galenic.data.simulate import screen
from galenic.models.base import load
from galenic.models.baselines.inputs import alignment
from galenic.train import Training

BRIEF = Training(lr=2e-3, max_epochs=3, batch_size=4096, patience=0, monitor="none")


def small(**fields: object) -> galenic.KDRUG:
    return galenic.KDRUG(**{"n_members": 2, "n_latent": 8, "hidden": 16, "training": BRIEF, **fields})


@pytest.fixture(scope="module")
def data() -> ResponseData:
    return screen(n_cells=48, n_drugs=8, n_genes=60, noise=0.5, seed=4)[0]


@pytest.fixture(scope="module")
def fitted(data: ResponseData) -> galenic.KDRUG:
    return small(start="means").fit(data)


@pytest.fixture(scope="module")
def joined(data: ResponseData) -> galenic.KDRUG:
    return small().fit(data)


def test_teacher_and_student_answer_from_one_saved_model(fitted: galenic.KDRUG, data: ResponseData, tmp_path) -> None:
    again = load(fitted.save(tmp_path / "m"))
    for using in ("student", "teacher"):
        expected = fitted.predict(data, using=using)["prediction"]
        np.testing.assert_array_equal(again.predict(data, using=using)["prediction"], expected)
    assert not np.array_equal(fitted.predict(data)["prediction"], fitted.predict(data, using="teacher")["prediction"])


def test_a_model_whose_teacher_answers_fits_no_student(data: ResponseData) -> None:
    model = small(answers="teacher", start="means").fit(data)
    assert list(model.spec_["roles"]) == ["teacher"]
    np.testing.assert_array_equal(
        model.predict(data)["prediction"], small(start="means").fit(data).predict(data, using="teacher")["prediction"]
    )
    with pytest.raises(ValueError, match="received using='student'"):
        model.predict(data, using="student")


@pytest.mark.parametrize("start", ["means", "completion"])
def test_modalities_may_be_missing_from_some_cells_or_all(data: ResponseData, start: str) -> None:
    cells = data.cells.copy()
    mutation = cells.obsm["mutation"].copy()
    mutation.iloc[::2] = np.nan
    cells.obsm["mutation"] = mutation
    some = replace(data, cells=cells)
    bare = data.cells.copy()
    del bare.obsm["mutation"]
    del bare.obsm["methylation"]
    with warnings.catch_warnings():
        # The start says which cells it takes for the average cell.
        warnings.filterwarnings("ignore", ".*taken for the average cell")
        model = small(student=("expression", "mutation"), start=start).fit(some)
        for using in ("student", "teacher"):
            found = model.predict(replace(data, cells=bare), using=using)["prediction"]
            assert np.isfinite(found).all()
            # The kernel of a strong start may give a modality no weight at all.
            assert start != "means" or not np.array_equal(found, model.predict(data, using=using)["prediction"])


def test_any_modality_of_the_user_may_be_read(data: ResponseData) -> None:
    cells = data.cells.copy()
    cells.obsm["protein.array"] = pd.DataFrame(cells.to_df().to_numpy()[:, :7], cells.obs_names, list("abcdefg"))
    model = small(student=("protein.array",), teacher=("protein.array", "expression"), fusion="split", start="means")
    model.fit(replace(data, cells=cells))
    assert np.isfinite(model.predict(replace(data, cells=cells))["prediction"]).all()


@pytest.mark.parametrize(
    "fields",
    [
        {"teacher": ()},
        {"stages": 1},
        {"fusion": "split"},
        {"fusion": "attention", "n_heads": 2},
        {"fusion": "attention", "n_heads": 2, "stages": 3},
        {"fusion": "attention", "n_heads": 2, "relation": 1e-3},
        {"fusion": "attention", "n_heads": 2, "soft": 0.0, "relation": 1e-3},
        {"student": ("mutation",), "teacher": ("mutation", "expression")},
        {"head": "mlp", "identity": False},
        {"block": "drug"},
        {"drug_encoder": "published", "n_members": 1, "training": replace(BRIEF, max_epochs=1)},
    ],
    ids=str,
)
def test_every_published_variant_runs(data: ResponseData, fields: dict) -> None:
    few = data.take(data.drug_rows < 4)
    model = small(start="means", **fields).fit(few)
    assert np.isfinite(model.predict(few)["prediction"]).all()
    assert model.history_["train_total"].notna().all()


def test_a_new_drug_is_read_from_its_structure(fitted: galenic.KDRUG, data: ResponseData) -> None:
    new = pd.DataFrame({"smiles": ["CC(=O)Oc1ccccc1C(=O)O", None]}, index=["aspirin", "nameless"])
    pairs = pd.DataFrame(
        [(cell, drug) for cell in data.cells.obs_names[:5] for drug in new.index], columns=["cell", "drug"]
    )
    with pytest.warns(UserWarning, match="nameless"):
        found = fitted.predict(ResponseData(pairs, data.cells, new))
    assert np.isfinite(found["prediction"]).all()
    assert found.groupby("drug")["prediction"].std().loc["aspirin"] > 0


def test_intervals_widen_with_coverage_and_hold_new_cells() -> None:
    """Nominal 80 %: overall within a few points, and no drug far below, on lines that were never seen."""
    data, _ = screen(n_cells=220, n_drugs=8, n_genes=60, noise=0.6, seed=5)
    known, new = data.take(data.cell_rows < 120), data.take(data.cell_rows >= 120)
    model = small(n_members=4, teacher=()).fit(known)
    narrow, wide = (model.intervals(new, coverage=coverage) for coverage in (0.5, 0.8))
    assert (wide["high"] - wide["low"] > narrow["high"] - narrow["low"]).all()
    held = wide["response"].between(wide["low"], wide["high"])
    assert 0.75 < held.mean() < 0.88
    assert held.groupby(wide["drug"]).mean().min() > 0.62
    assert 0.42 < narrow["response"].between(narrow["low"], narrow["high"]).mean() < 0.6


def test_dropout_spread_is_drawn_anew_and_reproducible(fitted: galenic.KDRUG, data: ResponseData) -> None:
    few = data.take(np.arange(20))
    table = fitted.intervals(few, n_draws=5)
    assert (table["dropout_spread"] > 0).all()
    assert (table["spread"] > 0).all()
    pd.testing.assert_frame_equal(table, fitted.intervals(few, n_draws=5))
    with pytest.raises(ValueError, match="coverage should be between 0 and 1"):
        fitted.intervals(few, coverage=90)


@pytest.mark.parametrize("which", ["fitted", "joined"])
def test_contributions_sum_to_the_difference_to_the_average_cell(which: str, data: ResponseData, request) -> None:
    model = request.getfixturevalue(which)
    found = model.attribute(data, data.drugs.index[0], n_steps=200)
    assert found.shape == (data.cells.n_obs, 60 + found.var["modality"].eq("tissue").sum())
    assert found.obs["gap"].abs().max() < 0.02 * found.obs["prediction"].std()
    new_ids = data.cells[:].copy()
    new_ids.obs_names = [f"new-{cell}" for cell in new_ids.obs_names]
    pairs = pd.DataFrame({"cell": new_ids.obs_names, "drug": data.drugs.index[0]})
    expected = model.predict(ResponseData(pairs, new_ids, data.drugs))["prediction"]
    np.testing.assert_allclose(found.obs["prediction"], expected, atol=1e-6)


def test_the_teacher_has_contributions_of_every_modality(fitted: galenic.KDRUG, data: ResponseData) -> None:
    found = fitted.attribute(data, data.drugs.index[0], using="teacher")
    assert {"expression", "mutation", "methylation"} <= set(found.var["modality"])
    assert (np.abs(found[:, found.var["modality"] == "mutation"].X).sum(axis=0) > 0).any()


def test_contributions_of_atoms_sum_to_what_the_graph_says(fitted: galenic.KDRUG, data: ResponseData) -> None:
    drug = data.drugs.index[1]
    table = fitted.atoms(data, drug, n_steps=200)
    told = table.attrs["output"] - table.attrs["baseline"]
    assert table["contribution"].sum() == pytest.approx(told, abs=0.02 * max(abs(told), 0.05))
    assert galenic.drugs.draw_atoms(data.drugs["smiles"][drug], table["contribution"].tolist()).startswith("<svg")


def test_importance_is_the_mean_slope(joined: galenic.KDRUG, data: ResponseData) -> None:
    """Against finite differences of the prediction for cells under new ids."""
    slopes = joined.importance(data).loc["expression"]
    gene, drug, step = slopes.index[3], slopes.columns[2], 1e-3
    means = []
    for sign in (-1, 1):
        cells = data.cells.copy()
        cells.obs_names = [f"new-{cell}" for cell in cells.obs_names]
        position = joined.spec_["inputs"]["expression"].index(gene)
        scale = joined.arrays_["scale.expression"][position]
        values = cells.to_df()
        values[gene] += sign * step * scale
        cells.X = values.to_numpy()
        pairs = pd.DataFrame({"cell": cells.obs_names, "drug": drug})
        means.append(joined.predict(ResponseData(pairs, cells, data.drugs))["prediction"].mean())
    assert slopes.loc[gene, drug] == pytest.approx((means[1] - means[0]) / (2 * step), rel=0.02, abs=1e-4)


def test_features_are_aligned_with_a_report(fitted: galenic.KDRUG, data: ResponseData) -> None:
    cells = data.cells[:, :50].copy()
    del cells.obsm["methylation"]
    table = alignment(cells, fitted.spec_["inputs"]).set_index("step")
    assert table.loc["features of expression", ["kept", "dropped"]].tolist() == [50, 10]
    assert table.loc["features of methylation", "kept"] == 0
    assert "answers without" in table.loc["features of methylation", "why"]


def test_companions_are_its_teacher_itself_without_one_and_its_start() -> None:
    found = galenic.KDRUG(n_latent=16).companions()
    assert {name: type(model).__name__ for name, model in found.items()} == {
        "KDRUG, start alone": "KernelCompletion",
        "KDRUG, teacher": "KDRUG",
        "KDRUG, no teacher": "KDRUG",
    }
    assert all(model.n_latent == 16 for model in found.values() if isinstance(model, galenic.KDRUG))


def refused(data: ResponseData, message: str, **fields: object) -> None:
    with pytest.raises(ValueError, match=message):
        small(**fields).fit(data)


def test_wrong_input_is_refused_in_words(data: ResponseData, fitted: galenic.KDRUG) -> None:
    refused(data, "should carry the modality 'proteome'", student=("proteome",))
    refused(replace(data, pairs=data.pairs.assign(response=1.0)), "fitting needs responses that differ; all")
    refused(data.take(data.cell_rows < 3), r"n_members=2 leaves out 2 folds .* needs 4 cells at least; received 3")
    cells = data.cells.copy()
    cells.X = np.where(np.arange(48)[:, None] < 3, np.nan, np.asarray(cells.X))
    refused(replace(data, cells=cells), r"expression is needed of every cell; 3 of 48 cells have none")
    wrong = data.drugs.assign(smiles="not a molecule").drop(columns="structure")
    with pytest.raises(ValueError, match="should be a SMILES that parses"):
        fitted.predict(
            replace(
                data,
                drugs=wrong.rename(index=lambda drug: f"x{drug}"),
                pairs=data.pairs.assign(drug="x" + data.pairs["drug"]),
            )
        )
    with pytest.raises(ValueError, match="needs one modality for its student, and each once"):
        small(student=())
    with pytest.raises(ValueError, match="needs a teacher"):
        small(teacher=(), answers="teacher")
    with pytest.raises(ValueError, match="something to learn from"):
        small(teacher=(), hard=0.0)
    with pytest.raises(ValueError, match="the drug should be one of 8"):
        fitted.attribute(data, "nonsense")


@pytest.mark.parametrize("start", ["means", "completion"])
def test_two_drugs_are_enough_and_one_is_refused(data: ResponseData, start: str) -> None:
    two = data.take(data.drug_rows < 2)
    assert np.isfinite(small(start=start).fit(two).predict(two)["prediction"]).all()
    refused(
        data.take(data.drug_rows == 0), r"needs two of them or more; received 1 \(.*\)\. Fit KernelRidge", start=start
    )


def test_importance_of_the_published_form_is_in_the_unit_of_the_response(data: ResponseData) -> None:
    """Against finite differences: its networks answer on a scale from 0 to 1."""
    form = {"as_published": True, "head": "mlp", "identity": False, "n_members": 1, "teacher": ()}
    model = small(start="means", student=("expression",), **form).fit(data)
    slopes, step = model.importance(data), 1e-3
    gene, drug = slopes.index[3][1], slopes.columns[2]
    position = model.spec_["inputs"]["expression"].index(gene)
    means = []
    for sign in (-1, 1):
        cells = data.cells.copy()
        values = cells.to_df()
        values[gene] += sign * step * model.arrays_["scale.expression"][position]
        cells.X = values.to_numpy()
        pairs = pd.DataFrame({"cell": cells.obs_names, "drug": drug})
        means.append(model.predict(ResponseData(pairs, cells, data.drugs))["prediction"].mean())
    expected = (means[1] - means[0]) / (2 * step)
    assert slopes.loc[("expression", gene), drug] == pytest.approx(expected, rel=0.02, abs=1e-5)


def test_cells_in_many_pieces_are_answered_as_in_one(
    fitted: galenic.KDRUG, data: ResponseData, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted.predict(data)["prediction"]
    monkeypatch.setattr("galenic.models.kdrug.encode.PAIRS", 20)
    monkeypatch.setattr("galenic.models.kdrug.encode.CELLS", 7)
    np.testing.assert_allclose(fitted.predict(data)["prediction"], whole, atol=1e-9)


def test_the_default_teacher_does_without_what_is_not_there(data: ResponseData) -> None:
    cells = data.cells.copy()
    for name in list(cells.obsm):
        del cells.obsm[name]
    with pytest.warns(UserWarning, match="these cells carry no mutation and no methylation, so it does without"):
        model = small().fit(replace(data, cells=cells))
    assert list(model.spec_["roles"]) == ["student"]


def test_two_heads_need_two_modalities_and_are_one_without(data: ResponseData) -> None:
    model = small(teacher=("expression",), student=("expression",), fusion="attention", stages=3, start="means")
    assert set(model.fit(data).history_["stage"]) >= {"teacher 1: one head", "student"}


def test_more_coverage_than_errors_can_say_is_told(fitted: galenic.KDRUG, data: ResponseData) -> None:
    with pytest.warns(UserWarning, match="a coverage of 0.9999 needs more errors"):
        assert fitted.intervals(data, coverage=0.9999)["low"].isna().all()
