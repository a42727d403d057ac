"""Speed and memory of retrieval scores and of search, as ratios measured in one run.

OMP_NUM_THREADS=1 python benchmarks/search_speed.py --copairs-python OTHER/bin/python

copairs is measured in this interpreter where it is installed, otherwise by the one that --copairs-python names.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from ratios import Ratios

from galenic.data.convert import convert
from galenic.evaluate import map_significance, retrieval, retrieval_by_query
from galenic.search import RankedProfiles, SimilarityIndex, gene_sets, wtcs

N_PROFILES, N_PER_DRUG, N_GENES = 2_000, 4, 978
N_PERMUTATIONS = 10_000

COPAIRS = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np, pandas as pd
from copairs.map import average_precision, mean_average_precision
file = np.load(sys.argv[1])
table = pd.DataFrame({"drug": file["drug"]})
def spent(work):
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result
ap = lambda: average_precision(table, file["X"], ["drug"], [], [], ["drug"], progress_bar=False)
both = [spent(ap) for _ in range(2)]
null, found = spent(lambda: mean_average_precision(both[0][1], ["drug"], int(sys.argv[2]), 0.05, 0, progress_bar=False,
                                                   cache_dir=sys.argv[3]))
print(json.dumps({"ap": min(one[0] for one in both), "null": null, "map": both[0][1]["average_precision"].mean(),
                  "p": found["p_value"].median()}))
"""


def seconds(work: Callable[[], object], repeats: int = 3, clock: Callable[[], float] = time.process_time) -> float:
    """Least seconds of a few repeats: of the processor, which others change least, unless another clock is given."""
    best = np.inf
    for _ in range(repeats):
        began = clock()
        work()
        best = min(best, clock() - began)
    return float(best)


def peak(work: Callable[[], object]) -> float:
    """Largest memory in MB that arrays and objects take while it works, beyond what was there before."""
    tracemalloc.start()
    work()
    largest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return largest / 1e6


