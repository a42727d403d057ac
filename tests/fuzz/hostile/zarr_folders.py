"""Valid small zarr folders of formats 2 and 3, and what reads them."""

from __future__ import annotations

import contextlib
import json
import tempfile
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from anndata import settings

from galenic.data import read
from galenic.data.cell_matrix import CellMatrix
from galenic.data.read.matrices import open_h5ad
from hostile.edits import Edit, as_json, edited, edited_json
from hostile.hdf5 import small_adata
from hostile.target import Files, Target, files_of


def _spoilt(content: bytes, edits: Sequence[Edit], other: bytes) -> bytes:
    """Format 2 keeps JSON in files without that ending."""
    with contextlib.suppress(ValueError):
        return as_json(edited_json(json.loads(content), edits))
    return edited(content, edits, other)


@cache
def _folders() -> list[Files]:
    found: list[Files] = []
    with warnings.catch_warnings(action="ignore"):
        for version, kind in ((2, "csr"), (2, "dense"), (3, "csr"), (3, "dense")):
            with tempfile.TemporaryDirectory() as folder, settings.override(zarr_write_format=version):
                small_adata(kind).write_zarr(Path(folder, "a"))
                # A second index of what stands in the parts.
                found.append({name: part for name, part in files_of(Path(folder, "a")).items() if name != ".zmetadata"})
    return found


def _on_disk(path: Path) -> None:
    CellMatrix.of(open_h5ad(path, backed=True)).dense()


def _whole(path: Path) -> None:
    read.matrix(open_h5ad(path))


ZARR = {
    "zarr on disk": lambda: Target("zarr on disk", _folders(), _on_disk, "a.zarr", _spoilt),
    "zarr": lambda: Target("zarr", _folders(), _whole, "a.zarr", _spoilt),
    "zarr of profiles": lambda: Target("zarr of profiles", _folders(), read.profiles, "a.zarr", _spoilt),
}
