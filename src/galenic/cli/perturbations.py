"""``galenic data simulate perturbations`` and ``galenic data split``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from galenic.cli.perturbed import ColumnFlags


@dataclass(frozen=True, kw_only=True)
class SimulatedCellsFlags:
    """Simulated cells under perturbations, with planted effects.

    Parameters
    ----------
    n_contexts
        Cell types; every perturbation is in each.
    n_perturbations
        Number of perturbations.
    n_genes
        Number of genes.
    n_cells
        Cells of each condition, and of the controls of each cell type.
    interaction
        Size of what is special to a cell type and a perturbation together, in units of the effects.
    pairs
        Combinations of two perturbations.
    noise
        Standard deviation of each cell's own noise.
    seed
        Seed of all random numbers; the same seed gives the same data.
    """

    n_contexts: int = 4
    n_perturbations: int = 20
    n_genes: int = 100
    n_cells: int = 30
    interaction: float = 0.0
    pairs: int = 0
    noise: float = 0.3
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class SplitFlags(ColumnFlags):
    """How perturbed cells are divided.

    Parameters
    ----------
    by
        What the folds leave out: pair (a perturbation in a context), context, perturbation or combination.
    folds
        Number of folds.
    seed
        Which of the many divisions.
    overwrite
        Replace the file that --out names.
    """

    by: str = "pair"
    folds: int = 5
    seed: int = 0
    overwrite: bool = False


def simulate(out: str, flags: SimulatedCellsFlags, *, overwrite: bool) -> None:
    """Write simulated cells as h5ad."""
    from galenic.cli.profiles import require_free
    from galenic.data.gctx.sniff import writing_explained, written_whole
    from galenic.data.simulate import perturbations

    if Path(out).suffix != ".h5ad":
        raise ValueError(f"--out should end in .h5ad for simulated cells; received {out!r}. Correct the name.")
    require_free(out, ".h5ad", [], overwrite)
    adata = perturbations(**asdict(flags))
    with writing_explained(out):
        Path(out).parent.mkdir(parents=True, exist_ok=True)
    with written_whole(out) as part:
        adata.write_h5ad(part)
    typer.echo(
        f"{adata.n_obs:,} cells x {adata.n_vars:,} genes, {len(adata.uns['truth']['conditions']):,} conditions: {out}"
    )


def split(file: str, out: str, flags: SplitFlags) -> None:
    """Write the folds of perturbed cells: one row a cell, one column a fold."""
    from galenic.cli.perturbed import read
    from galenic.cli.profiles import require_free
    from galenic.data.gctx.sniff import writing_explained, written_whole
    from galenic.evaluate.split_files import write_split
    from galenic.evaluate.splits import Fold
    from galenic.report.words import counted
    from galenic.tasks import PerturbationTask
    from galenic.tasks.perturbation_untested import untested

    if Path(out).suffix != ".csv":
        raise ValueError(f"--out should end in .csv for a split; received {out!r}. Correct the name.")
    require_free(out, ".csv", [file], flags.overwrite)
    if flags.by == "file":
        raise ValueError("folds are made by pair, context, perturbation or combination; received 'file'. Choose one.")
    task = PerturbationTask(read(file, flags.where), **flags.named)
    parts = task.folds(flags.by, flags.folds, flags.seed)
    with writing_explained(out):
        Path(out).parent.mkdir(parents=True, exist_ok=True)
    with written_whole(out) as place:
        write_split(task.adata.obs, [Fold(part.train, part.test) for part in parts], place)
    for number, part in enumerate(parts):
        tested = task.measured(part.test).table
        typer.echo(
            f"fold {number}: {counted(len(tested), 'conditions')} tested ({counted(len(part.test), 'cells')} of "
            f"{counted(tested['context'].nunique(), 'contexts')}), {counted(len(part.train), 'cells')} train"
        )
    said = untested(task, flags.by, parts)
    if said:
        typer.echo(said)
    typer.echo(f"split: {out}")
