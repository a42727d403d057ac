"""One process at a time writes to a folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import TracebackType
from typing import Self

try:
    import fcntl
except ImportError:  # not on Windows: folders are then not guarded
    fcntl = None  # type: ignore[assignment]


class Lock:
    """Keeps other processes from a folder; ends with the process, however that ends.

    The folder itself is locked, no file is left in it. A lock counts once for each process: the same folder may be
    locked again inside it.

    Parameters
    ----------
    folder
        Made where it is not there.

    Raises
    ------
    ValueError
        If another process has it.

    Examples
    --------
    >>> import tempfile
    >>> place = tempfile.mkdtemp()
    >>> with Lock(place):
    ...     os.listdir(place)
    []
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._key = (os.getpid(), str(self.folder))
        self._held = _HELD.get(self._key, 0)
        if fcntl is not None and not self._held:
            _OPEN[self._key] = _locked(self.folder)
        _HELD[self._key] = self._held + 1
        self._open = True

    def release(self) -> None:
        """Let others write; what is released already stays so."""
        if not self._open or os.getpid() != self._key[0]:  # what a forked process inherits belongs to its parent
            return
        self._open = False
        _HELD[self._key] -= 1
        if not _HELD[self._key]:
            del _HELD[self._key]
            number = _OPEN.pop(self._key, None)
            if number is not None:
                fcntl.flock(number, fcntl.LOCK_UN)  # also where a forked process still has it
                os.close(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


_HELD: dict[tuple[int, str], int] = {}
_OPEN: dict[tuple[int, str], int | None] = {}


def _locked(folder: Path) -> int | None:
    """A descriptor of the locked folder; ``None`` where the file system knows no locks."""
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(number)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise ValueError(
                f"one process at a time should write to a folder; another one is writing to {folder}. "
                "Wait until it ends, stop it, or name another folder."
            ) from error
        return None
    return number
