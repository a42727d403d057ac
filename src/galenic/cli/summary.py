"""What the verbs share at their end: tables into the run folder, a few lines on the screen, the report."""

from __future__ import annotations

import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from galenic.cli.voice import voice
from galenic.work.bar import progress_bar

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
    """Print warnings as ever, and keep them for the report; the run is told in the document of the command too."""
    voice().run = run
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
    from galenic.report import written

    written.describe(run, data)
    typer.echo(repr(data))


def write_coverage(run: Run, data: ResponseData) -> None:
    """What reading matched and dropped; written with the results, so that a run refused at its start leaves nothing."""
    from galenic.report import written

    written.write_coverage(run, data)


def write_result(run: Run, result: Result, whole: ResponseData) -> None:
    """Write the tables of a benchmark of responses and the ceilings of its data; print the scores."""
    from galenic.report import written

    written.write_result(run, result, whole)
    show_scores(run, result.metrics, result.floors)


def write_scores(run: Run, result: Result, drugs: pd.DataFrame | None = None) -> None:
    """Write the tables of a benchmark, with the names of ``drugs``; print the scores."""
    from galenic.report import written

    written.write_scores(run, result, drugs)
    show_scores(run, result.metrics, result.floors)


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


@progress_bar("writing the page")
def finish(run: Run) -> None:
    """Write the page and say where it is."""
    from galenic.report.page import write_report

    voice().run = run
    typer.echo(f"report: {write_report(run.folder)}")
