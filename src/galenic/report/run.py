"""The run folder: what a verb computed, how, from which files, and how long it took."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd

from galenic.report.provenance import files_of, fingerprint, now, peak_memory, plain, versions
from galenic.report.tables import file_of, read_table, require_table, write_table
from galenic.version import __version__
from galenic.work.atomic import is_draft, sweep, written
from galenic.work.lock import Lock
from galenic.work.processes import leads

FORMAT = 1
RECORD = "run.json"
REPORT = "report.html"


@dataclass
class Run:
    """A run folder, being written or read. Made by ``start`` and ``read``.

    As a context manager it closes itself: ``done`` at the end of the block, ``failed`` with the message when the
    block raises, ``stopped`` when the user interrupts it. A run that had written nothing by then leaves no folder.
    Until it is closed no other process may write to the folder.

    Parameters
    ----------
    folder
        Where it lies, as the user wrote it.
    record
        The content of ``run.json``. A verb may set ``record["data"]`` (pairs, cells, drugs, unit, modalities);
        the other entries are kept by the methods below.

    Examples
    --------
    >>> import pandas as pd, tempfile
    >>> out = tempfile.mkdtemp()
    >>> with start(out, verb="predict", command="galenic predict run/ new.h5ad", fields={}) as run:
    ...     with run.timed("predict"):
    ...         table = pd.DataFrame({"cell": ["A549"], "drug": ["5"], "prediction": [0.5]})
    ...     run.write("predictions", table)
    >>> run.record["state"], run.record["outputs"]
    ('done', ['predictions.parquet'])
    >>> read(out).table("predictions")["drug"].tolist()
    ['5']
    """

    folder: Path
    record: dict[str, Any]
    _claimed: set[str] = field(default_factory=set, repr=False)
    _lock: Lock | None = field(default=None, repr=False)

    def write(self, name: str, table: pd.DataFrame) -> None:
        """Write one table of ``TABLES`` as CSV or Parquet, whole or not at all.

        Parameters
        ----------
        name
            One of ``TABLES``.
        table
            Its rows; the index is not written.

        Raises
        ------
        ValueError
            If the name is unknown or a column that readers rely on is missing.
        """
        path = self.folder / file_of(name)
        require_table(name, table, f"the table {name!r}")
        replace(path, lambda place: write_table(table, place, name))
        self._claimed.add(path.name)
        self._save()

    def path(self, name: str) -> Path:
        """Place of an output that is written elsewhere (``"model"``), recorded as part of this run.

        Parameters
        ----------
        name
            A file or folder directly inside the run folder.

        Returns
        -------
        pathlib.Path
            Where to write it.
        """
        self._claimed.add(name)
        return self.folder / name

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the seconds spent inside the block to ``record["seconds"][name]``.

        Parameters
        ----------
        name
            Of what is timed.
        """
        begin = time.perf_counter()
        try:
            yield
        finally:
            spent = self.record["seconds"].get(name, 0.0) + time.perf_counter() - begin
            self.record["seconds"][name] = round(spent, 3)
            self._save()

    def note(self, warning: object) -> None:
        """Keep a warning for the report; the same words are kept once.

        Parameters
        ----------
        warning
            Words for the reader.
        """
        if str(warning) not in self.record["warnings"]:
            self.record["warnings"].append(str(warning))
            self._save()

    def finish(self) -> None:
        """Mark the run as done."""
        self._close("done")

    def fail(self, message: object) -> None:
        """Mark the run as failed, with the reason that the report will show.

        Parameters
        ----------
        message
            Words for the reader.
        """
        self.record["message"] = str(message)
        self._close("failed")

    def stop(self) -> None:
        """Mark the run as stopped by the user."""
        self.record["message"] = "stopped by the user"
        self._close("stopped")

    def table(self, name: str, /, **where: str) -> pd.DataFrame | None:
        """Read a table of ``TABLES``; ``None`` if the run did not write it.

        Parameters
        ----------
        name
            One of ``TABLES``.
        where
            Rows to keep: ``model="KDRUG"``. A column that the table lacks is not asked.

        Returns
        -------
        pandas.DataFrame or None
            Ids and names as text, numbers as written.

        Raises
        ------
        ValueError
            If the file cannot be read as the table it claims to be.
        """
        path = self.folder / file_of(name)
        return read_table(path, name, where) if path.is_file() else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            if self.record["state"] == "running":
                self.finish()
            return
        with suppress(OSError):  # where the disk is full the record stays as it was; the first error is the one to tell
            if issubclass(kind, KeyboardInterrupt):
                self.stop()
            else:
                self.fail(f"{kind.__name__}: {error}")
        if [path.name for path in files_of(self.folder) if not is_draft(path)] == [RECORD]:
            # Refused before anything was computed: nothing half-written is left to be cleared away.
            shutil.rmtree(self.folder)

    def _close(self, state: str) -> None:
        self.record["state"] = state
        self.record["finished"] = now()
        self.record["peak_memory_mb"] = peak_memory()
        self.record["versions"] = versions()
        try:
            self._save()
        finally:
            if self._lock is not None:
                self._lock.release()

    def _save(self) -> None:
        self.record["outputs"] = sorted(
            {
                path.relative_to(self.folder).as_posix()
                for name in self._claimed
                for path in files_of(self.folder / name)
            }
        )
        text = json.dumps(plain(self.record), indent=2, ensure_ascii=False) + "\n"
        replace(self.folder / RECORD, lambda place: place.write_text(text, encoding="utf-8"))


