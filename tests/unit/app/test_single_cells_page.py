"""What the page of single cells computes, held against the models and against loops."""

from __future__ import annotations

import io
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from galenic.app import single_cells
from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.models import find


@pytest.fixture(scope="module")
def made() -> tuple[AnnData, AnnData]:
    bulk, cells = bulk_and_cells(n_genes=60, n_lines=60, n_cells=90, seed=2)[:2]
    cells.obs["cluster"] = pd.Categorical(np.where(np.arange(90) % 3 == 0, "a", "b"))
    cells.obs["weight"] = np.linspace(0, 1, 90)
    return bulk, cells


@pytest.fixture(scope="module")
def found(made: tuple[AnnData, AnnData], tmp_path_factory: pytest.TempPathFactory) -> single_cells.CellAnswers:
    bulk, cells = made
    place = tmp_path_factory.mktemp("cells") / "cells.h5ad"
    cells.write_h5ad(place)
    models = {name: find(name)().fit(bulk) for name in ("CellCentroid", "CellSignature")}
    return single_cells.predict(models, place)


def test_each_drug_is_answered_by_its_model(found: single_cells.CellAnswers, made: tuple[AnnData, AnnData]) -> None:
    bulk, cells = made
    for name, answer in found.answers.items():
        alone = find(name)().fit(bulk).predict(cells)
        np.testing.assert_allclose(answer["probability"], alone["probability"])
        table = single_cells.of_drug(found, name)
        assert list(table["cell"]) == list(cells.obs_names)
        assert table[["x", "y"]].notna().all(axis=None)


def test_groups_are_columns_with_few_values_and_their_means_are_those_of_a_loop(
    found: single_cells.CellAnswers,
) -> None:
    names = single_cells.groupings(found)
    assert names[0] == "cluster"
    assert "weight" not in names
    table = single_cells.of_drug(found, "CellCentroid")
    groups = single_cells.summary(table, found, "cluster").set_index("group")
    values = found.cells.obs["cluster"].astype(str).to_numpy()
    for group in ("a", "b"):
        rows = table[(values == group) & ~table["abstain"].to_numpy(bool)]
        assert groups.loc[group, "probability"] == pytest.approx(rows["probability"].mean(), nan_ok=True)
        assert groups.loc[group, "n"] == (values == group).sum()
    shown = single_cells.in_words(groups.reset_index())
    np.testing.assert_allclose(shown["left open, %"], 100 * groups["abstained"])


def test_files_hold_what_the_command_writes(found: single_cells.CellAnswers, tmp_path: Path) -> None:
    table = pd.read_csv(io.BytesIO(single_cells.as_csv(found)))
    assert {"cell", "CellCentroid_probability", "CellSignature_abstain"} <= set(table)
    place = tmp_path / "back.h5ad"
    place.write_bytes(single_cells.as_h5ad(found))
    back = anndata.read_h5ad(place)
    np.testing.assert_allclose(
        back.obs["CellCentroid_probability"], found.answers["CellCentroid"]["probability"], rtol=1e-6
    )
    assert "CellCentroid_probability" not in found.cells.obs
    np.testing.assert_array_equal(back.X, found.cells.X)


def test_the_sentence_counts_what_was_left_open() -> None:
    table = pd.DataFrame({"probability": [0.9, 0.8, 0.1, np.nan], "label": [1, 1, 0, pd.NA],
                          "abstain": [False, False, False, True]})  # fmt: skip
    said = single_cells.answer(table, "x")
    assert "Of 4 cells 67 % are called sensitive" in said
    assert "1 was left open" in said
    assert "abstained from all" in single_cells.answer(table.assign(abstain=True), "x")


def test_bulk_samples_are_judged_each_by_itself(made: tuple[AnnData, AnnData], tmp_path: Path) -> None:
    bulk = made[0]
    patients = pd.DataFrame(np.log2(1 + np.abs(bulk.X[:8])), index=[f"P{n}" for n in range(8)], columns=bulk.var_names)
    patients.to_csv(tmp_path / "bulk.csv")
    with pytest.warns(UserWarning, match="50 cells or more to be trusted"):
        answer = single_cells.predict({"x": find("CellCentroid")().fit(bulk)}, tmp_path / "bulk.csv")
    assert answer.are_patients
    assert len(answer.answers["x"]) == 8
