"""``galenic predict RUN CELLS`` where the model is one of cells: a probability for each cell, and drugs ranked."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from galenic.cli.predict import PredictFlags
    from galenic.report.run import Run

OWN = ("by", "statistics", "device", "overwrite", "symbols")
"""Flags that a model of cells takes; the others are for models of responses or of perturbations."""


def is_of_cells(folder: str) -> bool:
    """Whether a folder holds one or several saved models of cells."""
    from galenic.models import CELL_MODELS, ENCODERS
    from galenic.models.folders import class_in, several

    found = class_in(folder)
    if found in ENCODERS:
        raise ValueError(
            f"a model that was told of a drug is expected; {folder} holds an encoder of cells, which knows none. Give "
            f"it to 'galenic fit scatd transfer --encoder {folder}', and predict with that run."
        )
    return found in CELL_MODELS or bool(several(folder))


def predict(folder: str, source: str, out: str, how: PredictFlags) -> None:
    """Write predictions to a table, into a copy of the cells (h5ad), or to a run folder."""
    from galenic.cli import summary
    from galenic.cli.cell_tables import require_groups
    from galenic.models.cells.answers import answers_by_drug
    from galenic.models.folders import models_by_drug
    from galenic.report import run as run_folder

    _require_own(how)
    place = Path(out)
    is_file = place.suffix in (".csv", ".parquet", ".h5ad")
    if is_file and place.exists():
        if Path(source).exists() and place.samefile(source):
            raise ValueError(f"--out should be another file than the cells; both are {out}. Choose another name.")
        if not how.overwrite:
            raise ValueError(f"--out should be a new file; {out} exists. Choose another name, or --overwrite it.")
    models = models_by_drug(folder)
    notes: list[str] = []
    cells, statistics, are_patients = read_asked(source, models, how, notes)
    require_groups(cells, how.by)
    if is_file:
        answers = answers_by_drug(models, cells, statistics=statistics, alone=are_patients)
        _write(answers, cells, place, how.by)
        _say(answers, how.by, cells)
        typer.echo(f"{cells.n_obs:,} cells: {out}")
        return
    first = next(iter(models.values()))
    with (
        run_folder.start(
            out,
            verb="predict",
            command=summary.typed(),
            fields={
                "model": type(first).__name__,
                "folder": folder,
                "by": list(how.by),
                "threshold": first.spec_["threshold"],
                "drugs": list(models),
            },
            title=f"{cells.n_obs:,} cells by {type(first).__name__}",
            inputs=[source],
            overwrite=how.overwrite,
        ) as run,
        summary.kept_warnings(run),
    ):
        run.record["data"] = {"cells": cells.n_obs, "genes": cells.n_vars}
        for note in notes:
            run.note(note)
        with run.timed("predict"):
            answers = answers_by_drug(models, cells, statistics=statistics, alone=are_patients)
        _write_run(run, answers, models, cells, how.by)
    summary.finish(run)


def read_asked(source: str, models: dict[str, Any], how: PredictFlags, notes: list[str]) -> tuple[AnnData, Any, bool]:
    """Cells out of h5ad or zarr; or patients out of a table of bulk expression, log2(x + 1).

    Patients are standardised by their own means and standard deviations, and each is judged by itself: neighbours of a
    tumour are other people's.
    """
    from galenic.cli import inputs
    from galenic.data.checks import is_zarr
    from galenic.data.read.files import kind_of_file
    from galenic.data.read.single_cells import bulk_as_cells, single_cells

    if not Path(source).exists():
        raise FileNotFoundError(f"cells should be a file; {source} does not exist. Check the path.")
    statistics = None if how.statistics == "as fitted" else how.statistics
    if (Path(source).is_file() or is_zarr(source)) and kind_of_file(source) == "h5ad":
        rep = next(iter(models.values())).use_rep
        return single_cells(source, notes=notes, use_rep=rep), statistics, False
    natural = next(iter(models.values())).spec_["kind"] in ("counts", "linear")
    patients = bulk_as_cells(source, natural=natural, symbols=inputs.symbols(how.symbols))
    typer.echo(f"{patients.n_obs:,} samples of bulk expression; each is judged by itself")
    return patients, statistics or "own", True


def _write(answers: dict[str, pd.DataFrame], cells: AnnData, place: Path, by: tuple[str, ...]) -> None:
    """A table with a row a cell, or the cells with columns in ``obs``, whole or not at all."""
    from galenic.data.gctx.sniff import writing_explained, written_whole
    from galenic.models.cells.answers import columns_of, prediction_table, with_columns

    with writing_explained(str(place)):
        place.parent.mkdir(parents=True, exist_ok=True)
    joined = columns_of(answers)
    with written_whole(place) as part:
        if place.suffix == ".h5ad":
            with_columns(cells, joined).write_h5ad(part)
        else:
            table = prediction_table(joined, cells, by=by)
            table.to_csv(part, index=False) if place.suffix == ".csv" else table.to_parquet(part, index=False)


def _write_run(
    run: Run, answers: dict[str, pd.DataFrame], models: dict[str, Any], cells: AnnData, by: tuple[str, ...]
) -> None:
    from galenic.cli import cell_tables as tables
    from galenic.models.cells.answers import prediction_table, with_places

    if len(answers) > 1:
        write_ranking(run, answers, cells, by)
        return
    drug, predicted = next(iter(answers.items()))
    model = models[drug]
    table = prediction_table(predicted, cells, by=by)
    run.write("cells", with_places(table, cells, model.use_rep))
    if cells.X is not None:
        from galenic.data.diagnose_cells import coverage_of_cells

        run.write("coverage", coverage_of_cells(cells, model.spec_["features"], rep=model.use_rep))
    if "direction" in predicted.attrs:
        run.record["fields"]["direction"] = predicted.attrs["direction"]
    tables.say_prediction(predicted, drug)
    tables.write_summaries(run, table, by)


def write_ranking(run: Run, answers: dict[str, pd.DataFrame], cells: AnnData, by: tuple[str, ...]) -> None:
    """Drugs ranked over all cells, and within each group; a column of each drug for each cell."""
    import pandas as pd

    from galenic.cli.cell_tables import write_csv
    from galenic.evaluate.cell_summary import rank_drugs, summarise_cells
    from galenic.models.cells.answers import columns_of, prediction_table

    ranking = rank_drugs(answers)
    why = {drug: table.attrs.get("direction", {}).get("why", "") for drug, table in answers.items()}
    silent = ranking["answered"] == 0
    ranking["why"] = ranking["drug"].map(why).where(silent, "") if silent.any() else ""
    run.write("drug_ranking", ranking if silent.any() else ranking.drop(columns="why"))
    write_csv(run, "cells_by_drug", prediction_table(columns_of(answers), cells, by=by))
    for name in by:
        parts = [summarise_cells(table.assign(**{name: cells.obs[name].to_numpy()}), name).assign(drug=drug)
                 for drug, table in answers.items()]  # fmt: skip
        write_csv(run, f"summary_{name}", pd.concat(parts, ignore_index=True))
    _say_ranking(ranking)


def _say(answers: dict[str, pd.DataFrame], by: tuple[str, ...], cells: AnnData) -> None:
    from galenic.cli.cell_tables import say_prediction
    from galenic.evaluate.cell_summary import rank_drugs, summarise_cells

    if len(answers) > 1:
        _say_ranking(rank_drugs(answers))
        return
    drug, table = next(iter(answers.items()))
    say_prediction(table, drug)
    for name in by:
        groups = summarise_cells(table.assign(**{name: cells.obs[name].to_numpy()}), name)
        typer.echo(f"by {name}:\n{groups.round(2).to_string(index=False)}")


def _say_ranking(ranking: pd.DataFrame) -> None:
    shown = ranking[["rank", "drug", "probability", "low", "high", "share_sensitive", "abstained"]].head(20)
    typer.echo(shown.round(2).to_string(index=False))


def _require_own(how: PredictFlags) -> None:
    plain = type(how)()
    for field in fields(how):
        if field.name not in OWN and getattr(how, field.name) != getattr(plain, field.name):
            flag = field.name.replace("_", "-")
            raise ValueError(f"--{flag} is for other models; this one predicts single cells. Leave it out.")
