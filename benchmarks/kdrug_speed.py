"""Speed and memory of KDRUG on GDSC1, as ratios measured in one run.

python benchmarks/kdrug_speed.py --data ../shared/data
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from ratios import Ratios

from galenic import KDRUG, ResponseData, plan
from galenic.cli import inputs
from galenic.models.baselines.inputs import learn_inputs
from galenic.models.kdrug.encode import cell_arrays, drug_arrays
from galenic.models.kdrug.network import Network
from galenic.models.kdrug.stages import fit_step
from galenic.train import PairBatches, seeded, train

BATCH = 4096


def gdsc(data: Path) -> ResponseData:
    told = plan.read(Path(__file__).parent / "gdsc1.toml").data
    flags = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    for name, value in flags.items():
        if isinstance(value, str) and "gdsc" in value:
            flags[name] = str(data / "gdsc" / Path(value).name)
    flags["modality"] = tuple(
        f"{item.partition('=')[0]}={data / 'gdsc' / Path(item).name}" for item in flags["modality"]
    )
    chosen = inputs.DataFlags(**flags)
    return inputs.choose(inputs.read_all(chosen), chosen)


def per_pair(batch: dict) -> dict:
    """The same batch with the cell and the drug of every pair written out."""
    cells = {name: values[batch["cell"]] for name, values in batch["cells"].items()}
    drugs = {name: values[batch["drug"]] for name, values in batch["drugs"].items()}
    place = torch.arange(len(batch["cell"]))
    return {**batch, "cells": cells, "drugs": drugs, "cell": place, "drug": place}


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """The least of a few runs."""
    spent = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return min(spent)


def steps(data: ResponseData, head: str, kept: Ratios) -> None:
    """One training step on 4,096 random pairs: each distinct cell and drug once, against each pair written out."""
    features, arrays = learn_inputs(data.cells, ("expression", "mutation", "methylation"))
    cells, drugs = cell_arrays(data.cells, features, arrays), drug_arrays(data.drugs, data.drugs)
    pairs = {"cell": data.cell_rows, "drug": data.drug_rows, "target": data.response}
    batch = next(PairBatches(cells, drugs, pairs, batch_size=BATCH).epoch(0, seed=0))
    widths = {name: len(wanted) for name, wanted in features.items()}
    with seeded(0):
        net = Network(widths, fusion="attention", head=head).eval()
    with torch.no_grad():
        gap = float((net(batch)["prediction"] - net(per_pair(batch))["prediction"]).abs().max())
    step = fit_step(0.0)

    def one(given: dict) -> Callable[[], None]:
        def work() -> None:
            net.zero_grad()
            step(net, given, 0.0)["fit"].backward()

        return work

    once, written = seconds(one(batch)), seconds(one(per_pair(batch)), 1)
    kept.say(
        f"training step, {BATCH:,} pairs, head {head!r}: each distinct once {BATCH / once:,.0f} pairs/s, written out "
        f"{BATCH / written:,.0f} pairs/s: {written / once:.1f} times; predictions differ by {gap:.0e}"
    )
    what = f"training step, head {head!r}, each cell and drug once"
    kept.ratio(what, written / once, against="each pair written out", wall=True)


def epoch(data: ResponseData, kept: Ratios) -> None:
    """One epoch of 100,000 pairs with the default network of a student, its identities, and of graphs alone."""
    data = data.take(np.random.default_rng(0).permutation(len(data))[:100_000])
    features, arrays = learn_inputs(data.cells, ("expression", "tissue"))
    cells, drugs = cell_arrays(data.cells, features, arrays), drug_arrays(data.drugs, data.drugs)
    pairs = {"cell": data.cell_rows, "drug": data.drug_rows, "target": data.response / 3}
    widths = {name: len(wanted) for name, wanted in features.items()}
    for name, n_drugs in (("identities (default)", len(data.drugs)), ("graphs alone", 0)):
        with seeded(0):
            net = Network(widths, n_drugs=n_drugs)
        given = {"known": drugs["known"]} if n_drugs else drugs
        batches = PairBatches(cells, given, pairs, batch_size=12_288, block="cell")
        training = replace(KDRUG().training, max_epochs=1)
        spent = seconds(lambda: train(net, batches, fit_step(0.2), training, device="cpu"), 1)  # noqa: B023
        kept.say(f"one epoch of 100,000 pairs, {name}: {spent:.2f} s")


def whole(data: ResponseData, kept: Ratios) -> None:
    """A full fit with the defaults: teacher, student, starts."""
    began = time.perf_counter()
    KDRUG().fit(data, n_jobs=1)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    spent = time.perf_counter() - began
    said = f"{spent:.0f} s, {memory:,.0f} MB at most"
    kept.say(f"full fit, {len(data):,} pairs, teacher and student of 8 networks: {said}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="folder of the results")
    args = parser.parse_args()
    torch.set_num_threads(2)
    warnings.simplefilter("ignore")
    kept, data = Ratios("kdrug_speed"), gdsc(args.data)
    for head in ("product", "mlp"):
        steps(data, head, kept)
    epoch(data, kept)
    whole(data, kept)
    kept.keep(args.out)


if __name__ == "__main__":
    main()
