"""The Search page: queries by name, profile and lists; mimics and reversers; filters; errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("streamlit", reason="streamlit is in the extra [app]")

from streamlit.testing.v1 import AppTest

from galenic.app import searching
from galenic.app.demo import folders
from galenic.app.searching import Query
from galenic.models.reference import open_reference


@pytest.fixture(scope="module")
def reference() -> Any:
    return open_reference(folders()["search"])


@pytest.fixture(scope="module")
def own(reference: Any) -> pd.DataFrame:
    return reference.perturbagens.table


def opened() -> AppTest:
    def script() -> None:
        from galenic.app.main import shown

        shown("search")()

    return AppTest.from_function(script, default_timeout=60).run()


def said(app: AppTest) -> str:
    return "\n".join(one.value for one in [*app.success, *app.info, *app.warning, *app.error])


def test_a_profile_in_another_cell_line_finds_its_own_compound(reference: Any) -> None:
    query = Query(path=folders()["search"] / "query.csv", row="compound 4 in MCF7")
    answer = searching.ask(reference, query, k=5)
    assert answer.hits["pert_name"].iloc[0] == "compound 4"
    assert "compound 4" in searching.headline(answer, query)


def test_lists_of_the_same_profile_find_it_too(reference: Any) -> None:
    up, down = ((folders()["search"] / f"{side}.txt").read_text().split() for side in ("up", "down"))
    answer = searching.ask(reference, Query(up=tuple(up), down=tuple(down)), k=5)
    assert "compound 4" in set(answer.hits["pert_name"].head(3))
    assert "connectivity" in searching.hit_rows(answer.hits)


def test_what_acts_against_is_last_among_what_acts_alike(reference: Any) -> None:
    alike = searching.ask(reference, Query(name="compound 4"), k=60).hits["pert_name"].tolist()
    against = searching.ask(reference, Query(name="compound 4", reverse=True), k=5).hits["pert_name"]
    places = [alike.index(name) / len(alike) for name in against]
    assert np.mean(places) > 0.7


def test_filters_leave_what_fits(reference: Any) -> None:
    where = (("cell", frozenset(["A375"])), ("moa", frozenset(["statin"])))
    hits = searching.ask(reference, Query(name="compound 4", where=where), k=40).hits
    assert set(hits["moa"]) == {"statin"}
    assert set(hits["n_profiles"]) == {1}
    assert set(searching.filters(reference)) == {"cell", "moa", "target"}
    assert searching.doses(reference) is None


def test_an_unknown_name_is_refused_with_the_nearest(reference: Any) -> None:
    with pytest.raises(ValueError, match=r"Did you mean.*compound 4"):
        searching.ask(reference, Query(name="compund 4"))
    with pytest.raises(ValueError, match="none was given"):
        searching.ask(reference, Query())


def test_a_gene_on_both_lists_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1 are on both lists \(first: TP53\)"):
        searching.require_lists(("TP53", "MYC"), ("tp53",))


def test_names_in_a_drawing_are_never_markup(reference: Any) -> None:
    answer = searching.ask(reference, Query(name="compound 4"), k=3)
    evil = answer.hits.assign(pert_name="<script>alert(1)</script>", smiles=["CCO", "no structure", "c1ccccc1"])
    drawn = searching.drawings(answer._replace(hits=evil, queries=answer.queries.assign(smiles=None)))
    assert [name for name, _, _ in drawn] == ["1. <script>alert(1)</script>", "3. <script>alert(1)</script>"]
    assert all("script" not in svg for _, _, svg in drawn)


def test_the_page_answers_at_first_start() -> None:
    app = opened()
    assert not app.exception
    assert not app.error
    assert "acts most like compound 4" in said(app).replace("\\", "")
    assert len(app.dataframe) >= 1
    app.radio(key="search-side").set_value("What acts against it").run()
    assert "acts most against compound 4" in said(app).replace("\\", "")


def test_the_page_searches_for_profiles_and_lists() -> None:
    app = opened()
    app.radio(key="search-kind").set_value("A measured profile").run()
    assert not app.error
    assert "like compound 4 in MCF7" in said(app).replace("\\", "")
    app.radio(key="search-kind").set_value("Lists of genes").run()
    assert not app.error
    assert "like your lists of genes" in said(app).replace("\\", "")
    app.text_area(key="search-down").set_value("NOGENE1 NOGENE2").run()
    app.text_area(key="search-up").set_value("NOGENE3 NOGENE4").run()
    assert len(app.error) == 1


def test_an_upload_is_searched_for_and_a_bad_one_refused() -> None:
    app = opened()
    app.radio(key="search-kind").set_value("A measured profile").run()
    app.radio(key="search-source").set_value("My own file").run()
    assert not app.success
    table = pd.read_csv(folders()["search"] / "query.csv", index_col=0).iloc[[7]].rename(lambda _: "![x](http://a.b)")
    app.file_uploader(key="search-upload").set_value(("mine.csv", table.T.to_csv().encode(), "text/csv")).run()
    assert not app.error
    assert "compound 7" in said(app)
    assert "![x]" not in said(app)
    app.file_uploader(key="search-upload").set_value(("mine.csv", b"gene,a\nNO1,1.5\nNO2,0.5\n", "text/csv")).run()
    assert not app.exception
    assert len(app.error) == 1
    assert "Name genes by Entrez id or symbol" in app.error[0].value


def test_a_folder_that_is_no_reference_is_refused(tmp_path: Path) -> None:
    app = opened()
    app.selectbox(key="search-choice").set_value("A folder on this computer …").run()
    app.text_input(key="search-path").set_value(str(tmp_path)).run()
    assert len(app.error) == 1
    assert not app.exception
