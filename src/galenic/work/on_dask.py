"""joblib's backend of Dask, told when a worker is lost, and a cluster to run it on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from joblib._dask import DaskDistributedBackend

from galenic.work.answers import SECONDS, silence

WAIT = 60.0
"""For a first worker."""
KEEP_MEMORY = {"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None}
"""Dask's workers otherwise give each freed array back to the system at once: a fit took 1.4 times as long."""


class WorkerLostError(RuntimeError):
    """A worker is gone, and with it what others needed."""


class OnDask(DaskDistributedBackend):
    """joblib's own, which waits for ever for a job whose worker died; here the job fails."""

    def effective_n_jobs(self, n_jobs: int) -> int:
        """All workers; one alone counts as two, or joblib would take the jobs to this process."""
        return max(int(super().effective_n_jobs(n_jobs)), 2)

    def submit(self, func: Any, callback: Callable[[Any], None] | None = None) -> Any:
        """Give out a batch of jobs."""
        future = super().submit(func, callback)

        def done(one: Any) -> None:
            error = one.exception()
            if error is not None and callback is not None:
                callback(error)

        future.add_done_callback(done)
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        """Results, or what became of them."""
        if isinstance(out, Exception):
            raise out
        if isinstance(out, BaseException):  # asyncio's own sign that data were lost with a worker
            raise WorkerLostError(f"the data of the jobs were lost with a worker ({out!r})") from None
        return super().retrieve_result_callback(out)

    @classmethod
    def like(cls, engine: DaskDistributedBackend) -> OnDask:
        """The same cluster."""
        return cls(
            client=engine.client, wait_for_workers_timeout=engine.wait_for_workers_timeout, **engine.submit_kwargs
        )


@contextmanager
def opened(address: str | None, n_workers: int | None) -> Iterator[OnDask]:
    """The backend of a cluster at ``address``, or of one of this machine's processes for as long as the block runs."""
    import dask.config
    from distributed import Client, LocalCluster

    with ExitStack() as open_, _quiet():
        if address is None:
            with dask.config.set(KEEP_MEMORY):
                cluster = open_.enter_context(
                    LocalCluster(
                        n_workers=n_workers, threads_per_worker=1, processes=True, host="127.0.0.1",
                        dashboard_address=None, silence_logs=logging.CRITICAL,
                    )
                )  # fmt: skip
            client = open_.enter_context(Client(cluster))
        else:
            client = open_.enter_context(_connected(Client, address))
            _require_workers(client, address)
        yield OnDask(client=client, wait_for_workers_timeout=WAIT)


def _connected(client: Any, address: str) -> Any:
    if "://" not in address and not Path(address).is_file():
        raise ValueError(
            "a scheduler of Dask is expected as tcp://HOST:PORT or as the scheduler file that 'dask scheduler "
            f"--scheduler-file' writes; {address} is neither. Copy the line that the scheduler prints."
        )
    where = {"address": address} if "://" in address else {"scheduler_file": address}
    why = silence(address.removeprefix("tcp://")) if address.startswith("tcp://") else None
    try:
        if why is not None:
            raise OSError(why)
        return client(**where, timeout=SECONDS)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"a scheduler of Dask should answer at its address, tcp://HOST:PORT; nothing does at {address} "
            f"({str(error).partition(chr(10))[0] or type(error).__name__}). Start it there: dask scheduler."
        ) from error


def _require_workers(client: Any, address: str) -> None:
    import warnings

    try:
        client.wait_for_workers(1, timeout=WAIT)
    except TimeoutError as error:
        raise ValueError(
            f"the cluster at {address} should have workers; none came within {WAIT:.0f} seconds. Start some: dask "
            f"worker {address} --nworkers 4 --nthreads 1."
        ) from error
    threads = max(client.nthreads().values())
    if threads > 1:
        warnings.warn(
            f"a worker of Dask should have one thread, since one job at a time runs in each; one at {address} has "
            f"{threads}, of which all but one wait. Start it with --nworkers {threads} --nthreads 1.",
            stacklevel=4,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """What Dask logs of lost workers is told by us, with the name of the job."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
