"""What all jobs share, sent to each worker once, however many jobs it does."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

LARGE = 1 << 20
"""Bytes from which the memory of an array is not copied: joblib then lays it where all processes of a machine read it,
and Dask and Ray keep it once a process or machine."""
ALIGNED = 16
"""Bytes; numpy computes on other addresses by copies."""


class Parcel:
    """A value taken apart: large arrays as they lie in memory, and everything else as bytes.

    Parameters
    ----------
    value
        Anything that can be pickled; functions and classes of the main program too.

    Examples
    --------
    >>> parcel = Parcel({"genes": ["A"], "matrix": np.ones((400, 400))})
    >>> len(parcel.arrays), len(parcel.rest) < 1000
    (1, True)
    >>> parcel.open()["matrix"].sum()
    np.float64(160000.0)
    """

    def __init__(self, value: Any) -> None:
        self.arrays: list[np.ndarray] = []
        rest = _cloudpickle().dumps(value, protocol=5, buffer_callback=self._is_small)
        # As an array, so that what is large in it (weights of torch) is not sent again and again either.
        self.rest = np.frombuffer(rest, np.uint8)

    def open(self) -> Any:
        """The value again, new for each call; its large arrays can be read only and are those of the parcel."""
        # Once for all jobs of a process: Dask lays arrays anywhere.
        self.arrays = [one if one.ctypes.data % ALIGNED == 0 else one.copy() for one in self.arrays]
        return pickle.loads(self.rest.data, buffers=[one.data.toreadonly() for one in self.arrays])  # noqa: S301

    def _is_small(self, buffer: pickle.PickleBuffer) -> bool:
        array = np.frombuffer(buffer.raw(), np.uint8)
        if array.nbytes < LARGE:
            return True
        self.arrays.append(array)
        return False

    def __sizeof__(self) -> int:
        # Dask asks how much it is to move; joblib has it moved once if it is much.
        return object.__sizeof__(self) + len(self.rest) + sum(map(len, self.arrays)) + LARGE


def packed(value: Any) -> bytes:
    """A result on its way back: Ray and Dask would give arrays that cannot be written to, loky others."""
    found: bytes = _cloudpickle().dumps(value, protocol=5)
    return found


def unpacked(value: bytes) -> Any:
    """The result again."""
    return pickle.loads(value)  # noqa: S301  from our own worker


def _cloudpickle() -> Any:
    try:
        return import_module("cloudpickle")
    except ImportError:
        return import_module("joblib.externals.cloudpickle")  # joblib once brought its own


@dataclass(frozen=True)
class Shared:
    """The function and the arguments that are the same object in every job, by their place."""

    function: Callable[..., Any]
    places: dict[int, Any]

    @classmethod
    def of(cls, function: Callable[..., Any], jobs: Mapping[str, tuple[Any, ...]]) -> Shared:
        """What all jobs have in common."""
        first, *others = jobs.values()
        n = min(map(len, jobs.values()))
        return cls(
            function, {place: first[place] for place in range(n) if all(one[place] is first[place] for one in others)}
        )

    def rest(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments of a job without those that all have."""
        return tuple(one for place, one in enumerate(arguments) if place not in self.places)

    def call(self, rest: tuple[Any, ...]) -> Any:
        """What the function gives for a job."""
        own = iter(rest)
        n = len(rest) + len(self.places)
        return self.function(*[self.places[place] if place in self.places else next(own) for place in range(n)])


def sent(value: Any, engine: Any) -> Any:
    """What is given to every job of a backend of joblib in place of a value that all share; :func:`opened` there."""
    if getattr(engine, "supports_sharedmem", False):
        return value
    parcel = Parcel(value)
    return engine.sent(parcel) if hasattr(engine, "sent") else parcel


def opened(sent: Any) -> Any:
    """What arrived in a worker: a value, a parcel, or the address of one in Ray's memory."""
    if isinstance(sent, Parcel):
        return sent.open()
    ray = sys.modules.get("ray")
    if ray is not None and isinstance(sent, ray.ObjectRef):
        return ray.get(sent).open()
    return sent
