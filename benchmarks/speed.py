"""Speed and memory, as ratios and seconds measured in one run.

OMP_NUM_THREADS=1 python benchmarks/speed.py --data ../shared/data
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from ratios import Ratios
from sklearn.kernel_ridge import KernelRidge as Reference

import galenic
from galenic import plan as plans
from galenic.cli import inputs
from galenic.evaluate.metrics import grouped
from galenic.models.baselines.baseline import response_matrix
from galenic.models.baselines.factorisation import factorise
from galenic.models.baselines.ridge import squared_distances

FAST = ("Factorisation", "Ridge", "ElasticNet", "KernelRidge")


def seconds(work: Callable[[], object], repeats: int = 3, clock: Callable[[], float] = time.process_time) -> float:
    """Least seconds of a few repeats: of the processor, which others change least, unless another clock is given."""
    best = np.inf
    for _ in range(repeats):
        began = clock()
        work()
        best = min(best, clock() - began)
    return float(best)


def vectorised_over_drugs(data: galenic.ResponseData, kept: Ratios) -> None:
    """One eigendecomposition for all drugs and penalties, against a fit for each drug and penalty."""
    X = data.cells.to_df().to_numpy(dtype=np.float64)
    Y = np.nan_to_num(response_matrix(data, data.response))
    distances = squared_distances(X, X)
    K = np.exp(-distances / np.median(distances))

    def ours() -> None:
        values, vectors = np.linalg.eigh(K)
        rotated = vectors.T @ Y
        for penalty in np.logspace(-2, 2.5, 19):
            vectors @ (rotated / (values[:, None] + penalty))

    def loop() -> None:
        for column in Y.T[:8]:
            for penalty in np.logspace(-2, 2.5, 19):
                Reference(alpha=penalty, kernel="precomputed").fit(K, column)

    fast, slow = seconds(ours), seconds(loop, 1) * Y.shape[1] / 8
    what = f"kernel ridge, {Y.shape[1]} drugs x 19 penalties"
    kept.say(f"{what}: all at once {fast:.2f} s, one by one {slow:.0f} s: {slow / fast:.0f} times")
    kept.ratio("kernel ridge, all drugs and penalties at once", slow / fast, against="a fit for each")


def vectorised_factors(data: galenic.ResponseData, kept: Ratios) -> None:
    """One batched solve, against a solve for each cell and drug."""
    Y = response_matrix(data, data.response)
    R = Y - np.nanmean(Y, axis=0)
    V0 = np.random.default_rng(0).normal(size=(R.shape[1], 20))

    def loop_once() -> None:
        for row in R:
            seen = ~np.isnan(row)
            np.linalg.solve(V0[seen].T @ V0[seen] + 16 * np.eye(20), V0[seen].T @ row[seen])
        U0 = np.random.default_rng(0).normal(size=(R.shape[0], 20))
        for column in R.T:
            seen = ~np.isnan(column)
            np.linalg.solve(U0[seen].T @ U0[seen] + 16 * np.eye(20), U0[seen].T @ column[seen])

    fast, slow = seconds(lambda: factorise(R, 20, 16.0, 0)) / 15, seconds(loop_once)
    times = f"batched {fast * 1e3:.0f} ms, a loop {slow * 1e3:.0f} ms: {slow / fast:.1f} times"
    kept.say(f"factorisation, one sweep: {times}")
    kept.ratio("factorisation, one sweep, batched", slow / fast, against="a loop over cells and drugs")


def vectorised_scores(data: galenic.ResponseData, kept: Ratios) -> None:
    """Pearson within each drug and each cell, against a loop over groups."""
    prediction = data.response + np.random.default_rng(0).normal(size=len(data))
    table = data.pairs.assign(prediction=prediction)

    def ours() -> None:
        for codes in (data.drug_rows, data.cell_rows):
            grouped("pearson", data.response, prediction, codes)

    def loop() -> None:
        for column in ("drug", "cell"):
            for _, group in table.groupby(column):
                np.corrcoef(group["response"], group["prediction"])

    fast, slow = seconds(ours), seconds(loop)
    times = f"at once {fast * 1e3:.0f} ms, a loop {slow * 1e3:.0f} ms: {slow / fast:.0f} times"
    kept.say(f"Pearson within drugs and cells: {times}")
    kept.ratio("Pearson within drugs and cells, at once", slow / fast, against="a loop over groups")


def all_floors(data: galenic.ResponseData, kept: Ratios) -> None:
    """A 5-fold benchmark of everything but the trees on unseen cells."""
    models = [getattr(galenic, name)() for name in FAST]
    spent = seconds(lambda: galenic.benchmark(models, data, by="cell", n_jobs=2), 1, time.perf_counter)
    kept.say(f"5 folds of all floors and models but the trees, {len(data):,} pairs, 2 workers: {spent:.0f} s")


def full_size_files(kept: Ratios) -> None:
    """Readers on files as large as the official ones, each in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rng = np.random.default_rng(0)
        cells = [str(900_000 + i) for i in range(1_000)]
        genes = pd.DataFrame(
            np.round(rng.normal(6, 2, size=(17_737, 1_000)), 4), columns=[f"DATA.{cell}" for cell in cells]
        )
        genes.insert(0, "GENE_title", "a gene")
        genes.insert(0, "GENE_SYMBOLS", [f"SYM{i}" for i in range(17_737)])
        genes.to_csv(folder / "rma.tsv", sep="\t", index=False)
        rows = pd.MultiIndex.from_product([cells, range(500)]).to_frame(index=False, name=["COSMIC_ID", "DRUG_ID"])
        rows["DRUG_NAME"] = "drug " + rows["DRUG_ID"].astype(str)
        rows["LN_IC50"] = np.round(rng.normal(3, 2, len(rows)), 5)
        rows.to_csv(folder / "response.csv", index=False)
        for name, call in {
            "17,737 genes x 1,000 lines (tsv)": "gdsc_expression",
            "500,000 responses (csv)": "table",
        }.items():
            file = folder / ("rma.tsv" if "genes" in name else "response.csv")
            place = "galenic.data.read" + (".gdsc" if call == "gdsc_expression" else "")
            code = f"from {place} import {call}; {call}({str(file)!r})"
            began = time.perf_counter()
            subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
            spent, size = time.perf_counter() - began, file.stat().st_size / 1e6
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
            kept.say(f"{name}, {size:.0f} MB: {spent:.1f} s with start-up; largest process so far {peak:.0f} MB")


def main() -> None:
    """Print one line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, help="folder of the results")
    arguments = parser.parse_args()
    kept = Ratios("speed")
    recipe = plans.read(Path(__file__).with_name("gdsc1.toml")).data
    own = {key: _under(value, arguments.data) for key, value in recipe.items()}
    flags = inputs.from_recipe(own)
    data = inputs.choose(inputs.read_all(flags), flags)
    full_size_files(kept)
    vectorised_over_drugs(data, kept)
    vectorised_factors(data, kept)
    vectorised_scores(data, kept)
    all_floors(data, kept)
    kept.keep(arguments.out)


def _under(value: object, folder: Path) -> object:
    """A path of the plan, taken from another folder of real data."""
    if isinstance(value, list):
        return [_under(item, folder) for item in value]
    if not isinstance(value, str) or "shared/data/" not in value:
        return value
    head = value.split("=")[0] + "=" if "=" in value else ""
    return head + str(folder / value.split("shared/data/")[1])


if __name__ == "__main__":
    main()
