"""What the verbs share at their end: tables into the run folder, a few lines on the screen, the report."""

from __future__ import annotations

import shlex
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

    from galenic.benchmarking import Result
    from galenic.data.response import ResponseData
    from galenic.report.run import Run

SHOWN = {
    ("all", "rmse"): "RMSE",
    ("all", "pearson"): "Pearson",
    ("within_drug", "pearson"): "within drugs",
    ("beyond_floor", "r2"): "R2 beyond effects",
    ("all", "map"): "mAP",
    ("all", "median_quantile"): "median quantile",
    ("all", "recall_at_1pct"): "recall 1 %",
    ("moa", "auroc_pooled"): "mechanism AUROC",
}
"""Scores on the screen, those that a run has, with their headings."""
EFFECTS = {
    ("all", "mae"): "MAE",
    ("all", "pearson_delta"): "Pearson",
    ("all", "pearson_delta_perturbed"): "beyond mean",
    ("all", "discrimination"): "discrimination",
}
"""The same where effects of perturbations were predicted; "beyond mean": around the mean of the trained conditions."""


def typed() -> str:
    """The command as it was typed."""
    return shlex.join(["galenic", *sys.argv[1:]])


@contextmanager
def kept_warnings(run: Run) -> Iterator[None]:
    """Print warnings as ever, and keep them for the report."""
    shown = warnings.showwarning

    def keep(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
        if category is UserWarning:
            run.note(message)
        shown(message, category, *rest, **named)

    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = keep
        try:
            yield
        except KeyboardInterrupt as stopped:
            raise KeyboardInterrupt(_kept(run)) from stopped
        finally:
            warnings.showwarning = shown


def _kept(run: Run) -> str:
    """What a run that was stopped leaves behind."""
    from galenic.report.provenance import files_of
    from galenic.report.run import RECORD

    if [path.name for path in files_of(run.folder)] == [RECORD]:
        return "stopped before anything was finished; no run folder is left"
    return "stopped; what was finished is kept: the same command with --resume goes on"


def describe(run: Run, data: ResponseData) -> None:
    """Put the size of the data on record, and on the screen."""
    sizes = {"expression": data.cells.n_vars} | {name: table.shape[1] for name, table in data.cells.obsm.items()}
    run.record["data"] = {
        "pairs": len(data),
        "cells": int(data.pairs["cell"].nunique()),
        "drugs": int(data.pairs["drug"].nunique()),
        "unit": data.unit,
        "modalities": sizes,
    }
    typer.echo(repr(data))


def write_coverage(run: Run, data: ResponseData) -> None:
    """What reading matched and dropped; written with the results, so that a run refused at its start leaves nothing."""
    if len(data.coverage):
        run.write("coverage", data.coverage)


def write_result(run: Run, result: Result, whole: ResponseData) -> None:
    """Write the tables of a benchmark of responses and the ceilings of its data; print the scores."""
    found = ceilings(whole)
    if found is not None:
        run.write("ceilings", found)
    write_scores(run, result, whole.drugs)


def write_scores(run: Run, result: Result, drugs: pd.DataFrame | None = None) -> None:
    """Write the tables of a benchmark, with the names of ``drugs``; print the scores."""
    run.record["seconds"] |= {f"{row.model}, {row.split}": round(row.seconds, 2) for row in result.seconds.itertuples()}
    for note in result.notes:
        run.note(note)
    run.write("metrics", result.metrics)
    run.write("comparison", result.comparison)
    run.write("scores_by_drug", result.scores_by_drug if drugs is None else named(result.scores_by_drug, drugs))
    if result.predictions is not None:
        run.write("predictions", result.predictions)
    for name, table in result.tables.items():
        run.write(name, table)
    shutil.rmtree(run.folder / "parts", ignore_errors=True)
    show_scores(run, result.metrics, result.floors)


def named(table: pd.DataFrame, drugs: pd.DataFrame) -> pd.DataFrame:
    """The table with the name of each drug after its id."""
    names = drugs["name"] if "name" in drugs else drugs.index.to_series()
    table = table.copy()
    table.insert(table.columns.get_loc("drug") + 1, "name", names.reindex(table["drug"]).to_numpy())
    return table


def ceilings(data: ResponseData) -> pd.DataFrame | None:
    """Agreement of repeated screens of one compound, where there are any."""
    from galenic.evaluate.ceilings import ceiling

    if "structure" not in data.drugs or data.drugs["structure"].dropna().is_unique:
        return None
    found = ceiling(data.pairs_with("structure"))
    return found if len(found) else None


def show_scores(run: Run, metrics: pd.DataFrame, floors: tuple[str, ...]) -> None:
    """Print mean scores of every model, floors marked, and what the page will answer."""
    from rich.console import Console
    from rich.table import Table

    from galenic.report.sections import answers
    from galenic.report.words import split_name

    means = metrics.groupby(["split", "model", "group", "metric"], sort=False)["value"].mean()
    asked = metrics[(metrics["metric"] == "map") & (metrics["group"] == "all")].groupby("split")["n"].mean()
    for split, part in means.groupby(level="split", sort=False):
        table = Table(title=split_name(str(split)), title_justify="left", box=None)
        there = set(part.index.droplevel(["split", "model"]))
        known = EFFECTS if ("all", "pearson_delta") in there else SHOWN
        shown_here = {key: name for key, name in known.items() if key in there}
        for name in ("", *shown_here.values()):
            table.add_column(name, justify="right" if name else "left", no_wrap=True)
        for model in part.index.get_level_values("model").unique():
            values = [part.get((split, model, *key), float("nan")) for key in shown_here]
            shown = ["–" if value != value else f"{value:.3f}" for value in values]
            table.add_row(f"{model} (floor)" if model in floors else str(model), *shown)
        Console().print(table)
        if split in asked:
            typer.echo(f"{asked[split]:,.0f} profiles a fold have others that they should find")
    for _, answer in answers(run):
        typer.echo(answer)


def show_shares(run: Run, model: Any) -> None:
    """Say, and put on record, how much the networks of a model count beside its start."""
    for using, told in model.spec_["roles"].items():
        said = f"{told['share']:.2f}, for new drugs {told['new_share']:.2f} (0 = the start alone answers)"
        run.record["fields"][f"share of the networks, {using}"] = said
        typer.echo(f"share of the networks, {using}: {said}")


def finish(run: Run) -> None:
    """Write the page and say where it is."""
    from galenic.report.page import write_report

    typer.echo(f"report: {write_report(run.folder)}")
