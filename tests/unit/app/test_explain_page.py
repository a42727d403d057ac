"""The Explain page: genes, atoms and pairs of targets of a run, and what it says where there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("streamlit", reason="streamlit is in the extra [app]")

from streamlit.testing.v1 import AppTest

from galenic.app import explaining
from galenic.app.demo import folders
from galenic.app.shown import Shown
from galenic.report.run import read, start

ROWS = pd.DataFrame(
    {
        "drug": "D1",
        "gene": ["A", "B", "C"],
        "rank": [1, 2, 3],
        "weight": [0.5, -0.4, 0.1],
        "spread": [0.1, 0.1, 0.1],
        "stability": [1.0, 0.9, 0.2],
        "q_value": [0.001, 0.2, 0.01],
    }
)


def test_only_what_is_stable_and_beyond_chance_is_trusted() -> None:
    assert explaining.trusted(ROWS)["gene"].tolist() == ["A"]
    assert explaining.trusted(ROWS.drop(columns="q_value"))["gene"].tolist() == ["A", "B"]
    assert "A (more of it: resistance)" in explaining.headline(ROWS, "drug")
    assert "as a guess" in explaining.headline(ROWS.assign(stability=0.1), "drug")


def test_planted_drivers_are_counted_among_the_first() -> None:
    planted = pd.DataFrame({"drug": "D1", "feature": ["A", "X"], "effect": [1.0, 1.0]})
    said = explaining.planted_said(ROWS, planted, n_genes=10)
    assert said.startswith("Simulated, so the truth is known: 1 of the 2 planted drivers are among the first 2 genes")
    assert "(chance: 0.4)" in said
    assert "Missed: X." in said
    assert explaining.gene_rows(ROWS, planted)["planted driver"].tolist() == [True, False, False]


def test_most_planted_drivers_of_the_example_are_found() -> None:
    folder = folders()["explain"]
    table = read(folder).table("biomarkers")
    found = [
        explaining.of_drug(table, drug).head(3)["gene"].isin(explaining.drivers(folder, drug)["feature"]).sum()
        for drug in table["drug"].unique()
    ]
    assert np.mean(found) > 1.5


def test_a_drug_is_drawn_or_left_out() -> None:
    rows = pd.DataFrame({"smiles": "CCO", "contribution": [0.1, -0.2, 0.3]})
    assert "<rect" in explaining.molecule(rows)
    assert explaining.molecule(rows.head(2)) is None
    assert explaining.molecule(rows.assign(smiles="<script>")) is None
    assert explaining.molecule(rows.assign(contribution=[0.1, np.nan, 0.3])) is None
    assert explaining.molecule(rows.head(0)) is None


def test_it_is_told_how_much_atoms_count() -> None:
    def said(**shares: str) -> str:
        fields = {f"share of the networks, {who}": share for who, share in shares.items()}
        return explaining.share_said(Shown.of({"fields": fields}))

    assert said() == ""
    assert "count for nothing" in said(student="0.00, for new drugs 0.00 (0 = the start alone answers)")
    assert "student 0.20" in said(student="0.20, for new drugs 0.00")


def test_genes_are_counted_where_the_run_tells() -> None:
    assert explaining.n_genes(Shown.of({"data": {"modalities": {"expression": 80}}})) == 80
    assert explaining.n_genes(Shown.of({"data": {}})) is None


def test_whiskers_lie_around_weights() -> None:
    drawn = explaining.forest_rows(ROWS)
    np.testing.assert_allclose(drawn["high"] - drawn["value"], ROWS["spread"])
    np.testing.assert_allclose(drawn["value"] - drawn["low"], ROWS["spread"])


def test_tables_in_memory_are_read_as_those_of_a_run() -> None:
    run = Shown.of({"title": "x"}, hits=pd.DataFrame({"query": ["a", "b"], "rank": [1, 1]}))
    assert run.table("map") is None
    assert run.table("hits", query="b")["rank"].tolist() == [1]
    assert run.table("hits", absent="b") is not None


def opened() -> AppTest:
    def script() -> None:
        from galenic.app.main import shown

        shown("explain")()

    return AppTest.from_function(script, default_timeout=60).run()


def test_the_page_answers_at_first_start() -> None:
    app = opened()
    assert not app.exception
    assert not app.error
    assert "behind the predictions of" in app.success[0].value
    assert any("planted drivers" in one.value for one in app.info)
    assert {"Genes of a drug", "Atoms of a drug", "Pairs of targets"} == {one.label for one in app.tabs}
    drugs = app.selectbox(key="explain-drug").options
    first = app.success[0].value
    app.selectbox(key="explain-drug").set_value(drugs[-1]).run()
    assert not app.error
    assert app.success[0].value != first


@pytest.mark.parametrize("place", ["/no/such/folder", "response"])
def test_a_run_without_targets_is_refused(place: str, tmp_path: Path) -> None:
    app = opened()
    if place == "response":
        with start(tmp_path / "run", verb="fit", command="galenic fit ridge", fields={}) as run:
            run.path("nothing")
            (tmp_path / "run" / "nothing").write_text("x")
        place = str(tmp_path / "run")
    app.text_input(key="explain-targets").set_value(place).run()
    assert not app.exception
    assert len(app.error) == 1
