"""GCT text: read in blocks, written back equal, and refused in words where it is damaged."""

from __future__ import annotations

import gzip

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galenic.data.gctx.gct import GctFile, write_gct
from galenic.data.gctx.selection import select
from galenic.data.gctx.sniff import format_of
from galenic.data.read import profiles

LINES = [
    ["#1.3"],
    ["3", "2", "2", "3"],
    ["id", "pr_gene_id", "pr_is_lm", "p1", "p2"],
    ["pert_id", "na", "na", "BRD-A", "DMSO"],
    ["pert_dose", "na", "na", "10", "-666"],
    ["cell_id", "na", "na", "0123", "A549"],
    ["a_at", "780", "1", "0.5", "-666"],
    ["b_at", "7849", "0", "NA", "-2"],
    ["c_at", "2978", "1", "1e-3", ""],
]


def text(lines=None):
    return "".join("\t".join(line) + "\n" for line in (LINES if lines is None else lines))


def changed(line, field, value):
    lines = [list(fields) for fields in LINES]
    lines[line][field] = value
    return text(lines)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a.gct").write_text(text())
    return tmp_path / "a.gct"


def test_values_names_and_missing(path):
    adata = profiles(path)
    expected = np.array([[0.5, np.nan, 1e-3], [np.nan, -2, np.nan]], dtype=np.float32)
    np.testing.assert_array_equal(adata.X, expected)
    assert adata.X.dtype == np.float32
    assert adata.var_names.tolist() == ["780", "7849", "2978"]
    assert adata.var["landmark"].tolist() == [True, False, True]
    assert adata.var["row_id"].tolist() == ["a_at", "b_at", "c_at"]
    assert adata.obs_names.tolist() == ["p1", "p2"]
    assert adata.obs["pert_id"].tolist() == ["BRD-A", "DMSO"]
    assert adata.obs["cell"].tolist() == ["0123", "A549"]
    np.testing.assert_array_equal(adata.obs["dose"], [10, np.nan])


@pytest.mark.parametrize("content", [text(), text().replace("\n", "\r\n"), text().replace("\nb", "\n\nb") + "\n"])
def test_line_ends_blank_lines_compression_and_suffix_do_not_matter(path, tmp_path, content):
    other = tmp_path / "text.gctx"
    other.write_bytes(gzip.compress(content.encode()))
    assert format_of(other) == "gct"
    pd.testing.assert_frame_equal(profiles(other).to_df(), profiles(path).to_df())


def test_version_1_2_has_a_description(tmp_path):
    (tmp_path / "old.gct").write_text("#1.2\n2\t1\nName\tDescription\tp1\nTP53\ttumor protein\t1\nEGFR\tna\t2\n")
    adata = profiles(tmp_path / "old.gct")
    assert adata.to_df().loc["p1"].to_dict() == {"TP53": 1.0, "EGFR": 2.0}
    assert adata.var["Description"].iloc[0] == "tumor protein"
    assert pd.isna(adata.var["Description"].iloc[1])


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_blocks_of_any_size_give_the_same(path, size):
    whole = profiles(path).X
    chosen = select(GctFile(path), genes=["2978", "780"], rows=[1, 0])
    parts = np.full(chosen.shape, 7, dtype=np.float32)
    for block in chosen.blocks(size):
        values = block.load()
        assert values.shape == (len(block.rows), len(block.genes))
        assert values.size <= max(size, 2)
        parts[np.ix_(block.rows, block.genes)] = values
    np.testing.assert_array_equal(parts, whole[[1, 0]][:, [2, 0]])


@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(st.floats(width=32, allow_infinity=False), min_size=6, max_size=6),
    names=st.lists(
        st.text(alphabet="abc-é 0", min_size=1, max_size=5).map(lambda name: f"x{name}x"), min_size=3, max_size=3
    ),
    numbers=st.lists(st.floats(allow_nan=True, allow_infinity=False), min_size=3, max_size=3),
)
def test_what_is_written_is_read_back_equal(tmp_path_factory, values, names, numbers):
    X = np.array(values, dtype=np.float32).reshape(3, 2)
    X[X == -666] = 0
    numbers = [0.0 if number == -666 else number for number in numbers]
    obs = pd.DataFrame({"pert_name": names, "dose": numbers, "own": names}, index=["p1", "p2", "p3"])
    var = pd.DataFrame({"symbol": ["TP53", None], "landmark": [True, False]}, index=["7157", "60"])
    adata = anndata.AnnData(X, obs=obs, var=var)
    back = profiles(write_gct(adata, tmp_path_factory.mktemp("gct") / "a.gct"))
    np.testing.assert_array_equal(back.X, X)
    pd.testing.assert_frame_equal(back.obs, obs, check_dtype=False)
    pd.testing.assert_frame_equal(back.var, var, check_dtype=False)


