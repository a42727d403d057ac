"""Several runs on one page: differences are claimed only where both were tested on the same rows."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galenic.evaluate import paired
from galenic.report import read, start
from galenic.report.blocks import Table
from galenic.report.comparable import difference, obstacle, sides
from galenic.report.compare import compared, write_comparison

EVIL = '<script>alert("1")</script><img src=x onerror=alert(1)>'
FLOORS = ["DrugMean", "MeanEffects"]
COLUMNS = ["model", "split", "fold", "seed", "group", "metric", "value", "n"]


def scores(
    level: float, noise: int = 0, folds: int = 5, seeds: tuple[int, ...] = (0,), split: str = "cell"
) -> pd.DataFrame:
    """Scores of two floors, which depend on the rows alone, and of a model around a planted level."""
    rng = np.random.default_rng(noise)
    rows = [
        (model, split, fold, seed, "all", metric, value if metric == "rmse" else 1 - value / 4, 90)
        for fold in range(folds)
        for seed in seeds
        for model, value in (
            ("DrugMean", 1.4 + 0.05 * fold),
            ("MeanEffects", 1.3 + 0.05 * fold),
            ("Ridge", level + 0.05 * fold + rng.normal(0, 0.005)),
        )
        for metric in ("rmse", "pearson")
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def pairs(folds: int = 5, shift: int = 0, response: float = 0.0) -> pd.DataFrame:
    cells = np.arange(30) + shift
    table = pd.MultiIndex.from_product([[f"c{cell}" for cell in cells], ["x", "y"]]).to_frame(index=False)
    table.columns = pd.Index(["cell", "drug"])
    number = table["cell"].str[1:].astype(int)
    told = {"prediction": 0.1, "model": "Ridge", "split": "cell", "fold": number % folds, "seed": 0}
    return table.assign(response=number / 10 + response, **told)


def run_of(folder: Path, metrics: pd.DataFrame | None, predictions: pd.DataFrame | None = None, **more: object) -> Path:
    fields = {"model": "Ridge", "floors": FLOORS, "by": ["cell"], **{k: v for k, v in more.items() if k != "unit"}}
    with start(folder, verb="fit", command=f"galenic fit ridge --out {folder.name}", fields=fields, seed=0) as run:
        run.record["data"] = {"pairs": 60, "unit": more.get("unit", "ln_ic50")}
        run.write("truth", pd.DataFrame({"drug": ["5"], "feature": ["G1"], "found": [True]}))
        if metrics is not None:
            run.write("metrics", metrics)
        if predictions is not None:
            run.write("predictions", predictions)
    return folder


def shown(*folders: Path) -> str:
    """What a page says, without markup and scripts."""
    text = write_comparison(folders, folders[0].parent / "page.html").read_text(encoding="utf-8")
    body = re.sub(r"<script.*?</script>", " ", text.split("<body>")[1], flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body)).replace("&#39;", "'")


@pytest.mark.parametrize(
    ("gain", "words"), [(0.2, ": better."), (0.0, "as the interval covers 0."), (-0.2, ": worse.")]
)
def test_a_planted_difference_gets_the_right_word(tmp_path: Path, gain: float, words: str) -> None:
    one, two = run_of(tmp_path / "one", scores(1.2)), run_of(tmp_path / "two", scores(1.2 - gain, noise=1))
    said = shown(one, two)
    assert words in said
    assert "On unseen cells, Ridge of two has RMSE" in said
    assert "for Ridge of one; the difference over 5 folds is" in said


def test_the_difference_is_that_of_paired_and_turns_with_the_order(tmp_path: Path) -> None:
    tables = scores(1.2), scores(1.1, noise=1)
    one, two = sides([run_of(tmp_path / name, table) for name, table in zip(("one", "two"), tables, strict=True)])
    found = difference(two, "Ridge", one, "Ridge", "cell", "rmse")
    joined = pd.concat(
        [table[table["model"] == "Ridge"].assign(model=name) for table, name in zip(tables, "ab", strict=True)]
    )
    expected = paired(joined, "b", "a", metric="rmse")
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx(
        [expected[key] for key in ("difference", "low", "high")]
    )
    turned = difference(one, "Ridge", two, "Ridge", "cell", "rmse")
    assert turned is not None
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))
    same = difference(one, "Ridge", one, "Ridge", "cell", "rmse")
    assert same is not None
    assert same.value == 0


def test_other_seeds_of_the_same_folds_are_averaged_inside_the_folds(tmp_path: Path) -> None:
    tables = scores(1.2, seeds=(0, 1)), scores(1.1, noise=1, seeds=(2, 3, 4))
    one, two = sides([run_of(tmp_path / name, table) for name, table in zip(("one", "two"), tables, strict=True)])
    found = difference(two, "Ridge", one, "Ridge", "cell", "rmse")
    means = [table.query("model == 'Ridge' and metric == 'rmse'").groupby("fold")["value"].mean() for table in tables]
    assert found is not None
    assert found.n == 5
    assert found.value == pytest.approx((means[1] - means[0]).mean())


def test_few_folds_have_a_difference_and_no_interval(tmp_path: Path) -> None:
    one, two = (run_of(tmp_path / name, scores(level, folds=1)) for name, level in (("one", 1.2), ("two", 1.0)))
    assert "there is no interval, as there are too few folds" in shown(one, two)


CASES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "unit": (
        lambda path: run_of(path, scores(1.1), unit="auc"),
        "other units: area under the curve in other, ln IC50, µM in first",
    ),
    "folds": (lambda path: run_of(path, scores(1.1, folds=3)), "divided otherwise: 3 folds in other, 5 folds in first"),
    "rows": (lambda path: run_of(path, scores(1.1), pairs(shift=5)), "other rows: 50 are shared, of 60 and 60"),
    "division": (
        lambda path: run_of(path, scores(1.1), pairs().assign(fold=lambda t: (t["fold"] + 1) % 5)),
        "the same rows lie in other folds",
    ),
    "responses": (lambda path: run_of(path, scores(1.1), pairs(response=0.5)), "60 test rows have other responses"),
    "split": (lambda path: run_of(path, scores(1.1, split="drug")), "was not scored on unseen cells"),
    "none": (lambda path: run_of(path, None), "other has no scores of folds"),
    "floors": (
        lambda path: run_of(path, scores(1.1).assign(value=lambda t: t["value"] + 0.1)),
        "the floors that both ran have other scores",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_compared_is_said_in_words(tmp_path: Path, name: str) -> None:
    other, words = CASES[name]
    first = run_of(tmp_path / "first", scores(1.2), pairs())
    said = shown(first, other(tmp_path / "other"))
    assert words in said
    assert "the difference over" not in said
    assert not re.search(r"\b(nan|None|NaN)\b", said)


def test_a_division_of_a_folder_without_predictions_is_told_from_its_floors(tmp_path: Path) -> None:
    one, two = sides([run_of(tmp_path / "one", scores(1.2), pairs()), run_of(tmp_path / "two", scores(1.1))])
    assert obstacle(one, two, "cell") == obstacle(two, one, "cell") == ""


def test_nothing_shared_is_no_evidence(tmp_path: Path) -> None:
    alone = scores(1.2).query("model == 'Ridge'")
    one, two = sides([run_of(tmp_path / name, alone) for name in ("one", "two")])
    assert obstacle(one, two, "cell").startswith("nothing in the two folders shows")


def test_what_differs_is_listed_and_the_rest_counted(tmp_path: Path) -> None:
    one = run_of(tmp_path / "one", scores(1.2), alpha=1.0, depth=3)
    two = run_of(tmp_path / "two", scores(1.1), alpha=2.0, width=5)
    (section,) = [part for part in compared(sides([one, two])) if part.key == "differences"]
    (table,) = [block for block in section.blocks if isinstance(block, Table)]
    assert table.head == ["what", "one", "two"]
    assert ["alpha", "1.0", "2.0"] in table.rows
    assert [row[0] for row in table.rows] == ["command", "alpha"]
    said = shown(one, two)
    assert re.search(r"Only one has depth 3", said)
    assert re.search(r"Only two has width 5", said)
    for left, right in ((one, two), (two, one)):
        assert "alpha" in shown(left, right)


def test_runs_alike_are_told_so(tmp_path: Path) -> None:
    one, two = (
        run_of(tmp_path / "a" / "run", scores(1.2), pairs()),
        run_of(tmp_path / "b" / "run", scores(1.2), pairs()),
    )
    said = shown(one, two)
    assert "they are the same." in said
    assert "Nothing differs" in said
    assert str(one) in said
    assert str(two) in said


def test_names_never_become_markup(tmp_path: Path) -> None:
    found = []
    for name in ("one", EVIL.replace("/", "")):
        table = scores(1.2).replace({"model": {"Ridge": EVIL}, "split": {"cell": EVIL}})
        folder = run_of(tmp_path / name, table, **{EVIL: EVIL + name, "model": EVIL})
        run = read(folder)
        run.note(EVIL)
        found.append(folder)
    text = write_comparison(found, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "&lt;img src=x" in text
    for data in re.findall(r'<script type="application/json">(.*?)</script>', text, flags=re.DOTALL):
        assert not set("<>&") & set(data)


def test_three_runs_share_a_page_that_is_the_same_again(tmp_path: Path) -> None:
    folders = [run_of(tmp_path / name, scores(level, noise)) for noise, (name, level) in
               enumerate((("one", 1.2), ("two", 1.0), ("three", 1.3)))]  # fmt: skip
    place = write_comparison(folders, tmp_path / "deep" / "page.html")
    before = place.read_bytes()
    assert write_comparison(folders, place).read_bytes() == before
    text = before.decode()
    order = re.findall(r'<section id="([\w-]+)"', text)
    assert order == ["answer", "scores", "differences", "glossary", "provenance"]
    assert text.count("best floor</span>") == 3


def asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    from galenic.cli.main import main

    monkeypatch.setattr(sys, "argv", ["galenic", "report", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    found = capsys.readouterr()
    return int(ended.value.code or 0), found.out + found.err


def test_the_command_writes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    one, two = run_of(tmp_path / "one", scores(1.2)), run_of(tmp_path / "two", scores(1.1))
    monkeypatch.chdir(tmp_path)
    code, said = asked(monkeypatch, capsys, "--compare", one, two)
    assert (code, said.strip()) == (0, "report: compare.html")
    code, _ = asked(monkeypatch, capsys, "--compare", one, two, "--out", "other.html")
    assert code == 0
    assert (tmp_path / "other.html").read_bytes() == (tmp_path / "compare.html").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--compare", "one"), "two or more run folders are expected; received 1"),
        (("--compare", "one", "one"), "different run folders are expected"),
        (("--compare", "one", "absent"), "should hold run.json; the folder does not exist"),
        (("--compare", "one", "broken"), "cannot be read"),
        (("--compare", "one", "half"), "half/metrics.csv needs the columns model, split"),
        (("--compare", "one", "two", "--out", "mine.html"), "mine.html is another file"),
        (("--compare", "one", "two", "--out", "one"), "one is a folder"),
        (("one", "two"), "one run folder is expected"),
        (("one", "--out", "x.html"), "Add --compare"),
    ],
)
def test_bad_folders_are_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, arguments: tuple[str, ...], words: str
) -> None:
    for name in ("one", "two", "half"):
        run_of(tmp_path / name, scores(1.2))
    (tmp_path / "half" / "metrics.csv").write_text("model\n\x00")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    (tmp_path / "mine.html").write_text("<p>mine</p>")
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    code, said = asked(monkeypatch, capsys, *arguments)
    assert code == 2
    assert words in re.sub(r"\s+", " ", said)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
    assert (tmp_path / "mine.html").read_text() == "<p>mine</p>"


def test_a_run_that_is_not_finished_is_compared_and_told(tmp_path: Path) -> None:
    one, two = run_of(tmp_path / "one", scores(1.2)), run_of(tmp_path / "two", scores(1.1))
    record = json.loads((two / "run.json").read_text())
    (two / "run.json").write_text(json.dumps(record | {"state": "stopped"}))
    assert "Not finished: two." in shown(one, two)
