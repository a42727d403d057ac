"""Simulated screens: what is planted can be found, and nothing can be found once it is shuffled."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from galenic.data.drugs import standardise
from galenic.data.response import ResponseData
from galenic.data.simulate import MOST_DRUGS, SCAFFOLDS, patients, screen

SEEDS = (0, 1, 2)


def features(data: ResponseData) -> pd.DataFrame:
    return pd.concat([data.cells.to_df(), data.cells.obsm["mutation"], data.cells.obsm["methylation"]], axis=1)


def ranks_of_planted(data: ResponseData, truth: pd.DataFrame, response: np.ndarray) -> pd.DataFrame:
    """Truth with the share of all features that correlate better with the drug's response than the planted one."""
    X = features(data)
    shares = {}
    for drug, rows in data.pairs.groupby("drug").indices.items():
        x = X.to_numpy()[data.cell_rows[rows]]
        x, y = x - x.mean(axis=0), response[rows] - response[rows].mean()
        scale = np.sqrt((x**2).sum(axis=0))
        r = pd.Series(np.abs(np.divide(y @ x, scale, out=np.zeros(len(scale)), where=scale > 0)), X.columns)
        shares[drug] = 1 - r.rank(pct=True)
    return truth.assign(share=[shares[row.drug][row.feature] for row in truth.itertuples()])


@pytest.fixture(scope="module", params=SEEDS)
def default(request: pytest.FixtureRequest) -> tuple[ResponseData, pd.DataFrame]:
    return screen(seed=request.param)


def test_scales_are_those_of_real_screens(default) -> None:
    data, _ = default
    assert len(data) == 0.9 * 200 * 30
    assert 2.2 < data.response.std() < 2.9
    assert 1.2 < data.pairs.groupby("drug")["response"].std().mean() < 1.6
    X = data.cells.to_df()
    assert X.min().min() >= 0
    assert X.max().max() < 20
    assert set(np.unique(data.cells.obsm["mutation"])) == {0.0, 1.0}


def test_planted_features_correlate_with_response_and_not_after_shuffling(default) -> None:
    data, truth = default
    planted = ranks_of_planted(data, truth, data.response)
    assert (planted.query("modality == 'expression'")["share"] <= 0.1).mean() > 0.97
    assert planted.groupby("modality")["share"].median().max() < 0.05
    rng, shuffled = np.random.default_rng(0), data.response
    for rows in data.pairs.groupby("drug").indices.values():
        shuffled[rows] = rng.permutation(shuffled[rows])
    chance = ranks_of_planted(data, truth, shuffled)["share"]
    assert 0.4 < chance.mean() < 0.6


def test_effects_are_those_of_the_response() -> None:
    """Without noise a regression on the planted features and the tissue gives the planted effects back."""
    data, truth = screen(2000, 4, 60, missing=0.0, noise=0.0, seed=3)
    X = features(data)
    X = (X - X.mean()) / X.std().where(X.columns.isin(data.cells.var_names), 1.0)
    tissue = pd.get_dummies(data.cells.obs["tissue"], dtype=float).to_numpy()
    for drug, planted in truth.groupby("drug"):
        y = data.pairs.loc[data.pairs["drug"] == drug, "response"].to_numpy()
        solved = np.linalg.lstsq(np.hstack([X[planted["feature"]], tissue]), y, rcond=None)[0]
        np.testing.assert_allclose(solved[: len(planted)], planted["effect"], atol=0.06)


def test_a_ridge_predicts_unseen_cells_well_but_not_perfectly(default) -> None:
    data, _ = default
    X = data.cells.to_df()
    X = ((X - X.mean()) / X.std()).to_numpy()
    new = data.cell_rows < 50
    scores = []
    for rows in data.pairs.groupby("drug").indices.values():
        train, test = rows[~new[rows]], rows[new[rows]]
        x, y = X[data.cell_rows[train]], data.response[train]
        dual = np.linalg.solve(x @ x.T + 200 * np.eye(len(x)), y - y.mean())
        scores.append(np.corrcoef(X[data.cell_rows[test]] @ (x.T @ dual), data.response[test])[0, 1])
    assert 0.35 < np.mean(scores) < 0.9


def test_expression_shows_mutation_and_methylation_in_part(default) -> None:
    data, truth = default
    X, events = data.cells.to_df(), features(data)
    drug = truth["drug"].iloc[0]
    planted = truth[truth["drug"] == drug].set_index("modality")
    drivers = X[planted.loc["expression", "feature"]].to_numpy()
    for modality in ("mutation", "methylation"):
        event = events[planted.loc[modality, "feature"]].to_numpy()
        r = [abs(np.corrcoef(event, gene)[0, 1]) for gene in drivers.T]
        assert 0.1 < max(r) < 0.8
    assert planted.loc["methylation", "feature"] == f"{planted.loc['expression', 'feature'].iloc[0]}_meth"


def test_truth_names_what_is_there(default) -> None:
    data, truth = default
    per_drug = pd.crosstab(truth["drug"], truth["modality"])
    assert (per_drug == [3, 1, 1]).all().all()
    assert truth["feature"].isin(features(data).columns).all()
    assert (truth["effect"] != 0).all()
    targets = truth.query("modality == 'expression'").groupby("drug")["feature"].agg(", ".join)
    assert (targets == data.drugs["targets"]).all()
    assert (truth.query("modality == 'expression'")["effect"] < 0).any()
    assert (truth.query("modality == 'expression'")["effect"] > 0).any()


