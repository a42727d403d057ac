"""Each tutorial runs as a script, and what its text says of the numbers is true of those that come out."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "tutorials"


def reader() -> ModuleType:
    """The program that takes the code out of the tutorials, from where it lies."""
    spec = importlib.util.spec_from_file_location("tutorial_scripts", FOLDER / "scripts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPTS = reader()
Names = dict[str, Any]


def value(table: Any, model: str, metric: str, group: str = "all") -> float:
    rows = table.query("model == @model and metric == @metric and group == @group")
    return float(rows["value"].mean())


def bulk_response(names: Names) -> None:
    claims = names["claims"].set_index("model")
    assert claims["better"].all()  # both beat their best floor, with an interval that leaves out 0
    assert claims["difference"].idxmin() == "ElasticNet"  # "does best"
    within = names["result"].metrics.query("metric == 'pearson' and group == 'within_drug'")
    assert within[within["model"] == "DrugMean"]["value"].isna().all()  # "has no correlation there"
    assert value(names["result"].metrics, "KDRUG", "pearson", "within_drug") > 0.5
    assert 0.75 <= names["held"] <= 1.0
    assert names["found"]["found"].sum() >= 0.6 * names["found"]["planted"].sum()
    assert names["found"]["expected"].sum() < 2


def single_cells(names: Names) -> None:
    means = names["scores"].groupby(["metric", "model"])["value"].mean()
    assert means["auroc", "CellPrior"] == 0.5
    assert means["auroc", "CellLogistic"] < means["auroc", "AlignedLogistic"]  # "loses to the same regression"
    assert means["auroc"].drop("ScATD").max() < means["auroc", "ScATD"]
    probability, direction = names["answer"]["probability"], names["answer"].attrs["direction"]
    assert direction["two_kinds"]
    assert direction["confidence"] > 0.99
    assert ((probability < 0.1) | (probability > 0.9)).mean() > 0.9  # "nearly all P are close to 0 or to 1"
    assert names["model"].spec_["share_network"] == 0  # what is added comes from the neighbours
    assert len(names["drivers"] & set(names["first"])) > 3 * names["by_chance"]
    assert "label" not in names["cells"].obs


def untested_cell_types(names: Names) -> None:
    rows = names["result"].tables["skill"].query("metric == 'mae' and best")
    skill = rows.set_index("model")
    assert skill.loc["XTransferCDR", "low"] > 0  # beats its best floor
    assert skill.loc["XTransferCDR", "skill"] > skill.loc["StackedShift", "skill"]
    metrics = names["result"].metrics
    assert value(metrics, "XTransferCDR", "pearson_delta") > value(metrics, "MeanShift", "pearson_delta")
    effect = names["effect"]
    assert effect.corr().iloc[0, 1] > 0.7
    assert effect["predicted"].std() < effect["planted"].std()  # "predictions are smaller than effects"
    assert names["predicted"].obs["fallback"].eq("").all()


def search(names: Names) -> None:
    metrics, claims = names["result"].metrics, names["claims"].set_index("group")
    assert (claims["floor"] == "ShrinkageLDA").all()
    assert ((claims["low"] < 0) & (claims["high"] > 0)).all()  # level with its best floor
    for model in ("ReadAcross", "ShrinkageLDA"):
        assert value(metrics, model, "map") > value(metrics, "RawCosine", "map") + 0.1  # "far ahead"
    assert names["n_alike"] > 8 * (names["mechanisms"] == names["mechanism"]).mean()
    assert (names["hits"]["moa"].head(3) == names["mechanism"]).all()
    found = names["found"].set_index("label")
    assert found["q_rank"].idxmin() == names["mechanism"]
    assert found.loc[names["mechanism"], "q_rank"] < min(0.05, found.loc[names["mechanism"], "q_value"])
    flags = {
        of: list(names["model"].judge(names[of], names["model"].embed(names[of]))["flag"]) for of in ("query", "noise")
    }
    assert sum(map(bool, flags["noise"])) > sum(map(bool, flags["query"]))


def targets(names: Names) -> None:
    found = names["found"]
    assert found["DeepPert"].mean() > found["PCA (floor)"].mean()
    assert abs(found["DeepPert"].mean() - found["ICA (floor)"].mean()) < 0.1  # "a single ICA comes close"
    assert (found["DeepPert"] > 0.7).all()
    weights, both, profiles = names["weights"], names["both"], names["profiles"]
    for number in range(both.shape[1]):
        planted = set(profiles.var_names[profiles.varm["programmes"][:, number] != 0])
        first = set(weights.iloc[:, both[:, number].argmax()].abs().nlargest(15).index)
        assert len(planted & first) >= 8  # of 15, where chance gives 2.2
    assert {"dose", "time"}.isdisjoint(weights.index)
    assert np.isfinite(names["pairs"].pairs["p_value"]).all()


TRUE: dict[str, Callable[[Names], None]] = {
    one.__name__: one for one in (bulk_response, single_cells, untested_cell_types, search, targets)
}


@pytest.mark.parametrize("name", SCRIPTS.NAMES)
def test_the_tutorial_says_what_is_found(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: Names = {"__name__": name}
    with warnings.catch_warnings():
        # What libraries warn of is for developers; a warning of ours would stand on the page.
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", category=UserWarning, module="galenic")
        exec(compile(SCRIPTS.script_of(name), f"{name}.md", "exec"), names)
    TRUE[name](names)


def test_every_tutorial_has_what_was_agreed() -> None:
    """A figure, what can go wrong, and the same on the command line."""
    assert sorted(path.stem for path in FOLDER.glob("*.md")) == sorted(SCRIPTS.NAMES) == sorted(TRUE)
    for name in SCRIPTS.NAMES:
        text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
        assert "## What can go wrong" in text
        assert "## The same on the command line" in text
        assert "plots." in text
        assert "(floor)" in text or "floor" in text.lower()


def test_scripts_are_written(tmp_path: Path) -> None:
    program = [sys.executable, str(FOLDER / "scripts.py")]
    shown = subprocess.run([*program, "--out", str(tmp_path)], capture_output=True, text=True, check=True)
    assert [Path(line).name for line in shown.stdout.split()] == [f"{name}.py" for name in SCRIPTS.NAMES]
    for name in SCRIPTS.NAMES:
        written = (tmp_path / f"{name}.py").read_text(encoding="utf-8")
        assert "import galenic" in written
        assert not re.search(r"^```|^## ", written, re.M)
    assert subprocess.run([*program, "none"], capture_output=True).returncode == 2
