"""``galenic embed scfoundation|geneformer DATA``: vectors of cells by published encoders, from weights of yours."""

from __future__ import annotations

import shutil
from dataclasses import MISSING, dataclass, fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

from galenic.cli.compute import EngineFlags, engaged
from galenic.cli.flags import add, collect
from galenic.cli.manual import with_ends

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData

ENCODERS = ("scfoundation", "geneformer")
SUFFIXES = (".h5ad", ".parquet", ".csv")
SCFOUNDATION = (
    "galenic ships and downloads no weights. models.ckpt is linked from the readme of biomap-research/scFoundation on "
    "GitHub, and OS_scRNA_gene_index.19264.tsv lies in that repository. The weights are for non-commercial research "
    "only and may not be passed on: read MODEL_LICENSE there first."
)
GENEFORMER = (
    "galenic ships and downloads no weights. Folders of models (config.json and model.safetensors) and the "
    "dictionaries of genes are published at huggingface.co/ctheodoris/Geneformer under Apache-2.0; fetch large files "
    "with 'git lfs pull'."
)
"""Where weights are published, and under which licence."""


@dataclass(frozen=True, kw_only=True)
class EncodeFlags(EngineFlags):
    """Where the counts are, where networks compute, and what is kept on the way.

    Parameters
    ----------
    gene_column
        Column of var with the names of the genes; by default var_names.
    layer
        Layer that holds the counts; by default X.
    aliases
        Table that leads from other names of genes (old symbols, Ensembl ids) to those of the model: names in the first
        column.
    coverage
        CSV file for the report of what was found and lost; it is printed anyway.
    checkpoint
        Folder that keeps what is done: the same command goes on after an interruption. Remove it afterwards.
    chunk_cells
        Cells that are read, sorted by length and kept together.
    batch_tokens
        Most genes that are encoded at once: fewer need less memory.
    device
        Where the network computes: cpu, cuda, mps, auto.
    devices
        How many devices share the work (graphics cards, or processes with --device cpu); more than one needs the extra
        [scale].
    progress
        A bar with the time left, on a terminal.
    overwrite
        Replace the file.
    """

    gene_column: str | None = None
    layer: str | None = None
    aliases: str | None = None
    coverage: str | None = None
    checkpoint: str | None = None
    chunk_cells: int = 256
    batch_tokens: int = 16_384
    device: str = "auto"
    devices: int = 1
    progress: bool = True
    overwrite: bool = False


