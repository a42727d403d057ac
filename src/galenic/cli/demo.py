"""``galenic demo``: the main job on a simulated screen, from nothing to an HTML report."""

from __future__ import annotations

from typing import Any

import typer

MODELS: dict[str, dict[str, Any]] = {"Ridge": {}, "KernelRidge": {}, "ElasticNet": {}, "KDRUG": {"n_members": 2}}
"""What is compared; fewer members than by default, so that a demonstration stays short."""
N_NEW = 10


def command() -> Any:
    """The verb, for the command line."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.command()
    def demo(
        out: str = typer.Option("demo", "--out", help="Run folder to write."),
        seed: int = typer.Option(0, "--seed", help="Seed of the simulated screen."),
        jobs: int = typer.Option(2, "--jobs", help="Fits at the same time, each in one thread; -1: one a core."),
        overwrite: bool = typer.Option(False, "--overwrite", help="Replace an earlier demo in the same folder."),
    ) -> None:
        """Simulate a screen with planted drivers; compare, predict, explain and report on it."""
        run(out, seed, jobs, overwrite)

    return typer.main.get_command(app)


def run(out: str, seed: int, jobs: int, overwrite: bool) -> None:
    """Write the demo's run folder."""
    import numpy as np

    from galenic.benchmarking import benchmark
    from galenic.cli import summary
    from galenic.data.simulate import screen
    from galenic.explain.biomarkers import biomarkers, recovered
    from galenic.models import find
    from galenic.models.importance import resampled_importance
    from galenic.models.ranking import rank
    from galenic.report import run as run_folder
    from galenic.tasks import floors_of

    data, truth = screen(seed=seed)
    new = np.isin(data.cell_rows, np.arange(N_NEW))
    known = data.take(~new).trim()
    with (
        run_folder.start(
            out,
            verb="demo",
            command=summary.typed(),
            fields={"seed": seed, "by": ["cell"], "folds": 5, "seeds": [seed], "floors": floors_of(known)},
            title="Demonstration on a simulated screen with planted drivers",
            seed=seed,
            overwrite=overwrite,
        ) as record,
        summary.kept_warnings(record),
    ):
        summary.describe(record, known)
        with record.timed("benchmark"):
            parts = record.folder / "parts"
            models = {name: find(name)(**fields) for name, fields in MODELS.items()}
            result = benchmark(models, known, by="cell", seeds=(seed,), n_jobs=jobs, parts=parts, progress=True)
        summary.write_result(record, result, known)
        with record.timed("KDRUG"):
            networks(record, known)
        best = _best(result.metrics)
        model: Any = find(best)(**MODELS[best])
        with record.timed("fit"):
            model.fit(known, n_jobs=jobs)
        model.save(record.path("model"))
        asked = data.take(new).trim().grid()
        record.write("ranking", rank(model.predict(asked), asked.drugs))
        with record.timed("explain"):
            weights, null, index, drugs = resampled_importance(model, known, n_jobs=jobs, seed=seed)
            features, kinds = (list(index.get_level_values(level)) for level in ("feature", "modality"))
            table = biomarkers(weights, features, drugs, null=null, modality=kinds)
        genes = truth[truth["modality"] == "expression"]
        found = recovered(table, genes)
        record.write("biomarkers", table[table["rank"] <= 50])
        planted = genes.merge(
            table[["drug", "gene", "rank"]], left_on=["drug", "feature"], right_on=["drug", "gene"], how="left"
        )
        n_planted = planted.groupby("drug")["feature"].transform("size")
        record.write("truth", planted.drop(columns="gene").assign(found=planted["rank"] <= n_planted))
    n_found, n_all, chance = int(found["found"].sum()), int(found["planted"].sum()), float(found["expected"].sum())
    typer.echo(f"planted driver genes recovered: {n_found} of {n_all} (chance: {chance:.1f})")
    summary.finish(record)


def networks(record: Any, data: Any) -> None:
    """Training curves of KDRUG, whether its intervals hold what they say, and what it reads from atoms."""
    from galenic.benchmarking import calibration
    from galenic.cli.explain import atoms_of
    from galenic.models import find

    model: Any = find("KDRUG")(**MODELS["KDRUG"])
    record.write("calibration", calibration(model, data))
    model.fit(data)
    record.write("history", model.history_)
    record.write("atoms", atoms_of(model, data, 6))


def _best(metrics: Any) -> str:
    """The model with the least error on unseen cells; floors that read no genes do not count."""
    chosen = metrics[(metrics["group"] == "all") & (metrics["metric"] == "rmse") & metrics["model"].isin(MODELS)]
    return str(chosen.groupby("model")["value"].mean().idxmin())
