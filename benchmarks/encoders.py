"""Speed and memory of the foundation encoders, as ratios measured in one run, with random weights.

python benchmarks/encoders.py

The weights do not matter for seconds and bytes. Networks are smaller than the published ones where only a ratio is
asked; the bulk sample goes through layers of the published width.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from ratios import Ratios
from scipy import sparse

from galenic.foundation.geneformer_tokens import rank_tokens
from galenic.foundation.ragged import Ragged
from galenic.foundation.running import encode_cells
from galenic.foundation.scfoundation_fields import ScFoundationFields
from galenic.foundation.scfoundation_input import tokens
from galenic.foundation.scfoundation_network import ScFoundationEncoder, Shape

N_GENES, BLOCK, LOOPED = 20_000, 5_000, 512
BULK_GENES = 18_000


def seconds(work: Callable[[], object], repeats: int = 1) -> float:
    """Least seconds of a few repeats, of the processor, which others on the machine change least."""
    best = np.inf
    for _ in range(repeats):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return float(best)


def cells(rng: np.random.Generator, n: int, n_genes: int = N_GENES, median: int = 1_800) -> sparse.csr_matrix:
    """Counts of cells that express unlike numbers of genes, as those of droplets do."""
    lengths = np.clip(rng.lognormal(np.log(median), 0.5, n).astype(int), 50, n_genes // 2)
    indices = np.concatenate([np.sort(rng.choice(n_genes, length, replace=False)) for length in lengths])
    counts = 1.0 + rng.poisson(rng.gamma(0.4, 5.0, len(indices)))
    return sparse.csr_matrix((counts, indices, np.concatenate([[0], np.cumsum(lengths)])), shape=(n, n_genes))


def ranks_against_a_loop(rng: np.random.Generator, kept: Ratios) -> None:
    """Rank value encoding of 100,000 cells, in blocks; loops over cells are timed on some and scaled.

    The first loop does what the published program of the first series does: a dense block of genes x cells, then for
    each of its columns the non-zero genes, their order, their tokens. The second is the leanest that NumPy allows: a
    sparse row, its order, its tokens.
    """
    X, medians = cells(rng, BLOCK), rng.lognormal(1, 0.5, N_GENES)
    places = np.arange(2, N_GENES + 2)

    def as_published() -> None:
        block = np.ascontiguousarray(X[:LOOPED].toarray().T)
        values = block / block.sum(axis=0) * 10_000 / medians[:, None]
        for i in range(LOOPED):
            expressed = np.nonzero(values[:, i])[0]
            places[expressed][np.argsort(-values[expressed, i])][:2048]

    def leanest() -> None:
        for i in range(LOOPED):
            row = X[i]
            values = row.data / row.data.sum() * 10_000 / medians[row.indices]
            places[row.indices][np.argsort(-values)][:2048]

    def ours() -> None:
        rank_tokens(X, medians, places, max_tokens=2048)

    n, rounds = 100_000, range(5)
    taken = np.array([[seconds(ours) / BLOCK,
                       *(seconds(loop) / LOOPED for loop in (as_published, leanest))]
                      for _ in rounds]).min(axis=0) * n  # fmt: skip
    kept.say(
        f"Geneformer's tokens of {n:,} cells (median {np.median(np.diff(X.indptr)):,.0f} genes; {BLOCK:,} measured, "
        f"{LOOPED} in loops): {taken[0]:.1f} s of one core; the published loop over cells {taken[1]:.1f} s, the "
        f"leanest loop {taken[2]:.1f} s: {taken[1] / taken[0]:.1f} and {taken[2] / taken[0]:.1f} times"
    )
    kept.ratio("Geneformer's tokens", taken[1] / taken[0], against="the published loop over cells")
    kept.ratio("Geneformer's tokens", taken[2] / taken[0], against="the leanest loop over cells")


def values_against_a_loop(rng: np.random.Generator, kept: Ratios) -> None:
    """Values and places of scFoundation, against dense rows one by one, as the published script makes them."""
    X, fields = cells(rng, BLOCK, 19_264), ScFoundationFields(min_genes=0)

    def loop() -> None:
        for i in range(LOOPED):
            row = X[i].toarray().ravel()
            total = row.sum()
            values = torch.tensor([*np.log1p(row / total * 1e4).tolist(), 4.0, np.log10(total)])
            values[values > 0], torch.arange(19_266)[values > 0]

    n = 100_000
    fast, slow = seconds(lambda: tokens(X, fields), 3) * n / BLOCK, seconds(loop) * n / LOOPED
    kept.say(
        f"scFoundation's values of {n:,} cells: {fast:.1f} s; a loop over cells {slow:.0f} s (scaled from {LOOPED}): "
        f"{slow / fast:.0f} times"
    )
    kept.ratio("scFoundation's values", slow / fast, against="a loop over cells")


def lengths_against_padding(rng: np.random.Generator, kept: Ratios) -> None:
    """One encoder over cells of unlike length: sorted into batches, as they come, and padded to the longest of all."""
    torch.manual_seed(0)
    net = ScFoundationEncoder(Shape(96, 2, 4, 20, 1.0, N_GENES + 2)).eval()
    source = tokens(cells(rng, 128), ScFoundationFields(min_genes=0))
    longest, budget = int(source.lengths.max()), 16_384

    def padded(size: int, width: int | None) -> None:
        with torch.inference_mode():
            for start in range(0, len(source), size):
                fields, real = source.padded(np.arange(start, min(start + size, len(source))))
                more = 0 if width is None else width - real.shape[1]
                placed = {name: torch.from_numpy(np.pad(one, ((0, 0), (0, more)))) for name, one in fields.items()}
                net(placed, torch.from_numpy(np.pad(real, ((0, 0), (0, more)))))

    def sorted_() -> None:
        how = {"n_cells": len(source), "width": net.width, "max_tokens_in_batch": budget, "device": "cpu"}
        encode_cells(lambda start, stop: _part(source, start, stop), net, **how)

    n, size = len(source), max(1, budget // longest)
    fast, as_they_come, to_longest = (
        seconds(sorted_),
        seconds(lambda: padded(size, None)),
        seconds(lambda: padded(size, longest)),
    )
    kept.say(
        f"{n} cells of {source.lengths.min():,} to {longest:,} tokens (median {np.median(source.lengths):,.0f}), "
        f"at most {budget:,} at once: by length {n / fast:.1f} cells/s, as they come {n / as_they_come:.1f}, padded to "
        f"the longest {n / to_longest:.1f}: {to_longest / fast:.1f} times (as they come {as_they_come / fast:.1f})"
    )
    kept.ratio("cells of unlike length in batches by length", to_longest / fast, against="padded to the longest")
    kept.ratio("cells of unlike length in batches by length", as_they_come / fast, against="batches as they come")


def _part(source: Ragged, start: int, stop: int) -> Ragged:
    indptr = source.indptr[start : stop + 1]
    inside = slice(indptr[0], indptr[-1])
    return Ragged(indptr - indptr[0], {name: values[inside] for name, values in source.fields.items()})


def bulk_sample(layers: int, genes: int) -> dict[str, object]:
    """A sample through layers of the published width; what is held grows with neither layers nor genes squared."""
    net = ScFoundationEncoder(Shape(768, layers, 12, 100, 1.0, 19_266)).eval()
    fields = {"value": torch.rand(1, genes + 2), "gene": torch.arange(19_266 - genes - 2, 19_266)[None]}
    before, began = _held(), time.perf_counter()
    with torch.inference_mode():
        net(fields, torch.ones(1, genes + 2, dtype=torch.bool))
    spent, held = time.perf_counter() - began, _held(most=True) - before
    table = 12 * (genes + 2) ** 2 * 4 / 1e6
    said = (
        f"a bulk sample of {genes:,} genes through {layers} layers of 768: {spent:.0f} s, {held:,.0f} MB beyond the "
        f"{before:,.0f} MB of weights and libraries; one written-out table of attention would take {table:,.0f} MB: "
        f"{table / held:.0f} times"
    )
    return {"line": said, "times": table / held}


def _held(most: bool = False) -> float:
    """Memory in MB that this process holds now, or at most held so far."""
    wanted = "VmHWM:" if most else "VmRSS:"
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(wanted)) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bulk", type=int, metavar="GENES", help="only the bulk sample, in this process")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder of the results")
    asked = parser.parse_args()
    if asked.bulk:
        print(json.dumps(bulk_sample(asked.layers, asked.bulk)))
        return
    kept, rng = Ratios("encoders"), np.random.default_rng(0)
    ranks_against_a_loop(rng, kept)
    values_against_a_loop(rng, kept)
    lengths_against_padding(rng, kept)
    for genes in (BULK_GENES // 4, BULK_GENES):
        # In a process of its own, whose largest memory is that of the sample.
        command = [sys.executable, __file__, "--bulk", str(genes), "--layers", str(asked.layers)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        kept.say(found["line"])
        kept.ratio(f"a bulk sample of {genes:,} genes", found["times"], against="written-out attention (memory)")
    kept.keep(asked.out)


if __name__ == "__main__":
    main()
