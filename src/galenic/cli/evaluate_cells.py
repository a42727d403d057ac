"""``galenic evaluate cells TABLE --truth LABELS``: score anyone's predictions of single cells."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from galenic.cli.flags import add, collect

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

RANKED = ("auroc", "auprc", "brier", "ece")
"""Metrics of probabilities; the others are of calls."""
CALLED = ("mcc", "f1", "balanced_accuracy")


@dataclass(frozen=True, kw_only=True)
class EvaluateCellsFlags:
    """What predictions of cells are held against.

    Parameters
    ----------
    truth
        Table of labels by cell (cell, label); or a column of the predictions, if they have one of that name.
    truth_column
        Column of the labels in the table, where it is not recognised.
    truth_convention
        What 1 and 0 mean there: sensitive=1 or sensitive=0; words mean what they say.
    by
        Column of the predictions whose groups (samples) are drawn for the intervals, and scored one by one besides;
        without, cells are drawn, and intervals hold for other cells of the same samples.
    run
        Run folder of the model, whose threshold makes calls of probabilities where the table has no column label.
    overwrite
        Replace an earlier run in the same folder.
    """

    truth: str | None = None
    truth_column: str | None = None
    truth_convention: Literal["sensitive=1", "sensitive=0"] = "sensitive=1"
    by: str | None = None
    run: str | None = None
    overwrite: bool = False


def command() -> Any:
    """The verb ``evaluate`` where cells are scored, for the command line."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

    @app.callback()
    def evaluate_() -> None:
        """Score predictions."""

    def cells(
        predictions: str = typer.Argument(
            ..., help="Table with cell, probability (label, abstain); h5ad with these in obs; or a run folder."
        ),
        out: str = typer.Option(..., "--out", help="Run folder to write."),
        **flags: Any,
    ) -> None:
        """Score P(sensitive) of single cells: AUROC, AUPRC, MCC, F1, balanced accuracy, Brier, ECE with intervals.

        Calls are those of the predictions (column label), or made by the threshold of --run: it is never chosen here.
        """
        evaluate(predictions, out, collect(EvaluateCellsFlags, flags))

    app.command("cells")(add(cells, EvaluateCellsFlags))
    return typer.main.get_command(app)


def evaluate(source: str, out: str, how: EvaluateCellsFlags) -> None:
    """Write scores of predicted cells to a run folder."""
    import pandas as pd

    from galenic.cli import summary
    from galenic.report import run as run_folder

    table = read_predictions(source)
    known = with_truth(table, how)
    called = with_calls(known, how.run or (source if Path(source).is_dir() else None))
    if how.by is not None and how.by not in called:
        from galenic.data.checks import first

        raise ValueError(
            f"--by should name a column of the predictions; they have {first(called.columns, 8)}. Predict with --by "
            f"{how.by}, or add the column."
        )
    given = [path for path in (source, how.truth, how.run) if path and Path(path).exists()]
    with (
        run_folder.start(
            out,
            verb="evaluate",
            command=summary.typed(),
            fields={"source": source, **asdict(how)},
            title=f"Evaluation of {source}",
            inputs=given,
            overwrite=how.overwrite,
        ) as run,
        summary.kept_warnings(run),
    ):
        n_out = len(table) - len(called)
        if n_out:
            run.note(f"{n_out:,} of {len(table):,} predicted cells have no known label or no probability: left out.")
        run.record["data"] = {"cells": len(called)}
        by = how.by
        if by is not None and called[by].nunique() < 2:
            warnings.warn(f"column {by!r} holds one group: cells are drawn for the intervals instead.", stacklevel=2)
            by = None
        scores = score_cells(called, called["truth"].to_numpy(dtype=float), by)
        run.write("cell_scores", scores)
        run.write("cells", called)
        with pd.option_context("display.float_format", "{:.3f}".format):
            typer.echo(scores[scores["group"].isin(["all", "answered"])].to_string(index=False))
    summary.finish(run)


