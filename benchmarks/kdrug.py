"""KDRUG on GDSC: teacher, student, student without distillation, with RAD, and the start alone, on the same folds.

    python benchmarks/kdrug.py benchmarks/gdsc1.toml --out runs/kdrug --jobs 2

The folds are those of ``galenic benchmark`` with the same plan. The teacher of a fold is trained once and teaches every
student. Every finished fold is kept, so an interrupted run goes on; ``metrics.csv`` in ``--out`` holds the scores.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from galenic import benchmarking, plan
from galenic.cli import inputs
from galenic.data.response import ResponseData
from galenic.models.baselines.means import MeanEffects
from galenic.models.kdrug.fitting import Fit
from galenic.models.kdrug.model import KDRUG
from galenic.models.kdrug.role import restore
from galenic.tasks import ResponseTask

VARIANTS = {
    "KDRUG": {},
    "KDRUG, no distillation": {"soft": 0.0},
    "KDRUG, RAD": {"relation": 0.02},
}


def answers(
    data: ResponseData, train: np.ndarray, test: np.ndarray, seed: int, variants: dict
) -> dict[str, np.ndarray]:
    """Predictions for the test pairs by every variant, its teacher and its start."""
    known = data.take(train).trim()
    order = np.lexsort((known.drug_rows, known.cell_rows))
    known, asked = known.take(order), data.take(test)
    found: dict[str, np.ndarray] = {}
    fit = Fit(KDRUG(seed=seed), known, np.zeros(len(known), dtype=bool), "cpu", 1, False)
    teacher = fit.role("teacher", None)
    found["KDRUG, teacher"] = predicted(fit, "teacher", teacher, asked)
    for name, fields in variants.items():
        fit.model = replace(KDRUG(seed=seed), **fields)
        student = fit.role("student", teacher)
        found[name] = predicted(fit, "student", student, asked)
        found[f"{name} share"] = np.array([student.spec["share"], student.spec["new_share"]])
    return found


def predicted(fit: Fit, using: str, learned, asked: ResponseData) -> np.ndarray:
    arrays = fit.arrays | {f"{using}.{name}": array for name, array in learned.arrays.items()}
    spec = {"inputs": fit.features, "unit": fit.data.unit, "roles": {using: learned.spec}}
    spec["drugs"] = benchmarking_drugs(fit.data)
    return restore(fit.model, using, spec, arrays).members(asked).mean(axis=0)


def benchmarking_drugs(data: ResponseData) -> dict:
    from galenic.models.baselines.baseline import drug_table

    return drug_table(data.drugs)


def work(task: ResponseTask, variants: dict, by: str, seed: int, number: int, fold, place: Path) -> None:
    path = place / f"{by}.{seed}.{number}.npz"
    if path.is_file():
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = answers(task.data, fold.train, fold.test, seed, variants)
    np.savez(path.with_suffix(".part.npz"), **found)
    path.with_suffix(".part.npz").rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plan")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--by", default="cell,pair,drug,tissue")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", default=";".join(VARIANTS), help="variants, separated by semicolons")
    args = parser.parse_args()
    told = plan.read(args.plan)
    flags = inputs.DataFlags(**{k: tuple(v) if isinstance(v, list) else v for k, v in told.data.items()})
    data = inputs.choose(inputs.read_all(flags), flags)
    task = ResponseTask(data)
    place = args.out / "parts"
    place.mkdir(parents=True, exist_ok=True)
    variants = {name: VARIANTS[name] for name in args.only.split(";")}
    jobs = []
    for seed in map(int, args.seeds.split(",")):
        for by in args.by.split(","):
            table, columns = task.table(by)
            for number, fold in enumerate(benchmarking.split(table, by=columns, n_folds=told.folds, seed=seed)):
                jobs.append((by, seed, number, fold))
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        joblib.Parallel(n_jobs=args.jobs)(joblib.delayed(work)(task, variants, *job, place) for job in jobs)
    rows = []
    for by, seed, number, fold in jobs:
        kept = np.load(place / f"{by}.{seed}.{number}.npz")
        floor = MeanEffects().fit(data.take(fold.train)).predict(data.take(fold.test))["prediction"].to_numpy()
        for name in kept.files:
            if not name.endswith("share"):
                table = task.predictions(fold.test, kept[name], floor)
                scores = benchmarking.overview(table)
                rows.append(scores.assign(model=name, split=by, fold=number, seed=seed))
    pd.concat(rows).to_csv(args.out / "metrics.csv", index=False)


if __name__ == "__main__":
    main()
