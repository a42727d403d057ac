"""ResponseData: checked once, never edited, and honest about what it drops."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from galenic.data.expression import align, dense, modality
from galenic.data.response import ResponseData
from galenic.data.simulate import screen
from galenic.data.studies import combine


def tiny(**changes: object) -> ResponseData:
    parts = {
        "pairs": pd.DataFrame({"cell": ["a", "a", "b"], "drug": ["x", "y", "x"], "response": [1.0, 2.0, 3.0]}),
        "cells": AnnData(pd.DataFrame({"TP53": [1.0, 2.0]}, index=["a", "b"])),
        "drugs": pd.DataFrame({"smiles": ["C", "CC"]}, index=["x", "y"]),
    }
    return ResponseData(**(parts | changes))


def pairs(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"cell": ["a", "b"], "drug": ["x", "x"], "response": [1.0, 2.0]} | columns)


FAULTS = {
    "no cell column": ({"pairs": pairs().drop(columns="cell")}, "needs the column"),
    "unknown cell": ({"pairs": pairs(cell=["a", "q"])}, "every cell .* 1 are not .*'q'"),
    "unknown drug": ({"pairs": pairs(drug=["x", "q"])}, "every drug .* 1 are not .*'q'"),
    "repeated pair": ({"pairs": pairs(cell=["a", "a"])}, "should stand once"),
    "text": ({"pairs": pairs(response=["low", "2"])}, "hold text .*'low'"),
    "missing response": ({"pairs": pairs(response=[np.nan, 1])}, "missing or infinite"),
    "infinite response": ({"pairs": pairs(response=[np.inf, 1])}, "missing or infinite"),
    "unknown unit": ({"unit": "furlong"}, "unit should be one of"),
    "repeated drug": ({"drugs": pd.DataFrame({"smiles": ["C", "C"]}, index=["x", "x"])}, "drug ids must be unique"),
    "no smiles column": ({"drugs": pd.DataFrame(index=["x", "y"])}, "needs the column"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_is_refused_with_numbers_and_names(fault: str) -> None:
    changes, words = FAULTS[fault]
    with pytest.raises(ValueError, match=words):
        tiny(**changes)


@pytest.mark.filterwarnings("ignore:Variable names are not unique")  # anndata says so when it is built
def test_repeated_genes_are_refused() -> None:
    cells = AnnData(np.ones((2, 2)), pd.DataFrame(index=["a", "b"]), pd.DataFrame(index=["G", "G"]))
    with pytest.raises(ValueError, match="gene names must be unique"):
        tiny(cells=cells)


def test_replicates_and_studies_tell_repeated_pairs_apart() -> None:
    assert len(tiny(pairs=pairs(cell=["a", "a"], replicate=["1", "2"]))) == 2
    assert len(tiny(pairs=pairs(cell=["a", "a"], study=["1", "2"]))) == 2


def test_the_container_cannot_be_edited_through_what_it_gives() -> None:
    data = tiny()
    with pytest.raises(FrozenInstanceError):
        data.unit = "auc"
    data.response[:] = 99
    data.pairs_with()["response"] = 99
    data.cells_for("x").X[:] = 99
    assert data.response.tolist() == [1.0, 2.0, 3.0]
    assert dense(data.cells.X).max() == 2.0


def test_take_shares_matrices_and_renumbers_rows() -> None:
    data = tiny()
    some = data.take(np.array([False, True, True]))
    assert some.cells is data.cells
    assert some.drugs is data.drugs
    assert some.pairs.index.tolist() == [0, 1]
    assert some.response.tolist() == [2.0, 3.0]
    assert data.take([2, 0]).response.tolist() == [3.0, 1.0]
    assert len(data.take([])) == 0


def test_rows_are_found_by_id_whatever_the_order() -> None:
    data, _ = screen(n_cells=15, n_drugs=4, n_genes=20, seed=0)
    order = np.random.default_rng(0).permutation(data.cells.n_obs)
    shuffled = replace(data, cells=data.cells[order].copy())
    np.testing.assert_array_equal(data.cells.obs_names[data.cell_rows], shuffled.cells.obs_names[shuffled.cell_rows])
    np.testing.assert_array_equal(data.drugs.index[data.drug_rows], data.pairs["drug"])


def test_pairs_with_looks_up_cells_and_drugs_and_fills_structures() -> None:
    data = tiny(drugs=pd.DataFrame({"smiles": ["C", None], "structure": ["AAA", None]}, index=["x", "y"]))
    assert data.pairs_with("structure")["structure"].tolist() == ["AAA", "y", "AAA"]
    with pytest.raises(ValueError, match="no column 'colour'"):
        data.pairs_with("colour")


def test_complete_and_one_screen_say_what_left() -> None:
    cells = AnnData(pd.DataFrame({"TP53": [1.0, np.nan]}, index=["a", "b"]))
    drugs = pd.DataFrame({"smiles": ["C", "C"], "structure": ["AAA", "AAA"]}, index=["29", "1017"])
    data = ResponseData(pairs(drug=["29", "1017"]), cells, drugs)
    kept = data.complete("expression")
    assert kept.cells.obs_names.tolist() == ["a"]
    assert kept.coverage.iloc[-1][["kept", "dropped", "examples"]].tolist() == [1, 1, "'b'"]
    one = data.one_screen_per_compound()
    assert one.drugs.index.tolist() == ["1017"], "1017 comes after 29 as a number, not as text"
    assert one.coverage.iloc[-1]["dropped"] == 1


def test_grid_is_every_cell_with_every_drug_without_response() -> None:
    grid = tiny().grid()
    assert len(grid) == 4
    assert "response" not in grid.pairs
    with pytest.raises(ValueError, match="response"):
        grid.response  # noqa: B018


def test_labels_are_decided_within_each_drug() -> None:
    data, _ = screen(n_cells=40, n_drugs=5, n_genes=20, seed=0)
    labelled = data.label("median").pairs
    assert labelled.groupby("drug")["label"].mean().between(0.4, 0.6).all()
    sensitive = labelled[labelled["label"] == 1].groupby("drug")["response"].max()
    resistant = labelled[labelled["label"] == 0].groupby("drug")["response"].min()
    assert (sensitive < resistant).all()
    quarter = data.label(0.25).pairs.groupby("drug")["label"].mean()
    assert quarter.between(0.2, 0.35).all()
    with pytest.raises(ValueError, match="cut should be"):
        data.label("half")


def test_waterfall_cuts_at_the_bend() -> None:
    """Five sensitive outliers under a long flat shoulder: the cut lies between them."""
    response = np.concatenate([[-5.0, -4.8, -4.6, -4.4, -4.2], np.linspace(1.9, 2.1, 45)])
    names = [f"c{i}" for i in range(50)]
    data = ResponseData(
        pd.DataFrame({"cell": names, "drug": "x", "response": response}),
        AnnData(obs=pd.DataFrame(index=names)),
        pd.DataFrame({"smiles": ["C"]}, index=["x"]),
    )
    assert 4 <= data.label().pairs["label"].sum() <= 6


def test_align_orders_by_name_and_marks_what_is_missing() -> None:
    table = pd.DataFrame({"B": [2.0], "A": [1.0], "extra": [9.0]})
    with pytest.warns(UserWarning, match="1 of 3 features"):
        np.testing.assert_array_equal(align(table, ["A", "B", "C"]), [[1.0, 2.0, np.nan]])
    with pytest.raises(ValueError, match="look like Ensembl ids"):
        align(pd.DataFrame({"ENSG00000141510": [1.0]}), ["TP53", "EGFR"])


def test_modalities_come_out_as_frames() -> None:
    cells = AnnData(sparse.csr_matrix([[1.0, 0.0]]), pd.DataFrame(index=["a"]), pd.DataFrame(index=["G1", "G2"]))
    cells.obsm["X_embedding"] = np.array([[0.5, 0.6]])
    assert modality(cells, "expression").loc["a"].tolist() == [1.0, 0.0]
    assert modality(cells, "X_embedding").columns.tolist() == ["X_embedding_0", "X_embedding_1"]
    with pytest.raises(ValueError, match="carry the modality 'mutation'"):
        modality(cells, "mutation")


def test_studies_are_joined_by_structure_cell_and_gene() -> None:
    a, _ = screen(n_cells=20, n_drugs=4, n_genes=30, seed=0)
    b, _ = screen(n_cells=20, n_drugs=4, n_genes=30, seed=0)
    renamed = replace(
        b,
        drugs=b.drugs.rename(index=lambda drug: f"other {drug}"),
        pairs=b.pairs.assign(drug="other " + b.pairs["drug"].astype(str), response=b.response + 1),
        cells=b.cells[:, 5:].copy(),
    )
    both = combine({"A": a, "B": renamed})
    assert sorted(both.drugs.index) == sorted(a.drugs.index)
    assert both.cells.n_obs == a.cells.n_obs
    assert both.cells.var_names.tolist() == a.cells.var_names[5:].tolist()
    assert set(both.cells.obsm) == set(a.cells.obsm)
    wide = both.pairs.pivot_table(index=["cell", "drug"], columns="study", values="response")
    np.testing.assert_allclose(wide["B"] - wide["A"], 1)


def test_two_screens_of_one_compound_stay_two() -> None:
    a, _ = screen(n_cells=20, n_drugs=3, n_genes=30, seed=0)
    twin = a.drugs.iloc[[0]].rename(index={a.drugs.index[0]: "twin"})
    more = a.pairs[a.pairs["drug"] == a.drugs.index[0]].assign(drug="twin")
    twice = ResponseData(pd.concat([a.pairs, more], ignore_index=True), a.cells, pd.concat([a.drugs, twin]))
    both = combine({"A": a, "B": twice})
    assert set(both.pairs.loc[both.pairs["study"] == "B", "drug"]) == {*a.drugs.index, "twin"}


def test_studies_in_different_units_are_refused() -> None:
    a, _ = screen(n_cells=20, n_drugs=3, n_genes=30, seed=0)
    with pytest.raises(ValueError, match="in one unit"):
        combine({"A": a, "B": replace(a, unit="auc")})
