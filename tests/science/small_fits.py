"""A brief fit of each of the five systems, with what is random in it; run as a program, by two processes together.

    python small_fits.py FOLDER

leaves in the folder, as JSON of each process, what each system came to alone and with the other.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import galenic
from galenic.data import simulate
from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.models.scatd.encoder import ScATDEncoder
from galenic.models.scatd.model import ScATD
from galenic.models.xtransfer.model import XTransferCDR
from galenic.train import Training

FEW: dict[str, Any] = {"lr": 1e-3, "max_epochs": 2, "patience": 0, "monitor": "none"}
Fitted = tuple[Any, Any, Callable[[Any], Any]]
"""A fitted model, its history, and what it answers (the latents of DeepPert turn on last bits: its losses do)."""


def kdrug(device: str) -> Fitted:
    data, _ = simulate.screen(n_cells=24, n_drugs=6, n_genes=40, seed=0)
    model = galenic.KDRUG(n_members=2, training=Training(batch_size=32, **FEW)).fit(data, device=device)
    return model, model.history_, lambda one: one.predict(data)["prediction"]


def readacross(device: str) -> Fitted:
    adata = simulate.profiles(n_perturbagens=20, n_genes=60, seed=0)
    model = galenic.ReadAcross(n_latent=16, n_members=1, training=Training(**FEW)).fit(adata, device=device)
    return model, model.history_, lambda one: one.embed(adata)


def xtransfercdr(device: str) -> Fitted:
    adata = simulate.perturbations(n_contexts=3, n_perturbations=5, n_genes=12, n_cells=4)
    short, asked = Training(batch_size=16, **FEW), pd.DataFrame({"context": ["type A"], "perturbation": ["P01"]})
    rest = adata[(adata.obs["cell_type"] != "type A") | (adata.obs["perturbation"] != "P01")].copy()
    model = XTransferCDR(n_networks=1, start="none", training=short).fit(rest, device=device)
    return model, model.history_, lambda one: one.predict(rest, asked).X


def deeppert(device: str) -> Fitted:
    adata = simulate.profiles(n_perturbagens=12, n_genes=40, seed=0)
    model = galenic.DeepPert(
        families=("ae", "dae", "vae"),
        sizes=(3,),
        runs=1,
        n_components=10,
        n_consensus=3,
        shared=0.0,
        training=Training(batch_size=8, **FEW),
    ).fit(adata, device=device)
    return model, model.history_, lambda one: model.history_["train_total"]


def scatd_encoder(device: str) -> Fitted:
    _, cells = bulk_and_cells(n_lines=40, n_cells=60, n_genes=50, seed=0)[:2]
    model = ScATDEncoder(n_genes=0, training=Training(batch_size=16, **FEW)).fit(cells, device=device)
    return model, model.history_, lambda one: one.embed(cells)


def scatd(device: str) -> Fitted:
    lines, cells = bulk_and_cells(n_lines=40, n_cells=60, n_genes=40, n_drivers=10, seed=0)[:2]
    small: dict[str, Any] = {"n_folds": 2, "n_latent": 8, "widths": (16,), "adapt_by": "mmd"}
    short = Training(batch_size=16, **FEW)
    model = ScATD(**small, training=short, pretraining=short)
    model.fit(lines, response="ln_ic50", line="line", target=cells, device=device)
    return model, model.history_, lambda one: one.predict(cells)["probability"]


SYSTEMS: dict[str, Callable[[str], Fitted]] = {
    "KDRUG": kdrug,
    "ReadAcross": readacross,
    "XTransferCDR": xtransfercdr,
    "DeepPert": deeppert,
    "ScATD, encoder": scatd_encoder,
    "ScATD": scatd,
}


def numbers(fitted: Fitted) -> tuple[np.ndarray, np.ndarray]:
    """What a fitted model answers, and its history but for the seconds, each as one row."""
    model, history, answer = fitted
    told = history.select_dtypes("number").drop(columns="seconds", errors="ignore")
    return np.asarray(answer(model), dtype=float).ravel(), told.to_numpy(float).ravel()


if __name__ == "__main__":
    from galenic.train.fabric import launched
    from galenic.work.processes import on

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    fabric = launched(devices=2, device="cpu")
    found: dict[str, list[list[list[float]]]] = {}
    for name, system in SYSTEMS.items():
        for where in (None, fabric):
            with on(where):
                found.setdefault(name, []).append([values.tolist() for values in numbers(system("cpu"))])
    (Path(sys.argv[1]) / f"{fabric.global_rank}.json").write_text(json.dumps(found))
