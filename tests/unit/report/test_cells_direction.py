"""What the page says of the direction, of calls and of an encoder: never more than the run knows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from galenic.report.blocks import Facts, Section, Text
from galenic.report.cells import calls, maps
from galenic.report.cells_direction import direction, off_threshold
from galenic.report.cells_scores import cell_scores, few_shot, source
from galenic.report.page import write_report
from galenic.report.run import Run, start

SURE = {"confidence": 0.97, "agreement": 0.88, "needed": 0.9, "by_chance": 0.001, "two_kinds": True}


def written(folder: Path, tables: dict[str, pd.DataFrame] | None = None, **fields: object) -> Run:
    with start(folder, verb="fit", command="galenic fit scatd", fields={"model": "ScATD", **fields}) as run:
        for name, table in (tables or {}).items():
            run.write(name, table)
    return run


def cells(abstained: int = 0, shift: float = 0.0) -> pd.DataFrame:
    probability = pd.Series(range(1, 11)) / 11 * (1 - shift)
    label = (probability >= 0.5 * (1 - shift)).astype(int)
    table = pd.DataFrame({"cell": [f"c{n}" for n in range(10)], "probability": probability, "label": label})
    return table.assign(abstain=table.index < abstained, truth=[0, 1] * 5, x=range(10), y=range(10))


def texts(section: Section | None) -> str:
    assert section is not None
    return " ".join(block.text for block in section.blocks if isinstance(block, Text))


@pytest.mark.parametrize(
    ("told", "words", "kind"),
    [
        ({}, "a chance of 0.97: halves of the lines agree", "good"),
        ({"confidence": 0.998}, "a chance above 0.99", "good"),
        ({"confidence": 0.85}, "of 0.85, less than 0.9: halves of the lines disagree", "bad"),
        ({"confidence": 0.55, "needed": 0.0}, "a chance of 0.55: halves", "good"),
        ({"by_chance": 0.21}, "not told better than by chance (p 0.210)", "bad"),
        ({"agreement": None, "confidence": 0.75}, "The few labelled cells say", "good"),
        ({"agreement": None, "confidence": 1.0}, "was not measured", "note"),
        ({"two_kinds": False}, "of one kind", "good"),
    ],
)
def test_the_direction_is_told_by_what_is_known_of_it(
    tmp_path: Path, told: dict[str, object], words: str, kind: str
) -> None:
    found = direction(written(tmp_path / "run", direction=SURE | told))
    assert found is not None
    assert words in found.text
    assert found.kind == kind
    assert ("halves" in found.text) == (not {"agreement", "by_chance"} & set(told))


def test_calls_below_one_half_are_explained_and_drawn(tmp_path: Path) -> None:
    table = cells(shift=0.7)
    said = off_threshold(table, 0.15)
    assert said is not None
    assert "from P = 0.15 on, not from 0.5" in said.text
    assert "not likelier than not" in said.text
    assert off_threshold(table, 0.5) is None
    assert off_threshold(table.assign(abstain=True), 0.15) is None
    shown = maps(written(tmp_path / "run", {"cells": table}))
    assert shown is not None
    assert "What the cells were called." in [caption for caption, _ in shown.blocks[0].figures]  # type: ignore[union-attr]


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_where_no_cell_was_called_that_is_said_and_not_drawn(tmp_path: Path, shift: float) -> None:
    run = written(tmp_path / "run", {"cells": cells(abstained=10, shift=shift)}, direction=SURE | {"by_chance": 0.5})
    assert "take nothing that follows as a call" in texts(calls(run))
    assert "called none of these cells" in texts(cell_scores(run))
    shown = maps(run)
    assert shown is not None
    assert [caption.split(",")[0] for caption, _ in shown.blocks[0].figures] == [  # type: ignore[union-attr]
        "Probability that a cell is sensitive; rings are abstained cells.", "What the cells are"]  # fmt: skip


def test_titles_name_only_what_is_there(tmp_path: Path) -> None:
    floors = cells().assign(floor="CellRidge")[["floor", "cell", "probability", "label"]]
    both = pd.concat([floors, floors.assign(floor="Ceiling")])
    found = {"": None, " beside floors": floors, " beside floors and the ceiling": both}
    for number, (words, table) in enumerate(found.items()):
        tables = {"cells": cells()} | ({} if table is None else {"floors": table})
        section = cell_scores(written(tmp_path / str(number), tables))
        assert section is not None
        assert section.title == f"Scores{words}"


def test_intervals_of_a_few_draws_stay_where_the_score_can_be(tmp_path: Path) -> None:
    table = pd.DataFrame({"method": "ScATD", "n_per_class": 1, "seed": range(3), "metric": "auroc",
                          "value": [1.0, 1.0, 0.7], "n": 90})  # fmt: skip
    section = few_shot(written(tmp_path / "run", {"few_shot": table}))
    assert section is not None
    row = section.blocks[1].rows[0][1]  # type: ignore[union-attr]
    assert row.note.endswith(", 1.000]")  # type: ignore[union-attr]


def test_lines_that_were_scored_are_counted_by_class(tmp_path: Path) -> None:
    lines = pd.DataFrame({"line": ["a", "b", "b"], "label": [1, 0, 0], "probability": [0.7, 0.2, 0.3]})
    scores = pd.DataFrame({"group": ["all"], "metric": "auroc", "value": 1.0, "low": 1.0, "high": 1.0, "n": 3})
    section = source(written(tmp_path / "run", {"source": lines, "source_scores": scores}))
    assert section is not None
    caption = section.blocks[-1].caption  # type: ignore[union-attr]
    assert caption.endswith("; 2 cell lines, 3 samples, 1 of them sensitive.")


def test_an_encoder_tells_what_it_keeps(tmp_path: Path) -> None:
    fields = {"model": "ScATDEncoder", "explained": -0.2, "n_active": 32, "agreement": None}
    run = written(tmp_path / "run", **fields)
    section = calls(run)
    assert section is not None
    (tiles,) = [block.items for block in section.blocks if isinstance(block, Facts)]
    assert tiles == [("share of the variance that is rebuilt", "−0.20"), ("latents that vary", "32")]
    assert "no better than by the mean" in texts(section)
    # A student follows its teacher; rebuilding is not what it was made for.
    student = calls(written(tmp_path / "student", **{**fields, "teacher": "run", "agreement": 0.8}))
    assert "no better" not in texts(student)
    page = write_report(run.folder).read_text(encoding="utf-8")
    assert "P(sensitive)" in page
    assert calls(written(tmp_path / "other")) is None
