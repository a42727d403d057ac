"""Seconds and memory by system and size, and the exponents with which they grow.

    OMP_NUM_THREADS=1 python benchmarks/scaling.py --out runs/speed
    OMP_NUM_THREADS=1 python benchmarks/scaling.py --quick

Every point is a simulated data set in a process of its own, one thread, few epochs of few networks: what is asked is
how cost grows, not how long a full fit takes. What is loaded or made at the first call is so before, on a small data
set. Memory is the largest beyond what the process holds once the data are there. Exponents are slopes of log cost on
log size (1: twice as many cost twice as much), of seconds of the processor, which others on the machine change least.
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import gc
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ratios import Busy, Ratios

SIZES = {"pairs": (5_000, 20_000, 80_000), "profiles": (1_000, 4_000, 16_000), "cells": (2_000, 8_000, 32_000)}
QUICK = {"pairs": (1_000, 2_000), "profiles": (480, 960), "cells": (500, 1_000)}
MEMBERS = 8
LEAST = {"seconds": 1e-3, "memory": 1.0}
"""Below this many seconds, or MB, nothing is told apart."""


@dataclass(frozen=True)
class System:
    """Data of a size, a model of few epochs, and what is asked of it when fitted."""

    unit: str
    data: Callable[[int], Any]
    model: Callable[[], Any]
    fit: Callable[[Any, Any], Any]
    predict: Callable[[Any, Any], Any]
    size: Callable[[Any], int]


def brief(model: Any, epochs: int = 3, **fields: Any) -> Any:
    """The model with so many epochs of each training it has, none stopped early."""
    own = {
        name: replace(getattr(model, name), max_epochs=epochs, patience=0)
        for name in ("training", "gene_training", "pretraining")
        if hasattr(model, name)
    }
    return replace(model, **own, **fields)


def kdrug() -> System:
    """Cells and drugs grow alike, so pairs grow as their product."""
    from galenic import KDRUG, simulate

    def data(size: int) -> Any:
        n_drugs = max(4, round((size / 12.5) ** 0.5))
        return simulate.screen(size // n_drugs, n_drugs, 500, missing=0.0)[0]

    return System("pairs", data, lambda: brief(KDRUG(n_members=2)), lambda m, d: m.fit(d),
                  lambda m, d: m.predict(d), len)  # fmt: skip


def readacross() -> System:
    from galenic import ReadAcross, simulate

    return System("profiles", lambda size: simulate.profiles(size // 8, 978, n_cells=8),
                  lambda: brief(ReadAcross(n_members=1)), lambda m, d: m.fit(d), lambda m, d: m.embed(d),
                  lambda d: d.n_obs)  # fmt: skip


def deeppert() -> System:
    from galenic import DeepPert, simulate

    def model() -> Any:
        return brief(DeepPert(sizes=(10, 25), runs=2, shared=0.0))  # so few epochs share no latents

    return System("profiles", lambda size: simulate.programmes(-(-size // 12), 978, n_programmes=20), model,
                  lambda m, d: m.fit(d), lambda m, d: m.embed(d), lambda d: d.n_obs)  # fmt: skip


def xtransfer() -> System:
    """Pairs of single cells; answers are for every condition, as many at every size."""
    from galenic import XTransferCDR, simulate

    def data(size: int) -> Any:
        return simulate.perturbations(4, 19, 1_000, size // 80)

    def ask(model: Any, adata: Any) -> Any:
        wanted = adata.obs[["cell_type", "perturbation"]].drop_duplicates().rename(columns={"cell_type": "context"})
        return model.predict(adata, wanted[wanted["perturbation"] != "control"].reset_index(drop=True))

    return System("cells", data, lambda: brief(XTransferCDR(n_networks=1, level="cells")), lambda m, d: m.fit(d), ask,
                  lambda d: d.n_obs)  # fmt: skip


def single_cells(size: int) -> Any:
    """Two hundred lines, and so many cells."""
    from galenic.data.simulate.single_cell import bulk_and_cells

    return bulk_and_cells(n_genes=1_000, n_lines=200, n_cells=size, n_drivers=40)


def scatd() -> System:
    """Lines and cells are learned from; the cells are scored."""
    from galenic import ScATD

    return System("cells", single_cells, lambda: brief(ScATD()),
                  lambda m, d: m.fit(d[0], response="ln_ic50", target=d[1]), lambda m, d: m.predict(d[1]),
                  lambda d: d[1].n_obs)  # fmt: skip


def encoder() -> System:
    from galenic import ScATDEncoder

    return System("cells", lambda size: single_cells(size)[1], lambda: brief(ScATDEncoder()), lambda m, d: m.fit(d),
                  lambda m, d: m.embed(d), lambda d: d.n_obs)  # fmt: skip


SYSTEMS = {"KDRUG": kdrug, "ReadAcross": readacross, "DeepPert": deeppert, "XTransferCDR": xtransfer, "ScATD": scatd,
           "ScATDEncoder": encoder}  # fmt: skip


def held(name: str) -> float:
    """A line of memory of this process, MB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(lines[name].split()[0]) / 1024


