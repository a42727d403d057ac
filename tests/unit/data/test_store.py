"""The store: bounded memory, the same bytes after an interruption, and damage that is noticed."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from galenic.data import convert as converting
from galenic.data.convert import convert
from galenic.data.diagnose import diagnose
from galenic.data.gctx.gct import write_gct
from galenic.data.gctx.gctx import write_gctx
from galenic.data.profiles import join_phases
from galenic.data.read import profiles
from galenic.data.store import open_store


def example(n=50, n_genes=20, seed=0, prefix="p"):
    X = np.random.default_rng(seed).normal(size=(n, n_genes)).astype(np.float32)
    obs = pd.DataFrame(
        {"pert_id": [f"BRD-{i}" for i in range(n)], "dose": np.nan}, index=[f"{prefix}{i}" for i in range(n)]
    )
    var = pd.DataFrame({"landmark": np.arange(n_genes) % 2 == 0}, index=[str(i) for i in range(n_genes)])
    return AnnData(X, obs=obs, var=var)


@pytest.fixture(params=[write_gct, write_gctx], ids=["gct", "gctx"])
def source(request, tmp_path):
    return request.param(example(), tmp_path / "source")


def files_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("block", [1, 37, 100, 1 << 22])
def test_a_store_equals_what_was_read(source, tmp_path, block):
    adata = profiles(source, genes="landmark")
    stored = open_store(convert(source, tmp_path / "store", block=block), verify=True)
    assert isinstance(stored.X.base, np.memmap)
    assert not stored.X.flags.writeable
    stored.write_h5ad(tmp_path / "stored.h5ad")
    np.testing.assert_array_equal(stored.X, adata.X)
    pd.testing.assert_frame_equal(stored.obs, adata.obs)
    pd.testing.assert_frame_equal(stored.var, adata.var)
    assert set(files_of(tmp_path / "store")) == {"matrix.npy", "obs.parquet", "var.parquet", "store.json"}
    assert json.loads((tmp_path / "store" / "store.json").read_text())["source"] == ["source"]
    again = profiles(tmp_path / "store", rows=["p3", "p1"])
    np.testing.assert_array_equal(again.X, adata[["p3", "p1"]].X)


def test_half_precision(source, tmp_path):
    adata = profiles(source, genes="landmark")
    stored = open_store(convert(source, tmp_path / "store", dtype="float16"))
    assert stored.X.dtype == np.float16
    np.testing.assert_array_equal(stored.X, adata.X.astype(np.float16))
    assert open_store(tmp_path / "store", mmap=False).X.dtype == np.float32


class InterruptedWorkError(Exception):
    pass


def interrupt_after(n):
    calls = []

    def watch(done, total):
        calls.append(done)
        assert 0 < done <= total
        if len(calls) == n:
            raise InterruptedWorkError

    return watch


@pytest.mark.parametrize("stops", [[1], [3], [2, 1, 2]])
def test_an_interrupted_conversion_goes_on_and_ends_with_the_same_bytes(source, tmp_path, monkeypatch, stops):
    convert(source, tmp_path / "whole", block=100)
    for stop in stops:
        with pytest.raises(InterruptedWorkError):
            convert(source, tmp_path / "store", block=100, progress=interrupt_after(stop))
        assert not (tmp_path / "store").exists()
    written = []
    place = converting.place
    monkeypatch.setattr(converting, "place", lambda *rest: (written.append(rest), place(*rest)))
    convert(source, tmp_path / "store", block=100)
    assert files_of(tmp_path / "store") == files_of(tmp_path / "whole")
    # 50 profiles x 10 landmarks in blocks of 100 values at most; what was done is not done again.
    assert len(written) < 500 // 20
    fresh = []
    monkeypatch.setattr(converting, "place", lambda *rest: (fresh.append(rest), place(*rest)))
    convert(source, tmp_path / "fresh", block=100)
    assert len(written) == len(fresh) - sum(stops)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_progress_of_other_work_is_not_taken(source, tmp_path):
    for options in ({"block": 50}, {"genes": None}, {"dtype": "float16"}, {"resume": False}):
        with pytest.raises(InterruptedWorkError):
            convert(source, tmp_path / "store", block=100, progress=interrupt_after(2))
        if "dtype" not in options:
            # Numbers that a wrong resumption would leave in place.
            matrix = np.load(tmp_path / ".store.part" / "matrix.npy", mmap_mode="r+")
            matrix[:] = 7
            matrix.flush()
        convert(source, tmp_path / "store", **{"block": 100, **options})
        expected = profiles(source, genes=options.get("genes", "landmark")).X
        np.testing.assert_allclose(open_store(tmp_path / "store").X, expected, rtol=1e-3, atol=1e-4)
        shutil.rmtree(tmp_path / "store")


def test_a_changed_source_is_read_anew(tmp_path):
    path = write_gctx(example(seed=1), tmp_path / "a.gctx")
    with pytest.raises(InterruptedWorkError):
        convert(path, tmp_path / "store", block=100, progress=interrupt_after(3))
    write_gctx(example(seed=2), path)
    convert(path, tmp_path / "store", block=100)
    np.testing.assert_array_equal(open_store(tmp_path / "store").X, profiles(path, genes="landmark").X)


def test_phases_are_joined_block_by_block(tmp_path):
    one, two = example(seed=1), example(n=30, seed=2, prefix="q")[:, ::-1].copy()
    paths = {"I": write_gctx(one, tmp_path / "one.gctx"), "II": write_gct(two, tmp_path / "two.gct")}
    joined, _ = join_phases({name: profiles(path, genes="landmark") for name, path in paths.items()})
    with pytest.raises(InterruptedWorkError):
        convert(paths, tmp_path / "store", block=60, progress=interrupt_after(12))
    stored = open_store(convert(paths, tmp_path / "store", block=60))
    np.testing.assert_array_equal(stored.X, joined.X)
    assert stored.obs["phase"].astype(str).tolist() == ["I"] * 50 + ["II"] * 30
    pd.testing.assert_frame_equal(stored.var, joined.var)


def test_memory_is_that_of_a_block(tmp_path, monkeypatch):
    """No array of more than a block is made on the way."""
    path = write_gctx(example(n=3000, n_genes=50), tmp_path / "a.gctx")
    largest = []
    place = converting.place
    monkeypatch.setattr(
        converting, "place", lambda target, block, values: (largest.append(values.size), place(target, block, values))
    )
    convert(path, tmp_path / "store", genes=None, block=5000)
    assert max(largest) <= 5000
    assert sum(largest) == 150_000


def damaged(folder, how):
    matrix, record = folder / "matrix.npy", folder / "store.json"
    if how == "missing":
        matrix.unlink()
    elif how == "cut":
        matrix.write_bytes(matrix.read_bytes()[:-10])
    elif how == "pickle":
        np.save(matrix, np.array([{"a": 1}], dtype="object"), allow_pickle=True)
    elif how == "shape":
        np.save(matrix, np.zeros((3, 10), dtype=np.float32))
    elif how == "tables":
        pd.read_parquet(folder / "obs.parquet").iloc[:5].to_parquet(folder / "obs.parquet", index=False)
    elif how == "json":
        record.write_text("{")
    elif how == "kind":
        record.write_text(record.read_text().replace("galenic profiles", "other"))
    elif how == "parquet":
        (folder / "var.parquet").write_bytes(b"PAR1")
    elif how == "later":
        record.write_text(record.read_text().replace('"format": 1', '"format": 99'))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "matrix.npy cannot be read"),
        ("cut", "matrix.npy cannot be read"),
        ("pickle", "matrix.npy cannot be read"),
        ("shape", r"says \(50, 10, 'float32'\), matrix.npy holds \(3, 10, 'float32'\)"),
        ("tables", "the tables 5 x 10"),
        ("json", "store.json cannot be read"),
        ("kind", "is of the kind 'other'"),
        ("parquet", "var.parquet cannot be read"),
        ("later", "format 1 or earlier; it is of format 99"),
    ],
)
def test_a_damaged_store_is_refused(source, tmp_path, how, message):
    convert(source, tmp_path / "store")
    damaged(tmp_path / "store", how)
    with pytest.raises(ValueError, match=message) as caught:
        open_store(tmp_path / "store")
    assert "should be" in str(caught.value)
    assert str(caught.value).endswith("again.")
    assert diagnose(tmp_path / "store")["severity"].tolist() == ["error"]


def test_a_changed_number_is_noticed_when_asked(source, tmp_path):
    convert(source, tmp_path / "store")
    content = bytearray((tmp_path / "store" / "matrix.npy").read_bytes())
    content[-1] ^= 1
    (tmp_path / "store" / "matrix.npy").write_bytes(content)
    open_store(tmp_path / "store")
    with pytest.raises(ValueError, match=r"checksum of matrix.npy is not"):
        open_store(tmp_path / "store", verify=True)


def test_what_cannot_be_written(source, tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    with pytest.raises(FileExistsError, match=r"new folder; .* exists"):
        convert(source, tmp_path / "there")
    with pytest.raises(FileExistsError, match=r"new folder; .* exists. Remove it, or name another"):
        convert(source, tmp_path / "there", overwrite=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match=r"should be a place to write to; the system refuses it \(Not a directory"):
        convert(source, tmp_path / "file" / "store")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        open_store(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="'float32' or 'float16'"):
        convert(source, tmp_path / "store", dtype="int8")
    large = AnnData(np.full((2, 3), 1e6, dtype=np.float32))
    with pytest.raises(ValueError, match=r"within -65,504 to 65,504; 6 in a block"):
        convert(large, tmp_path / "store", genes=None, dtype="float16")
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ValueError, match="GB of disk"):
        convert(large, tmp_path / "another", genes=None)


def test_a_store_is_replaced_when_asked(source, tmp_path):
    folder = convert(example(seed=3), tmp_path / "store", genes=None)
    with pytest.raises(FileExistsError, match="replace a store"):
        convert(source, folder)
    convert(source, folder, overwrite=True)
    np.testing.assert_array_equal(open_store(folder).X, profiles(source, genes="landmark").X)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "store"]
    # The store itself may be what is read: it goes only when the new one is whole.
    convert(folder, folder, genes=["2", "0"], overwrite=True)
    np.testing.assert_array_equal(open_store(folder).X, profiles(source, genes=["2", "0"]).X)


def test_a_store_whose_ids_repeat_is_refused(source, tmp_path):
    convert(source, tmp_path / "store")
    table = pd.read_parquet(tmp_path / "store" / "obs.parquet")
    table.loc[1, "id"] = table.loc[0, "id"]
    table.to_parquet(tmp_path / "store" / "obs.parquet", index=False)
    with pytest.raises(ValueError, match="profile ids of store must be unique; 1 stand more than once"):
        open_store(tmp_path / "store")


def test_a_bar_is_shown(source, tmp_path, capsys):
    convert(source, tmp_path / "store", progress=True)
    assert capsys.readouterr().out == ""


@pytest.mark.real
@pytest.mark.parametrize("name", ["slinky_demo.gctx", "CORE_A_level4_ZSPCINF_n40x12328.gctx"])
def test_published_files(shared, tmp_path, name):
    folder = shared / "l1000"
    info = folder / "landmark_genes.tsv"
    convert(folder / "original" / name, tmp_path / "store", gene_info=info, block=20_000)
    expected = profiles(folder / "original" / name, genes="landmark", gene_info=info)
    stored = open_store(tmp_path / "store", verify=True)
    np.testing.assert_array_equal(stored.X, expected.X)
    pd.testing.assert_frame_equal(stored.obs, expected.obs)
