"""The matrix of cells: loops, memory and disk, names of genes, and what its values are taken for."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from galenic.data import cell_matrix
from galenic.data.alignment import AlignedStatistics
from galenic.data.cell_matrix import CellMatrix, gene_names, kind_of_values


def adata_of(x: np.ndarray, names: list[str]) -> AnnData:
    obs = pd.DataFrame(index=[f"c{number}" for number in range(x.shape[0])])
    return AnnData(x, obs=obs, var=pd.DataFrame(index=names))


@pytest.fixture
def counts(rng: np.random.Generator) -> AnnData:
    names = [f"GENE{number}" for number in range(8)]
    return adata_of(rng.poisson(2.0, size=(30, 8)).astype(np.float64), names)


def naive(adata: AnnData, features: list[str], kind: str) -> np.ndarray:
    """Cell by cell and gene by gene."""
    x = adata.X.toarray() if sparse.issparse(adata.X) else adata.X
    found = np.full((adata.n_obs, len(features)), np.nan)
    for i in range(adata.n_obs):
        total = sum(x[i])
        for j, feature in enumerate(features):
            columns = [k for k, name in enumerate(adata.var_names) if name == feature]
            if not columns:
                continue
            values = [x[i, k] for k in columns]
            if kind in ("counts", "linear"):
                found[i, j] = np.log(1 + 1e4 * sum(values) / total) if total else 0.0
            else:
                found[i, j] = sum(values) / len(values)
    return found


WANTED = ["GENE3", "ABSENT", "GENE0", "GENE7"]


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
@pytest.mark.parametrize("kind", ["counts", "linear", "log", "scaled"])
def test_rows_by_a_loop(counts: AnnData, kind: str) -> None:
    x = {"counts": 1.0, "linear": 17.3, "log": 0.37, "scaled": 0.37}[kind] * counts.X - (kind == "scaled")
    if kind == "linear":
        x = x + 0.25 * (x > 0)
    names = [*counts.var_names[:6], "GENE0", "GENE3"]  # two genes stand twice
    adata = adata_of(x, names)
    adata.X[4] = 0
    assert kind_of_values(adata.X) == kind
    matrix = CellMatrix.of(adata, features=WANTED)
    np.testing.assert_allclose(matrix.dense(), naive(adata, WANTED, kind), rtol=1e-12)
    assert matrix.found.tolist() == [True, False, True, False]


def test_blocks_of_any_size_in_memory_and_on_disk_are_the_same(
    counts: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts.X[[3, 29]] = 0
    expected = CellMatrix.of(counts, features=WANTED).dense()
    for number, x in enumerate((counts.X, sparse.csr_matrix(counts.X), sparse.csc_matrix(counts.X))):
        place = tmp_path / f"{number}.h5ad"
        adata_of(x, list(counts.var_names)).write_h5ad(place)
        backed = anndata.read_h5ad(place, backed="r")
        for adata in (adata_of(x, list(counts.var_names)), backed):
            matrix = CellMatrix.of(adata, features=WANTED)
            for size in (1, 7, 100):
                monkeypatch.setattr(cell_matrix, "VALUES", size * counts.n_vars)
                parts = dict.fromkeys(range(30))
                for rows, part in matrix.blocks():
                    assert len(part) <= size
                    parts |= dict(zip(range(rows.start, rows.stop), part, strict=True))
                np.testing.assert_allclose(np.stack(list(parts.values())), expected, rtol=1e-12)
            some = np.array([2, 3, 11])
            np.testing.assert_allclose(matrix.rows(some), expected[some], rtol=1e-12)
            assert np.flatnonzero(matrix.empty()).tolist() == [3, 29]
            assert matrix.empty(slice(2, 5)).tolist() == [False, True, False]
        backed.file.close()


def test_many_blocks_are_taken_together(counts: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics and empty cells of more cells than a block are those of all cells at once."""
    counts.X[[3, 29]] = 0
    matrix = CellMatrix.of(counts, features=WANTED)
    whole, empty = matrix.statistics(), matrix.empty()
    monkeypatch.setattr(cell_matrix, "VALUES", 7 * counts.n_vars)
    parts = CellMatrix.of(counts, features=WANTED)
    found = parts.statistics()
    np.testing.assert_allclose(found.mean, whole.mean)
    np.testing.assert_allclose(found.sd, whole.sd)
    np.testing.assert_array_equal(parts.empty(), empty)
    expected = AlignedStatistics.of(matrix.dense()[:, [0, 2, 3]], fewest=1)
    np.testing.assert_allclose(whole.mean[[0, 2, 3]], expected.mean)
    np.testing.assert_allclose(whole.sd[[0, 2, 3]], expected.sd)
    assert whole.n == 30
    assert (whole.mean[1], whole.sd[1]) == (0, 0)


