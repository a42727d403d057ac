"""CTRPv2: area under fitted dose response curves, from the tables of its release."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pandas as pd

from galenic.data.read.columns import as_ids
from galenic.data.read.layout import peek
from galenic.data.read.matrices import Source
from galenic.data.read.response import TableSource, response_data
from galenic.data.read.tables import table
from galenic.data.response import ResponseData

DOUBLINGS = 15.0
"""CTRPv2 tests 16 concentrations, each twice the one before: without effect the area over log2 doses is 15."""
TABLES = {
    "curves": ("experiment_id", "area_under_curve", "master_cpd_id"),
    "experiments": ("experiment_id", "master_ccl_id"),
    "cell_lines": ("master_ccl_id", "ccl_name"),
    "compounds": ("master_cpd_id", "cpd_name"),
}
"""Columns that tell the tables of the release."""


def ctrp(
    folder: str | Path,
    *,
    expression: Source | None = None,
    modalities: Mapping[str, Source] | None = None,
    cells: TableSource | None = None,
    repeats: Literal["keep", "mean"] = "mean",
    doublings: float = DOUBLINGS,
) -> ResponseData:
    """The Cancer Therapeutics Response Portal, version 2.

    Parameters
    ----------
    folder
        Holds ``v20.data.curves_post_qc.txt``, ``v20.meta.per_experiment.txt``, ``v20.meta.per_cell_line.txt`` and
        ``v20.meta.per_compound.txt``, found by their columns.
    expression, modalities
        See :func:`galenic.data.read.response_data`. Cells have the name ``ccl_name`` (``A549``).
    cells
        A table that has these names beside other ids (DepMap's ``StrippedCellLineName`` and ``ModelID``), where the
        matrices have the others. Without it tissues are those of the release.
    repeats
        Cells measured in several experiments: their mean, or each, told apart by ``replicate`` (the experiment).
    doublings
        Area of full viability, see Notes.

    Returns
    -------
    ResponseData
        Unit ``auc``.

    Notes
    -----
    ``area_under_curve`` is summed over log2 concentration and reaches about 15. It is divided by ``doublings``, the
    width of the dose range, to become a fraction of full viability. The range is that of the design; compounds that
    were tested at more or fewer concentrations are off by a factor, which is the same for all cells. The number of
    points fitted (``conc_pts_fit``) is no better a width: it counts the points that survived quality control.

    Raises
    ------
    ValueError
        If a table is missing, or as for :func:`galenic.data.read.response_data`.

    References
    ----------
    Rees et al., Correlating chemical sensitivity and basal gene expression reveals mechanism of action, Nature Chemical
    Biology 2016.
    """
    if repeats not in ("keep", "mean"):
        raise ValueError(f"repeats should be 'keep' or 'mean'; received {repeats!r}. Choose one.")
    tables = {name: table(path) for name, path in _find_tables(Path(folder)).items()}
    lines = tables["cell_lines"].assign(master_ccl_id=as_ids(tables["cell_lines"]["master_ccl_id"]))
    names = lines.drop_duplicates("master_ccl_id").set_index("master_ccl_id")["ccl_name"]
    experiments = tables["experiments"].drop_duplicates("experiment_id").set_index("experiment_id")["master_ccl_id"]
    curves = tables["curves"]
    response = pd.DataFrame(
        {
            "ccl_name": as_ids(curves["experiment_id"].map(experiments)).map(names),
            "master_cpd_id": curves["master_cpd_id"],
            "auc": curves["area_under_curve"] / doublings,
        }
    )
    if repeats == "keep":
        response["replicate"] = as_ids(curves["experiment_id"])
    return response_data(
        response,
        expression=expression,
        modalities=modalities,
        drugs=tables["compounds"],
        cells=lines if cells is None else cells,
        unit="auc",
        repeats="mean",
        missing="drop",
    )


def _find_tables(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ValueError(f"CTRPv2 should be a folder with the tables of its release; {folder} is none. Unpack the zip.")
    columns: dict[Path, set[str]] = {}
    for path in sorted(folder.iterdir()):
        try:
            columns[path] = set(peek(path).columns)
        except (ValueError, OSError):
            continue
    found = {
        name: next((path for path, there in columns.items() if set(wanted) <= there), None)
        for name, wanted in TABLES.items()
    }
    missing = [f"{name} ({', '.join(TABLES[name])})" for name, path in found.items() if path is None]
    if missing:
        raise ValueError(
            f"{folder} should hold the tables curves, experiments, cell_lines and compounds of CTRPv2; missing: "
            f"{'; '.join(missing)}. Copy them there from the release."
        )
    return {name: path for name, path in found.items() if path is not None}