def test_drugs_of_one_mechanism_share_their_scaffold_and_no_two_are_alike() -> None:
    data, _ = screen(4, 400, 200, seed=0)
    drugs = data.drugs
    assert drugs["structure"].is_unique
    assert drugs["moa"].nunique() == len(SCAFFOLDS)
    again, coverage = standardise(drugs)
    pd.testing.assert_frame_equal(again, drugs)
    assert coverage.empty


def test_every_drug_that_can_be_made_is_another() -> None:
    data, _ = screen(2, MOST_DRUGS, 200)
    assert data.drugs["structure"].nunique() == MOST_DRUGS


def test_same_seed_same_screen_other_seed_another() -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    (one, truth), (same, same_truth), (other, _) = (screen(40, 8, 60, replicates=0.2, seed=s) for s in (5, 5, 6))
    pd.testing.assert_frame_equal(one.pairs, same.pairs)
    pd.testing.assert_frame_equal(one.drugs, same.drugs)
    pd.testing.assert_frame_equal(features(one), features(same))
    pd.testing.assert_frame_equal(truth, same_truth)
    assert not np.array_equal(one.cells.X, other.cells.X)
    assert not np.array_equal(one.response[:20], other.response[:20])
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_replicates_differ_by_the_noise_only() -> None:
    data, _ = screen(150, 20, 60, replicates=0.3, noise=0.4, missing=0.2)
    counts = data.pairs["replicate"].value_counts()
    assert counts[1] == 0.8 * 150 * 20
    assert counts[2] == pytest.approx(0.3 * counts[1], abs=1)
    wide = data.pairs.pivot_table("response", index=["cell", "drug"], columns="replicate").dropna()
    assert (wide[1] - wide[2]).std() == pytest.approx(0.4 * np.sqrt(2), rel=0.1)
    assert "replicate" not in screen(20, 4, 40)[0].pairs


def test_missing_modalities_are_whole_rows_and_leave_the_response_alone() -> None:
    whole, _ = screen(100, 8, 60, seed=4)
    data, _ = screen(100, 8, 60, missing_modalities=0.4, seed=4)
    measured = {name: data.measured(name) for name in ("expression", "mutation", "methylation")}
    assert (~measured["mutation"]).sum() == (~measured["methylation"]).sum() == 40
    assert 0 < (~measured["expression"]).sum() <= 40
    assert np.logical_or.reduce(list(measured.values())).all()
    assert (
        not features(data)[measured["expression"] & measured["mutation"] & measured["methylation"]].isna().any().any()
    )
    pd.testing.assert_frame_equal(data.pairs, whole.pairs)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_cells": 1}, "at least 2 cells"),
        ({"n_drugs": MOST_DRUGS + 1}, "at most 2,352 drugs"),
        ({"n_genes": 10}, "21 genes"),
        ({"n_drivers": 0}, "1 driver"),
        ({"missing": 10}, "fraction, not a percentage"),
        ({"missing_modalities": -0.1}, "missing_modalities=-0.1"),
    ],
)
def test_what_cannot_be_simulated_is_refused(sizes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        screen(**sizes)


def test_patients_respond_by_the_same_drivers_in_shifted_expression() -> None:
    data, truth = screen(seed=1)
    people, labels = patients(data, truth, n=400, shift=1.0, seed=0)
    assert list(people.var_names) == list(data.cells.var_names)
    assert labels["cell"].tolist() == people.obs_names.tolist()
    assert labels.groupby("drug")["label"].mean().tolist() == pytest.approx([0.4] * 4)
    cells = data.cells.to_df()
    shift = (people.to_df().mean() - cells.mean()) / cells.std()
    assert 0.8 < shift.std() < 1.2
    genes = truth[truth["modality"] == "expression"]
    for drug, rows in labels.groupby("drug"):
        planted = genes[genes["drug"] == drug]
        X = people.to_df().loc[rows["cell"], planted["feature"]]
        score = ((X - X.mean()) / X.std()).to_numpy() @ planted["effect"].to_numpy()
        responders = rows["label"].to_numpy() == 1
        # A lower ln IC50 is a better response.
        assert score[responders].mean() < score[~responders].mean() - 0.5


def test_patients_are_reproducible_and_refuse_unknown_drugs() -> None:
    data, truth = screen(40, 8, 60)
    one, labels = patients(data, truth, n=24, drugs=["D0001", "D0003"], seed=3)
    same, same_labels = patients(data, truth, n=24, drugs=["D0001", "D0003"], seed=3)
    np.testing.assert_array_equal(one.X, same.X)
    pd.testing.assert_frame_equal(labels, same_labels)
    assert labels.columns.tolist() == ["cell", "drug", "cohort", "label"]
    assert not np.array_equal(one.X, patients(data, truth, n=24, seed=4)[0].X)
    with pytest.raises(ValueError, match="nonsense"):
        patients(data, truth, drugs=["nonsense"])
    with pytest.raises(ValueError, match="4 patients"):
        patients(data, truth, n=7, drugs=["D0001", "D0002"])
