"""Jobs that workers of every engine import."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np


def weighed(matrix: np.ndarray, weight: float, *others: object) -> tuple[float, bool]:
    """A number of a matrix that all jobs share, and whether this process could spoil it for the others."""
    return float((matrix * weight).sum()), bool(matrix.flags.writeable)


def noted(number: int, log: Path) -> dict[str, object]:
    """Writes down that it began, and takes a while."""
    with log.open("a") as stream:
        stream.write(f"{number}\n")
    time.sleep(0.15)
    return {"number": number, "drawn": np.random.default_rng(number).normal(size=3)}


def deadly(number: int, once: Path) -> int:
    """Number 2 ends its process the first time, number 5 every time; number 7 is refused."""
    first = not once.exists()
    if number == 5 or (number == 2 and first):
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 7:
        raise ValueError("seven is not expected. Leave it out.")
    return number * number


def main(backend: str, address: str, folder: str, log: str) -> None:
    """A sweep, for a test that ends it."""
    from galenic.work.engines import engine
    from galenic.work.fan_out import fan_out
    from galenic.work.kept import Kept

    with engine(backend, address or None):  # type: ignore[arg-type]
        dict(fan_out(noted, jobs(Path(log)), n_jobs=2, kept=Kept(folder, {"sweep": 1})))


def jobs(log: Path) -> dict[str, tuple[int, Path]]:
    """Jobs of the sweep by name."""
    return {f"job {number}": (number, log) for number in range(24)}


if __name__ == "__main__":
    main(*sys.argv[1:])
