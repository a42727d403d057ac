"""KDRUG on GDSC: student, teacher, student without distillation and with RAD, beside rivals on the same folds.

    python benchmarks/kdrug.py benchmarks/gdsc1.toml --out runs/kdrug --jobs 2 --page docs/benchmarks.md

The folds are those of ``galenic benchmark`` with the same plan. The teacher of a fold is trained once and teaches every
student. Every finished fold is kept, so an interrupted run goes on. ``metrics.csv`` in ``--out`` holds the scores;
``--page`` writes the tables of what is there between the marks of the run's name.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from tables import COLUMNS, FLOORS, QUESTIONS, markdown, number

from galenic import plan
from galenic.cli import inputs
from galenic.data.response import ResponseData
from galenic.evaluate.response import overview
from galenic.evaluate.splits import Fold, split
from galenic.evaluate.statistics import compare
from galenic.models import find
from galenic.models.baselines.baseline import drug_table
from galenic.models.kdrug.fitting import Fit, Fitted
from galenic.models.kdrug.model import KDRUG
from galenic.models.kdrug.role import restore
from galenic.tasks import ResponseTask
from galenic.train import Where

VARIANTS: dict[str, dict[str, Any]] = {
    "KDRUG": {},
    "KDRUG, no distillation": {"soft": 0.0},
    "KDRUG, RAD": {"relation": 0.02},
}
RIVALS = {
    "cell": ("KernelRidge", "KernelCompletion"),
    "pair": ("Factorisation", "KernelCompletion"),
    "drug": ("KernelRidge", "KernelCompletion", "Boosting"),
    "tissue": ("KernelRidge", "KernelCompletion"),
}
BAR = {"cell": "KernelRidge", "pair": "Factorisation", "drug": "Boosting", "tissue": "KernelRidge"}
COMPARED = (
    ("KDRUG", "KernelRidge"),
    ("KDRUG", "KernelCompletion"),
    ("KDRUG", "KDRUG, no distillation"),
    ("KDRUG, RAD", "KDRUG"),
    ("KDRUG, teacher", "KDRUG, no distillation"),
    *(("KDRUG", floor) for floor in FLOORS),
)
"""Differences that the text of the page names."""

Job = tuple[str, int, int, Fold]


def network_answers(data: ResponseData, fold: Fold, seed: int, variants: dict[str, Any]) -> dict[str, np.ndarray]:
    """Predictions for the test pairs by every variant and by the teacher; and the shares of their networks."""
    known, asked = data.take(fold.train).trim(), data.take(fold.test)
    known = known.take(np.lexsort((known.drug_rows, known.cell_rows)))
    fit = Fit(KDRUG(seed=seed), known, np.zeros(len(known), dtype=bool), Where(device="cpu"))
    teacher = fit.role("teacher", None)
    found = {"KDRUG, teacher": predicted(fit, "teacher", teacher, asked)}
    for name, fields in variants.items():
        fit.model = replace(KDRUG(seed=seed), **fields)
        student = fit.role("student", teacher)
        found[name] = predicted(fit, "student", student, asked)
        found[f"{name} share"] = np.array([student.spec["share"], student.spec["new_share"]])
    return found


def predicted(fit: Fit, using: str, learned: Fitted, asked: ResponseData) -> np.ndarray:
    """Predictions of one role."""
    arrays = fit.arrays | {f"{using}.{name}": array for name, array in learned.arrays.items()}
    drugs = drug_table(fit.data.drugs)
    spec = {"inputs": fit.features, "unit": fit.data.unit, "drugs": drugs, "roles": {using: learned.spec}}
    return np.asarray(restore(fit.model, using, spec, arrays).members(asked).mean(axis=0))


def rival_answers(data: ResponseData, fold: Fold, by: str, seed: int) -> dict[str, np.ndarray]:
    """Predictions for the test pairs by every floor and rival."""
    found = {}
    for name in (*FLOORS, *RIVALS[by]):
        model = find(name)()
        model = replace(model, seed=seed) if hasattr(model, "seed") else model
        found[name] = model.fit(data.take(fold.train)).predict(data.take(fold.test))["prediction"].to_numpy()
    return found


def kept(path: Path, compute: Callable[[], dict[str, np.ndarray]]) -> None:
    """Compute and keep, unless it was kept before."""
    if path.is_file():
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = compute()
    draft = path.with_name(f"draft-{path.name}")
    np.savez(draft, **found)
    draft.rename(path)


def work(data: ResponseData, job: Job, variants: dict[str, Any] | None, place: Path) -> None:
    """The networks or, without variants, the rivals of one fold."""
    by, seed, number, fold = job
    if variants is None:
        kept(place / f"rivals.{by}.{seed}.{number}.npz", lambda: rival_answers(data, fold, by, seed))
    else:
        kept(place / f"{by}.{seed}.{number}.npz", lambda: network_answers(data, fold, seed, variants))


def scores(task: ResponseTask, jobs: list[Job], place: Path) -> pd.DataFrame:
    """Scores of every answer that was kept."""
    rows = []
    for by, seed, fold_number, fold in jobs:
        paths = [place / f"{prefix}{by}.{seed}.{fold_number}.npz" for prefix in ("", "rivals.")]
        if not all(path.is_file() for path in paths):
            continue
        found: dict[str, np.ndarray] = {}
        for path in paths:
            found |= dict(np.load(path))
        for name, answer in found.items():
            if not name.endswith(" share"):
                table = task.predictions(fold.test, {"answer": answer}, {"answer": found["MeanEffects"]})
                rows.append(overview(table).assign(model=name, split=by, fold=fold_number, seed=seed))
    return pd.concat(rows, ignore_index=True)


def page(metrics: pd.DataFrame) -> str:
    """The tables in Markdown: every model on each split, with its paired difference to the bar of that split."""
    parts = []
    for by in dict.fromkeys(metrics["split"]):
        part = metrics[metrics["split"] == by]
        runs = part[["fold", "seed"]].drop_duplicates()
        # A variant that ran on fewer folds than the others is left out: its mean would be over other data.
        size = part.groupby("model").apply(
            lambda rows: len(rows[["fold", "seed"]].drop_duplicates()), include_groups=False
        )
        part = part[part["model"].isin(size[size == len(runs)].index)]
        bar = BAR[by]
        against = compare(part, [bar])
        chosen = against[(against["group"] == "all") & (against["metric"] == "rmse")].set_index("model")
        within = against[(against["group"] == "within_drug") & (against["metric"] == "pearson")].set_index("model")
        means = part.groupby(["model", "group", "metric"], sort=False)["value"].mean()
        order = means.xs(("all", "rmse"), level=("group", "metric")).sort_values().index
        rows = []
        for model in order:
            label = f"{model} (floor)" if model in FLOORS else model
            told = [difference(table.loc[model]) if model in table.index else "" for table in (chosen, within)]
            rows.append([label, *(number(means.get((model, *key), np.nan)) for key in COLUMNS), *told])
        head = ["model", *COLUMNS.values(), f"RMSE less that of {bar}", f"Pearson within drug less that of {bar}"]
        n_seeds = runs["seed"].nunique()
        title = f"### KDRUG: {QUESTIONS[by].lower()}"
        parts.append(f"{title}\n\nMeans over {len(runs)} folds ({n_seeds} seeds).\n\n{markdown(rows, head)}\n")
    return "\n".join(parts)


def compared(metrics: pd.DataFrame) -> str:
    """The differences of ``COMPARED`` on each split, over the folds that both have: RMSE, and Pearson within drugs."""
    lines = []
    for by, part in metrics.groupby("split", sort=False):
        for model, other in COMPARED:
            runs = [
                set(map(tuple, part.loc[part["model"] == name, ["fold", "seed"]].to_numpy())) for name in (model, other)
            ]
            both = part[[(fold, seed) in runs[0] & runs[1] for fold, seed in part[["fold", "seed"]].to_numpy()]]
            if not runs[0] & runs[1]:
                continue
            table = compare(both[both["model"].isin([model, other])], other)
            wanted = table.set_index(["group", "metric"]).reindex([("all", "rmse"), ("within_drug", "pearson")])
            told = ", ".join(difference(row) for _, row in wanted.iterrows())
            lines.append(f"{by}: {model} less {other}, {len(runs[0] & runs[1])} folds: {told}")
    return "\n".join(lines)


def difference(row: pd.Series) -> str:
    """A paired difference with its interval, bold where that excludes 0."""
    if pd.isna(row["difference"]):
        return "–"
    text = f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
    return f"**{text}**" if row["low"] * row["high"] > 0 else text


def write(place: Path, name: str, content: str) -> None:
    """Put the tables between the marks of the run."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, rest = place.read_text().split(begin)
    place.write_text(f"{before}{begin}\n\n{content}\n{end}{rest.split(end)[1]}")


