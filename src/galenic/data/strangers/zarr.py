"""Whether a zarr folder holds what it declares, and only its own data, before anything of it is read."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galenic.data.checks import first

METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
LARGEST_RATIO = 1100
"""Bytes that one stored byte may stand for; what is declared beyond it counts as never written."""
UNWRITTEN = 1 << 30
"""Bytes that a folder may declare and never have written: zarr leaves out chunks of zeros."""
MOST_CHUNKS = 1 << 16
"""Chunks of an array that is read whole and that were not written: each takes time."""
LARGEST_JSON = 1 << 24
"""Bytes of a file of metadata; an index of many parts has megabytes."""
DEEPEST = 50
"""Groups within groups."""
OF_A_TEXT = 128
"""Bytes of a text in memory: names of cells take about 80."""
OF_ANYTHING = 256
"""Bytes of a value of a kind that is made of others, as in tables of scanpy."""
PACKERS = frozenset({
    "bytes", "transpose", "crc32c", "blosc", "zstd", "gzip", "zlib", "lz4", "bz2", "lzma", "vlen-utf8", "vlen-bytes",
    "sharding_indexed",
})  # fmt: skip
"""What chunks may be packed by; others run code that a chunk holds (pickle), or are not AnnData's."""
PLAIN = frozenset({"bytes", "transpose"})
"""Of these, what leaves the size as it is."""
BLOSC, ZSTD = 16, 18
"""Bytes of the headers of chunks."""
MAGIC = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Stored:
    """An array as its metadata declare it.

    Attributes
    ----------
    folder, place
        Where it lies, and its name in the folder of the whole.
    shape, chunks
        Of the array, and of each chunk.
    itemsize
        Bytes of a value in memory.
    packers
        What packed a chunk, one after the other; none: chunks are as they are in memory.
    """

    folder: Path
    place: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    itemsize: int
    packers: tuple[str, ...]

    @property
    def says_its_size(self) -> bool:
        """Whether chunks say at their beginning what they unpack to, or are as they are."""
        return self.packers in ((), ("blosc",), ("zstd",))

    @property
    def size(self) -> int:
        """Bytes of the whole in memory."""
        return math.prod(self.shape) * self.itemsize

    @property
    def chunk(self) -> int:
        """Bytes of a chunk in memory."""
        return math.prod(self.chunks) * self.itemsize

    @property
    def n_chunks(self) -> int:
        """Chunks that there may be."""
        return math.prod(-(-n // max(size, 1)) for n, size in zip(self.shape, self.chunks, strict=True))

    def files(self) -> Iterator[os.DirEntry[str]]:
        """The chunks that were written."""
        waiting = [self.folder]
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        raise ValueError(f"it should hold all of its data; {entry.name} of {self.place} is a link")
                    if entry.is_dir():
                        waiting.append(Path(entry.path))
                    elif entry.name not in METADATA:
                        yield entry


def arrays_of(folder: Path, parts: Collection[str]) -> tuple[dict[str, Stored], dict[str, Mapping[str, Any]]]:
    """Every array of these parts of a folder, and the attributes of its groups and arrays, by place.

    Raises
    ------
    ValueError
        If metadata are no JSON of zarr's, groups are nested without end, or a part is a link.
    """
    arrays: dict[str, Stored] = {}
    attributes: dict[str, Mapping[str, Any]] = {}
    waiting = [(folder, "")]
    while waiting:
        here, place = waiting.pop()
        if place.count("/") > DEEPEST:
            raise ValueError(f"groups should be {DEEPEST} deep at most; {place[:60]!r} is deeper")
        if place and here.is_symlink():
            raise ValueError(f"it should hold all of its data; {place} is a link")
        found, attributes[place] = _metadata(here)
        if found is not None:
            arrays[place] = _stored(found, here, place)
            continue
        with os.scandir(here) as entries:
            inside = [one for one in entries if one.is_dir() and (place or one.name in parts)]
        waiting += [(Path(one.path), f"{place}/{one.name}".strip("/")) for one in inside]
    return arrays, attributes


def require_written(arrays: Mapping[str, Stored], is_lazy: Callable[[str], bool]) -> int:
    """Bytes of the arrays that will be read whole.

    Raises
    ------
    ValueError
        If they declare much more than was written, or a chunk of the others unpacks to another size than it should.
    """
    size = unwritten = 0
    for place, array in arrays.items():
        if is_lazy(place) or "blosc" in array.packers:
            _require_chunks(array)
        if is_lazy(place):
            size += array.chunk
            continue
        files = [entry.stat().st_size for entry in array.files()]
        unwritten += max(0, array.size - LARGEST_RATIO * sum(files))
        size += array.size + array.chunk
        if unwritten > UNWRITTEN or array.n_chunks > MOST_CHUNKS + len(files):
            raise ValueError(
                f"{place} declares {array.size:,} bytes in {array.n_chunks:,} chunks, and {sum(files):,} bytes in "
                f"{len(files):,} chunks were ever written"
            )
    return size


def _metadata(folder: Path) -> tuple[dict[str, Any] | None, Mapping[str, Any]]:
    """What declares an array, if there is one, and attributes."""
    if (folder / "zarr.json").exists():
        found = _json(folder / "zarr.json")
        return (found if found.get("node_type") == "array" else None), dict(found.get("attributes", {}))
    attributes = _json(folder / ".zattrs") if (folder / ".zattrs").exists() else {}
    return (_json(folder / ".zarray") if (folder / ".zarray").exists() else None), attributes


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file() or path.is_symlink() or path.stat().st_size > LARGEST_JSON:
        raise ValueError(f"{path.name} of {path.parent.name} should be a file of metadata; it is a link or too large")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path.name} of {path.parent.name} should be JSON; it is not ({type(error).__name__})"
        ) from None
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} of {path.parent.name} should be a JSON object; it holds {first([found])}")
    return found


