"""Many independent jobs at once, on this machine or a cluster, none lost with another."""

from __future__ import annotations

import pickle
import threading
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any

from galenic.work.bar import no_bars
from galenic.work.engines import active, is_lost_worker
from galenic.work.kept import Kept
from galenic.work.parcel import Shared, opened, packed, sent, unpacked
from galenic.work.processes import current, leads, told

Jobs = Mapping[str, tuple[Any, ...]]
HOPELESS = (ValueError, TypeError, FloatingPointError, KeyError, IndexError, AttributeError, ImportError)
"""What a job raises that would raise it again."""
_TURN = threading.Lock()


@dataclass(frozen=True)
class Failed:
    """What a job raised, on its way back."""

    error: Exception
    is_told: bool = False


def fan_out(
    function: Callable[..., Any], jobs: Jobs, *, n_jobs: int = 1, kept: Kept | None = None, retries: int = 1
) -> Iterator[tuple[str, Any]]:
    """Results of ``function(*arguments)`` by the names of the jobs, as they are finished.

    joblib does it: inside :func:`~galenic.work.engines.engine`, or ``joblib.parallel_config(backend="dask")`` (or
    ``"ray"``), the same jobs run on a cluster. A worker computes in one thread and one job at a time: threads that wait
    for each other cost more than they save, and torch's random state belongs to a process. Results are those of any
    other engine, bit for bit. An argument that is the same object in all jobs is sent to a worker once.

    Parameters
    ----------
    function
        What is done; it and its arguments and results can be pickled.
    jobs
        Arguments by the name of the job.
    n_jobs
        Jobs at the same time; -1: one for each core, or worker of a cluster; Dask uses all workers in any case. 1:
        here, in this process, with all its threads.
    kept
        Where finished jobs are kept and read again. With it a job that fails keeps no other from being finished; the
        failures are told at the end. Without it the first failure ends the work.
    retries
        How often a job is tried again that failed for want of something (memory, disk, a worker that died).

    Raises
    ------
    ValueError
        If every job that failed was refused for its input.
    RuntimeError
        If jobs failed; they are named, and the others are kept.

    Examples
    --------
    >>> dict(fan_out(pow, {"a": (2, 3), "b": (3, 2)}))
    {'a': 8, 'b': 9}
    """
    with nullcontext() if kept is None else kept.lock():
        waiting = dict(jobs)
        for name in jobs if kept is not None else ():
            found = told(kept.read(name) if kept is not None and leads() else None)
            if found is not None:
                del waiting[name]
                if kept is not None and leads():
                    kept.clear(name)  # a process may have been killed between the two
                yield name, found
        failed: dict[str, Exception] = {}
        for attempt in range(retries + 1):
            for name, found in _attempted(function, waiting, n_jobs, kept, alone=attempt > 0):
                if isinstance(found, Failed):
                    if not found.is_told:
                        _note(name, found.error, kept, hopeful=attempt < retries)
                    failed[name] = found.error
                else:
                    failed.pop(name, None)
                    yield name, found
            waiting = {name: jobs[name] for name, error in failed.items() if not isinstance(error, HOPELESS)}
            if not waiting:
                break
        if failed:
            _give_up(failed, len(jobs), kept)


def _attempted(
    function: Callable[..., Any], jobs: Jobs, n_jobs: int, kept: Kept | None, *, alone: bool
) -> Iterator[tuple[str, Any]]:
    """Each job once; those that a worker died with come back as failed."""
    if n_jobs == 1 or current() is not None:
        for name, arguments in jobs.items():
            found = _tried(function, name, kept, arguments)
            if kept is None and isinstance(found, Failed):
                raise found.error
            yield name, found
        return
    open_jobs = dict(jobs)
    while open_jobs:
        begun: list[str] = []
        # After a worker died for want of memory, one job at a time may fit; and the one that ends its worker is known.
        some = dict(islice(open_jobs.items(), 1 if alone else None))
        try:
            for name, found in _parallel(function, some, 2 if alone else n_jobs, kept, begun):
                if kept is not None and not isinstance(found, Failed) and not kept.has(name):
                    kept.write(name, found)  # the worker sees other disks
                del open_jobs[name]
                yield name, found
        except Exception as error:
            if not is_lost_worker(error) or not begun:
                raise
            # One of those that were begun ended it; the others have not been seen by the engine yet.
            lost = [name for name in begun if name in open_jobs]
            warnings.warn(
                f"A worker was stopped, perhaps for want of memory; under way were {_named(lost)}.", stacklevel=3
            )
            for name in lost:
                del open_jobs[name]
                found = kept.read(name) if kept is not None else None
                stopped = RuntimeError("its worker was stopped, perhaps for want of memory.")
                yield name, found if found is not None else Failed(stopped, is_told=True)


