"""The app in a real browser: examples, own files, bad files, a long job and what can be saved; for everybody."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from app_pages import App, served, visited
from browser import PHONE

pytest.importorskip("streamlit", reason="streamlit is in the extra [app]")

from galenic.app import training
from galenic.app.demo import folders
from galenic.data import read
from galenic.models.answering import answers
from galenic.models.base import load
from galenic.models.folders import models_by_drug
from galenic.report.words import number

TITLES = {
    "Start": "Drug response from gene expression",
    "Predict": "Which drugs is my sample sensitive to?",
    "Cells": "Which of my single cells respond to a drug?",
    "Search": "What acts like my signature, or against it?",
    "Perturb": "What would a drug do to the genes of my cells?",
    "Explain": "Which genes are behind a prediction?",
    "Benchmark": "How well do the models predict, beside simple baselines?",
}
MOST_MB = 1
OWN = "My own file"
SCRIPT = "../../x<script>window.hacked=1</script>.csv"
BAD = {
    "another ending": ("samples.docx", b"PK", "should end in .csv"),
    "empty": ("samples.csv", b"", "'samples.csv' has 0 bytes"),
    "no matrix": ("samples.csv", b"\x00\x01\x02", "samples.csv should hold text"),
    "a table of something else": ("a.csv", b"cell,drug,LN_IC50\nA,x,1\nB,x,2\n", "matrix of expression"),
    "other genes": ("mouse.csv", b"sample,Abca1,Abca2\nA,1.5,2.5\nB,2.5,1.0\n", "0 are here"),
    "markup and a path for a name": (SCRIPT, b"a,b\n1,2\n", "Rename it"),
}
"""Name, content, and what is said of it."""
SIMULATED = folders()


@pytest.fixture(scope="module")
def address(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of one app for all of these tests."""
    with served(tmp_path_factory.mktemp("home"), "--max-upload-mb", str(MOST_MB)) as url:
        yield url


@pytest.fixture(scope="module")
def app(browser: Any, address: str) -> Iterator[App]:
    """One window for all tests: each goes to a page of its own, as a user would."""
    with visited(browser, address) as found:
        yield found
    assert found.seen.complaints == []
    assert found.seen.strangers == []
    assert any(url.startswith("ws") for url in found.seen.asked)


def at_first(app: App, name: str, text: str, kind: str = "good") -> str:
    """Go to a page; what it answers at first, after it was looked at for barriers, and a picture was taken."""
    app.go(name, TITLES[name])
    said = app.says(kind, text)
    assert app.seen.trouble() == []
    assert app.page.get_by_role("heading", level=1).count() == 1
    assert app.box("bad").count() == 0
    app.shot(name)
    return said


def turned(table: pd.DataFrame, n: int) -> pd.DataFrame:
    """Some rows of an example as another laboratory would have them: genes the other way round, other names."""
    return table.iloc[:n, ::-1].rename(index=lambda name: f"patient of {name}")


def in_memory(adata: anndata.AnnData, place: Path) -> bytes:
    """Of a file of cells."""
    adata.write_h5ad(place / "own.h5ad")
    return (place / "own.h5ad").read_bytes()


def test_the_first_page_leads_to_every_question(app: App) -> None:
    app.settle()
    assert app.seen.trouble() == []
    app.shot("Start")
    cards = [one.get_attribute("href") for one in app.page.get_by_test_id("stPageLink-NavLink").all()]
    assert len(cards) == len(set(cards)) == len(TITLES) - 1
    app.page.get_by_role("link", name="Open Predict").click()
    app.page.get_by_role("heading", level=1, name=TITLES["Predict"]).wait_for()


