"""``galenic downstream LABELS``: labels of drugs, or of pairs of drugs, from profiles and their embeddings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from galenic.cli.compute import engaged
from galenic.cli.flags import RunFlags, add, collect

if TYPE_CHECKING:
    import pandas as pd

    from galenic.report.run import Run
    from galenic.tasks import DownstreamTask

PAIR = ("drug_a", "drug_b")


@dataclass(frozen=True, kw_only=True)
class DownstreamFlags:
    """What is predicted from what, and what is unseen.

    Parameters
    ----------
    profiles
        Profiles of the drugs: h5ad (genes, and every embedding obsm X_*), GCT or GCTX, or a table with a column of
        drugs and columns of genes or, where none is called as genes are, of other numbers.
    drugs
        Table of drugs with a SMILES column: adds the floors of structure, and splits by structure and scaffold.
    target
        Column of the label.
    kind
        classification (labels 0 and 1) or regression; where absent, what the labels are.
    drug_column
        Column of the profiles that holds the drug: its id in the table of labels.
    dose_column
        Column of the profiles that holds the dose: adds a floor that reads nothing else. Absent: none.
    covariates
        Columns of numbers of the labels that are read besides, separated by commas: dose,time.
    components
        Principal components of the genes, learned in each fold.
    features
        What to judge, separated by commas: genes, pca, X_deeppert, or several side by side as X_deeppert+onehot. Where
        absent: each alone.
    heads
        What reads them, separated by commas: forest, boosting, network.
    by
        What is unseen at test, separated by commas: pair, drug, structure, scaffold, cell, both drugs, row, another
        column, or file (the column fold).
    folds
        Number of folds.
    """

    profiles: str | None = None
    drugs: str | None = None
    target: str = "label"
    kind: Literal["classification", "regression"] | None = None
    drug_column: str = "drug"
    dose_column: str | None = None
    covariates: tuple[str, ...] = ()
    components: int = 10
    features: tuple[str, ...] = ()
    heads: tuple[str, ...] = ("forest",)
    by: tuple[str, ...] = ("drug",)
    folds: int = 5


def command() -> Any:
    """The verb, for the command line."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

    def run(
        labels: str = typer.Argument(
            ..., metavar="LABELS", help="Table with drug (or drug_a and drug_b), label, and cell if there are several."
        ),
        out: str = typer.Option(..., "--out", help="Run folder to write."),
        **flags: Any,
    ) -> None:
        """Predict synergy (pairs, in any order), toxicity or sensitivity from profiles, beside floors without genes.

        Floors: which drug it is, its fingerprint, its properties, its dose, the mean label.
        """
        with engaged(collect(RunFlags, flags)) as how:
            downstream(labels, out, collect(DownstreamFlags, flags), how)

    app.command()(add(run, DownstreamFlags, RunFlags))
    return typer.main.get_command(app)


def downstream(labels: str, out: str, flags: DownstreamFlags, how: RunFlags) -> None:
    """Judge what each representation predicts, and write a run folder."""
    import pandas as pd

    from galenic.benchmarking import benchmark
    from galenic.cli import summary
    from galenic.report import run as run_folder

    task, coverage = task_of(labels, flags)
    models = models_of(task, flags)
    fields = {"labels": labels, **asdict(flags), "seeds": list(how.seeds), "floors": list(task.floors())}
    given = [path for path in (labels, flags.profiles, flags.drugs) if path]
    with (
        run_folder.start(
            out,
            verb="downstream",
            command=summary.typed(),
            fields=fields,
            title=f"{flags.target} of {'pairs of drugs' if 'drug_a' in task.labels else 'drugs'}",
            inputs=given,
            overwrite=how.overwrite,
            resume=how.resume,
        ) as run,
        summary.kept_warnings(run),
    ):
        describe(run, task)
        with run.timed("benchmark"):
            found = benchmark(
                models,
                task,
                by=flags.by,
                n_folds=flags.folds,
                seeds=how.seeds,
                n_jobs=how.jobs,
                parts=run.folder / "parts",
                progress=True,
            )
        for note in found.notes:
            run.note(note)
        compared = pd.concat([task.compare(found.metrics, by, flags.folds) for by in flags.by], ignore_index=True)
        run.write("metrics", found.metrics)
        run.write("comparison", compared)
        run.write("scores_by_drug", found.scores_by_drug)
        if found.predictions is not None:
            run.write("predictions", found.predictions)
        if len(coverage):
            run.write("coverage", coverage)
        clear(run)
    show(found.metrics, compared, task)
    summary.finish(run)


