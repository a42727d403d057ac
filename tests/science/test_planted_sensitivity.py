"""A planted sensitive programme is found in cells of another domain, with an honest probability."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.evaluate.single_cell import single_cell
from galenic.models.scatd.model import ScATD
from galenic.train import Training

BRIEF = Training(lr=1e-3, max_epochs=5, batch_size=64, patience=0, monitor="none")
HOW = {"response": "ln_ic50", "line": "line"}


def fitted(**sim: Any) -> tuple[ScATD, AnnData, pd.DataFrame]:
    bulk, cells = bulk_and_cells(**sim)
    model = ScATD(training=BRIEF, pretraining=BRIEF, n_folds=3).fit(bulk, target=cells, **HOW)
    return model, cells, model.predict(cells)


def scores(cells: AnnData, table: pd.DataFrame) -> pd.Series:
    return single_cell(table.assign(label=cells.obs["label"])).set_index("metric")["value"]


@pytest.mark.parametrize(
    "sim",
    [
        {"shift": 0.5},
        {"shift": 1.0, "dropout": 0.4},
        {"shift": 0.5, "sensitive_share": 0.15},
        {"shift": 0.5, "bulk_share": 0.2},
        {"shift": 0.5, "confounding": 0.6, "repeated": 0.3},
    ],
    ids=["shift", "drop-out", "few sensitive cells", "few sensitive lines", "two platforms"],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_planted_cells_are_found_and_probabilities_are_calibrated(sim: dict[str, Any], seed: int) -> None:
    _, cells, table = fitted(**sim, seed=seed)
    found = scores(cells, table)
    assert found["auroc"] >= 0.9
    assert found["ece"] <= 0.05
    assert table["abstain"].mean() < 0.1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nothing_planted_is_abstained_from(seed: int) -> None:
    _, _, table = fitted(strength=0.0, seed=seed)
    assert table["abstain"].all()


def test_deletion_of_the_planted_genes_drops_the_score() -> None:
    """Where the drivers of the cells that are told sensitive become those of an average cell, they are no more."""
    model, cells, table = fitted(shift=0.5, seed=0)
    drivers = set(cells.uns["truth"]["drivers"])
    x = model.features_of(cells)
    logit = model.function()
    import torch

    def mean(values: np.ndarray) -> float:
        sensitive = table["label"].to_numpy(int) == 1
        with torch.no_grad():
            return float(logit(torch.from_numpy(values[sensitive]).float()).mean())

    planted = np.array([name in drivers for name in model.spec_["features"]])
    others = np.flatnonzero(~planted)[: planted.sum()]
    without, control = x.copy(), x.copy()
    without[:, planted] = 0.0
    control[:, others] = 0.0
    drop = mean(x) - mean(without)
    assert drop > 0.8 * (mean(x) - mean(np.zeros_like(x)))
    assert drop > 5 * abs(mean(x) - mean(control))
