"""joblib's backend of Ray, giving results as they come and telling when a worker is lost, and Ray itself."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.util.joblib.ray_backend import RayBackend

from galenic.work.answers import silence


class OnRay(RayBackend):
    """Ray's own takes the death of a worker for a result, waits for ever for more workers than there are cores, and
    gives all results at the end; this one does not.
    """

    supports_return_generator = True

    def effective_n_jobs(self, n_jobs: int) -> int:
        """No more workers than the cluster has cores."""
        cores = max(int(ray.cluster_resources().get("CPU", 1)), 1)
        return min(int(super().effective_n_jobs(n_jobs)), cores)

    def retrieve_result_callback(self, out: Any) -> Any:
        """Results, or what became of them."""
        if isinstance(out, BaseException):
            raise getattr(out, "underlying", out)
        return super().retrieve_result_callback(out)

    @classmethod
    def like(cls, engine: RayBackend) -> OnRay:
        """The same, with the resources that were asked for each worker."""
        return cls(ray_remote_args=engine.ray_remote_args)

    def sent(self, parcel: Any) -> Any:
        """Where a value lies that all machines read."""
        return ray.put(parcel)


@contextmanager
def opened(address: str | None, n_workers: int | None) -> Iterator[OnRay]:
    """The backend of Ray at ``address``, or of this machine's cores for as long as the block runs."""
    if ray.is_initialized():  # the program has its own
        yield OnRay()
        return
    _require_answer(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    how: dict[str, Any] = {"logging_level": logging.CRITICAL, "log_to_driver": False}
    if address is None:
        how |= {"address": "local", "num_cpus": n_workers, "include_dashboard": False}
    else:
        how |= {"address": address}
    try:
        _begin(how)
        yield OnRay()
    finally:
        ray.shutdown()


def _begin(how: dict[str, Any]) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(**how)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"Ray should let this program in at {how['address']}; it did not ({str(error).partition(chr(10))[0]}). "
            "Start it there: ray start --head; where it asks for a token, set RAY_AUTH_MODE=token here too."
        ) from error


def _require_answer(address: str | None) -> None:
    """Ray itself would try for a minute, and then end the process."""
    if address is None or address == "auto":
        return
    why = silence(address.removeprefix("ray://"))
    if why is not None:
        raise ValueError(
            f"Ray should answer at its address, HOST:PORT; nothing does at {address} ({why}). Start it there: "
            "ray start --head --port 6379."
        )