def start(
    out: str | Path,
    *,
    verb: str,
    command: str,
    fields: Mapping[str, Any],
    title: str = "",
    seed: int | None = None,
    inputs: Iterable[str | Path] = (),
    overwrite: bool = False,
    resume: bool = False,
) -> Run:
    """Open a run folder and write its ``run.json`` with state ``running``.

    Parameters
    ----------
    out
        A folder that is absent, empty, or an earlier run.
    verb
        What is done: ``"benchmark"``, ``"fit"``, ``"predict"``, ...
    command
        The command that repeats the run, as the user would type it.
    fields
        What changes the numbers: hyperparameters, splits, ... ``fields["floors"]`` names the models that are floors.
    title
        Heading of the report; the verb if empty.
    seed
        Seed of the run.
    inputs
        Files and folders that are read; their sha256 is recorded, and their paths as given.
    overwrite
        Replace an earlier run: the files that it lists as its outputs are deleted, nothing else.
    resume
        Go on with an earlier run of the same verb, fields, seed and inputs; what it wrote stays.

    Returns
    -------
    Run
        To be finished by ``finish()`` or by its ``with`` block.

    Raises
    ------
    ValueError
        If the folder holds something else than a run, or a run that may not be replaced, if the run to resume was a
        different one or is done, or if another process is writing to the folder.
    FileNotFoundError
        If an input does not exist.

    Examples
    --------
    >>> import tempfile
    >>> run = start(tempfile.mkdtemp(), verb="fit", command="galenic fit kdrug", fields={"n_heads": 8}, seed=0)
    >>> run.record["state"]
    'running'
    """
    if not leads():  # the first of several processes keeps the run; what the others write is thrown away
        out, overwrite, resume = _thrown_away(), False, False
    folder = Path(out)
    _earlier(folder, overwrite, resume)
    record: dict[str, Any] = plain({
        "format": FORMAT,
        "galenic": __version__,
        "state": "running",
        "verb": verb,
        "command": command,
        "title": title or verb,
        "fields": dict(fields),
        "seed": seed,
        "inputs": [fingerprint(Path(path)) for path in inputs],
        "data": {},
        "started": now(),
        "seconds": {},
        "warnings": [],
        "outputs": [],
        "versions": versions(),
    })  # fmt: skip
    lock = Lock(folder)
    run = Run(folder, record, _lock=lock)
    try:
        sweep(folder)
        earlier = _earlier(folder, overwrite, resume)  # again, now that nobody else can change it
        if earlier and resume:
            _require_same(earlier, record, folder)
            record.update({key: earlier[key] for key in ("data", "started", "seconds", "warnings")})
            run._claimed.update(earlier["outputs"])
        elif earlier:
            _delete_outputs(folder, [*earlier["outputs"], REPORT])
        run._save()
    except BaseException:
        lock.release()
        raise
    return run


