"""Whether lines are told better than by chance, where platforms tell the labels; and cells on another scale."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import stats

from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.evaluate.single_cell import overview_within
from galenic.models.cells.cell_model import _by_chance
from galenic.models.cells.simple import CellCentroid


def within(y: np.ndarray, said: np.ndarray, platform: np.ndarray) -> float:
    table = pd.DataFrame({"label": y, "probability": said, "platform": platform})
    found = overview_within(table, "platform", metrics=["auroc"]).set_index("group")["value"]
    return float(found["within_platform"])


def test_one_platform_is_the_rank_sum_test(rng: np.random.Generator) -> None:
    y = np.repeat([0, 1], [30, 20])
    said = (rng.random(50) + 0.3 * y) / 2
    ranked = within(y, said, np.zeros(50, dtype=str))
    expected = stats.mannwhitneyu(said[y == 1], said[y == 0], alternative="greater", use_continuity=False).pvalue
    assert _by_chance(ranked, y) == pytest.approx(expected, rel=1e-2)
    assert _by_chance(ranked, y, np.full(50, "a")) == _by_chance(ranked, y)


def test_a_platform_that_tells_the_labels_is_no_skill_and_skill_within_it_is(rng: np.random.Generator) -> None:
    platform = np.repeat(["array", "sequenced"], 100)
    share = np.where(platform == "array", 0.1, 0.9)
    values = []
    for _ in range(200):
        y = (rng.random(200) < share).astype(int)
        values.append(_by_chance(within(y, rng.random(200), platform), y, platform))
    assert stats.kstest(values, "uniform").pvalue > 0.001
    y = (rng.random(200) < share).astype(int)
    # Told over all lines by the platform alone, with a score that says nothing inside of it.
    said = share + 0.01 * rng.permutation(200) / 200
    table = pd.DataFrame({"label": y, "probability": said, "platform": platform})
    ranked = overview_within(table, "platform", metrics=["auroc"]).set_index("group")["value"]
    assert _by_chance(float(ranked["all"]), y) < 1e-6
    assert _by_chance(float(ranked["within_platform"]), y, platform) > 0.001
    better = (y + rng.random(200)) / 2
    assert _by_chance(within(y, better, platform), y, platform) < 1e-6


def test_where_every_platform_has_one_class_nothing_is_known() -> None:
    y = np.repeat([0, 1], 10)
    assert _by_chance(0.5, y, np.repeat(["a", "b"], 10)) == 1.0


def test_scaled_cells_and_counts_are_not_read_by_one_scale() -> None:
    bulk, cells = bulk_and_cells(n_genes=40, n_lines=60, n_cells=80, n_drivers=10, seed=0)
    scaled = AnnData(stats.zscore(np.asarray(cells.X), axis=0), obs=cells.obs.copy(), var=cells.var.copy())
    for fitted, other in ((scaled, cells), (cells, scaled)):
        model = CellCentroid().fit(bulk, target=fitted)
        with pytest.warns(UserWarning, match=r"should be on the scale of the target.*--statistics own"):
            model.predict(other)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.predict(fitted)
            model.predict(other, statistics="own")
