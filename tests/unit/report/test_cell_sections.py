"""The sections on cells count right, say plainly what is wrong, and hold nothing that was not in the tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from galenic.evaluate.single_cell import single_cell
from galenic.plots.figures.cell_genes import force, partner
from galenic.plots.figures.cells import few_shot_curves, probability_histogram, probability_map
from galenic.plots.figures.smoothing import local_linear
from galenic.plots.palette import RESISTANT, SENSITIVE
from galenic.report import Run, start, write_report
from galenic.report.blocks import Cell, Figures, Section, Table, Text
from galenic.report.cells import calls, drug_ranking, maps, threshold_of
from galenic.report.cells_genes import faithful, genes, sets
from galenic.report.cells_scores import bins_of, cell_calibration, cell_scores, cell_shift, few_shot, scored, source
from galenic.report.cells_single import by_value, forces
from galenic.report.sections import biomarkers, glossary, patients

EVIL = '<script>alert("1")</script>'
N = 120


def cells(*, wrong: bool = False, abstained: int = 12) -> pd.DataFrame:
    """Half sensitive; a model that is right of nearly all, or wrong of them."""
    rng = np.random.default_rng(0)
    truth = np.arange(N) % 2
    probability = np.clip(0.2 + 0.6 * truth + 0.15 * rng.normal(size=N), 0.01, 0.99)
    probability = 1 - probability if wrong else probability
    table = pd.DataFrame({"cell": [f"CELL{number}" for number in range(N)], "probability": probability})
    table["abstain"] = np.arange(N) < abstained
    table["label"] = (probability >= 0.4).astype(int)
    table["x"], table["y"] = rng.normal(size=(2, N))
    table["cluster"], table["truth"] = np.arange(N) % 3, truth
    table.loc[0, "cell"] = EVIL
    return table


def tables(**how: Any) -> dict[str, pd.DataFrame]:
    found, rng = cells(**how), np.random.default_rng(1)
    said = {
        name: np.clip(0.5 + size * (found["truth"] - 0.5) + 0.3 * rng.normal(size=N), 0, 1)
        for name, size in {"CellCentroid": 0.4, "CellRidge": 0.1, "Ceiling": 2.0}.items()
    }
    floors = pd.concat([found[["cell"]].assign(floor=name, probability=value) for name, value in said.items()])
    lines = pd.DataFrame({"line": [f"L{i}" for i in range(60)], "label": np.arange(60) % 2, "platform": "array"})
    lines["probability"] = np.clip(0.3 + 0.4 * lines["label"] + 0.2 * rng.normal(size=60), 0, 1)
    groups = {"all": 0.9, "within_platform": 0.7, "platform_alone": 0.85}
    scores = pd.DataFrame([(group, "auroc", value, np.nan, np.nan, 60) for group, value in groups.items()],
                          columns=["group", "metric", "value", "low", "high", "n"])  # fmt: skip
    few = pd.DataFrame(
        [(name, n, seed, "auroc", 0.5 + 0.03 * n * up + 0.01 * seed)
         for name, up in (("ScATD", 1), ("CellRidge", 0.5)) for n in (1, 3, 10) for seed in range(4)],
        columns=["method", "n_per_class", "seed", "metric", "value"],
    )  # fmt: skip
    shift = pd.DataFrame({"feature": [f"G{i}" for i in range(50)], "before": 2.0, "after": np.arange(50) / 50})
    summary = pd.DataFrame(
        {"when": ["before", "after"], "measure": "mmd2", "value": [0.5, 0.1], "p_value": [0.01, 0.2]}
    )
    return {"cells": found, "floors": floors, "source": lines, "source_scores": scores, "few_shot": few, "shift": shift,
            "shift_summary": summary}  # fmt: skip


def explained() -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(2)
    names = [f"G{number}" for number in range(40)]
    table = pd.DataFrame({"drug": "x", "rank": np.arange(1, 41), "gene": names, "importance": 1 / np.arange(1, 41)})
    table["weight"] = np.where(np.arange(40) % 2, -1.0, 1.0) * table["importance"]
    table["toward"] = np.where(table["weight"] > 0, "sensitive", "resistant")
    table["stability"], table["q_value"] = 0.9, np.where(table["rank"] <= 3, 0.01, 0.8)
    table["rank_low"], table["rank_high"] = table["rank"], table["rank"] + 2
    ids = [f"CELL{number}" for number in range(30)]
    value = rng.normal(size=(30, 5))
    parts = value * [1.0, -1.0, 1.0, 1.0, 1.0]
    parts[:, 2] *= 1 + value[:, 4]
    long = pd.DataFrame({"cell": np.repeat(ids, 5), "gene": np.tile(names[:5], 30), "contribution": parts.ravel(),
                         "value": value.ravel()})  # fmt: skip
    told = pd.DataFrame(
        {"cell": ids, "prediction": parts.sum(axis=1), "baseline": 0.0, "gap": 1e-7, "probability": 0.5}
    )
    one = {"cell": ids[0], "why": "the most sensitive", "prediction": 1.5, "baseline": 0.2, "rest": 0.3}
    forces = pd.DataFrame(
        {"gene": names[:3], "contribution": [1.2, -0.4, 0.2], "value": 1.0, **one, "probability": 0.999}
    )
    curve = pd.DataFrame({"n_features": [0, 20, 40], "share": [0, 0.5, 1], "value": [1, 0.2, 0], "random": [1, 0.5, 0],
                          "low": [1, 0.4, 0], "high": [1, 0.6, 0]}).assign(kind="deletion", score="kept")  # fmt: skip
    areas = pd.DataFrame({"kind": ["deletion"], "score": "kept", "area": 0.35, "random": 0.5, "gain": 0.15,
                          "p_value": 0.048, "n_random": 20})  # fmt: skip
    found = pd.DataFrame({"gene_set": ["cycle", EVIL], "n": [20, 20], "n_top": [9, 1], "p_value": [1e-6, 0.5],
                          "q_value": [2e-6, 0.5], "t": [3.0, 0.1], "q_ulm": [0.01, 0.9]})  # fmt: skip
    alike = pd.DataFrame({"among": ["members"], "n": 5, "spearman": 0.4, "overlap": 0.6, "chance": 0.1, "top": 50})
    return {"biomarkers": table, "contributions": long, "explained": told, "forces": forces, "curves": curve,
            "curve_areas": areas, "gene_sets": found, "importance_agreement": alike}  # fmt: skip


def written(folder: Path, found: dict[str, pd.DataFrame], **fields: object) -> Run:
    with start(folder, verb="fit", command="galenic fit scatd", fields={"model": "ScATD", **fields}) as run:
        for name, table in found.items():
            run.write(name, table)
    return run


def texts(section: Section | None) -> str:
    assert section is not None
    return " ".join(block.text for block in section.blocks if isinstance(block, Text))


def table_of(section: Section | None, number: int = 0) -> Table:
    assert section is not None
    return [block for block in section.blocks if isinstance(block, Table)][number]


def test_calls_are_counted(tmp_path: Path) -> None:
    run = written(tmp_path / "run", tables(), direction={"confidence": 0.997, "needed": 0.95})
    found = calls(run)
    assert "12 (10 %) of 120 cells were not called" in texts(found)
    assert "with a chance above 0.99: halves of the lines agree" in texts(found)
    (tiles,) = [dict(block.items) for block in found.blocks if hasattr(block, "is_list")]
    called = cells().query("not abstain")
    assert tiles["called sensitive"].startswith(f"{int((called['label'] == 1).sum())} (")
    assert tiles["called resistant"].startswith(f"{int((called['label'] == 0).sum())} (")


def test_a_direction_that_is_not_known_is_said(tmp_path: Path) -> None:
    run = written(tmp_path / "run", tables(abstained=100), direction={"confidence": 0.6, "needed": 0.95})
    said = texts(calls(run))
    assert "with a chance of 0.60, less than 0.95" in said
    assert "the wrong way round" in said
    assert "ranking at most" in said


def test_groups_have_their_intervals_below(tmp_path: Path) -> None:
    run = written(tmp_path / "run", tables())
    groups = pd.DataFrame({"group": [0, 1], "n": [10, 1], "probability": [0.5, 2e-6], "share_sensitive": [0.25, 1.0]})
    groups["low"], groups["high"] = [0.4, np.nan], [0.6, np.nan]
    groups["share_low"], groups["share_high"] = [0.1, 0.2], [0.5, 1.0]
    groups.to_csv(run.folder / "summary_cluster.csv", index=False)
    shown = table_of(calls(run))
    assert shown.head == ["group", "cells", "mean P", "called sensitive"]
    first = shown.rows[0]
    assert first[0] == "0"
    assert [(cell.text, cell.note) for cell in first[1:] if isinstance(cell, Cell)] == [
        ("10", ""), ("0.500", "[0.400, 0.600]"), ("0.250", "[0.100, 0.500]")]  # fmt: skip
    assert shown.rows[1][2] == Cell("0.000", "", 2e-6)


@pytest.mark.parametrize(("labels", "expected"), [([0, 0, 1, 1], 0.5), ([0, 1, 1, 1], 0.3), ([1, 0, 1, 0], 0.5)])
def test_the_threshold_is_what_the_calls_show(labels: list[int], expected: float) -> None:
    table = pd.DataFrame({"probability": [0.2, 0.4, 0.6, 0.8], "label": labels})
    assert threshold_of(table) == pytest.approx(expected)


def test_scores_are_those_of_the_library(tmp_path: Path) -> None:
    found = tables()
    shown = scored(found["cells"], found["floors"], "ScATD").set_index(["model", "metric"])["value"]
    own = single_cell(found["cells"], truth="truth", threshold=0.4).set_index("metric")["value"]
    for metric, value in own.items():
        assert shown[("ScATD", metric)] == pytest.approx(value)
    assert {model for model, _ in shown.index} == {
        "ScATD",
        "ScATD, called only",
        "CellCentroid",
        "CellRidge",
        "Ceiling",
    }
    section = cell_scores(written(tmp_path / "run", found))
    assert "against" in texts(section)
    assert "CellCentroid: better than every floor here" in texts(section)
    badges = {row[0].text: row[0].badge for row in table_of(section).rows if isinstance(row[0], Cell)}
    assert badges["Ceiling"] == "ceiling"
    assert badges["CellRidge"] == "floor"


def test_a_wrong_direction_and_no_skill_are_said(tmp_path: Path) -> None:
    assert "the direction is wrong" in texts(cell_scores(written(tmp_path / "a", tables(wrong=True))))
    found = tables()
    found["cells"]["probability"] = np.random.default_rng(3).random(N)
    assert "no better than a coin" in texts(cell_scores(written(tmp_path / "b", found)))
    assert cell_scores(written(tmp_path / "c", {"cells": found["cells"].drop(columns="truth")})) is None


def test_a_platform_that_tells_the_labels_is_told(tmp_path: Path) -> None:
    section = source(written(tmp_path / "run", tables()))
    assert "AUROC 0.85: labels depend on it" in texts(section)
    assert table_of(section).head == ["score", "all lines", "within platform", "platform alone"]
    several = pd.concat([tables()["source_scores"].assign(drug=drug) for drug in ("a", "b")])
    section = source(written(tmp_path / "drugs", {"source_scores": several}))
    assert [row[0] for row in table_of(section).rows] == ["a", "b"]


def test_bins_hold_as_many_and_their_intervals_hold_the_share() -> None:
    bins = bins_of(cells().rename(columns={"truth": "truth"}))
    assert len(bins) == 10
    assert set(bins["n"]) == {N // 10}
    assert ((bins["low"] <= bins["share"]) & (bins["share"] <= bins["high"])).all()
    assert bins["probability"].is_monotonic_increasing


def test_every_section_is_on_the_page_and_markup_is_not(tmp_path: Path) -> None:
    run = written(tmp_path / "run", tables() | explained(), method="ig", background="mean")
    text = write_report(run.folder).read_text(encoding="utf-8")
    ids = re.findall(r'<section id="([^"]+)"', text)
    assert [one for one in ids if one in ("calls", "cell-genes", "maps", "cell-scores", "few-shot", "source", "curves",
            "cell-calibration", "forces", "by-value", "gene-sets", "cell-shift")] == [
        "calls", "cell-genes", "cell-scores", "few-shot", "source", "cell-calibration", "maps", "curves", "forces",
        "by-value", "gene-sets", "cell-shift"]  # fmt: skip
    assert EVIL not in text
    assert "http://" not in text.split("<body>")[1].replace("http://www.w3.org", "")
    assert "P(sensitive)" in str(glossary(run))


def test_sections_of_other_runs_keep_out(tmp_path: Path) -> None:
    run = written(tmp_path / "run", tables() | explained())
    assert biomarkers(run) is None
    assert patients(run) is None
    other = written(tmp_path / "other", {})
    made = (calls, maps, cell_scores, few_shot, source, cell_calibration, cell_shift, genes, faithful, sets, forces,
            by_value, drug_ranking)  # fmt: skip
    assert [make(other) for make in made] == [None] * len(made)


def test_genes_are_told_with_their_evidence(tmp_path: Path) -> None:
    section = genes(written(tmp_path / "run", explained(), method="eg", background="random"))
    said = texts(section)
    assert "3 of 40 genes stand out" in said
    assert "Expected gradients (GradientSHAP)" in said
    rows = table_of(section).rows
    assert rows[0][0] == Cell("1", "1 to 3", 1)
    assert isinstance(rows[1][2], Cell)
    assert rows[0][2].bar == -1.0, "to the left, in blue, where more of it makes sensitive"
    assert rows[1][2].bar == 0.5
    found = explained()
    found["biomarkers"] = found["biomarkers"].drop(columns=["q_value", "stability"])
    assert "Genes have no q-value here" in texts(genes(written(tmp_path / "none", found)))
    found["biomarkers"] = explained()["biomarkers"].assign(q_value=0.5)
    assert "No gene stands out" in texts(genes(written(tmp_path / "weak", found)))


def test_a_large_gap_is_a_warning(tmp_path: Path) -> None:
    found = explained()
    found["explained"]["gap"] = 1.0
    assert "ask for more steps or draws" in texts(genes(written(tmp_path / "run", found)))


def test_curves_and_gene_sets_in_words(tmp_path: Path) -> None:
    run = written(tmp_path / "run", explained())
    assert "is left 0.35 against 0.50 of random orders, p 0.048: the model does read these genes" in texts(
        faithful(run)
    )
    assert "1 of 2 gene sets have q ≤ 0.05" in texts(sets(run))
    assert [row[0] for row in table_of(sets(run)).rows] == ["cycle"]


def test_the_gene_that_a_contribution_depends_on_is_found() -> None:
    long = explained()["contributions"]
    wide = {name: long.pivot_table(index="cell", columns="gene", values=name) for name in ("value", "contribution")}
    assert partner(wide, "G2") == "G4"
    assert partner(wide, "G0") is None


def test_straight_lines_are_said_to_be_straight(tmp_path: Path) -> None:
    found = explained()
    assert "A straight line" in texts(by_value(written(tmp_path / "run", found)))
    found["contributions"]["contribution"] = found["contributions"]["value"]
    section = by_value(written(tmp_path / "straight", found))
    assert "networks count for nothing here" in texts(section)
    assert sum(len(block.figures) for block in section.blocks if isinstance(block, Figures)) == 3


def test_forces_meet_at_the_cell(tmp_path: Path) -> None:
    rows = explained()["forces"]
    figure = force(rows, 1.5, 0.2, 0.3)
    ends = [(bar.base[0], bar.base[0] + bar.x[0], bar.marker.color) for bar in figure.data]
    to_the_right = [one for one in ends if one[2] == SENSITIVE]
    to_the_left = [one for one in ends if one[2] == RESISTANT]
    assert max(end for _, end, _ in to_the_right) == pytest.approx(1.5)
    assert min(start for start, _, _ in to_the_left) == pytest.approx(1.5)
    assert sum(end - start for start, end, _ in to_the_right) - sum(e - s for s, e, _ in to_the_left) == pytest.approx(
        1.3
    )
    assert "P(sensitive) above 0.99" in str(forces(written(tmp_path / "run", explained())).blocks)


def test_maps_and_histograms_hold_every_cell() -> None:
    table = cells()
    figure = probability_map(table)
    assert sum(len(trace.x) for trace in figure.data) == N
    assert {trace.name: len(trace.x) for trace in figure.data}["abstained"] == 12
    bars = probability_histogram(table, 0.4)
    assert sum(sum(trace.y) for trace in bars.data) == N


def test_few_shot_means_are_means(tmp_path: Path) -> None:
    section = few_shot(written(tmp_path / "run", tables()))
    assert table_of(section).rows[0][1].text == "0.545"
    shown = tables()["few_shot"].groupby(["method", "n_per_class"], sort=False)["value"].agg(["mean", "min", "max"])
    shown = shown.set_axis(["value", "low", "high"], axis=1).reset_index()
    assert {trace.name for trace in few_shot_curves(shown, "AUROC", {"CellRidge"}).data} == {"ScATD", "CellRidge"}


def test_drugs_are_ranked_and_those_without_an_answer_are_last(tmp_path: Path) -> None:
    table = pd.DataFrame({"rank": [1, np.nan], "drug": ["erlotinib", EVIL], "probability": [0.7, np.nan],
                          "low": [0.6, np.nan], "high": [0.8, np.nan], "share_sensitive": [0.75, np.nan],
                          "share_low": 0.5, "share_high": 0.9, "abstained": [0.1, 1.0]})  # fmt: skip
    run = written(tmp_path / "run", {"drug_ranking": table})
    shown = table_of(drug_ranking(run))
    assert shown.head == ["rank", "drug", "mean P", "called sensitive", "abstained"]
    assert shown.rows[0][2] == Cell("0.700", "[0.600, 0.800]", 0.7)
    assert EVIL not in write_report(run.folder).read_text(encoding="utf-8")


class TestSmoothCurve:
    def test_a_line_stays_a_line_and_a_bend_bends(self) -> None:
        x = np.random.default_rng(0).random(300)
        places, curve = local_linear(x, 3 - 2 * x)
        np.testing.assert_allclose(curve, 3 - 2 * places, atol=1e-12)
        places, curve = local_linear(x, np.sin(6 * x), span=0.1)
        assert np.abs(curve - np.sin(6 * places)).max() < 0.05

    def test_it_is_what_a_loop_gives(self) -> None:
        rng = np.random.default_rng(1)
        x, y = rng.random(60), rng.random(60)
        places, curve = local_linear(x, y, span=0.5, n_places=9)
        for place, value in zip(places, curve, strict=True):
            reach = 1.001 * np.sort(np.abs(x - place))[29]
            weight = np.clip(1 - (np.abs(x - place) / reach) ** 3, 0, None) ** 3
            design = np.c_[np.ones(60), x - place]
            solved = np.linalg.solve(design.T @ (weight[:, None] * design), design.T @ (weight * y))
            assert value == pytest.approx(solved[0], abs=1e-9)

    def test_many_equal_values_do_not_break_it(self) -> None:
        x = np.r_[np.zeros(80), np.linspace(1, 2, 20)]
        places, curve = local_linear(x, np.r_[np.full(80, 5.0), np.linspace(1, 2, 20)])
        assert np.isfinite(curve).all()
        assert curve[0] == pytest.approx(5.0)
        assert places[0] == 0

    def test_two_values_have_no_curve(self) -> None:
        assert len(local_linear(np.array([0.0, 1.0, 1.0]), np.zeros(3))[0]) == 0
