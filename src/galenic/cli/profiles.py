"""``galenic data convert FILE...``: L1000 profiles from one format into another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

if TYPE_CHECKING:
    from anndata import AnnData

SUFFIXES = (".gct", ".gct.gz", ".gctx", ".h5ad")


@dataclass(frozen=True, kw_only=True)
class ProfileFlags:
    """How profiles are read and written.

    Parameters
    ----------
    gene_info
        Profiles: table of genes that was published with them (pr_gene_id, pr_gene_symbol, pr_is_lm, ...).
    sample_info
        Profiles: table of profiles that was published with them (inst_id, pert_id, ...); for several files one table
        for all, or one for each in their order, separated by commas.
    genes
        Profiles: landmark genes or all.
    level
        Profiles: compute level 4 from level 3 (robust z-scores on each plate), or level 5 from level 4 (MODZ of
        replicates); both hold all profiles in memory.
    dtype
        Profiles: numbers of a folder; float16 halves its size and loses at most 0.004 of z-scores.
    """

    gene_info: str | None = None
    sample_info: tuple[str, ...] = ()
    genes: Literal["landmark", "all"] = "landmark"
    level: Literal["as it is", "4", "5"] = "as it is"
    dtype: Literal["float32", "float16"] = "float32"


def convert(files: list[str], out: str, flags: ProfileFlags) -> None:
    """Read profiles and write them in the format that the end of ``out`` names, a folder if it names none."""
    kind = next((suffix for suffix in SUFFIXES if out.lower().endswith(suffix)), "folder")
    infos = sample_infos(files, flags.sample_info)
    if kind == "folder" and flags.level == "as it is":
        _store(files, out, infos, flags)
    else:
        _require_memory_type(kind, flags)
        adata = _computed(read_files(files, flags), flags.level)
        _write(adata, out, kind, flags)


def _store(files: list[str], out: str, infos: list[str | None], flags: ProfileFlags) -> None:
    from galenic.data.convert import convert as to_store
    from galenic.data.store import open_store

    names = phases_of(files)
    several = len(files) > 1
    to_store(
        dict(zip(names, files, strict=True)) if several else files[0],
        out,
        genes=None if flags.genes == "all" else "landmark",
        gene_info=flags.gene_info,
        sample_info=dict(zip(names, infos, strict=True)) if several else infos[0],
        dtype=flags.dtype,
        progress=True,
    )
    _summarise(open_store(out), out)


def read_files(files: list[str], flags: ProfileFlags) -> AnnData:
    """Profiles of one file, or of several joined by gene, with the side tables that the flags name."""
    from galenic.data import read
    from galenic.data.profiles import join_phases

    genes = None if flags.genes == "all" else "landmark"
    phases = {}
    infos = sample_infos(files, flags.sample_info)
    for name, file, info in zip(phases_of(files), files, infos, strict=True):
        typer.echo(f"reading {file}", err=True)
        phases[name] = read.profiles(file, genes=genes, gene_info=flags.gene_info, sample_info=info)
    if len(phases) == 1:
        return phases.popitem()[1]
    joined, coverage = join_phases(phases)
    typer.echo(coverage.to_string(index=False))
    return joined


def _computed(adata: AnnData, level: str) -> AnnData:
    from galenic.data.prepare import modz, robust_z

    if level == "as it is":
        return adata
    typer.echo(f"computing level {level}", err=True)
    return robust_z(adata) if level == "4" else modz(adata)


def _write(adata: AnnData, out: str, kind: str, flags: ProfileFlags) -> None:
    from galenic.data.convert import convert as to_store
    from galenic.data.gctx.gct import write_gct
    from galenic.data.gctx.gctx import write_gctx

    Path(out).parent.mkdir(parents=True, exist_ok=True)
    if kind == "folder":
        to_store(adata, out, genes=None, dtype=flags.dtype)
    elif kind == ".h5ad":
        part = Path(out).with_name(f".{Path(out).name}.part")
        try:
            adata.write_h5ad(part)
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)
    else:
        write_gctx(adata, out) if kind == ".gctx" else write_gct(adata, out)
    _summarise(adata, out)


def _summarise(adata: AnnData, out: str) -> None:
    lines = [f"{adata.n_obs:,} profiles x {adata.n_vars:,} genes: {out}"]
    for name, what in (("pert_id", "perturbagens"), ("cell", "cells"), ("plate", "plates")):
        if name in adata.obs:
            lines.append(f"{adata.obs[name].nunique():,} {what}")
    if "pert_type" in adata.obs:
        counts = adata.obs["pert_type"].astype("object").fillna("unknown").value_counts()
        lines.append(", ".join(f"{name} {count:,}" for name, count in counts.items()))
    typer.echo("\n".join([*lines, *(f"- {step}" for step in adata.uns.get("steps", ()))]))


def phases_of(files: list[str]) -> list[str]:
    """A name for each file: its accession where it has one, else its name without suffix."""
    import re

    found = [re.search(r"GSE\d+", Path(file).name) for file in files]
    names = [match[0] if match else Path(file).name.split(".")[0] for match, file in zip(found, files, strict=True)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"files that are joined should differ in name or accession; {len(files)} files give {twice[0]!r} more than "
            "once. Rename one, or leave it out."
        )
    return names


def sample_infos(files: list[str], infos: tuple[str, ...]) -> list[str | None]:
    """The table of profiles of each file: one for all, or one for each."""
    if len(infos) <= 1:
        return [infos[0] if infos else None] * len(files)
    if len(infos) != len(files):
        raise ValueError(
            f"--sample-info names one table for all files or one for each of the {len(files)}; it names {len(infos)}. "
            "Correct the list."
        )
    return list(infos)


def _require_memory_type(kind: str, flags: ProfileFlags) -> None:
    if kind != "folder" and flags.dtype != "float32":
        raise ValueError(f"--dtype is for a folder; --out ends in {kind}, which is always float32. Leave --dtype out.")
