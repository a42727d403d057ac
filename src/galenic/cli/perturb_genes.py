"""``galenic embed geneformer DATA --delete GENES``: how far cells move when a gene is taken out or put first."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from galenic.cli.compute import ENGINE
from galenic.work.near import nearest_name

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData

    from galenic.cli.encode import EncodeFlags
    from galenic.foundation.geneformer_edits import Kind

SUFFIXES = (".csv", ".parquet")
WITHOUT = ("checkpoint", "coverage", "chunk_cells", "devices", *ENGINE)
"""Flags of vectors that shifts do not take."""


@dataclass(frozen=True, kw_only=True)
class GeneFlags:
    """Which genes are perturbed in silico; without any, cells get vectors.

    Parameters
    ----------
    delete
        Genes that are taken out of the cells, one at a time (symbols or Ensembl ids, separated by commas): writes how
        far cells move, in place of vectors.
    overexpress
        Genes that are put first in the cells, one at a time.
    goal
        State that cells should move to, as column=value of obs (response=sensitive): the other cells are perturbed, and
        goal_shift says how far they come nearer.
    cells_out
        File for the shift of each gene in each cell (.csv, .parquet).
    """

    delete: tuple[str, ...] = ()
    overexpress: tuple[str, ...] = ()
    goal: str | None = None
    cells_out: str | None = None

    @property
    def asked(self) -> bool:
        """Whether genes are perturbed."""
        if (self.goal or self.cells_out) and not (self.delete or self.overexpress):
            raise ValueError(
                "--goal and --cells-out belong to genes that are perturbed; none are named. Name them with --delete or "
                "--overexpress."
            )
        return bool(self.delete or self.overexpress)

    def require_own(self, out: str, how: EncodeFlags) -> None:
        """Refuse files that tables cannot be written to, and flags that only vectors take."""
        for name, path in (("out", out), ("cells-out", self.cells_out)):
            if path is None:
                continue
            if Path(path).suffix not in SUFFIXES:
                raise ValueError(
                    f"shifts are a table, and --{name} should end in {' or '.join(SUFFIXES)}; received {path!r}. "
                    "Choose one of them."
                )
            if Path(path).exists() and not how.overwrite:
                raise ValueError(f"--{name} should be a new file; {path} is there. Name another, or --overwrite.")
        defaults = {one.name: one.default for one in fields(how)}
        for name in WITHOUT:
            if getattr(how, name) != defaults[name]:
                raise ValueError(
                    f"--{name.replace('_', '-')} is for vectors; --delete and --overexpress measure shifts. "
                    "Leave it out."
                )


def perturb_genes(encoder: Any, adata: AnnData, out: str, how: EncodeFlags, asked: GeneFlags) -> None:
    """Measure the shifts, and write a row a gene, those that move cells most first."""
    import pandas as pd

    from galenic.cli.inputs import symbols
    from galenic.foundation.geneformer_perturb import perturb

    where: dict[str, Any] = {"genes": how.gene_column, "layer": how.layer, "aliases": symbols(how.aliases)}
    where |= {"max_tokens_in_batch": how.batch_tokens, "device": how.device, "progress": how.progress}
    goal, cells = (None, adata) if asked.goal is None else _towards(encoder, adata, asked.goal, where)
    kinds: tuple[tuple[Kind, tuple[str, ...]], ...] = (("delete", asked.delete), ("overexpress", asked.overexpress))
    found = [perturb(encoder, cells, names, kind=kind, goal=goal, **where) for kind, names in kinds if names]
    genes = pd.concat([one.genes.sort_values("cosine") for one in found], ignore_index=True)
    _write(Path(out), genes)
    if asked.cells_out is not None:
        tables = [one.cells.assign(kind=one.genes["kind"].iloc[0]) for one in found]
        _write(Path(asked.cells_out), pd.concat(tables, ignore_index=True))
    typer.echo(genes.head(20).to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    typer.echo(f"{len(genes):,} genes in {cells.n_obs:,} cells; a cosine of 1: nothing moved: {out}")


def _towards(encoder: Any, adata: AnnData, goal: str, where: dict[str, Any]) -> tuple[np.ndarray, AnnData]:
    """Mean vector of the cells that are in a state, and the cells that are not."""
    import numpy as np

    from galenic.data.checks import first

    column, equals, value = goal.partition("=")
    if not equals or column not in adata.obs:
        raise ValueError(
            f"--goal should be column=value of a column of obs ({first(adata.obs.columns, 5) or 'there is none'}); "
            f"received {goal!r}{nearest_name(column, adata.obs.columns)} Correct it."
        )
    there = (adata.obs[column].astype(str) == value).to_numpy()
    if not 0 < there.sum() < len(there):
        raise ValueError(
            f"--goal should hold for some cells and not for others; {int(there.sum()):,} of {len(there):,} have "
            f"{column} = {value!r} (known: {first(adata.obs[column].astype(str).unique(), 5)}). Name another."
        )
    inside, outside = (_part(adata, mask) for mask in (there, ~there))
    return np.nanmean(encoder.embed(inside, **where), axis=0), outside


def _part(adata: AnnData, mask: np.ndarray) -> AnnData:
    return adata[mask].to_memory()


def _write(place: Path, table: Any) -> None:
    from galenic.work.atomic import written

    write = table.to_parquet if place.suffix == ".parquet" else table.to_csv
    with written(place) as draft:
        write(draft, index=False)
