"""Files and folders that are there whole or not at all, also after a crash or on a full disk."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DRAFT = ".part"
"""Ending of what is not finished; what a killed process leaves of it may be deleted."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SAID = (
    "No space left on device",
    "StorageFull",
    "Disk quota exceeded",
    "QuotaExceeded",
    "File too large",
    " requested and ",  # and so many written, says numpy
)
"""How libraries that raise errors of their own say that a disk is full."""


class NoRoomError(OSError):
    """A disk is full, or a file larger than it may be."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.errno = errno.ENOSPC


@contextmanager
def written(path: str | Path, *, parents: bool = True) -> Iterator[Path]:
    """A draft beside ``path`` that takes its place when the block ends well; else it leaves and ``path`` stays.

    The content is on the disk before the name is: after a loss of power there is the former file or the new one.

    Parameters
    ----------
    path
        What is written.
    parents
        Its folder is made where it is not there.

    Yields
    ------
    Path
        Where to write: of the same ending, in the same folder.

    Raises
    ------
    NoRoomError
        If the disk is full.

    Examples
    --------
    >>> place = Path(tempfile.mkdtemp()) / "numbers.txt"
    >>> with written(place) as draft:
    ...     _ = draft.write_text("1 2 3")
    >>> place.read_text(), sorted(one.name for one in place.parent.iterdir())
    ('1 2 3', ['numbers.txt'])
    """
    path = Path(path)
    with _explained(path):
        if parents:
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

    The two change names at once where the system can do that (Linux). Elsewhere there is a moment between the removal
    of the former folder and the arrival of the new one in which both are complete under other names: a crash there
    leaves the former as ``.<name>-*.former``.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    NoRoomError
        If the disk is full.
    """
    folder = Path(folder)
    with _explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name[:100]}-", suffix=DRAFT, dir=folder.parent))
        try:
            yield draft
            draft.chmod(0o777 & ~_mask())
            for one in [*draft.rglob("*"), draft]:
                synced(one)
            put(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def put(draft: Path, folder: Path) -> None:
    """Move a finished folder to its place, and delete the one that was there."""
    if not folder.exists():
        os.replace(draft, folder)
    elif _exchanged(draft, folder):
        shutil.rmtree(draft, ignore_errors=True)
    else:
        former = draft.with_suffix(".former")
        os.replace(folder, former)
        try:
            os.replace(draft, folder)
        finally:
            if folder.exists():
                shutil.rmtree(former, ignore_errors=True)
            else:
                os.replace(former, folder)
    synced(folder.parent)


def _exchanged(one: Path, other: Path) -> bool:
    """Whether two names changed places in one step; not every system or disk can."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), ctypes.c_uint(exchange)) == 0)


def is_draft(path: Path) -> bool:
    """Whether something is what :func:`written` or :func:`written_folder` had not finished.

    Examples
    --------
    >>> is_draft(Path(".model-x1y2.part")), is_draft(Path(".a-x1y2.part.npz")), is_draft(Path("model.part"))
    (True, True, False)
    """
    return path.name.startswith(".") and DRAFT in path.suffixes


def sweep(folder: Path) -> None:
    """Delete the drafts that killed processes left in a folder; nobody may be writing to it."""
    for path in [one for one in folder.iterdir() if is_draft(one)] if folder.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


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


def is_full(error: BaseException) -> bool:
    """Whether an error of any library, or what it came of, says that there is no room left.

    Examples
    --------
    >>> is_full(OSError(errno.ENOSPC, "")), is_full(OSError(errno.EACCES, "")), is_full(RuntimeError("StorageFull"))
    (True, False, True)
    """
    return any(
        (isinstance(one, OSError) and one.errno in FULL) or any(words in str(one) for words in SAID)
        for one in causes(error)
    )


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it came of, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say of a full disk which it is and what was being written."""
    try:
        yield
    except NoRoomError:
        raise
    except PermissionError as error:
        if error.filename is None or not is_draft(Path(os.fsdecode(error.filename))):
            raise
        raise PermissionError(error.errno, error.strerror, str(path)) from error
    except Exception as error:
        if not is_full(error):
            raise
        raise NoRoomError(
            f"writing {path.name} needs room; the disk of {path.parent.absolute()} is full ({error}). What was there "
            "before is kept. Free some space and start again (on the command line: with --resume)."
        ) from error


def _usual(path: Path) -> int:
    """Permissions of the former file, or those that a new file gets."""
    if path.exists():
        return path.stat().st_mode & 0o777
    return 0o666 & ~_mask()


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