def test_predict_ranks_drugs_for_own_samples_as_the_library_does(app: App, tmp_path: Path) -> None:
    at_first(app, "Predict", "most sensitive to")
    own = turned(pd.read_csv(SIMULATED["response"] / "cells.csv", index_col=0), 5)
    own.to_csv(tmp_path / "own.csv")
    app.pick("predict-source", OWN)
    app.upload("predict-upload", "tumours of 2024.csv", (tmp_path / "own.csv").read_bytes())
    said = app.says("good", "patient of CELL-1 is predicted")
    model = load(SIMULATED["response"])
    truth = answers(model, read.cells_to_predict(tmp_path / "own.csv", known=model.drugs_))
    best = truth[truth["cell"] == own.index[0]].sort_values("prediction")["prediction"]
    assert [f"({number(value, 2)})" in said for value in best.head(3)] == [True] * 3
    kept = pd.read_csv(app.saved("predict-download"))
    both = kept.merge(truth, on=["cell", "drug"], suffixes=("", "_truth"))
    assert len(both) == len(kept) == len(truth)
    np.testing.assert_allclose(both["prediction"], both["prediction_truth"], atol=1e-5)
    np.testing.assert_allclose(both["low"], both["low_truth"], atol=1e-5)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_upload_is_refused_in_words_and_the_next_is_judged(app: App, kind: str) -> None:
    name, content, why = BAD[kind]
    if app.page.get_by_role("heading", level=1, name=TITLES["Predict"]).count() == 0:
        app.go("Predict", TITLES["Predict"])
    app.pick("predict-source", OWN)
    app.upload("predict-upload", name, content)
    said = app.says("bad", why)
    assert said.count(". ") + said.count("; ") >= 1, "what was received and the remedy are told too"
    assert "Traceback" not in app.page.inner_text("body")
    assert app.page.evaluate("window.hacked") is None
    assert app.box("good").count() == 0


def test_a_file_that_is_too_large_does_not_leave_the_browser_and_the_page_goes_on(app: App) -> None:
    if app.page.get_by_role("heading", level=1, name=TITLES["Predict"]).count() == 0:
        app.go("Predict", TITLES["Predict"])
    app.pick("predict-source", OWN)
    n = len(app.seen.asked)
    app.upload("predict-upload", "atlas.csv", b"1,2\n" * (MOST_MB * 300_000))
    app.at("predict-upload").get_by_text(f"{MOST_MB}.0MB or smaller").wait_for()
    assert not any("upload_file" in url for url in app.seen.asked[n:])
    app.page.get_by_text(f"up to {MOST_MB} MB").first.wait_for()
    app.pick("predict-source", "Example")
    app.says("good", "CELL-1 is predicted")


def test_cells_are_judged_as_the_library_does_and_kept_with_their_answers(app: App, tmp_path: Path) -> None:
    at_first(app, "Cells", "are called sensitive")
    example = anndata.read_h5ad(SIMULATED["cells"] / "cells.h5ad")
    own = example[40:, ::-1].copy()
    own.obs_names = [f"biopsy {number}" for number in range(own.n_obs)]
    app.pick("cells-source", OWN)
    app.upload("cells-upload", "biopsy.h5ad", in_memory(own, tmp_path))
    app.says("good", "Of 200 cells")
    ((_, model),) = models_by_drug(SIMULATED["cells"]).items()
    truth = model.predict(own)
    table = pd.read_csv(app.saved("cells-csv"), index_col="cell")
    stored = anndata.read_h5ad(app.saved("cells-h5ad"))
    (column,) = [name for name in stored.obs if name.endswith("probability")]
    assert list(table.index) == list(stored.obs_names) == list(own.obs_names)
    np.testing.assert_allclose(stored.obs[column], truth["probability"], atol=1e-5)
    np.testing.assert_allclose(table.filter(like="probability").iloc[:, 0], truth["probability"], atol=1e-5)


