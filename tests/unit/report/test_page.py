"""The report: it shows what is there, leaves out what is not, and lets nothing in or out."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galenic import tasks
from galenic.evaluate import compare
from galenic.evaluate.response import MINIMUM_ROWS
from galenic.plots.style import label
from galenic.report import Run, start, write_report
from galenic.report.biology import same_leaders
from galenic.report.sections import SECTIONS
from galenic.report.words import GLOSSARY

EVIL = '<script>alert("1")</script>&amp;<img src=http://x.y onerror=alert(1)>'
FLOORS = ["DrugMean", "MeanEffects"]
DRUGS = ["NA", "5", EVIL, *(f"drug{i}" for i in range(6))]
SECTION_OF = {
    "metrics": {"scores"},
    "predictions": {"observed"},
    "scores_by_drug": {"drugs"},
    "calibration": {"calibration"},
    "ranking": {"ranking"},
    "atoms": {"atoms"},
    "history": {"training"},
    "biomarkers": set(),  # the planted drivers stand there too
    "coverage": set(),  # beside the facts of the data
    "patients": set(),  # beside the domain shift
}


class Page(HTMLParser):
    """What a browser would load and show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.sections: list[str | None] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.shown = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self.sections.append(dict(attrs)["id"])

    def handle_data(self, data: str) -> None:
        _, attrs = self.tags[-1] if self.tags else ("", {})
        if self.cdata_elem == "script":
            self.scripts.append((attrs, data))
        elif self.cdata_elem is None:
            self.shown += f" {data}"


def metrics(rng: np.random.Generator) -> pd.DataFrame:
    level = {"DrugMean": 1.4, "MeanEffects": 1.3, "Ridge": 1.2, "KDRUG": 1.25}
    rows = [
        (
            model,
            split,
            fold,
            seed,
            group,
            metric,
            np.nan if (model, group) == ("DrugMean", "within_drug") else value,
            50,
        )
        for model, rmse in level.items()
        for split, penalty in (("cell", 0.0), ("drug", 0.0 if model in FLOORS else 0.1))
        for fold in range(3)
        for seed in range(2)
        for group, metric, value in (
            ("all", "rmse", rmse + penalty + rng.normal(0, 0.002)),
            ("all", "pearson", 1 - rmse / 4),
            ("within_drug", "pearson", 1.5 - rmse + rng.normal(0, 0.01)),
        )
    ]
    return pd.DataFrame(rows, columns=["model", "split", "fold", "seed", "group", "metric", "value", "n"])