def task_of(source: str, flags: DownstreamFlags) -> tuple[DownstreamTask, pd.DataFrame]:
    """The question, of the labels whose drugs have profiles; and what was left out."""
    import pandas as pd

    from galenic.data import read
    from galenic.data.drugs import standardise
    from galenic.data.read.coverage import coverage_table
    from galenic.data.read.drug_table import read_drugs
    from galenic.tasks import DownstreamTask, represented
    from galenic.tasks.downstream_splits import drug_columns

    labels = read.table(source)
    made = representations(flags)
    columns = drug_columns(labels)
    labels = labels.astype(dict.fromkeys(columns, str))
    kept, coverage = represented(labels, made)
    if kept.empty:
        raise ValueError(
            f"drugs of the labels should have profiles; of {len(labels):,} rows none does (drugs: "
            f"{', '.join(map(repr, labels[columns[0]].unique()[:3]))}). Check --drug-column and the ids of both files."
        )
    drugs = None
    if flags.drugs:
        steps: list[Any] = []
        ids = pd.DataFrame({"drug": pd.unique(kept[columns].to_numpy().ravel())})
        given = read_drugs(ids, ids, read.table(flags.drugs), chosen=None, steps=steps)[1]
        drugs, notes = standardise(given)
        coverage = pd.concat([coverage, coverage_table(steps), notes], ignore_index=True)
    task = DownstreamTask(
        kept, made, drugs=drugs, target=flags.target, kind=flags.kind, covariates=flags.covariates, heads=flags.heads
    )
    return task, coverage


def representations(flags: DownstreamFlags) -> dict[str, Any]:
    """Genes, their components and embeddings: means over the profiles of each drug."""
    import numpy as np
    import pandas as pd

    from galenic.data.checks import require_columns
    from galenic.tasks import Learned, components

    if not flags.profiles:
        return {}
    obs, genes, embeddings = _profiles(flags.profiles, flags.drug_column, flags.dose_column)
    require_columns(obs, [flags.drug_column], "profiles (name it with --drug-column): their table")
    names = obs[flags.drug_column].astype(str).to_numpy()
    found: dict[str, Any] = {"genes": genes.groupby(names).mean()}
    found["pca"] = Learned(found["genes"], components(flags.components))
    for name, vectors in embeddings.items():
        found[name] = pd.DataFrame(vectors, index=genes.index).groupby(names).mean()
    if flags.dose_column:
        require_columns(obs, [flags.dose_column], "profiles (--dose-column): their table")
        dose = pd.DataFrame({"dose": np.log1p(obs[flags.dose_column].astype(float).to_numpy())})
        found["dose"] = dose.groupby(names).mean()
    return found


