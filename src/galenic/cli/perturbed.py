"""The flags that say where perturbed cells lie and what their columns are called, and how they are read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

from galenic.work.bar import progress_bar

if TYPE_CHECKING:
    from anndata import AnnData

    from galenic.report.run import Run
    from galenic.tasks import PerturbationTask


@dataclass(frozen=True, kw_only=True)
class ColumnFlags:
    """What the columns of perturbed cells are called, and which rows are kept.

    Parameters
    ----------
    context
        Column of the cell type or line; where the default is absent, its usual other names are looked for.
    perturbation
        Column of the perturbation; combinations are written A+B.
    control
        A column of true and false that marks controls, or what controls are called among the perturbations.
    dose
        Column of doses that are conditions of their own; without it, means over doses.
    where
        Keep only rows with these values, as column=value separated by commas; several values of one column may be
        named: compound_plate=CPC006.
    """

    context: str = "cell_type"
    perturbation: str = "perturbation"
    control: str = "control"
    dose: str | None = None
    where: tuple[str, ...] = ()

    @property
    def named(self) -> dict[str, Any]:
        """The columns, as models and tasks take them."""
        return {name: getattr(self, name) for name in ("context", "perturbation", "control", "dose")}


@dataclass(frozen=True, kw_only=True)
class PerturbationDataFlags(ColumnFlags):
    """Which perturbed cells a model learns from.

    Parameters
    ----------
    perturbed
        File of treated and control cells or profiles x genes (h5ad), logs of normalised counts or intensities.
    replicates
        Column of the replicate (plate, donor, batch): the ceiling then compares whole replicates, not cells.
    fold_file
        Your own folds, for --by file: a file of 'galenic data split'; else the column fold of the cells.
    """

    perturbed: str | None = None
    replicates: str | None = None
    fold_file: str | None = None

    @property
    def files(self) -> list[str]:
        """Every file that is read."""
        return [path for path in (self.perturbed, self.fold_file) if path]

    def recipe(self) -> dict[str, Any]:
        """What is given, as plain JSON."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {key: value for key, value in plain.items() if value not in (None, [])}


@progress_bar("reading the data")
def task_of(flags: PerturbationDataFlags, device: str = "cpu") -> PerturbationTask:
    """The question on the cells that the flags name, checked."""
    from galenic.data.checks import require_file
    from galenic.tasks import PerturbationTask

    if not flags.perturbed:
        raise ValueError(
            "perturbed cells are expected: --perturbed FILE (h5ad with treated and control cells). Name one; "
            "'galenic data simulate perturbations --out cells.h5ad' makes one to try."
        )
    if flags.fold_file:
        require_file(flags.fold_file, "folds")
    return PerturbationTask(
        read(flags.perturbed, flags.where),
        **flags.named,
        replicates=flags.replicates,
        split_file=flags.fold_file,
        device=device,
    )


def read(path: str, where: tuple[str, ...] = ()) -> AnnData:
    """Cells or profiles out of h5ad or zarr, and of its rows those that are wanted; large files stay on disk."""
    from galenic.data.checks import require_file
    from galenic.data.read.matrices import is_large, open_h5ad

    place = require_file(path, "perturbed cells", or_zarr=True)
    adata = open_h5ad(place, backed=is_large(place))
    return adata if not where else _only(adata, where)


def _only(adata: AnnData, where: tuple[str, ...]) -> AnnData:
    """Rows with one of the values that are named for each column."""
    import numpy as np

    from galenic.data.checks import first
    from galenic.data.gctx.metadata import as_text
    from galenic.work.near import nearest_name

    wanted: dict[str, list[str]] = {}
    for item in where:
        column, equals, value = item.partition("=")
        if not equals or not column or not value:
            raise ValueError(f"--where is written column=value, as in plate=P1; received {item!r}. Write it so.")
        wanted.setdefault(column.strip(), []).append(value.strip())
    keep = np.ones(adata.n_obs, dtype=bool)
    for column, values in wanted.items():
        columns = [str(name) for name in adata.obs.columns]
        if column not in columns:
            raise ValueError(
                f"--where should name a column of the cells; received {column!r}, they have {first(columns, 8)}"
                f"{nearest_name(column, columns)} Correct the name."
            )
        texts = as_text(adata.obs[column])
        unknown = [value for value in values if not (texts == value).any()]
        if unknown:
            known = sorted(set(texts.tolist()))
            raise ValueError(
                f"--where should name values of {column!r}; no row has {unknown[0]!r} (they are {first(known, 5)})"
                f"{nearest_name(unknown[0], known)} Correct the value."
            )
        keep &= np.isin(texts.astype(str), values)
    if not keep.any():
        raise ValueError(
            f"--where should keep some rows; none of {adata.n_obs:,} has {' and '.join(where)}. Ask for less at once."
        )
    return adata[keep].to_memory()


def describe(run: Run, task: PerturbationTask) -> None:
    """Put the size of the data on record, and on the screen."""
    from galenic.report import words

    columns = task.columns
    counted = {
        "cells": len(columns),
        "controls": int(columns.is_control.sum()),
        "genes": task.adata.n_vars,
        "contexts": len(columns.contexts),
        "perturbations": len(columns.perturbations),
        "conditions": len(task.means.table),
    }
    run.record["data"] = counted
    typer.echo(", ".join(words.counted(count, name) for name, count in counted.items()))
