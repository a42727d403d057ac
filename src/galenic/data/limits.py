"""What a file may claim: sizes are compared with what it holds, and with what this machine has, before memory is taken.

A file of a few kilobytes can say that it unpacks to terabytes, or that its matrix has a billion rows.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

USUAL_RATIO = 20
"""Large tables are rarely packed smaller than to a twentieth; beyond it, what they unpack to is limited."""
SHARE = 10
"""Text takes several times its own size while it is read: of the memory that is left it may be this part."""
LARGEST_RATIO = 1100
"""Nothing is packed smaller by the method of zip and gzip."""
LONGEST_LINE = 1 << 28
"""Bytes of a line of text: a line for each of two million profiles has a tenth of it."""
MOST_COLUMNS = 4_000_000
"""Columns of a table: the largest arrays measure two million sites."""
NPY_HEADER = 10_000
"""Bytes of a header of NumPy that are read."""


def memory_left() -> int:
    """Bytes that this process may still take: what the system has available, within the limits set for the process.

    Examples
    --------
    >>> memory_left() > 0
    True
    """
    known = [1 << 62]
    with suppress(OSError, ValueError), open("/proc/meminfo", encoding="ascii") as lines:
        known += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    if len(known) == 1:
        with suppress(AttributeError, ValueError, OSError):  # not every system tells
            known.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(OSError, ValueError):  # of a container; "max" where there is no limit
        known.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    with suppress(ImportError, OSError, ValueError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
            known.append(max(limit - used, 0))
    return min(known)


def require_room(size: float, what: str, remedy: str) -> None:
    """Raise ``ValueError`` if ``size`` bytes are more than this process may still take.

    Parameters
    ----------
    size
        Bytes that are about to be taken.
    what
        What takes them, for the message.
    remedy
        What to do instead.

    Examples
    --------
    >>> require_room(1e30, "a.csv", "Read a part of it.")
    Traceback (most recent call last):
        ...
    ValueError: a.csv should fit into memory; it needs ... GB, and ... are left. Read a part of it.
    """
    left = memory_left()
    if size > left:
        raise ValueError(
            f"{what} should fit into memory; it needs {size / 2**30:,.1f} GB, and {left / 2**30:,.1f} are left. "
            f"{remedy}"
        )


class Unpacked(io.RawIOBase):
    """A stream out of a compressed file that refuses to unpack to more than a table would.

    Parameters
    ----------
    stream
        What unpacks.
    packed
        Bytes of the compressed file.
    name
        Of the file, for messages.
    whole
        All of it will be in memory at once, whatever it was packed to.
    """

    def __init__(self, stream: IO[bytes], packed: int, name: str, whole: bool = False) -> None:
        self._stream, self._packed, self._name, self._done = stream, packed, name, 0
        most = memory_left() // SHARE
        self._most = most if whole else max(USUAL_RATIO * packed, most)

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Bytes of the stream into ``buffer``; ``ValueError`` where they are too many."""
        part = self._stream.read(len(buffer))
        self._done += len(part)
        if self._done > self._most:
            raise ValueError(
                f"{self._name} should unpack to a table; its {self._packed:,} bytes unpack to more than "
                f"{self._most:,}. It is damaged or made to fill the memory: if you trust it, unpack it first."
            )
        buffer[: len(part)] = part
        return len(part)


def unpacked(stream: IO[bytes], packed: int, name: str, whole: bool = False) -> IO[bytes]:
    """``stream``, which unpacks a file of ``packed`` bytes, within the limits of :class:`Unpacked`."""
    return cast(IO[bytes], io.BufferedReader(Unpacked(stream, packed, name, whole), 1 << 17))


def line_of(stream: IO[bytes], name: str, most: int = LONGEST_LINE) -> bytes:
    """The next line; ``ValueError`` if it is longer than any table's."""
    line = stream.readline(most + 1)
    if len(line) > most:
        raise ValueError(
            f"a line of {name} should have {most:,} bytes at most; it has more. Check that the file is a table of text "
            "with line breaks, or export it again."
        )
    return line


def own_file(folder: Path, name: str) -> Path:
    """A file of a folder; ``ValueError`` if it is none, or a link that leads out of it.

    Examples
    --------
    >>> own_file(Path("/proc/self"), "exe")
    Traceback (most recent call last):
        ...
    ValueError: a folder should hold its own files; /proc/self/exe is none, or a link that leads out of it. Copy ...
    """
    path = folder / name
    if not path.is_file() or folder.resolve() not in path.resolve().parents:
        raise ValueError(
            f"a folder should hold its own files; {path} is none, or a link that leads out of it. Copy the whole "
            "folder again, with the files that its links lead to."
        )
    return path


def load_array(path: Path) -> np.ndarray:
    """An array of numbers or text from a ``.npy`` file, in memory; what it declares must be there.

    Raises
    ------
    ValueError
        If it is no such file, or holds less than it declares.
    """
    return np.array(map_array(path))


def map_array(path: Path) -> np.ndarray:
    """As :func:`load_array`, left on disk."""
    try:
        found: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "biufcSU":
            raise TypeError(f"it holds {getattr(found, 'dtype', 'an archive')}")
    except Exception as error:  # headers are parsed as Python text, which fails in many ways
        raise ValueError(
            f"{path.name} should be a whole array of NumPy; it cannot be read ({_short(error)}). Write or "
            "copy it again."
        ) from error
    return found


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Arrays of numbers or text from an ``.npz`` file; what it declares must be there.

    Raises
    ------
    ValueError
        If it is no such file, or declares more than it holds or than fits into memory.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     np.savez(Path(folder, "a.npz"), x=np.arange(3))
    ...     load_arrays(Path(folder, "a.npz"))["x"].tolist()
    [0, 1, 2]
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            most = LARGEST_RATIO * path.stat().st_size
            if sum(part.file_size for part in parts) > min(most, memory_left()):
                raise ValueError("it declares more than it holds or than fits into memory")
            return {part.filename.removesuffix(".npy"): _array_in(archive, part) for part in parts}
    except Exception as error:
        raise ValueError(
            f"{path.name} should be a whole archive of NumPy's arrays; it cannot be read ({_short(error)}). Write or "
            "copy it again."
        ) from error


def _array_in(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(part) as stream:
        content = stream.read()
    inside = io.BytesIO(content)
    version = np.lib.format.read_magic(inside)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_column, dtype = read(inside, max_header_size=NPY_HEADER)
    if dtype.kind not in "biufcSU" or min(shape, default=0) < 0:
        raise ValueError(f"it holds {dtype} of shape {shape}")
    count = math.prod(shape)
    values = np.frombuffer(content, dtype, count, inside.tell()) if count else np.empty(0, dtype)
    return values.reshape(shape, order="F" if by_column else "C").copy()


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:120]}"
