"""Sections on training, calibration and atoms: against naive twins, and with the oddest tables they may meet."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galenic.data.drugs import atom_names, draw_atoms
from galenic.plots.figures.calibration import coverage_by_level, coverage_points
from galenic.plots.figures.training import MAX_LINES, loss_curves, losses_of
from galenic.report import Run, start, write_report
from galenic.report.biology import atoms, ranked_drugs
from galenic.report.blocks import Cell, Drawings, Figures, Section, Table, Text
from galenic.report.calibration import calibration
from galenic.report.page import render
from galenic.report.training import training

EVIL = "<script>alert('1')</script>\"&"
ASPIRIN, ETHANOL = "CC(=O)Oc1ccccc1C(=O)O", "CCO"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = start(tmp_path / "run", verb="fit", command="", fields={})
    run.record["data"] = {"unit": "ln_ic50"}
    return run


def shown(run: Run) -> str:
    return write_report(run.folder).read_text(encoding="utf-8")


def stage(name: str = "student", n_members: int = 2, n_epochs: int = 4, **losses: float) -> pd.DataFrame:
    """A history whose losses fall as 1 / epoch and rise a little from member to member."""
    rows = [
        {"stage": name, "member": member, "epoch": epoch, "seconds": 0.1, "lr": 1e-3, "best": epoch == n_epochs}
        | {column: scale * (1 + member / 10) / epoch for column, scale in losses.items()}
        for member in range(n_members)
        for epoch in range(1, n_epochs + 1)
    ]
    return pd.DataFrame(rows)


def coverages() -> pd.DataFrame:
    """Two levels; drugs a to e, of which one at level 0.8 and two at 0.9 are short."""
    rows = [("all", "", 0.8, 0.81, 100, 2.0), ("all", "", 0.9, 0.88, 100, 3.0)]
    rows += [("drug", drug, 0.8, value, 20, 2.0) for drug, value in zip("abcde", (0.6, 0.7, 0.8, 0.9, 1), strict=True)]
    rows += [("drug", drug, 0.9, value, 20, 3.0) for drug, value in zip("abcde", (0.7, 0.75, 0.9, 1, 1), strict=True)]
    return pd.DataFrame(rows, columns=["group", "drug", "level", "coverage", "n", "width"])


def contributions(smiles: str = ETHANOL, drug: str = "5", name: str | None = "Ethanol") -> pd.DataFrame:
    table = atom_names(smiles)[["atom", "element"]]
    return table.assign(drug=drug, name=name, smiles=smiles, contribution=np.linspace(-0.4, 0.3, len(table)))


# Training


def test_every_stage_has_a_figure(run: Run) -> None:
    stages = [stage("teacher 1: one head", train_fit=1.0, valid_fit=2.0), stage(n_members=1, train_hard=1.0)]
    run.write("history", pd.concat(stages))
    section = training(run)
    assert section is not None
    (figures,) = section.blocks
    assert isinstance(figures, Figures)
    assert [caption for caption, _ in figures.figures] == [
        "Teacher 1: one head. 2 members, 4 epochs.",
        "Student. 1 member, 4 epochs.",
    ]
    assert 'id="training"' in shown(run)


def test_losses_equal_the_loop(rng: np.random.Generator) -> None:
    table = stage(train_total=1.0, train_hard=0.6, train_soft=0.4, valid_total=2.0, valid_hard=1.5, valid_soft=0.5)
    table.loc[3, "valid_soft"] = np.nan
    table.loc[4, "train_hard"] = np.inf
    losses = losses_of(table.sample(frac=1, random_state=0))
    expected = {
        (term, part, row["member"], row["epoch"], row[f"{part}_{term}"])
        for row in table.to_dict("records")
        for part in ("train", "valid")
        for term in ("total", "hard", "soft")
        if np.isfinite(row[f"{part}_{term}"])
    }
    assert set(losses.itertuples(index=False, name=None)) == expected


def test_a_total_of_one_term_is_that_term() -> None:
    table = stage(train_total=1.0, train_fit=1.0, valid_total=2.0, valid_fit=2.0)
    assert losses_of(table)["term"].unique().tolist() == ["fit"]
    table = stage(train_total=1.0, valid_total=2.0)
    assert losses_of(table)["term"].unique().tolist() == ["total"]


def test_means_are_thick_and_held_out_losses_dashed() -> None:
    losses = losses_of(stage(n_members=3, train_fit=1.0, valid_fit=2.0))
    means = [trace for trace in loss_curves(losses, ["fit"]).data if trace.line.width == 2]
    assert [trace.line.dash for trace in means] == ["solid", "dash"]
    assert [trace.showlegend for trace in means] == [True, False]
    assert list(means[0].y) == pytest.approx([1.1 / epoch for epoch in (1, 2, 3, 4)], abs=1e-5)


@pytest.mark.parametrize(("n_members", "lines", "bands"), [(1, 0, 0), (MAX_LINES, MAX_LINES, 0), (MAX_LINES + 1, 0, 1)])
def test_few_members_are_lines_and_many_a_band(n_members: int, lines: int, bands: int) -> None:
    figure = loss_curves(losses_of(stage(n_members=n_members, train_fit=1.0)), ["fit"])
    assert sum(trace.line.width == 1 for trace in figure.data) == lines
    assert [len(trace.x) for trace in figure.data if trace.fill == "toself"] == [8] * bands


@pytest.mark.parametrize(("losses", "kind"), [
    ({"train_a": 1.0, "train_b": 0.01}, "log"),
    ({"train_a": 1.0, "train_b": 0.9}, None),
    ({"train_a": 1.0, "train_b": -0.01}, None),
    ({"train_a": 1.0, "train_b": 0.0}, None),
])  # fmt: skip
def test_wide_positive_losses_have_a_logarithmic_axis(losses: dict[str, float], kind: str | None) -> None:
    assert loss_curves(losses_of(stage(**losses)), ["a", "b"]).layout.yaxis.type == kind


def test_a_term_has_one_colour_in_all_stages(run: Run) -> None:
    run.write("history", pd.concat([stage("one", train_fit=1.0), stage("two", train_distil=2.0, train_fit=1.0)]))
    section = training(run)
    assert section is not None
    assert isinstance(section.blocks[0], Figures)
    colours = {
        (trace.name, trace.line.color)
        for _, figure in section.blocks[0].figures
        for trace in figure.data
        if trace.name is not None
    }
    assert len(colours) == 2


def test_eight_terms_have_eight_colours() -> None:
    losses = losses_of(stage(n_members=1, **{f"train_{term}": 1.0 for term in "abcdefgh"}))
    assert len({trace.line.color for trace in loss_curves(losses, list("abcdefgh")).data}) == 8


def test_a_stage_of_one_epoch_is_told_in_words(run: Run) -> None:
    run.write("history", stage("student: structures", n_epochs=1, train_total=4.0, train_structure=4.0))
    section = training(run)
    assert section is not None
    (block,) = section.blocks
    assert isinstance(block, Text)
    assert block.text.startswith("Student: structures. 2 members, 1 epoch. Too short for a curve; losses: ")
    assert block.text.endswith("structure (training) 4.200 [4.000 to 4.400].")
    assert section.how == ""


def test_members_that_stop_early_and_weights_that_are_kept_are_told(run: Run) -> None:
    table = stage(train_fit=1.0)
    table["best"] = table["epoch"] == table["member"] + 2
    run.write("history", table[(table["member"] == 0) | (table["epoch"] < 4)])
    said = "2 members, 3 to 4 epochs; the mean is of those still training; the weights of epochs 2 to 3 were kept."
    assert said in shown(run)


@pytest.mark.parametrize(
    "table",
    [
        stage(train_fit=np.nan),
        stage(),
        stage(train_fit=1.0).iloc[:0],
        stage()[["stage", "member", "epoch"]],
    ],
)
def test_a_history_without_losses_shows_nothing(run: Run, table: pd.DataFrame) -> None:
    run.write("history", table)
    assert training(run) is None


# Calibration


def test_coverage_by_level_equals_the_loop() -> None:
    table = coverages()
    levels = coverage_by_level(table).set_index("level")
    for level, value, width in ((0.8, 0.81, 2.0), (0.9, 0.88, 3.0)):
        drugs = table.loc[(table["group"] == "drug") & (table["level"] == level), "coverage"].tolist()
        row = levels.loc[level]
        assert row[["coverage", "width", "n", "drugs", "cells"]].tolist() == [value, width, 100, 5, 20]
        assert row[["low", "high"]].tolist() == pytest.approx(np.quantile(drugs, [0.05, 0.95]))
        assert row["short"] == sum(round(level - drug, 6) > 0.1 for drug in drugs) / 5
    assert levels["short"].tolist() == [0.2, 0.4]


def test_calibration_shows_a_figure_and_a_table(run: Run) -> None:
    run.write("calibration", coverages())
    section = calibration(run)
    assert section is not None
    figures, table = section.blocks
    assert isinstance(figures, Figures)
    assert isinstance(table, Table)
    said = "Coverage at each level: 100 pairs; 5 drugs, half of them with at most 20 test cells."
    assert figures.figures[0][0] == said
    assert table.head == ["level", "coverage", "drugs short by over 10 points", "mean width (ln IC50, µM)"]
    texts = [[cell.text for cell in row if isinstance(cell, Cell)] for row in table.rows]
    assert texts == [["80 %", "81.0 %", "20.0 %", "2.00"], ["90 %", "88.0 %", "40.0 %", "3.00"]]
    assert 'id="calibration"' in shown(run)


def test_the_figure_has_the_line_the_drugs_and_the_points() -> None:
    levels = coverage_by_level(coverages())
    line, drugs, points = coverage_points(levels).data
    assert list(line.x) == list(line.y)
    assert list(points.x) == pytest.approx([80, 90])
    assert list(points.y) == pytest.approx([81, 88])
    for sign, name in ((-1, "low"), (1, "high")):
        ends = [middle + sign * half for middle, half in zip(drugs.y, drugs.error_y.array, strict=True)]
        assert ends == pytest.approx((100 * levels[name]).tolist(), abs=1e-4)


def test_calibration_without_drugs_or_width_has_two_columns(run: Run) -> None:
    run.write("calibration", coverages().query("group == 'all'")[["level", "coverage", "n"]])
    section = calibration(run)
    assert section is not None
    figures, table = section.blocks
    assert isinstance(figures, Figures)
    assert isinstance(table, Table)
    assert table.head == ["level", "coverage"]
    assert figures.figures[0][0] == "Coverage at each level: 100 pairs."
    assert len(figures.figures[0][1].data) == 2


@pytest.mark.parametrize("table", [coverages().iloc[:0], coverages().assign(coverage=np.nan), coverages().assign(n=0)])
def test_unknown_coverage_shows_nothing(run: Run, table: pd.DataFrame) -> None:
    run.write("calibration", table)
    assert calibration(run) is None


# Atoms


def test_every_drug_is_drawn_with_its_strongest_atom(run: Run) -> None:
    shuffled = contributions().sample(frac=1, random_state=1)
    run.write("atoms", pd.concat([contributions(ASPIRIN, "1", "Aspirin"), shuffled]))
    section = atoms(run)
    assert section is not None
    (block,) = section.blocks
    assert isinstance(block, Drawings)
    captions, drawings = zip(*block.items, strict=True)
    assert captions == (
        "Aspirin (1): strongest is C (number 0), −0.400.",
        "Ethanol (5): strongest is C (number 0), −0.400.",
    )
    assert drawings[1] == draw_atoms(ETHANOL, contributions()["contribution"].tolist())
    assert "blue pulls towards sensitivity, orange towards resistance" in section.how


def test_drawings_stand_in_the_page_and_names_stay_text(run: Run) -> None:
    run.write("atoms", contributions(drug=EVIL, name=EVIL))
    html = shown(run)
    assert html.count("<svg") == html.count("</svg>") == 1
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html
    assert 'id="library"' not in html
    assert len(html) < 40_000


def test_a_page_shows_twelve_drugs(run: Run) -> None:
    run.write("atoms", pd.concat([contributions(drug=str(i), name=None) for i in range(14)]))
    section = atoms(run)
    assert section is not None
    drawings, note = section.blocks
    assert isinstance(drawings, Drawings)
    assert [caption.split(":")[0] for caption, _ in drawings.items] == [str(i) for i in range(12)]
    assert note == Text("The first 12 of 14 drugs; atoms.csv has all.")


def test_drugs_with_an_unknown_part_are_not_drawn(run: Run) -> None:
    unknown = contributions(drug="a")
    unknown.loc[1, "contribution"] = np.nan
    run.write("atoms", pd.concat([unknown, contributions(drug="b").assign(smiles=None)]))
    assert atoms(run) is None
    run.write("atoms", pd.concat([unknown, contributions(drug="c")]))
    assert shown(run).count("<svg") == 1


def test_ids_that_look_like_numbers_and_elements_that_look_missing_are_text(run: Run) -> None:
    run.write("atoms", contributions("[Na+].[Cl-]", drug="007", name="NA"))
    assert "NA (007): strongest is Na (number 0)" in shown(run)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            contributions().iloc[:2],
            r"one row an atom; of the drug '5', 3 atoms need as many finite numbers; received 2",
        ),
        (contributions().assign(smiles="C(("), r"one row an atom; of the drug '5', every structure should be a SMILES"),
    ],
)
def test_atoms_that_do_not_fit_their_structure_are_named(run: Run, table: pd.DataFrame, message: str) -> None:
    run.write("atoms", table)
    with pytest.raises(ValueError, match=message):
        write_report(run.folder)


@pytest.mark.parametrize("inside", [
    "<script>alert(1)</script>", "<SCRIPT/>", "<path onload='alert(1)'/>", "<a href='x'>", "</svg><div>", "<image/>",
    "<foreignObject/>", "<use xlink:href='#x'/>", "<rect style='fill:url(http://x.y)'/>", "<!DOCTYPE svg>", "<?xml?>",
    "<!-- <g> ",
])  # fmt: skip
def test_a_drawing_is_made_of_shapes_only(run: Run, inside: str) -> None:
    sections = [Section("x", "x", "", [Drawings([("x", f"<svg>{inside}</svg>")])])]
    with pytest.raises(ValueError, match="a drawing should be <svg>"):
        render(run, sections)


@pytest.mark.parametrize("text", ["", "text", "<p></p>", "<svg>", "<g></g><svg></svg>"])
def test_a_drawing_is_an_svg(run: Run, text: str) -> None:
    with pytest.raises(ValueError, match="a drawing should be <svg>"):
        render(run, [Section("x", "x", "", [Drawings([("x", text)])])])


# What surrounds them


def test_sections_stand_in_a_sensible_order(run: Run) -> None:
    run.write("history", stage(train_fit=1.0))
    run.write("calibration", coverages())
    run.write("atoms", contributions())
    run.write("ranking", pd.DataFrame({"cell": ["a"], "rank": [1], "drug": ["x"], "prediction": [0.5]}))
    order = re.findall(r'<section id="(\w+)"', shown(run))
    assert order == ["calibration", "ranking", "atoms", "data", "training", "glossary", "provenance"]


def test_a_run_without_the_tables_has_none_of_the_sections(run: Run) -> None:
    assert [make(run) for make in (training, calibration, atoms)] == [None, None, None]


def test_ranked_drugs_show_intervals_where_there_are_any(run: Run) -> None:
    table = pd.DataFrame({"cell": ["a", "a"], "rank": [1, 2], "drug": ["x", "y"], "prediction": [-1.0, 0.5]})
    run.write("ranking", table.assign(low=[-2.0, np.nan], high=[0.25, np.nan]))
    section = ranked_drugs(run)
    assert section is not None
    (block,) = section.blocks
    assert isinstance(block, Table)
    assert block.rows[0][1:3] == [Cell("x", "−1.00 [−2.00, 0.25]"), Cell("y", "0.50")]


def test_a_page_without_atoms_does_not_need_rdkit(run: Run) -> None:
    run.write("history", stage(train_fit=1.0))
    run.write("calibration", coverages())
    code = (
        "import sys; from galenic.report import write_report\n"
        f"write_report({str(run.folder)!r}); print('rdkit' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
