"""Whether an HDF5 file holds what it declares, and only its own data, before anything of it is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py

from galenic.data.checks import first
from galenic.data.limits import require_room
from galenic.data.strangers.heaps import require_heaps
from galenic.data.strangers.memory import little_memory

LARGEST_RATIO = 1100
"""No compression of HDF5 makes more of a byte; a declared size beyond it was never written."""
SMALL = 1 << 20
"""Bytes that a dataset may declare and never have written: libraries leave out what holds zeros."""
DEEPEST = 50
"""Groups within groups."""
LISTS_OF_NETCDF = (b"DIMENSION_LIST",)


def require_sound(path: str | Path, *, lazy: Callable[[str], bool] = lambda name: False) -> None:
    """Raise ``ValueError`` unless a file holds what it declares, and nothing of other files.

    Parameters
    ----------
    path
        The file. Whatever is wrong with its headers, looking at them takes half a gigabyte of memory at most.
    lazy
        Datasets that are not read whole, by name without the first slash; their size may be more than the memory.

    Raises
    ------
    ValueError
        If parts lie in other files (links, external or virtual datasets), a dataset declares much more than was
        written, all together do not fit into memory, groups are nested without end, or a value is a list.
    """
    path = Path(path)
    name = path.name
    require_heaps(path)
    elsewhere: list[str] = []
    size = 0
    with little_memory(), h5py.File(path) as file:
        for place, found in _objects(file, name):
            if isinstance(found, h5py.ExternalLink):
                elsewhere.append(place)
                continue
            _require_no_lists(found, place, name)
            if isinstance(found, h5py.Group):
                continue
            if found.is_virtual or found.external:
                elsewhere.append(place)
            elif found.shape is not None and found.size:
                declared = math.prod(found.shape) * found.dtype.itemsize
                if not lazy(place):
                    _require_written(found, declared, name)
                    size += declared
                # A chunk is unpacked whole, whatever is wanted of it.
                size += math.prod(found.chunks or (0,)) * found.dtype.itemsize
    if elsewhere:
        raise ValueError(
            f"{name} should hold all of its data; {len(elsewhere):,} parts lie in other files (first: "
            f"{first(elsewhere)}). Write it as one file, for example with h5repack."
        )
    require_room(size, name, "Read it where there is more memory, or take a part of it.")


def _objects(file: h5py.File, name: str) -> Iterator[tuple[str, Any]]:
    """Every group and dataset, each once, and every link that leads out of the file."""
    yield "", file
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


def _require_written(data: h5py.Dataset, declared: int, name: str) -> None:
    stored = data.id.get_storage_size()
    if declared > max(LARGEST_RATIO * stored, SMALL):
        raise ValueError(
            f"{data.name} of {name} should hold {data.size:,} values; {stored:,} bytes of it were ever written. "
            "The file was not finished, or made to fill the memory: write or download it again."
        )
