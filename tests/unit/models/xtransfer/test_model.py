"""XTransferCDR as a whole: planted effects, what may be asked, what it tells, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import galenic
from galenic.data.condition_means import condition_means
from galenic.data.perturbation import perturbation_columns
from galenic.data.simulate import perturbations
from galenic.models.perturbation import known
from galenic.models.xtransfer import training_pairs
from galenic.models.xtransfer.lesson import lesson_of
from galenic.models.xtransfer.member import Question
from galenic.models.xtransfer.network import Weights
from galenic.models.xtransfer.pairs import Scale
from galenic.train import Training

SMALL = {
    "n_networks": 2,
    "widths": (32, 24, 16, 8),
    "training": Training(lr=2e-3, max_epochs=4, batch_size=32, monitor="held_out"),
    "gene_training": Training(lr=2e-3, max_epochs=3, batch_size=1024, monitor="error"),
}


def small(**fields: Any) -> galenic.XTransferCDR:
    return galenic.XTransferCDR(**SMALL | fields)


def asked(*conditions: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame(conditions, columns=["context", "perturbation", "dose"][: len(conditions[0])])


def truth_of(adata: AnnData, table: pd.DataFrame) -> np.ndarray:
    """True effects of some conditions."""
    names = adata.uns["truth"]["conditions"]
    rows = pd.MultiIndex.from_frame(names).get_indexer(pd.MultiIndex.from_frame(table[["context", "perturbation"]]))
    return np.asarray(adata.uns["truth"]["effects"])[rows]


def without(adata: AnnData, table: pd.DataFrame) -> AnnData:
    """Cells of all other conditions."""
    here = pd.MultiIndex.from_frame(adata.obs[["cell_type", "perturbation"]].astype(str))
    return adata[~here.isin(pd.MultiIndex.from_frame(table[["context", "perturbation"]]))].copy()


def correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(one, other, strict=True)])


@pytest.fixture(scope="module")
def additive() -> AnnData:
    return perturbations(n_contexts=4, n_perturbations=16, n_genes=60, n_cells=20, seed=3)


@pytest.fixture(scope="module")
def hidden() -> pd.DataFrame:
    """One perturbation in each context, and one that is in the first context only."""
    rows = [(f"type {c}", f"P{p:02d}") for c, p in zip("ABCD", (1, 5, 9, 13), strict=True)]
    return asked(*rows, *((f"type {c}", "P15") for c in "BCD"))


@pytest.fixture(scope="module")
def fitted(additive: AnnData, hidden: pd.DataFrame) -> galenic.XTransferCDR:
    return small().fit(without(additive, hidden))


def test_planted_additive_effects_are_recovered(
    additive: AnnData, hidden: pd.DataFrame, fitted: galenic.XTransferCDR
) -> None:
    """Predicted expression less the true state, which no control was averaged for, against the true effect."""
    predicted = fitted.predict(additive, hidden)
    states = additive.varm["state"].T[[ord(name[-1]) - ord("A") for name in hidden["context"]]]
    assert correlation(predicted.X - states, truth_of(additive, hidden)).mean() > 0.95
    assert predicted.obs["fallback"].eq("").all()
    assert predicted.obs["n_sources"].tolist() == [3, 3, 3, 3, 1, 1, 1]


@pytest.fixture(scope="module")
def few() -> AnnData:
    """Few effects, which towers alone learn in seconds."""
    return perturbations(n_contexts=5, n_perturbations=6, n_genes=30, n_cells=20, seed=3)


@pytest.fixture(scope="module")
def alone(few: AnnData) -> galenic.XTransferCDR:
    """Towers without a start that have not seen the last context."""
    training = Training(lr=3e-3, max_epochs=40, batch_size=32, schedule="cosine", monitor="none")
    terms = Weights(discrepancy=1.0, kind="mse", orthogonality=0.0, state_of_control=5.0, null_effect=5.0)
    how = {"widths": (64, 64, 64, 32), "noise": 0.0, "dropout": 0.0, "training": training, "terms": terms}
    model = small(start="none", n_networks=1, **how)
    return model.fit(few[few.obs["cell_type"] != "type E"].copy())


def test_towers_alone_carry_effects_to_a_new_state(few: AnnData, alone: galenic.XTransferCDR) -> None:
    """Of a patient, say, whose untreated profile is all there is."""
    patients = few[few.obs["control"] & few.obs["cell_type"].isin(["type D", "type E"])].copy()
    patients.obs["cell_type"] = patients.obs["cell_type"].astype(str).str.replace("type", "patient")
    table = asked(*((f"patient {c}", f"P{p:02d}") for c in "DE" for p in range(6)))
    predicted = alone.predict(patients, table)
    assert predicted.obs["fallback"].eq("").all()
    assert predicted.obs["n_sources"].eq(4).all()
    true = truth_of(few, asked(*(("type E", f"P{p:02d}") for p in range(6))))
    new = predicted.X[6:] - predicted.X[6:].mean(axis=0)
    assert correlation(new, true - true.mean(axis=0)).mean() > 0.8
    # One and the same effect on two states.
    assert np.abs(predicted.X[:6] - predicted.X[6:]).mean() > 0.1
    assert set(alone.history_["stage"]) == {"towers"}
    assert alone.spec_["share_genes"] == 0


@pytest.mark.parametrize("start", ["stacked", "none"])
def test_held_out_error_is_that_of_what_is_said(additive: AnnData, start: str) -> None:
    """With a start towers say what it lacks, without one the profile itself."""
    model, fitted_start = small(start=start), galenic.StackedShift().fit(additive)
    lesson, scale = lesson_of(fitted_start), Scale(np.full(60, 0.5), 2.0)
    means = condition_means(additive, perturbation_columns(additive))
    target = Question.of(model, lesson, np.arange(5), scale).batch["left_out"].numpy()
    profile = (means.means[:5] - 0.5) / 2
    said = (means.control_means[0] + lesson.start[:5] - 0.5) / 2
    np.testing.assert_allclose(target, profile - said if start == "stacked" else profile, atol=1e-5)


def test_both_kinds_of_networks_are_trained_and_count(fitted: galenic.XTransferCDR) -> None:
    assert set(zip(fitted.history_["stage"], fitted.history_["member"], strict=True)) == {
        (kind, number) for kind in ("genes", "towers") for number in (0, 1)
    }
    assert fitted.history_.groupby(["stage", "member"])["best"].sum().eq(1).all()
    assert 0 <= fitted.spec_["share_genes"] <= 1
    assert 0 <= fitted.spec_["share_towers"] <= 1
    assert fitted.history_["valid_held_out"].notna().sum() == (fitted.history_["stage"] == "towers").sum()


def test_effects_of_parts_measured_elsewhere_are_summed(additive: AnnData, hidden: pd.DataFrame) -> None:
    both = asked(("type A", "P01+P05"), ("type B", "P05+P01"))
    whole = truth_of(additive, asked(("type A", "P01"))) + truth_of(additive, asked(("type A", "P05")))
    for start in ("stacked", "none"):
        predicted = small(start=start).fit(without(additive, hidden)).predict(additive, both)
        assert np.isfinite(predicted.X).all()
        assert (predicted.obs["n_sources"] > 1).all()
        if start == "stacked":
            assert correlation(predicted.layers["effect"], np.repeat(whole, 2, axis=0)).min() > 0.9
            assert predicted.obs["fallback"].eq("AdditivePairs").all()
        else:
            assert predicted.obs["fallback"].eq("").all()


def test_profiles_of_patients_are_target_states(additive: AnnData) -> None:
    """Untreated samples of contexts that no fit has seen."""
    train = additive[additive.obs["cell_type"] <= "type B"].copy()
    patients = additive[additive.obs["cell_type"].isin(["type C", "type D"]) & additive.obs["control"]].copy()
    patients.obs["cell_type"] = patients.obs["cell_type"].astype(str).str.replace("type", "patient")
    model = small().fit(train)
    table = asked(*((f"patient {c}", f"P{p:02d}") for c in "CD" for p in range(16)))
    predicted = model.predict(patients, table)
    assert predicted.obs["fallback"].eq("").all()
    assert predicted.obs["n_sources"].eq(2).all()
    names = asked(*((f"type {c}", f"P{p:02d}") for c in "CD" for p in range(16)))
    controls = predicted.X - predicted.layers["effect"]
    means = condition_means(patients, perturbation_columns(patients)).control_means
    np.testing.assert_allclose(controls, np.repeat(means, 16, axis=0), atol=1e-4)
    assert correlation(predicted.layers["effect"], truth_of(additive, names)).mean() > 0.9


@pytest.mark.parametrize("start", ["stacked", "none"])
def test_an_unseen_perturbation_is_told_by_its_profile_in_another_context(additive: AnnData, start: str) -> None:
    new = additive.obs["perturbation"] == "P07"
    model = small(start=start).fit(additive[~new].copy())
    given = additive[~new | (additive.obs["cell_type"] == "type B")].copy()
    table = asked(("type A", "P07"), ("type C", "P07"))
    predicted = model.predict(given, table)
    assert predicted.obs["n_sources"].tolist() == [1, 1]
    assert predicted.obs["fallback"].eq("").all()
    if start == "stacked":
        assert correlation(predicted.layers["effect"], truth_of(additive, table)).mean() > 0.9
    with pytest.raises(ValueError, match="should be named in the fit or in adata; 1 are not"):
        model.predict(additive[~new].copy(), table)
    blind = model.predict(additive[~new].copy(), table, unknown="keep")
    assert blind.obs["fallback"].ne("").all()
    assert np.abs(predicted.X - blind.X).max() > 1e-2


def dosed() -> AnnData:
    """Effects that grow with the logarithm of the dose, 1 to 100."""
    adata = perturbations(n_contexts=3, n_perturbations=8, n_genes=30, n_cells=9, noise=0.1, seed=5)
    doses = np.tile([1.0, 10.0, 100.0], adata.n_obs // 3)
    states = adata.varm["state"].T[pd.factorize(adata.obs["cell_type"])[0]]
    effects = np.asarray(adata.X) - states
    treated = ~adata.obs["control"].to_numpy()
    growth = np.where(treated, (1 + np.log10(doses)) / 3, 1.0)
    adata.X = (states + growth[:, None] * effects).astype(np.float32)
    adata.obs["dose"] = np.where(treated, doses, np.nan)
    return adata


@pytest.mark.parametrize("start", ["stacked", "none"])
def test_doses_are_conditions_of_their_own(start: str) -> None:
    adata = dosed()
    lacking = (adata.obs["cell_type"] == "type A") & (adata.obs["perturbation"] == "P02")
    train = adata[~lacking].copy()
    model = small(start=start).fit(train, dose="dose")
    predicted = model.predict(train, asked(*(("type A", "P02", dose) for dose in (1.0, 10.0, 100.0))))
    assert predicted.obs_names.tolist() == ["type A|P02|1", "type A|P02|10", "type A|P02|100"]
    if start == "stacked":
        sizes = np.linalg.norm(predicted.layers["effect"], axis=1)
        assert (np.diff(sizes) > 0).all()
    assert len(model.codes()) == 3 + 3 * 23
    assert "P01 10" in set(model.codes()["name"])
    assert len(model.interactions(train, n=4)) == 4 * 3 * 23


def test_measured_spread_tells_perturbations_apart_and_keeps_their_mean() -> None:
    adata = perturbations(n_contexts=4, n_perturbations=24, n_genes=50, n_cells=4, noise=1.5, interaction=1.0, seed=8)
    table = asked(*(("type A", f"P{p:02d}") for p in range(8)))
    train = without(adata, table)
    means, spreads = {}, {}
    for spread in ("expected", "measured"):
        model = small(spread=spread).fit(train)
        effects = model.predict(train, table).layers["effect"]
        means[spread], spreads[spread] = effects.mean(axis=0), np.linalg.norm(effects - effects.mean(axis=0))
    assert model.spec_["stretch"] > 1.1
    assert spreads["measured"] / spreads["expected"] == pytest.approx(model.spec_["stretch"], rel=0.05)
    moved = np.linalg.norm(means["measured"] - means["expected"])
    assert moved < 0.5 * (model.spec_["stretch"] - 1) * np.linalg.norm(means["expected"])


def test_equal_perturbations_are_each_others_nearest() -> None:
    adata = perturbations(n_contexts=3, n_perturbations=12, n_genes=40, n_cells=10, noise=0.2, seed=6)
    # P01 and P02 do the same, cell by cell.
    for context in adata.obs["cell_type"].unique():
        here = adata.obs["cell_type"] == context
        adata.X[here & (adata.obs["perturbation"] == "P02")] = adata.X[here & (adata.obs["perturbation"] == "P01")]
    for fields in ({}, {"towers": False}, {"start": "none"}):
        model = small(**fields).fit(adata)
        similar = model.similar(n=3)
        assert list(similar) == ["perturbation", "rank", "neighbour", "similarity"]
        assert len(similar) == 36
        assert (similar["perturbation"] != similar["neighbour"]).all()
        first = similar[similar["rank"] == 1].set_index("perturbation")
        assert first.loc["P01", "neighbour"] == "P02"
        assert first.loc["P02", "neighbour"] == "P01"
        assert first.loc["P01", "similarity"] == pytest.approx(1, abs=1e-4)
        assert similar.groupby("perturbation")["similarity"].apply(lambda s: s.is_monotonic_decreasing).all()
        codes = model.codes()
        assert codes.groupby("kind").size().to_dict() == {"state": 3, "effect": 36}
        assert codes["context"].isin(adata.obs["cell_type"].unique()).all()
        places = codes[codes["name"].isin(["P01", "P02"])].groupby("context")[["x", "y"]]
        assert float(places.std(ddof=0).max().max()) < 1e-4 * codes[["x", "y"]].abs().max().max()
        assert np.isfinite(codes[["x", "y"]]).all().all()


def test_interactions_are_the_departures_from_the_additive_solution(
    additive: AnnData, hidden: pd.DataFrame, fitted: galenic.XTransferCDR
) -> None:
    table = fitted.interactions(additive, hidden.iloc[:4], n=5)
    assert list(table) == ["context", "perturbation", "gene", "residual"]
    assert table.groupby(["context", "perturbation"]).size().tolist() == [5] * 4
    train = without(additive, hidden)
    shift = galenic.MeanShift().fit(train).predict(additive, hidden.iloc[:4]).layers["effect"]
    own = fitted.predict(additive, hidden.iloc[:4]).layers["effect"]
    genes = additive.var_names.get_indexer(table["gene"])
    expected = (own - shift)[np.repeat(np.arange(4), 5), genes]
    np.testing.assert_allclose(table["residual"], expected, atol=1e-6)
    sizes = table["residual"].abs().to_numpy().reshape(4, 5)
    assert (np.diff(sizes, axis=1) <= 0).all()
    np.testing.assert_allclose(sizes[:, 0], np.abs(own - shift).max(axis=1), atol=1e-6)


def test_answers_do_not_depend_on_how_many_are_computed_at_once(
    additive: AnnData, hidden: pd.DataFrame, fitted: galenic.XTransferCDR, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted.predict(additive, hidden)
    monkeypatch.setattr(known, "BLOCK", 2)
    np.testing.assert_allclose(fitted.predict(additive, hidden).X, whole.X, atol=1e-5)
    again = small().fit(without(additive, hidden))
    np.testing.assert_allclose(again.predict(additive, hidden).X, whole.X, atol=1e-3)


@pytest.mark.parametrize(
    "fields", [{}, {"level": "cells"}, {"start": "none", "level": "cells"}], ids=["conditions", "cells", "no-start"]
)
def test_networks_trained_at_the_same_time_and_from_a_file_are_the_same(fields: dict[str, Any], tmp_path: Path) -> None:
    adata = perturbations(n_contexts=3, n_perturbations=9, n_genes=20, n_cells=4)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    one = small(**fields).fit(adata)
    for other in (small(**fields).fit(adata, n_jobs=2), small(**fields).fit(backed, n_jobs=2)):
        assert one.spec_ == other.spec_
        assert one.arrays_.keys() == other.arrays_.keys()
        for name, array in one.arrays_.items():
            np.testing.assert_array_equal(array, other.arrays_[name], err_msg=name)
    backed.file.close()


@pytest.mark.filterwarnings("ignore:no perturbation was measured in two contexts")
@pytest.mark.parametrize("shape", [(2, 1), (2, 2), (3, 1), (3, 2), (1, 5), (2, 9)])
@pytest.mark.parametrize("start", ["stacked", "none"])
def test_few_contexts_and_perturbations_are_enough(shape: tuple[int, int], start: str) -> None:
    """Where too little is left when some conditions are held out, all are learned from."""
    adata = perturbations(*shape, n_genes=15, n_cells=4)
    model = small(start=start, training=Training(max_epochs=1, monitor="held_out")).fit(adata)
    assert np.isfinite(model.predict(adata).X).all()
    assert len(model.codes()) == shape[0] * (shape[1] + 1)
    assert len(model.similar()) == shape[1] * (shape[1] - 1)
    assert len(model.interactions(adata, n=2)) == 2 * shape[0] * shape[1]


def test_without_pairs_the_towers_are_left_out_where_there_is_a_start() -> None:
    adata = perturbations(n_contexts=4, n_perturbations=1, n_genes=15, n_cells=4)
    model = small(mode="cell").fit(adata)
    assert set(model.history_["stage"]) == {"genes"}
    assert np.isfinite(model.predict(adata).X).all()
    with pytest.raises(ValueError, match="share their context and differ in their perturbation are needed"):
        small(mode="cell", start="none").fit(adata)


def test_combinations_teach_and_are_predicted() -> None:
    adata = perturbations(n_contexts=2, n_perturbations=8, n_genes=40, n_cells=10, pairs=12, seed=2)
    names = sorted(name for name in adata.obs["perturbation"].unique() if "+" in name)
    table = asked(*((context, name) for context in ("type A", "type B") for name in names[:3]))
    train = without(adata, table)
    for fields in ({}, {"start": "none"}, {"start": "none", "mode": "cell", "level": "cells"}):
        model = small(**fields).fit(train)
        assert "train_pair" in model.history_
        predicted = model.predict(train, table)
        assert np.isfinite(predicted.X).all()
        if not fields:
            sums = galenic.AdditivePairs().fit(train).predict(train, table).layers["effect"]
            bar = correlation(sums, truth_of(adata, table)).mean()
            assert correlation(predicted.layers["effect"], truth_of(adata, table)).mean() > bar - 0.02
    silent = small(terms=Weights(pair=0.0)).fit(train)
    assert "train_pair" not in silent.history_


def test_the_published_form_runs_from_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own fields count, whatever was set; one step of it is enough here."""
    model = small(as_published=True, training=Training(max_epochs=1))
    used = model._effective()
    assert used.widths == (1024, 512, 256, 128)
    assert (used.start, used.level, used.norm, used.output) == ("none", "cells", "batch", "relu")
    assert (used.n_networks, used.n_residual, used.genes, used.difference) == (1, 3, False, False)
    assert used.terms == Weights()
    assert used.training == Training(lr=2e-4, weight_decay=5e-4, optimizer="adam", monitor="none", max_epochs=1)
    adata = perturbations(n_contexts=3, n_perturbations=5, n_genes=20, n_cells=3)
    monkeypatch.setattr(training_pairs, "STEPS", 1)
    predicted = model.fit(adata).predict(adata)
    assert predicted.X.min() >= 0
    assert np.isfinite(predicted.X).all()
    assert predicted.obs["fallback"].eq("").all()
    assert set(model.history_["stage"]) == {"towers"}
    below = adata.copy()
    below.X[2, 3] = -0.5
    with pytest.raises(ValueError, match="should not be negative, as the output of this model is not; 1 of"):
        model.fit(below)


