"""Tables of profiles: genes are told from what is said of the profiles, and nothing else becomes a gene."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galenic.data.read import profiles
from galenic.data.read.gene_columns import COORDINATE, GRAMMAR, gene_columns, is_annotation
from galenic.data.read.profile_tables import profile_table
from galenic.data.simulate import programmes

GENES = ["DDR1", "PAX8", "HLA-DRA", "C1orf112", "CAT", "NKX2-5", "IDS", "HR"]
ABOUT = {
    "dose_um": 10.0, "DOSE": 1.0, "PERT.DOSE": 1.0, "TIME": 24, "time_h": 6.0, "molecular_weight": 300.5, "MW": 300.5,
    "alogp": 1.2, "ALOGP": 1.2, "pubchem_cid": 5, "CID": 5, "row_in_cell_matrix": 7, "label": 1, "LABEL": 1, "AGE": 60,
    "BATCH": 2, "PLATE": 3, "viability": 0.5, "IC50": 0.1, "PC1": 0.3, "UMAP1": 0.2, "SCORE": 0.1,
}  # fmt: skip


@pytest.fixture
def table(rng: np.random.Generator) -> pd.DataFrame:
    """Five profiles of a few genes, and everything else that tables hold, in between."""
    values = pd.DataFrame(rng.normal(size=(5, len(GENES) + 40)), columns=[*GENES, *(f"KLF{i}" for i in range(40))])
    for place, (name, value) in enumerate(ABOUT.items()):
        values.insert(2 * place, name, [value] * 5)
    values.insert(0, "drug_name", list("abcde"))
    values.insert(7, "CELL", ["A375"] * 5)
    values.insert(9, "passed", [True, False] * 2 + [True])
    return values


def genes_of(table: pd.DataFrame) -> list[str]:
    return [name for name in table if name in GENES or name.startswith("KLF")]


def saved(table: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if ".tsv" in path.name else ",")
    return path


def test_what_is_said_of_profiles_never_becomes_a_gene(table: pd.DataFrame) -> None:
    before = table.copy()
    found = gene_columns(table, "a table")
    assert list(found.var.index) == genes_of(table)
    assert set(found.others) == set(table) - set(genes_of(table))
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.tsv", "a.csv.gz", "a.tsv.gz"])
def test_every_format_says_the_same(table: pd.DataFrame, tmp_path: Path, name: str) -> None:
    adata = profiles(saved(table, tmp_path / name))
    assert adata.var_names.tolist() == genes_of(table)
    np.testing.assert_array_equal(adata.X, table[genes_of(table)].to_numpy(np.float32))
    assert adata.obs_names.tolist() == list("abcde")
    assert adata.obs["dose_um"].tolist() == [10.0] * 5
    assert adata.obs["drug_name"].tolist() == list("abcde")
    assert "dose_um" in adata.uns["steps"][0]


def test_the_order_of_columns_and_rows_does_not_matter(table: pd.DataFrame, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    mixed = table.iloc[rng.permutation(5)]
    mixed = mixed[["drug_name", *rng.permutation([name for name in mixed if name != "drug_name"])]]
    one = profiles(saved(table, tmp_path / "a.csv"))
    other = profiles(saved(mixed, tmp_path / "b.csv"))[one.obs_names, one.var_names]
    np.testing.assert_array_equal(one.X, other.X)
    pd.testing.assert_frame_equal(one.obs, other.obs[one.obs.columns])


def test_a_table_of_profiles_is_what_its_h5ad_is(tmp_path: Path) -> None:
    adata = programmes(20, 60, n_programmes=3, genes_per_programme=10, seed=0)
    adata.write_h5ad(tmp_path / "a.h5ad")
    whole = profiles(tmp_path / "a.h5ad")
    by_symbol = adata.to_df().set_axis(adata.var["symbol"].to_numpy(), axis=1)
    saved(pd.concat([adata.obs.rename_axis("sig_id").reset_index(), by_symbol.reset_index(drop=True)], axis=1),
          tmp_path / "symbol.csv")  # fmt: skip
    adata.to_df().to_csv(tmp_path / "entrez.csv")
    for name in ("symbol.csv", "entrez.csv"):
        read = profiles(tmp_path / name)
        np.testing.assert_array_equal(read.X, whole.X)
        assert read.obs_names.tolist() == whole.obs_names.tolist()
    symbols = profiles(tmp_path / "symbol.csv")
    assert symbols.var["symbol"].tolist() == whole.var["symbol"].tolist()
    assert symbols.obs[["pert_id", "cell", "dose", "time"]].to_dict("list") == whole.obs[
        ["pert_id", "cell", "dose", "time"]
    ].to_dict("list")
    adata.var[["symbol"]].rename_axis("gene_id").reset_index().to_csv(tmp_path / "genes.csv", index=False)
    named = profiles(tmp_path / "symbol.csv", gene_info=tmp_path / "genes.csv")
    assert named.var_names.tolist() == whole.var_names.tolist()


def test_a_table_of_genes_decides_over_names(table: pd.DataFrame, tmp_path: Path) -> None:
    table = table.rename(columns={"DDR1": "probe one", "MW": "ODD"})
    path = saved(table, tmp_path / "a.csv")
    info = pd.DataFrame({"gene_symbol": ["probe one", "PAX8", "ODD", "ABSENT"], "gene_id": [780, 7849, 1, 2]})
    with pytest.warns(UserWarning, match=r"46 columns that are called like genes .*'HLA-DRA'"):
        adata = profiles(path, gene_info=info)
    assert sorted(adata.var_names) == ["1", "780", "7849"]
    assert adata.var.loc["780", "symbol"] == "probe one"
    np.testing.assert_array_equal(adata[:, "780"].X.ravel(), table["probe one"].to_numpy(np.float32))


def test_ensembl_mouse_and_named_ids() -> None:
    ones = np.ones((2, 3))
    ensembl = pd.DataFrame(ones, columns=["ENSG00000141510.16", "ENSG00000146648", "AGE"])
    assert list(gene_columns(ensembl, "a").var.index) == ["ENSG00000141510", "ENSG00000146648"]
    marked = gene_columns(pd.DataFrame(ones, columns=["TP53 (7157)", "EGFR (1956)", "Dose (uM)"]), "a")
    assert marked.var["gene_id"].tolist() == ["7157", "1956"]
    assert marked.others == ["Dose (uM)"]
    mouse = pd.DataFrame(np.ones((2, 5)), columns=["Trp53", "Egfr", "Kras", "Dose", "Label"])
    assert list(gene_columns(mouse, "a").var.index) == ["Trp53", "Egfr", "Kras"]


@pytest.mark.parametrize("column", ["profile_id", "sig_id", "id", "Sample ID"])
def test_ids_come_from_a_column_that_is_called_so(table: pd.DataFrame, tmp_path: Path, column: str) -> None:
    adata = profile_table(saved(table.assign(**{column: list("vwxyz")}), tmp_path / "a.csv"))
    assert adata.obs_names.tolist() == list("vwxyz")


def test_rows_are_counted_where_nothing_names_them(table: pd.DataFrame, tmp_path: Path) -> None:
    adata = profile_table(saved(table.assign(drug_name=list("aabcd")), tmp_path / "a.csv"))
    assert adata.obs_names.tolist() == list("01234")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(sig_id=list("aabcd")), r"'sig_id'.*1 stand more than once \(first: 'a'\)"),
        (lambda t: t.assign(sig_id=["a", None, *"bcd"]), r"'sig_id'.*1 are empty"),
        (lambda t: t.drop(columns=genes_of(t)), r"none is \(.*Name the genes"),
        (lambda t: t.rename(columns={name: f"value_{i}" for i, name in enumerate(genes_of(t)[1:])}),
         r"1 are \(first: 'DDR1'\) and \d+ are not \(first: 'value_0'"),
        (lambda t: t.assign(PAX8=["1.5", "x", "2", "3", "4"]), r"'PAX8' holds 'x'.*Correct these values"),
        (lambda t: t.rename(columns={"PAX8": "DDR1 (780)"}), r"1 are several \(first: 'DDR1'\)"),
        (lambda t: t[genes_of(t)].T.rename_axis("gene").reset_index(), r"genes in its rows \(column 'gene'.*Transpose"),
        (lambda t: t[genes_of(t)].T.set_axis(list("vwxyz"), axis=1).rename_axis("").reset_index(), r"Transpose it"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_refused_by_name(table, tmp_path, change, message) -> None:
    changed = change(table)
    with pytest.raises(ValueError, match=message):
        profiles(saved(changed.rename(columns=str), tmp_path / "a.csv"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "0 bytes"),
        ("a.csv", b"DDR1,PAX8\n", "holds none"),
        ("a.csv", b"hello\nworld\n", r"a table \(CSV, TSV, Parquet\).*starts with 'hello"),
        ("a.csv", bytes(range(256)), "starts with"),
        ("a.parquet", b"PAR1" + bytes(50), "whole Parquet file"),
        ("a.gct", b"drug,DDR1\na,1\n", "starts with 'drug,DDR1"),
        ("a.csv", b"drug,DDR1,PAX8\na,1\n", "every row of a.csv"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        profiles(tmp_path / name)


def test_infinite_and_missing_values(table: pd.DataFrame, tmp_path: Path) -> None:
    adata = profiles(saved(table.assign(DDR1=[None, 1, 2, 3, -666]), tmp_path / "a.csv"))
    assert np.isnan(adata[:, "DDR1"].X.ravel()).tolist() == [True, False, False, False, True]
    with pytest.raises(ValueError, match="infinite or too large"):
        profiles(saved(table.assign(DDR1=1e300), tmp_path / "a.parquet"))


@pytest.mark.real
@pytest.mark.parametrize(
    ("file", "shape", "n_about", "first_id"),
    [
        ("toxicity/renal_HA1E_profiles.parquet", (196, 978), 10, "Aminoglutethimide"),
        ("toxicity/neuro_NPC_profiles.parquet", (124, 978), 7, "0"),
        ("synergy/A375_profiles.parquet", (22, 978), 6, "BEZ-235"),
        ("synergy/HT29_profiles.parquet", (21, 978), 6, "BEZ-235"),
    ],
)
def test_published_tables(deeppert_folder: Path, file: str, shape: tuple[int, int], n_about: int, first_id: str):
    adata = profiles(deeppert_folder / file, genes="landmark")
    landmarks = pd.read_csv(deeppert_folder / "l1000_landmark_genes_978.csv")["gene"]
    assert adata.shape == shape
    assert adata.var_names.tolist() == landmarks.tolist()
    assert adata.obs.shape[1] == n_about
    assert "dose_um" in adata.obs
    assert adata.obs_names[0] == first_id
    given = pd.read_parquet(deeppert_folder / file)[landmarks].to_numpy(np.float32)
    np.testing.assert_array_equal(adata.X, given)
    with warnings.catch_warnings(action="error"):
        told = profiles(deeppert_folder / file, gene_info=deeppert_folder / "l1000_landmark_genes_978.csv")
    np.testing.assert_array_equal(told.X, given)


@pytest.mark.real
def test_no_measured_or_inferred_gene_is_taken_for_something_else(shared: Path) -> None:
    info = pd.read_csv(shared / "l1000" / "gene_info_bing.tsv.gz", sep="\t", dtype=str)
    symbols = info["pr_gene_symbol"]
    assert len(symbols) > 10_000
    assert [one for one in symbols if is_annotation(one) or COORDINATE.fullmatch(one)] == []
    assert [one for one in symbols if not re.fullmatch(GRAMMAR["symbol"], one)] == []


@pytest.mark.real
def test_published_latents_are_no_genes(deeppert_folder: Path) -> None:
    with pytest.raises(ValueError, match=r"none is \(columns that could be genes are '5L_run0_z0'"):
        profiles(deeppert_folder / "a549_vae" / "latents_35.parquet")