def spent(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What the work returns; its seconds, those of the processor, and the most memory beyond that held before, MB."""
    gc.collect()
    libc = ctypes.CDLL(ctypes.util.find_library("c"))
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)  # else what was freed would be used again unseen
    Path("/proc/self/clear_refs").write_text("5")  # the largest memory counts from here
    before, began, working = held("VmRSS"), time.perf_counter(), time.process_time()
    found = work()
    seconds, working = time.perf_counter() - began, time.process_time() - working
    return found, {"wall": seconds, "seconds": working, "memory": held("VmHWM") - before}


def point(system: System, size: int, least: int) -> dict[str, Any]:
    """One size: fit, then predict; before, the least size, if any."""
    if least:
        first = system.data(least)
        system.predict(system.fit(system.model(), first), first)
        del first
    data = system.data(size)
    fitted, fit = spent(lambda: system.fit(system.model(), data))
    _, predict = spent(lambda: system.predict(fitted, data))
    return {"size": system.size(data), "fit": fit, "predictions": predict}


def members(size: int, epochs: int, workers: int) -> dict[str, Any]:
    """Independent networks on so many workers, which have started before."""
    system = readacross()
    data = system.data(size)
    model = brief(system.model(), epochs, n_members=MEMBERS, shrinkage=1.0, reliability=0.5)
    brief(model, 1).fit(data[: 8 * 40], n_jobs=workers)
    began = time.perf_counter()
    model.fit(data, n_jobs=workers)
    return {"size": data.n_obs, "fit": time.perf_counter() - began}


def apart(*asked: object) -> dict[str, Any]:
    """A point in a process of its own, one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", __file__, "--point", *map(str, asked)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, asked))}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def slope(sizes: list[float], costs: list[float], least: float) -> float:
    """Exponent of growth, by least squares of logs."""
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(costs, least)), 1)[0])


def curves(kept: Ratios, sizes: dict[str, tuple[int, ...]], names: list[str]) -> None:
    """Every system at every size: a table, and the exponents."""
    rows, exponents = [], []
    for name in names:
        unit = SYSTEMS[name]().unit
        points = [apart(name, size, 0 if sizes is QUICK else min(QUICK[unit])) for size in sizes[unit]]
        for one in points:
            fit, predict = one["fit"], one["predictions"]
            rows.append([name, f"{one['size']:,} {unit}", f"{fit['wall']:.2f}", f"{fit['seconds']:.2f}",
                         f"{fit['memory']:,.0f}", f"{predict['wall']:.2f}", f"{predict['seconds']:.2f}",
                         f"{predict['memory']:,.0f}"])  # fmt: skip
            print(" | ".join(rows[-1]), flush=True)
        found = []
        for step in ("fit", "predictions"):
            for what, least in LEAST.items():
                costs = [one[step][what] for one in points]
                found.append(slope([one["size"] for one in points], costs, least))
                kept.exponent(f"{name} over {unit}, {what} of {step}", found[-1])
        exponents.append([f"{name} over {unit}", *(f"{value:.2f}" for value in found)])
    header = [f"{step}, {what}" for step in ("fit", "predictions") for what in ("s", "s of a core", "MB")]
    kept.table("Time and memory by system", ["system", "size", *header], rows)
    header = [f"{step}, {what}" for step in ("fit", "predictions") for what in LEAST]
    kept.table("Exponents of growth", ["system", *header], exponents)


def workers(kept: Ratios, size: int, epochs: int) -> None:
    """The same networks on one worker and on two."""
    what, busy = f"{MEMBERS} networks of ReadAcross", Busy()
    one, two = (apart("members", size, epochs, n)["fit"] for n in (1, 2))
    kept.say(f"{what} on {size:,} profiles, {epochs} epochs: 1 worker {one:.1f} s, 2 workers {two:.1f} s: "
             f"{one / two:.2f} times")  # fmt: skip
    others = busy.others() or 0.0
    if others > 0.2:
        kept.say(
            f"  others were busy with {others:.1f} cores beside, so that two workers found less than two: no ratio"
        )
    else:
        kept.ratio(f"{what} on 2 workers", one / two, against="1 worker", wall=True)


def main() -> None:
    """Measure every point apart, and say how cost grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of the results")
    parser.add_argument("--quick", action="store_true", help="sizes that show only that it runs")
    parser.add_argument("--only", nargs="*", choices=[*SYSTEMS], default=[*SYSTEMS])
    parser.add_argument("--point", nargs="*", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.point:
        import torch

        torch.set_num_threads(1)
        warnings.simplefilter("ignore")
        name, *numbers = args.point[0], *map(int, args.point[1:])
        found = members(*numbers) if name == "members" else point(SYSTEMS[name](), *numbers)
        print(json.dumps(found))
        return
    kept = Ratios("scaling")
    curves(kept, QUICK if args.quick else SIZES, args.only)
    workers(kept, *((480, 2) if args.quick else (4_000, 10)))
    kept.keep(args.out)


if __name__ == "__main__":
    main()
