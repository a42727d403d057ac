"""A limit of memory for libraries that believe what files say of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

LITTLE = 1 << 29
"""Bytes that opening a file and looking at all of its parts may take."""
ONE = RLock()
"""Threads share their limit: two at a time would leave that of one behind."""


@contextmanager
def little_memory(room: int = LITTLE, of: str = "RLIMIT_AS") -> Iterator[None]:
    """Inside, this process may take so much more and no more: a library fails then, with words, and not the machine.

    HDF5 follows lists that go round, and takes what a header says before it looks how large the file is. Where the
    system does not tell how much is taken (macOS, Windows), there is no limit.

    Parameters
    ----------
    room
        Bytes that may be taken.
    of
        Addresses ("RLIMIT_AS"), or those of them that can be written to ("RLIMIT_DATA"): threads take many addresses.
    """
    try:
        import resource

        pages = int(
            Path("/proc/self/statm").read_text(encoding="ascii").split()[{"RLIMIT_AS": 0, "RLIMIT_DATA": 5}[of]]
        )
        kind = getattr(resource, of)
    except (ImportError, OSError, ValueError):
        yield
        return
    with ONE:
        before, most = resource.getrlimit(kind)
        allowed = pages * resource.getpagesize() + room
        resource.setrlimit(kind, (allowed if before < 0 else min(allowed, before), most))
        try:
            yield
        finally:
            resource.setrlimit(kind, (before, most))
