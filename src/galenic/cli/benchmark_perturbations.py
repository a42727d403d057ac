"""``galenic benchmark PLAN`` where the plan names perturbed cells: models of transfer on the same folds."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from galenic.plan import Plan


def run(plan: Plan, path: str, out: str, jobs: int, overwrite: bool, resume: bool) -> None:
    """Run the benchmark of a plan of perturbations and write its run folder."""
    from galenic.cli import summary
    from galenic.cli.fit_perturbations import judge
    from galenic.cli.perturbed import describe, task_of
    from galenic.report import run as run_folder

    told = dict(plan.data)
    device = told.pop("device", "cpu")
    flags = _flags(told, path)
    task = task_of(flags, device)
    for label, model in plan.models.items():
        task.require(label, model)
    record = {"plan": plan.text, "by": list(plan.by), "folds": plan.folds, "seeds": list(plan.seeds), "data": plan.data}
    with (
        run_folder.start(
            out,
            verb="benchmark",
            command=summary.typed(),
            fields={**record, "floors": list(task.floors())},
            title=plan.title,
            inputs=[path, *flags.files],
            overwrite=overwrite,
            resume=resume,
        ) as folder,
        summary.kept_warnings(folder),
    ):
        describe(folder, task)
        judge(folder, plan.models, task, plan.by, plan.folds, plan.seeds, jobs)
    summary.finish(folder)


def _flags(data: dict[str, Any], path: str) -> Any:
    """The flags of the cells that a plan names; a name that is none is refused."""
    from galenic.cli.perturbed import PerturbationDataFlags

    known = {field.name for field in fields(PerturbationDataFlags)}
    unknown = sorted(set(data) - known)
    if unknown:
        raise ValueError(
            f"[data] of a plan of perturbations has {', '.join(sorted([*known, 'device']))}; {path} also has "
            f"{', '.join(unknown)}. Correct the names."
        )
    given = dict(data)
    if "where" in given:
        given["where"] = (given["where"],) if isinstance(given["where"], str) else tuple(given["where"])
    return PerturbationDataFlags(**given)
