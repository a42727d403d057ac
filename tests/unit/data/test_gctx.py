"""GCTX: only what is wanted is read, whatever the layout, and damaged files are refused in words."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st

from galenic.data.gctx import gctx
from galenic.data.gctx.gct import write_gct
from galenic.data.gctx.gctx import GctxFile, write_gctx
from galenic.data.gctx.selection import select
from galenic.data.read import profiles

N_GENES, N_LANDMARKS = 12_328, 978


def gctx_file(path, X, *, genes=None, rows=None, row_meta=None, col_meta=None, chunks=(262, 1000), ids=bytes):
    genes = [str(i) for i in range(X.shape[1])] if genes is None else genes
    rows = [f"p{i}" for i in range(X.shape[0])] if rows is None else rows
    with h5py.File(path, "w") as file:
        file.attrs["version"] = np.bytes_("GCTX1.0")
        chunks = None if chunks is None else tuple(min(pair) for pair in zip(chunks, X.shape, strict=True))
        file.create_dataset("0/DATA/0/matrix", data=X, chunks=chunks)
        for group, names, table in (("ROW", genes, row_meta), ("COL", rows, col_meta)):
            kind = h5py.string_dtype() if ids is str else None
            values = list(names) if ids is str else np.array([name.encode() for name in names])
            file.create_dataset(f"0/META/{group}/id", data=values, dtype=kind)
            for name, column in (table or {}).items():
                file[f"0/META/{group}/{name}"] = column
    return path


@pytest.fixture
def reads(monkeypatch):
    """The parts of matrices that were read: rows and columns of each."""
    seen = []
    whole = h5py.Dataset.__getitem__

    def spy(self, key, *rest, **more):
        if self.ndim == 2:
            seen.append(key)
        return whole(self, key, *rest, **more)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", spy)
    return seen


@pytest.fixture(scope="module", params=["first", "scattered"])
def full(request, tmp_path_factory):
    """A file with all genes of a release, landmarks in front as in phase I, or scattered as in phase II."""
    generator = np.random.default_rng(1)
    X = generator.normal(size=(300, N_GENES)).astype(np.float32)
    flags = np.zeros(N_GENES)
    places = (
        np.arange(N_LANDMARKS) if request.param == "first" else generator.choice(N_GENES, N_LANDMARKS, replace=False)
    )
    flags[places] = 1
    path = gctx_file(tmp_path_factory.mktemp("full") / "a.gctx", X, row_meta={"pr_is_lm": flags})
    return request.param, path, X, np.sort(places)


def test_landmarks_that_stand_together_are_all_that_is_read(full, reads):
    layout, path, X, places = full
    adata = profiles(path, genes="landmark")
    np.testing.assert_array_equal(adata.X, X[:, places])
    columns = {(key[1].start, key[1].stop) for key in reads}
    if layout == "first":
        # The first chunk column of 13, and nothing of the others.
        assert columns == {(0, N_LANDMARKS)}
    else:
        assert columns == {(places[0], places[-1] + 1)}
    assert sum(key[0].stop - key[0].start for key in reads) == len(X)
    assert max(key[0].stop - key[0].start for key in reads) <= (4 << 20) // N_LANDMARKS


def test_few_runs_are_read_each_by_itself(full, reads):
    _, path, X, _ = full
    genes = [str(i) for i in [12_000, 5, 6, 12_001, 4]]
    adata = profiles(path, genes=genes, rows=["p3", "p1"])
    np.testing.assert_array_equal(adata.X, X[[3, 1]][:, [12_000, 5, 6, 12_001, 4]])
    assert {(key[1].start, key[1].stop) for key in reads} == {(4, 7), (12_000, 12_002)}


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_subset_is_the_whole_and_then_the_subset(tmp_path_factory, data):
    shape = data.draw(st.tuples(st.integers(1, 30), st.integers(1, 30)))
    chunks = data.draw(st.sampled_from([None, (1, 1), (7, 4), (262, 1000)]))
    X = np.arange(shape[0] * shape[1], dtype=data.draw(st.sampled_from([np.float32, np.float64, np.int32])))
    X = X.reshape(shape)
    path = gctx_file(tmp_path_factory.mktemp("any") / "a.gctx", X, chunks=chunks)
    rows = data.draw(st.lists(st.integers(0, shape[0] - 1), min_size=1, unique=True))
    genes = data.draw(st.lists(st.integers(0, shape[1] - 1), min_size=1, unique=True))
    chosen = select(GctxFile(path), genes=[str(i) for i in genes], rows=rows)
    found = np.full(chosen.shape, -1, dtype=np.float32)
    for block in chosen.blocks(data.draw(st.sampled_from([1, 10, 100, 10_000]))):
        found[np.ix_(block.rows, block.genes)] = block.load()
    np.testing.assert_array_equal(found, X[rows][:, genes])
    assert chosen.obs.index.tolist() == [f"p{i}" for i in rows]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("ids", [bytes, str])
def test_types_of_numbers_and_names(tmp_path, dtype, ids):
    X = np.array([[1, -666, 3]], dtype=dtype)
    col_meta = {"pert_dose": [-666.0], "pert_iname": [b"caf\xe9"], "qc": [b"12 "], "own": [3]}
    row_meta = {"pr_gene_id": [780.0, 7849.0, 2978.0], "pr_gene_symbol": [b"DDR1", b"-666", b"GUCA1A"]}
    adata = profiles(gctx_file(tmp_path / "a.gctx", X, row_meta=row_meta, col_meta=col_meta, ids=ids))
    np.testing.assert_array_equal(adata.X, np.array([[1, np.nan, 3]], dtype=np.float32))
    assert adata.var_names.tolist() == ["780", "7849", "2978"]
    assert [name if isinstance(name, str) else None for name in adata.var["symbol"]] == ["DDR1", None, "GUCA1A"]
    assert np.isnan(adata.obs["dose"].iloc[0])
    assert adata.obs.drop(columns="dose").iloc[0].to_dict() == {"pert_name": "café", "qc": 12, "own": 3}


@pytest.mark.parametrize("compress", [False, True])
def test_what_is_written_is_read_back_equal(tmp_path, rng, compress):
    X = rng.normal(size=(600, 40)).astype(np.float32)
    X[0, 0] = np.nan
    obs = pd.DataFrame(
        {
            "pert_id": [f"BRD-{i}" for i in range(600)],
            "cell": ["A549", None] * 300,
            "dose": [0.1, np.nan] * 300,
            "plate": "P1",
            "det_plate": "P1_B2",
            "qc": np.arange(600),
        },
        index=[f"well {i}" for i in range(600)],
    )
    var = pd.DataFrame({"symbol": [f"G{i}" for i in range(40)], "landmark": True}, index=[str(i) for i in range(40)])
    adata = AnnData(X, obs=obs, var=var)
    back = profiles(write_gctx(adata, tmp_path / "a.gctx", compress=compress))
    np.testing.assert_array_equal(back.X, X)
    pd.testing.assert_frame_equal(back.obs[list(obs)], obs, check_dtype=False)
    pd.testing.assert_frame_equal(back.var, var)
    with h5py.File(tmp_path / "a.gctx") as file:
        assert file.attrs["version"] == b"GCTX1.0"
        assert file["0/DATA/0/matrix"].shape == (600, 40)
        assert file["0/DATA/0/matrix"].chunks == (262, 40)
        assert file["0/META/COL/cell_id"][:2].tolist() == [b"A549", b"-666"]
        assert file["0/META/ROW/pr_gene_symbol"].dtype.kind == "S"
    assert [path.name for path in tmp_path.iterdir()] == ["a.gctx"]
    # A second time: replaced as a whole.
    np.testing.assert_array_equal(profiles(write_gctx(back[:5].copy(), tmp_path / "a.gctx")).X, X[:5])


def test_a_matrix_that_was_never_written_is_not_allocated(tmp_path, monkeypatch):
    """300,000 x 12,328 declared, 15 GB, in a file of a few MB."""
    path = tmp_path / "empty.gctx"
    with h5py.File(path, "w") as file:
        file.create_dataset("0/DATA/0/matrix", shape=(300_000, N_GENES), dtype=np.float32, chunks=(262, 1000))
        file["0/META/COL/id"] = np.arange(300_000)
        file["0/META/ROW/id"] = np.arange(N_GENES)
    adata = profiles(path, rows=[5, 299_999], genes=["3", "9"])
    np.testing.assert_array_equal(adata.X, np.zeros((2, 2)))
    monkeypatch.setattr("galenic.data.gctx.selection.memory_left", lambda: 4 << 30)
    with pytest.raises(ValueError, match=r"need 13\.8 GB of memory; this machine has 4\.0 left\. Name fewer"):
        profiles(path)


def test_ids_that_were_never_written_are_not_allocated(tmp_path):
    path = tmp_path / "huge.gctx"
    with h5py.File(path, "w") as file:
        file.create_dataset("0/DATA/0/matrix", shape=(10**9, 10**9), dtype=np.float32, chunks=(262, 1000))
        for group in ("COL", "ROW"):
            file.create_dataset(f"0/META/{group}/id", shape=(10**9,), dtype="S50", chunks=(1000,))
    with pytest.raises(ValueError, match=r"should hold 1,000,000,000 values; 0 bytes of it were ever"):
        profiles(path)


def broken(path, change):
    gctx_file(path, np.ones((3, 4), dtype=np.float32), col_meta={"pert_id": [b"a", b"b", b"c"]})
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def replace(name, values):
    def change(file):
        del file[name]
        if values is not None:
            file[name] = values

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replace("0/META/COL/id", np.arange(5)), "profiles x genes, 5 x 4 by its ids; it is 3 x 4"),
        (replace("0/DATA/0/matrix", np.ones((4, 3))), "The matrix is transposed"),
        (replace("0/DATA/0/matrix", np.ones(3)), "matrix of numbers, profiles x genes"),
        (replace("0/DATA/0/matrix", np.array([[b"a"] * 4] * 3)), r"it holds \|S1 of shape \(3, 4\)"),
        (replace("0/META/COL/id", np.array([b"a", b"b", b"a"])), "profile ids of a.gctx must be unique; 1 stand"),
        (replace("0/META/ROW/id", np.array([b"a", b"", b"c", b"d"])), "gene ids of a.gctx should all be known; 1 of 4"),
        (replace("0/META/COL/pert_id", np.arange(7)), "should have 3 values"),
        (replace("0/META/ROW/id", None), r"vector of ids in 0/META/ROW/id; it has nothing there"),
        (replace("0/DATA/0/matrix", np.full((3, 4), np.inf)), "finite or missing; 12 in a block"),
    ],
)
def test_faults_are_told_in_three_parts(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        profiles(broken(tmp_path / "a.gctx", change))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_a_file_that_is_cut_off(tmp_path, rng, share):
    path = gctx_file(tmp_path / "a.gctx", rng.normal(size=(300, 2000)).astype(np.float32))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"whole HDF5 file; it is cut off or damaged"):
        profiles(path)


def test_damage_inside_a_chunk(tmp_path, rng):
    path = write_gctx(AnnData(rng.normal(size=(300, 50)).astype(np.float32)), tmp_path / "a.gctx", compress=True)
    with h5py.File(path) as file:
        place = file["0/DATA/0/matrix"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 10 : place + 200] = bytes(190)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"whole HDF5 file; it is cut off or damaged"):
        profiles(path)


def test_nothing_to_write(tmp_path):
    with pytest.raises(ValueError, match=r"there are 0 profiles x 3 genes"):
        write_gctx(AnnData(np.zeros((0, 3), dtype=np.float32)), tmp_path / "a.gctx")
    assert not list(tmp_path.iterdir())


def test_chunks_are_read_once(tmp_path, rng, reads):
    """Blocks start where chunks do, so that no chunk is unpacked twice."""
    path = gctx_file(tmp_path / "a.gctx", rng.normal(size=(1000, 5000)).astype(np.float32))
    profiles(path)
    assert all(key[0].start % gctx.CHUNK[0] == 0 for key in reads)


ORIGINAL = {
    "CORE_A_level4_ZSPCINF_n40x12328.gctx": (40, 12_328),
    "mini_gctx_with_metadata_n2x3.gctx": (2, 3),
    "modzs_gct_n3x978.gctx": (3, 978),
    "slinky_demo.gctx": (131, 12_328),
    "testDistilBrew_input_ds_n12x978.gctx": (12, 978),
}


@pytest.mark.real
@pytest.mark.parametrize("name", list(ORIGINAL))
def test_published_files_equal_what_h5py_reads(shared, tmp_path, name):
    path = shared / "l1000" / "original" / name
    adata = profiles(path)
    assert adata.shape == ORIGINAL[name]
    with h5py.File(path) as file:
        values = file["0/DATA/0/matrix"][:]
        ids = [text.decode() for text in file["0/META/COL/id"]]
    np.testing.assert_array_equal(adata.X, values.astype(np.float32))
    assert adata.obs_names.tolist() == ids
    back = profiles(write_gctx(adata, tmp_path / "back.gctx"))
    np.testing.assert_array_equal(back.X, adata.X)
    pd.testing.assert_frame_equal(back.obs, adata.obs, check_like=True)
    pd.testing.assert_frame_equal(back.var, adata.var, check_like=True)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "contiguous"), [("slinky_demo.gctx", True), ("CORE_A_level4_ZSPCINF_n40x12328.gctx", False)]
)
def test_published_row_orders(shared, reads, name, contiguous):
    """Phase I has its landmarks in front, later builds scatter them."""
    folder = shared / "l1000"
    adata = profiles(folder / "original" / name, genes="landmark", gene_info=folder / "landmark_genes.tsv")
    assert adata.n_vars == 978
    assert set(adata.var_names) == set(pd.read_csv(folder / "landmark_genes.tsv", sep="\t")["gene_id"].astype(str))
    assert adata.var["symbol"].notna().all()
    assert ({(key[1].start, key[1].stop) for key in reads} == {(0, 978)}) is contiguous
    whole = profiles(folder / "original" / name)
    np.testing.assert_array_equal(adata.X, whole[:, adata.var_names].X)


@pytest.mark.parametrize("write", [write_gct, gctx.write_gctx])
def test_where_nothing_can_be_written_is_told_in_words(tmp_path, write):
    adata = AnnData(np.ones((1, 2), dtype=np.float32))
    (tmp_path / "file").write_text("x")
    places = [tmp_path / "file" / "a.gct", tmp_path / "none" / "a.gct"]
    if os.geteuid():
        (tmp_path / "closed").mkdir(mode=0o500)
        places.append(tmp_path / "closed" / "a.gct")
    for path in places:
        with pytest.raises(OSError, match=r"a\.gct should be a place to write to; the system refuses it \(") as caught:
            write(adata, path)
        assert "name another place." in str(caught.value)
        assert ".part" not in str(caught.value)
        assert "flags" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({"file", *(["closed"] if os.geteuid() else [])})
