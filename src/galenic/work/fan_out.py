"""Many independent jobs at once, on this machine or a cluster, none lost with another."""

from __future__ import annotations

import pickle
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from galenic.work.kept import Kept
from galenic.work.processes import current, leads, told

Jobs = Mapping[str, tuple[Any, ...]]
HOPELESS = (ValueError, TypeError, FloatingPointError, KeyError, IndexError, AttributeError, ImportError)
"""What a job raises that would raise it again."""
_TURN = threading.Lock()


@dataclass(frozen=True)
class Failed:
    """What a job raised, on its way back."""

    error: Exception


def fan_out(
    function: Callable[..., Any], jobs: Jobs, *, n_jobs: int = 1, kept: Kept | None = None, retries: int = 1
) -> Iterator[tuple[str, Any]]:
    """Results of ``function(*arguments)`` by the names of the jobs, as they are finished.

    joblib does it: inside ``joblib.parallel_config(backend="dask")`` (or ``"ray"``) the same jobs run on a cluster. A
    worker computes in one thread and one job at a time: threads that wait for each other cost more than they save, and
    torch's random state belongs to a process. Results are those of any other engine, bit for bit.

    Parameters
    ----------
    function
        What is done; it and its arguments and results can be pickled.
    jobs
        Arguments by the name of the job.
    n_jobs
        Jobs at the same time; -1: one for each core, or worker of a cluster. 1: here, in this process, with all its
        threads.
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
                yield name, found
        failed: dict[str, Exception] = {}
        for attempt in range(retries + 1):
            failed = {}
            for name, found in _attempted(function, waiting, n_jobs, kept, alone=attempt > 0):
                if isinstance(found, Failed):
                    _note(name, found.error, kept, hopeful=attempt < retries)
                    failed[name] = found.error
                else:
                    yield name, found
            waiting = {name: jobs[name] for name, error in failed.items() if not isinstance(error, HOPELESS)}
            if not waiting:
                break
        if failed:
            _give_up(failed, len(jobs), kept)


def _attempted(
    function: Callable[..., Any], jobs: Jobs, n_jobs: int, kept: Kept | None, *, alone: bool
) -> Iterator[tuple[str, Any]]:
    """Each job once; those of a worker that died come back as failed."""
    if n_jobs == 1 or current() is not None:
        for name, arguments in jobs.items():
            found = _tried(function, name, kept, arguments)
            if kept is None and isinstance(found, Failed):
                raise found.error
            yield name, found
        return
    open_jobs = dict(jobs)
    try:
        for name, found in _parallel(function, jobs, n_jobs, kept, alone):
            if kept is not None and not isinstance(found, Failed) and not kept.has(name):
                kept.write(name, found)  # the worker sees other disks
            del open_jobs[name]
            yield name, found
    except Exception as error:
        if not _is_lost_worker(error):
            raise
        for name in open_jobs:
            if kept is not None and kept.has(name):
                yield name, kept.read(name)
            else:
                yield name, Failed(RuntimeError(f"its worker was stopped, perhaps for want of memory ({_line(error)})"))


def _parallel(
    function: Callable[..., Any], jobs: Jobs, n_jobs: int, kept: Kept | None, alone: bool
) -> Iterator[tuple[str, Any]]:
    import joblib
    from joblib.parallel import get_active_backend

    engine = get_active_backend()[0]
    one_by_one = engine.supports_return_generator
    # After a worker died for want of memory, one job at a time may fit.
    how: dict[str, Any] = {"pre_dispatch": 1, "batch_size": 1} if alone else {}
    threads = {"inner_max_num_threads": 1} if engine.supports_inner_max_num_threads else {}
    config = joblib.parallel_config("loky", **threads) if _is_loky(engine) else nullcontext()
    with warnings.catch_warnings(), config:
        # A worker that grew is replaced by a new one; nothing is lost.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs")
        calls = (
            joblib.delayed(_in_worker)(function, name, kept, kept is None, arguments)
            for name, arguments in jobs.items()
        )
        if one_by_one:
            how["return_as"] = "generator_unordered"
        yield from joblib.Parallel(n_jobs=n_jobs, **how)(calls)


def _is_loky(engine: Any) -> bool:
    return type(engine).__name__ == "LokyBackend"


def _in_worker(
    function: Callable[..., Any], name: str, kept: Kept | None, at_once: bool, arguments: tuple[Any, ...]
) -> tuple[str, Any]:
    with _TURN, one_thread():
        found = _tried(function, name, kept if kept is not None and kept.folder.is_dir() else None, arguments)
    if at_once and isinstance(found, Failed):
        raise found.error
    return name, found


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


def _is_lost_worker(error: Exception) -> bool:
    """Whether an engine says that a worker is gone: loky, Dask and Ray each in their own class."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(
        names & {"BrokenProcessPool", "TerminatedWorkerError", "KilledWorker", "RayError", "WorkerCrashedError"}
    )


def _note(name: str, error: Exception, kept: Kept | None, *, hopeful: bool) -> None:
    again = hopeful and not isinstance(error, HOPELESS)
    if again or kept is not None:
        then = "it is tried again after the others" if again else "the others go on"
        warnings.warn(f"{name} failed: {_line(error)}; {then}.", stacklevel=4)


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _give_up(failed: dict[str, Exception], n: int, kept: Kept | None) -> None:
    name, error = next(iter(failed.items()))
    more = f" and {len(failed) - 1:,} more" if len(failed) > 1 else ""
    others = f"those that are finished are kept in {kept.folder}" if kept else "nothing was kept"
    refused = all(isinstance(one, (ValueError, TypeError)) for one in failed.values())
    raise (ValueError if refused else RuntimeError)(
        f"every one of {n:,} jobs should be finished; {name}{more} failed: {error} "
        f"Correct this and start again; {others}."
    ) from error
