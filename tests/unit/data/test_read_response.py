"""Joining by id: whatever the order, spelling or kind of the ids, and every row accounted for."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galenic.data.read import response_data

CELLS = ["683665", "683667", "684052", "684055"]
NAMES = ["MC-CAR", "PFSK-1", "A673", "ES3"]
DRUGS = {"1": "CCO", "3": "c1ccccc1", "5": None}


def screen():
    """Four cells, three drugs, eleven responses; two matrices that each lack a cell."""
    pairs = [(cell, drug) for cell in CELLS for drug in DRUGS][:-1]
    response = pd.DataFrame(pairs, columns=["COSMIC_ID", "DRUG_ID"]).astype(int)
    response["LN_IC50"] = np.linspace(-3, 3, len(response))
    expression = pd.DataFrame(np.arange(9.0).reshape(3, 3), index=CELLS[:3], columns=["TP53", "EGFR", "KRAS"])
    mutation = pd.DataFrame([[0, 1], [1, 1], [0, 0]], index=CELLS[1:], columns=["TP53_mut", "KRAS_mut"])
    drugs = pd.DataFrame(
        {"drug_id": [5, 3, 1], "smiles": [DRUGS["5"], DRUGS["3"], DRUGS["1"]], "name": ["c", "b", "a"]}
    )
    cells = pd.DataFrame({"cosmic_id": CELLS, "cell_line": NAMES, "tissue": ["blood", "brain", "bone", "bone"]})
    return response, expression, mutation, drugs, cells


def read(response, expression, mutation, drugs, cells, **options):
    return response_data(
        response, expression=expression, modalities={"mutation": mutation}, drugs=drugs, cells=cells, **options
    )


def as_dict(data):
    return data.pairs.set_index(["cell", "drug"])["response"].to_dict()


def assert_same(a, b):
    assert as_dict(a) == as_dict(b)
    pd.testing.assert_frame_equal(a.cells.to_df(), b.cells.to_df())
    pd.testing.assert_frame_equal(a.cells.obsm["mutation"], b.cells.obsm["mutation"])
    pd.testing.assert_frame_equal(a.drugs.sort_index(), b.drugs.sort_index())


def test_the_join_equals_a_loop():
    response, expression, mutation, drugs, cells = screen()
    data = read(response, expression, mutation, drugs, cells)
    assert data.unit == "ln_ic50"
    assert data.cells.obs_names.tolist() == sorted(CELLS)
    for cell, drug, value in response.itertuples(index=False):
        assert as_dict(data)[str(int(cell)), str(int(drug))] == value
    for row, cell in enumerate(data.cells.obs_names):
        genes = expression.loc[cell].to_numpy() if cell in expression.index else np.full(3, np.nan)
        np.testing.assert_array_equal(data.cells.X[row], genes)
        events = mutation.loc[cell].to_numpy() if cell in mutation.index else np.full(2, np.nan)
        np.testing.assert_array_equal(data.cells.obsm["mutation"].loc[cell], events)
    assert data.cells.obs["tissue"].tolist() == ["blood", "brain", "bone", "bone"]
    assert data.cells.obs["name"].tolist() == NAMES
    assert data.drugs.loc["1", ["smiles", "name"]].tolist() == ["CCO", "a"]
    assert data.drugs["structure"].isna().tolist() == data.drugs["smiles"].isna().tolist()


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_and_columns_never_matters(random):
    def shuffled(frame):
        rows, columns = list(range(len(frame))), list(frame.columns)
        random.shuffle(rows)
        return frame.iloc[rows][columns]

    parts = screen()
    assert_same(read(*parts), read(*(shuffled(part) for part in parts)))


@pytest.mark.parametrize("kind", [int, float, str, "padded"])
def test_ids_join_whatever_their_type(kind):
    response, expression, mutation, drugs, cells = screen()
    expected = read(response, expression, mutation, drugs, cells)
    for frame, column in ((response, "COSMIC_ID"), (response, "DRUG_ID"), (drugs, "drug_id")):
        values = frame[column].astype(float if kind is float else int)
        frame[column] = [f" {value} " for value in values] if kind == "padded" else values.astype(kind)
    mutation.index = mutation.index.astype(float if kind is float else int)
    assert_same(read(response, expression, mutation, drugs, cells), expected)


def test_inputs_are_not_changed():
    parts = screen()
    before = [part.copy() for part in parts]
    read(*parts)
    for part, copy in zip(parts, before, strict=True):
        pd.testing.assert_frame_equal(part, copy)


def test_every_row_is_kept_or_accounted_for():
    response, expression, mutation, drugs, cells = screen()
    more = pd.DataFrame(
        {"COSMIC_ID": [999, 683665, None, 683667], "DRUG_ID": [1, 77, 1, 5], "LN_IC50": [1.0, 1.0, 1.0, np.nan]}
    )
    response = pd.concat([response.query("COSMIC_ID != 683667 or DRUG_ID != 5"), more], ignore_index=True)
    data = read(response, expression, mutation, drugs, cells, missing="drop")
    coverage = data.coverage.drop_duplicates("step").set_index("step")
    steps = ["cells without matrices", "rows without an id", "drugs not in the drug table", "missing responses"]
    assert coverage.loc[steps, "dropped"].tolist() == [1, 1, 1, 1]
    assert len(data) + coverage.loc[steps, "dropped"].sum() == len(response)
    assert coverage.loc["pairs", "kept"] == len(data)
    assert "'999'" in coverage.loc["cells without matrices", "examples"]
    assert "'77'" in coverage.loc["drugs not in the drug table", "examples"]


def test_the_kind_of_id_that_matches_most_is_used_and_reported():
    response, expression, _, drugs, _ = screen()
    response.insert(0, "CELL_LINE_NAME", response["COSMIC_ID"].astype(str).map(dict(zip(CELLS, NAMES, strict=True))))
    expression.index = [dict(zip(CELLS, NAMES, strict=True))[cell] for cell in expression.index]
    data = response_data(response, expression=expression, drugs=drugs)
    assert data.cells.obs_names.tolist() == sorted(NAMES[:3])
    assert "CELL_LINE_NAME = " in data.coverage.set_index("step").loc["expression", "why"]


def test_a_table_of_cells_joins_files_with_different_ids():
    response, expression, mutation, drugs, cells = screen()
    expected = read(response, expression, mutation, drugs, cells)
    models = [f"ACH-{i:06d}" for i in range(4)]
    expression.index = [dict(zip(CELLS, models, strict=True))[cell] for cell in expression.index]
    mutation.index = [dict(zip(CELLS, NAMES, strict=True))[cell] for cell in mutation.index]
    data = read(response, expression, mutation, drugs, cells.assign(ModelID=models))
    pd.testing.assert_frame_equal(data.cells.to_df(), expected.cells.to_df())
    pd.testing.assert_frame_equal(data.cells.obsm["mutation"], expected.cells.obsm["mutation"])


def test_genes_in_rows_are_found_by_the_ids_of_the_response():
    response, expression, _, drugs, _ = screen()
    names = dict(zip(CELLS, NAMES, strict=True))
    response["COSMIC_ID"] = response["COSMIC_ID"].astype(str).map(names)
    response = response.rename(columns={"COSMIC_ID": "cell"})
    by_gene = expression.rename(index=names).T
    data = response_data(response, expression=by_gene, drugs=drugs)
    np.testing.assert_array_equal(data.cells["A673"].X[0], expression.loc["684052"])


def test_anndata_brings_its_other_matrices(tmp_path):
    response, expression, _, drugs, _ = screen()
    adata = anndata.AnnData(expression.astype(np.float32))
    adata.obsm["X_scfoundation"] = np.arange(6.0).reshape(3, 2)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    for source in (adata, tmp_path / "cells.h5ad"):
        data = response_data(response, expression=source, drugs=drugs)
        np.testing.assert_array_equal(data.cells["683667"].obsm["X_scfoundation"][0], [2, 3])
    assert set(adata.obs.columns) == set()


def test_without_matrices_and_tables_the_response_speaks_for_itself():
    response = pd.DataFrame(
        {
            "cell": ["A", "B"],
            "drug": "x",
            "auc": [0.2, 0.9],
            "smiles": "CCO",
            "target": "EGFR",
            "tissue": ["lung", "skin"],
        }
    )
    data = response_data(response)
    assert data.cells.n_vars == 0
    assert data.unit == "auc"
    assert data.cells.obs["tissue"].tolist() == ["lung", "skin"]
    assert data.drugs.loc["x", ["smiles", "targets"]].tolist() == ["CCO", "EGFR"]


def test_units_are_converted_and_chosen():
    response = pd.DataFrame({"cell": ["A", "B"], "drug": "x", "IC50": [1.0, np.e], "AUC": [0.3, 0.6]})
    with pytest.warns(UserWarning, match=r"'IC50' is read, 'AUC' not.*--response-column"):
        data = response_data(response)
    np.testing.assert_allclose(data.response, [0, 1], atol=1e-12)
    assert data.unit == "ln_ic50"
    np.testing.assert_allclose(response_data(response, unit="auc").response, [0.3, 0.6])
    nanomolar = response_data(response, columns={"response": "IC50"}, unit="ic50_nm")
    np.testing.assert_allclose(nanomolar.response, [np.log(1e-3), 1 + np.log(1e-3)])
    with pytest.raises(ValueError, match="unit='viability' should be the unit of a response column"):
        response_data(response, unit="viability")


def test_a_column_without_unit_needs_one():
    response = pd.DataFrame({"cell": ["A", "B"], "drug": "x", "response": [1.0, 2.0]})
    with pytest.raises(ValueError, match=r"whose name says its unit.*--unit"):
        response_data(response)
    assert response_data(response, unit="ln_ic50").response.tolist() == [1, 2]
    logs = response.rename(columns={"response": "LOG_IC50"})
    np.testing.assert_allclose(response_data(logs, unit="log10_ic50").response, np.log([10, 100]))
    with pytest.raises(ValueError, match="none of 2 are"):
        response_data(response.assign(drug=None), unit="ln_ic50")


def test_an_unlogged_response_is_refused_and_the_remedy_works():
    response = pd.DataFrame({"cell": ["A", "B"], "drug": "x", "ln_ic50": [0.5, 4000.0]})
    with pytest.raises(ValueError, match="--unit ic50"):
        response_data(response)
    np.testing.assert_allclose(response_data(response, unit="ic50").response, np.log([0.5, 4000.0]))


def test_columns_may_be_chosen():
    response = pd.DataFrame({"line": ["A", "B"], "agent": ["x", "x"], "value": [1.0, 2.0]})
    with pytest.raises(ValueError, match=r"column for the cell.*columns=\{'cell'.*--cell-column"):
        response_data(response)
    choice = {"cell": "line", "drug": "agent", "response": "value"}
    assert len(response_data(response, columns=choice, unit="ln_ic50")) == 2
    with pytest.raises(ValueError, match="does not state a unit"):
        response_data(response, columns=choice)
    with pytest.raises(ValueError, match="received 'gene'"):
        response_data(response, columns={"gene": "line"})
    with pytest.raises(ValueError, match="'nothing' should be in the response table"):
        response_data(response, columns={"cell": "nothing"})


def test_pairs_without_a_response_are_for_prediction():
    data = response_data(pd.DataFrame({"cell": ["A"], "drug": ["x"]}), columns={"response": None})
    assert list(data.pairs.columns) == ["cell", "drug"]


def test_repeats_are_refused_averaged_or_told_apart():
    response = pd.DataFrame({"cell": ["A", "A", "B"], "drug": "x", "ln_ic50": [1.0, 2.0, 5.0]})
    with pytest.raises(ValueError, match=r"2 rows repeat 1 pairs \(first: 'A \+ x'\).*repeats='mean'"):
        response_data(response)
    data = response_data(response, repeats="mean")
    assert as_dict(data) == {("A", "x"): 1.5, ("B", "x"): 5.0}
    assert data.coverage.set_index("step").loc["repeated pairs", "dropped"] == 1
    apart = response_data(response.assign(dataset=["GDSC1", "GDSC2", "GDSC2"]))
    assert apart.pairs["study"].tolist() == ["GDSC1", "GDSC2", "GDSC2"]
    with pytest.raises(ValueError, match="repeat 1 pairs"):
        response_data(response.assign(dataset=["GDSC1", "GDSC2", "GDSC2"]), columns={"study": None})
    assert response_data(response.drop(0), study="mine").pairs["study"].tolist() == ["mine", "mine"]


def test_text_and_missing_responses_are_refused():
    response = pd.DataFrame({"cell": ["A", "B"], "drug": "x", "ln_ic50": [1.0, ">10"]})
    with pytest.raises(ValueError, match=r"1 rows of column 'ln_ic50' hold text \(first: '>10'\)"):
        response_data(response)
    response["ln_ic50"] = [1.0, np.inf]
    with pytest.raises(ValueError, match=r"1 rows .* empty or infinite"):
        response_data(response)
    assert len(response_data(response, missing="drop")) == 1


@pytest.mark.parametrize("what", ["expression", "drugs", "cells"])
def test_tables_that_share_no_ids_are_refused(what):
    response, expression, mutation, drugs, cells = screen()
    if what == "expression":
        expression.index = ["X1", "X2", "X3"]
    elif what == "drugs":
        drugs["drug_id"], drugs["name"] = [101, 103, 105], "unknown"
    else:
        cells = cells.assign(cosmic_id=[1, 2, 3, 4])
    with pytest.raises(ValueError, match=r"share 0 of \d ids.*Use the same kind of id"):
        read(response, expression, mutation, drugs, cells)


def test_a_drug_that_stands_twice_is_refused():
    response, _, _, drugs, _ = screen()
    with pytest.raises(ValueError, match="stand more than once"):
        response_data(response, drugs=pd.concat([drugs, drugs.head(1)]))


def test_unlogged_expression_is_warned_of():
    response, expression, _, drugs, _ = screen()
    with pytest.warns(UserWarning, match="log scale; it reaches 8,000"):
        response_data(response, expression=expression * 1000, drugs=drugs)


def test_two_scales_of_one_response_are_no_choice():
    response = pd.DataFrame({"cell": ["A", "B"], "drug": "x", "IC50": [1.0, np.e], "LN_IC50": [0.0, 1.0]})
    assert response_data(response).response.tolist() == [0, 1]


def test_a_wide_table_is_to_be_melted():
    wide = pd.DataFrame(np.ones((3, 9)), columns=[str(i) for i in range(9)]).assign(cosmic_id=[1, 2, 3])
    with pytest.raises(ValueError, match=r"column for the drug.*pandas\.melt.*--drug-column"):
        response_data(wide)
    with pytest.raises(ValueError, match="column for the drug") as narrow:
        response_data(wide.drop(columns=[str(i) for i in range(1, 9)]))
    assert "melt" not in str(narrow.value)


def test_a_few_smiles_that_do_not_parse_are_warned_of_by_drug():
    response = pd.DataFrame({"cell": "A", "drug": ["x", "y", "z"], "ln_ic50": [1.0, 2.0, 3.0]})
    drugs = pd.DataFrame({"drug": ["x", "y", "z"], "smiles": ["CCO", "C1CC", "CCN"]})
    with pytest.warns(UserWarning, match=r"1 of 3 SMILES do not parse \(y: 'C1CC'\)"):
        data = response_data(response, drugs=drugs)
    assert data.drugs["smiles"].isna().to_dict() == {"x": False, "y": True, "z": False}


def test_the_first_of_several_smiles_is_read():
    response = pd.DataFrame({"cell": "A", "drug": ["x", "y"], "ln_ic50": [1.0, 2.0], "SMILES": ["CCO, CCN", None]})
    assert response_data(response).drugs["smiles"].fillna("").to_dict() == {"x": "CCO", "y": ""}
