"""Whether an h5ad file is as AnnData writes it, before and after it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
from anndata import AnnData

from galenic.data.checks import first, require_file
from galenic.data.strangers.hdf5 import require_sound
from galenic.data.strangers.places import require_places_in
from galenic.work.ends import is_ours

SPARSE = ("X", "raw/X", "layers", "obsm", "varm", "obsp", "varp")
"""Where such a file may hold sparse matrices."""
IN_PARTS = frozenset({"X", "X/data", "X/indices"})
"""What is read a block at a time where the file stays on disk."""


def require_sound_h5ad(path: str | Path, *, lazy: bool) -> None:
    """Raise ``ValueError`` unless a file holds an AnnData, whole, and sparse matrices whose places lie inside.

    Parameters
    ----------
    path
        The file.
    lazy
        Whether its matrix will be read a block at a time: it may then be larger than the memory.
    """
    path = require_file(path, "an h5ad file")
    require_sound(path, lazy=lambda place: lazy and place in IN_PARTS)
    with h5py.File(path) as file:
        missing = {"obs", "var"} - set(file)
        if missing:
            raise ValueError(
                f"{path.name} should be a whole h5ad file; it has no {first(sorted(missing))}. Write it again with "
                "AnnData.write_h5ad, or convert it if it is another kind of HDF5."
            )
        require_places_in(file, [place for part in SPARSE for place in _groups(file, part)], path.name)


def require_matrix(adata: AnnData, name: str) -> AnnData:
    """``adata``, if its matrix has a row for each row of ``obs``, and each column of ``obs`` and ``var`` a name of its
    own: nobody has looked.
    """
    for what, table in (("obs", adata.obs), ("var", adata.var)):
        if table.columns.has_duplicates:
            twice = first(table.columns[table.columns.duplicated()].unique())
            raise ValueError(
                f"columns of {what} of {name} should have a name each; some share one (first: {twice}). Rename them."
            )
    X = adata.X
    if X is not None and (len(X.shape) != 2 or tuple(X.shape) != adata.shape or X.dtype.kind not in "biuf"):
        raise ValueError(
            f"X of {name} should be a matrix of numbers, {adata.n_obs:,} x {adata.n_vars:,} by its obs and var; it is "
            f"{X.dtype} of shape {tuple(X.shape)}. Write the file again with AnnData.write_h5ad."
        )
    return adata


@contextmanager
def h5ad_explained(path: str | Path) -> Iterator[None]:
    """Turn whatever a library says of an h5ad file that is not as AnnData writes it into the user's words."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:
        if isinstance(error, ValueError) and is_ours(error):
            raise
        said = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{Path(path).name} should be a whole h5ad file; it cannot be read: {said or type(error).__name__}. "
            "Write it again with AnnData.write_h5ad, or convert it if it is another kind of HDF5."
        ) from error


def _groups(file: h5py.File, part: str) -> list[str]:
    """A part that may be a sparse matrix, or holds several."""
    found = file.get(part)
    if part in ("X", "raw/X") or not isinstance(found, h5py.Group):
        return [part]
    return [f"{part}/{name}" for name in found]
