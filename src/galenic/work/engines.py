"""Where jobs run: processes of this machine (loky), a cluster of Dask, or one of Ray."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Literal

Backend = Literal["loky", "dask", "ray"]


@contextmanager
def engine(backend: Backend = "loky", address: str | None = None, *, n_workers: int | None = None) -> Iterator[None]:
    """Inside the block every fan-out with ``n_jobs`` other than 1 runs on the engine; results are the same bit for bit.

    It is joblib's own backend that is used, so ``joblib.parallel_config(backend="dask")`` with a client of one's own
    does the same; see *From a laptop to a cluster* in the documentation.

    Parameters
    ----------
    backend
        ``"loky"``: processes of this machine, started when they are needed. ``"dask"``, ``"ray"``: workers of a
        cluster.
    address
        Of a cluster that runs: for Dask ``tcp://HOST:PORT`` or a scheduler file; for Ray ``HOST:PORT``,
        ``ray://HOST:PORT`` or ``auto``. None: workers are started on this machine, and end with the block.
    n_workers
        Of a cluster started here; None: one a core.

    Raises
    ------
    ValueError
        If the library is not installed, or nothing answers at the address.

    Examples
    --------
    >>> from galenic.work.fan_out import fan_out
    >>> with engine("loky"):
    ...     sorted(fan_out(pow, {"a": (2, 3), "b": (3, 2)}, n_jobs=2))
    [('a', 8), ('b', 9)]
    """
    import joblib

    if backend not in ("loky", "dask", "ray"):
        raise ValueError(f"backend should be 'loky', 'dask' or 'ray'; received {backend!r}. Choose one of them.")
    if backend == "loky":
        if address is not None:
            raise ValueError(
                f"an address is that of a cluster of Dask or Ray; received {address!r} with backend 'loky'. Say "
                "backend 'dask' or 'ray', or leave it out."
            )
        yield
        return
    with _library(backend).opened(address, n_workers) as found, joblib.parallel_config(found):
        yield


def _library(backend: str) -> Any:
    try:
        return import_module(f"galenic.work.on_{backend}")
    except ImportError as error:
        raise ValueError(
            f"backend {backend!r} needs a library that is not installed ({error}). Install it: pip install "
            "'galenic[scale]'."
        ) from error


def active() -> Any:
    """The backend that jobs started here run on, in the form that suits them."""
    from joblib._parallel_backends import LokyBackend
    from joblib.parallel import get_active_backend

    found = get_active_backend()[0]
    name = type(found).__name__
    if isinstance(found, LokyBackend):
        return LokyBackend(inner_max_num_threads=1, nesting_level=found.nesting_level)
    if name in ("DaskDistributedBackend", "RayBackend"):  # the program's own parallel_config
        library = _library("dask" if name.startswith("Dask") else "ray")
        return (library.OnDask if name.startswith("Dask") else library.OnRay).like(found)
    return found


def workers(n_jobs: int) -> int:
    """How many jobs run at the same time where ``n_jobs`` are asked for."""
    return max(int(active().effective_n_jobs(n_jobs)), 1)


def is_lost_worker(error: Exception) -> bool:
    """Whether an engine says that a worker is gone: loky, Dask and Ray each in their own class."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"BrokenProcessPool", "KilledWorker", "CancelledError", "RayError", "WorkerLostError"})
