"""Eight independent fits with one worker and with two, on loky, Dask and Ray; and what each engine costs by itself.

    OMP_NUM_THREADS=1 python benchmarks/engines.py [--engines loky,dask,ray] [--fits 8] [--epochs 40] [--out DIR]

On a machine of two cores that does nothing else. A worker computes in one thread. "With one worker" is one process and
one thread, so that the speed-up says what a second worker brings. Ray's workers are new in every fan-out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ratios import Ratios

import galenic
from galenic.data.response import ResponseData
from galenic.data.simulate import screen
from galenic.train import Training
from galenic.work.engines import engine
from galenic.work.fan_out import fan_out, one_thread

EMPTY = 200
"""Jobs that do nothing, for the overhead of one."""
LARGE = (1000, 17_000)
"""A matrix of expression that all jobs share."""


def fit(data: ResponseData, epochs: int, seed: int) -> np.ndarray:
    """One network, from the beginning to its predictions."""
    model = galenic.KDRUG(n_members=1, seed=seed, training=Training(max_epochs=epochs, monitor="none"))
    return model.fit(data).predict(data)["prediction"].to_numpy()


def nothing(number: int) -> int:
    return number


def looked_at(matrix: np.ndarray, number: int) -> float:
    return float(matrix[number, 0])


def took(function: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = function()
    return time.perf_counter() - began, found


def measured(
    name: Any, data: ResponseData, n_fits: int, epochs: int, alone: float, expected: dict[str, Any], kept: Ratios
) -> None:
    """Print a line about one engine."""
    jobs = {f"fit {seed}": (data, epochs, seed) for seed in range(n_fits)}
    warm = {str(number): (number,) for number in range(4)}
    empty = {str(number): (number,) for number in range(EMPTY)}
    matrix = np.random.default_rng(0).normal(size=LARGE)
    begun = time.perf_counter()
    with engine(name, n_workers=2):
        dict(fan_out(nothing, warm, n_jobs=2))
        start = time.perf_counter() - begun
        together, found = took(lambda: dict(fan_out(fit, jobs, n_jobs=2)))
        again, _ = took(lambda: dict(fan_out(fit, jobs, n_jobs=2)))
        idle, _ = took(lambda: dict(fan_out(nothing, empty, n_jobs=2)))
        four, _ = took(lambda: dict(fan_out(nothing, warm, n_jobs=2)))
        large = {str(number): (matrix, number) for number in range(EMPTY)}
        shared, _ = took(lambda: dict(fan_out(looked_at, large, n_jobs=2)))
    same = all(np.array_equal(found[job], expected[job]) for job in jobs)
    kept.ratio(f"{n_fits} fits on 2 new workers of {name}", alone / together, against="1 worker", wall=True)
    if name != "ray":
        kept.ratio(f"{n_fits} fits on 2 workers of {name} that are there", alone / again, against="1 worker", wall=True)
    kept.say(
        f"{name}: started in {start:.1f} s; {n_fits} fits on 2 new workers, which import galenic "
        f"first, {together:.1f} s, speed-up {alone / together:.2f}; once more {again:.1f} s, speed-up "
        f"{alone / again:.2f}; a fan-out of 4 empty jobs {four:.2f} s, each further job "
        f"{1e3 * max(idle - four, 0) / (EMPTY - 4):.1f} ms; {EMPTY} jobs that share {matrix.nbytes / 1e6:,.0f} MB "
        f"{shared:.2f} s; results {'the same bit for bit' if same else 'DIFFER'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", default="loky,dask,ray")
    parser.add_argument("--fits", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--out", type=Path, help="folder of the results")
    given = parser.parse_args()
    kept = Ratios("engines")
    data = screen(n_cells=200, n_drugs=30, n_genes=500, seed=0)[0]
    jobs = {f"fit {seed}": (data, given.epochs, seed) for seed in range(given.fits)}
    with one_thread():
        fit(data, 1, 0)
        alone, expected = took(lambda: dict(fan_out(fit, jobs)))
    others = kept.busy.others()  # workers of clusters are not processes of this one
    kept.say(f"one after another: {given.fits} fits {alone:.1f} s, {alone / given.fits:.1f} s each")
    for name in given.engines.split(","):
        measured(name, data, given.fits, given.epochs, alone, expected, kept)
    kept.keep(given.out, others)


if __name__ == "__main__":
    main()