def tables(rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """A small version of every table of a run folder, with awkward names and missing numbers."""
    scores = metrics(rng)
    pairs = pd.MultiIndex.from_product([["Ridge", "KDRUG"], ["cell", "drug"], [f"c{i}" for i in range(30)], DRUGS])
    predictions = pairs.to_frame(index=False, name=["model", "split", "cell", "drug"])
    predictions["response"] = rng.normal(size=len(pairs))
    predictions["prediction"] = predictions["response"] + rng.normal(size=len(pairs))
    by_drug = pd.MultiIndex.from_product([["Ridge", "MeanEffects"], ["cell", "drug"], DRUGS])
    genes = pd.MultiIndex.from_product([DRUGS, range(1, 26)]).to_frame(index=False, name=["drug", "rank"])
    ranking = pd.MultiIndex.from_product([[f"patient{i}" for i in range(22)], range(1, 9)])
    return {
        "metrics": scores,
        "comparison": compare(scores, FLOORS),
        "scores_by_drug": by_drug.to_frame(index=False, name=["model", "split", "drug"]).assign(
            metric="pearson", value=[np.nan, *rng.uniform(-1, 1, len(by_drug) - 1)], n=40
        ),
        "ceilings": pd.DataFrame(
            {"between": "screens", "drug": DRUGS[:2], "metric": "pearson", "value": 0.49, "n": 30}
        ),
        "predictions": predictions,
        "ranking": ranking.to_frame(index=False, name=["cell", "rank"]).assign(drug=EVIL, prediction=-1.0),
        "biomarkers": genes.assign(
            gene=[f"G{i}" for i in range(len(genes))], weight=rng.normal(size=len(genes)), stability=0.5, q_value=1e-9
        ),
        "truth": pd.DataFrame(
            {"drug": "5", "feature": list("abc"), "modality": "expression", "found": [True, True, False]}
        ),
        "patients": pd.DataFrame(
            {"drug": ["5", EVIL], "cohort": "LUAD", "n": [30, 4], "responders": [12, 1], "auroc": [0.6, np.nan],
             "auroc_low": [0.4, np.nan], "auroc_high": [0.8, np.nan], "p_value": [0.2, np.nan]}
        ),
        "shift": pd.DataFrame({"measure": ["mmd2", EVIL], "value": [0.1, np.nan], "low": np.nan, "high": np.nan}),
        "coverage": pd.DataFrame(
            {"step": [EVIL, None], "kept": [1234, 0], "dropped": [3, 1], "why": None, "examples": EVIL}
        ),
        "history": pd.DataFrame(
            {"stage": EVIL, "member": [0, 0, 1, 1], "epoch": [1, 2, 1, 2], "train_total": [3.0, 2.0, np.nan, 1.0],
             f"train_{EVIL}": [1.0, 0.5, np.nan, 0.1], "train_fit": [2.0, 1.5, np.nan, 0.9], "valid_total": np.nan}
        ),
        "calibration": pd.DataFrame(
            {"group": ["all", "drug", "drug"], "drug": ["", *DRUGS[1:3]], "level": 0.9, "coverage": [0.85, 0.8, np.nan],
             "n": 40, "width": [2.5, np.nan, np.nan]}
        ),
        "atoms": pd.DataFrame(
            {"drug": EVIL, "name": "NA", "smiles": "CO", "atom": [0, 1], "element": ["C", "O"], "contribution": -0.1}
        ),
    }  # fmt: skip


def fake_run(folder: Path, rng: np.random.Generator, without: tuple[str, ...] = ()) -> Run:
    fields = {"floors": FLOORS, "note": EVIL}
    with start(folder, verb="benchmark", command=f"galenic benchmark {EVIL}", title=EVIL, fields=fields, seed=0) as run:
        run.record["data"] = {
            "pairs": 1234,
            "cells": 30,
            "drugs": 9,
            "unit": "ln_ic50",
            "modalities": {"expression": 50},
        }
        run.note(f"a warning with {EVIL}")
        for name, table in tables(rng).items():
            if name not in without:
                run.write(name, table)
    return run


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = fake_run(tmp_path_factory.mktemp("full") / "run", np.random.default_rng(0))
    return write_report(run.folder).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_every_section_of_a_full_run_is_shown(page: Page) -> None:
    assert page.sections == [
        "answer", "warnings", "scores", "calibration", "ranking", "observed", "drugs", "biomarkers", "atoms",
        "patients", "data", "training", "glossary", "provenance",
    ]  # fmt: skip
    of_all = 2  # the words, and how to repeat it
    of_searches, of_perturbations, of_targets, of_ensembles, of_cells = 4, 5, 1, 3, 13
    others = of_searches + of_perturbations + of_targets + of_ensembles + of_cells
    assert len(page.sections) == of_all + len(SECTIONS) - others


def test_nothing_is_loaded_from_outside(page: Page, html: str) -> None:
    for tag, attrs in page.tags:
        assert tag not in {"link", "iframe", "img", "object", "embed", "base", "form"}
        assert "src" not in attrs
        assert (attrs.get("href") or "#").startswith("#")
        assert not any(name.startswith("on") for name in attrs)
    policy = next(attrs["content"] for tag, attrs in page.tags if "http-equiv" in attrs)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "http" not in policy
    assert not re.search(r"@import|url\((?!#)", html.split("<style>")[1].split("</style>")[0])


def test_the_policy_admits_our_two_scripts_only(page: Page) -> None:
    policy = next(attrs["content"] for tag, attrs in page.tags if "http-equiv" in attrs)
    (library,) = [text for attrs, text in page.scripts if attrs.get("id") == "library"]
    (script,) = [text for attrs, text in page.scripts if not attrs]
    plotly = gzip.decompress(base64.b64decode(library))
    assert b"plotly.js" in plotly[:200]
    hashes = {base64.b64encode(hashlib.sha256(text).digest()).decode() for text in (plotly, script.encode())}
    assert set(re.findall(r"'sha256-([^']+)'", policy)) == hashes


def test_names_never_become_markup(page: Page, html: str) -> None:
    assert "<script>alert" not in html
    assert "<img" not in html
    assert page.shown.count(EVIL) > 10
    assert label("<b>&") == "&lt;b&gt;&amp;"
    for attrs, text in page.scripts:
        if attrs.get("type") == "application/json":
            assert not set("<>&") & set(text)


def test_missing_numbers_are_dashes(page: Page) -> None:
    assert not re.search(r"\b(nan|None|NaT|inf|<NA>)\b", page.shown.replace(EVIL, ""))
    assert "–" in page.shown
    assert "1,234" in page.shown
    assert not re.search(r"\d\.\d{6,}", page.shown)


def test_the_headline_tells_who_beats_the_floor(page: Page) -> None:
    answer = page.shown.split("The answer")[-1].split("Warnings")[0]
    assert re.search(r"On unseen cells the best model, Ridge, .* floor, MeanEffects; .*: it beats its floor\.", answer)
    assert re.search(r"On unseen drugs the best model, Ridge, .*: it does not beat its floor, as .* covers 0\.", answer)


def test_each_question_stands_before_its_answer(page: Page) -> None:
    asked = page.shown.index("How will a new cell respond to a drug that other cells were tested with?")
    assert asked < page.shown.index("On unseen cells the best model") < page.shown.index("How will known cells respond")


def test_the_best_model_is_drawn_beside_its_floor(tmp_path: Path, rng: np.random.Generator) -> None:
    run = fake_run(tmp_path, rng)
    truth = np.arange(20.0)
    table = pd.DataFrame({"cell": [f"c{i}" for i in range(20)], "drug": "x", "split": "cell", "response": truth})
    constant = table.assign(model="MeanEffects", prediction=0.1)
    run.write("predictions", pd.concat([table.assign(model="Ridge", prediction=truth + 1), constant]))
    shown = Page(write_report(tmp_path).read_text(encoding="utf-8")).shown
    assert "Unseen cells, Ridge: 20 pairs, Pearson 1.00." in shown
    assert "Unseen cells, MeanEffects, a floor: 20 pairs, Pearson –." in shown
    assert "KDRUG: 20 pairs" not in shown


def test_how_to_read_what_was_dropped_needs_a_coverage(tmp_path: Path, rng: np.random.Generator, page: Page) -> None:
    run = fake_run(tmp_path, rng, without=("coverage",))
    assert "If much was dropped" in page.shown
    assert "If much was dropped" not in Page(write_report(run.folder).read_text(encoding="utf-8")).shown


def test_planted_drivers_and_ceiling_are_counted(page: Page) -> None:
    assert "2 of 3 planted drivers were found" in page.shown
    assert re.search(r"ceiling\s+screens(\s+–)*\s+0\.700", page.shown)


def test_the_ranking_shows_the_first_cells_and_drugs(page: Page) -> None:
    assert "patient19" in page.shown
    assert "patient20" not in page.shown
    assert "The first 20 of 22 cells" in page.shown
    assert "rank 6" not in page.shown


def test_the_page_is_small_and_repeatable(tmp_path: Path, rng: np.random.Generator) -> None:
    run = fake_run(tmp_path, rng)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    first = write_report(run.folder).read_bytes()
    assert write_report(str(run.folder)).read_bytes() == first
    assert len(first) < 3.5e6
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {**before, "report.html": first}


@pytest.mark.parametrize("name", [*SECTION_OF, "comparison", "ceilings", "truth", "shift"])
def test_a_missing_file_takes_its_sections_along(
    tmp_path: Path, rng: np.random.Generator, page: Page, name: str
) -> None:
    run = fake_run(tmp_path, rng, without=(name,))
    shown = Page(write_report(run.folder).read_text(encoding="utf-8")).sections
    assert set(page.sections) - set(shown) == SECTION_OF.get(name, set())


@pytest.mark.parametrize(
    ("absent", "section"),
    [
        (("biomarkers", "truth"), "biomarkers"),
        (("patients", "shift"), "patients"),
        (("metrics", "predictions"), "answer"),
    ],
)
def test_a_section_of_two_files_goes_with_both(
    tmp_path: Path, rng: np.random.Generator, absent: tuple[str, ...], section: str
) -> None:
    run = fake_run(tmp_path, rng, without=absent)
    assert section not in Page(write_report(run.folder).read_text(encoding="utf-8")).sections


def test_a_minimal_run_has_a_light_page(tmp_path: Path) -> None:
    run = start(tmp_path, verb="fit", command="galenic fit Ridge", fields={})
    text = write_report(run.folder).read_text(encoding="utf-8")
    page = Page(text)
    assert page.sections == ["provenance"]
    assert "not finished, or was interrupted" in page.shown
    assert len(text) < 30_000


def test_a_failed_run_says_why(tmp_path: Path) -> None:
    run = start(tmp_path, verb="fit", command="", fields={})
    run.write("truth", tables(np.random.default_rng(0))["truth"])
    with pytest.raises(MemoryError), run:
        raise MemoryError("12 GB are not there.")
    said = "This run did not finish: MemoryError: 12 GB are not there; go on with --resume."
    assert said in write_report(tmp_path).read_text(encoding="utf-8")


@pytest.mark.parametrize(("verb", "advice"), [("benchmark", "go on with --resume"), ("predict", "with --overwrite")])
def test_a_stopped_run_says_how_to_go_on(tmp_path: Path, verb: str, advice: str) -> None:
    start(tmp_path, verb=verb, command="", fields={}).stop()
    shown = Page(write_report(tmp_path).read_text(encoding="utf-8")).shown
    assert re.search(f"This run did not finish: stopped by the user; .*{advice}", shown)


def test_a_prediction_run_counts_what_was_predicted(tmp_path: Path) -> None:
    with start(tmp_path, verb="predict", command="galenic predict run/ new.h5ad", fields={}) as run:
        run.write("predictions", pd.DataFrame({"cell": ["a", "b"], "drug": "x", "prediction": 0.5}))
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    assert page.sections == ["answer", "provenance"]
    assert "Responses predicted: 2 (2 cells × 1 drugs)" in page.shown
    assert "How far to trust this" not in page.shown


def test_a_prediction_run_tells_how_far_to_trust_it(tmp_path: Path) -> None:
    said = "On unseen cells it does not beat its floor."
    ranks = pd.MultiIndex.from_product([list("abcde"), range(1, 5)]).to_frame(index=False, name=["cell", "rank"])
    ranks = ranks.assign(drug=ranks["rank"].map(lambda rank: f"d{rank}"), prediction=ranks["rank"] / 2)
    fields = {"model": "Ridge", "judged": [said]}
    with start(tmp_path, verb="predict", command="", fields=fields) as run:
        run.write("predictions", ranks)
        run.write("ranking", ranks)
    shown = Page(write_report(tmp_path).read_text(encoding="utf-8")).shown
    assert "Responses predicted by Ridge: 20 (5 cells × 4 drugs)." in shown
    assert "The same 2 drugs lead in 5 of 5 cells: differences between drugs dominate" in shown
    assert shown.index("How far to trust this") < shown.index(said)
    assert shown.count(said) == 1


def test_leaders_that_differ_are_not_called_the_same(rng: np.random.Generator) -> None:
    table = pd.DataFrame({"cell": np.repeat([f"c{i}" for i in range(10)], 20), "drug": np.tile(np.arange(20), 10)})
    table["rank"] = np.concatenate([rng.permutation(20) + 1 for _ in range(10)])
    assert same_leaders(table) == ""
    table["rank"] = table["drug"] + 1
    assert same_leaders(table).startswith("The same 5 drugs lead in 10 of 10 cells")
    table.loc[table["cell"].isin(["c8", "c9"]), "rank"] = 20 - table["drug"]
    assert same_leaders(table) == ""


def test_drugs_are_called_by_name_and_id(tmp_path: Path, rng: np.random.Generator) -> None:
    run = fake_run(tmp_path, rng)
    for name, called in (("scores_by_drug", "Scored"), ("ranking", "Ranked"), ("biomarkers", "Marked")):
        run.write(name, tables(rng)[name].assign(drug="292", name=called))
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    assert all(f"{called} (292)" in page.shown for called in ("Scored", "Ranked", "Marked"))
    assert not re.search(r" 292 ", page.shown)
    (curves,) = [text for attrs, text in page.scripts if "drugs, from worst to best" in text]
    assert "Scored (292)" in curves


def test_counts_that_are_means_over_folds_say_so(page: Page) -> None:
    assert "cells per fold" in page.shown
    assert re.search(r"cells per fold\s+: Test cells of the drug in one fold, averaged over folds\.", page.shown)


def test_within_drug_tells_its_minimum(page: Page) -> None:
    assert f"counts only drugs with at least {MINIMUM_ROWS} test cells in a fold" in page.shown


def test_the_glossary_names_the_floors(page: Page) -> None:
    assert GLOSSARY["Floor"] in page.shown
    assert all(name in GLOSSARY["Floor"] for name in tasks.FLOORS)
    assert "factorisation" not in page.shown.lower()


def test_a_score_that_no_model_has_does_not_break_the_page(tmp_path: Path, rng: np.random.Generator) -> None:
    run = start(tmp_path, verb="benchmark", command="", fields={"floors": FLOORS})
    run.write("metrics", metrics(rng).assign(value=np.nan))
    assert "On unseen cells no model has a score" in write_report(tmp_path).read_text(encoding="utf-8")


def test_a_table_that_cannot_be_read_is_named(tmp_path: Path, rng: np.random.Generator) -> None:
    run = fake_run(tmp_path, rng)
    (tmp_path / "predictions.parquet").write_bytes(b"not parquet")
    with pytest.raises(ValueError, match=r"predictions\.parquet should be a parquet table.*delete it"):
        write_report(run.folder)
