"""What ``galenic fit`` and ``galenic explain`` do for an ensemble (DeepPert): members, dimensions, pathways."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from galenic.cli.explain import ExplainFlags
    from galenic.cli.fit_profiles import JudgeFlags
    from galenic.models.deeppert.model import DeepPert
    from galenic.report.run import Run

KEPT = 50
"""Genes of each direction of a dimension that a run keeps, unless told otherwise."""
SHOWN, GENES = 12, 4
"""Dimensions on the screen, and genes of each."""
LEVEL = 0.05
STAGES = {
    "ae": "autoencoders (ae)",
    "dae": "denoising autoencoders (dae)",
    "vae": "variational autoencoders (vae)",
    "linear": "variational autoencoders with a linear decoder (linear)",
}


def require_room_in_folds(model: DeepPert, n_profiles: int, n_folds: int) -> None:
    """Refuse, before hours are spent, folds that leave too few profiles for the largest latent size."""
    from galenic.models.deeppert.front import SPARE

    left, needed = n_profiles - -(-n_profiles // n_folds), max(model.sizes) + SPARE
    if left < needed:
        raise ValueError(
            f"a member of {max(model.sizes)} latents needs {needed} profiles or more; {n_folds} folds of "
            f"{n_profiles:,} profiles leave {left:,} to learn from. Give more profiles, lower --sizes, or --folds 0."
        )


def require_outside(checkpoint: str, out: str) -> None:
    """Refuse members that --overwrite would delete with the run they lie in."""
    if Path(out).resolve() in Path(checkpoint).resolve().parents:
        raise ValueError(
            f"--checkpoint should lie outside a run that is overwritten; {checkpoint} lies in {out}. Name another "
            "--out."
        )


def fit(run: Run, model: DeepPert, adata: AnnData, how: JudgeFlags, checkpoint: str | None) -> None:
    """Fit an ensemble, keeping each member as it finishes, and write its tables."""
    from galenic.models.deeppert.seeds import stability_over_seeds
    from galenic.models.deeppert.tables import latent_links, top_genes

    members = Path(checkpoint) if checkpoint else run.path("members")
    if not (checkpoint or how.resume):
        _clear(members)
    try:
        with run.timed("fit"):
            model.fit(adata, n_jobs=how.jobs, progress=True, checkpoint=members)
    except RuntimeError:
        typer.echo(
            f"Members that are finished are kept in {members}: the same command with --resume goes on.", err=True
        )
        raise
    except ValueError:
        if any(members.glob("*.npz")):
            typer.echo(
                f"Members that are finished are kept in {members}: --checkpoint {members} uses them again, with other "
                "settings of the consensus and another --out.",
                err=True,
            )
        raise
    if model.history_ is not None:
        families = model.history_["name"].str.partition("-")[0]
        run.write("history", model.history_.assign(stage=families.map(STAGES)))
    if model.curve_ is not None:
        run.write("stability", model.curve_)
    run.write("latents", model.latents_)
    run.write("latent_links", latent_links(model, adata))
    with run.timed("stability"):
        seeds = stability_over_seeds(model, adata)
    if seeds is not None:
        run.write("seeds", seeds)
    run.write("dimensions", top_genes(model, KEPT))
    show(model)


def drop_members(run: Run) -> None:
    """Delete the members that the run folder keeps."""
    _clear(run.folder / "members")


def _clear(folder: Path) -> None:
    """Delete a folder of members, and no other."""
    from galenic.work.kept import MANIFEST

    if (folder / MANIFEST).is_file():
        shutil.rmtree(folder)


def explain(folder: str, how: ExplainFlags, out: str | None) -> None:
    """Write the genes of each dimension and, with sets of genes, its pathways; write the page anew."""
    from galenic.cli import summary
    from galenic.data import read
    from galenic.models.base import load
    from galenic.models.deeppert.tables import importances, top_genes
    from galenic.report import run as run_folder
    from galenic.report.provenance import fingerprint
    from galenic.work.atomic import written

    model = load(folder)
    run = run_folder.read(folder)
    table, found = top_genes(model, how.keep), None
    if how.gene_sets:
        with run.timed("pathways"):
            found = model.enrich(read.gene_sets(how.gene_sets), top=how.top, minimum=how.minimum)
        run.record["fields"]["pathways"] = {"gene_sets": how.gene_sets, "top": how.top, "minimum": how.minimum}
        others = [item for item in run.record["inputs"] if str(item["path"]) != how.gene_sets]
        run.record["inputs"] = [*others, fingerprint(Path(how.gene_sets))]
    run.write("latents", model.latents_)
    run.write("dimensions", table)
    show(model)
    if found is not None:
        run.write("pathways", found)
        show_pathways(found)
        table = found
    if out:
        with written(out) as draft:
            table.to_csv(draft, index=False)
    if how.weights:
        with written(how.weights) as draft:
            importances(model).to_csv(draft)
    summary.finish(run)


def show(model: Any) -> None:
    """Print how many latents agree on what, and the genes of the first dimensions."""
    from galenic.models.deeppert.tables import top_genes

    latents, dimensions = model.latents_, model.dimensions_
    n = int((latents["cluster"] >= 0).sum())
    typer.echo(
        f"{len(dimensions):,} dimensions of {n:,} latents; {len(latents) - n:,} of {len(latents):,} were set aside"
    )
    genes = top_genes(model, GENES)
    for row in dimensions.head(SHOWN).itertuples():
        own = genes[genes["dimension"] == row.Index]
        up, down = (", ".join(own.loc[own["direction"] == side, "symbol"]) for side in ("up", "down"))
        agreed = f"agreement {row.agreement:.2f}" if row.agreement == row.agreement else "one latent"
        typer.echo(
            f"{row.Index}: {row.n_latents:,} latents of {row.n_members:,} members, {agreed}; "
            f"up {up or 'none'}; down {down or 'none'}"
        )
    if len(dimensions) > SHOWN:
        typer.echo(f"... and {len(dimensions) - SHOWN:,} more")


def show_pathways(table: pd.DataFrame) -> None:
    """Print how many pathways were found, each counted once, and the first."""
    from galenic.models.deeppert.enrichment import unique_pathways

    n = table["pathway"].nunique()
    typer.echo(
        f"{unique_pathways(table, level=LEVEL):,} of {n:,} pathways stand out among the top genes of a dimension, and "
        f"{unique_pathways(table, level=LEVEL, by='q_ulm'):,} by the signed weights of all genes "
        f"(q <= {LEVEL} over {len(table):,} tests)"
    )
    for row in table[table["q_value"] <= LEVEL].head(SHOWN).itertuples():
        typer.echo(f"{row.pathway}, dimension {row.dimension}: {row.n_top} of {row.n} genes (q {row.q_value:.3g})")
