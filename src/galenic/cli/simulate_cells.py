"""``galenic data simulate cells``: labelled lines and single cells with a planted reason for sensitivity."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import typer

FEW = 3
"""Labelled cells of each class in the file of a few labels."""


@dataclass(frozen=True, kw_only=True)
class SimulatedSubclonesFlags:
    """Simulated bulk lines and cells of a sensitive and a resistant subclone.

    Parameters
    ----------
    n_genes
        Number of genes.
    n_lines
        Number of bulk lines.
    n_cells
        Number of single cells.
    n_drivers
        Genes whose expression makes cells sensitive.
    strength
        Mean size of a driver's weight; 0 plants nothing.
    shift
        Distance of the cells' domain from bulk; 1 is stronger than the plant.
    dropout
        Share of counts that are lost.
    sensitive_share
        Share of sensitive cells.
    confounding
        By how much the share of sensitive lines is higher on one platform than on the other.
    repeated
        Share of lines that stand on both platforms.
    seed
        Seed of all random numbers; the same seed gives the same data.
    """

    n_genes: int = 200
    n_lines: int = 150
    n_cells: int = 400
    n_drivers: int = 20
    strength: float = 1.0
    shift: float = 0.5
    dropout: float = 0.3
    sensitive_share: float = 0.5
    confounding: float = 0.0
    repeated: float = 0.0
    seed: int = 0


def simulate(out: str, flags: SimulatedSubclonesFlags, *, overwrite: bool) -> None:
    """Write ``bulk.h5ad``, ``cells.h5ad`` (counts, with labels for judging), ``few.csv`` and ``truth.csv``."""
    import pandas as pd

    from galenic.data.simulate.single_cell import bulk_and_cells

    folder = Path(out)
    names = ("bulk.h5ad", "cells.h5ad", "few.csv", "truth.csv")
    there = [name for name in names if (folder / name).exists()]
    if there and not overwrite:
        raise FileExistsError(
            f"--out should be a new folder; {folder / there[0]} exists. Name another, or --overwrite."
        )
    bulk, cells = bulk_and_cells(**asdict(flags))
    truth = bulk.uns.pop("truth")
    cells.uns.pop("truth")
    cells.X = cells.layers.pop("counts")
    bulk.uns["drug"] = "simulated drug"
    folder.mkdir(parents=True, exist_ok=True)
    bulk.write_h5ad(folder / "bulk.h5ad")
    cells.write_h5ad(folder / "cells.h5ad")
    few = cells.obs.groupby("label", sort=True).head(FEW)[["label"]].rename_axis("cell").reset_index()
    few.to_csv(folder / "few.csv", index=False)
    table = pd.DataFrame({"gene": bulk.var_names, "weight": truth["weights"]})
    table.to_csv(folder / "truth.csv", index=False)
    typer.echo(
        f"{bulk.n_obs:,} lines and {cells.n_obs:,} cells x {cells.n_vars:,} genes: {folder}\n"
        "the planted weight of each gene is in truth.csv; the column label of cells.h5ad is for judging alone"
    )
