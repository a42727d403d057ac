"""``galenic benchmark PLAN`` where the plan names profiles: models of retrieval on the same folds."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from galenic.plan import Plan

TASK = ("different", "strata")
"""What a plan says of the task besides its data."""


def run(plan: Plan, path: str, out: str, jobs: int, overwrite: bool, resume: bool) -> None:
    """Run the benchmark of a plan of profiles and write its run folder."""
    from galenic.benchmarking import benchmark
    from galenic.cli import summary
    from galenic.cli.fit_profiles import describe, names_of, read
    from galenic.report import run as run_folder
    from galenic.tasks import RetrievalTask

    told = _flags(plan.data, path)
    adata, coverage = read(told)
    task = RetrievalTask(adata, label=told.label, **{name: tuple(plan.data.get(name, ())) for name in TASK})
    record = {"plan": plan.text, "by": list(plan.by), "folds": plan.folds, "seeds": list(plan.seeds), "data": plan.data}
    with (
        run_folder.start(
            out,
            verb="benchmark",
            command=summary.typed(),
            fields={**record, "floors": list(task.floors())},
            title=plan.title,
            inputs=[path, *told.files],
            overwrite=overwrite,
            resume=resume,
        ) as folder,
        summary.kept_warnings(folder),
    ):
        describe(folder, adata, told.label)
        with folder.timed("benchmark"):
            result = benchmark(
                plan.models,
                task,
                by=plan.by,
                n_folds=plan.folds,
                seeds=plan.seeds,
                n_jobs=jobs,
                parts=folder.folder / "parts",
                progress=True,
            )
        summary.write_scores(folder, result, names_of(task))
        if coverage is not None and len(coverage):
            folder.write("coverage", coverage)
    summary.finish(folder)


def _flags(data: dict[str, Any], path: str) -> Any:
    """The flags of the profiles that a plan names; a name that is none is refused."""
    from galenic.cli.fit_profiles import ProfileDataFlags

    known = {field.name for field in fields(ProfileDataFlags)}
    unknown = sorted(set(data) - known - set(TASK))
    if unknown:
        raise ValueError(
            f"[data] of a plan of profiles has {', '.join(sorted([*known, *TASK]))}; {path} also has "
            f"{', '.join(unknown)}. Correct the names."
        )
    given = {name: value for name, value in data.items() if name in known}
    for name in ("profiles", "sample_info"):
        if name in given:
            given[name] = (given[name],) if isinstance(given[name], str) else tuple(given[name])
    return ProfileDataFlags(**given)