def _parallel(
    function: Callable[..., Any], jobs: Jobs, n_jobs: int, kept: Kept | None, begun: list[str]
) -> Iterator[tuple[str, Any]]:
    """Results as they come; names are put in ``begun`` when their jobs are given to the engine."""
    import joblib

    engine, shared = active(), Shared.of(function, jobs)
    is_near = bool(getattr(engine, "supports_sharedmem", False))
    common = sent((shared, kept), engine)

    def calls() -> Iterator[Any]:
        for name, arguments in jobs.items():
            begun.append(name)
            yield joblib.delayed(_here if is_near else _far)(common, name, kept is None, shared.rest(arguments))

    how = {"return_as": "generator_unordered"} if engine.supports_return_generator else {}
    results = joblib.Parallel(n_jobs=n_jobs, backend=engine, **how)(calls())
    for name, found in _without_notes_of_new_workers(results):
        yield name, found if is_near else unpacked(found)


def _without_notes_of_new_workers(found: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """A worker that grew is replaced by a new one; nothing is lost, and nobody need know."""
    results = iter(found)
    while True:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A worker stopped while some jobs")
            try:
                one = next(results)
            except StopIteration:
                return
        yield one


def _here(common: Any, name: str, at_once: bool, rest: tuple[Any, ...]) -> tuple[str, Any]:
    import joblib

    # What a job fans out itself stays in its process, on every engine alike.
    with _TURN, no_bars(), joblib.parallel_config("sequential"):
        shared, kept = opened(common)
        with one_thread():
            found = _tried(shared.call, name, kept if kept is not None and kept.is_seen() else None, (rest,))
    if at_once and isinstance(found, Failed):
        raise found.error
    return name, found


def _far(common: Any, name: str, at_once: bool, rest: tuple[Any, ...]) -> tuple[str, bytes]:
    """The same in another process; results come back as bytes, and arrays in them can be written to on every engine."""
    found = _here(common, name, at_once, rest)[1]
    try:
        return name, packed(found)
    except Exception as error:
        refused = TypeError(f"a result should be one that can be sent; this one cannot ({_line(error)}).")
        if at_once:
            raise refused from error
        return name, packed(Failed(refused))


def _tried(function: Callable[..., Any], name: str, kept: Kept | None, arguments: tuple[Any, ...]) -> Any:
    try:
        found = function(*arguments)
        if kept is not None and leads():
            kept.write(name, found)
        return found
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301  our own bytes: will it survive the way back?
        except Exception:
            return Failed(RuntimeError(f"{type(error).__name__}: {error}"))
        return Failed(error)


@contextmanager
def one_thread() -> Iterator[None]:
    """Every library computes in one thread inside the block."""
    import sys

    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    with threadpool_limits(1):
        try:
            if torch:
                torch.set_num_threads(1)
            yield
        finally:
            if torch:
                torch.set_num_threads(before)


def _note(name: str, error: Exception, kept: Kept | None, *, hopeful: bool) -> None:
    again = hopeful and not isinstance(error, HOPELESS)
    if again or kept is not None:
        then = "it is tried again after the others" if again else "the others go on"
        warnings.warn(f"{name} failed: {_line(error)}; {then}.", stacklevel=4)


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _named(names: Collection[str]) -> str:
    first = next(iter(names))
    return f"{first} and {len(names) - 1:,} more" if len(names) > 1 else first


def _give_up(failed: dict[str, Exception], n: int, kept: Kept | None) -> None:
    error = next(iter(failed.values()))
    others = f"those that are finished are kept in {kept.folder}" if kept else "nothing was kept"
    refused = all(isinstance(one, (ValueError, TypeError)) for one in failed.values())
    raise (ValueError if refused else RuntimeError)(
        f"every one of {n:,} jobs should be finished; {_named(failed)} failed: {str(error).rstrip('. ')}. "
        f"Correct this and start again; {others}."
    ) from error
