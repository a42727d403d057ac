"""What the page of predictions computes, held against the models themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from galenic.app import predicting, training
from galenic.data.read import cells_to_predict
from galenic.data.response import ResponseData
from galenic.data.simulate import screen
from galenic.models import find
from galenic.models.base import load

WITHOUT_TISSUES = pytest.mark.filterwarnings("ignore:the model reads tissues")


@pytest.fixture(scope="module")
def data() -> ResponseData:
    made = screen(60, 10, 60, noise=0.3, seed=3)[0]
    return replace(made, cells=AnnData(made.cells.to_df()))  # without tissues, which a file of expression has not


@pytest.fixture(scope="module")
def model(data: ResponseData):
    return find("Ridge")().fit(data)


@pytest.fixture
def samples(data: ResponseData, tmp_path: Path) -> Path:
    data.cells[:6].to_df().to_csv(tmp_path / "new.csv")
    return tmp_path / "new.csv"


def test_the_table_is_what_the_model_says(model, samples: Path) -> None:
    found = predicting.predict(model, samples)
    asked = cells_to_predict(samples, known=model.drugs_)
    said = model.predict(asked).set_index(["cell", "drug"])["prediction"]
    table = found.table.set_index(["cell", "drug"])
    np.testing.assert_allclose(table["prediction"], said.reindex(table.index))
    for _, rows in found.table.groupby("cell"):
        assert rows.sort_values("rank")["prediction"].is_monotonic_increasing
    np.testing.assert_allclose(table["difference"], table["prediction"] - table["usual"])


def test_an_average_sample_is_no_different_from_the_average_cell(model, data: ResponseData, tmp_path: Path) -> None:
    mean = pd.DataFrame([model.arrays_["mean.expression"]], index=["mean"], columns=model.spec_["inputs"]["expression"])
    mean.to_csv(tmp_path / "mean.csv")
    found = predicting.predict(model, tmp_path / "mean.csv")
    np.testing.assert_allclose(found.table["difference"], 0, atol=1e-6)


def test_samples_on_another_scale_are_warned_of(model, samples: Path, tmp_path: Path) -> None:
    assert predicting.outside(predicting.predict(model, samples)).startswith("Of 6 samples none lies far outside")
    (pd.read_csv(samples, index_col=0) + 5).to_csv(tmp_path / "other.csv")
    with pytest.warns(UserWarning, match="samples should resemble the cells"):
        found = predicting.predict(model, tmp_path / "other.csv")
    assert predicting.outside(found).startswith("Of 6 samples 6 lie far outside")
    assert found.shift["cell"].tolist() == list(dict.fromkeys(found.table["cell"]))


def test_genes_that_are_missing_are_counted(model, samples: Path, tmp_path: Path) -> None:
    pd.read_csv(samples, index_col=0).iloc[:, :40].to_csv(tmp_path / "few.csv")
    with pytest.warns(UserWarning, match="20 of 60 features of expression are missing"):
        found = predicting.predict(model, tmp_path / "few.csv")
    assert predicting.genes_found(found.coverage) == (40, 60)
    assert predicting.genes_found(predicting.predict(model, samples).coverage) == (60, 60)


def test_the_answer_names_the_first_drugs_and_the_one_that_stands_out(model, samples: Path) -> None:
    found = predicting.predict(model, samples)
    cell = found.table.loc[found.table["difference"].idxmin(), "cell"]
    rows = found.table[found.table["cell"] == cell].sort_values("rank")
    said = predicting.answer(found, cell)
    places = [said.index(name) for name in rows["title"].head(3)]
    assert places == sorted(places)
    assert f"stands out most for {rows.loc[rows['difference'].idxmin(), 'title']}" in said
    drawn = predicting.of_sample(found, cell, 4)
    assert list(drawn["label"]) == list(rows["title"].head(4))


def test_the_search_field_keeps_whole_rows(model, samples: Path) -> None:
    found = predicting.predict(model, samples)
    everything = predicting.shown(found)
    some = predicting.shown(found, " c0003 ")
    assert set(some["sample"]) == {"C0003"}
    assert len(some) == 10
    pd.testing.assert_frame_equal(some, everything[everything["sample"] == "C0003"])
    assert predicting.shown(found, "(").empty or "(" in str(predicting.shown(found, "(").to_numpy())


@WITHOUT_TISSUES
def test_a_screen_is_judged_beside_floors_fitted_kept_and_comes_back(tmp_path: Path) -> None:
    files = training.example()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    data = training.read_screen(
        tmp_path / "responses.csv", tmp_path / "expression.csv", drugs=tmp_path / "drugs.csv",
        cells=tmp_path / "cells.csv",
    )  # fmt: skip
    assert (data.cells.n_obs, len(data.drugs)) == (60, 8)
    folder = tmp_path / "screen"
    training.train("KernelRidge", data, folder)
    scores = pd.read_csv(folder / "metrics.csv")
    assert {"KernelRidge", "DrugMean", "MeanEffects"} <= set(scores["model"])
    assert set(scores["split"]) == {"cell"}
    assert scores["fold"].nunique() == 5
    assert (folder / "report.html").is_file()

    import io
    import zipfile

    zipfile.ZipFile(io.BytesIO(training.zipped(folder))).extractall(tmp_path / "unpacked")
    kept = training.save_to(folder, str(tmp_path / "kept"))
    said = [predicting.predict(load(place), tmp_path / "expression.csv").table["prediction"].to_numpy()
            for place in (folder, tmp_path / "unpacked" / "screen", kept)]  # fmt: skip
    np.testing.assert_array_equal(said[0], said[1])
    np.testing.assert_array_equal(said[0], said[2])
    for place in (str(kept), "somewhere/else", " "):
        with pytest.raises(ValueError, match="path of a new folder is expected"):
            training.save_to(folder, place)


def test_columns_that_are_named_are_read(tmp_path: Path) -> None:
    for name, content in training.example().items():
        (tmp_path / name).write_bytes(content)
    table = pd.read_csv(tmp_path / "responses.csv").rename(columns={"cell": "who", "drug": "what", "LN_IC50": "much"})
    table.to_csv(tmp_path / "odd.csv", index=False)
    assert training.columns_of(tmp_path / "odd.csv") == ["who", "what", "much"]
    with pytest.raises(ValueError):
        training.read_screen(tmp_path / "odd.csv", tmp_path / "expression.csv")
    named = training.read_screen(
        tmp_path / "odd.csv", tmp_path / "expression.csv", unit="ln_ic50",
        columns={"cell": "who", "drug": "what", "response": "much"},
    )  # fmt: skip
    plain = training.read_screen(tmp_path / "responses.csv", tmp_path / "expression.csv")
    np.testing.assert_allclose(named.pairs["response"], plain.pairs["response"])
