"""``galenic predict RUN DATA``: ranked drugs for new cells, single cells, or effects of perturbations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import typer

from galenic.cli.flags import add, collect


@dataclass(frozen=True, kw_only=True)
class PredictFlags:
    """What is predicted, and what else describes the cells.

    Parameters
    ----------
    drugs
        Table of drugs with a SMILES column, known or new; the drugs of fitting where absent.
    modality
        More matrices of the cells, as name=file separated by commas.
    cells
        Table of cells with a tissue column.
    symbols
        Table that translates the ids of the genes (Ensembl, Entrez) into symbols: ids in the first column.
    using
        Of a KDRUG model: student or teacher; the one that was meant to answer where not named.
    coverage
        Chance that an interval holds the measured response, for models that give intervals.
    conditions
        Of a model of perturbations: table of what is asked (context, perturbation and, with doses, dose); every
        condition of the data where absent.
    unknown
        Of a model of perturbations: what to do about perturbations that neither the fit nor the data name: refuse
        them, or keep them, to be answered by what is usual in the context.
    device
        Of a model of perturbations: where networks compute: cpu, cuda, auto.
    with_controls
        Of a model of perturbations: write the measured controls too, under the names that the cells have for columns:
        what cell-eval and pertpy read.
    by
        Of a model of single cells: columns of the cells (cluster, sample) over which predictions are summed up,
        separated by commas.
    statistics
        Of a model of single cells: by whose means and standard deviations genes are aligned: as fitted (those of the
        target where there was one), stored, or own (of these cells).
    overwrite
        Replace an earlier run in the same folder, or the table.
    """

    drugs: str | None = None
    modality: tuple[str, ...] = ()
    cells: str | None = None
    symbols: str | None = None
    using: Literal["student", "teacher"] | None = None
    coverage: float = 0.9
    conditions: str | None = None
    unknown: Literal["refuse", "keep"] = "refuse"
    device: str = "cpu"
    with_controls: bool = False
    by: tuple[str, ...] = ()
    statistics: Literal["as fitted", "stored", "own"] = "as fitted"
    overwrite: bool = False


def command() -> Any:
    """The verb, for the command line."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    def run(
        folder: str = typer.Argument(..., metavar="RUN", help="Run folder of 'galenic fit', or a model folder."),
        data: str = typer.Argument(
            ..., help="Expression matrix of the new cells, or a data folder; or h5ad of single cells or with controls."
        ),
        out: str = typer.Option(..., "--out", help="Table to write (.csv or .parquet), or a run folder; or h5ad."),
        **flags: Any,
    ) -> None:
        """Predict the response of every cell to every drug, and rank the drugs of each cell (1 = most sensitive).

        With a model of perturbations: the mean expression of contexts under perturbations, from DATA that holds their
        controls, as h5ad: X, layers effect (X less the controls), obs n_sources and fallback.

        With a model of single cells: P(sensitive) of each cell of an h5ad file, or of each patient of a table of bulk
        expression (TCGA from Xena, log2(TPM + 1)), as a table, as h5ad with new columns in obs, or as a run folder.
        """
        predict(folder, data, out, collect(PredictFlags, flags))

    app.command()(add(run, PredictFlags))
    return typer.main.get_command(app)


def predict(folder: str, source: str, out: str, how: PredictFlags) -> None:
    """Write predictions and ranks to a table or to a run folder; effects of perturbations to an h5ad file."""
    from pathlib import Path

    from galenic.cli import inputs, summary
    from galenic.data import read
    from galenic.models.answering import aligned, answers
    from galenic.models.ranking import rank
    from galenic.models.shift import shift
    from galenic.report import run as run_folder
    from galenic.report.judged import judged

    if inputs.is_of_perturbations(folder):
        from galenic.cli.predict_perturbations import predict as predict_effects

        return predict_effects(folder, source, out, how)
    from galenic.cli.predict_cells import is_of_cells
    from galenic.cli.predict_cells import predict as predict_cells

    if is_of_cells(folder):
        return predict_cells(folder, source, out, how)
    if how.by or how.statistics != "as fitted":
        flag = "by" if how.by else "statistics"
        raise ValueError(f"--{flag} is for a model of single cells; this is none. Leave it out.")
    if how.conditions:
        raise ValueError("--conditions is for a model of perturbations; this is none. Leave it out.")
    model = inputs.response_model(folder, "predict")
    reads = model.spec_.get("inputs")
    odd = [name for name in inputs.modalities(how.modality) if isinstance(reads, dict) and name not in reads]
    if odd:
        raise ValueError(
            f"this model reads {', '.join(reads)}; received --modality {odd[0]}. Name what it was fitted on."
        )
    data = read.cells_to_predict(
        source,
        modalities=inputs.modalities(how.modality),
        cells=how.cells,
        drugs=how.drugs,
        known=model.drugs_,
        symbols=inputs.symbols(how.symbols),
    )
    if Path(out).suffix in (".csv", ".parquet"):
        _require_free(Path(out), how.overwrite)
        shift(model, data.cells)
        table = rank(answers(model, data, coverage=how.coverage, using=how.using), data.drugs)
        _write(table, Path(out))
        typer.echo(f"{len(table):,} predictions: {out}")
        return
    with (
        run_folder.start(
            out,
            verb="predict",
            command=summary.typed(),
            fields={"model": type(model).__name__, "folder": folder, "judged": judged(folder)},
            title=f"{data.cells.n_obs:,} cells, {len(data.drugs):,} drugs ranked by {type(model).__name__}",
            inputs=[source, *([how.drugs] if how.drugs else []), *([how.cells] if how.cells else [])],
            overwrite=how.overwrite,
        ) as run,
        summary.kept_warnings(run),
    ):
        summary.describe(run, data)
        outside = shift(model, data.cells)
        with run.timed("predict"):
            table = rank(answers(model, data, coverage=how.coverage, using=how.using), data.drugs)
        run.write("predictions", table)
        if len(outside):
            run.write("shift", outside)
        summary.write_coverage(run, aligned(model, data))
        run.write("ranking", table)
    for cell, best in list(table[table["rank"] <= 3].groupby("cell", sort=False))[:5]:
        typer.echo(f"{cell}: {', '.join(f'{row.name} ({row.prediction:.2f})' for row in best.itertuples())}")
    summary.finish(run)


def _require_free(path: Any, overwrite: bool) -> None:
    """Nobody's table is replaced unasked."""
    if path.exists() and not overwrite:
        raise ValueError(f"--out should be a new file; {path} exists. Choose another name, or --overwrite it.")


def _write(table: Any, path: Any) -> None:
    """Whole or not at all."""
    from galenic.work.atomic import written

    with written(path) as draft:
        table.to_csv(draft, index=False) if path.suffix == ".csv" else table.to_parquet(draft, index=False)