@pytest.mark.parametrize("output", ["relu", "softplus", "identity"])
def test_negative_values_are_refused_where_the_output_is_none(output: str) -> None:
    adata = perturbations(n_contexts=3, n_perturbations=5, n_genes=20, n_cells=3)
    scores = adata.copy()
    scores.X = scores.X - scores.X.mean(axis=0)
    brief = Training(max_epochs=1, monitor="held_out")
    model = small(start="none", output=output, n_networks=1, training=brief)
    if output == "identity":
        assert model.fit(scores).predict(scores).X.min() < 0
        return
    with pytest.raises(ValueError, match=r"should not be negative.*; \d+ of .*\. Choose an"):
        model.fit(scores)
    model.fit(adata)
    assert model.predict(adata).X.min() >= 0
    with pytest.raises(ValueError, match="should not be negative"):
        model.predict(scores)
    small(output=output, n_networks=1, training=brief).fit(scores)  # beside a start the output is a difference


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"widths": (8, 4)}, ValueError, r"four numbers of 1 or more; received \(8, 4\)\. Give"),
        ({"widths": (8, 4, 2, 0)}, ValueError, "four numbers of 1 or more"),
        ({"start": "none", "towers": False}, ValueError, "without a start the towers answer; received towers=False"),
        ({"start": "none", "n_networks": 0}, ValueError, "n_networks=0"),
        ({"n_networks": -1}, ValueError, "should be from 0"),
        ({"dropout": 0.95}, ValueError, "from 0 to 0.9"),
        ({"mode": "pair"}, TypeError, "one of 'both', 'cell', 'drug'"),
        ({"level": "wells"}, TypeError, "one of 'conditions', 'cells'"),
        ({"norm": "group"}, TypeError, "XTransferCDR.norm should be one of"),
        ({"spread": "wide"}, TypeError, "one of 'expected', 'measured'"),
    ],
)
def test_wrong_fields_are_refused(fields: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        galenic.XTransferCDR(**fields)