def test_shares_are_of_all_genes_whichever_are_wanted(counts: AnnData) -> None:
    all_genes = CellMatrix.of(counts)
    assert all_genes.features == list(counts.var_names)
    some = CellMatrix.of(counts, features=["GENE5"])
    np.testing.assert_allclose(some.dense()[:, 0], all_genes.dense()[:, 5])
    np.testing.assert_allclose(np.expm1(all_genes.dense()).sum(axis=1), 1e4)


def test_what_values_are_is_told_from_the_values() -> None:
    def kind(values: list[float]) -> str:
        return kind_of_values(np.array([values]))

    assert kind([0.0, 5.0, 900.0]) == "counts"
    assert kind([0.0, 5.1]) == "log"
    assert kind([0.0, 45.2]) == "linear"
    assert kind([-3.0, 2.0]) == "scaled"
    assert kind_of_values(sparse.csr_matrix((3, 4))) == "counts"
    late = np.ones((5000, 2))
    late[::3] = 0.5
    assert kind_of_values(late) == kind_of_values(sparse.csr_matrix(late)) == "log"


def test_names_are_symbols_wherever_they_stand(counts: AnnData) -> None:
    symbols = ["TP53", "EGFR", "MYC", "KRAS", "BRAF", "RB1", "PTEN", "AKT1"]
    entrez = [str(number) for number in range(7157, 7165)]
    for column in ("symbol", "gene_symbol", "feature_name"):
        adata = AnnData(counts.X, var=pd.DataFrame({column: symbols}, index=entrez))
        assert gene_names(adata) == symbols
    assert gene_names(AnnData(counts.X, var=pd.DataFrame({"symbol": entrez}, index=symbols))) == symbols
    mouse = ["Trp53", "Egfr", "Myc", "Kras", "Braf", "Rb1", "Pten", "Akt1"]
    with pytest.raises(ValueError, match="genes should be human"):
        gene_names(AnnData(counts.X, var=pd.DataFrame(index=mouse)))


def test_embeddings_are_taken_as_they_are(counts: AnnData, rng: np.random.Generator) -> None:
    counts.obsm["X_a"] = rng.normal(size=(30, 3))
    counts.obsm["X_b"] = pd.DataFrame(rng.normal(size=(30, 2)), index=counts.obs_names, columns=["one", "two"])
    matrix = CellMatrix.of(counts, use_rep="X_a", features=["X_a_2", "X_a_0"])
    assert matrix.kind == "embedding"
    np.testing.assert_array_equal(matrix.dense(), counts.obsm["X_a"][:, [2, 0]])
    assert CellMatrix.of(counts, use_rep="X_b").features == ["one", "two"]
    with pytest.raises(ValueError, match=r"should carry obsm\['X_c'\]; they have 'X_a', 'X_b'"):
        CellMatrix.of(counts, use_rep="X_c")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_missing_and_infinite_values_and_nothing_at_all_are_refused(counts: AnnData, bad: float) -> None:
    counts.X[3, 3] = bad
    with pytest.raises(ValueError, match="should be finite; received 1 missing or infinite"):
        CellMatrix.of(counts, kind="counts").dense()
    with pytest.raises(ValueError, match="should carry expression in X; these 30 have none"):
        CellMatrix.of(AnnData(obs=counts.obs))


def test_the_file_is_not_changed(counts: AnnData) -> None:
    before = counts.X.copy()
    matrix = CellMatrix.of(counts)
    matrix.dense()
    matrix.statistics()
    np.testing.assert_array_equal(counts.X, before)


@pytest.mark.real
def test_measured_cells_have_symbols_and_scaled_values(shared: Path) -> None:
    adata = anndata.read_h5ad(shared / "singlecell" / "jhu006_scad.h5ad", backed="r")
    matrix = CellMatrix.of(adata)
    assert matrix.kind == "scaled"
    assert {"ABCE1", "AAAS"} <= set(matrix.features)
    assert not any(name.isdecimal() for name in matrix.features)
    assert CellMatrix.of(adata, use_rep="X_scfoundation_t4").dense().shape == (120, 3072)
    pc9 = anndata.read_h5ad(shared / "singlecell" / "pc9_erlotinib_day11_counts.h5ad", backed="r")
    matrix = CellMatrix.of(pc9)
    assert matrix.kind == "counts"
    np.testing.assert_allclose(np.expm1(matrix.rows(slice(0, 20))).sum(axis=1), 1e4)
    adata.file.close()
    pc9.file.close()