def test_writing_leaves_what_it_was_given_and_no_pieces(path, tmp_path):
    adata = profiles(path)
    before = adata.copy()
    write_gct(adata, tmp_path / "b.gct.gz")
    assert format_of(tmp_path / "b.gct.gz") == "gct"
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    pd.testing.assert_frame_equal(profiles(tmp_path / "b.gct.gz").obs, before.obs)
    adata.obs["own"] = ["a\tb", "c"]
    with pytest.raises(ValueError, match=r"no tab and no line break; 1 have"):
        write_gct(adata, tmp_path / "c.gct")
    assert not list(tmp_path.glob(".*")) + list(tmp_path.glob("c.gct"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (text([["#1.3"], [str(10**9), str(10**9), "0", "0"], ["id", "p1"]]), "1,000,000,001 fields"),
        (text([["#1.3"], [str(10**9), "1", "0", "0"], ["id", "p1"], ["g", "1"]]), "bytes cannot"),
        (changed(1, 0, "4"), "hold 4 genes, as its second line says; it holds 3"),
        (changed(1, 0, "2"), "hold 2 genes, as its second line says; it holds 3"),
        (changed(1, 1, "3"), "should have 6 fields"),
        (changed(1, 2, "1"), "should have 4 fields"),
        (changed(1, 3, "x"), "4 whole numbers"),
        (changed(1, 3, "4"), "hold 3 genes"),
        (changed(6, 3, "high"), "gene 'a_at' holds 'high'"),
        (changed(6, 3, "inf"), "finite or missing; 1 in a block"),
        (changed(6, 3, "1e300"), "finite or missing; 1 in a block"),
        (changed(2, 4, "p1"), "profile ids of a.gct must be unique; 1 stand"),
        (changed(7, 0, "a_at"), "gene ids of a.gct must be unique; 1 stand"),
        (changed(2, 4, ""), "profile ids of a.gct should all be known; of 2 1 are empty"),
        (text()[:-12], "should have 5 fields, as the header has; 'c_at'"),
        (text(LINES[:5]), "it ends before"),
        ("#1.3\n", "it ends before"),
    ],
)
def test_faults_are_told_in_three_parts(path, content, message):
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        profiles(path)
    assert "should" in str(caught.value) or "must" in str(caught.value)
    assert str(caught.value).count(". ") >= 1


def test_a_fault_in_genes_that_are_not_wanted_does_not_matter(path):
    path.write_text(changed(7, 3, "high"))
    assert profiles(path, genes=["780"]).shape == (2, 1)


def test_cut_off_gzip(path, tmp_path):
    (tmp_path / "cut.gct.gz").write_bytes(gzip.compress(text().encode())[:-9])
    with pytest.raises(ValueError, match=r"whole compressed file; it is cut off"):
        profiles(tmp_path / "cut.gct.gz")


@pytest.mark.real
def test_the_published_text_equals_pandas(shared):
    path = shared / "l1000" / "original" / "test_l1000.gct"
    adata = profiles(path)
    raw = pd.read_csv(path, sep="\t", skiprows=2, index_col=0, low_memory=False)
    values = raw.iloc[35:, 11:].astype(np.float32)
    np.testing.assert_array_equal(adata.X, values.to_numpy().T)
    assert adata.shape == (377, 978)
    assert adata.obs_names.tolist() == values.columns.tolist()
    assert adata.obs["pert_type"].value_counts().to_dict() == {"trt_cp": 328, "ctl_vehicle": 26, "trt_poscon": 23}
    assert adata.obs["dose"].isna().sum() == 26
    assert adata.var["landmark"].all()
    assert adata.var.loc["5720", "symbol"] == "PSME1"


@pytest.mark.real
def test_the_published_text_with_missing_values(shared):
    adata = profiles(shared / "l1000" / "original" / "matrix_with_na.gct")
    assert adata.shape == (5, 5)
    assert np.isnan(adata.X).sum() == 3
    assert adata["col_5", "row_3"].X[0, 0] == 22
    assert adata.obs["column_gp"].tolist() == [1, 2, 1, 3, 4]
