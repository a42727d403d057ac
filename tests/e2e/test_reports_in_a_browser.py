"""Reports as people open them: from disk, offline, on a screen, a phone and in the dark; and what they save."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from browser import DESK, PHONE, opened

from galenic.report import start, write_report
from galenic.report.compare import write_comparison

EVIL = '<img src=x onerror=alert(1)>&amp;"=1+1'
FLOORS = ["DrugMean", "MeanEffects"]
PAIRS = pd.MultiIndex.from_product([[f"c{i}" for i in range(30)], [f"d{i}" for i in range(7)] + [EVIL]])


def run_of(folder: Path, name: str, better: float, seed: int = 0, drugs: int = 8) -> Path:
    """A run folder with scores of three folds, predictions, genes, atoms and a history."""
    rng = np.random.default_rng(seed)
    levels = {"DrugMean": 1.4, "MeanEffects": 1.3, "Ridge": 1.2 - better}
    rows = [
        (model, "cell", fold, 0, group, metric, value + 0.01 * fold + rng.normal(0, 0.004), 80)
        for model, level in levels.items()
        for fold in range(3)
        for group, metric, value in (("all", "rmse", level), ("within_drug", "pearson", 1.5 - level))
    ]
    pairs = PAIRS[: 30 * drugs].to_frame(index=False, name=["cell", "drug"])
    pairs["response"] = np.random.default_rng(7).normal(size=len(pairs))
    pairs["prediction"] = pairs["response"] + rng.normal(size=len(pairs))
    pairs = pairs.assign(model="Ridge", split="cell", fold=pairs["cell"].str[1:].astype(int) % 3, seed=0)
    genes = pd.MultiIndex.from_product([["d1", EVIL], range(1, 16)]).to_frame(index=False, name=["drug", "rank"])
    genes = genes.assign(gene=[f"G{i}" for i in range(len(genes))], weight=rng.normal(size=len(genes)), stability=0.5)
    atoms = {"drug": EVIL, "name": EVIL, "smiles": "CO", "atom": [0, 1], "element": ["C", "O"], "contribution": -0.1}
    history = {
        "stage": "net",
        "member": 0,
        "epoch": [1, 2, 3],
        "train_fit": [3.0, 2.0, 1.5],
        "valid_fit": [3.1, 2.4, 2.3],
    }
    fields = {"model": "Ridge", "floors": FLOORS, "alpha": better, "note": EVIL}
    with start(
        folder / name, verb="fit", command=f"galenic fit {EVIL}", title=f"Ridge on {EVIL}", fields=fields
    ) as run:
        run.record["data"] = {"pairs": len(pairs), "unit": "ln_ic50"}
        run.note(f"a warning with {EVIL}")
        run.write(
            "metrics", pd.DataFrame(rows, columns=["model", "split", "fold", "seed", "group", "metric", "value", "n"])
        )
        run.write("predictions", pairs)
        run.write("biomarkers", genes.assign(q_value=0.01))
        run.write("atoms", pd.DataFrame(atoms))
        run.write("history", pd.DataFrame(history))
    return run.folder


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A full report, a comparison, and a page with neither figure nor table of scores."""
    folder = tmp_path_factory.mktemp("pages")
    one, two = run_of(folder, "one", 0.0), run_of(folder, f"two {EVIL.replace('/', '')}", 0.2, seed=1)
    with start(folder / "bare", verb="fit", command="galenic fit ridge", fields={}) as run:
        run.write("truth", pd.DataFrame({"drug": ["5"], "feature": ["G1"], "found": [True]}))
    return {
        "report": write_report(one),
        "compare": write_comparison([one, two], folder / "compare.html"),
        "bare": write_report(run.folder),
    }


def drawn(seen: Any) -> Any:
    """The page, once its figures are drawn."""
    seen.page.wait_for_function("document.body.dataset.drawn === 'yes'")
    return seen.page


def saved(page: Any, button: Any) -> tuple[str, str]:
    """Name and text of the file that a button saves."""
    with page.expect_download() as waited:
        button.click()
    return waited.value.suggested_filename, Path(waited.value.path()).read_text(encoding="utf-8-sig")


