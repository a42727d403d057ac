"""One verdict a split: the sentence at the top, the boxes and the screen judge by the same estimate."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galenic.report import Run, read, start, write_report
from galenic.report.blocks import Cell, Figures, Section, Table, Text
from galenic.report.codes import codes, similar
from galenic.report.performance import score_tables, scores_by_drug
from galenic.report.sections import answers, headline
from galenic.report.skill import skills

FLOORS = ["NoEffect", "MeanShift"]
SPANS = {"beats": (0.2, 0.1, 0.3), "worse": (-0.2, -0.3, -0.1), "not": (0.05, -0.1, 0.2)}


def skill_table(skill: float, low: float, high: float) -> pd.DataFrame:
    """Skill against the best floor."""
    row = {"model": "Transfer", "split": "pair", "metric": "pearson_delta", "floor": "MeanShift", "value": 0.6}
    return pd.DataFrame([{**row, "floor_value": 0.5, "skill": skill, "low": low, "high": high, "n": 80, "best": True}])


def metrics(gain: float) -> pd.DataFrame:
    """Scores of two floors and a model in five folds."""
    rng = np.random.default_rng(0)
    level = {"pearson_delta": 0.5, "mae": 0.3, "discrimination": 0.7}
    rows = [
        (model, "pair", fold, 0, "all", metric, value + better + rng.normal(0, 0.001), 20)
        for model, better in (("NoEffect", -0.2), ("MeanShift", 0.0), ("Transfer", gain))
        for fold in range(5)
        for metric, value in level.items()
    ]
    return pd.DataFrame(rows, columns=["model", "split", "fold", "seed", "group", "metric", "value", "n"])


def written(folder: Path, found: dict[str, pd.DataFrame], **fields: object) -> Run:
    with start(folder, verb="benchmark", command="", fields={"floors": FLOORS, **fields}) as run:
        for name, table in found.items():
            run.write(name, table)
    return run


def texts(section: Section) -> list[Text]:
    return [block for block in section.blocks if isinstance(block, Text)]


def only(section: Section, kind: type) -> list:
    return [block for block in section.blocks if isinstance(block, kind)]


ROW = {"split": "pair", "metric": "pearson_delta", "group": "all", "model": "Transfer", "floor": "MeanShift"}


def compared(low: float, high: float) -> pd.DataFrame:
    return pd.DataFrame([{**ROW, "difference": (low + high) / 2, "low": low, "high": high}])


@pytest.mark.parametrize(("low", "high"), [(-0.05, 0.2), (0.05, 0.2), (-0.2, -0.05)])
@pytest.mark.parametrize("told", ["beats", "not", "worse"])
def test_top_and_boxes_agree(tmp_path: Path, told: str, low: float, high: float) -> None:
    found = {
        "metrics": metrics(0.05),
        "skill": skill_table(*SPANS[told]),
        "comparison": compared(low, high),
    }
    run = written(tmp_path, found)
    ((outcome, said),) = answers(run)
    (box,) = texts(skills(run))
    top = next(block for block in headline(run).blocks if block.text == said)
    assert said.split(", by ", 1)[1] == box.text.removeprefix("By ")
    assert top.kind == box.kind
    assert "does not beat its floor" not in said
    agree = told == {(-0.05, 0.2): "not", (0.05, 0.2): "beats", (-0.2, -0.05): "worse"}[low, high]
    assert ("over folds" in said) == (not agree)
    assert outcome.verdict == (told if agree else "not")


def test_what_equals_its_floor_is_told_so(tmp_path: Path) -> None:
    found = {"metrics": metrics(0.0), "skill": skill_table(1e-9, -1e-8, 1e-8)}
    run = written(tmp_path, found | {"comparison": compared(-1e-9, 1e-9)})
    ((_, said),) = answers(run)
    assert "Transfer is the same as the best floor, MeanShift" in said
    (box,) = texts(skills(run))
    assert "is the same as" in box.text
    html = re.sub(r"<script.*?</script>", "", write_report(run.folder).read_text(encoding="utf-8"), flags=re.DOTALL)
    assert "e−0" not in html
    assert "the same as its floor" in html


def cells_of(folder: Path, table: pd.DataFrame) -> list[Cell]:
    (scores,) = only(score_tables(written(folder, {"metrics": table})), Table)
    return [cell for row in scores.rows for cell in row if isinstance(cell, Cell)]


def test_intervals_stay_inside_what_a_score_can_be(tmp_path: Path) -> None:
    table = metrics(0.0)
    rng = np.random.default_rng(1)
    discrimination = table["metric"] == "discrimination"
    table.loc[discrimination, "value"] = rng.choice([0.6, 1.0], int(discrimination.sum()))
    assert not any("[" in cell.note and "1.0" in cell.note and "1.000" not in cell.note
                   for cell in cells_of(tmp_path / "many", table))  # fmt: skip
    few = score_tables(written(tmp_path / "told", {"metrics": table[table["fold"] < 2]}))
    assert few is not None
    assert "without intervals, as 2 folds say little of them" in few.how
    notes = [cell.note for cell in cells_of(tmp_path / "few", table[table["fold"] < 2])]
    assert not any("[" in note for note in notes)


@pytest.mark.parametrize(("share", "silent"), [("0.00 (0 = ...)", True), ("0.41 (0 = ...)", False)])
def test_codes_without_a_part_are_told(tmp_path: Path, share: str, silent: bool) -> None:
    found = {
        "codes": pd.DataFrame({"kind": "effect", "name": ["a", "b"], "context": None, "x": [0.0, 1], "y": [0.0, 1]}),
        "similar": pd.DataFrame({"perturbation": ["a"], "rank": [1], "neighbour": ["b"], "similarity": [0.5]}),
    }
    run = written(tmp_path, found, **{"share of the networks, context": share})
    for section in (codes(run), similar(run)):
        assert any("play no part" in text.text for text in texts(section)) == silent


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_curve_needs_three_perturbations(tmp_path: Path, n: int) -> None:
    table = pd.DataFrame({"model": "Transfer", "split": "pair", "drug": [f"P{i}" for i in range(n)],
                          "metric": "pearson_delta", "value": 0.5, "n": 4})  # fmt: skip
    section = scores_by_drug(written(tmp_path, {"metrics": metrics(0.1), "scores_by_drug": table}))
    assert bool(only(section, Figures)) == (n >= 3)
    assert len(only(section, Table)[0].rows) == n


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "cells.h5ad").write_text("x")
    with pytest.raises(ValueError, match=r"cells\.h5ad is a file\. Name the folder"):
        read(tmp_path / "cells.h5ad")
