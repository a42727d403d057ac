"""Traps of real files: what looks harmless and would change results unseen."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest

from galenic.data.drugs import standardise
from galenic.data.read import cells_to_predict, matrix, read_folder, response_data, table, write
from galenic.data.response import ResponseData
from galenic.data.simulate import screen

DRUGS = pd.DataFrame({"drug": ["aspirin", "ethanol"], "smiles": ["CC(=O)Oc1ccccc1C(=O)O", "CCO"]})


@pytest.mark.parametrize("suffix", ["csv", "xlsx", "parquet"])
def test_a_drug_may_be_called_na(tmp_path, suffix):
    frame = pd.DataFrame({"cell": ["007", "NA", "A549"], "drug": ["NA", "nan", "x"], "ln_ic50": [1.0, np.nan, -2.5]})
    path = tmp_path / f"table.{suffix}"
    {
        "csv": lambda: frame.to_csv(path, index=False, na_rep="NA"),
        "xlsx": lambda: frame.to_excel(path, index=False),
        "parquet": lambda: frame.to_parquet(path),
    }[suffix]()
    pd.testing.assert_frame_equal(table(path), frame, check_dtype=False)


@pytest.mark.parametrize("by_gene", [False, True])
def test_a_gene_and_a_cell_may_be_called_na(tmp_path, by_gene):
    expected = pd.DataFrame(
        [[1.0, 2.0], [np.nan, 4.0], [5.0, 6.0]], index=["ACH-000001", "ACH-000002", "NA"], columns=["NA", "TP53"]
    )
    frame = expected.T.rename_axis("gene") if by_gene else expected.rename_axis("cell")
    frame.to_csv(tmp_path / "matrix.csv", na_rep="NA")
    np.testing.assert_array_equal(matrix(tmp_path / "matrix.csv"), expected)
    assert matrix(tmp_path / "matrix.csv").columns.tolist() == ["NA", "TP53"]
    assert matrix(tmp_path / "matrix.csv").index.tolist() == ["ACH-000001", "ACH-000002", "NA"]


def test_annotation_written_as_na_is_missing():
    response = pd.DataFrame({"cell": ["A", "B"], "drug": ["NA", "y"], "ln_ic50": [1.0, 2.0]})
    drugs = pd.DataFrame({"drug": ["NA", "y"], "smiles": ["CCO", "NA"], "target": ["NA", "EGFR"]})
    cells = pd.DataFrame({"cell": ["A", "B"], "tissue": ["lung", "NA"]})
    data = response_data(response, drugs=drugs, cells=cells)
    assert data.drugs["smiles"].isna().to_dict() == {"NA": False, "y": True}
    assert data.drugs["targets"].isna().to_dict() == {"NA": True, "y": False}
    assert data.cells.obs["tissue"].isna().tolist() == [False, True]


def test_infinite_expression_is_refused_by_name():
    genes = pd.DataFrame({"TP53": [1.0, -np.inf], "EGFR": [2.0, 3.0]}, index=["A549", "PC9"])
    response = pd.DataFrame({"cell": ["A549", "PC9"], "drug": "x", "ln_ic50": [1.0, 2.0]})
    for read in (matrix, lambda frame: response_data(response, expression=frame)):
        with pytest.raises(ValueError, match=r"1 in 1 rows are infinite \(first: 'PC9'\).*log2"):
            read(genes)


def test_lines_above_the_header_are_refused(tmp_path):
    (tmp_path / "x.gct").write_text("#1.2\n2\t2\nName\tDescription\tA\nTP53\t.\t1\n")
    with pytest.raises(ValueError, match=r"starts with a comment, '#1\.2'"):
        table(tmp_path / "x.gct")


def test_annotation_of_an_anndata_goes_with_its_cells(tmp_path):
    obs = pd.DataFrame(
        {"tissue": pd.Categorical(["lung", "skin"]), "cell_line": ["n1", "n2"], "age": [50, 60]}, ["p1", "p2"]
    )
    adata = anndata.AnnData(np.eye(2, dtype=np.float32), obs=obs, var=pd.DataFrame(index=["TP53", "EGFR"]))
    adata.write_h5ad(tmp_path / "new.h5ad")
    for source in (adata, tmp_path / "new.h5ad"):
        data = cells_to_predict(source, drugs=DRUGS)
        assert data.cells.obs["tissue"].tolist() == ["lung", "skin"]
        assert data.cells.obs["name"].tolist() == ["n1", "n2"]
        assert data.cells.obs["age"].tolist() == [50, 60]
    response = pd.DataFrame({"cell": ["p2", "p3"], "drug": "x", "ln_ic50": [1.0, 2.0], "tissue": ["brain", "bone"]})
    data = response_data(response, expression=adata)
    assert data.cells.obs["tissue"].tolist() == ["brain"]
    assert data.cells.obs["age"].tolist() == [60]


@pytest.mark.parametrize("kind", ["frame", "folder"])
def test_new_cells_meet_every_known_drug_as_it_is(tmp_path, kind):
    known, _ = standardise(DRUGS.set_index("drug"))
    genes = pd.DataFrame({"TP53": [1.0, 2.0, 3.0]}, index=["p1", "p2", "007"])
    data, _ = screen(10, 4, 40)
    source = genes if kind == "frame" else write(data, tmp_path / "data")
    asked = cells_to_predict(source, known=known)
    cells = genes.index if kind == "frame" else data.cells.obs_names
    assert asked.drugs is known
    assert set(asked.pairs.itertuples(index=False, name=None)) == {(c, d) for c in cells for d in known.index}
    assert list(asked.pairs) == ["cell", "drug"]
    assert "'any'" not in set(asked.coverage["examples"])


def test_new_drugs_stand_once_and_their_structures_are_accounted_for():
    genes = pd.DataFrame({"TP53": [1.0]}, index=["p1"])
    with pytest.raises(ValueError, match="drug ids must be unique"):
        cells_to_predict(genes, drugs=pd.DataFrame({"drug": ["x", "x"], "smiles": ["CC", "CCO"]}))
    with pytest.raises(ValueError, match="predicting needs drugs"):
        cells_to_predict(genes)
    data = cells_to_predict(genes, drugs=pd.DataFrame({"drug": ["x", "y"], "smiles": ["CC", None]}))
    assert data.coverage.set_index("step").loc["no structure", "examples"] == "'y'"


def test_a_cell_that_stands_twice_in_its_table_is_reported():
    response = pd.DataFrame({"cell": ["A", "B"], "drug": "x", "ln_ic50": [1.0, 2.0]})
    cells = pd.DataFrame({"cell": ["A", "A", "B"], "tissue": ["lung", "skin", "bone"]})
    data = response_data(response, cells=cells)
    assert data.cells.obs["tissue"].tolist() == ["lung", "bone"]
    assert "1 stand more than once" in data.coverage.set_index("step").loc["table of cells", "why"]


def test_expression_is_given_once_and_responses_are_given():
    response = pd.DataFrame({"cell": ["A"], "drug": "x", "ln_ic50": [1.0]})
    genes = pd.DataFrame({"TP53": [1.0]}, index=["A"])
    with pytest.raises(ValueError, match="given once"):
        response_data(response, expression=genes, modalities={"expression": genes})
    with pytest.raises(ValueError, match="has no rows"):
        response_data(response.head(0), expression=genes)


@pytest.mark.parametrize("name", ["data.json", "cells.h5ad", "pairs.parquet", "drugs.csv"])
def test_a_damaged_folder_says_so(tmp_path, name):
    folder = write(screen(10, 4, 40)[0], tmp_path / "data")
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2] if name != "drugs.csv" else b"")
    with pytest.raises(ValueError, match=r"should hold whole files.*write or copy it again"):
        read_folder(folder)


def test_dates_and_mixed_annotation_can_be_written(tmp_path):
    obs = pd.DataFrame({"when": pd.to_datetime(["2020-01-02", None]), "mixed": [1, "b"]}, index=["A", "B"])
    cells = anndata.AnnData(np.eye(2, dtype=np.float32), obs=obs, var=pd.DataFrame(index=["TP53", "EGFR"]))
    pairs = pd.DataFrame({"cell": ["A", "B"], "drug": "x", "response": [1.0, 2.0]})
    drugs = pd.DataFrame({"smiles": ["CCO"]}, index=["x"])
    back = read_folder(write(ResponseData(pairs, cells, drugs), tmp_path / "data")).cells.obs
    assert back["mixed"].tolist() == ["1", "b"]
    assert back["when"].iloc[0].startswith("2020-01-02")
    assert pd.isna(back["when"].iloc[1])


def test_numbers_left_over_from_filtering_are_not_taken_for_ids() -> None:
    """A filtered frame keeps its old row numbers; the genes are named in its first column."""
    arrays = pd.DataFrame({"GENE_SYMBOLS": ["TP53", "", "EGFR"], "DATA.1": [1.0, 2.0, 3.0], "DATA.2": [4.0, 5.0, 6.0]})
    found = matrix(arrays[arrays["GENE_SYMBOLS"] != ""], features="rows")
    assert found.columns.tolist() == ["TP53", "EGFR"]


def test_json_is_not_taken_for_a_matrix(tmp_path):
    (tmp_path / "meta.json").write_text('{"a": 1, "b": 2, "c": 3}')
    with pytest.raises(ValueError, match=r"meta\.json is JSON"):
        table(tmp_path / "meta.json")


def test_new_cells_are_no_response_table(tmp_path):
    response = pd.DataFrame({"cell": ["A", "B"], "drug": "x", "ln_ic50": [1.0, 2.0]})
    response.to_csv(tmp_path / "response.csv", index=False)
    for source in (response, response.set_index("cell"), tmp_path / "response.csv"):
        with pytest.raises(ValueError, match="this is a response table, a matrix of expression is expected"):
            cells_to_predict(source, drugs=DRUGS)


def test_drugs_to_predict_that_do_not_parse_are_named():
    genes = pd.DataFrame({"TP53": [1.0], "EGFR": [3.0]}, index=["p1"])
    drugs = pd.concat([DRUGS, pd.DataFrame({"drug": ["D7"], "smiles": ["C1CC"]})])
    with pytest.raises(ValueError, match=r"1 of 3 do not \(D7: 'C1CC'\).*--drugs"):
        cells_to_predict(genes, drugs=drugs)
