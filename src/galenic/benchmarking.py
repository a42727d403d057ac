"""Models x folds x seeds -> one tidy table, with the floors always beside them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from galenic.data.response import ResponseData
from galenic.evaluate.splits import split
from galenic.evaluate.statistics import compare
from galenic.models.base import Model
from galenic.models.fields import with_params
from galenic.tasks import FLOORS, Answer, Answered, Part, ResponseTask, Task
from galenic.work.bar import counted
from galenic.work.contents import contents
from galenic.work.fan_out import fan_out
from galenic.work.kept import Kept

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Nominal coverages at which intervals are checked."""

_Fit = tuple[Answer, float, list[str]]


@dataclass(frozen=True)
class Result:
    """What a benchmark found.

    Attributes
    ----------
    metrics
        ``model, split, fold, seed, group, metric, value, n``.
    comparison
        Every model against the best floor of each split, metric and group: paired differences with intervals.
    scores_by_drug
        ``model, split, drug, metric, value, n``: means over folds and seeds.
    predictions
        Test predictions of the first seed, with the floor's; ``None`` for questions that have none.
    seconds
        ``model, split, seconds``: mean time to fit and answer one fold.
    notes
        Warnings of the models, each once.
    floors
        Labels of the models that are floors.
    tables
        What else the question has: of perturbations ``conditions``, ``effects`` and ``skill``.
    """

    metrics: pd.DataFrame
    comparison: pd.DataFrame
    scores_by_drug: pd.DataFrame
    predictions: pd.DataFrame | None
    seconds: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    floors: tuple[str, ...] = FLOORS
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class _Job:
    """One model on one fold of one division of the table."""

    label: str
    model: Model
    by: str
    seed: int
    number: int
    part: Part

    @property
    def name(self) -> str:
        return f"{self.by}, seed {self.seed}, fold {self.number}, {self.label}"


def benchmark(
    models: Sequence[Model] | dict[str, Model],
    data: ResponseData | Task,
    *,
    by: str | Sequence[str] = "cell",
    n_folds: int = 5,
    seeds: Sequence[int] = (0,),
    n_jobs: int = 1,
    parts: str | Path | None = None,
    progress: bool = False,
) -> Result:
    """Cross-validate models and floors on the same folds, and compare each model with its best floor.

    Parameters
    ----------
    models
        Unfitted models; a dict names them, else each is named by its class and changed fields. The floors of the task
        run unasked.
    data
        Measured pairs, or a task: :class:`galenic.tasks.RetrievalTask` for profiles,
        :class:`galenic.tasks.PerturbationTask` for effects of perturbations.
    by
        The question, or several: ``"pair"``, ``"cell"``, ``"drug"`` (by structure), ``"tissue"``, ``"study"``, another
        column, or ``"file"`` (the column ``fold`` of the pairs); a task says what it can be split by.
    n_folds
        Folds of each division.
    seeds
        One division of the table for each; a model with a field ``seed`` gets it too.
    n_jobs
        Fits at the same time, each on its own core, or on a cluster (:func:`galenic.work.engines.engine`); -1: all.
    parts
        Folder in which finished fits are kept, so that an interrupted benchmark goes on where it was. With it a fit
        that fails keeps no other from being finished.
    progress
        Show a progress bar.

    Returns
    -------
    Result

    Raises
    ------
    ValueError
        If there are fewer groups than folds, two models have one name, a model refuses the data, or ``parts`` holds
        fits of other data, models or divisions.
    RuntimeError
        If a fit failed, also when it was tried again; with ``parts`` the others are kept.

    Examples
    --------
    >>> import galenic
    >>> data, truth = galenic.simulate.screen(n_cells=40, n_drugs=8, n_genes=60, seed=0)
    >>> result = benchmark([galenic.Ridge()], data, by="cell", n_folds=3)
    >>> sorted(result.metrics["model"].unique())
    ['CellMean', 'DrugMean', 'MeanEffects', 'NearestDrugs', 'Ridge', 'TissueDrugMean']
    """
    task: Task = ResponseTask(data) if isinstance(data, ResponseData) else data
    named = _named(models)
    for label, model in named.items():
        task.require(label, model)
    floors = task.floors()
    everyone = {**floors, **named}
    questions = [by] if isinstance(by, str) else list(by)
    jobs = [job for question in questions for job in _jobs(task, everyone, question, n_folds, seeds)]
    kept = _kept(parts, task, jobs) if parts else None
    answers, notes = _run(task, jobs, n_jobs, kept, progress)
    return _collect(task, jobs, answers, [*_shared(task, jobs), *notes], tuple(floors), set(named))


