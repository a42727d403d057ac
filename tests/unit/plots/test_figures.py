"""Figures by themselves: what they draw of many points, how names stand apart, curves through points."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from galenic.plots.figures.calibration import coverage_by_level
from galenic.plots.figures.cell_genes import contribution_map
from galenic.plots.figures.perturbation import N_NAMES, _spread, code_map, effect_points
from galenic.plots.figures.responses import observed
from galenic.plots.figures.scores import score_dots
from galenic.plots.style import MAX_POINTS

EVIL = "<script>alert(1)</script>"


def test_without_rows_of_all_the_drugs_are_pooled_by_their_cells() -> None:
    table = pd.DataFrame({"group": "drug", "drug": ["a", "b"], "level": 0.9, "coverage": [1.0, 0.5], "n": [30, 10]})
    (row,) = coverage_by_level(table).to_dict("records")
    assert row["coverage"] == pytest.approx((30 + 5) / 40)
    assert row["n"] == 40
    assert np.isnan(row["width"])


def test_of_many_genes_the_changed_ones_are_drawn() -> None:
    n = MAX_POINTS + 500
    genes = pd.DataFrame({"gene": [f"G{i}" for i in range(n)], "measured": np.linspace(0, 1, n), "predicted": 0.0})
    points = [trace for trace in effect_points(genes).data if trace.mode == "markers"]
    assert sum(len(trace.x) for trace in points) == MAX_POINTS
    assert max(points[1].x) == 1
    assert min(points[0].x) > 0


def test_names_at_the_side_do_not_overlap(rng: np.random.Generator) -> None:
    for heights in (np.zeros(10), np.full(10, 0.99), np.sort(rng.uniform(-1, 1, 10)), np.array([0.3])):
        placed = _spread(heights, -1, 1)
        assert (np.diff(placed) >= 0.11 - 1e-9).all()
        assert placed.min() > -1
        assert placed.max() < 1
    assert _spread(np.array([-0.5, 0.5]), -1, 1) == pytest.approx([-0.5, 0.5])


def test_maps_name_few_points_and_colour_contexts() -> None:
    few = pd.DataFrame({"name": ["a", "b", EVIL], "context": ["", "", ""], "x": [0.0, 1, 2], "y": [0.0, 1, 2]})
    (points,) = code_map(few).data
    assert points.mode == "markers+text"
    assert "<" not in points.text[2]
    many = pd.DataFrame({"name": "a", "context": ["c", "d"] * N_NAMES, "x": 0.5, "y": 0.5})
    traces = code_map(many).data
    assert [(trace.name, trace.mode) for trace in traces] == [("c", "markers"), ("d", "markers")]
    assert len({trace.marker.color for trace in traces}) == 2


@pytest.mark.parametrize(("floor", "ceiling"), [(0.5, 0.6), (0.6, 0.5)])
def test_names_of_floor_and_ceiling_turn_away_from_each_other(floor: float, ceiling: float) -> None:
    scores = pd.DataFrame({"model": ["A"], "value": [0.5], "low": [0.4], "high": [0.6]})
    notes = score_dots(scores, set(), "Pearson of effects", floor, ceiling).layout.annotations
    anchors = {note.text: note.xanchor for note in notes}
    lower, upper = ("best floor", "ceiling") if floor < ceiling else ("ceiling", "best floor")
    assert (anchors[lower], anchors[upper]) == ("right", "left")
    assert {note.yanchor for note in notes} == {"bottom"}


def test_the_histogram_counts_every_pair(rng: np.random.Generator) -> None:
    table = pd.DataFrame({"cell": "c", "drug": "d", "response": rng.normal(size=5000)})
    table["prediction"] = table["response"] + rng.normal(size=5000)
    heatmap = observed(table, "ln IC50").data[0]
    assert heatmap.type == "heatmap"
    assert np.sum(heatmap.customdata) == 5000
    assert observed(table.head(100), "ln IC50").data[0].type == "scatter"


def test_heat_map_puts_like_rows_together() -> None:
    rng = np.random.default_rng(0)
    kind = rng.permutation(np.repeat([0, 1], 20))
    wide = pd.DataFrame(rng.normal(size=(40, 4)) * 0.1 + 3 * kind[:, None], index=[str(i) for i in range(40)])
    wide.columns = [f"G{number}" for number in range(4)]
    figure = contribution_map(wide, pd.Series(kind, index=wide.index, dtype=float))
    strip = np.array(figure.data[1].z[0])
    assert np.abs(np.diff(strip)).sum() == 1
