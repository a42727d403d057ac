"""A fitted ScATD is explained by what it computes: start, networks, members, and only what lines taught."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData

from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.models.scatd.explaining import attribute
from galenic.models.scatd.explanation import explain
from galenic.models.scatd.explanation_tables import explained, forces, top_contributions
from galenic.models.scatd.model import ScATD
from galenic.train import Training

LINES = {"response": "ln_ic50", "line": "line", "platform": "platform"}


@pytest.fixture(scope="module")
def simulated() -> tuple[AnnData, AnnData]:
    return bulk_and_cells(n_genes=60, n_lines=100, n_cells=90, n_drivers=10, seed=5)


def fitted(simulated: tuple[AnnData, AnnData], **fields: object) -> ScATD:
    fast = {"training": Training(max_epochs=8, lr=5e-3, monitor="none"), "pretraining": Training(max_epochs=5),
            "n_latent": 8, "widths": (24,), "n_folds": 3}  # fmt: skip
    return ScATD(**fast | fields).fit(simulated[0], **LINES, target=simulated[1])


@pytest.fixture(scope="module")
def model(simulated: tuple[AnnData, AnnData]) -> ScATD:
    return fitted(simulated)


@pytest.fixture(scope="module")
def networks(simulated: tuple[AnnData, AnnData]) -> ScATD:
    made = fitted(simulated, start="none")
    assert made.spec_["network_weight"] > 0, "or nothing but a start would be explained"
    return made


def test_networks_are_explained_without_a_rest(networks: ScATD, simulated: tuple[AnnData, AnnData]) -> None:
    found = attribute(networks, simulated[1], n_steps=200)
    assert found.uns["attribution"]["largest_gap"] < 0.02
    x = torch.from_numpy(networks.features_of(simulated[1]).astype(np.float32))
    with torch.no_grad():
        members = networks.function().members(x).mean(dim=0).numpy()
    np.testing.assert_allclose(found.obs["prediction"], members, atol=1e-5)


def test_explaining_twice_says_the_same(networks: ScATD, simulated: tuple[AnnData, AnnData]) -> None:
    np.testing.assert_array_equal(attribute(networks, simulated[1]).X, attribute(networks, simulated[1]).X)


def test_labels_of_the_cells_change_nothing(model: ScATD, simulated: tuple[AnnData, AnnData]) -> None:
    cells = simulated[1].copy()
    cells.obs["label"] = np.random.default_rng(0).permutation(cells.obs["label"])
    first, again = (explain(model, it, bulk=simulated[0], **LINES) for it in (simulated[1], cells))
    pd.testing.assert_frame_equal(first.genes, again.genes)
    pd.testing.assert_frame_equal(first.curves, again.curves)


def test_the_linear_part_is_its_weights(model: ScATD, simulated: tuple[AnnData, AnnData]) -> None:
    if model.spec_["network_weight"]:
        pytest.skip("networks count in this fit")
    found = attribute(model, simulated[1])
    weight = model.arrays_["start/weights"].mean(axis=0)
    x = model.features_of(simulated[1])
    np.testing.assert_allclose(found.X, (x - x.mean(axis=0)) * weight, atol=1e-4)


def test_what_is_told_of_an_explanation(model: ScATD, simulated: tuple[AnnData, AnnData]) -> None:
    bulk, cells = simulated
    found = explain(model, cells, bulk=bulk, **LINES, truth=cells.obs["label"].to_numpy(float), top=15)
    assert found.gene_sets is None
    assert found.genes["q_value"].between(0, 1).all()
    assert found.agreement["among"].tolist() == ["members", "lines", "cells", "backgrounds"]
    told = found.agreement.set_index("among")
    assert (told["overlap"] > told["chance"]).all()
    assert told["chance"].iloc[0] == 15 / 60
    drivers = found.genes["gene"].isin(cells.uns["truth"]["drivers"])
    assert found.genes.loc[drivers, "rank"].mean() < 15
    without = explain(model, cells, top=15)
    assert "q_value" not in without.genes
    assert without.genes.set_index("gene")["stability"].corr(found.genes.set_index("gene")["stability"]) > 0.9


def test_tables_hold_what_was_attributed(model: ScATD, simulated: tuple[AnnData, AnnData]) -> None:
    found, predicted = explain(model, simulated[1]), model.predict(simulated[1])
    table = explained(found.attributed, predicted)
    assert table["cell"].tolist() == simulated[1].obs_names.tolist()
    np.testing.assert_array_equal(table["probability"], predicted["probability"])
    long = top_contributions(found.attributed, found.genes, n_genes=5, n_cells=7)
    assert len(long) == 35
    assert long["gene"].unique().tolist() == found.genes["gene"].head(5).tolist()
    predicted["abstain"] = np.arange(len(predicted)) == 4
    single = forces(found.attributed, predicted)
    assert single["why"].unique().tolist() == ["the most sensitive", "the median", "the most resistant", "abstained"]
    assert single.loc[single["why"] == "abstained", "cell"].unique().tolist() == [simulated[1].obs_names[4]]


def test_an_embedding_is_explained_in_its_own_numbers(simulated: tuple[AnnData, AnnData]) -> None:
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(60, 12))
    both = [it.copy() for it in simulated]
    for it in both:
        it.obsm["X_code"] = np.asarray(it.X @ axes, dtype=np.float32)
    made = fitted((both[0], both[1]), use_rep="X_code")
    found = attribute(made, both[1])
    assert found.shape == (90, 12)
    assert found.obs["gap"].abs().max() < 1e-4


def test_lines_without_the_features_are_refused(model: ScATD, simulated: tuple[AnnData, AnnData]) -> None:
    with pytest.raises(ValueError, match=r"should have the 60 features of the model; 10 are missing"):
        explain(model, simulated[1], bulk=simulated[0][:, :50].copy(), **LINES)


def test_a_model_that_says_the_same_of_all_is_refused(model: ScATD, simulated: tuple[AnnData, AnnData]) -> None:
    class Same:
        spec_, arrays_ = model.spec_, model.arrays_

        def function(self, device: str = "cpu") -> object:
            return lambda x: x[:, 0] * 0 + 0.3

        def features_of(self, cells: AnnData) -> np.ndarray:
            return model.features_of(cells)

    with pytest.raises(ValueError, match=r"the model says 0\.3 of all 90"):
        explain(Same(), simulated[1])


def test_a_few_labels_are_not_explained_by_lines(model: ScATD, simulated: tuple[AnnData, AnnData]) -> None:
    few = simulated[1].obs.groupby("label").head(2)["label"]
    with pytest.raises(ValueError, match="answers from 4 labelled cells"):
        attribute(model.with_few(simulated[1], few), simulated[1])
