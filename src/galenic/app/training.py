"""Train on a screen of the user's own: read it, judge the model beside floors on unseen cells, fit it, keep it."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from galenic.benchmarking import benchmark
from galenic.data.read import response_data, table
from galenic.data.response import ResponseData
from galenic.data.simulate import screen
from galenic.models import find
from galenic.report import run as run_folder
from galenic.report.page import write_report
from galenic.report.written import describe, write_coverage, write_result
from galenic.tasks import floors_of
from galenic.work.atomic import written_folder

MODELS = {
    "KernelRidge": "Kernel ridge: seconds; a good first choice",
    "ElasticNet": "Elastic net: seconds to minutes; reads few genes, easy to explain",
    "KDRUG": "KDRUG: many minutes; networks with intervals, also for new drugs (needs structures)",
}
"""Models that the page offers, the quick ones first."""
N_FOLDS = 5


def read_screen(
    response: Path,
    expression: Path,
    *,
    drugs: Path | None = None,
    cells: Path | None = None,
    columns: Mapping[str, str] | None = None,
    unit: str | None = None,
    repeats: Literal["refuse", "mean"] = "refuse",
    missing: Literal["refuse", "drop"] = "refuse",
) -> ResponseData:
    """A screen out of uploaded files; everything as in :func:`galenic.data.read.response_data`."""
    return response_data(
        response, expression=expression, drugs=drugs, cells=cells, columns=dict(columns or {}), unit=unit,
        repeats=repeats, missing=missing,
    )  # fmt: skip


def columns_of(path: Path) -> list[str]:
    """Names of the columns of a table."""
    return [str(name) for name in table(path).columns]


def train(name: str, data: ResponseData, folder: Path, *, fields: Mapping[str, Any] | None = None) -> list[str]:
    """Judge a model on unseen cells beside its floors, fit it on everything, and write a run folder with a report.

    Parameters
    ----------
    name
        Of the model.
    data
        The screen.
    folder
        A new folder, or that of a training which was stopped.
    fields
        Of the model; its defaults where absent.

    Returns
    -------
    list of str
        What was warned of.

    Raises
    ------
    ValueError
        If the model or the folds ask for more than the screen has.
    """
    model: Any = find(name)(**dict(fields or {}))
    with run_folder.start(
        folder,
        verb="fit",
        command="galenic app",
        fields={"model": name, **dict(fields or {}), "by": ["cell"], "folds": N_FOLDS, "floors": floors_of(data)},
        title=f"{name} on {data.cells.n_obs:,} cells and {len(data.drugs):,} drugs",
        seed=getattr(model, "seed", None),
        overwrite=(folder / run_folder.RECORD).is_file(),  # what a training left that was stopped
    ) as run:
        describe(run, data)
        model.require(data)
        with run.timed("judge"):
            result = benchmark({name: model, **model.companions()}, data, by="cell", n_folds=N_FOLDS)
        write_result(run, result, data)
        with run.timed("fit"):
            model.fit(data)
        model.save(run.path("model"))
        if hasattr(model, "history_"):
            run.write("history", model.history_)
        write_coverage(run, data)
    write_report(folder)
    return list(run.record["warnings"])


@cache
def example() -> dict[str, bytes]:
    """Files of a small simulated screen, as a user would upload them."""
    data, _ = screen(n_cells=60, n_drugs=8, n_genes=60, seed=1)
    tables = {
        "responses.csv": data.pairs.rename(columns={"response": "LN_IC50"}),
        "expression.csv": data.cells.to_df().rename_axis("cell").reset_index(),
        "drugs.csv": data.drugs.rename_axis("drug").reset_index()[["drug", "name", "smiles"]],
        "cells.csv": data.cells.obs[["tissue"]].rename_axis("cell").reset_index(),
    }
    return {name: rows.round(4).to_csv(index=False).encode() for name, rows in tables.items()}


def zipped(folder: Path) -> bytes:
    """A folder as a zip file that unpacks to a folder of the same name."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(one for one in folder.rglob("*") if one.is_file()):
            archive.write(path, Path(folder.name, path.relative_to(folder)).as_posix())
    return packed.getvalue()


def save_to(folder: Path, place: str) -> Path:
    """Copy a folder to a new place on this computer, whole or not at all.

    Raises
    ------
    ValueError
        If the place is no absolute path, or something is there.
    """
    target = Path(place.strip().strip("\"'")).expanduser()
    if not place.strip() or not target.is_absolute():
        raise ValueError(
            f"the whole path of a new folder is expected, such as {Path.home() / 'galenic' / 'my-screen'}; received "
            f"{place.strip()!r}. Type the path from its beginning."
        )
    if target.exists():
        raise ValueError(f"the path of a new folder is expected; {target} is there already. Choose another name.")
    with written_folder(target) as draft:
        shutil.copytree(folder, draft, dirs_exist_ok=True)
    return target
