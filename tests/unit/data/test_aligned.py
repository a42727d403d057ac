"""Profiles on the genes of a model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from galenic.data.aligned import Aligned
from galenic.data.profiles import annotate
from galenic.data.simulate import profiles

GENES = ["10", "20", "30", "40", "50"]


def made(names: list[str], **var: list[str]) -> AnnData:
    X = np.arange(3 * len(names), dtype=np.float32).reshape(3, -1)
    return AnnData(X, var=pd.DataFrame(var, index=names))


def test_genes_are_found_by_name_whatever_their_order() -> None:
    rows = Aligned(made(["50", "99", "40", "10", "20", "30"]), GENES)
    np.testing.assert_array_equal(rows[np.array([1])], [[9, 10, 11, 8, 6]])


@pytest.mark.parametrize("column", ["symbol", "gene_symbol", "ensembl"])
def test_genes_are_found_by_a_column(column: str) -> None:
    adata = made(["a", "b", "c", "d", "e"], **{column: GENES})
    np.testing.assert_array_equal(Aligned(adata, GENES)[:1], adata.X[:1])


def test_genes_are_found_by_the_symbols_of_the_model() -> None:
    adata = made(["TP53", "EGFR", "KRAS", "MYC", "BRAF"])
    rows = Aligned(adata, GENES, ["EGFR", "TP53", "KRAS", "MYC", "BRAF"])
    np.testing.assert_array_equal(rows[:1], [[1, 0, 2, 3, 4]])


def test_a_missing_gene_is_unchanged_and_said() -> None:
    with pytest.warns(UserWarning, match="1 of 5 genes of the model are missing"):
        rows = Aligned(made(["10", "20", "30", "40"]), GENES)
    np.testing.assert_array_equal(rows[:1], [[0, 1, 2, 3, 0]])


def test_genes_of_another_space_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 80% of the 5 genes.*first: '10'.*Name genes by Entrez id"):
        Aligned(made(["x", "y", "z"]), GENES)


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_a_gene_that_stands_twice_is_not_guessed() -> None:
    with pytest.warns(UserWarning, match="first: '20'"):
        Aligned(made(["10", "20", "20", "30", "40", "50"]), GENES)


def test_sparse_and_missing_values() -> None:
    adata = made(GENES)
    adata.X[0, 2] = np.nan
    dense = Aligned(adata, GENES)[:3]
    assert dense[0, 2] == 0
    thin = AnnData(sparse.csr_matrix(adata.X), var=adata.var)
    np.testing.assert_array_equal(Aligned(thin, GENES)[:3], dense)


def test_blocks_are_the_rows() -> None:
    adata = profiles(n_perturbagens=30, n_genes=40)
    rows = Aligned(adata, list(adata.var_names))
    chosen = np.array([3, 5, 70, 110])
    numbers, parts = zip(*rows.blocks(chosen), strict=True)
    np.testing.assert_array_equal(np.concatenate(numbers), chosen)
    np.testing.assert_array_equal(np.concatenate(parts), adata.X[chosen])


def test_annotations_are_joined_by_the_compound_whatever_its_batch() -> None:
    obs = pd.DataFrame({"pert_id": ["BRD-K12345678", "BRD-K87654321"], "moa": [None, "own"]}, index=["p", "q"])
    table = pd.DataFrame({"pert_id": ["BRD-K12345678-001-02-3", "BRD-K87654321"], "moa": ["theirs", "theirs"]})
    adata = AnnData(np.zeros((2, 1), dtype=np.float32), obs=obs)
    assert annotate(adata, table).obs["moa"].tolist() == ["theirs", "own"]
    assert adata.obs["moa"].astype("object").fillna("none").tolist() == ["none", "own"]


def test_annotations_by_name_in_any_letters() -> None:
    obs = pd.DataFrame({"pert_name": ["Vorinostat"]}, index=["p"])
    table = pd.DataFrame({"pert_iname": ["vorinostat"], "target": ["HDAC1|HDAC2"]})
    assert annotate(AnnData(np.zeros((1, 1), dtype=np.float32), obs=obs), table).obs["target"].tolist() == [
        "HDAC1|HDAC2"
    ]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pd.DataFrame({"drug": ["x"], "moa": ["y"]}), "has pert_id or pert_name"),
        (pd.DataFrame({"pert_id": ["BRD-X"]}), "and moa, target or smiles"),
        (pd.DataFrame({"pert_id": ["BRD-X"], "moa": ["y"]}), "it knows none"),
    ],
)
def test_annotations_that_tell_nothing_are_refused(table: pd.DataFrame, said: str) -> None:
    adata = AnnData(np.zeros((1, 1), dtype=np.float32), obs=pd.DataFrame({"pert_id": ["BRD-A"]}, index=["p"]))
    with pytest.raises(ValueError, match=said):
        annotate(adata, table)
