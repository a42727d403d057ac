"""Valid small HDF5 files, and what spoils their datasets, groups, links and attributes."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from galenic.data import read
from galenic.data.cell_matrix import CellMatrix
from galenic.data.gctx.gctx import write_gctx
from galenic.data.read.matrices import open_h5ad
from hostile.edits import Edit, edited
from hostile.target import WHOLE, Target

LARGEST = 10_000
"""Values that an edit makes."""
SCALARS: tuple[Any, ...] = (
    0,
    -1,
    2**40,
    np.nan,
    "x",
    b"\xff",
    "csr_matrix",
    "dataframe",
    "categorical",
    "array",
    "0.2.0",
)
SCALARS += (np.array([2**40, 3]), np.array([3, -1]), np.array(["x"], dtype="S1"), [], "nullable-integer", "dict", True)


def spoilt(content: bytes, edits: Sequence[Edit], other: bytes) -> bytes:
    """An HDF5 file of which objects were removed, replaced, linked elsewhere, or described otherwise."""
    if hash(content) not in WHOLE:
        return edited(content, edits, other)
    with io.BytesIO(content) as stream:
        with h5py.File(stream, "r+") as file:
            for edit in edits:
                places: list[str] = []
                file.visit(places.append)
                if places:
                    # HDF5 itself refuses some changes.
                    with contextlib.suppress(ValueError, TypeError, KeyError, RuntimeError, OSError, MemoryError):
                        _spoil_one(file, places[edit[1] % len(places)], edit[0], edit[2] // 2)
        WHOLE.add(hash(stream.getvalue()))
        return stream.getvalue()


def _spoil_one(file: h5py.File, place: str, kind: int, what: int) -> None:
    found = file[place]
    if (kind := kind % 10) == 0:
        del file[place]
    elif kind == 1:
        file.move(place, f"{place}x")
    elif kind in (2, 3, 4):
        attributes = dict(found.attrs)
        # An edit before this one may have declared a size that nothing should be made of.
        n = min(found.shape[0], LARGEST) if isinstance(found, h5py.Dataset) and found.shape else 3
        del file[place]
        _replace(file, place, n, what)
        if kind == 4 and place in file:
            for name, value in attributes.items():
                file[place].attrs[name] = value
    elif kind == 5 and isinstance(found, h5py.Dataset) and found.shape and found.size <= LARGEST:
        values = found[:]
        attributes = dict(found.attrs)
        del file[place]
        file[place] = _other_values(values, what)
        file[place].attrs.update(attributes)
    elif kind == 6:
        found.attrs[("encoding-type", "shape", "encoding-version", "column-order", "_index", "x")[what % 6]] = SCALARS[
            what // 6 % len(SCALARS)
        ]
    elif kind == 7 and len(found.attrs):
        del found.attrs[sorted(found.attrs)[what % len(found.attrs)]]
    elif kind == 8:
        del file[place]
        file[place] = (
            h5py.SoftLink("/"),
            h5py.SoftLink(f"/{place}"),
            h5py.ExternalLink("/etc/passwd", "/"),
            h5py.ExternalLink("../x.h5", "/obs"),
            h5py.SoftLink("/nowhere"),
        )[what % 5]
    elif isinstance(found, h5py.Group):
        found["again"] = file["/"] if what % 2 else found


def _replace(file: h5py.File, place: str, n: int, what: int) -> None:
    """Something else under a name."""
    make: tuple[Callable[[], Any], ...] = (
        lambda: file.create_group(place),
        lambda: file.create_dataset(place, data="x"),
        lambda: file.create_dataset(place, data=np.nan),
        lambda: file.create_dataset(place, data=np.full(n, np.nan)),
        lambda: file.create_dataset(place, data=np.arange(n)),
        lambda: file.create_dataset(place, data=np.zeros((n, 2))),
        lambda: file.create_dataset(place, data=np.zeros(0)),
        lambda: file.create_dataset(place, data=[b"\xff\xfe"] * n),
        lambda: file.create_dataset(place, shape=(10**9, 10**9), dtype="f4", chunks=(100, 100), compression="gzip"),
        lambda: file.create_dataset(place, shape=(10**12,), dtype="i8", chunks=(1000,)),
        lambda: file.create_dataset(place, shape=(n,), dtype=h5py.string_dtype()),
        lambda: file.create_dataset(place, data=np.zeros(n, dtype=[("a", "i4"), ("b", "f8")])),
        lambda: file.create_dataset(place, data=np.zeros(n, dtype=bool)),
        lambda: file.create_dataset(place, shape=(n,), dtype=h5py.ref_dtype),
        lambda: file.create_dataset(place, shape=(n,), dtype=h5py.vlen_dtype("i4")),
        lambda: file.create_dataset(place, data=h5py.Empty("f4")),
        lambda: file.create_dataset(place, data=np.arange(n, dtype="u8") + 2**63),
        lambda: file.create_dataset(place, data=np.zeros(n, dtype="V5")),
        lambda: file.create_dataset(place, data=np.arange(n) - 2),
        lambda: file.create_dataset(place, (n,), "f4", external=[("/etc/passwd", 0, 4 * n)]),
        lambda: file.create_dataset(place, data=np.arange(n) * 1j),
    )
    make[what % len(make)]()


def _other_values(values: np.ndarray, what: int) -> np.ndarray:
    """Values of the same kind, of which one is hostile, or more or fewer of them."""
    flat = values.reshape(-1).copy()
    if (kind := what % 6) == 0 or not len(flat):
        return values[: len(values) // 2]
    if kind == 1:
        return np.concatenate([values, values])
    if kind == 2:
        return values.reshape(1, *values.shape)
    place = what // 6 % len(flat)
    if values.dtype.kind in "iu":
        bounds = np.iinfo(values.dtype)
        flat[place] = (bounds.min, bounds.max, 100, bounds.min // 2)[what // 7 % 4]
    elif values.dtype.kind == "f":
        flat[place] = (np.nan, np.inf, 1e30, -666)[what // 7 % 4]
    elif values.dtype.kind in "SO":
        flat[place] = flat[0]
    return flat.reshape(values.shape)


def small_adata(kind: str) -> AnnData:
    rng = np.random.default_rng(0)
    X = rng.poisson(1.0, (4, 3)).astype(np.float32)
    obs = pd.DataFrame({"cell_type": pd.Categorical(["a", "b", "a", "b"]), "n": [1, 2, 3, 4]}, index=list("wxyz"))
    obs = obs.assign(pert_id=["p", "q", "p", "q"], known=[True, False, True, True])
    var = pd.DataFrame({"symbol": ["TP53", "EGFR", "KRAS"]}, index=["7157", "1956", "3845"])
    matrix = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix}.get(kind, np.asarray)(X)
    adata = AnnData(X=matrix, obs=obs, var=var)
    adata.obsm["pca"], adata.layers["raw"] = X[:, :2].copy(), sparse.csr_matrix(X)
    adata.uns["steps"] = ["made up"]
    return adata


def _written(kinds: Sequence[str], gctx: bool) -> list[bytes]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        for kind in kinds:
            if gctx:
                write_gctx(small_adata(kind), path, compress=kind == "dense")
            else:
                small_adata(kind).write_h5ad(path)
            found.append(path.read_bytes())
    return found


def _h5ad(path: Path) -> None:
    read.matrix(path)
    read.layout(path)


def _backed(path: Path) -> None:
    adata = open_h5ad(path, backed=True)
    try:
        CellMatrix.of(adata).dense()
    finally:
        adata.file.close()


HDF5 = {
    target.name: target
    for target in (
        Target("gctx", _written(("csr", "dense"), gctx=True), read.profiles, "a.gctx", spoilt),
        Target("h5ad", _written(("csr", "csc", "dense"), gctx=False), _h5ad, "a.h5ad", spoilt),
        Target("h5ad on disk", _written(("csr", "csc", "dense"), gctx=False), _backed, "a.h5ad", spoilt),
        Target("h5ad of profiles", _written(("csr", "dense"), gctx=False), read.profiles, "a.h5ad", spoilt),
    )
}