def calibration(
    model: Model,
    data: ResponseData,
    *,
    by: str = "cell",
    seed: int = 0,
    n_folds: int = 5,
    levels: Sequence[float] = LEVELS,
) -> pd.DataFrame:
    """How often intervals hold what was measured, on the first of ``n_folds`` folds.

    Parameters
    ----------
    model
        Unfitted, with a method ``intervals``.
    levels
        Nominal coverages.
    data
        Measured pairs.
    by
        What the folds leave out, as for :func:`benchmark`.
    seed
        Of the division into folds, and of the model.
    n_folds
        Folds of the division, of which the first is asked.

    Returns
    -------
    DataFrame
        ``group, drug, level, coverage, n, width``: over all pairs (group "all") and of each drug.
    """
    task = ResponseTask(data)
    table, columns = task.table(by)
    fold = split(table, by=columns, n_folds=n_folds, seed=seed)[0]
    known, asked = data.take(fold.train), data.take(fold.test)
    model = _with_seed(model, seed)
    model.fit(known)  # type: ignore[attr-defined]
    rows = []
    for level in levels:
        found = model.intervals(asked, coverage=level)  # type: ignore[attr-defined]
        held = found["response"].between(found["low"], found["high"])
        counted = pd.DataFrame({"drug": found["drug"], "held": held, "width": found["high"] - found["low"]})
        each = counted.groupby("drug").agg(coverage=("held", "mean"), n=("held", "size"), width=("width", "mean"))
        rows.append(each.reset_index().assign(group="drug", level=level))
        whole = {"coverage": held.mean(), "n": len(held), "width": counted["width"].mean()}
        rows.append(pd.DataFrame([{"group": "all", "drug": "", "level": level, **whole}]))
    return pd.concat(rows, ignore_index=True)


def _shared(task: Task, jobs: list[_Job]) -> list[str]:
    """What the user's own folds share between train and test: they test nothing unseen of that."""
    parts = {job.number: job.part for job in jobs if job.by == "file"}
    found = (task.leaking(np.concatenate([part.train, part.valid]), part.test) for part in parts.values())
    return next(filter(None, found), [])


def _named(models: Sequence[Model] | dict[str, Model]) -> dict[str, Model]:
    if isinstance(models, dict):
        return dict(models)
    named: dict[str, Model] = {}
    for model in models:
        label = type(model).__name__ if repr(model).endswith("()") else repr(model)
        if label in named:
            raise ValueError(f"every model needs a name of its own; {label!r} stands twice. Pass a dict of names.")
        named[label] = model
    return named


def _jobs(task: Task, models: dict[str, Model], by: str, n_folds: int, seeds: Sequence[int]) -> Iterator[_Job]:
    # Studies and the user's own folds are divided in one way only.
    for seed in seeds if by not in ("file", "study") else seeds[:1]:
        for number, part in enumerate(task.folds(by, n_folds, seed)):
            for label, model in models.items():
                yield _Job(label, _with_seed(model, seed), by, seed, number, part)


def _with_seed(model: Model, seed: int) -> Model:
    return with_params(model, {"seed": seed}) if hasattr(model, "seed") else model


