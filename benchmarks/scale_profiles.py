"""Profiles of the size of L1000 (1.67 million x 978) in bounded memory: learned from, embedded, indexed and searched.

    python benchmarks/scale_profiles.py --out runs/scale_profiles [--profiles 1670000] [--members 1] [--gigabytes 4]

Profiles are simulated (programmes of genes, perturbagens of 33 replicates, plates, noise) and written as a store of
half precision, a block at a time. Each step runs in a process of its own that may hold no more anonymous memory than
--gigabytes (RLIMIT_DATA: one that asks for more fails). "MB held" is the most anonymous memory at any time, sampled
every 20 ms; "MB in all" counts the pages of mapped files too, which the system takes back when it needs them. The
folder is removed at the end, but for --keep.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd

GENES, PROGRAMMES, REPLICATES, PLATE = 978, 64, 33, 384
AT_A_TIME = 16_384
STEPS = ("write", "fit", "index", "search")
CELLS = ("A375", "A549", "HA1E", "HCC515", "HEPG2", "HT29", "MCF7", "PC3", "VCAP")


def written(out: Path, n: int) -> dict[str, float]:
    """Simulate ``n`` profiles and write them as a store."""
    from galenic.data.store import FORMAT, KIND, MATRIX, OBS, RECORD, VAR

    rng = np.random.default_rng(0)
    n_perturbagens = max(2, n // REPLICATES)
    programmes = rng.normal(size=(PROGRAMMES, GENES)).astype(np.float32)
    effects = rng.normal(size=(n_perturbagens, PROGRAMMES)) * rng.gamma(1, size=(n_perturbagens, 1))
    effects = effects.astype(np.float32)
    own, cell = rng.integers(n_perturbagens, size=n), rng.integers(len(CELLS), size=n)
    store = out / "store"
    store.mkdir(parents=True)
    matrix = np.lib.format.open_memmap(store / MATRIX, mode="w+", dtype=np.float16, shape=(n, GENES))
    for start in range(0, n, AT_A_TIME):
        block = slice(start, min(start + AT_A_TIME, n))
        part = np.random.default_rng([1, start]).standard_normal((block.stop - start, GENES), dtype=np.float32)
        part += effects[own[block]] @ programmes / np.float32(8)
        plates = np.arange(block.start, block.stop) // PLATE
        moved = np.random.default_rng([2, start]).standard_normal((plates[-1] - plates[0] + 1, GENES), dtype=np.float32)
        matrix[block] = part + moved[plates - plates[0]] / 2
    matrix.flush()
    obs = pd.DataFrame(
        {
            "id": [f"PLATE{number // PLATE:05d}:{number % PLATE:03d}:{number:07d}" for number in range(n)],
            "pert_id": pd.Categorical.from_codes(own, [f"BRD-K{number:08d}" for number in range(n_perturbagens)]),
            "pert_type": pd.Categorical(["trt_cp"] * n),
            "cell": pd.Categorical.from_codes(cell, list(CELLS)),
            "dose": rng.choice([0.1, 1.0, 10.0], size=n),
            "time": rng.choice([6, 24], size=n),
            "plate": pd.Series(np.arange(n) // PLATE).map("PLATE{:05d}".format),
        }
    )
    obs.astype({name: "object" for name in ("pert_id", "pert_type", "cell")}).to_parquet(store / OBS, index=False)
    pd.DataFrame({"id": [str(number) for number in range(GENES)]}).to_parquet(store / VAR, index=False)
    with (store / MATRIX).open("rb") as stream:
        checksum = hashlib.file_digest(stream, "sha256").hexdigest()
    about = {"format": FORMAT, "kind": KIND, "shape": [n, GENES], "dtype": "float16", "sha256": checksum, "steps": []}
    (store / RECORD).write_text(json.dumps(about), encoding="utf-8")
    return {"GB of the store": (store / MATRIX).stat().st_size / 1e9}


def fitted(out: Path, members: int) -> dict[str, float]:
    """One epoch of ReadAcross."""
    from dataclasses import replace

    from galenic import ReadAcross
    from galenic.data.store import open_store

    adata = open_store(out / "store")
    model = ReadAcross(n_members=members)
    model = replace(model, training=replace(model.training, max_epochs=1))
    model.fit(adata).save(out / "model")
    return {"loss": float(model.history_["train_perturbagen"].iloc[-1])}


def indexed(out: Path) -> dict[str, float]:
    """Embed everything, and an index of it."""
    from galenic import load
    from galenic.data.store import open_store
    from galenic.search import SimilarityIndex

    adata, model = open_store(out / "store"), load(out / "model")
    began = time.perf_counter()
    vectors = model.embed(adata)
    spent = time.perf_counter() - began
    index = SimilarityIndex(vectors, adata.obs, offsets=model.offsets(vectors))
    index.save(out / "index")
    return {"profiles embedded a second": len(vectors) / spent}


def searched(out: Path, n: int = 100) -> dict[str, float]:
    """Search for some of the profiles among all, the index left on disk."""
    from galenic.search import SimilarityIndex

    index = SimilarityIndex.load(out / "index", memory_map=True)
    rows = np.random.default_rng(3).choice(len(index), n, replace=False)
    began = time.perf_counter()
    hits = index.search(index.vectors[rows], k=50)
    spent = time.perf_counter() - began
    own = index.table["pert_id"].to_numpy()[rows]
    found = hits["pert_id"].to_numpy().reshape(n, 50)[:, 1:] == own[:, None]
    chance = float((REPLICATES - 1) / len(index))
    return {"ms a query": 1000 * spent / n, "replicates among 49": float(found.mean()), "by chance": chance}


def memory() -> tuple[float, float]:
    """Anonymous memory and all memory of this process, MB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return tuple(int(lines[name].split()[0]) / 1024 for name in ("RssAnon", "VmRSS"))  # type: ignore[return-value]