def test_search_finds_for_an_own_profile_what_the_library_does(app: App) -> None:
    from galenic.models.reference import open_reference

    said = at_first(app, "Search", "acts most like compound 4")
    assert said.count("(tubulin inhibitor)") == 3
    assert "“tubulin inhibitor” stands out" in said
    own = turned(pd.read_csv(SIMULATED["search"] / "query.csv", index_col=0), 8).iloc[[7, 2]]
    app.pick("search-kind", "A measured profile")
    app.pick("search-source", OWN)
    app.upload("search-upload", "signature.csv", own.to_csv().encode())
    said = app.says("good", f"acts most like {own.index[0]}")
    kept = pd.read_csv(app.saved("search-hits"))
    reference = open_reference(SIMULATED["search"])
    truth = reference.by_profiles(anndata.AnnData(own.iloc[[0]].astype("float32")), k=len(kept)).hits
    assert kept["pert_name"].iloc[0] == truth["pert_name"].iloc[0] == "compound 7"
    assert f": {truth['pert_name'].iloc[0]} (" in said
    np.testing.assert_allclose(kept["similarity"], truth["similarity"], atol=1e-5)


def test_perturb_predicts_for_own_cells_what_the_library_does(app: App, tmp_path: Path) -> None:
    at_first(app, "Perturb", "is predicted to raise most")
    example = anndata.read_h5ad(SIMULATED["perturbation"] / "cells.h5ad")
    own = example[example.obs["control"].to_numpy(dtype=bool), ::-1].copy()
    own.obs_names = [f"untreated {number}" for number in range(own.n_obs)]
    app.pick("perturb-source", OWN)
    app.upload("perturb-upload", "untreated.h5ad", in_memory(own, tmp_path))
    app.page.get_by_text("untreated.h5ad").first.wait_for()
    said = app.says("good", "is predicted to raise most")
    model = load(SIMULATED["perturbation"])
    context, drug = said.split("In ")[1].split(", ")[0], said.split(", ")[1].split(" is predicted")[0]
    asked = pd.DataFrame({"context": [context], "perturbation": [drug]})
    predicted = model.predict(own, asked)
    truth = pd.Series(predicted.layers["effect"][0], predicted.var_names)
    kept = pd.read_csv(app.saved("perturb-download")).set_index("gene")
    assert f"{truth.idxmax()} ({truth.max():+.2f})" in said
    np.testing.assert_allclose(kept.loc[truth.index, "effect"], truth, atol=1e-5)


def test_explain_shows_genes_atoms_and_pairs_and_saves_them(app: App) -> None:
    at_first(app, "Explain", "behind the predictions of")
    genes = pd.read_csv(app.saved("explain-download"))
    pd.testing.assert_frame_equal(genes, pd.read_csv(SIMULATED["explain"] / "biomarkers.csv"))
    app.page.get_by_role("tab", name="Atoms of a drug").click()
    app.page.get_by_role("img", name="Structure of").wait_for()
    app.shot("Explain atoms")
    pd.testing.assert_frame_equal(
        pd.read_csv(app.saved("explain-atoms-download")), pd.read_csv(SIMULATED["explain"] / "atoms.csv")
    )
    app.page.get_by_role("tab", name="Pairs of targets").click()
    app.page.get_by_label("Run folder of 'galenic targets'").wait_for()
    app.settle()
    app.shot("Explain pairs")
    assert app.box("bad").count() == 0
    assert app.seen.trouble() == []


def test_benchmark_judges_own_scores_and_keeps_them_as_a_report(app: App) -> None:
    at_first(app, "Benchmark", "it beats its floor")
    rows = [("Ours", fold, 1 + 0.01 * fold) for fold in range(5)] + [("DrugMean", fold, 1.5) for fold in range(5)]
    scores = pd.DataFrame(rows, columns=["model", "fold", "value"])
    scores = scores.assign(split="cell", seed=0, group="all", metric="rmse", n=10)
    app.pick("benchmark-source", "A table of scores (metrics.csv)")
    app.upload("benchmark-upload", "our scores.csv", scores.to_csv(index=False).encode())
    said = app.says("good", "the best model, Ours")
    assert "1.020 against 1.500" in said
    page = app.saved("benchmark-report").read_text(encoding="utf-8")
    assert said.split("\n")[-1] in page.replace("&#39;", "'")


