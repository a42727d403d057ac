"""The floors of models of cells: loops, closed forms against refits, and what each is for."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.evaluate import auroc
from galenic.models.cells import cell_model
from galenic.models.cells.boosting import CellBoosting
from galenic.models.cells.cell_model import best_threshold, platt, sigmoid, standardised
from galenic.models.cells.linear import PENALTIES, AlignedLogistic, CellLogistic, CellRidge, ridge
from galenic.models.cells.simple import CellCentroid, CellPrior, CellSignature
from galenic.models.cells.source import read_source

Rows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def rows(rng: np.random.Generator) -> Rows:
    """40 rows of 12 features, labels, responses and weights."""
    x = rng.normal(size=(40, 12))
    response = -x[:, 0] + 0.5 * x[:, 1] + 0.3 * rng.normal(size=40)
    return x, (response < np.median(response)).astype(np.intp), response, rng.uniform(0.5, 2.0, size=40)


def refitted(x: np.ndarray, t: np.ndarray, weight: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Weighted ridge regression by its normal equations, intercept and all."""
    design = np.column_stack([x, np.ones(len(x))])
    shrink = penalty * np.diag([*np.ones(x.shape[1]), 0.0])
    solved = np.linalg.solve(design.T @ (weight[:, None] * design) + shrink, design.T @ (weight * t))
    return solved[:-1], solved[-1]


@pytest.mark.parametrize("n_features", [4, 12, 60])
def test_the_penalty_of_ridge_is_the_best_of_leaving_each_row_out(rng: np.random.Generator, n_features: int) -> None:
    x, weight = rng.normal(size=(25, n_features)), rng.uniform(0.5, 2.0, size=25)
    t = x[:, 0] + rng.normal(size=25)
    centred = np.sqrt(weight)[:, None] * (x - weight @ x / weight.sum())
    scale = (np.linalg.svd(centred, compute_uv=False) ** 2).mean()
    errors = []
    for penalty in PENALTIES * scale:
        error = 0.0
        for i in range(25):
            kept = np.arange(25) != i
            coef, intercept = refitted(x[kept], t[kept], weight[kept], penalty)
            error += weight[i] * (t[i] - x[i] @ coef - intercept) ** 2
        errors.append(error)
    # Leaving one out moves the centre; with the intercept unshrunk the closed form is exact all the same.
    expected = refitted(x, t, weight, PENALTIES[int(np.argmin(errors))] * scale)
    coef, intercept = ridge(x, t, weight)
    np.testing.assert_allclose(coef, expected[0], atol=1e-8)
    assert intercept == pytest.approx(expected[1], abs=1e-8)


def test_ridge_scores_are_minus_the_predicted_response(rows: Rows) -> None:
    x, y, response, weight = rows
    model = CellRidge()
    coef, intercept = ridge(x, response, weight)
    scores = model._scores(model._learn(x, y, response, weight, 0), x)
    np.testing.assert_allclose(scores, -(x @ coef + intercept))
    assert np.corrcoef(scores, response)[0, 1] < -0.9


def test_ridge_of_noise_says_nothing(rng: np.random.Generator) -> None:
    coef, _ = ridge(rng.normal(size=(60, 200)), rng.normal(size=60), np.ones(60))
    assert np.linalg.norm(coef) < 0.1


@pytest.mark.parametrize("n_features", [5, 300])
def test_logistic_regression_is_that_of_the_library_also_with_more_features_than_rows(
    rng: np.random.Generator, n_features: int
) -> None:
    x, weight = rng.normal(size=(50, n_features)), rng.uniform(0.5, 2.0, size=50)
    y = (x[:, 0] + rng.normal(size=50) > 0).astype(np.intp)
    model = CellLogistic(inverse_penalty=0.3)
    learned = model._learn(x, y, 1.0 - y, weight, 0)
    fitted = LogisticRegression(C=0.3, tol=1e-10, max_iter=10_000).fit(x, y, sample_weight=weight)
    np.testing.assert_allclose(learned["coef"], fitted.coef_[0], atol=1e-4)
    np.testing.assert_allclose(model._scores(learned, x), fitted.decision_function(x), atol=1e-3)


def test_nearest_centroid_by_a_loop(rows: Rows) -> None:
    x, y, response, weight = rows
    model = CellCentroid()
    scores = model._scores(model._learn(x, y, response, weight, 0), x)
    means = []
    for one in (0, 1):
        chosen = [i for i in range(40) if y[i] == one]
        means.append(sum(weight[i] * x[i] for i in chosen) / sum(weight[i] for i in chosen))
    for i in range(40):
        expected = ((x[i] - means[0]) ** 2).sum() - ((x[i] - means[1]) ** 2).sum()
        assert scores[i] == pytest.approx(expected / 12)


def test_signature_by_a_loop(rows: Rows) -> None:
    x, y, response, _ = rows
    x[:, 7] = 3.0  # never varies
    model = CellSignature(n_genes=3)
    found = [np.corrcoef(x[:, j], response)[0, 1] if j != 7 else 0.0 for j in range(12)]
    order = np.argsort(found)
    scores = model._scores(model._learn(x, y, response, np.ones(40), 0), x)
    np.testing.assert_allclose(scores, x[:, order[:3]].mean(axis=1) - x[:, order[-3:]].mean(axis=1))


