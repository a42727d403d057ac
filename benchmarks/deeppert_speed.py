"""Speed of DeepPert: attribution of all latents at once, and an ensemble on many profiles, as ratios of one run.

python benchmarks/deeppert_speed.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch

import galenic
from galenic.explain.attribution import integrated_gradients
from galenic.models.deeppert.attribution import gene_weights

N_STEPS = 50


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one run."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def attribution(n_samples: int = 200, n_nodes: int = 25, few: int = 4) -> str:
    """Genes behind all latents of all samples, against one call through the network for each sample and latent."""
    rng = np.random.default_rng(0)
    widths = (150, 250, 100, n_nodes)
    layers = [
        ((rng.normal(size=(out, given)) / given**0.5).astype(np.float32), np.zeros(out, dtype=np.float32))
        for given, out in pairwise(widths)
    ]
    matrix = np.linalg.qr(rng.normal(size=(978, 150)))[0]
    deviations = rng.normal(size=(n_samples, 978))
    tensors = [(torch.from_numpy(weight), torch.from_numpy(bias)) for weight, bias in layers]
    projection = torch.from_numpy(matrix.astype(np.float32))
    x, zero = torch.from_numpy(deviations.astype(np.float32)), torch.zeros(1, 978)

    def latents(genes: torch.Tensor) -> torch.Tensor:
        (weight, bias), *rest = tensors
        hidden = genes @ projection @ weight.T + bias
        for weight, bias in rest:
            hidden = hidden.relu() @ weight.T + bias
        return hidden

    def one(sample: int, node: int) -> np.ndarray:
        rows = x[sample : sample + 1]
        return integrated_gradients(lambda genes: latents(genes)[:, node], [rows], [zero], n_steps=N_STEPS,
                                    rule="midpoint").contributions[0]  # fmt: skip

    calls = [(sample, node) for sample in range(few) for node in range(n_nodes)]
    one(0, 0)  # what is loaded at the first call
    at_once = min(
        seconds(lambda: gene_weights(layers, matrix, deviations, n_steps=N_STEPS, rule="midpoint")) for _ in range(3)
    )
    apart = seconds(lambda: [one(*call) for call in calls]) * n_samples / few
    mean = np.mean([np.abs(one(sample, 0)[0]) for sample in range(few)], axis=0)
    same = gene_weights(layers, matrix, deviations[:few], n_steps=N_STEPS, rule="midpoint").absolute[:, 0]
    return (
        f"genes behind {n_nodes} latents of {n_samples} samples, {N_STEPS} steps: at once {at_once:.2f} s, a call for "
        f"each sample and latent {apart:.1f} s (scaled from {few} samples): {apart / at_once:.0f} times; largest "
        f"difference {np.abs(mean - same).max():.0e}"
    )


def ensemble(n_profiles: int, n_jobs: int) -> str:
    """Three families, four sizes, five seeds."""
    adata = galenic.simulate.programmes(n_perturbagens=n_profiles // 12, n_genes=978, n_programmes=20, seed=0)
    model = galenic.DeepPert()
    spent = seconds(lambda: model.fit(adata, n_jobs=n_jobs))
    members = model.latents_[["family", "size", "run"]].drop_duplicates()
    return (
        f"{len(members)} members ({len(model.latents_):,} latents) on {adata.n_obs:,} x {adata.n_vars} profiles, "
        f"{n_jobs} worker(s): {spent:.0f} s with consensus and gene weights, {model.weights().shape[1]} dimensions"
    )


def main() -> None:
    """Print one line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profiles", type=int, default=15_000)
    parser.add_argument("--few", type=int, default=2_004)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(attribution(), flush=True)
    for n_jobs in (1, 2):
        print(ensemble(arguments.few, n_jobs), flush=True)
    print(ensemble(arguments.profiles, 2), flush=True)


if __name__ == "__main__":
    main()
