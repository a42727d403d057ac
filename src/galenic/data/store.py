"""Profiles on disk as one array that is mapped into memory: opened in an instant."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
from anndata import AnnData

from galenic.data.checks import first, require_unique
from galenic.data.limits import map_array, own_file, require_room

FORMAT = 1
KIND = "galenic profiles"
MATRIX, OBS, VAR, RECORD = "matrix.npy", "obs.parquet", "var.parquet", "store.json"


def open_store(folder: str | Path, *, mmap: bool = True, verify: bool = False) -> AnnData:
    """Open a folder that :func:`convert` wrote.

    Parameters
    ----------
    folder
        The folder.
    mmap
        Leave the matrix on disk: ``X`` is then a read-only array of the stored type over a ``numpy.memmap`` (its
        ``base``), of which only the rows that are used are read. Otherwise ``X`` is in memory, as float32.
    verify
        Compare the matrix with its checksum, which reads all of it.

    Returns
    -------
    AnnData
        Profiles x genes.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it is no store, of a later format, or damaged, or if ids repeat.
    """
    folder = Path(folder)
    record = _read_record(folder)
    tables = [_read_table(folder, name) for name in (OBS, VAR)]
    try:
        X = map_array(own_file(folder, MATRIX))
    except (OSError, ValueError) as error:
        raise _damaged(folder, f"{MATRIX} cannot be read: {error}") from error
    found = (*X.shape, str(X.dtype))
    expected = (*record["shape"], record["dtype"])
    if found != expected or X.shape != tuple(len(table) for table in tables):
        lengths = " x ".join(f"{len(table):,}" for table in tables)
        raise _damaged(folder, f"{RECORD} says {expected}, {MATRIX} holds {found}, the tables {lengths}")
    if verify and sha256(folder / MATRIX) != record["sha256"]:
        raise _damaged(folder, f"the checksum of {MATRIX} is not the one in {RECORD}")
    for table, what in zip(tables, ("profile ids", "gene ids"), strict=True):
        require_unique(table.index, f"{what} of {folder.name}")
    # anndata cannot write what is of the class memmap; a plain array over the same map it can.
    if not mmap:
        require_room(4 * X.size, folder.name, "Leave it on disk with mmap=True.")
    matrix = X.view(np.ndarray) if mmap else np.array(X, dtype=np.float32)
    adata = AnnData(X=matrix, obs=tables[0], var=tables[1])
    adata.uns["steps"] = [str(step) for step in record.get("steps", [])]
    return adata


def is_store(folder: str | Path) -> bool:
    """Whether a folder says that it is a store of profiles."""
    return os.path.isfile(Path(folder) / RECORD)


def sha256(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_table(folder: Path, name: str) -> pd.DataFrame:
    try:
        path = own_file(folder, name)
        about = parquet.read_metadata(path)
        require_room(4 * about.num_rows * about.num_columns, name, "Open it where there is more memory.")
        table = pd.read_parquet(path).set_index("id")
        table.index.is_unique  # noqa: B018  # lists are no ids
    except Exception as error:  # what is said of pandas inside may be anything
        raise _damaged(folder, f"{name} cannot be read: {error}") from error
    table.index.name = None
    return table


def _read_record(folder: Path) -> dict[str, Any]:
    if not folder.exists():
        raise FileNotFoundError(f"a store of profiles should be a folder; {folder} does not exist. Check the path.")
    if not is_store(folder):
        inside = (
            first(sorted(path.name for path in folder.iterdir()), 5) if folder.is_dir() else "no files: it is a file"
        )
        raise ValueError(
            f"a folder of profiles should hold {RECORD}, as 'galenic data convert' writes it; {folder.name} holds "
            f"{inside or 'nothing'}. Name the file of profiles, or convert it first."
        )
    try:
        record = json.loads(own_file(folder, RECORD).read_text(encoding="utf-8"))
        version, kind = int(record["format"]), record["kind"]
        missing = {"shape", "dtype", "sha256"} - set(record)
        if not missing and not isinstance(record["shape"], list):
            raise TypeError(f"its shape is {record['shape']!r:.60}")
        if not isinstance(record.get("steps", []), list):
            raise TypeError("its steps are no list")
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise _damaged(folder, f"{RECORD} cannot be read: {error!r}") from error
    if version > FORMAT:
        raise ValueError(
            f"{folder.name} should be of format {FORMAT} or earlier; it is of format {version}. "
            "Open it with a later version of galenic, or convert its source again."
        )
    if kind != KIND or missing:
        raise _damaged(folder, f"{RECORD} is of the kind {kind!r} and lacks {first(sorted(missing)) or 'nothing'}")
    return record


def _damaged(folder: Path, what: str) -> ValueError:
    return ValueError(
        f"{folder.name} should be a whole store of profiles; it is damaged ({what}). Remove it and convert again."
    )