def _profiles(path: str, drug: str, dose: str | None) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Labels of profiles, their genes, and their embeddings."""
    import numpy as np
    import pandas as pd
    from scipy import sparse

    from galenic.data import read
    from galenic.data.checks import is_zarr
    from galenic.data.read.matrices import open_h5ad

    if path.endswith((".h5ad", ".gct", ".gctx", ".gct.gz")) or is_zarr(path):
        # Reading profiles keeps genes and labels; embeddings are in the file itself.
        adata = open_h5ad(path) if path.endswith(".h5ad") or is_zarr(path) else read.profiles(path)
        values = adata.X.toarray() if sparse.issparse(adata.X) else np.asarray(adata.X)
        genes = pd.DataFrame(values, columns=adata.var_names).astype(np.float64)
        embeddings = {name: np.asarray(vectors) for name, vectors in adata.obsm.items() if name.startswith("X_")}
        return adata.obs.reset_index(drop=True), genes, embeddings
    table = read.table(path)
    numbers = number_columns(table, Path(path).name, (drug, dose))
    return table, table[numbers], {}


def number_columns(table: pd.DataFrame, name: str, others: tuple[str | None, ...]) -> list[str]:
    """Columns of a table that are read: its genes or, where it has none, its fractions but for doses, weights and such.

    Prints how many, and which numbers are left out.
    """
    import pandas as pd

    from galenic.data.checks import first
    from galenic.data.read.gene_columns import NoGenesError, gene_columns, is_annotation

    rest = table.drop(columns=[column for column in others if column in table])
    try:
        chosen = [str(rest.columns[place]) for place in gene_columns(rest, name).genes]
        what = "genes"
    except NoGenesError:
        chosen = [column for column in rest if pd.api.types.is_float_dtype(rest[column]) and not is_annotation(column)]
        what = "numbers, as none is called as genes are"
    if not chosen:
        raise ValueError(
            f"{name} should have columns of genes or of an embedding; none of its {table.shape[1]:,} columns is "
            f"(first: {first(table.columns, 6)}). Name another file."
        )
    left = [column for column in rest if column not in chosen and pd.api.types.is_numeric_dtype(rest[column])]
    without = f"; not read: {first(left, 8)}" if left else ""
    typer.echo(f"{len(chosen):,} columns of {name} are {what} (first: {first(chosen)}){without}", err=True)
    return chosen


def models_of(task: DownstreamTask, flags: DownstreamFlags) -> dict[str, Any]:
    """What is judged: each representation that is no floor, or those named, with each head."""
    from galenic.tasks import Predictor

    alone = [name for name in task.representations if name != "dose"]
    names = flags.features or tuple(alone)
    if not names:
        raise ValueError(
            "something should be judged beside the floors; no profiles are given and no --features. "
            "Name --profiles FILE, or --features fingerprint+properties."
        )
    return {
        f"{name}, {head}": Predictor(features=tuple(name.split("+")), head=head)  # type: ignore[arg-type]
        for name in names
        for head in flags.heads
    }


def describe(run: Run, task: DownstreamTask) -> None:
    """Put the size of the table on record, and on the screen."""
    from galenic.tasks.downstream_splits import drug_columns

    columns = drug_columns(task.labels)
    n_drugs = len(set(task.labels[columns].to_numpy().ravel()))
    what = "pairs of drugs" if len(columns) == 2 else "rows"
    run.record["data"] = {"pairs": len(task.labels)} if len(columns) == 2 else {}
    run.record["data"]["drugs"] = n_drugs
    said = f"{int(task.truth.sum()):,} of class 1" if task.is_class else f"numbers, mean {task.truth.mean():.3g}"
    typer.echo(f"{len(task.labels):,} {what}, {n_drugs:,} drugs; {task.target}: {said}")


def show(metrics: pd.DataFrame, compared: pd.DataFrame, task: DownstreamTask) -> None:
    """Print mean scores, and what the best model that is no floor gains on the best floor."""
    from rich.console import Console
    from rich.table import Table

    from galenic.tasks.downstream import MAIN, SCORED

    floors, main = task.floors(), MAIN[task.is_class]
    means = metrics.groupby(["split", "model", "metric"], sort=False)["value"].mean().reset_index()
    means = means.pivot_table(index=["split", "model"], columns="metric", values="value", sort=False)
    for split in metrics["split"].unique():
        table = Table(title=f"unseen: {split}", title_justify="left", box=None)
        for name in ("", *SCORED[task.is_class]):
            table.add_column(name.replace("_", " "), justify="right" if name else "left", no_wrap=True)
        for model, row in means.loc[split].sort_values(main, ascending=not task.is_class).iterrows():
            values = ["–" if value != value else f"{value:.3f}" for value in row[list(SCORED[task.is_class])]]
            table.add_row(f"{model} (floor)" if model in floors else str(model), *values)
        Console().print(table)
        rows = compared[(compared["split"] == split) & (compared["metric"] == main)]
        if not rows["difference"].notna().any():
            continue
        sign = 1 if task.is_class else -1  # less error is better
        best = rows.loc[(sign * rows["difference"]).idxmax()]
        span = f"{best['difference']:+.3f} [{best['low']:+.3f}, {best['high']:+.3f}]"
        low, high = sorted((sign * best["low"], sign * best["high"]))
        verdict = "beats" if low > 0 else "is worse than" if high < 0 else "is not told apart from"
        said = f"{best['model']} {verdict} the best floor, {best['floor']}: {main} {span}"
        if verdict == "is not told apart from":
            said += f"; with 80 % chance these data detect a difference of {best['detectable']:.3f}"
        typer.echo(said)


def clear(run: Run) -> None:
    """Remove what only an interrupted run needs."""
    import shutil

    shutil.rmtree(run.folder / "parts", ignore_errors=True)