def _fit(task: Task, job: _Job) -> _Fit:
    """Answer one job; its answer, how long it took, and what its model warned of."""
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nor is it written to
        answer = task.answer(job.model, *job.part)
    seconds = time.perf_counter() - began
    if not task.is_whole(answer, job.part.test):
        raise ValueError(f"an answer for each test row is expected; {job.label} gave another. Correct its predictions.")
    notes = sorted({f"{job.label}: {warning.message}" for warning in caught if warning.category is UserWarning})
    return answer, seconds, notes


def _run(
    task: Task, jobs: list[_Job], n_jobs: int, kept: Kept | None, progress: bool
) -> tuple[list[tuple[Answer, float]], list[str]]:
    """Answers in the order of the jobs, and what was warned of."""
    asked = {job.name: (task, job) for job in jobs}
    finished = counted(fan_out(_fit, asked, n_jobs=n_jobs, kept=kept), "fits", len(jobs), show=progress or None)
    found: dict[str, _Fit] = dict(finished)
    fits = [found[job.name] for job in jobs]
    return [(answer, seconds) for answer, seconds, _ in fits], sorted({note for *_, notes in fits for note in notes})


def _kept(parts: str | Path, task: Task, jobs: list[_Job]) -> Kept:
    """The folder of finished fits, of these data, models and divisions and no others."""
    settings = {
        "data": contents(task),
        "models": {job.label: f"{type(job.model).__name__} {contents(_with_seed(job.model, 0))[:16]}" for job in jobs},
        "by": sorted({job.by for job in jobs}),
        "seeds": sorted({job.seed for job in jobs}),
        "divisions": contents([(job.name, tuple(job.part)) for job in jobs]),
    }
    return Kept(parts, settings)


def _collect(
    task: Task,
    jobs: list[_Job],
    answers: list[tuple[Answer, float]],
    notes: list[str],
    floors: tuple[str, ...],
    named: set[str],
) -> Result:
    base = {
        (job.by, job.seed, job.number): answer
        for job, (answer, _) in zip(jobs, answers, strict=True)
        if job.label == task.reference
    }
    first = jobs[0].seed
    metrics, drugs, predictions, seconds = [], [], [], []
    for job, (answer, spent) in zip(jobs, answers, strict=True):
        reference = base.get((job.by, job.seed, job.number))
        where = {"model": job.label, "split": job.by, "fold": job.number, "seed": job.seed}
        metrics.append(task.scores(job.part.test, answer, reference).assign(**where))
        drugs.append(task.scores_by_drug(job.part.test, answer).assign(**where))
        seconds.append({**where, "seconds": spent})
        table = task.predictions(job.part.test, answer, reference) if job.seed == first else None
        if table is not None:
            predictions.append(table.assign(**where))
    order = ["model", "split", "fold", "seed", "group", "metric", "value", "n"]
    scores = pd.concat(metrics, ignore_index=True)[order]
    keys = ["model", "split", "drug", "metric"]
    by_drug = pd.concat(drugs, ignore_index=True)
    answered = [
        Answered(job.label, job.by, job.number, job.seed, job.label in named, job.part.test, answer)
        for job, (answer, _) in zip(jobs, answers, strict=True)
    ]
    by_drug = by_drug.groupby(keys, sort=False).agg(value=("value", "mean"), n=("n", "mean")).reset_index()
    return Result(
        metrics=scores,
        comparison=compare(scores, list(floors)),
        scores_by_drug=by_drug,
        predictions=_compact(pd.concat(predictions, ignore_index=True)) if predictions else None,
        seconds=pd.DataFrame(seconds).groupby(["model", "split"], sort=False)["seconds"].mean().reset_index(),
        notes=notes,
        floors=floors,
        tables=task.tables(answered),
    )


def _compact(table: pd.DataFrame) -> pd.DataFrame:
    """Names as categories and predictions in single precision: a tenth of the memory."""
    names = {name: "category" for name in ("cell", "drug", "model", "split")}
    return table.astype(names | dict.fromkeys(("response", "prediction", "floor"), "float32"))