@pytest.fixture(scope="module")
def seen(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    """The full report on a desk, opened once: what tests do to it does not disturb the others."""
    with opened(browser, pages["report"].as_uri(), offline=True) as found:
        drawn(found)
        yield found
    assert found.complaints == []


@pytest.mark.parametrize(
    ("name", "scheme"), [("report", "light"), ("report", "dark"), ("compare", "light"), ("bare", "light")]
)
def test_a_page_opens_offline_and_can_be_read_by_all(
    browser: Any, pages: dict[str, Path], name: str, scheme: str
) -> None:
    with opened(browser, pages[name].as_uri(), size=DESK, scheme=scheme, offline=True) as seen:
        page = drawn(seen)
        assert seen.trouble() == []
        assert page.locator("h1").count() == 1
        levels = page.eval_on_selector_all("h1, h2, h3", "all => all.map(one => Number(one.tagName[1]))")
        assert all(after <= before + 1 for before, after in pairwise(levels))
        assert page.locator("section").last.get_attribute("id") == "provenance"
        seen.shot(f"report-{name}-{scheme}")
    assert seen.complaints == []
    assert seen.asked == [pages[name].as_uri()]


@pytest.mark.parametrize("name", ["report", "compare"])
def test_a_phone_shows_a_page_without_scrolling_sideways(browser: Any, pages: dict[str, Path], name: str) -> None:
    with opened(browser, pages[name].as_uri(), size=PHONE, has_touch=True, is_mobile=True) as seen:
        page = drawn(seen)
        width, shown = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width <= shown
        wide = page.eval_on_selector_all(
            ".scroll", "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).length"
        )
        reached = page.locator(".scroll[tabindex='0'][role='region'][aria-label]").count()
        assert reached >= wide > 0
        seen.shot(f"report-{name}-phone")


def test_every_figure_is_saved_with_its_numbers(seen: Any, pages: dict[str, Path]) -> None:
    page = seen.page
    figures = page.locator(".figures figure")
    assert figures.count() > 3
    for number in range(figures.count()):
        figure = figures.nth(number)
        title = figure.locator("figcaption").inner_text()
        for kind in ("SVG", "CSV"):
            button = figure.get_by_role("button", name=f"{kind}: {title}", exact=True)
            assert button.is_visible()
            name, text = saved(page, button)
            assert re.fullmatch(rf"[\w.+-]+\.{kind.lower()}", name)
            if kind == "SVG":
                drawing = ElementTree.fromstring(text)
                assert drawing.tag.endswith("svg")
                assert title.split()[0] in "".join(drawing.itertext())
            else:
                rows = list(csv.reader(io.StringIO(text)))
                assert len(rows) > 1
                assert {len(row) for row in rows} == {len(rows[0])}
    scores = figures.filter(has_text="RMSE").first
    _, text = saved(page, scores.get_by_role("button", name=re.compile("^CSV")))
    table = pd.read_csv(io.StringIO(text))
    assert seen.complaints == []
    assert list(table.columns) == [
        "series",
        "RMSE (ln IC50, µM)",
        "y",
        "RMSE (ln IC50, µM) low",
        "RMSE (ln IC50, µM) high",
        "name",
    ]
    metrics = pd.read_csv(pages["report"].parent / "metrics.csv").query("metric == 'rmse'")
    means = metrics.groupby("model")["value"].mean()
    dots = table[table["y"].isin(means.index)].set_index("y")
    np.testing.assert_allclose(dots.iloc[:, 1], means[dots.index], atol=1e-4)
    assert (dots.iloc[:, 2] < dots.iloc[:, 1]).all()
    assert (dots.iloc[:, 1] < dots.iloc[:, 3]).all()


def test_a_table_is_saved_whole_and_is_no_formula(seen: Any, pages: dict[str, Path]) -> None:
    page = seen.page
    genes = page.locator("#biomarkers .table")
    genes.get_by_role("searchbox").fill("G3")
    assert "of 30 rows" in genes.locator("output").inner_text()
    name, text = saved(page, genes.get_by_role("button", name=re.compile("^CSV")))
    _, scores = saved(page, page.locator("#scores .table").get_by_role("button", name=re.compile("^CSV")).first)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert name.endswith(".csv")
    assert len(rows) == 30
    truth = pd.read_csv(pages["report"].parent / "biomarkers.csv").set_index("gene")["weight"]
    assert all(float(row["weight"]) == pytest.approx(truth[row["gene"]]) for row in rows)
    assert {row["drug"] for row in rows} == {"d1", EVIL}
    first = next(csv.DictReader(io.StringIO(scores)))
    assert first["model"] == "Ridge"
    assert float(first["RMSE (ln IC50, µM)"]) == pytest.approx(1.21, abs=0.02)
    assert first["RMSE (ln IC50, µM) (note)"].startswith("[")


def test_tables_sort_and_figures_describe_themselves_by_keyboard_and_voice(seen: Any) -> None:
    page = seen.page
    head = page.locator("#scores thead button").nth(1)
    head.focus()
    page.keyboard.press("Enter")
    assert page.locator("#scores thead th").nth(1).get_attribute("aria-sort") == "ascending"
    values = page.eval_on_selector_all("#scores tbody tr", "rows => rows.map(row => Number(row.cells[1].dataset.sort))")
    assert values == sorted(values)
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    said = page.locator("#scores .plot").first.get_attribute("aria-label")
    assert re.search(r"Of model: Ridge 1\.2\d?\.", said)
    assert "Of floor: MeanEffects 1.3" in said
    assert page.locator("img").count() == 0


def test_text_that_a_spreadsheet_would_run_is_kept_as_text(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["bare"].as_uri()) as seen:
        page = drawn(seen)
        for text in ("=1+1", "+1+1", "-1+1", "@x", "\t=1"):
            assert page.evaluate("text => field(text)", text) == f"'{text}"
        assert page.evaluate("text => field(text)", "-1.5") == "-1.5"
        assert page.evaluate("() => field('a,\"b\"')") == '"a,""b"""'