def _stored(found: dict[str, Any], folder: Path, place: str) -> Stored:
    try:
        if "data_type" in found:
            chunks = found["chunk_grid"]["configuration"]["chunk_shape"]
            packers, kind = (
                [one["name"] if isinstance(one, dict) else one for one in found["codecs"]],
                found["data_type"],
            )
        else:
            chunks, kind = found["chunks"], found["dtype"]
            ids = [*(found.get("filters") or []), *([found["compressor"]] if found["compressor"] else [])]
            packers = [one["id"] for one in ids]
        shape, chunks = _lengths(found["shape"]), _lengths(chunks)
        if len(shape) != len(chunks):
            raise ValueError
        others = [one for one in packers if one not in PACKERS]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ValueError(f"{place} should declare shape, chunks, type and packing; it does not") from None
    packers = [one for one in packers if one not in PLAIN]
    # Blosc believes the header of what it unpacks: it must be the outermost, where that can be looked at.
    if others or "blosc" in packers[:-1] or ("sharding_indexed" in packers and "blosc" in json.dumps(found)):
        raise ValueError(f"{place} should be packed as AnnData packs; it is packed by {first(others or packers, 5)}")
    return Stored(folder, place, shape, chunks, _itemsize(kind), tuple(packers))


def _lengths(values: Any) -> tuple[int, ...]:
    lengths = tuple(values)
    if not all(type(one) is int and 0 <= one < 1 << 48 for one in lengths) or len(lengths) > 4:
        raise ValueError
    return lengths


def _itemsize(kind: Any) -> int:
    if isinstance(kind, str):
        try:
            return np.dtype(kind).itemsize if kind not in ("string", "|O") else OF_A_TEXT
        except TypeError:
            return OF_ANYTHING
    named = kind.get("configuration", {}) if isinstance(kind, dict) else {}
    length = named.get("length_bytes", OF_ANYTHING) if isinstance(named, dict) else OF_ANYTHING
    return length if type(length) is int and 0 < length < 1 << 20 else OF_ANYTHING


def _require_chunks(array: Stored) -> None:
    """Chunks unpack to the size that the array declares; those of texts to no more than may be unwritten."""
    for entry in array.files():
        with open(entry.path, "rb") as stream:
            head = stream.read(ZSTD)
        stored, outermost = entry.stat().st_size, array.packers[-1] if array.packers else ""
        size = {"": stored, "blosc": _of_blosc(head, stored), "zstd": _of_zstd(head)}[outermost]
        if not 0 <= size <= UNWRITTEN or (array.says_its_size and size != array.chunk):
            raise ValueError(
                f"chunks of {array.place} should unpack to {array.chunk:,} bytes each; {entry.name} does not"
            )


def _of_blosc(head: bytes, stored: int) -> int:
    """The size that a chunk says (Blosc's header, format 2); -1 where its parts are not those of the file."""
    size, block, packed = (int.from_bytes(head[at : at + 4], "little") for at in (4, 8, 12))
    is_whole = len(head) >= BLOSC and packed == stored and head[3] > 0 and (0 < block <= size or not size)
    return size if is_whole else -1


def _of_zstd(head: bytes) -> int:
    """The size that a frame says (RFC 8878, 3.1.1); -1 where it says none."""
    if head[:4] != MAGIC or len(head) < 6:
        return -1
    flags = head[4]
    is_single, n = bool(flags & 0x20), (0, 2, 4, 8)[flags >> 6]
    n = max(n, int(is_single))
    start = 5 + (not is_single) + (0, 1, 2, 4)[flags & 3]
    value = int.from_bytes(head[start : start + n], "little")
    return value + 256 * (n == 2) if n else -1
