"""The pages drawn without a browser: what they show at first, and that refusals are words."""

from __future__ import annotations

import pytest

pytest.importorskip("streamlit", reason="streamlit is in the extra [app]")

from streamlit.testing.v1 import AppTest

from galenic.app.serve import SCRIPT

SECONDS = 60


def draw(name: str) -> AppTest:
    return AppTest.from_string(
        f"from galenic.app.main import shown\nshown({name!r})()", default_timeout=SECONDS
    ).run()  # fmt: skip


def ask(page: AppTest, key: str, content: bytes, name: str) -> AppTest:
    return page.file_uploader(key=key).set_value((name, content, "text/csv")).run()


@pytest.fixture(scope="module")
def predict() -> AppTest:
    return draw("predict")


def test_the_page_of_predictions_answers_with_the_example(predict: AppTest) -> None:
    assert not predict.exception
    assert not predict.error
    assert "most sensitive to" in predict.success[0].value
    assert any("floor" in note.value for note in predict.info)
    assert [one.value for one in predict.header][:2] == ["Answer", "All samples and drugs"]
    assert any("none lies far outside the cells that the model learned from" in one.value for one in predict.markdown)
    table = predict.dataframe[0].value
    assert len(table) == len(predict.selectbox(key="predict-sample").options) * table["drug"].nunique()


def test_an_upload_replaces_the_example_and_bad_ones_are_refused(predict: AppTest) -> None:
    page = predict.radio(key="predict-source").set_value("My own file").run()
    assert not page.success
    assert not page.error
    refused = ask(page, "predict-upload", b"cell,drug,LN_IC50\nA,x,1\nB,x,2\n", "table.csv")
    assert not refused.exception
    assert len(refused.error) == 1
    assert "matrix of expression" in refused.error[0].value
    refused = ask(page, "predict-upload", b"\x00\x01\x02", "bad.csv")
    assert not refused.exception
    assert len(refused.error) == 1
    assert not refused.success


def test_the_page_of_cells_answers_with_the_example() -> None:
    page = draw("cells")
    assert not page.exception
    assert not page.error
    assert "are called sensitive" in page.success[0].value
    assert "Groups of cells" in [one.value for one in page.header]


def test_the_page_of_benchmarks_takes_a_run_and_a_table() -> None:
    page = draw("benchmark")
    assert not page.exception
    assert not page.error
    assert any("floor" in one.value for one in [*page.success, *page.warning])
    page = page.radio(key="benchmark-source").set_value("A table of scores (metrics.csv)").run()
    rows = ["model,split,fold,seed,group,metric,value,n"]
    rows += [f"Net,cell,{fold},0,all,rmse,{1 + 0.01 * fold},10" for fold in range(5)]
    rows += [f"DrugMean,cell,{fold},0,all,rmse,{2 + 0.02 * fold},10" for fold in range(5)]
    page = ask(page, "benchmark-upload", "\n".join(rows).encode(), "metrics.csv")
    assert not page.exception
    assert not page.error
    assert "beats its floor" in page.success[0].value
    assert "Net" in page.success[0].value
    page = ask(page, "benchmark-upload", b"model,value\nNet,1\n", "metrics.csv")
    assert not page.exception
    assert len(page.error) == 1


def test_every_page_and_the_first_are_listed() -> None:
    page = AppTest.from_file(str(SCRIPT), default_timeout=SECONDS).run()
    assert not page.exception
    assert page.title[0].value == "Drug response from gene expression"
    assert len(page.header) == 6
