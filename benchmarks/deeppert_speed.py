"""Speed of DeepPert: attribution of all latents at once, an ensemble on many profiles, and one that is killed.

    python benchmarks/deeppert_speed.py
    python benchmarks/deeppert_speed.py --only killed

The last row fits in a process of its own, kills it (SIGKILL) once a third of the members are kept, and fits again with
the same folder; it does so on few profiles too, where the result is held against one that was never interrupted.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from ratios import Ratios

import galenic
from galenic.explain.attribution import integrated_gradients
from galenic.models.deeppert.attribution import gene_weights

N_STEPS = 50


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of one run, on the wall unless another clock is given."""
    began = clock()
    work()
    return clock() - began


def attribution(kept: Ratios, n_samples: int = 200, n_nodes: int = 25, few: int = 4) -> None:
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
        seconds(lambda: gene_weights(layers, matrix, deviations, n_steps=N_STEPS, rule="midpoint"), time.process_time)
        for _ in range(3)
    )
    apart = seconds(lambda: [one(*call) for call in calls], time.process_time) * n_samples / few
    mean = np.mean([np.abs(one(sample, 0)[0]) for sample in range(few)], axis=0)
    same = gene_weights(layers, matrix, deviations[:few], n_steps=N_STEPS, rule="midpoint").absolute[:, 0]
    kept.say(
        f"genes behind {n_nodes} latents of {n_samples} samples, {N_STEPS} steps: at once {at_once:.2f} s, a call for "
        f"each sample and latent {apart:.1f} s (scaled from {few} samples): {apart / at_once:.0f} times; largest "
        f"difference {np.abs(mean - same).max():.0e}"
    )
    kept.ratio("genes behind all latents at once", apart / at_once, against="a call for each sample and latent")


def ensemble(n_profiles: int, n_jobs: int, kept: Ratios) -> float:
    """Three families, four sizes, five seeds; seconds."""
    adata = galenic.simulate.programmes(n_perturbagens=n_profiles // 12, n_genes=978, n_programmes=20, seed=0)
    model = galenic.DeepPert()
    spent = seconds(lambda: model.fit(adata, n_jobs=n_jobs))
    members = model.latents_[["family", "size", "run"]].drop_duplicates()
    kept.say(
        f"{len(members)} members ({len(model.latents_):,} latents) on {adata.n_obs:,} x {adata.n_vars} profiles, "
        f"{n_jobs} worker(s): {spent:.0f} s with consensus and gene weights, {model.weights().shape[1]} dimensions"
    )
    return spent


def fitted(n_profiles: int, n_jobs: int, folder: Path | None) -> galenic.DeepPert:
    """The ensemble of :func:`ensemble`, whose members are kept in ``folder``."""
    adata = galenic.simulate.programmes(n_perturbagens=n_profiles // 12, n_genes=978, n_programmes=20, seed=0)
    return galenic.DeepPert().fit(adata, n_jobs=n_jobs, checkpoint=folder)


def _child(n_profiles: int, n_jobs: int, folder: Path) -> None:
    os.setsid()  # its workers are killed with it
    os.environ["JOBLIB_TEMP_FOLDER"] = str(folder.parent)  # what they share is removed with the folder
    torch.set_num_threads(1)
    fitted(n_profiles, n_jobs, folder)


def killed(n_profiles: int, n_jobs: int, *, compare: bool) -> str:
    """A fit that is killed once a third of its members are kept, and resumed; beside one that was not, if wanted."""
    third = 20
    with TemporaryDirectory() as place:
        folder = Path(place) / "members"
        child = multiprocessing.get_context("spawn").Process(target=_child, args=(n_profiles, n_jobs, folder))
        began = time.perf_counter()
        child.start()
        while child.is_alive() and len(list(folder.glob("*.npz"))) < third:
            time.sleep(0.02)
        os.killpg(child.pid or 0, signal.SIGKILL)
        child.join()
        before, kept = time.perf_counter() - began, sorted(folder.glob("*.npz"))
        written = {file.name: file.stat().st_mtime_ns for file in kept}
        again: list[galenic.DeepPert] = []
        after = seconds(lambda: again.append(fitted(n_profiles, n_jobs, folder)))
        reused = sum(file.stat().st_mtime_ns == written[file.name] for file in kept)
    n = len(again[0].spec_["members"])
    said = (
        f"{n} members on {n_profiles // 12 * 12:,} x 978 profiles, {n_jobs} worker(s), killed (exit {child.exitcode}) "
        f"after {before:.0f} s with {len(kept)} members kept: resumed in {after:.0f} s, {reused} taken as they were, "
        f"{again[0].weights().shape[1]} dimensions"
    )
    return f"{said}; {differing(again[0], fitted(n_profiles, n_jobs, None))}" if compare else said


def differing(one: galenic.DeepPert, other: galenic.DeepPert) -> str:
    """How many arrays of two models are the same bit for bit."""
    names = sorted(set(one.arrays_) | set(other.arrays_))
    same = sum(
        name in one.arrays_
        and name in other.arrays_
        and one.arrays_[name].dtype == other.arrays_[name].dtype
        and one.arrays_[name].tobytes() == other.arrays_[name].tobytes()
        for name in names
    )
    return f"{same:,} of {len(names):,} arrays are those of an uninterrupted fit bit for bit"


def main() -> None:
    """Print one line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profiles", type=int, default=15_000)
    parser.add_argument("--few", type=int, default=2_004)
    parser.add_argument("--only", choices=("killed",), help="measure nothing else")
    parser.add_argument("--out", type=Path, help="folder of the results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kept = Ratios("deeppert_speed")
    if not arguments.only:
        attribution(kept)
        one, two = (ensemble(arguments.few, n_jobs, kept) for n_jobs in (1, 2))
        kept.ratio("60 members of DeepPert on 2 workers", one / two, against="1 worker", wall=True)
        ensemble(arguments.profiles, 2, kept)
    kept.say(killed(arguments.few, 2, compare=True))
    kept.say(killed(arguments.profiles, 2, compare=False))
    kept.keep(arguments.out)


if __name__ == "__main__":
    main()
