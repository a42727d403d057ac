"""``galenic benchmark PLAN``: models on the same folds, from a plan in TOML."""

from __future__ import annotations

from typing import Any

import typer

from galenic.cli.compute import EngineFlags, engaged
from galenic.cli.flags import add, collect


def command() -> Any:
    """The verb, for the command line."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    def benchmark(
        plan: str = typer.Argument(..., help="Plan file (TOML): [data], [split], and a [[model]] for each model."),
        out: str = typer.Option(..., "--out", help="Run folder to write."),
        overwrite: bool = typer.Option(False, "--overwrite", help="Replace an earlier run in the same folder."),
        resume: bool = typer.Option(False, "--resume", help="Go on with an interrupted run in the same folder."),
        **flags: Any,
    ) -> None:
        """Cross-validate models and their floors on the same folds and compare them, as a plan file says.

        
        [data]                       flags of 'galenic fit', with _ for -
        response = "response.csv"
        expression = "expression.csv"
        [split]
        by = ["cell", "drug"]        pair, cell, drug, tissue, study, a column, or file
        folds = 5
        seeds = [0, 1, 2]
        [[model]]
        name = "KernelRidge"
        inputs = ["expression", "tissue"]


        Of profiles: [data] has profiles = "x.gctx" and the other flags of 'galenic fit readacross' but those of the
        model; [split] by = ["perturbagen"]. Of perturbations: [data] has perturbed = "x.h5ad" and the other flags of
        'galenic fit scaled-shift'; [split] by = ["pair", "context"].
        """
        with engaged(collect(EngineFlags, flags)) as how:
            run(plan, out, how.jobs, overwrite, resume)

    app.command()(add(benchmark, EngineFlags))

    return typer.main.get_command(app)


def run(path: str, out: str, jobs: int, overwrite: bool, resume: bool) -> None:
    """Run the benchmark of a plan file and write its run folder."""
    from galenic import plan as plans
    from galenic.benchmarking import benchmark
    from galenic.cli import inputs, summary
    from galenic.report import run as run_folder
    from galenic.tasks import floors_of

    plan = plans.read(path)
    if "profiles" in plan.data:
        from galenic.cli.benchmark_profiles import run as run_profiles

        return run_profiles(plan, path, out, jobs, overwrite, resume)
    if "perturbed" in plan.data:
        from galenic.cli.benchmark_perturbations import run as run_perturbations

        return run_perturbations(plan, path, out, jobs, overwrite, resume)
    data_flags = inputs.from_recipe(plan.data)
    whole = inputs.read_all(data_flags)
    data = inputs.choose(whole, data_flags)
    fields = {"plan": plan.text, "by": list(plan.by), "folds": plan.folds, "seeds": list(plan.seeds), "data": plan.data}
    fields["floors"] = floors_of(data)
    with (
        run_folder.start(
            out,
            verb="benchmark",
            command=summary.typed(),
            fields=fields,
            title=plan.title,
            inputs=[path, *data_flags.files],
            overwrite=overwrite,
            resume=resume,
        ) as record,
        summary.kept_warnings(record),
    ):
        summary.describe(record, data)
        with record.timed("benchmark"):
            result = benchmark(
                plan.models,
                data,
                by=plan.by,
                n_folds=plan.folds,
                seeds=plan.seeds,
                n_jobs=jobs,
                parts=record.folder / "parts",
                progress=True,
            )
        summary.write_result(record, result, whole)
        summary.write_coverage(record, data)
    summary.finish(record)