def test_a_training_shows_how_far_it_is_can_be_left_and_its_model_kept(app: App, tmp_path: Path) -> None:
    app.go("Predict", TITLES["Predict"])
    app.page.get_by_role("tab", name="Train on your own screen").click()
    give_screen(app)
    app.pick("train-model", training.MODELS["KDRUG"])
    app.at("train-go").get_by_role("button").click()
    app.page.get_by_text("Judging KDRUG on unseen cells").first.wait_for()
    app.page.locator("[data-testid=stProgress]:visible").first.wait_for()
    app.seen.shot("app-training", full=False)
    app.go("Start", TITLES["Start"])
    app.go("Predict", TITLES["Predict"])
    app.page.get_by_role("tab", name="Train on your own screen").click()
    give_screen(app)
    app.at("train-go").get_by_role("button").click()
    app.says("good", "is trained, and chosen under")
    said = " ".join(app.page.get_by_role("tabpanel").all_inner_texts())
    assert "KernelRidge" in said
    assert "DrugMean" in said
    app.shot("Trained")
    with zipfile.ZipFile(app.saved("train-zip")) as archive:
        archive.extractall(tmp_path)
    (folder,) = tmp_path.iterdir()
    model = load(folder)
    assert sorted(model.drugs_.index) == sorted(pd.read_csv(io.BytesIO(training.example()["drugs.csv"]))["drug"])
    own = pd.read_csv(io.BytesIO(training.example()["expression.csv"]), index_col=0)
    app.page.get_by_role("tab", name="Predict with a model").click()
    app.pick("predict-source", OWN)
    app.upload("predict-upload", "new.csv", turned(own, 3).to_csv().encode())
    said = app.says("good", f"patient of {own.index[0]} is predicted")
    turned(own, 3).to_csv(tmp_path / "new.csv")
    table = answers(model, read.cells_to_predict(tmp_path / "new.csv", known=model.drugs_))
    assert f"({number(table[table['cell'] == f'patient of {own.index[0]}']['prediction'].min(), 2)})" in said


def give_screen(app: App) -> None:
    """Upload the screen, with columns in another order and named otherwise."""
    files = training.example()
    responses = pd.read_csv(io.BytesIO(files["responses.csv"]))
    responses = responses[responses.columns[::-1]].rename(columns={"cell": "CELL_LINE_NAME", "drug": "DRUG_NAME"})
    given = {"response": responses.to_csv(index=False).encode(), "expression": files["expression.csv"],
             "drugs": files["drugs.csv"]}  # fmt: skip
    for what, content in given.items():
        app.upload(f"train-{what}", f"{what}.csv", content)
        app.at(f"train-{what}").get_by_text(f"{what}.csv").wait_for()
    app.page.get_by_text("Stay on this page until it is done").wait_for()
    app.settle()


def test_a_phone_in_the_dark_shows_pages_without_scrolling_sideways(browser: Any, address: str) -> None:
    with visited(browser, address, size=PHONE, scheme="dark", has_touch=True, is_mobile=True) as app:
        for name in ("Predict", "Search"):
            app.page.get_by_role("link", name=f"Open {name}").click()
            app.page.get_by_role("heading", level=1, name=TITLES[name]).wait_for()
            app.box("good").first.wait_for()
            app.settle()
            width = "Math.max(...[document.documentElement, document.querySelector('[data-testid=stMain]')]"
            assert app.page.evaluate(f"{width}.map(one => one.scrollWidth))") <= PHONE[0]
            assert app.seen.trouble() == []
            app.shot(f"{name} on a phone")
            app.page.go_back()
    assert app.seen.complaints == []
    assert app.seen.strangers == []
