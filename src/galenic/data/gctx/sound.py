"""Whether an HDF5 file holds what it declares, and only its own data, before anything of it is read."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from galenic.data.checks import first
from galenic.data.limits import require_room

LARGEST_RATIO = 1100
"""No compression of HDF5 makes more of a byte; a declared size beyond it was never written."""
SMALL = 1 << 20
"""Bytes that a dataset may declare and never have written: libraries leave out what holds zeros."""
DEEPEST = 50
"""Groups within groups."""
LISTS_OF_NETCDF = (b"DIMENSION_LIST",)
MATRICES = ("X", "raw/X")
HEAP = b"GCOL\x01\x00\x00\x00"
LARGEST_SCANNED = 1 << 28
"""Bytes of a file in which heaps are looked for; of larger ones this would take seconds."""
INDICES = 1 << 24
"""Places of a sparse matrix that are looked at at a time."""
MOST_INDICES = 2 * 10**8
"""Places that are looked at before a file is read in parts; of more, each part is looked at when it is read."""


def require_sound(file: h5py.File, *, lazy: Callable[[str], bool] = lambda name: False) -> None:
    """Raise ``ValueError`` unless a file holds what it declares, and nothing of other files.

    Parameters
    ----------
    file
        Open.
    lazy
        Datasets that are not read whole, by name without the first slash; their size may be more than the memory.

    Raises
    ------
    ValueError
        If parts lie in other files (links, external or virtual datasets), a dataset declares much more than was
        written, all together do not fit into memory, groups are nested without end, or a value is a list.
    """
    _require_heaps(Path(file.filename))
    name = Path(file.filename).name
    elsewhere: list[str] = []
    size = 0
    _require_no_lists(file, "", name)
    for place, kind in _objects(file, name):
        if not isinstance(kind, h5py.ExternalLink):
            _require_no_lists(kind, place, name)
        if isinstance(kind, h5py.Group):
            continue
        if isinstance(kind, h5py.ExternalLink) or kind.is_virtual or kind.external:
            elsewhere.append(place)
        elif kind.shape is not None and kind.size:
            declared = math.prod(kind.shape) * kind.dtype.itemsize
            if not lazy(place):
                _require_written(kind, declared, name)
                size += declared
            # A chunk is unpacked whole, whatever is wanted of it.
            size += math.prod(kind.chunks or (0,)) * kind.dtype.itemsize
    if elsewhere:
        raise ValueError(
            f"{name} should hold all of its data; {len(elsewhere):,} parts lie in other files (first: "
            f"{first(elsewhere)}). Write it as one file, for example with h5repack."
        )
    require_room(size, name, "Read it where there is more memory, or take a part of it.")


def _objects(file: h5py.File, name: str) -> Iterator[tuple[str, Any]]:
    """Every group and dataset, each once, and every link that leads out of the file."""
    waiting: list[tuple[str, h5py.Group]] = [("", file)]
    seen: set[int] = set()
    while waiting:
        place, group = waiting.pop()
        if place.count("/") > DEEPEST:
            raise ValueError(
                f"groups of {name} should be {DEEPEST} deep at most; {place[:60]!r} is deeper. Write it anew."
            )
        for key in group:
            link = group.get(key, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                yield f"{place}{key}", link
            if not isinstance(link, h5py.HardLink):
                continue
            found = group[key]
            where = h5py.h5o.get_info(found.id).addr
            if where in seen:
                continue
            seen.add(where)
            if isinstance(found, h5py.Group):
                waiting.append((f"{place}{key}/", found))
            if isinstance(found, (h5py.Group, h5py.Dataset)):
                yield f"{place}{key}", found


def _require_no_lists(found: h5py.Group | h5py.Dataset, place: str, name: str) -> None:
    """Raise ``ValueError`` where values are lists: HDF5 trusts the lengths that a damaged file gives them.

    Neither AnnData nor a GCTX has them. Attributes of netCDF do, and nobody reads these.
    """
    kinds = {place: found.id.get_type()} if isinstance(found, h5py.Dataset) else {}
    for number in range(h5py.h5a.get_num_attrs(found.id)):
        attribute = h5py.h5a.open(found.id, index=number)
        if attribute.name not in LISTS_OF_NETCDF:
            kinds[f"{place}.attrs[{attribute.name!r}]"] = attribute.get_type()
    lists = [place for place, kind in kinds.items() if _is_list(kind)]
    if lists:
        raise ValueError(
            f"{name} should hold numbers and texts; {first(lists)} holds lists. Write the file again with "
            "AnnData.write_h5ad."
        )


def _is_list(kind: h5py.h5t.TypeID) -> bool:
    """Whether a type is a list of any length, or holds one."""
    if isinstance(kind, h5py.h5t.TypeCompoundID):
        return any(_is_list(kind.get_member_type(number)) for number in range(kind.get_nmembers()))
    if isinstance(kind, h5py.h5t.TypeArrayID):
        return _is_list(kind.get_super())
    return isinstance(kind, h5py.h5t.TypeVlenID)


def _require_heaps(path: Path) -> None:
    """Raise ``ValueError`` where texts lie in a heap that ends nowhere: HDF5 would read it for ever.

    A heap is ``GCOL``, its version 1 and size, then objects: number, references, size, content in steps of 8 bytes.
    Number 0 is the free rest. Of files above ``LARGEST_SCANNED`` it is not looked at.
    """
    size = path.stat().st_size
    if not 16 <= size <= LARGEST_SCANNED:
        return
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.find(HEAP)
        while start >= 0:
            length = int.from_bytes(content[start + 8 : start + 16], "little")
            if 16 < length <= size - start and not _ends(content[start : start + length]):
                raise ValueError(
                    f"{path.name} should be a whole HDF5 file; a heap of its texts is damaged (byte {start:,}). "
                    "Download or write it again."
                )
            start = content.find(HEAP, start + 1)


def _ends(heap: bytes) -> bool:
    """Whether the objects of a heap follow each other to its end."""
    at = 16
    while at + 16 <= len(heap):
        number, length = int.from_bytes(heap[at : at + 2], "little"), int.from_bytes(heap[at + 8 : at + 16], "little")
        step = length if number == 0 else 16 + -(-length // 8) * 8
        if step < 16 or at + step > len(heap):
            return False
        at += step
    return True


def _require_written(data: h5py.Dataset, declared: int, name: str) -> None:
    stored = data.id.get_storage_size()
    if declared > max(LARGEST_RATIO * stored, SMALL):
        raise ValueError(
            f"{data.name} of {name} should hold {data.size:,} values; {stored:,} bytes of it were ever written. "
            "The file was not finished, or made to fill the memory: write or download it again."
        )


def require_places(values: Any, what: str) -> Any:
    """``values``, if they are no sparse matrix or one whose places lie inside; ``ValueError`` otherwise.

    What reads sparse matrices trusts their places, and would read or write beyond their memory.
    """
    if hasattr(values, "indptr") and isinstance(values.indices, np.ndarray):
        rows, columns = values.shape if values.format == "csr" else values.shape[::-1]
        _require(values.indptr, [values.indices], len(values.indices), (rows, columns), what)
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
        starts = range(0, len(indices) if len(indices) <= MOST_INDICES else 0, INDICES)
        parts = (indices[start : start + INDICES] for start in starts)
        _require(indptr[:], parts, len(indices), (rows, columns), f"{place} of {name}")


def _require(indptr: np.ndarray, parts: Any, n: int, shape: tuple[int, int], what: str) -> None:
    steps_up = len(indptr) == shape[0] + 1 and indptr[0] == 0 and int(indptr[-1]) <= n
    steps_up = steps_up and bool((indptr[1:] >= indptr[:-1]).all())
    if not steps_up or not all(len(part) == 0 or (part.min() >= 0 and part.max() < shape[1]) for part in parts):
        raise ValueError(
            f"{what} should be a sparse matrix of {shape[0]:,} x {shape[1]:,} with all its places inside; some lie "
            "outside. The file is damaged: write it again with AnnData.write_h5ad."
        )