def divided(task: ResponseTask, asked: list[tuple[str, int]], n_folds: int) -> list[Job]:
    """The folds of every division that is asked for."""
    jobs: list[Job] = []
    for by, seed in asked:
        table, columns = task.table(by)
        folds = split(table, by=columns, n_folds=n_folds, seed=seed)
        jobs += [(by, seed, number, fold) for number, fold in enumerate(folds)]
    return jobs


def fewer(data: ResponseData, fold: Fold, n_cells: int, seed: int) -> Fold:
    """The fold with the pairs of some of its training lines."""
    rows = data.cell_rows[fold.train]
    chosen = np.random.default_rng(seed).permutation(np.unique(rows))[:n_cells]
    return Fold(fold.train[np.isin(rows, chosen)], fold.test)


def main() -> None:
    """Compute what is asked for, score what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plan")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--by", default="cell,pair,drug,tissue")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", default=";".join(VARIANTS), help="variants, separated by semicolons")
    parser.add_argument("--cells", type=int, help="train on so many lines of each fold only")
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    told = plan.read(args.plan)
    flags = inputs.DataFlags(**{k: tuple(v) if isinstance(v, list) else v for k, v in told.data.items()})
    data = inputs.choose(inputs.read_all(flags), flags)
    task, place = ResponseTask(data), args.out / "parts"
    place.mkdir(parents=True, exist_ok=True)
    variants = {name: VARIANTS[name] for name in args.only.split(";") if name}
    asked = [(by, int(seed)) for seed in args.seeds.split(",") for by in args.by.split(",")]
    jobs = divided(task, asked, told.folds)
    if args.cells:
        jobs = [(by, seed, number, fewer(data, fold, args.cells, seed)) for by, seed, number, fold in jobs]
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        for what in (variants, None) if variants else (None,):
            joblib.Parallel(n_jobs=args.jobs)(joblib.delayed(work)(data, job, what, place) for job in jobs)
    # Whatever earlier calls kept counts too.
    there = {
        (path.name.split(".")[0], int(path.name.split(".")[1]))
        for path in place.glob("*.*.*.npz")
        if not path.name.startswith(("rivals", "draft"))
    }
    metrics = scores(task, divided(task, sorted(there), told.folds), place)
    metrics.to_csv(args.out / "metrics.csv", index=False)
    print(compared(metrics))
    if args.page:
        write(args.page, args.out.name, page(metrics))


if __name__ == "__main__":
    main()