def read_predictions(source: str) -> pd.DataFrame:
    """Predictions with a column ``cell``, whatever they lie in."""
    from galenic.data import read
    from galenic.data.checks import require_columns
    from galenic.data.read.columns import find
    from galenic.data.read.files import kind_of_file
    from galenic.data.read.matrices import open_h5ad
    from galenic.data.sensitivity_labels import CELL_ID

    path = Path(source)
    if path.is_dir() and (path / "cells_by_drug.csv").is_file() and not (path / "cells.csv").is_file():
        raise ValueError(
            f"predictions of one drug are scored; {source} holds those of several. Predict with the model of one: "
            f"'galenic predict {Path(source) / 'models' / 'DRUG'} cells.h5ad --out one.csv'."
        )
    if path.is_dir():
        path = path / "cells.csv"
    if not path.exists():
        raise FileNotFoundError(
            f"predictions of cells should be a file or run folder; {path} does not exist. Check it."
        )
    if kind_of_file(path) == "h5ad":
        table = open_h5ad(path, backed=True).obs.rename_axis("cell").reset_index()
    else:
        table = read.table(path)
    if "cell" not in table:
        names = find(table.columns, CELL_ID) or [str(table.columns[0])]
        table = table.rename(columns={names[0]: "cell"})
    require_columns(table, ["cell", "probability"], "the table of predicted cells")
    table = table.assign(cell=table["cell"].astype(str))
    twice = table["cell"][table["cell"].duplicated()]
    if len(twice):
        from galenic.data.checks import first

        raise ValueError(
            f"each cell should stand once in the predictions; {len(twice):,} rows repeat one (first: {first(twice)}). "
            "Score one drug, or one sample, at a time."
        )
    if "abstain" not in table:
        table["abstain"] = False
    return table.assign(abstain=table["abstain"].astype(str).str.lower().isin(["true", "1"]))


def with_truth(table: pd.DataFrame, how: EvaluateCellsFlags) -> pd.DataFrame:
    """The cells whose label is known, with it in column ``truth``."""
    import pandas as pd

    from galenic.data import read
    from galenic.data.sensitivity_labels import as_labels, cell_labels, require_both

    named = how.truth or ("truth" if "truth" in table else None)
    if named is None:
        raise ValueError(
            "predictions are scored against labels: --truth TABLE (cell, label), or a column of theirs. Name it."
        )
    if named in table.columns:
        values = as_labels(table[named], convention=how.truth_convention, what=f"column {named!r}")
        truth = pd.Series(values, index=table["cell"]).dropna()
    else:
        truth = cell_labels(
            read.table(named), pd.Index(table["cell"]), convention=how.truth_convention, column=how.truth_column,
            what="the truth",
        )  # fmt: skip
    known = table.assign(truth=table["cell"].map(truth))
    known = known[known["truth"].notna() & known["probability"].notna()].reset_index(drop=True)
    require_both(known["truth"], "labels of cells with a probability", "Rankings need both; label other cells too.")
    return known


def with_calls(table: pd.DataFrame, run: str | None) -> pd.DataFrame:
    """The table with ``label``, what each cell was called: as predicted, or by the threshold of a run."""
    import numpy as np

    from galenic.data.sensitivity_labels import as_labels

    if "label" in table and table["label"].notna().all():
        return table.assign(label=as_labels(table["label"], what="calls of the predictions"))
    if run is None:
        raise ValueError(
            "calls need a column 'label' in the predictions, or the threshold of the run that made them; there is "
            "neither. Name the run with --run: a threshold chosen on these cells would flatter."
        )
    from galenic.models.folders import models_by_drug

    threshold = float(next(iter(models_by_drug(run).values())).spec_["threshold"])
    return table.assign(label=np.where(table["probability"] >= threshold, 1.0, 0.0))


def score_cells(table: pd.DataFrame, truth: np.ndarray, by: str | None = None) -> pd.DataFrame:
    """Scores of probabilities and of calls with intervals: over all cells, those not abstained from, and each group.

    Parameters
    ----------
    table
        ``probability, label`` (called), ``abstain``.
    truth
        1 and 0 of each row.
    by
        Column whose groups are drawn for the intervals and scored one by one.

    Returns
    -------
    pandas.DataFrame
        ``group, metric, value, low, high, n``.
    """
    import pandas as pd

    from galenic.evaluate.single_cell import single_cell, single_cell_intervals

    given = table.assign(truth=truth, called=table["label"].astype(float))
    rows = given[["truth", "probability", "called", "abstain", *([by] if by else [])]]
    parts = []
    for name, part in (("all", rows), ("answered", rows[~rows["abstain"].to_numpy(dtype=bool)])):
        if part["truth"].nunique() == 2:
            for metrics, column in ((RANKED, "probability"), (CALLED, "called")):
                found = single_cell_intervals(part, by, metrics=metrics, truth="truth", prediction=column)
                parts.append(found.assign(group=name))
    if by is not None:
        for metrics, column in ((RANKED, "probability"), (CALLED, "called")):
            parts.append(single_cell(rows, by, metrics=metrics, truth="truth", prediction=column))
    return pd.concat(parts, ignore_index=True)