def precision_against_copairs(python: str | None, rng: np.random.Generator, kept: Ratios) -> None:
    """Quantiles, recall, AUROC and average precision of 2,000 profiles, against copairs' average precision alone.

    On the wall, as copairs computes in several threads.
    """
    drug = np.repeat(np.arange(N_PROFILES // N_PER_DRUG), N_PER_DRUG)
    X = (0.3 * rng.normal(size=(drug.max() + 1, N_GENES))[drug] + rng.normal(size=(len(drug), N_GENES))).astype("f4")
    table = pd.DataFrame({"drug": drug})
    every = seconds(lambda: retrieval(table, X, same=["drug"]), clock=time.perf_counter)
    queries = retrieval_by_query(table, X, same=["drug"])
    memory = peak(lambda: retrieval(table, X, same=["drug"]))
    null = seconds(
        lambda: map_significance(queries, ["drug"], n_permutations=N_PERMUTATIONS), 1, clock=time.perf_counter
    )
    what = f"{N_PROFILES:,} profiles x {N_GENES}"
    kept.say(f"{what}: all retrieval scores {every:.3f} s; p-values of the mAP {null:.2f} s")
    if python is None and importlib.util.find_spec("copairs") is not None:
        python = sys.executable
    if python is None:
        kept.say("copairs is not installed here; name an interpreter that has it with --copairs-python")
        return
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "profiles.npz"
        np.savez(file, X=X, drug=drug)
        command = [python, "-c", COPAIRS, str(file), str(N_PERMUTATIONS), place]
        theirs = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    kept.say(
        f"  copairs: average precision alone {theirs['ap']:.2f} s, {theirs['ap'] / every:.0f} times; p-values "
        f"{theirs['null']:.2f} s, {theirs['null'] / null:.0f} times; mAP {theirs['map']:.4f} and "
        f"{queries['ap'].mean():.4f}; largest memory here {memory:.0f} MB"
    )
    kept.ratio("all retrieval scores", theirs["ap"] / every, against="average precision alone by copairs", wall=True)
    kept.ratio("p-values of the mAP", theirs["null"] / null, against="copairs", wall=True)


def many_profiles(rng: np.random.Generator, kept: Ratios) -> None:
    """Sorting against histograms."""
    n = 24_000
    table, X = pd.DataFrame({"drug": np.arange(n) // 12}), rng.normal(size=(n, 32)).astype(np.float32)
    for exact in (True, False):
        spent = seconds(lambda: retrieval(table, X, same=["drug"], exact=exact), 1)  # noqa: B023
        memory = peak(lambda: retrieval(table[:6_000], X[:6_000], same=["drug"], exact=exact))  # noqa: B023
        how = "sorted" if exact else "histograms"
        kept.say(f"{n:,} x 32, all retrieval scores, {how}: {spent:.1f} s; {memory:.0f} MB (6,000 profiles)")


def connectivity_against_loop(rng: np.random.Generator, kept: Ratios) -> None:
    """WTCS of one query against 100,000 profiles; the loop is timed on 2,000 of them and scaled."""
    n, looped = 100_000, 2_000
    profiles = rng.normal(size=(n, N_GENES)).astype(np.float32)
    up, down = (list(sets) for sets in gene_sets(rng.normal(size=(1, N_GENES))))
    began = time.perf_counter()
    reference = RankedProfiles.of(profiles)
    ranking = time.perf_counter() - began

    def loop() -> None:
        for z in profiles[:looped]:
            order = np.argsort(-z, kind="stable")
            for genes in (up[0], down[0]):
                inside = np.isin(order, genes)
                rise = np.where(inside, np.abs(z[order]), 0)
                running = np.cumsum(rise / rise.sum() - ~inside / (N_GENES - len(genes)))
                running[np.abs(running).argmax()]

    fast, slow = seconds(lambda: wtcs(reference, up, down)), seconds(loop, 1) * n / looped
    memory = peak(lambda: wtcs(reference, up, down))
    kept.say(
        f"WTCS, {n:,} x {N_GENES}, 50 + 50 genes: {fast:.3f} s a query, the loop {slow:.0f} s (scaled from "
        f"{looped:,}): {slow / fast:.0f} times; {memory:.0f} MB beyond ranks; ranking once {ranking:.1f} s"
    )
    kept.ratio("WTCS of a query", slow / fast, against="a loop over profiles")


def exact_search(rng: np.random.Generator, kept: Ratios) -> None:
    """Drugs of the whole resource, then its profiles."""
    for n in (44_693, 1_600_000):
        vectors = rng.normal(size=(n, 32)).astype(np.float32)
        index = SimilarityIndex(vectors, pd.DataFrame({"cell": rng.choice(list("abcd"), n)}, index=np.arange(n)))
        one, many = rng.normal(size=(1, 32)), rng.normal(size=(256, 32))
        mask = index.mask({"cell": "a"})
        alone, batch = seconds(lambda: index.nearest(one), 20), seconds(lambda: index.nearest(many), 2)  # noqa: B023
        filtered = seconds(lambda: index.nearest(one, where=mask), 5)  # noqa: B023
        table = seconds(lambda: index.search(one), 5)  # noqa: B023
        memory = peak(lambda: index.nearest(many))  # noqa: B023
        kept.say(
            f"search, {n:,} x 32: {1e3 * alone:.2f} ms a query ({1e3 * table:.1f} ms as a table, {1e3 * filtered:.1f} "
            f"ms with a filter), {1e3 * batch / 256:.2f} ms each in 256; {memory:.0f} MB beyond the index"
        )
        kept.ratio(f"search among {n:,}, 256 queries at once", 256 * alone / batch, against="one by one")


def landmarks_of_a_release(
    rng: np.random.Generator, kept: Ratios, n_profiles: int = 20_000, n_genes: int = 12_328
) -> None:
    """Convert a file with the landmarks in front, and one with them scattered, beside reading every gene."""
    with tempfile.TemporaryDirectory() as place:
        spent = {}
        for order in ("in front", "scattered"):
            path = Path(place) / f"{order}.gctx"
            landmark = np.arange(n_genes) < 978
            landmark = landmark if order == "in front" else rng.permutation(landmark)
            with h5py.File(path, "w") as file:
                shape = (n_profiles, n_genes)
                matrix = file.create_dataset("0/DATA/0/matrix", shape, np.float32, chunks=(262, 1000))
                for start in range(0, n_profiles, 2_000):
                    matrix[start : start + 2_000] = rng.random((2_000, n_genes), dtype=np.float32)
                file["0/META/ROW/id"] = np.arange(n_genes).astype("S")
                file["0/META/ROW/pr_is_lm"] = landmark.astype("i4")
                file["0/META/COL/id"] = np.arange(n_profiles).astype("S")
            folder = Path(place) / f"{order} store"
            convert(path, folder, resume=False)  # once to fill the cache of the disk
            spent[order] = seconds(lambda: (shutil.rmtree(folder), convert(path, folder)), 3, time.perf_counter)  # noqa: B023
            memory = peak(lambda: (shutil.rmtree(folder), convert(path, folder)))  # noqa: B023
            what = f"{n_profiles:,} x {n_genes:,} to a landmark store, {order}"
            kept.say(f"{what}: {spent[order]:.2f} s, {memory:.0f} MB")
        with h5py.File(Path(place) / "in front.gctx") as file:
            whole = seconds(lambda: file["0/DATA/0/matrix"][:], 2, time.perf_counter)
    front = spent["in front"]
    times = f"{whole / front:.1f} times as fast"
    kept.say(f"reading every gene takes {whole:.2f} s: landmarks in front and stored, {times}")
    kept.ratio("landmarks in front, read and stored", whole / front, against="reading every gene", wall=True)


def many_classes(kept: Ratios, n: int = 8_192, n_classes: int = 44_693, width: int = 32) -> None:
    """Loss and gradient of one batch over every perturbagen of the resource, in a process of its own."""
    code = (
        "import time, torch; from galenic.nn.angular import AngularLoss\n"
        # Of this program alone: what a process reports as its largest counts its parent too.
        "peak = lambda: int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])\n"
        f"loss = AngularLoss('arcface', torch.full(({n_classes},), 37), n_latent={width}, margin=0.2)\n"
        f"e = torch.nn.functional.normalize(torch.randn({n}, {width}), dim=1).requires_grad_()\n"
        "before = peak(); began = time.perf_counter()\n"
        f"loss(e, torch.randint(0, {n_classes}, ({n},))).backward()\n"
        "print(f'{time.perf_counter() - began:.1f} s, {(peak() - before) / 1e3:.0f} MB beyond the program')"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    kept.say(f"ArcFace, {n:,} profiles x {n_classes:,} classes, loss and gradient: {shown}")


def main() -> None:
    """Print one line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copairs-python", help="interpreter that has copairs")
    parser.add_argument("--out", type=Path, help="folder of the results")
    arguments = parser.parse_args()
    kept, rng = Ratios("search_speed"), np.random.default_rng(0)
    precision_against_copairs(arguments.copairs_python, rng, kept)
    exact_search(rng, kept)
    many_profiles(rng, kept)
    connectivity_against_loop(rng, kept)
    landmarks_of_a_release(rng, kept)
    many_classes(kept)
    kept.keep(arguments.out)


if __name__ == "__main__":
    main()
