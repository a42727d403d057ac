"""Speed and memory of transfer between contexts, as ratios measured in one run.

python benchmarks/perturbation_speed.py
"""

from __future__ import annotations

import argparse
import resource
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from ratios import Ratios

import galenic
from galenic.data.condition_pairs import pair_index
from galenic.data.perturbation import perturbation_columns
from galenic.evaluate import perturbation
from galenic.models.xtransfer.network import Towers
from galenic.models.xtransfer.pairs import Pairs, Profiles, Scale

N_GENES, BATCH = 2_000, 512


def seconds(work: Callable[[], object], repeats: int = 3, clock: Callable[[], float] = time.process_time) -> float:
    """Least seconds of a few repeats: of the processor, which others change least, unless another clock is given."""
    best = np.inf
    for _ in range(repeats):
        began = clock()
        work()
        best = min(best, clock() - began)
    return float(best)


def cells(n_cells: int, n_contexts: int = 3, n_perturbations: int = 150) -> AnnData:
    """Random cells of several contexts under many perturbations, a tenth of them controls."""
    rng = np.random.default_rng(0)
    names = np.where(rng.random(n_cells) < 0.1, "control", rng.integers(n_perturbations, size=n_cells).astype(str))
    obs = pd.DataFrame({"cell_type": rng.integers(n_contexts, size=n_cells).astype(str), "perturbation": names})
    X = rng.random((n_cells, N_GENES), dtype=np.float32)
    return AnnData(X, obs=obs.set_axis(obs.index.astype(str), axis=0))


def feeding(adata: AnnData, kept: Ratios) -> None:
    """Drawing and gathering pairs by row number, against rows of data frames (as the published loader reads them)."""
    columns = perturbation_columns(adata)
    index = pair_index(columns, "drug")
    scale = Scale(np.zeros(1), 1.0)
    profiles = Profiles(np.asarray(adata.X), np.zeros(adata.n_obs, dtype=int), None, None, scale)
    pairs = Pairs(profiles, index, None, batch_size=BATCH, n_batches=4)
    by_index = seconds(lambda: sum(1 for _ in pairs.epoch())) / (4 * BATCH)

    drawn = index.draw(np.random.default_rng(0), 64)
    sides = ("left", "right", "control_left", "control_right")
    frames = {side: pd.concat([adata.obs.iloc[drawn[side]].reset_index(drop=True),
                               pd.DataFrame(adata.X[drawn[side]])], axis=1) for side in sides}  # fmt: skip

    def row(side: str, number: int) -> torch.Tensor:
        return torch.tensor(frames[side].iloc[number].drop(["cell_type", "perturbation"]).to_list())

    by_row = seconds(lambda: [[row(side, number) for side in sides] for number in range(64)]) / 64
    kept.say(
        f"feeding a pair (4 rows x {N_GENES:,} genes): by row number {by_index * 1e6:,.0f} us, rows of data frames "
        f"{by_row * 1e6:,.0f} us: {by_row / by_index:,.0f} times"
    )
    kept.ratio("feeding a pair of cells by row number", by_row / by_index, against="rows of data frames")


def decoding(kept: Ratios) -> None:
    """All codes of a batch through the decoder at once, against one call for each of the six."""
    towers = Towers(N_GENES, norm="layer", noise=0.0).eval()
    codes = [torch.rand(48, 128) for _ in range(6)]
    with torch.no_grad():
        at_once = seconds(lambda: towers.decoder(torch.cat(codes)), 5)
        apart = seconds(lambda: [towers.decoder(code) for code in codes], 5)
        same = max(
            float((one - other).abs().max())
            for one, other in zip(towers.decoder(torch.cat(codes)).split(48), map(towers.decoder, codes), strict=True)
        )
    kept.say(
        f"decoding six times 48 codes: at once {at_once * 1e3:.1f} ms, six calls {apart * 1e3:.1f} ms: "
        f"{apart / at_once:.2f} times; largest difference {same:.0e}"
    )
    kept.ratio("decoding all codes of a pair at once", apart / at_once, against="six calls")


def evaluating(kept: Ratios, n: int = 1_000) -> None:
    """All scores of a thousand conditions."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"context": np.arange(n) % 5, "perturbation": np.arange(n)}).astype(str)
    truth, prediction = rng.random((2, n, N_GENES))
    control = rng.random(N_GENES)
    spent = seconds(lambda: perturbation(table, truth, prediction, control), 1)
    kept.say(f"all scores of {n:,} conditions x {N_GENES:,} genes: {spent:.1f} s")


def fitting(n_cells: int, kept: Ratios) -> None:
    """Memory of a fit and of predictions beyond the matrix."""
    adata = cells(n_cells)
    size = adata.X.nbytes / 1e6
    model = galenic.XTransferCDR(
        n_networks=1,
        training=galenic.Training(max_epochs=1, monitor="held_out", batch_size=256),
        gene_training=galenic.Training(max_epochs=1, monitor="error", batch_size=4096),
        level="cells",
    )
    tracemalloc.start()
    began = time.perf_counter()
    model.fit(adata)
    spent = time.perf_counter() - began
    arrays = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    whole = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    kept.say(
        f"fit on {n_cells:,} cells x {N_GENES:,} genes ({size:,.0f} MB), pairs of cells, an epoch of each network: "
        f"{spent:.0f} s, arrays {arrays:,.0f} MB beyond the matrix; whole process at most {whole:,.0f} MB"
    )


def main() -> None:
    """Print one line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=120_000)
    parser.add_argument("--out", type=Path, help="folder of the results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kept = Ratios("perturbation_speed")
    feeding(cells(20_000), kept)
    decoding(kept)
    evaluating(kept)
    fitting(arguments.cells, kept)
    kept.keep(arguments.out)


if __name__ == "__main__":
    main()
