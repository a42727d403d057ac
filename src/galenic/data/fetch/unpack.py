"""Compressed files that can only be read unpacked."""

from __future__ import annotations

import gzip
import shutil
import zlib
from pathlib import Path

from galenic.data.limits import unpacked
from galenic.work.atomic import NoRoomError, sweep, written

BLOCK = 1 << 22
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)


def unpack(path: Path) -> Path:
    """A file without its gzip, beside it; whole or not at all, and once.

    Parameters
    ----------
    path
        ``<name>.gz``; a file of another name is returned as it is. Nobody else may be writing to its folder.

    Returns
    -------
    Path
        ``<name>``.

    Raises
    ------
    NoRoomError
        If the disk is too small for it.
    ValueError
        If it is cut off or damaged, or would fill the disk with what no data set is.

    Examples
    --------
    >>> import tempfile
    >>> packed = Path(tempfile.mkdtemp(), "numbers.txt.gz")
    >>> _ = packed.write_bytes(gzip.compress(b"1 2 3"))
    >>> unpack(packed).name, unpack(packed).read_bytes()
    ('numbers.txt', b'1 2 3')
    """
    if path.suffix != ".gz":
        return path
    plain = path.with_suffix("")
    if plain.is_file():
        return plain
    sweep(path.parent)  # what a killed process had unpacked
    packed, free = path.stat().st_size, shutil.disk_usage(path.parent).free
    if packed > free:
        raise NoRoomError(
            f"{path.name} unpacks to more than its {packed / 1e9:,.1f} GB; {free / 1e9:,.1f} GB are free in "
            f"{path.parent}. Free some space."
        )
    try:
        with gzip.open(path, "rb") as stream, written(plain) as draft, draft.open("wb") as out:
            shutil.copyfileobj(unpacked(stream, packed, path.name), out, BLOCK)  # type: ignore[arg-type]
    except DAMAGE as error:
        raise ValueError(
            f"{path.name} should be a whole compressed file; it is cut off or damaged ({error}). Delete it, and fetch "
            "it again."
        ) from error
    return plain