def _thrown_away() -> str:
    """A folder that lives as long as the process."""
    place = tempfile.mkdtemp(prefix="galenic-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


def read(folder: str | Path) -> Run:
    """Open an existing run folder for reading.

    Parameters
    ----------
    folder
        A folder with a ``run.json``.

    Returns
    -------
    Run
        Its record and, through ``table``, its tables.

    Raises
    ------
    FileNotFoundError
        If there is no ``run.json``.
    ValueError
        If ``run.json`` cannot be read or was written by a newer galenic.
    """
    path = Path(folder) / RECORD
    if Path(folder).is_file():
        raise ValueError(
            f"a run folder (written by galenic benchmark, fit, predict, ...) is expected; {folder} is a file. Name the "
            "folder that holds it."
        )
    if not path.is_file():
        there = "the folder does not exist" if not path.parent.is_dir() else f"{path.parent} holds no {RECORD}"
        raise FileNotFoundError(
            f"a run folder (written by galenic benchmark, fit, predict, ...) should hold {RECORD}; {there}. "
            "Check the path, or run one of these verbs with --out first."
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        number = int(record["format"])
        _require_kinds(record)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{path} should be the record of a run, in JSON with a 'format' number; it cannot be read "
            f"({type(error).__name__}: {error}). Restore the file, or repeat the run in another folder."
        ) from error
    if number > FORMAT:
        raise ValueError(
            f"this galenic reads run folders up to format {FORMAT}; {path} has format {number}, "
            f"written by galenic {record.get('galenic', '?')}. Upgrade galenic: pip install -U galenic."
        )
    unsaid: dict[str, Any] = {
        **{key: "" for key in ("galenic", "command", "title", "started", "message")},
        **{key: {} for key in ("fields", "data", "seconds", "versions")},
        **{key: [] for key in ("inputs", "warnings", "outputs")},
        **{"state": "done", "verb": "run", "seed": None},
    }
    return Run(Path(folder), {**unsaid, **record}, set(record.get("outputs", ())))


def _require_kinds(record: Mapping[str, Any]) -> None:
    """Raise ``TypeError`` where an entry that readers rely on is something else."""
    kinds: dict[type, tuple[str, ...]] = {
        dict: ("fields", "data", "seconds", "versions"),
        list: ("inputs", "warnings", "outputs"),
        str: ("galenic", "command", "title", "started", "message", "state", "verb"),
    }
    wrong = [name for kind, names in kinds.items() for name in names if not isinstance(record.get(name, kind()), kind)]
    wrong += [] if all(isinstance(one, str) for one in record.get("outputs", [])) else ["outputs"]
    if wrong:
        raise TypeError(f"{', '.join(wrong)} should be {'of another kind' if len(wrong) > 1 else 'something else'}")


def _earlier(folder: Path, overwrite: bool, resume: bool) -> dict[str, Any] | None:
    """Record of the run that already lies in the folder, if any; refuses what must not be touched."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out should be a folder; {folder} is a file. Choose another name.")
    if not folder.is_dir() or all(map(is_draft, folder.iterdir())):
        return None
    if not (folder / RECORD).is_file():
        names = sorted(path.name for path in folder.iterdir())
        raise ValueError(
            f"--out should be a new or empty folder, or an earlier run; {folder} holds {len(names):,} other file(s) "
            f"(first: {', '.join(repr(name) for name in names[:3])}) and no {RECORD}. "
            "Choose another folder; galenic deletes nothing that it did not write."
        )
    record = read(folder).record
    if overwrite == resume:
        raise ValueError(
            f"--out should be a new folder; {folder} holds an earlier run ({record['verb']}, {record['state']}). "
            "Choose one: another folder, overwrite (replaces it) or resume (goes on with it)."
        )
    if resume and record["state"] == "done":
        raise ValueError(
            f"{folder}/ is finished (done); there is nothing to resume. "
            "Read its report, or use --overwrite to repeat it."
        )
    return record


def _require_same(earlier: dict[str, Any], record: dict[str, Any], folder: Path) -> None:
    """A resumed run must be the same run, or its tables would mix two experiments."""
    changed = [key for key in ("verb", "seed", "inputs") if earlier[key] != record[key]]
    # Verbs put what they found among the fields of a run; what was asked for is to be the same.
    differ = [name for name, value in record["fields"].items() if earlier["fields"].get(name) != value]
    changed += [f"fields ({', '.join(sorted(differ))})"] if differ else []
    if changed:
        raise ValueError(
            f"a resumed run should repeat the earlier one; {folder} differs in {', '.join(changed)}. "
            "Use the same settings and inputs, or overwrite it, or choose another folder."
        )


def _delete_outputs(folder: Path, names: Iterable[str]) -> None:
    """Delete the files that an earlier run lists, and the folders that this leaves empty; never outside the folder."""
    inside = folder.resolve()
    for path in [folder / name for name in names]:
        if inside in path.resolve().parents and path.is_file():
            path.unlink()
            if path.parent != folder and not any(path.parent.iterdir()):
                path.parent.rmdir()


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of it."""
    with written(path) as draft:
        write(draft)
