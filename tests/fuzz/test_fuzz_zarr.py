"""Zarr folders of an AnnData: whole, on disk, and of profiles; and what a folder must not do."""

from __future__ import annotations

import json
import pickle
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData, settings
from hostile.checks import keeps_the_law
from hostile.hdf5 import small_adata
from hostile.law import outcome
from hostile.zarr_folders import ZARR
from scipy import sparse

from galenic.data.cell_matrix import CellMatrix
from galenic.data.read.zarr_folders import open_zarr
from galenic.data.strangers.zarr import UNWRITTEN, arrays_of

PARTS = ("X", "obs", "var", "layers", "obsm", "uns")
FEW = {"zarr": 25, "zarr on disk": 25, "zarr of profiles": 20}


@pytest.mark.parametrize("name", FEW)
def test_what_is_spoilt_is_read_or_refused_in_words(name: str, tmp_path: Path) -> None:
    keeps_the_law(ZARR[name](), tmp_path, FEW[name])


def folder(place: Path, kind: str = "dense", version: int = 3) -> Path:
    with warnings.catch_warnings(action="ignore"), settings.override(zarr_write_format=version):
        small_adata(kind).write_zarr(place / "a.zarr")
    return place / "a.zarr"


def changed(place: Path, **entries: object) -> None:
    """Entries of an array's metadata, exchanged."""
    place.write_text(json.dumps(json.loads(place.read_text()) | entries))


def declares_without_end(place: Path) -> None:
    changed(place / "obs/n/zarr.json", shape=[UNWRITTEN])


def has_chunks_without_end(place: Path) -> None:
    grid = {"name": "regular", "configuration": {"chunk_shape": [1]}}
    changed(place / "obs/n/zarr.json", shape=[10**8], chunk_grid=grid, data_type="int8")


def leads_out(place: Path) -> None:
    (place / "obs").rename(place.parent / "elsewhere")
    (place / "obs").symlink_to(place.parent / "elsewhere")


def has_a_chunk_from_elsewhere(place: Path) -> None:
    chunk = next((place / "X/c").rglob("0"))
    chunk = chunk if chunk.is_file() else chunk / "0"
    chunk.rename(place.parent / "elsewhere")
    chunk.symlink_to(place.parent / "elsewhere")


def unpacks_to_more(place: Path) -> None:
    """A frame of zstd that says that it holds 2 GB."""
    (chunk,) = (one for one in (place / "X/c").rglob("*") if one.is_file())
    chunk.write_bytes(b"\x28\xb5\x2f\xfd\xa0" + (2**31).to_bytes(4, "little") + bytes(20))


def runs_code(place: Path) -> None:
    """Texts that are packed by pickle."""

    class Written:
        def __reduce__(self) -> tuple[object, ...]:
            return open, (str(place.parent / "ran"), "w")

    shutil.rmtree(place)
    texts = folder(place.parent, version=2) / "obs/pert_id/categories"
    changed(texts / ".zarray", filters=[{"id": "pickle", "protocol": 5}], compressor=None)
    (texts / "0").write_bytes(pickle.dumps(np.array([Written(), Written()])))


def says_to_blosc_that_it_is_larger(place: Path) -> None:
    """Blosc would read beyond the chunk."""
    shutil.rmtree(place)
    folder(place.parent, version=2)
    chunk = place / "obs/cell_type/categories/0"
    content = bytearray(chunk.read_bytes())
    content[15] = 0x1E
    chunk.write_bytes(content)


def is_nested_without_end(place: Path) -> None:
    (place / "obs/zarr.json").write_text("[" * 100_000)


@pytest.mark.parametrize(
    "bad",
    [declares_without_end, has_chunks_without_end, leads_out, has_a_chunk_from_elsewhere, unpacks_to_more,
     runs_code, says_to_blosc_that_it_is_larger, is_nested_without_end],
)  # fmt: skip
def test_hostile_folders_are_refused(bad: Callable[[Path], None], tmp_path: Path) -> None:
    place = folder(tmp_path)
    bad(place)
    assert outcome(open_zarr, place) == "refused"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("backed", [True, False])
def test_places_outside_of_a_sparse_matrix_are_refused(backed: bool, tmp_path: Path) -> None:
    """They would be read from, and written to, memory of others."""
    with warnings.catch_warnings(action="ignore"):
        X = sparse.csr_matrix(np.eye(3, dtype=np.float32))
        X.indices[1] = 10**6
        AnnData(X, obs=small_adata("csr").obs[:3]).write_zarr(tmp_path / "a.zarr")
    with pytest.raises(ValueError, match="some lie outside"):
        open_zarr(tmp_path / "a.zarr", backed=backed)


@pytest.mark.parametrize("version", [2, 3])
def test_what_was_left_out_for_being_zero_is_read(version: int, tmp_path: Path) -> None:
    """Zarr need not write chunks of zeros, so that what is declared may be more than what is there."""
    adata = small_adata("dense")
    adata.X[:] = 0
    adata.obs["never"] = False
    with warnings.catch_warnings(action="ignore"), settings.override(zarr_write_format=version):
        adata.write_zarr(tmp_path / "a.zarr")
    found = open_zarr(tmp_path / "a.zarr")
    assert not CellMatrix.of(found).dense().any()
    assert not found.obs["never"].any()


def test_parts_that_are_not_read_do_no_harm(tmp_path: Path) -> None:
    place = folder(tmp_path)
    (place / "raw/X").mkdir(parents=True, exist_ok=True)
    (place / "raw/X/zarr.json").write_text("[" * 100_000)
    assert open_zarr(place).shape == (4, 3)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("kind", ["csr", "dense"])
def test_metadata_say_what_zarr_says(kind: str, version: int, tmp_path: Path) -> None:
    import zarr

    place = folder(tmp_path, kind, version)
    arrays, _ = arrays_of(place, PARTS)
    group = zarr.open_group(str(place), mode="r", use_consolidated=False)
    with warnings.catch_warnings(action="ignore"):
        found = {name: one for name, one in group.members(max_depth=None) if isinstance(one, zarr.Array)}
    known = {name: one for name, one in found.items() if name.partition("/")[0] in PARTS}
    assert set(arrays) == set(known)
    for name, array in known.items():
        stored = arrays[name]
        assert (stored.shape, stored.chunks) == (array.shape, array.chunks)
        assert stored.n_chunks == array.nchunks
        if array.dtype.kind in "biuf":
            assert stored.size == array.nbytes
