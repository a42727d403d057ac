"""What the page of benchmarks computes: a run folder out of an uploaded table of scores, and the report as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from galenic.evaluate.statistics import compare
from galenic.report import run as run_folder
from galenic.report.page import render, sections_of
from galenic.report.tables import read_table
from galenic.tasks import FLOORS


def read_scores(path: Path) -> pd.DataFrame:
    """A table of scores, as ``galenic benchmark`` and ``fit`` write it (metrics.csv).

    Raises
    ------
    ValueError
        If it lacks a column, or holds no row.
    """
    table = read_table(path, "metrics", {})
    if table.empty:
        raise ValueError(f"a table of scores should have rows; {path.name} has none. Upload another.")
    return table


def floors_in(scores: pd.DataFrame) -> list[str]:
    """Models of a table of scores that are known as floors."""
    return [name for name in dict.fromkeys(scores["model"].astype(str)) if name in FLOORS]


def as_run(scores: pd.DataFrame, floors: Sequence[str], folder: Path) -> Path:
    """A run folder that holds these scores, and each model's difference to its best floor."""
    with run_folder.start(
        folder, verb="benchmark", command="galenic app", fields={"floors": list(floors)}, title="Uploaded scores",
        overwrite=(folder / "run.json").is_file(),
    ) as run:  # fmt: skip
        run.write("metrics", scores)
        if floors:
            run.write("comparison", compare(scores, list(floors)))
    return folder


def report(folder: Path) -> bytes:
    """The page that ``galenic report`` writes; nothing is written into the folder."""
    run = run_folder.read(folder)
    return render(run, sections_of(run)).encode("utf-8")
