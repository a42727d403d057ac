"""GCTX: profiles in HDF5, the format of the Connectivity Map's large releases."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first, require_unique
from galenic.data.gctx.metadata import MISSING_NUMBER, as_text, released_names
from galenic.data.gctx.sniff import damage_explained, open_hdf5, written_whole
from galenic.data.gctx.source import Block, runs, sorted_places, windows
from galenic.data.strangers.hdf5 import LARGEST_RATIO, require_sound
from galenic.data.strangers.places import require_places

MATRIX = "0/DATA/0/matrix"
PROFILES, GENES = "0/META/COL", "0/META/ROW"
CHUNK = (262, 1000)
"""Profiles x genes: 1 MB of float32, as in the published files."""
FEW_RUNS = 4
"""Above this many separate runs of genes, whole profiles are read and the genes taken."""


class GctxFile:
    """A GCTX file: metadata are read at once, numbers when asked.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ValueError
        If it is cut off, ids are missing or repeated, or their numbers do not fit the matrix.
    """

    steps: tuple[str, ...] = ()

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = self.path.name
        with damage_explained(self.path):
            require_sound(self.path, lazy=lambda place: place == MATRIX)
        with open_hdf5(self.path) as file:
            matrix = file[MATRIX]
            self._require_shape(file, matrix)
            self.profiles = self._metadata(file, PROFILES, "profile ids")
            self.genes = self._metadata(file, GENES, "gene ids")

    def blocks(self, rows: np.ndarray, genes: np.ndarray, size: int) -> Iterator[Block]:
        """Blocks of profiles; of the genes only the wanted runs are read where they are few, otherwise all, then taken.

        See :meth:`galenic.data.gctx.source.Source.blocks`.
        """
        rows, row_order = sorted_places(rows)
        genes, gene_order = sorted_places(genes)
        slices = runs(genes)
        if len(slices) > FEW_RUNS:
            slices = [slice(int(genes[0]), int(genes[-1]) + 1)]
        width = sum(part.stop - part.start for part in slices)
        with open_hdf5(self.path) as file:
            matrix = file[MATRIX]
            height = max(1, size // max(width, 1))
            if matrix.chunks and height > matrix.chunks[0]:
                height -= height % matrix.chunks[0]
            for part, places in windows(rows, height):
                yield Block(row_order[part], gene_order, partial(self._read, matrix, places, genes, slices))

    def _read(self, matrix: h5py.Dataset, rows: np.ndarray, genes: np.ndarray, slices: list[slice]) -> np.ndarray:
        """The wanted values of one window, ``(len(rows), len(genes))``."""
        # A chunk is read as a whole or not at all, so rows between two wanted ones of a chunk cost nothing.
        spans = runs(rows, gap=matrix.chunks[0] if matrix.chunks else 8)
        parts = []
        with damage_explained(self.path):
            for part in slices:
                inside = genes[(genes >= part.start) & (genes < part.stop)] - part.start
                for span in spans:
                    values = matrix[span, part]
                    wanted = rows[(rows >= span.start) & (rows < span.stop)] - span.start
                    values = values if len(wanted) == len(values) else values[wanted]
                    parts.append(values if len(inside) == values.shape[1] else values[:, inside])
        columns = [np.concatenate(parts[i : i + len(spans)]) for i in range(0, len(parts), len(spans))]
        return columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)

    def _require_shape(self, file: h5py.File, matrix: Any) -> None:
        if not isinstance(matrix, h5py.Dataset) or matrix.ndim != 2 or matrix.dtype.kind not in "iuf":
            held = f"{matrix.dtype} of shape {matrix.shape}" if isinstance(matrix, h5py.Dataset) else "a group"
            raise ValueError(
                f"{self.name} should hold a matrix of numbers, profiles x genes, in {MATRIX}; it holds {held}. "
                "Write it again."
            )
        lengths = tuple(self._ids(file, group).shape[0] for group in (PROFILES, GENES))
        if matrix.shape != lengths:
            hint = "The matrix is transposed: write" if matrix.shape == lengths[::-1] else "Write"
            raise ValueError(
                f"the matrix of {self.name} should be profiles x genes, {lengths[0]:,} x {lengths[1]:,} by its ids; it "
                f"is {matrix.shape[0]:,} x {matrix.shape[1]:,}. {hint} it again, or download it again."
            )

    def _ids(self, file: h5py.File, group: str) -> h5py.Dataset:
        ids = file.get(f"{group}/id")
        if not isinstance(ids, h5py.Dataset) or ids.ndim != 1 or ids.dtype.kind not in "iufSO":
            there = file.get(group)
            names = first(there, 5) if isinstance(there, h5py.Group) else ""
            raise ValueError(
                f"{self.name} should have a vector of ids in {group}/id; it has {names or 'nothing'} there. Write it "
                "again."
            )
        return ids

    def _metadata(self, file: h5py.File, group: str, what: str) -> pd.DataFrame:
        ids = as_text(self._vector(self._ids(file, group)))
        if (ids == "").any():
            raise ValueError(
                f"{what} of {self.name} should all be known; {int((ids == '').sum()):,} of {len(ids):,} are empty "
                f"(first places: {first(np.flatnonzero(ids == ''))}). Write the file again."
            )
        index = pd.Index(ids)
        require_unique(index, f"{what} of {self.name}")
        columns = {}
        for name, vector in file[group].items():
            if name == "id" or not isinstance(vector, h5py.Dataset):
                continue
            if vector.dtype.kind not in "biufSO" or h5py.check_dtype(ref=vector.dtype):
                raise ValueError(
                    f"{group}/{name} of {self.name} should hold numbers or text; it holds {vector.dtype}. Write "
                    "the file again."
                )
            if vector.shape != (len(ids),):
                raise ValueError(
                    f"{group}/{name} of {self.name} should have {len(ids):,} values, one an id; its shape is "
                    f"{vector.shape}. Write the file again."
                )
            columns[name] = self._vector(vector)
        return pd.DataFrame(columns, index=index)

    def _vector(self, vector: h5py.Dataset) -> np.ndarray:
        declared, stored = vector.size * vector.dtype.itemsize, vector.id.get_storage_size()
        if declared > LARGEST_RATIO * stored:
            raise ValueError(
                f"{vector.name} of {self.name} should hold {vector.size:,} values; {stored:,} bytes of it were ever "
                "written. The file was not finished: write or download it again."
            )
        values = vector[:]
        # Strings of variable length come as objects; everything else as it is.
        return np.asarray(values, dtype="object") if values.dtype.kind in "SOU" else values


def write_gctx(adata: AnnData, path: str | Path, *, compress: bool = False) -> Path:
    """Write profiles as GCTX 1.0.

    Parameters
    ----------
    adata
        Profiles x genes; ``obs`` and ``var`` are written under the names of CMap, missing as -666. It is not changed.
    path
        The file; it appears whole or not at all, in place of any that was there.
    compress
        Compress the matrix (gzip): smaller, several times slower to read.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If there is nothing to write.
    OSError
        If the system does not let it be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> adata = AnnData(pd.DataFrame({"5720": [1.5]}, index=["p1"]).astype("float32"))
    >>> with TemporaryDirectory() as folder:
    ...     GctxFile(write_gctx(adata, Path(folder, "one.gctx"))).genes.index.tolist()
    ['5720']
    """
    path = Path(path)
    require_content(adata, path.name)
    with written_whole(path) as part, h5py.File(part, "w") as file:
        file.attrs["version"] = np.bytes_("GCTX1.0")
        chunks = tuple(min(size, most) for size, most in zip(adata.shape, CHUNK, strict=True))
        kind = "gzip" if compress else None
        matrix = file.create_dataset(MATRIX, shape=adata.shape, dtype=np.float32, chunks=chunks, compression=kind)
        height = CHUNK[0] * max(1, (4 << 20) // (CHUNK[0] * adata.n_vars))
        for start in range(0, adata.n_obs, height):
            matrix[start : start + height] = dense_rows(adata, start, start + height)
        _write_metadata(file, PROFILES, adata.obs_names, released_names(adata.obs, "profiles"))
        _write_metadata(file, GENES, adata.var_names, released_names(adata.var, "genes"))
    return path


def require_content(adata: AnnData, name: str) -> None:
    """Raise ``ValueError`` if there is no matrix, or its ids repeat."""
    if adata.X is None or 0 in adata.shape:
        raise ValueError(
            f"profiles and genes are expected for {name}; there are {adata.n_obs:,} profiles x {adata.n_vars:,} genes. "
            "Keep some of both."
        )
    require_unique(adata.obs_names, "profile ids")
    require_unique(adata.var_names, "gene ids")


def dense_rows(adata: AnnData, start: int, stop: int) -> np.ndarray:
    """Some profiles as float32, ``(n_rows, n_genes)``, whatever holds the matrix."""
    values = require_places(adata.X[start:stop], "the matrix of the profiles")
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values, dtype=np.float32)


def without_missing(values: pd.Series) -> np.ndarray:
    """A column as CMap writes it: numbers, or text, with -666 where nothing is known."""
    if pd.api.types.is_bool_dtype(values):
        return values.to_numpy(dtype=np.int64)
    if pd.api.types.is_numeric_dtype(values):
        return values.fillna(MISSING_NUMBER).to_numpy()
    texts = as_text(np.asarray(values.astype("object"), dtype="object"))
    return np.where(texts == "", "-666", texts)


def _write_metadata(file: h5py.File, group: str, ids: pd.Index, table: pd.DataFrame) -> None:
    columns = {"id": as_text(ids), **{str(name): without_missing(table[name]) for name in table}}
    for name, values in columns.items():
        if values.dtype.kind == "O":
            values = np.array([text.encode() for text in values])
        file.create_dataset(f"{group}/{name.replace('/', '_')}", data=values)
