"""Tables and matrices out of files: content decides, and damaged files say so."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from galenic.data.read import matrix, table

FRAME = pd.DataFrame({"cell": ["A549", "PC9", "HeLa, S3"], "drug_id": [1, 2, 3], "ln_ic50": [0.5, np.nan, -2.25]})


def packed(path: Path, content: bytes, how: str) -> Path:
    if how == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("table.csv", content)
    else:
        path.write_bytes(
            {"plain": bytes, "gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[how](content)
        )
    return path


@pytest.mark.parametrize("how", ["plain", "gzip", "bz2", "xz", "zip"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_content_and_not_the_suffix_tells_how_to_read(tmp_path, how, delimiter):
    content = FRAME.to_csv(index=False, sep=delimiter).encode()
    pd.testing.assert_frame_equal(table(packed(tmp_path / "table.dat", content, how)), FRAME)


def texts_alike(frame: pd.DataFrame) -> pd.DataFrame:
    """Texts as objects: pandas has two kinds for them."""
    return frame.astype({name: "object" for name, kind in frame.dtypes.items() if isinstance(kind, pd.StringDtype)})


@pytest.mark.parametrize("write", ["to_parquet", "to_excel"])
def test_binary_tables_equal_text(tmp_path, write):
    getattr(FRAME, write)(tmp_path / "table.parquet.xlsx", index=False)
    pd.testing.assert_frame_equal(texts_alike(table(tmp_path / "table.parquet.xlsx")), texts_alike(FRAME))


def test_a_sheet_is_chosen_by_name(tmp_path):
    with pd.ExcelWriter(tmp_path / "two.xlsx") as book:
        FRAME.head(1).to_excel(book, sheet_name="first", index=False)
        FRAME.to_excel(book, sheet_name="second", index=False)
    assert len(table(tmp_path / "two.xlsx")) == 1
    assert len(table(tmp_path / "two.xlsx", sheet="second")) == 3
    with pytest.raises(ValueError, match=r"sheet 'third'; it has 'first', 'second'"):
        table(tmp_path / "two.xlsx", sheet="third")


def test_types_do_not_depend_on_the_first_rows(tmp_path):
    """A column that turns from numbers to text far below is text, all of it."""
    rows = [f"{i},{i}" for i in range(200_000)] + ["x,0.5"]
    (tmp_path / "long.csv").write_text("a,b\n" + "\n".join(rows) + "\n")
    frame = table(tmp_path / "long.csv")
    assert frame["a"].iloc[0] == "0"
    assert frame["b"].iloc[[0, -1]].tolist() == [0.0, 0.5]


def test_byte_order_mark_leading_zeros_and_row_names(tmp_path):
    (tmp_path / "bom.csv").write_bytes("﻿cell,id,n\nA,007,1\n".encode())
    frame = table(tmp_path / "bom.csv")
    assert list(frame.columns) == ["cell", "id", "n"]
    assert frame.loc[0].tolist() == ["A", "007", 1]
    (tmp_path / "r.tsv").write_text("G1\tG2\nA549\t1\t2\nPC9\t3\t4\n")
    assert list(table(tmp_path / "r.tsv").columns) == ["", "G1", "G2"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\n\n", "only blank lines"),
        (b"a,b\n", "holds none"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "web page.*download the file itself"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        ("cell,drug\nZürich,x\n".encode("latin-1"), "UTF-8.*byte 0xfc.*CSV UTF-8"),
        ("cell,drug\nA,x\n".encode("utf-16"), "UTF-16"),
        (gzip.compress(FRAME.to_csv().encode() * 50, mtime=0)[:-20], "cut off or damaged"),
        (b"cell,drug,x\nA,b,1\nA,b\n", "3 values.*a row has 2"),
        (b"cell,drug\n" + b"A,b\n" * 30 + b"A,b,1\n", "2 values.*a row has 3"),
        (b"1.5,2.5\n3,4\n", "start with a header"),
        (b"a,a,b\n1,2,3\n", "stand more than once"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "xls. Save it as .xlsx"),
        (b"PK\x03\x04broken", "cut off or damaged"),
        (b"PAR1broken", "whole Parquet file"),
        (gzip.compress(b"\x89HDF\r\n\x1a\n...", mtime=0), "holds h5ad"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, content, message):
    (tmp_path / "bad.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        table(tmp_path / "bad.csv")
    assert "bad.csv" in str(raised.value)


def test_wrong_encoding_far_below_is_found(tmp_path):
    (tmp_path / "late.csv").write_bytes(b"a,b\n" + b"x,1\n" * 1000 + "ü,1\n".encode("latin-1"))
    with pytest.raises(ValueError, match="below the first lines"):
        table(tmp_path / "late.csv")


def test_missing_files_folders_and_full_zips(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        table(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="is a folder"):
        table(tmp_path)
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", "a,b\n1,2\n")
        archive.writestr("b.csv", "a,b\n1,2\n")
    with pytest.raises(ValueError, match="holds 2 files"):
        table(tmp_path / "two.zip")


def expression(n_cells=5, n_genes=7):
    values = np.random.default_rng(0).normal(size=(n_cells, n_genes)).astype(np.float32)
    cells = [f"ACH-{i:06d}" for i in range(n_cells)]
    return pd.DataFrame(values, index=cells, columns=[f"GENE{i}" for i in range(n_genes)])


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "xlsx", "h5ad"])
@pytest.mark.parametrize("by_gene", [False, True])
def test_a_matrix_is_the_same_in_every_format_and_orientation(tmp_path, suffix, by_gene):
    expected = expression()
    path = tmp_path / f"matrix.{suffix}"
    frame = expected.T if by_gene and suffix != "h5ad" else expected
    if suffix == "h5ad":
        adata = anndata.AnnData(sparse.csr_matrix(expected.to_numpy()), expected[[]], expected.T[[]])
        adata.write_h5ad(path)
    elif suffix in ("csv", "tsv"):
        frame.to_csv(path, sep="\t" if suffix == "tsv" else ",")
    else:
        getattr(frame, {"parquet": "to_parquet", "xlsx": "to_excel"}[suffix])(path)
    pd.testing.assert_frame_equal(matrix(path), expected, rtol=1e-6, check_names=False)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(7)), st.permutations(range(5)))
def test_orders_of_columns_and_rows_are_kept(genes, cells):
    frame = expression().iloc[list(cells), list(genes)]
    pd.testing.assert_frame_equal(matrix(frame), frame)


def test_ids_and_annotation_are_not_features(tmp_path):
    frame = expression()
    frame.insert(0, "ModelID", [f"ACH-{i + 10:06d}" for i in range(5)])
    frame.insert(1, "COSMIC_ID", np.arange(5.0) + 683665)
    frame.insert(2, "tissue", "lung")
    frame.reset_index(drop=True).to_csv(tmp_path / "counted.csv")
    found = matrix(tmp_path / "counted.csv")
    assert list(found.columns) == [f"GENE{i}" for i in range(7)]
    assert found.index[0] == "683665"
    assert matrix(tmp_path / "counted.csv", index="ModelID").index[0] == "ACH-000010"
    with pytest.raises(ValueError, match="should have a column 'name'"):
        matrix(tmp_path / "counted.csv", index="name")


def test_only_the_default_run_of_a_model_is_kept():
    frame = pd.DataFrame(
        {"ModelID": ["ACH-000001"] * 2, "IsDefaultEntryForModel": ["No", "Yes"], "TP53 (7157)": [1.0, 2.0]}
    )
    assert matrix(frame).to_numpy().tolist() == [[2.0]]


@pytest.mark.parametrize("place", ["first rows", "far below", "frame"])
def test_text_among_the_numbers_is_named(tmp_path, place):
    rows = ["A549,1,2"] * 40
    rows[3 if place == "first rows" else 39] = "PC9,1,high"
    path = tmp_path / "text.csv"
    path.write_text("cell,TP53,EGFR\n" + "\n".join(rows) + "\n")
    with pytest.raises(ValueError, match=r"'EGFR'.*'high'"):
        matrix(table(path) if place == "frame" else path)


def test_a_decimal_comma_is_read_in_semicolon_files(tmp_path):
    expected = expression()
    expected.to_csv(tmp_path / "european.csv", sep=";", decimal=",")
    pd.testing.assert_frame_equal(matrix(tmp_path / "european.csv"), expected, rtol=1e-6)
    (tmp_path / "text.csv").write_text("cell;TP53;EGFR\nA;1,5;high\n")
    with pytest.raises(ValueError, match=r"'EGFR'.*'high'"):
        matrix(tmp_path / "text.csv")


def test_symbols_of_an_h5ad_with_ensembl_ids_are_used(tmp_path):
    adata = anndata.AnnData(np.ones((2, 3), dtype=np.float32))
    adata.var_names = ["ENSG00000141510", "ENSG00000146648", "ENSG00000999999"]
    adata.var["gene_symbols"] = pd.Series(["TP53", "EGFR", np.nan], index=adata.var_names, dtype="object")
    adata.write_h5ad(tmp_path / "cells.h5ad")
    assert matrix(tmp_path / "cells.h5ad").columns.tolist() == ["TP53", "EGFR", "ENSG00000999999"]


def test_missing_values_become_nan(tmp_path):
    (tmp_path / "missing.csv").write_text("cell,TP53,EGFR\nA,NA,\nB,nan,1\n")
    np.testing.assert_array_equal(matrix(tmp_path / "missing.csv"), [[np.nan, np.nan], [np.nan, 1]])


def test_repeated_and_missing_ids_are_refused():
    frame = pd.DataFrame({"cell": ["A", "A", "B"], "TP53": [1.0, 3.0, 5.0]})
    with pytest.raises(ValueError, match=r"1 stand more than once with different values \(first: 'A'\)"):
        matrix(frame)
    with pytest.warns(UserWarning, match="averaged"):
        assert matrix(frame, repeats="mean")["TP53"].tolist() == [2.0, 5.0]
    with pytest.warns(UserWarning, match="the same"):
        assert len(matrix(frame.assign(TP53=1.0))) == 2
    with pytest.raises(ValueError, match=r"should have an id; 1 have none"):
        matrix(frame.assign(cell=["A", None, "B"]))


def test_inputs_are_not_changed():
    frame = expression().reset_index(names="cell")
    before = frame.copy()
    matrix(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_other_hdf5_and_tables_without_numbers(tmp_path):
    import h5py

    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        file["x"] = 1
    with pytest.raises(ValueError, match="should be a whole h5ad file"):
        matrix(tmp_path / "other.h5ad")
    with pytest.raises(ValueError, match="it has no numbers"):
        matrix(pd.DataFrame({"cell": ["A"], "tissue": ["lung"]}))
    with pytest.raises(ValueError, match="'auto', 'columns' or 'rows'"):
        matrix(expression(), features="genes")


def test_a_wide_matrix_stays_small_in_memory(tmp_path):
    """Rows of many thousand columns do not fall apart into many blocks."""
    values = np.random.default_rng(0).normal(size=(40, 20_000)).astype(np.float32)
    frame = pd.DataFrame(values, index=[f"C{i}" for i in range(40)], columns=[f"G{i}" for i in range(20_000)])
    frame.to_csv(tmp_path / "wide.csv", float_format="%.6g")
    np.testing.assert_allclose(matrix(tmp_path / "wide.csv"), values, rtol=1e-5)