def test_signature_of_labels_ranks_genes_as_the_t_statistic_does(rows: Rows) -> None:
    from scipy.stats import ttest_ind

    x, y, _, _ = rows
    learned = CellSignature(n_genes=2)._learn(x, y, 1.0 - y, np.ones(40), 0)
    t = ttest_ind(x[y == 1], x[y == 0]).statistic
    assert set(np.flatnonzero(learned["coef"] > 0)) == set(np.argsort(-t)[:2])
    assert set(np.flatnonzero(learned["coef"] < 0)) == set(np.argsort(t)[:2])


def test_a_signature_takes_half_of_the_genes_at_most(rows: Rows) -> None:
    x, y, response, weight = rows
    learned = CellSignature(n_genes=50)._learn(x, y, response, weight, 0)
    assert (learned["coef"] != 0).sum() == 12
    np.testing.assert_allclose(learned["coef"].sum(), 0, atol=1e-12)


@pytest.mark.parametrize("n", [2, 6, 300])
def test_boosted_trees_say_what_the_library_says_also_of_a_few_rows(rng: np.random.Generator, n: int) -> None:
    x = rng.normal(size=(n, 6))
    y = (x[:, 0] > np.median(x[:, 0])).astype(np.intp)
    model = CellBoosting(n_trees=20)
    scores = model._scores(model._learn(x, y, 1.0 - y, np.ones(n), 0), x)
    leaf = max(1, min(20, n // 10))
    fitted = HistGradientBoostingClassifier(
        max_iter=20,
        max_leaf_nodes=8,
        min_samples_leaf=leaf,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=0,
    ).fit(x, y)
    np.testing.assert_allclose(scores, fitted.decision_function(x), atol=1e-10)
    assert auroc(y, scores) == 1.0


def test_the_prior_is_chance() -> None:
    bulk, cells = bulk_and_cells(n_genes=40, n_lines=60, n_cells=60, bulk_share=0.2)
    model = CellPrior().fit(bulk, target=cells)
    table = model.predict(cells)
    assert len(set(table["probability"])) == 1
    np.testing.assert_allclose(table["probability"], bulk.obs["label"].mean(), atol=1e-3)
    assert auroc(cells.obs["label"], table["probability"]) == 0.5
    alone = CellPrior().fit(None, target=cells, few=cells.obs["label"].iloc[:20])
    assert (alone.predict(cells)["probability"] == 0.5).all()


def test_nothing_planted_gives_chance() -> None:
    scores = []
    for seed in range(6):
        bulk, cells = bulk_and_cells(n_genes=60, n_lines=60, n_cells=200, strength=0.0, n_clusters=2, seed=seed)
        cells.obs["label"] = np.random.default_rng(seed).permutation(cells.obs["label"])
        table = AlignedLogistic().fit(bulk, target=cells).predict(cells)
        scores.append(auroc(cells.obs["label"], table["probability"]))
    assert abs(np.mean(scores) - 0.5) < 0.06


def test_alignment_helps_where_domains_differ_and_is_kept_apart_from_the_lines() -> None:
    gains = []
    for seed in range(4):
        bulk, cells = bulk_and_cells(n_genes=100, n_lines=100, n_cells=200, shift=2.0, seed=seed)
        scores = [
            auroc(cells.obs["label"], model.fit(bulk, target=cells).predict(cells)["probability"])
            for model in (CellLogistic(inverse_penalty=0.01), AlignedLogistic(inverse_penalty=0.01))
        ]
        gains.append(scores[1] - scores[0])
    assert np.mean(gains) > 0


def test_cells_as_they_are_are_standardised_by_the_lines_also_where_a_few_have_labels() -> None:
    bulk, cells = bulk_and_cells(n_genes=40, n_lines=60, n_cells=60, shift=1.0)
    few = cells.obs["label"].iloc[:10]
    model = CellCentroid(align="none").fit(bulk, target=cells, few=few)
    mean, sd = model.arrays_["source/mean"], model.arrays_["source/sd"]
    given = standardised(cells[few.index].to_df()[model.spec_["features"]].to_numpy(np.float64), mean, sd)
    assert not np.allclose(mean, model.arrays_["target/mean"])
    # Of a centroid the part of each cell can be told: half of the weight of its class comes from the cells.
    lines = CellCentroid(align="none").fit(bulk, target=cells)
    y = few.to_numpy()
    direction = given[y == 1].mean(axis=0) - given[y == 0].mean(axis=0)
    shift = model.arrays_["member 0/coef"] - lines.arrays_["member 0/coef"]
    toward = direction / 20 - lines.arrays_["member 0/coef"]
    assert np.corrcoef(shift, toward)[0, 1] > 0.95


def test_scores_of_left_out_lines_are_judged_and_calibrated() -> None:
    bulk, cells = bulk_and_cells(n_genes=60, n_lines=150, n_cells=60, noise=2.0, seed=3)
    model = AlignedLogistic(inverse_penalty=0.01).fit(bulk, target=cells)
    table = model.source_
    assert sorted(table.index) == sorted(bulk.obs_names)
    assert model.spec_["source"]["auroc"] == pytest.approx(auroc(table["label"], table["probability"]))
    assert table["probability"].mean() == pytest.approx(table["label"].mean(), abs=0.02)
    assert model.spec_["source"]["ece"] < 0.15


def test_confounded_labels_are_told() -> None:
    bulk, cells = bulk_and_cells(n_genes=60, n_lines=150, n_cells=60, confounding=0.8)
    with pytest.warns(UserWarning, match="labels should not depend on the platform; it alone tells them"):
        model = AlignedLogistic().fit(bulk, target=cells, platform="platform")
    found = model.spec_["source"]
    assert found["platform_alone"] > 0.8
    assert found["auroc"] > found["auroc_within"]


def test_calibration_and_threshold_by_loops(rng: np.random.Generator) -> None:
    y = rng.integers(2, size=80)
    scores = 3 * y + rng.normal(size=80) * 2 - 100
    slope, intercept = platt(scores, y)
    p = sigmoid(slope * scores + intercept)
    assert slope > 0
    assert p.mean() == pytest.approx(y.mean(), abs=1e-3)
    assert platt(-scores, y)[0] == 0, "a score that points the wrong way is not turned round"
    assert sigmoid(platt(-scores, y)[1]) == pytest.approx(y.mean())
    best = best_threshold(p, y)

    def mcc(cut: float) -> float:
        return float(np.corrcoef(p >= cut, y)[0, 1]) if 0 < (p >= cut).sum() < 80 else -1.0

    assert mcc(best) == pytest.approx(max(mcc(cut) for cut in np.unique(p)))
    assert best_threshold(np.full(5, 0.3), np.array([0, 1, 0, 1, 0])) == 0.5
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]


def test_folds_share_no_line_and_hold_both_classes() -> None:
    bulk, cells = bulk_and_cells(n_genes=40, n_lines=60, n_cells=60, repeated=0.5)
    how = {"use_rep": None, "label": "label", "response": None, "line": "line", "platform": None}
    source = read_source(bulk, cells, **how)
    folds = list(source.folds(5, 0))
    assert np.sort(np.concatenate([test for _, test in folds])).tolist() == list(range(90))
    for train, test in folds:
        assert not set(source.line[train]) & set(source.line[test])
        assert set(source.y[test]) == {0, 1}
    again = list(source.folds(5, 1))
    assert any(set(a[1]) != set(b[1]) for a, b in zip(folds, again, strict=True))
    with pytest.raises(ValueError, match="40 folds need 40 sensitive and 40 resistant cell lines or more"):
        list(source.folds(40, 0))


def test_cells_of_another_domain_are_told_and_few_cells_too() -> None:
    bulk, cells = bulk_and_cells(n_genes=60, n_lines=60, n_cells=100)
    _, others = bulk_and_cells(n_genes=60, n_lines=60, n_cells=100, shift=3.0)
    model = CellCentroid().fit(bulk, target=cells)
    with pytest.warns(UserWarning, match="cells should be of the domain of the target of fitting"):
        model.predict(others)
    with pytest.warns(UserWarning, match="need 50 cells or more to be trusted; received 10"):
        model.predict(cells[:10].copy(), statistics="own")
    free = CellCentroid().fit(bulk)
    with pytest.raises(ValueError, match='statistics="stored" needs a target at fitting'):
        free.predict(cells, statistics="stored")
    with pytest.raises(ValueError, match='should be "stored", "own" or None; received \'mine\''):
        free.predict(cells, statistics="mine")
    assert auroc(cells.obs["label"], free.predict(cells)["probability"]) > 0.8


def test_cells_are_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    bulk, cells = bulk_and_cells(n_genes=60, n_lines=60, n_cells=100)
    model = CellRidge().fit(bulk, target=cells)
    expected = model.predict(cells)
    monkeypatch.setattr(cell_model.CellMatrix.blocks, "__defaults__", (7,))
    pd.testing.assert_frame_equal(model.predict(cells), expected)


@pytest.mark.real
def test_ridge_on_gdsc1_finds_the_resistant_a375_cells(shared: Path) -> None:
    """Ridge regression of 0.78 is what any transfer from these lines to these cells has to beat."""
    import galenic
    from galenic.data.bulk import labelled_bulk

    data = galenic.read.response_data(
        shared / "gdsc" / "response_gdsc1_v17_lnic50.csv.gz",
        expression=shared / "gdsc" / "expression_array_z_656genes.csv.gz",
        drugs=shared / "gdsc" / "drugs.csv.gz",
        cells=shared / "gdsc" / "cell_lines.csv.gz",
    )
    bulk = labelled_bulk(data, "PLX-4720")
    cells = anndata.read_h5ad(shared / "singlecell" / "a375_plx4720_scad.h5ad")
    model = CellRidge().fit(bulk, target=cells, line="line", response="response")
    score = auroc(cells.obs["response_PLX4720"], model.predict(cells)["probability"])
    assert 0.72 < score < 0.84
    assert len(model.spec_["features"]) == 121
