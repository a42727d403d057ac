"""One million cells scored from a backed h5ad file in bounded memory, beside loading the file whole.

    OMP_NUM_THREADS=1 python benchmarks/cells_scale.py --out runs/cells_scale [--cells 1000000]

Cells are simulated (2,000 genes, about 10 % of the counts not 0), written once and kept in --out. Each way of scoring
runs in a process of its own, one thread; its largest memory is that of the whole process, libraries included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from ratios import Ratios
from scipy import sparse

from galenic import ScATD, load
from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.train import Training

AT_A_TIME = 20_000


def written(path: Path, n: int) -> None:
    """Lines, a model of them, and ``n`` cells: thinned copies of simulated ones, a block at a time."""
    bulk, cells = bulk_and_cells(n_genes=2000, n_lines=200, n_cells=AT_A_TIME, n_drivers=60, dropout=0.5, depth=400)
    brief = Training(max_epochs=3, monitor="none")
    model = ScATD(training=brief, pretraining=brief).fit(bulk, response="ln_ic50", target=cells)
    model.save(path.parent / "model")
    base = sparse.csr_matrix(cells.layers["counts"])
    draft = path.with_suffix(".part")
    AnnData(base[:0], var=cells.var).write_h5ad(draft)
    with h5py.File(draft, "r+") as file:
        group = file["X"]
        parts = {"data": np.float32, "indices": np.int32}
        for name, kind in parts.items():
            del group[name]
            group.create_dataset(name, shape=(0,), maxshape=(None,), dtype=kind, chunks=(2**18,))
        starts = [0]
        for block in range(-(-n // AT_A_TIME)):
            size = min(AT_A_TIME, n - block * AT_A_TIME)
            part = base[:size].copy()
            part.data = np.random.default_rng(block).binomial(part.data.astype(np.int64), 0.9).astype(np.float32)
            part.eliminate_zeros()
            for name in parts:
                values = getattr(part, name)
                group[name].resize((starts[-1] + len(values),))
                group[name][starts[-1] :] = values
            starts += (starts[-1] + part.indptr[1:]).tolist()
        del group["indptr"]
        group["indptr"] = np.array(starts, dtype=np.int32)
        group.attrs["shape"] = (n, cells.n_vars)
    names = pd.DataFrame(index=[f"CELL{number:07d}" for number in range(n)])
    with h5py.File(draft, "r+") as file:
        del file["obs"]
        anndata.io.write_elem(file, "obs", names)
    draft.rename(path)


def scored(path: Path, backed: bool) -> dict[str, float]:
    """Score the cells; seconds, cells a second, and the largest memory in MB."""
    torch.set_num_threads(1)
    model = load(path.parent / "model")
    began = time.perf_counter()
    cells = anndata.read_h5ad(path, backed="r" if backed else None)
    table = model.predict(cells)
    spent = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"cells": len(table), "seconds": spent, "a second": len(table) / spent, "MB": memory,
            "two kinds": float(table.attrs["direction"]["two_kinds"])}  # fmt: skip


def main() -> None:
    """Write, score in processes of their own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--way", choices=["write", "backed", "whole"])
    parser.add_argument("--results", type=Path, help="folder of the results")
    args = parser.parse_args()
    path = args.out / f"cells_{args.cells}.h5ad"
    if args.way == "write":
        written(path, args.cells)
        return
    if args.way:
        print(json.dumps(scored(path, args.way == "backed")))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    again = [sys.executable, __file__, "--out", str(args.out), "--cells", str(args.cells), "--way"]
    # A process counts the memory of the one that started it as its own: this one must stay small.
    if not path.is_file():
        subprocess.run([*again, "write"], check=True)
    kept, memory = Ratios("cells_scale"), {}
    kept.say(f"file: {path.stat().st_size / 1e6:,.0f} MB")
    for way in ("backed", "whole"):
        found = json.loads(subprocess.run([*again, way], check=True, capture_output=True, text=True).stdout)
        kept.say(f"{way} { ({name: round(value, 1) for name, value in found.items()}) }")
        memory[way] = found["MB"]
    times = memory["whole"] / memory["backed"]
    kept.ratio("cells scored from a file in blocks", times, against="loading it whole (memory)")
    kept.keep(args.results)


if __name__ == "__main__":
    main()
