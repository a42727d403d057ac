"""AnnData out of a zarr folder, of which only the rows that are used are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anndata import AnnData
from scipy import sparse

from galenic.data.checks import first, is_zarr
from galenic.data.limits import require_room
from galenic.data.read.h5ad import require_matrix
from galenic.data.strangers.memory import little_memory
from galenic.data.strangers.places import require_inside, require_places
from galenic.data.strangers.zarr import Stored, arrays_of, require_written
from galenic.work.ends import is_ours

HELD = ("obs", "var", "obsm", "varm", "uns")
"""What is read whole."""
COPIES, SPARE = 4, 1 << 30
"""Of what is declared, so many copies are made at once; what threads, packers and libraries take besides."""


def open_zarr(path: str | Path, *, backed: bool = True) -> AnnData:
    """AnnData from a folder that ``AnnData.write_zarr`` wrote, zarr format 2 or 3.

    Parameters
    ----------
    path
        The folder.
    backed
        Leave ``X`` and the layers on disk: rows are read for slices and sorted numbers, sparse ones as CSR. A matrix
        that is stored by columns (CSC) has no rows to be read one by one and comes into memory, sparse, by rows; so
        does one that is packed other than by blosc or zstd, or in shards: its chunks do not say what they unpack to.

    Returns
    -------
    AnnData
        Without ``raw``, ``obsp`` and ``varp``.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it is no zarr folder, holds no AnnData or links, declares what was never written, or is damaged.

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
    with _explained(path):
        arrays, attributes = arrays_of(path, (*HELD, "X", "layers"))
        left = _left_on_disk(arrays, attributes) if backed else {}
        size = require_written(arrays, is_lazy=frozenset().union(*left.values()).__contains__)
        require_room(size, path.name, "Read it where there is more memory, or take a part of it.")
        with little_memory(COPIES * size + SPARE, of="RLIMIT_DATA"):
            adata = _read(path, set(left))
        return require_matrix(adata, path.name)


def _read(path: Path, left: set[str]) -> AnnData:
    # zarr is slow to import, and few files are of its kind.
    import zarr
    from anndata.io import read_elem

    # A second index, which zarr may have written, names what is no longer there.
    group: Any = zarr.open_group(str(path), mode="r", use_consolidated=False)
    missing = {"obs", "var"} - set(group)
    if missing:
        raise ValueError(f"it has no {first(sorted(missing))}")
    parts = {name: read_elem(group[name]) for name in HELD if name in group}
    for name in ("obsm", "varm"):
        parts[name] = {key: require_places(found, f"{name}/{key}") for key, found in parts.get(name, {}).items()}
    layers = {name: _matrix(group["layers"][name], f"layers/{name}", left) for name in group.get("layers", {})}
    X = _matrix(group["X"], "X", left) if "X" in group else None
    return AnnData(X, layers=layers, **parts)


def by_rows(adata: AnnData) -> AnnData:
    """The same, where ``X`` lies on disk by columns with ``X`` in memory by rows: else every row would read it all."""
    if not adata.isbacked or getattr(adata.X, "format", "csr") != "csc":
        return adata
    whole = adata.to_memory()
    adata.file.close()
    whole.X = sparse.csr_matrix(whole.X)
    return whole


def _left_on_disk(
    arrays: Mapping[str, Stored], attributes: Mapping[str, Mapping[str, Any]]
) -> dict[str, frozenset[str]]:
    """Matrices of which rows can be read by themselves, and the arrays that they are made of."""
    found = {}
    for place in attributes:
        if place != "X" and (place.count("/") != 1 or not place.startswith("layers/")):
            continue
        is_sparse = attributes[place].get("encoding-type", "array") == "csr_matrix"
        parts = [f"{place}/data", f"{place}/indices"] if is_sparse else [place]
        if all(part in arrays and arrays[part].says_its_size for part in parts):
            found[place] = frozenset(parts)
    return found


def _matrix(stored: Any, place: str, left: set[str]) -> Any:
    from anndata.io import read_elem, sparse_dataset

    if place not in left:
        found = require_places(read_elem(stored), place)
        return (
            sparse.csr_matrix(found)
            if sparse.issparse(found) and stored.attrs["encoding-type"] != "csr_matrix"
            else found
        )
    if str(stored.attrs.get("encoding-type", "array")) != "csr_matrix":
        return stored
    n_rows, n_columns = (int(one) for one in stored.attrs["shape"])
    if stored["data"].shape != stored["indices"].shape:
        raise ValueError(f"data and indices of {place} should be as many; they are not")
    require_inside(stored["indptr"][:], stored["indices"], (n_rows, n_columns), place)
    return sparse_dataset(stored)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn whatever zarr, its packers and anndata say of a folder that is not whole into the user's words."""
    try:
        yield
    except PermissionError:
        raise
    except Exception as error:
        if str(error).startswith(path.name) and is_ours(error):
            raise
        said = " ".join(str(error).split())[:200]
        raise _refused(path, f"it cannot be read: {said or type(error).__name__}") from error


def _refused(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"{path.name} should be a whole zarr folder of an AnnData; {reason}. Write it again with AnnData.write_zarr."
    )
