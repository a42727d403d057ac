"""``galenic evaluate``: score anyone's predictions, or test them on patients."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

from galenic.cli.flags import add, collect
from galenic.cli.manual import with_ends

if TYPE_CHECKING:
    import pandas as pd

    from galenic.report.run import Run


@dataclass(frozen=True, kw_only=True)
class EvaluateFlags:
    """What the predictions are held against.

    Parameters
    ----------
    truth
        Table of measured responses (cell, drug, response), where the predictions do not carry them; of predicted
        expression: h5ad with the measured treated and control cells.
    labels
        Table of patients' outcomes (cell or patient, drug, label 1 = responder; cohort): test the predictions on
        patients.
    reference
        Expression matrix that the model was fitted on; with --target, measures how far the patients lie from it.
    target
        Expression matrix of the patients.
    context
        Of predicted expression: column of the cell type or line in the measured cells.
    perturbation
        Of predicted expression: column of the perturbation in the measured cells.
    control
        Of predicted expression: a column of true and false that marks measured controls, or what they are called.
    dose
        Of predicted expression: column of doses that are conditions of their own.
    overwrite
        Replace an earlier run in the same folder.
    """

    truth: str | None = None
    labels: str | None = None
    reference: str | None = None
    target: str | None = None
    context: str = "cell_type"
    perturbation: str = "perturbation"
    control: str = "control"
    dose: str | None = None
    overwrite: bool = False


def command() -> Any:
    """The verb, for the command line."""
    if sys.argv[1:3] == ["evaluate", "cells"]:
        from galenic.cli.evaluate_cells import command as of_cells

        return with_ends(of_cells(), ("evaluate", "cells"))
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    def run(
        predictions: str = typer.Argument(
            ...,
            help="Table with cell, drug, prediction; or a run folder of 'predict'; or h5ad of predicted expression.",
        ),
        out: str = typer.Option(..., "--out", help="Run folder to write."),
        **flags: Any,
    ) -> None:
        """Score predictions overall, within drugs and within cells; or test responders against non-responders.

        With h5ad: mean expression of conditions (obs context, perturbation) against measured cells and their controls.

        Predictions of single cells: galenic evaluate cells TABLE --truth LABELS.
        """
        evaluate(predictions, out, collect(EvaluateFlags, flags))

    app.command()(add(run, EvaluateFlags))
    return typer.main.get_command(app)


def evaluate(source: str, out: str, how: EvaluateFlags) -> None:
    """Write the scores of a prediction table, or of predicted expression, to a run folder."""
    from galenic.cli import summary
    from galenic.report import run as run_folder

    if source.endswith(".h5ad"):
        from galenic.cli.evaluate_perturbations import evaluate as evaluate_effects

        return evaluate_effects(source, out, how)

    table = _predictions(source)
    given = [path for path in (source, how.truth, how.labels, how.reference, how.target) if path]
    with (
        run_folder.start(
            out,
            verb="evaluate",
            command=summary.typed(),
            fields={"source": source, **_of_responses(how)},
            title=f"Evaluation of {source}",
            inputs=given,
            overwrite=how.overwrite,
        ) as run,
        summary.kept_warnings(run),
    ):
        if how.labels:
            patients(run, table, how.labels)
        else:
            scores(run, table, how.truth)
        if how.reference and how.target:
            shift(run, how.reference, how.target)
    summary.finish(run)


def _of_responses(how: EvaluateFlags) -> dict[str, Any]:
    """The flags without those of predicted expression."""
    own = ("context", "perturbation", "control", "dose")
    return {name: value for name, value in asdict(how).items() if name not in own}


def _predictions(source: str) -> pd.DataFrame:
    from pathlib import Path

    from galenic.data import read
    from galenic.data.checks import require_columns

    path = Path(source)
    table = read.table(path / "predictions.parquet" if path.is_dir() else path)
    require_columns(table, ["cell", "drug", "prediction"], "the prediction table")
    return table.astype({"cell": str, "drug": str})


def scores(run: Run, table: pd.DataFrame, truth: str | None) -> None:
    """Overall scores and scores of each drug."""
    import pandas as pd

    from galenic.data import read
    from galenic.data.checks import require_columns
    from galenic.evaluate.response import overview, response

    if truth:
        measured = read.response_data(truth, missing="drop", repeats="mean").pairs
        table = table.drop(columns="response", errors="ignore")
        table = table.merge(measured[["cell", "drug", "response"]], on=["cell", "drug"])
    require_columns(table, ["response"], "scoring (name measured responses with --truth): the prediction table")
    if table.empty:
        raise ValueError(
            "some predictions should have a measured response; 0 pairs of both tables match. Check the ids."
        )
    model = str(table["model"].iloc[0]) if "model" in table else "predictions"
    found = overview(table, floor="floor" if "floor" in table else None)
    where = {"model": model, "split": "given", "fold": 0, "seed": 0}
    run.write("metrics", found.assign(**where))
    drugs = response(table, "drug").rename(columns={"group": "drug"}).assign(model=model, split="given")
    run.write("scores_by_drug", drugs)
    run.write("predictions", table)
    with pd.option_context("display.float_format", "{:.3f}".format):
        typer.echo(found.pivot_table(index="group", columns="metric", values="value", sort=False).to_string())


def patients(run: Run, table: pd.DataFrame, labels: str) -> None:
    """The responder test, per drug and cohort."""
    from galenic.data.outcomes import join_outcomes
    from galenic.evaluate.patients import responders

    joined = join_outcomes(table, labels)
    found = responders(joined, cohort="cohort" if len(set(joined["cohort"])) > 1 else None)
    if found["auroc"].isna().all():
        raise ValueError(
            f"a test needs at least 3 responders and 3 non-responders of one drug in one cohort; {labels} and the "
            f"predictions share {len(joined):,} outcomes, {int(joined['label'].sum()):,} of responders. Add patients."
        )
    run.write("patients", found)
    typer.echo(found.to_string(index=False))


def shift(run: Run, reference: str, target: str) -> None:
    """How far the target's expression lies from the reference's, over their shared genes."""
    from galenic.data import read
    from galenic.evaluate.shift import domain_shift

    a, b = read.matrix(reference), read.matrix(target)
    genes = a.columns.intersection(b.columns)
    if len(genes) == 0:
        raise ValueError(
            f"{reference} and {target} should share genes; 0 of {a.shape[1]:,} do. Use the same gene names."
        )
    run.write("shift", domain_shift(a[genes], b[genes]))
