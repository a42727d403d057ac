"""AnnData out of a zarr folder, of which only the rows that are used are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anndata import AnnData
from scipy import sparse

from galenic.data.checks import first, is_zarr

HELD = ("obs", "var", "obsm", "varm", "uns")
"""What is read whole."""
DAMAGE = (OSError, KeyError, ValueError, TypeError, RuntimeError)


def open_zarr(path: str | Path, *, backed: bool = True) -> AnnData:
    """AnnData from a folder that ``AnnData.write_zarr`` wrote, zarr format 2 or 3.

    Parameters
    ----------
    path
        The folder.
    backed
        Leave ``X`` and the layers on disk: rows are read for slices and sorted numbers, sparse ones as CSR. A matrix
        that is stored by columns (CSC) has no rows to be read one by one and comes into memory, sparse, by rows.

    Returns
    -------
    AnnData
        Without ``raw``, ``obsp`` and ``varp``.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it is no zarr folder, holds no AnnData, or is damaged.

    Examples
    --------
    >>> import numpy as np, tempfile, warnings
    >>> with tempfile.TemporaryDirectory() as place, warnings.catch_warnings(action="ignore"):
    ...     AnnData(np.eye(3, dtype="float32")).write_zarr(Path(place, "cells.zarr"))
    ...     cells = open_zarr(Path(place, "cells.zarr"))
    ...     cells.shape, cells.X[np.array([0, 2])].tolist()
    ((3, 3), [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"a zarr folder is expected; {path} does not exist. Check the path.")
    if not is_zarr(path):
        raise _refused(path, "it has neither .zgroup nor zarr.json")
    # zarr is slow to import, and few files are of its kind.
    import zarr
    from anndata.io import read_elem

    try:
        # A second index, which zarr may have written, names what is no longer there.
        group: Any = zarr.open_group(str(path), mode="r", use_consolidated=False)
        missing = {"obs", "var"} - set(group)
        if missing:
            raise _refused(path, f"it has no {first(sorted(missing))}")
        parts = {name: read_elem(group[name]) for name in HELD if name in group}
        layers = {name: _matrix(group["layers"][name], backed) for name in group.get("layers", {})}
        return AnnData(_matrix(group["X"], backed) if "X" in group else None, layers=layers, **parts)
    except DAMAGE as error:
        if isinstance(error, ValueError) and str(error).startswith(path.name):
            raise
        raise _refused(path, f"it cannot be read: {error}") from error


def by_rows(adata: AnnData) -> AnnData:
    """The same, where ``X`` lies on disk by columns with ``X`` in memory by rows: else every row would read it all."""
    if not adata.isbacked or getattr(adata.X, "format", "csr") != "csc":
        return adata
    whole = adata.to_memory()
    adata.file.close()
    whole.X = sparse.csr_matrix(whole.X)
    return whole


def _matrix(stored: Any, backed: bool) -> Any:
    from anndata.io import read_elem, sparse_dataset

    kind = str(stored.attrs.get("encoding-type", "array"))
    if not backed or kind not in ("array", "csr_matrix"):
        found = read_elem(stored)
        return sparse.csr_matrix(found) if backed and sparse.issparse(found) else found
    return stored if kind == "array" else sparse_dataset(stored)


def _refused(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"{path.name} should be a whole zarr folder of an AnnData; {reason}. Write it again with AnnData.write_zarr."
    )
