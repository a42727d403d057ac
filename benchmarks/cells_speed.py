"""Memory and speed of the encoder of cells on every gene, beside a dense copy of the matrix.

python benchmarks/cells_speed.py
"""

from __future__ import annotations

import argparse
import resource
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from ratios import Ratios
from scipy import sparse

from galenic.models.scatd.encoder import ScATDEncoder
from galenic.train import Training

N_GENES = 19_264


def cells(n: int, density: float = 0.08) -> AnnData:
    """Counts of random genes, sparse from the beginning."""
    rng = np.random.default_rng(0)
    each = int(density * N_GENES)
    columns = np.stack([rng.choice(N_GENES, each, replace=False) for _ in range(n)])
    counts = rng.geometric(0.4, size=n * each).astype(np.float32)
    rows = np.arange(0, n * each + 1, each)
    X = sparse.csr_matrix((counts, np.sort(columns, axis=1).ravel().astype(np.int32), rows), shape=(n, N_GENES))
    return AnnData(X, var=pd.DataFrame(index=[f"GENE{number:05d}" for number in range(N_GENES)]))


def highest() -> float:
    """Largest memory of the process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def fitted(adata: AnnData, model: ScATDEncoder, what: str, kept: Ratios) -> tuple[ScATDEncoder, float]:
    """Fit for one epoch; say what it took beyond the matrix, and how many times as much a dense copy would take."""
    before = highest()
    tracemalloc.start()
    began = time.perf_counter()
    model.fit(adata)
    spent = time.perf_counter() - began
    arrays = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    whole = sum(parameter.numel() for parameter in model.net().parameters()) / 1e6
    dense = 4 * adata.n_obs * N_GENES / 1e6
    X = adata.X
    held = (X.data.nbytes + X.indices.nbytes + X.indptr.nbytes) / 1e6
    kept.say(
        f"{what} ({whole:.1f} million weights) on {adata.n_obs:,} cells x {N_GENES:,} genes, an epoch: {spent:.0f} s; "
        f"matrix {held:,.0f} MB sparse, {dense:,.0f} MB as a dense copy in float32; arrays {arrays:,.0f} MB beyond the "
        f"matrix, process {highest() - before:,.0f} MB more than before, networks included"
    )
    return model, dense / arrays


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=10_000, help="cells for the small network")
    parser.add_argument("--large", type=int, default=0, help="cells for the published network on genes")
    parser.add_argument("--out", type=Path, help="folder of the results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    kept, adata = Ratios("cells_speed"), cells(args.cells)
    one = Training(max_epochs=1, batch_size=128)
    model, times = fitted(adata, ScATDEncoder(n_genes=0, training=one), "small", kept)
    kept.ratio("an epoch on every gene", times, against="a dense copy of the cells (memory)")
    began = time.perf_counter()
    model.embed(adata[:5_000])
    kept.say(f"embedding 5,000 cells: {time.perf_counter() - began:.1f} s")
    if args.large:
        published = ScATDEncoder(preset="Dist_VAE", training=one, valid_share=0.0)
        fitted(cells(args.large), published, "Dist_VAE", kept)
    kept.keep(args.out)


if __name__ == "__main__":
    main()