class WithEncoders(TyperCommand):
    """A verb whose first argument may name an encoder, which then has flags of its own."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the encoder's command where one is named."""
        if args and args[0] in ENCODERS:
            word, rest = args[0], args[1:]
            return command(word).make_context(f"{info_name} {word}", rest, parent=parent, **extra)
        return super().make_context(info_name, args, parent=parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the context was made for."""
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


def command(encoder: str) -> Any:
    """The command of one encoder."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    data = typer.Argument(..., help="Counts of human cells: h5ad, or a matrix cells x genes (CSV, TSV, Parquet).")
    out = typer.Option(..., "--out", help="File to write: .h5ad (the data with obsm), .parquet or .csv.")
    make = _scfoundation if encoder == "scfoundation" else _geneformer
    app.command(name=encoder)(make(data, out))
    return with_ends(typer.main.get_command(app), ("embed", encoder))


def _scfoundation(data: Any, out: Any) -> Any:
    from galenic.foundation.scfoundation_fields import ScFoundationFields

    weights = typer.Option(None, "--weights", help="models.ckpt, as published by its authors.")
    genes = typer.Option(None, "--genes", help="OS_scRNA_gene_index.19264.tsv of the scFoundation repository.")
    key = typer.Option("cell", "--key", help="Model in the file: cell, rde (read depth enhancement) or gene.")

    def scfoundation(
        data: str = data,
        weights: str | None = weights,
        genes: str | None = genes,
        out: str = out,
        key: str = key,
        **flags: Any,
    ) -> None:
        from galenic.foundation import ScFoundation

        settings = vars(collect(ScFoundationFields, flags))
        _require_new(out, flags["overwrite"])
        path = _require_named(weights, "weights", "models.ckpt", SCFOUNDATION)
        order = _require_named(genes, "genes", "OS_scRNA_gene_index.19264.tsv", SCFOUNDATION)
        found = ScFoundation.load(path, genes=order, key=key, **settings)
        with engaged(collect(EncodeFlags, flags)) as how:
            encode(found, "X_scfoundation", data, out, how)

    said = 'Embed cells with scFoundation, from counts; in h5ad as obsm["X_scfoundation"].'
    scfoundation.__doc__ = f"{said} {SCFOUNDATION}"
    return add(scfoundation, ScFoundationFields, EncodeFlags)


def _geneformer(data: Any, out: Any) -> Any:
    from galenic.cli.perturb_genes import GeneFlags, perturb_genes

    own = _fields_of_geneformer()
    folder = typer.Option(None, "--weights", help="Folder of the model: config.json and its weights, as published.")
    tables = typer.Option(None, "--dictionaries", help="Folder or files of the dictionaries, separated by commas.")

    def geneformer(
        data: str = data,
        weights: str | None = folder,
        out: str = out,
        dictionaries: str | None = tables,
        **flags: Any,
    ) -> None:
        from galenic.foundation import Geneformer

        how, asked = collect(EncodeFlags, flags), collect(GeneFlags, flags)
        asked.require_own(out, how) if asked.asked else _require_new(out, how.overwrite)
        path = _require_named(weights, "weights", "FOLDER", GENEFORMER)
        paths = None if dictionaries is None else [one.strip() for one in dictionaries.split(",") if one.strip()]
        named = paths[0] if paths is not None and len(paths) == 1 else paths
        found = Geneformer.load(path, dictionaries=named, **vars(collect(own, flags)))
        if asked.asked:
            perturb_genes(found, _opened(data)[0], out, how, asked)
        else:
            with engaged(how) as engine:
                encode(found, "X_geneformer", data, out, engine)

    geneformer.__doc__ = (
        'Embed cells with Geneformer, from counts; in h5ad as obsm["X_geneformer"]. Or, with --delete or '
        f"--overexpress, measure how far cells move when a gene is perturbed. {GENEFORMER}"
    )
    return add(geneformer, own, GeneFlags, EncodeFlags)


def encode(encoder: Any, name: str, data: str, out: str, how: EncodeFlags) -> None:
    """Read counts, say what of them reaches the encoder, encode them, and write the vectors whole or not at all."""
    from galenic.cli.inputs import symbols
    from galenic.train.fabric import launched
    from galenic.work.atomic import written

    fabric = launched(devices=how.devices, device=how.device)
    leads = fabric is None or fabric.is_global_zero
    adata, is_file = _opened(data)
    where: dict[str, Any] = {"genes": how.gene_column, "layer": how.layer, "aliases": symbols(how.aliases)}
    report = encoder.coverage(adata, **where)
    for row in report.to_dict("records") if leads else ():
        examples = f" (first: {row['examples']})" if row["dropped"] and row["examples"] else ""
        typer.echo(f"{row['step']}: {row['kept']:,} kept, {row['dropped']:,} not: {row['why']}{examples}")
    if how.coverage and leads:
        with written(how.coverage) as draft:
            report.to_csv(draft, index=False)
    vectors = encoder.embed(
        adata,
        **where,
        chunk_cells=how.chunk_cells,
        max_tokens_in_batch=how.batch_tokens,
        device=how.device,
        n_jobs=how.jobs,
        fabric=fabric,
        checkpoint=how.checkpoint,
        progress=how.progress,
    )
    if not leads:
        return
    _write(Path(out), vectors, name, adata, Path(data) if is_file else None)
    typer.echo(f"{len(vectors):,} cells, {vectors.shape[1]:,} numbers each: {out}")
    if how.checkpoint:
        typer.echo(f"{how.checkpoint} is no longer needed")


def _require_named(path: str | None, flag: str, shown: str, published: str) -> str:
    """The path that was given; where none was, say where the file can be had."""
    if path is None:
        raise ValueError(f"{flag} are expected: --{flag} {shown}; none were named. {published}")
    return path


def _fields_of_geneformer() -> type:
    """Its settings alone, without what it learns from the weights."""
    from galenic.foundation.geneformer import Geneformer
    from galenic.models.fields import field_types

    kinds = field_types(Geneformer)
    settings = [(one.name, kinds[one.name], one.default) for one in fields(Geneformer) if one.default is not MISSING]
    return make_dataclass("GeneformerFields", settings, namespace={"__doc__": Geneformer.__doc__}, kw_only=True)


def _require_new(out: str, overwrite: bool) -> None:
    """Refuse a file before hours of work and not after them."""
    place = Path(out)
    if place.suffix not in SUFFIXES:
        raise ValueError(f"--out should end in {', '.join(SUFFIXES)}; received {out!r}. Choose one of them.")
    if place.exists() and not overwrite:
        raise ValueError(f"--out should be a new file; {out} is there. Choose another name, or --overwrite.")


def _opened(data: str) -> tuple[AnnData, bool]:
    """Cells x genes, of h5ad and zarr only the rows in use; and whether they are an h5ad file."""
    from galenic.data import read
    from galenic.data.read.files import kind_of_file
    from galenic.data.read.matrices import open_h5ad

    if kind_of_file(data) == "h5ad":
        return open_h5ad(data, backed=True), Path(data).is_file()
    from anndata import AnnData

    return AnnData(read.matrix(data)), False


def _write(place: Path, vectors: np.ndarray, name: str, adata: AnnData, source: Path | None) -> None:
    import pandas as pd

    from galenic.work.atomic import written

    if place.suffix != ".h5ad":
        columns = [f"{name}_{number}" for number in range(vectors.shape[1])]
        table = pd.DataFrame(vectors, index=adata.obs_names, columns=columns).rename_axis("cell").reset_index()
        write = table.to_parquet if place.suffix == ".parquet" else table.to_csv
        with written(place) as draft:
            write(draft, index=False)
    elif source is None:
        adata.obsm[name] = vectors
        with written(place) as draft:
            adata.write_h5ad(draft)
    else:
        adata.file.close()
        with written(place) as draft:
            _copy_with(source, draft, name, vectors)


def _copy_with(source: Path, draft: Path, name: str, vectors: np.ndarray) -> None:
    """The file as it is, with one more entry: what is in it need not fit into memory."""
    import h5py
    from anndata.io import write_elem

    shutil.copyfile(source, draft)
    draft.chmod(0o644)
    with h5py.File(draft, "r+") as file:
        if "obsm" not in file:
            write_elem(file, "obsm", {})
        write_elem(file["obsm"], name, vectors)
