"""Predictions beside controls, as other tools read them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import galenic
from galenic.data.perturbed_cells import with_controls


@pytest.fixture(scope="module")
def cells() -> AnnData:
    adata = galenic.simulate.perturbations(n_contexts=3, n_perturbations=4, n_genes=12, n_cells=6, seed=1)
    adata.obs = adata.obs.drop(columns="control").rename(columns={"cell_type": "cell_line", "perturbation": "drug"})
    adata.obs["drug"] = adata.obs["drug"].replace("control", "DMSO")
    return adata


def test_rows_are_the_controls_of_asked_contexts_and_the_predictions(cells: AnnData) -> None:
    asked = pd.DataFrame({"context": ["type A", "type C"], "perturbation": ["P01", "P02"]})
    predicted = galenic.MeanShift().fit(cells).predict(cells, asked)
    shuffled = cells[:, ::-1].copy()
    shuffled.X = sparse.csr_matrix(shuffled.X)
    both = with_controls(predicted, shuffled)
    assert both.obs.columns.tolist() == ["cell_line", "drug", "is_control"]
    assert both.var_names.equals(predicted.var_names)
    assert set(both.obs.loc[both.obs["is_control"], "drug"]) == {"control"}
    assert set(both.obs["cell_line"]) == {"type A", "type C"}
    np.testing.assert_array_equal(both[~both.obs["is_control"]].X, predicted.X)
    controls = cells[(cells.obs["drug"] == "DMSO") & cells.obs["cell_line"].isin(["type A", "type C"])]
    np.testing.assert_array_equal(both[controls.obs_names].X, controls.X)


def test_it_can_be_read_as_data_again(cells: AnnData) -> None:
    both = with_controls(galenic.MeanShift().fit(cells).predict(cells), cells)
    effects = galenic.MeanShift().fit(both).predict(both).layers["effect"]
    assert np.isfinite(effects).all()


def test_contexts_without_controls_and_missing_genes_are_refused(cells: AnnData) -> None:
    predicted = galenic.MeanShift().fit(cells).predict(cells)
    with pytest.raises(ValueError, match="contexts without controls: 'type B'"):
        with_controls(predicted, cells[cells.obs["cell_line"] != "type B"].copy())
    with pytest.raises(ValueError, match="2 genes missing"):
        with_controls(predicted, cells[:, 2:].copy())


def test_cell_eval_reads_it_and_agrees(cells: AnnData) -> None:
    """On what both measure; only where cell-eval is installed."""
    types = pytest.importorskip("cell_eval._types")
    metrics = pytest.importorskip("cell_eval.metrics._anndata")
    one = cells[cells.obs["cell_line"] == "type A"].copy()
    predicted = galenic.ContextMeanEffect().fit(cells).predict(one)
    real = one.copy()
    real.obs["drug"] = real.obs["drug"].replace("DMSO", "control")
    pair = types.PerturbationAnndataPair(
        real=real, pred=with_controls(predicted, one), pert_col="drug", control_pert="control"
    )
    truth = np.stack([one[one.obs["drug"] == name].X.mean(axis=0) for name in predicted.obs["perturbation"]])
    control = one[one.obs["drug"] == "DMSO"].X.mean(axis=0)
    ours = galenic.evaluate.perturbation_by_condition(predicted.obs, truth, np.asarray(predicted.X), control)
    ours = ours.set_index("perturbation")
    for name, theirs in (("pearson_delta", metrics.pearson_delta(pair)), ("mae", metrics.mae(pair))):
        np.testing.assert_allclose(ours[name].reindex(list(theirs)), list(theirs.values()), atol=1e-4)
