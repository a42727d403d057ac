"""Whether the places of a sparse matrix lie inside it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import h5py
import numpy as np

MATRICES = ("X", "raw/X")
INDICES = 1 << 24
"""Places of a sparse matrix that are looked at at a time."""
MOST_INDICES = 2 * 10**8
"""Places that are looked at before a file is read in parts; of more, each part is looked at when it is read."""


def require_places(values: Any, what: str) -> Any:
    """``values``, if they are no sparse matrix or one whose places lie inside; ``ValueError`` otherwise.

    What reads sparse matrices trusts their places, and would read or write beyond their memory.
    """
    if hasattr(values, "indptr") and isinstance(values.indices, np.ndarray):
        rows, columns = values.shape if values.format == "csr" else values.shape[::-1]
        require_inside(values.indptr, values.indices, (rows, columns), what)
    return values


def require_places_in(file: h5py.File, groups: Collection[str], name: str) -> None:
    """As :func:`require_places`, of sparse matrices that lie in these groups of a file."""
    for place in groups:
        group = file.get(place)
        if not isinstance(group, h5py.Group) or not ({"indptr", "indices"} & set(group) or place in MATRICES):
            continue
        indptr, indices, data = (group.get(part) for part in ("indptr", "indices", "data"))
        shape = np.asarray(group.attrs.get("shape", group.attrs.get("h5sparse_shape", ())))
        are_vectors = all(isinstance(part, h5py.Dataset) and part.ndim == 1 for part in (indptr, indices, data))
        are_whole = are_vectors and indptr.dtype.kind in "iu" and indices.dtype.kind in "iu"
        if not are_whole or shape.shape != (2,) or shape.dtype.kind not in "iu" or len(data) != len(indices):
            raise ValueError(
                f"{place} of {name} should be a sparse matrix of data, indices and indptr, with a shape; its parts do "
                "not belong together. Write the file again with AnnData.write_h5ad."
            )
        by_row = "csr" in str(group.attrs.get("encoding-type", group.attrs.get("h5sparse_format", "csr")))
        rows, columns = (int(one) for one in (shape if by_row else shape[::-1]))
        require_inside(indptr[:], indices, (rows, columns), f"{place} of {name}")


def require_inside(indptr: np.ndarray, indices: Any, shape: tuple[int, int], what: str) -> None:
    """As :func:`require_places`, of a matrix by rows whose indices may lie on disk; too many of those are not read."""
    n = indices.shape[0]
    starts = range(0, n if n <= MOST_INDICES or isinstance(indices, np.ndarray) else 0, INDICES)
    parts = (indices[start : start + INDICES] for start in starts)
    steps_up = len(indptr) == shape[0] + 1 and indptr[0] == 0 and int(indptr[-1]) <= n
    steps_up = steps_up and bool((indptr[1:] >= indptr[:-1]).all())
    if not steps_up or not all(len(part) == 0 or (part.min() >= 0 and part.max() < shape[1]) for part in parts):
        raise ValueError(
            f"{what} should be a sparse matrix of {shape[0]:,} x {shape[1]:,} with all its places inside; some lie "
            "outside. It is damaged: write it again with AnnData.write_h5ad or write_zarr."
        )
