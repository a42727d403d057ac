"""The sections on perturbations: planted outcomes get the right word, names stay names, what is absent is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galenic.plots.figures.perturbation import N_NAMED, skill_forest
from galenic.plots.palette import RISE
from galenic.report import Run, start, write_report
from galenic.report.blocks import Figures, Section, Table, Text
from galenic.report.codes import codes, interactions, similar
from galenic.report.performance import score_figures
from galenic.report.perturbation import N_ROWS, conditions
from galenic.report.sections import answers, glossary, headline
from galenic.report.skill import skills
from galenic.report.words import EFFECT_METRICS, metric_name

EVIL = '<script>alert("1")</script>&amp;<img src=http://x.y onerror=alert(1)>'
FLOORS = ["NoEffect", "MeanShift"]
GENES = [f"G{i}" for i in range(30)]
KEYS = {"skill": "skill", "conditions": "conditions", "effects": None, "codes": "codes", "similar": "similar",
        "interaction": "interactions"}  # fmt: skip
METRICS = ("mae", "pearson_delta", "discrimination")
SPANS = {"beats": (0.2, 0.1, 0.3), "worse": (-0.2, -0.3, -0.1), "not": (0.05, -0.1, 0.2), "unknown": (0.1, np.nan, 1)}


def skill_table(told: dict[str, tuple[float, float, float]], model: str = "Transfer") -> pd.DataFrame:
    """Skill by metric against MeanShift, which is the best floor, and against a floor that is easily beaten."""
    rows = [
        (model, "pair", metric, floor, 0.6, 0.5, *(told[metric] if best else (0.9, 0.8, 0.95)), 80, best)
        for metric in told
        for floor, best in (("MeanShift", True), ("NoEffect", False))
    ]
    names = ["model", "split", "metric", "floor", "value", "floor_value", "skill", "low", "high", "n", "best"]
    return pd.DataFrame(rows, columns=names)


def tables(rng: np.random.Generator, name: str = "P") -> dict[str, pd.DataFrame]:
    """Tables of a run: condition 0 is predicted without error, the last one with its sign turned."""
    n = 5
    keys = pd.DataFrame(
        {"context": ["A375", "MCF7", "A375", "MCF7", EVIL], "perturbation": [f"{name}{i}" for i in range(n)]}
    )
    measured = rng.normal(size=(n, len(GENES)))
    predicted = np.linspace(1, -1, n)[:, None] * measured + 0.01 * rng.normal(size=measured.shape)
    predicted[0] = measured[0]
    score = [np.corrcoef(*pair)[0, 1] for pair in zip(measured, predicted, strict=True)]
    both = pd.concat(
        [keys.assign(model="MeanShift", pearson_delta=0.5), keys.assign(model="Transfer", pearson_delta=score)]
    )
    both = both.assign(
        split="pair", fold=0, seed=0, n_cells=np.tile([1500, 2, 3, 4, 5], 2), mae=0.1, discrimination=0.9
    )
    long = keys.loc[np.repeat(np.arange(n), len(GENES))].reset_index(drop=True)
    long = long.assign(
        model="Transfer", split="pair", gene=np.tile(GENES, n), measured=measured.ravel(), predicted=predicted.ravel()
    )
    halves = {"group": "all", "metric": "pearson_delta", "value": 0.5, "full": 0.67, "ceiling": 0.816, "n": n}
    pairs = [
        (a, i, b, 1 - i / 10) for a in keys["perturbation"] for i, b in enumerate(keys["perturbation"], 1) if a != b
    ]
    return {
        "conditions": both,
        "effects": long.astype(dict.fromkeys(["model", "split", "context", "perturbation", "gene"], "category")),
        "skill": skill_table(dict.fromkeys(METRICS, SPANS["beats"])),
        "ceiling_halves": pd.DataFrame([halves]),
        "codes": pd.concat([
            pd.DataFrame({"kind": "state", "name": ["A375", "MCF7"], "context": None, "x": [0.0, 1], "y": [0.0, 1]}),
            keys.rename(columns={"perturbation": "name"}).assign(kind="effect", x=measured[:, 0], y=measured[:, 1]),
        ]),
        "similar": pd.DataFrame(pairs, columns=["perturbation", "rank", "neighbour", "similarity"]),
        "interaction": long[["context", "perturbation", "gene"]].assign(residual=rng.normal(size=len(long))),
    }  # fmt: skip


def metrics(gain: float, folds: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    level = {"pearson_delta": 0.5, "mae": 0.3, "discrimination": 0.7, "collapse": 0.4, "sign_top20": 0.8}
    rows = [
        (model, "pair", fold, 0, group, metric, value + better + rng.normal(0, 0.001), 20)
        for model, better in (("NoEffect", -0.2), ("MeanShift", 0.0), ("Transfer", gain))
        for fold in range(folds)
        for group in ("all", "A375")
        for metric, value in level.items()
    ]
    return pd.DataFrame(rows, columns=["model", "split", "fold", "seed", "group", "metric", "value", "n"])


def written(folder: Path, found: dict[str, pd.DataFrame], **fields: object) -> Run:
    with start(folder, verb="benchmark", command="galenic benchmark", fields={"floors": FLOORS, **fields}) as run:
        for name, table in found.items():
            run.write(name, table)
    return run


@pytest.fixture
def run(tmp_path: Path, rng: np.random.Generator) -> Run:
    return written(tmp_path / "run", tables(rng))


def texts(section: Section) -> list[Text]:
    return [block for block in section.blocks if isinstance(block, Text) and block.kind != "heading"]


def only(section: Section, kind: type) -> list:
    return [block for block in section.blocks if isinstance(block, kind)]


@pytest.mark.parametrize(
    ("verdict", "kind", "words"),
    [
        ("beats", "good", "the best floor, MeanShift, is beaten by Transfer"),
        ("worse", "bad", "is not beaten: Transfer lost to it"),
        ("not", "note", "is not beaten: undecided, as the interval of Transfer covers 0"),
        ("unknown", "note", "it is not known whether the best floor, MeanShift, is beaten"),
    ],
)
def test_the_planted_skill_gets_its_word(tmp_path: Path, verdict: str, kind: str, words: str) -> None:
    found = {"skill": skill_table({"mae": SPANS[verdict]})}
    section = skills(written(tmp_path, found))
    (said,) = texts(section)
    assert said.kind == kind
    assert words in said.text
    assert said.text.startswith("By MAE ")
    assert "NoEffect" not in said.text


def test_skill_is_told_of_each_metric_and_drawn_against_each_floor(run: Run) -> None:
    section = skills(run)
    assert [said.text.split(" the best floor")[0] for said in texts(section)] == [
        "By Pearson of effects", "By MAE", "By discrimination",
    ]  # fmt: skip
    (figures,) = only(section, Figures)
    captions = [caption for caption, _ in figures.figures]
    assert captions[1] == "MAE: skill of Transfer against 2 floors."
    (points,) = (trace for trace in figures.figures[0][1].data if trace.x)
    assert points.x == (0.2, 0.9)
    assert points.error_x.array == pytest.approx((0.1, 0.05))
    assert points.error_x.arrayminus == pytest.approx((0.1, 0.1))
    assert points.marker.symbol == ("circle", "circle-open")
    (table,) = only(section, Table)
    assert len(table.rows) == 6
    assert table.head[:3] == ["floor", "skill", "metric"]


@pytest.mark.parametrize(
    ("value", "words"), [(0.6, "This score is 0.216 below it"), (0.9, "This score lies 0.084 above it")]
)
def test_the_ceiling_stands_beside_the_correlation(tmp_path: Path, rng: np.random.Generator, value, words) -> None:
    found = tables(rng)
    found["skill"]["value"] = value
    said = texts(skills(written(tmp_path, found)))
    assert "The ceiling is 0.816, told from the 5 conditions measured twice or more" in said[0].text
    assert "agree 0.50, whole ones would 0.67" in said[0].text
    assert words in said[0].text
    assert "a score can pass it" in said[0].text
    assert not any("ceiling" in one.text for one in said[1:])
    found["ceiling_halves"]["ceiling"] = np.nan
    assert "no ceiling can be told" in texts(skills(written(tmp_path / "none", found)))[0].text
    del found["ceiling_halves"]
    assert "ceiling" not in texts(skills(written(tmp_path / "absent", found)))[0].text


def test_a_floor_without_error_is_told(tmp_path: Path) -> None:
    (said,) = texts(skills(written(tmp_path, {"skill": skill_table({"mae": (np.nan,) * 3})})))
    assert "MeanShift, is without error" in said.text
    assert "–" not in said.text


def test_each_score_of_effects_has_a_best_floor_of_its_own(tmp_path: Path) -> None:
    table = metrics(0.05)
    figures = score_figures(written(tmp_path, {"metrics": table})).blocks[0].figures
    means = table[table["group"] == "all"].groupby(["metric", "model"])["value"].mean()
    assert len(figures) == 3
    for (caption, figure), metric, floor in zip(
        figures, ("pearson_delta", "mae", "discrimination"), ("MeanShift", "NoEffect", "MeanShift"), strict=True
    ):
        assert metric_name(metric) in caption
        assert figure.layout.shapes[0].x0 == pytest.approx(means[metric, floor])


def test_folds_that_leave_it_open_take_the_claim_back(tmp_path: Path) -> None:
    row = {"split": "pair", "metric": "mae", "group": "all", "model": "Transfer", "floor": "MeanShift"}
    found = {
        "metrics": metrics(0.0),
        "skill": skill_table({"mae": SPANS["beats"]}),
        "comparison": pd.DataFrame([{**row, "difference": -0.01, "low": -0.05, "high": 0.03}]),
    }
    (said,) = texts(skills(written(tmp_path / "open", found)))
    assert said.kind == "note"
    assert "over folds it is undecided" in said.text
    (lost,) = texts(skills(written(tmp_path / "lost", found | {"skill": skill_table({"mae": SPANS["worse"]})})))
    assert lost.kind == "note"
    assert "lost to it" in lost.text
    assert "over folds it is undecided" in lost.text
    found["comparison"]["high"] = -0.001
    (said,) = texts(skills(written(tmp_path / "clear", found)))
    assert said.kind == "good"
    assert "over folds" not in said.text


def test_best_median_and_worst_are_those_that_were_planted(run: Run, rng: np.random.Generator) -> None:
    section = conditions(run)
    (figures,) = only(section, Figures)
    captions = [caption for caption, _ in figures.figures]
    assert [caption.split(".")[0] for caption in captions] == [
        "Best: P0 in A375", "Median: P2 in A375", f"Worst: P4 in {EVIL}".split(".")[0],
    ]  # fmt: skip
    assert "30 genes, Pearson 1.00, MAE 0.000. Named are the 10" in captions[0]
    assert "Pearson −1.00" in captions[2]
    effects = run.table("effects")
    first = effects[effects["perturbation"] == "P0"].set_index("gene")["measured"]
    assert {note.text for note in figures.figures[0][1].layout.annotations} == set(first.abs().nlargest(N_NAMED).index)


def test_every_condition_stands_beside_its_best_floor(run: Run) -> None:
    (table,) = only(conditions(run), Table)
    assert table.is_searchable
    assert table.head == [
        "perturbation",
        "context",
        "cells",
        "Pearson of effects",
        "best floor",
        "MAE",
        "discrimination",
    ]
    assert [row[0] for row in table.rows] == ["P0", "P1", "P2", "P3", "P4"]
    assert [row[4].text for row in table.rows] == ["0.500"] * 5
    assert [(row[3].kind, row[4].kind) for row in table.rows][0::4] == [("best", ""), ("", "best")]
    assert table.rows[0][2].text == "1,500"
    assert "MeanShift" in table.caption


def test_doses_are_conditions_of_their_own(tmp_path: Path, rng: np.random.Generator) -> None:
    found = tables(rng)
    found["conditions"] = found["conditions"].assign(
        perturbation="P", context="A375", dose=np.tile([0.1, 1, 10, 100, np.nan], 2)
    )
    long = found["effects"].assign(
        perturbation="P", context="A375", dose=np.repeat([0.1, 1, 10, 100, np.nan], len(GENES))
    )
    section = conditions(written(tmp_path, found | {"effects": long}))
    assert [row[0] for row in only(section, Table)[0].rows] == ["P at 0.1", "P at 1", "P at 10", "P at 100", "P"]
    assert only(section, Figures)[0].figures[0][0].startswith("Best: P at 0.1 in A375. 30 genes")


def test_a_stand_in_is_told(tmp_path: Path, rng: np.random.Generator) -> None:
    found = tables(rng)
    found["conditions"]["fallback"] = ["MeanShift"] * 5 + [None, "ContextMeanEffect", None, None, "ContextMeanEffect"]
    (said,) = texts(conditions(written(tmp_path, found)))
    assert said.text == (
        "On unseen pairs, Transfer had nothing to go by in 2 of 5 conditions; ContextMeanEffect answered instead."
    )


def test_of_many_conditions_the_ends_are_listed(tmp_path: Path) -> None:
    n = 2 * N_ROWS
    table = pd.DataFrame({"model": "Transfer", "split": "pair", "fold": 0, "seed": 0, "context": "A375", "n_cells": 9,
                          "perturbation": [f"P{i}" for i in range(n)], "pearson_delta": np.linspace(1, 0, n),
                          "mae": 0.1})  # fmt: skip
    (listed,) = only(conditions(written(tmp_path, {"conditions": table})), Table)
    assert len(listed.rows) == N_ROWS
    assert (listed.rows[0][0], listed.rows[-1][0]) == ("P0", f"P{n - 1}")
    assert "of 1,200; conditions.csv has all" in listed.caption


@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_few_conditions_are_drawn_once_each(tmp_path: Path, rng: np.random.Generator, n: int) -> None:
    found = tables(rng)
    kept = [f"P{i}" for i in range(n)]
    found = {name: found[name][found[name]["perturbation"].isin(kept)] for name in ("conditions", "effects")}
    (figures,) = only(conditions(written(tmp_path, found)), Figures)
    assert len(figures.figures) == min(n, 3)
    assert figures.figures[0][0].startswith("The only one: P0" if n == 1 else "Best: P0")


def test_codes_say_what_a_map_is_not(run: Run) -> None:
    section = codes(run)
    assert "no evidence" in section.how
    (figures,) = only(section, Figures)
    assert [caption.split(",")[0] for caption, _ in figures.figures] == ["State codes", "Effect codes"]
    assert figures.figures[0][1].data[0].text == ("A375", "MCF7")


def test_the_nearest_perturbations_can_be_searched(run: Run) -> None:
    (table,) = only(similar(run), Table)
    assert table.is_searchable
    assert table.rows[0][:2] == ["P1", "P0"]  # the first with a neighbour of rank 1
    assert [row[2].text for row in table.rows[:2]] == ["0.90", "0.70"]


def test_interactions_are_a_claim_of_the_model(run: Run) -> None:
    section = interactions(run)
    assert "the model's claim, not a measurement" in texts(section)[0].text
    largest = run.table("interaction").set_index(["gene", "perturbation", "context"])["residual"]
    largest = largest.loc[[largest.abs().idxmax()]]
    (table,) = only(section, Table)
    first = table.rows[0]
    assert (first[0], *first[2:]) == largest.index[0]
    assert first[1].sort == pytest.approx(largest.iloc[0])
    figures = only(section, Figures)[0].figures
    assert figures[0][0] == f"{first[2]} in {first[3]}."
    bars = figures[0][1].data[0]
    assert {colour for colour, x in zip(bars.marker.color, bars.x, strict=True) if x > 0} == {RISE}
    assert np.abs(bars.x)[-1] == np.abs(bars.x).max()


@pytest.mark.parametrize("name", KEYS)
def test_a_missing_table_takes_its_section_along(tmp_path: Path, rng: np.random.Generator, name: str) -> None:
    found = tables(rng)
    del found[name]
    html = write_report(written(tmp_path, found).folder).read_text(encoding="utf-8")
    for key in KEYS.values():
        assert key is None or (f'<section id="{key}"' in html) == (key != KEYS[name] or name == "conditions")
    assert ("Best, median" in html) == (name != "effects")


def test_a_run_of_another_kind_has_none_of_them(tmp_path: Path) -> None:
    other = written(tmp_path, {})
    assert [make(other) for make in (skills, conditions, codes, similar, interactions)] == [None] * 5
    assert "Skill" not in dict(glossary(other).blocks[0].items)


def test_empty_tables_and_missing_values_do_no_harm(tmp_path: Path, rng: np.random.Generator) -> None:
    found = tables(rng)
    empty = written(tmp_path / "empty", {name: table.head(0) for name, table in found.items()})
    assert write_report(empty.folder).is_file()
    for name in found:
        numbers = found[name].select_dtypes("number").columns.difference(["rank", "n_cells", "n", "fold", "seed"])
        blank = written(tmp_path / name, found | {name: found[name].assign(**dict.fromkeys(numbers, np.nan))})
        html = write_report(blank.folder).read_text(encoding="utf-8")
        assert "nan" not in html.split("<main id")[1].split("<script")[0]


@pytest.mark.parametrize("column", ["n_cells", "pearson_delta", "discrimination", "best", "n", "context", "full"])
def test_missing_columns_do_not_crash(tmp_path: Path, rng: np.random.Generator, column: str, monkeypatch) -> None:
    monkeypatch.setattr("galenic.report.run.require_table", lambda *_: None)
    monkeypatch.setattr("galenic.report.tables.require_table", lambda *_: None)
    found = {name: table.drop(columns=column, errors="ignore") for name, table in tables(rng).items()}
    html = write_report(written(tmp_path, found).folder).read_text(encoding="utf-8")
    assert '<section id="skill"' in html


def test_the_best_floor_is_found_where_nobody_marked_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("galenic.report.run.require_table", lambda *_: None)
    monkeypatch.setattr("galenic.report.tables.require_table", lambda *_: None)
    found = {"skill": skill_table({"mae": SPANS["not"]}).drop(columns="best")}
    assert "MeanShift, is not beaten" in texts(skills(written(tmp_path, found)))[0].text


def test_names_never_become_markup(tmp_path: Path, rng: np.random.Generator) -> None:
    found = tables(rng, name=EVIL)
    for name in found:
        found[name] = (
            found[name].replace({"Transfer": EVIL, "MeanShift": f"{EVIL}2"}) if name != "effects" else found[name]
        )
    found["effects"] = found["effects"].astype({"model": str, "gene": str}).assign(model=EVIL)
    found["effects"]["gene"] += EVIL
    found["interaction"]["gene"] = EVIL
    run = written(tmp_path, found, floors=[f"{EVIL}2", "NoEffect"])
    html = write_report(run.folder).read_text(encoding="utf-8")
    assert "<script>alert" not in html
    assert "<img" not in html
    assert html.count("&lt;script&gt;alert") > 20
    for section in (skills(run), conditions(run), codes(run), interactions(run)):
        for _, figure in only(section, Figures)[0].figures:
            shown = [note.text for note in figure.layout.annotations]
            shown += [text for trace in figure.data for text in (trace.text or ()) if isinstance(trace.text, tuple)]
            shown += [trace.name or "" for trace in figure.data] + list(figure.layout.yaxis.ticktext or ())
            assert not any("<script" in text or "<img" in text for text in shown)


@pytest.mark.parametrize(("gain", "verdict"), [(0.05, "beats"), (0.0, "not"), (-0.05, "worse")])
def test_the_answer_is_by_the_correlation_of_effects(tmp_path: Path, gain: float, verdict: str) -> None:
    low, high = gain - 0.01, gain + 0.01
    row = {"split": "pair", "metric": "pearson_delta", "group": "all", "model": "Transfer", "floor": "MeanShift"}
    compared = pd.DataFrame([{**row, "difference": gain, "low": low, "high": high}])
    run = written(tmp_path, {"metrics": metrics(gain), "comparison": compared})
    ((outcome, said),) = answers(run)
    assert (outcome.metric, outcome.verdict) == ("pearson_delta", verdict)
    assert said.startswith("On unseen pairs the best model, Transfer, has Pearson of effects 0.")
    assert headline(run).blocks[0].text.startswith("What does a known perturbation do in a known context")
    assert "means of measured effects" in headline(run).how
    assert "Skill" in dict(glossary(run).blocks[0].items)


@pytest.mark.parametrize(("verdict", "word"), [("beats", "is beaten"), ("worse", "lost to it"), ("not", "undecided")])
def test_without_folds_the_answer_is_by_skill(tmp_path: Path, verdict: str, word: str) -> None:
    found = {"metrics": metrics(0.0, folds=1), "skill": skill_table({"pearson_delta": SPANS[verdict]})}
    ((outcome, said),) = answers(written(tmp_path, found))
    assert outcome.verdict == verdict
    assert said.startswith("On unseen pairs, by Pearson of effects the best floor, MeanShift, is")
    assert word in said


def test_score_tables_show_effects_first_and_no_rounding(tmp_path: Path) -> None:
    table = metrics(0.05)
    table.loc[(table["metric"] == "collapse") & (table["model"] == "MeanShift"), "value"] = 1e-30
    halves = {"group": "all", "metric": "pearson_delta", "value": 0.5, "full": 0.67, "ceiling": 0.816, "n": 9}
    run = written(tmp_path, {"metrics": table, "ceiling_halves": pd.DataFrame([halves])})
    html = write_report(run.folder).read_text(encoding="utf-8")
    head = html.split('<section id="scores"')[1].split("</thead>")[0]
    places = [head.index(name) for name in ("Pearson of effects", "MAE", "discrimination", "direction", "collapse")]
    assert places == sorted(places)
    assert "halves of the measurements" in html
    assert "0.816" in html
    assert "e−30" not in html
    assert "all pairs" not in head


def test_scores_by_perturbation_are_called_so(tmp_path: Path) -> None:
    by = pd.DataFrame({"drug": ["x", "y", "x", "y"], "value": [0.1, 0.2, 0.5, 0.6]})
    by = by.assign(model="Transfer", split="pair", metric=["mae", "mae", "pearson_delta", "pearson_delta"], n=3)
    html = write_report(written(tmp_path, {"metrics": metrics(0.0), "scores_by_drug": by}).folder).read_text(
        encoding="utf-8"
    )
    section = html.split('<section id="drugs"')[1].split("</section>")[0]
    assert "Scores by perturbation" in section
    assert "Pearson of effects" in section
    assert "drug" not in section.split("<script")[0].replace('"drugs"', "").replace("drugs-title", "")


@pytest.mark.parametrize("metric", EFFECT_METRICS)
def test_every_metric_of_effects_has_a_name(metric: str) -> None:
    assert metric_name(f"{metric}_top20") == f"{EFFECT_METRICS[metric]}, first 20 genes"
    assert metric_name(metric) == EFFECT_METRICS[metric]


def test_models_side_by_side_have_colours_of_their_own() -> None:
    rows = pd.concat([skill_table({"mae": SPANS["not"]}, model) for model in ("A", "B", "C")])
    figure = skill_forest(rows)
    assert [trace.name for trace in figure.data] == ["A", "B", "C"]
    assert len({trace.marker.color for trace in figure.data}) == 3
    heights = [y for trace in figure.data for y in trace.y]
    assert len(set(heights)) == 6
