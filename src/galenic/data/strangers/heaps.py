"""Texts of HDF5 in heaps that end nowhere."""

from __future__ import annotations

import mmap
from pathlib import Path

HEAP = b"GCOL\x01\x00\x00\x00"
LARGEST_SCANNED = 1 << 28
"""Bytes of a file in which heaps are looked for; of larger ones this would take seconds."""


def require_heaps(path: Path) -> None:
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
