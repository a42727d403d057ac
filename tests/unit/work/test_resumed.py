"""Sweeps that go on where they were give what an uninterrupted one gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import galenic
from galenic.data.simulate import screen
from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.models.importance import resampled_importance
from galenic.tasks.cells import few_shot, within_target, zero_shot


def one_less(folder: Path) -> None:
    """As if the sweep had been stopped before its last job."""
    sorted(folder.glob("*.npz"))[0].unlink()


@pytest.mark.parametrize("ask", [zero_shot, few_shot, within_target])
def test_answers_of_cells_are_kept(ask: Any, tmp_path: Path) -> None:
    bulk, cells = bulk_and_cells(n_genes=30, n_lines=40, n_cells=60)
    models: Any = {"aligned": galenic.AlignedLogistic(), "centroid": galenic.CellCentroid()}
    data: tuple[Any, ...] = (models, cells) if ask is within_target else (models, bulk, cells)
    how: dict[str, Any] = {"sizes": [2], "repeats": 2} if ask is few_shot else {"seeds": [0, 1]}
    if ask is within_target:
        how["n_folds"] = 2
    expected = ask(*data, "label", **how)
    for _ in range(2):
        pd.testing.assert_frame_equal(ask(*data, "label", parts=tmp_path, **how), expected, check_exact=True)
        one_less(tmp_path)
    cells.obs["label"] = np.roll(cells.obs["label"], 1)
    with pytest.raises(ValueError, match="differ: data and models"):
        ask(*data, "label", parts=tmp_path, **how)


def test_refits_are_kept(tmp_path: Path) -> None:
    data, _ = screen(n_cells=30, n_drugs=3, n_genes=20, seed=0)
    how: dict[str, Any] = {"n_repeats": 2, "n_null": 1}
    weights, null, index, drugs = resampled_importance(galenic.Ridge(), data, **how)
    for _ in range(2):
        again = resampled_importance(galenic.Ridge(), data, parts=tmp_path, **how)
        np.testing.assert_array_equal(again[0], weights)
        np.testing.assert_array_equal(again[1], null)
        assert (list(again[2]), again[3]) == (list(index), drugs)
        one_less(tmp_path)
    with pytest.raises(ValueError, match="differ: model"):
        resampled_importance(galenic.Ridge(inputs=("expression",)), data, parts=tmp_path, **how)
