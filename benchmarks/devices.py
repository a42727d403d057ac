"""What a GPU brings: fits and encoders on the processor (all cores) and on the GPU of one machine, in one run.

python benchmarks/devices.py

Simulated data of the sizes that people have; one network of each system for two or three epochs, after one that is not
timed. Seconds on the wall, because a GPU has no other; the reading and preparing that a fit does are in them.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ratios import Ratios
from torch import nn

import galenic
from galenic.data import simulate
from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.foundation.geneformer_network import CellVectors, GeneformerNetwork
from galenic.foundation.geneformer_network import Shape as GeneformerShape
from galenic.foundation.ragged import Ragged
from galenic.foundation.running import encode_cells
from galenic.foundation.scfoundation_network import ScFoundationEncoder, Shape
from galenic.models.scatd.encoder import ScATDEncoder
from galenic.train import Training
from galenic.train.fabric import launched
from galenic.work.processes import on

Work = Callable[[str], Any]
SHARE = 1.0
"""Of the sizes; less to try the script."""


def brief(epochs: int, batch_size: int) -> Training:
    return Training(lr=1e-3, max_epochs=epochs, batch_size=batch_size, patience=0, monitor="none")


def sized(n: int) -> int:
    return max(32, int(n * SHARE))


def kdrug() -> tuple[str, Work]:
    data, _ = simulate.screen(n_cells=sized(400), n_drugs=sized(80), n_genes=sized(2_000), seed=0)
    said = f"KDRUG, a member: {len(data.pairs):,} pairs, batches of 1,024, 2 epochs"
    model = galenic.KDRUG(n_members=1, structure_epochs=1, training=brief(2, 1024))
    return said, lambda device: model.fit(data, device=device)


def readacross() -> tuple[str, Work]:
    adata = simulate.profiles(n_perturbagens=sized(2_000), n_genes=978, seed=0)
    said = f"ReadAcross, a member: {adata.n_obs:,} profiles x 978, batches of 1,024, 3 epochs"
    model = galenic.ReadAcross(n_members=1, training=brief(3, 1024))
    return said, lambda device: model.fit(adata, device=device)


def deeppert() -> tuple[str, Work]:
    adata = simulate.profiles(n_perturbagens=sized(600), n_genes=978, seed=0)
    said = f"DeepPert, three networks: {adata.n_obs:,} profiles x 978, batches of 256, 3 epochs"
    model = galenic.DeepPert(sizes=(32,), runs=1, n_components=50, n_consensus=10, shared=0.0, training=brief(3, 256))
    return said, lambda device: model.fit(adata, device=device)


def scatd() -> tuple[str, Work]:
    cells = bulk_and_cells(n_lines=40, n_cells=sized(8_000), n_genes=sized(4_000), seed=0)[1]
    said = f"ScATD's encoder: {cells.n_obs:,} cells x {cells.n_vars:,} genes, batches of 512, 2 epochs"
    model = ScATDEncoder(n_genes=0, training=brief(2, 512))
    return said, lambda device: model.fit(cells, device=device)


def tokens(n: int, fields: dict[str, int], median: int) -> tuple[Ragged, Callable[[int, int], Ragged]]:
    """Cells of unlike lengths, and what gives a part of them."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(median), 0.4, n).astype(int), 50, 2_048)
    places = np.concatenate([[0], np.cumsum(lengths)])
    made = {
        name: rng.integers(0, most, places[-1]).astype(np.int32) if most else rng.random(places[-1]).astype(np.float32)
        for name, most in fields.items()
    }

    def part(start: int, stop: int) -> Ragged:
        inside = slice(places[start], places[stop])
        return Ragged(places[start : stop + 1] - places[start], {name: one[inside] for name, one in made.items()})

    return Ragged(places, made), part


def encoder(name: str, net: nn.Module, width: int, fields: dict[str, int], n: int) -> tuple[str, Work, Work]:
    cells, source = tokens(sized(n), fields, 1_200)
    said = f"{name}: {len(cells):,} cells, median {np.median(cells.lengths):,.0f} tokens"
    how = {"n_cells": len(cells), "width": width, "max_tokens_in_batch": 65_536}
    half = lambda device: encode_cells(source, net, device=device, precision="bfloat16", **how)  # noqa: E731
    return said, lambda device: encode_cells(source, net, device=device, **how), half


def seconds(work: Callable[[], object], device: str) -> float:
    began = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def compared(kept: Ratios, said: str, plain: Work, half: Work, gpu: str) -> list[str]:
    """A row of the table: seconds on the processor, on the GPU, and there in bfloat16; memory of the GPU."""
    on_gpu = lambda: plain(gpu)  # noqa: E731
    seconds(on_gpu, gpu)  # kernels are loaded
    if gpu == "cuda":
        torch.cuda.reset_peak_memory_stats()
    fast = min(seconds(on_gpu, gpu) for _ in range(2))
    memory = torch.cuda.max_memory_allocated() / 1e9 if gpu == "cuda" else 0.0
    halved = min(seconds(lambda: half(gpu), gpu) for _ in range(2))
    slow = seconds(lambda: plain("cpu"), "cpu")
    kept.ratio(said.split(":")[0], slow / fast, against="all cores of the same machine", wall=True)
    row = [said, f"{slow:.1f}", f"{fast:.1f}", f"{halved:.1f}", f"{slow / fast:.1f}", f"{memory:.1f}"]
    kept.say("; ".join(row))
    return row


def main() -> None:
    """Compare every system; the table is kept as it grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--gpu", default="cuda", help="device that is held against the processor")
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--only", nargs="*")
    asked = parser.parse_args()
    globals()["SHARE"] = asked.share
    warnings.simplefilter("ignore")
    kept, rows = Ratios("devices"), []
    name = torch.cuda.get_device_name() if asked.gpu == "cuda" else asked.gpu
    kept.say(f"{name} against {torch.get_num_threads()} threads of the processor")
    title = f"{name}: seconds on the wall, times as fast as the processor, GB on the GPU"
    header = ["fit", "processor, s", "GPU, s", "GPU, bf16, s", "times", "GB"]
    for make in (kdrug, readacross, deeppert, scatd):
        if not asked.only or make.__name__ in asked.only:
            said, work = make()

            def half(device: str, work: Work = work) -> None:
                with on(launched(precision="bf16-mixed", device=device)):
                    work(device)

            rows.append(compared(kept, said, work, half, asked.gpu))
    torch.manual_seed(0)
    scfoundation = ScFoundationEncoder(Shape(768, 12, 12, 100, 1.0, 19_266)).eval()
    shape = GeneformerShape(vocab_size=25_426, max_position_embeddings=2_048, hidden_size=512, num_hidden_layers=12,
                            num_attention_heads=8, intermediate_size=1_024, hidden_act="relu")  # fmt: skip
    geneformer = CellVectors(GeneformerNetwork(shape), layer=11, mode="cell", ends=False).eval()
    networks = {
        "scFoundation (12 layers of 768)": (scfoundation, scfoundation.width, {"value": 0, "gene": 19_264}),
        "Geneformer V1 (12 layers of 512)": (geneformer, 512, {"token": 25_000}),
    }
    for name, (net, width, fields) in networks.items():
        if not asked.only or name.split()[0].lower() in asked.only:
            rows.append(compared(kept, *encoder(name, net, width, fields, 48), asked.gpu))
    kept.table(title, header, rows)
    kept.keep(asked.out)


if __name__ == "__main__":
    main()
