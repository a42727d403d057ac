"""Finished jobs in a folder: one file each, and a manifest that says of what work they are."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from galenic.work.atomic import is_draft, sweep, written
from galenic.work.lock import Lock
from galenic.work.plain import load, save
from galenic.work.processes import leads

MANIFEST = "manifest.json"
FORMAT = 1


class Kept:
    """A folder in which each finished job is kept, so that interrupted work goes on where it was.

    Parameters
    ----------
    folder
        Made where it is not there; seen by every worker, or else only the process that gave out the jobs writes.
    settings
        All that decides the results, plain JSON: those of other settings are refused. Use :func:`digest` for arrays.
    kinds
        Dataclasses that results are made of.
    what
        For messages: what the jobs are.

    Raises
    ------
    ValueError
        If the folder holds other files or other work.

    Examples
    --------
    >>> import tempfile
    >>> kept = Kept(tempfile.mkdtemp(), {"seed": 0})
    >>> kept.write("fold 0", {"score": 0.5})
    >>> kept.read("fold 0"), kept.read("fold 1")
    ({'score': 0.5}, None)
    """

    def __init__(
        self,
        folder: str | Path,
        settings: Mapping[str, Any],
        *,
        kinds: Sequence[type] = (),
        what: str = "finished fits",
    ) -> None:
        # Workers may stand in another folder.
        self.folder, self.kinds, self.what = Path(folder).absolute(), tuple(kinds), what
        if leads():
            self._open(json.loads(json.dumps({"format": FORMAT, **settings})))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps other processes from the folder while jobs are given out."""
        if not leads():
            yield
            return
        with Lock(self.folder):
            sweep(self.folder)
            yield

    def has(self, name: str) -> bool:
        """Whether a job is kept; its file may still turn out to be damaged."""
        return self.path(name).is_file()

    def is_seen(self) -> bool:
        """Whether this process, a worker on some machine, sees the folder and not another of the same name."""
        return (self.folder / MANIFEST).is_file()

    def read(self, name: str) -> Any:
        """The result of a job, or ``None``.

        Raises
        ------
        ValueError
            If its file is damaged, or that of another job.
        """
        if not self.has(name):
            return None
        found = load(self.path(name), self.kinds)
        if not isinstance(found, list) or len(found) != 2 or found[0] != name:
            whose = f" (it is of {found[0]})" if isinstance(found, list) and found else ""
            raise ValueError(
                f"{self.path(name)} should be what an earlier run kept of {name}; it is not{whose}. Delete it: it will "
                "be computed again."
            )
        return found[1]

    def write(self, name: str, result: Any) -> None:
        """Keep the result of a job, and delete its room; a crash leaves no half of it."""
        save(self.path(name), [name, result])
        self.clear(name)

    def room(self, name: str) -> Path:
        """A folder for what a job has half done: it leaves when the job is kept."""
        return self.path(name).with_suffix("")

    def clear(self, name: str) -> None:
        """Delete the room of a job."""
        shutil.rmtree(self.room(name), ignore_errors=True)

    def path(self, name: str) -> Path:
        """The file of a job."""
        safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).lstrip(".")
        if len(safe) > 80 or safe != name:  # file systems end at 255 bytes, and two names may become one
            safe = f"{safe[:60]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
        return self.folder / f"{safe}.npz"

    def _open(self, now: dict[str, Any]) -> None:
        if self.folder.is_file():
            raise ValueError(f"{self.what} are kept in a folder; {self.folder} is a file. Name a folder.")
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / MANIFEST
        if not path.exists():
            # A draft is what a process leaves that was killed while it wrote.
            if any(not is_draft(file) for file in self.folder.iterdir()):
                raise ValueError(
                    f"{self.what} are kept in a folder of their own; {self.folder} holds other files. Name a new one."
                )
            with written(path) as draft:
                draft.write_text(json.dumps(now, indent=1), encoding="utf-8")
            return
        try:
            before = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(
                f"{path} should say what {self.what} are of; it cannot be read ({error}). Name a new folder."
            ) from error
        other = [name for name in sorted(now.keys() | before.keys()) if before.get(name) != now.get(name)]
        if other:
            shown = "; ".join(f"{name} was {before.get(name)!r:.60}, now {now.get(name)!r:.60}" for name in other[:3])
            raise ValueError(
                f"{self.what} of one folder should have the same data and settings; those in {self.folder} differ: "
                f"{shown}. Use the former ones to go on, or name a new folder."
            )


def digest(*arrays: Any) -> str:
    """What tells arrays, tables, sparse matrices and texts from others.

    Examples
    --------
    >>> digest(np.zeros(2)) == digest(np.zeros(2)), digest(np.zeros(2)) == digest(np.zeros((2, 1)))
    (True, False)
    """
    found = hashlib.sha256()
    for array in arrays:
        if hasattr(array, "indptr"):
            found.update(f"sparse {array.shape}".encode())
            found.update(digest(array.data, array.indices, array.indptr).encode())
            continue
        values = np.asarray(array)
        if values.dtype.kind == "O":  # texts and missing values
            values = np.asarray([str(one) for one in values.ravel()], dtype=np.str_).reshape(values.shape)
        found.update(f"{values.shape} {values.dtype}".encode())
        found.update(np.ascontiguousarray(values).tobytes())
    return found.hexdigest()
