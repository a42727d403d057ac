"""``galenic fit scaled-shift`` and its kind: read perturbed cells, judge transfer, fit on everything, save, report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

from galenic.cli.compute import engaged
from galenic.cli.flags import RunFlags, add, collect
from galenic.cli.perturbed import PerturbationDataFlags, describe, task_of

if TYPE_CHECKING:
    from galenic.benchmarking import Result
    from galenic.report.run import Run
    from galenic.tasks import PerturbationTask

MOST_RESIDUALS = 20
"""Genes of each condition that are named where its effect is not what others add up to."""


@dataclass(frozen=True, kw_only=True)
class PerturbationJudgeFlags(RunFlags):
    """How a model of perturbations is judged before it is fitted on everything.

    Parameters
    ----------
    by
        What the folds leave out: pair (a perturbation in a context), context, perturbation, combination, or file (your
        own); several separated by commas.
    folds
        Number of folds; 0 fits without judging.
    device
        Where networks compute: cpu, cuda, auto.
    """

    by: tuple[str, ...] = ("pair",)
    folds: int = 5
    device: str = "cpu"


def command_of(model_class: type) -> Any:
    """The function of one model's command."""

    def run(out: str = typer.Option(..., "--out", help="Run folder to write."), **flags: Any) -> None:
        data, how = collect(PerturbationDataFlags, flags), collect(PerturbationJudgeFlags, flags)
        with engaged(how) as how:
            fit(collect(model_class, flags), out, data, how)

    return add(run, PerturbationDataFlags, PerturbationJudgeFlags, model_class)


def fit(model: Any, out: str, data: PerturbationDataFlags, how: PerturbationJudgeFlags) -> None:
    """Judge ``model`` beside the floors of transfer, fit it on all cells and save it to the run folder ``out``."""
    from galenic.cli import keeping, summary
    from galenic.models.fields import to_dict
    from galenic.report import run as run_folder
    from galenic.report.words import counted

    task = task_of(data, how.device)
    name = type(model).__name__
    task.require(name, model)
    judged = {key: value for key, value in asdict(how).items() if key in ("by", "folds", "seeds")}
    fields = {"model": name, **to_dict(model), "data": data.recipe(), **judged, "floors": list(task.floors())}
    with (
        run_folder.start(
            out,
            verb="fit",
            command=summary.typed(),
            fields=fields,
            title=f"{name} on {counted(len(task.columns), 'cells')} and "
            f"{counted(len(task.columns.perturbations), 'perturbations')}",
            seed=getattr(model, "seed", None),
            inputs=data.files,
            overwrite=how.overwrite,
            resume=how.resume,
        ) as run,
        summary.kept_warnings(run),
    ):
        describe(run, task)
        if how.folds:
            judge(run, {name: model}, task, how.by, how.folds, how.seeds, how.jobs)
        with keeping.unfinished(run, resume=how.resume) as place:
            with run.timed("fit"):
                where = {"n_jobs": how.jobs, "device": how.device, "progress": True, "checkpoint": place}
                model.fit(task.adata, **data.named, **where)
            model.save(run.path("model"))
        write_learned(run, model, task)
    summary.finish(run)


def judge(
    run: Run,
    models: dict[str, Any],
    task: PerturbationTask,
    by: tuple[str, ...],
    folds: int,
    seeds: tuple[int, ...],
    jobs: int,
) -> None:
    """Cross-validate models beside the floors, and write their scores and the ceiling of the data."""
    from galenic.benchmarking import benchmark
    from galenic.cli import summary

    say_folds(run, task, by, folds, seeds)
    with run.timed("ceiling"):
        ceiling = task.ceiling()
    with run.timed("judge"):
        result = benchmark(
            models, task, by=by, n_folds=folds, seeds=seeds, n_jobs=jobs, parts=run.folder / "parts", progress=True
        )
    if ceiling is not None:
        run.write("ceiling_halves", ceiling)
    summary.write_scores(run, result)
    say_skill(result)


def say_folds(run: Run, task: PerturbationTask, by: tuple[str, ...], folds: int, seeds: tuple[int, ...]) -> None:
    """Say, and put on record, which conditions no fold tests, and what is given at prediction."""
    from galenic.report.words import split_name
    from galenic.tasks.perturbation_untested import untested

    # Which pairs always train differs between seeds; their number hardly does.
    found = {question: untested(task, question, task.folds(question, folds, seeds[0])) for question in by}
    run.record["data"]["untested"] = {question: said for question, said in found.items() if said}
    for question, said in run.record["data"]["untested"].items():
        typer.echo(f"{split_name(question)}: {said}")
    if "perturbation" in by:
        typer.echo(f"{split_name('perturbation')}: at prediction, a model is given their profiles in other contexts")


def say_skill(result: Result) -> None:
    """Print what each judged model adds to its best floor."""
    from galenic.report.words import counted, interval, score

    skill = result.tables.get("skill")
    if skill is None:
        return
    for row in skill[skill["best"]].itertuples():
        if row.skill == row.skill:
            typer.echo(
                f"{row.split}: skill of {row.model} over {row.floor} in {row.metric}: "
                f"{score(row.skill, signed=True)} {interval(row.low, row.high)}, {counted(row.n, 'conditions')}"
            )


def write_learned(run: Run, model: Any, task: PerturbationTask) -> None:
    """What the fitted model can tell of itself: training, shares, codes, similar perturbations, interactions."""
    for name, share in model.spec_.items():
        if name.startswith("share_"):
            said = f"{share:.2f} (0 = the start alone answers)"
            run.record["fields"][f"share of the networks, {name.removeprefix('share_')}"] = said
            typer.echo(f"share of the networks, {name.removeprefix('share_')}: {said}")
    if getattr(model, "history_", None) is not None:
        run.write("history", model.history_)
    if hasattr(model, "codes"):
        run.write("codes", model.codes())
    if hasattr(model, "similar"):
        run.write("similar", model.similar(n=10))
    if hasattr(model, "interactions"):
        run.write("interaction", model.interactions(task.adata, n=MOST_RESIDUALS))