class Watch(threading.Thread):
    """The most memory at any time."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most, self.done = (0.0, 0.0), threading.Event()

    def run(self) -> None:
        """Look until told to stop."""
        while not self.done.wait(0.02):
            self.most = tuple(max(pair) for pair in zip(self.most, memory(), strict=True))  # type: ignore[assignment]


def measured(step: str, args: argparse.Namespace) -> dict[str, float]:
    """One step under its limit, with its seconds and memory."""
    limit = int(args.gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    watch = Watch()
    watch.start()
    began = time.perf_counter()
    if step == "write":
        found = written(args.out, args.profiles)
    else:
        import torch

        torch.set_num_threads(args.threads)
        found = {"fit": lambda: fitted(args.out, args.members), "index": lambda: indexed(args.out),
                 "search": lambda: searched(args.out)}[step]()  # fmt: skip
    spent = time.perf_counter() - began
    watch.done.set()
    watch.join()
    return {"seconds": spent, "MB held": watch.most[0], "MB in all": watch.most[1], **found}


def main() -> None:
    """Run every step in a process of its own and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--profiles", type=int, default=1_670_000)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--step", choices=STEPS)
    args = parser.parse_args()
    if args.step:
        print(json.dumps(measured(args.step, args)))
        return
    if args.out.exists():
        raise SystemExit(f"--out should be a new folder; {args.out} is there. Name another, or remove it.")
    try:
        for step in STEPS:
            again = subprocess.run(
                [sys.executable, *sys.argv, "--step", step], check=False, capture_output=True, text=True
            )
            if again.returncode:
                raise SystemExit(f"{step}: {again.stderr}")
            found = json.loads(again.stdout.splitlines()[-1])
            shown = ", ".join(f"{name} {value:,.4g}" for name, value in found.items())
            print(f"{args.profiles:,} {step}: {shown}", flush=True)
    finally:
        if not args.keep:
            shutil.rmtree(args.out, ignore_errors=True)


if __name__ == "__main__":
    main()
