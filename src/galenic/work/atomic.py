"""Files and folders that are there whole or not at all, also after a crash or on a full disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DRAFT = ".part"
"""Ending of what is not finished; what a killed process leaves of it may be deleted."""


@contextmanager
def written(path: str | Path) -> Iterator[Path]:
    """A draft beside ``path`` that takes its place when the block ends well; else it leaves and ``path`` stays.

    The content is on the disk before the name is: after a loss of power there is the former file or the new one.

    Parameters
    ----------
    path
        What is written; its folder is made where it is not there.

    Yields
    ------
    Path
        Where to write: of the same ending, in the same folder.

    Examples
    --------
    >>> place = Path(tempfile.mkdtemp()) / "numbers.txt"
    >>> with written(place) as draft:
    ...     _ = draft.write_text("1 2 3")
    >>> place.read_text(), sorted(one.name for one in place.parent.iterdir())
    ('1 2 3', ['numbers.txt'])
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(prefix=f".{path.stem[:100]}-", suffix=DRAFT + path.suffix, dir=path.parent)
    os.close(number)
    draft = Path(name)
    try:
        yield draft
        draft.chmod(_usual(path))
        synced(draft)
        os.replace(draft, path)
        synced(path.parent)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


@contextmanager
def written_folder(folder: str | Path) -> Iterator[Path]:
    """An empty folder beside ``folder`` that takes its place when the block ends well, and replaces what was there.

    Between the removal of the former folder and the arrival of the new one both are complete under other names: a crash
    there leaves the former as ``.<name>-*.former``.

    Yields
    ------
    Path
        Where to write.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name[:100]}-", suffix=DRAFT, dir=folder.parent))
    former = draft.with_suffix(".former")
    try:
        yield draft
        draft.chmod(0o755)
        for one in draft.rglob("*"):
            synced(one)
        if folder.exists():
            os.replace(folder, former)
        os.replace(draft, folder)
        synced(folder.parent)
    except BaseException:
        if former.exists() and not folder.exists():
            os.replace(former, folder)
        shutil.rmtree(draft, ignore_errors=True)
        raise
    shutil.rmtree(former, ignore_errors=True)


def synced(path: Path) -> None:
    """Wait until a file, or the names in a folder, have reached the disk."""
    try:
        number = os.open(path, os.O_RDONLY)
    except OSError:  # folders cannot be opened everywhere
        return
    try:
        os.fsync(number)
    except OSError as error:
        # Some network file systems know no fsync of folders; that of a file must hold.
        if path.is_file():
            raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(number)


def _usual(path: Path) -> int:
    """Permissions of the former file, or those that a new file gets."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
