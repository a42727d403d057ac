"""Tables of a benchmark and facts of its data, written into a run folder."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pandas as pd

from galenic.report.run import Run

if TYPE_CHECKING:
    from galenic.data.response import ResponseData


def describe(run: Run, data: ResponseData) -> None:
    """Put the size of the data on record."""
    sizes = {"expression": data.cells.n_vars} | {name: table.shape[1] for name, table in data.cells.obsm.items()}
    run.record["data"] = {
        "pairs": len(data),
        "cells": int(data.pairs["cell"].nunique()),
        "drugs": int(data.pairs["drug"].nunique()),
        "unit": data.unit,
        "modalities": sizes,
    }


def write_coverage(run: Run, data: ResponseData) -> None:
    """What reading matched and dropped; written with the results, so that a run refused at its start leaves nothing."""
    if len(data.coverage):
        run.write("coverage", data.coverage)


def write_result(run: Run, result: Any, whole: ResponseData) -> None:
    """Write the tables of a benchmark of responses and the ceilings of its data.

    Parameters
    ----------
    run
        Being written.
    result
        A :class:`galenic.benchmarking.Result`.
    whole
        The data before any screen was left out: repeated measurements give the ceilings.
    """
    found = ceilings(whole)
    if found is not None:
        run.write("ceilings", found)
    write_scores(run, result, whole.drugs)


def write_scores(run: Run, result: Any, drugs: pd.DataFrame | None = None) -> None:
    """Write the tables of a benchmark, with the names of ``drugs``."""
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


def named(table: pd.DataFrame, drugs: pd.DataFrame) -> pd.DataFrame:
    """The table with the name of each drug after its id.

    Examples
    --------
    >>> named(pd.DataFrame({"drug": ["5"], "value": [1.0]}), pd.DataFrame({"name": ["erlotinib"]}, index=["5"]))
      drug       name  value
    0    5  erlotinib    1.0
    """
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
