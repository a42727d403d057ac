"""``galenic data convert FILE...``, profiles from one format into another, and ``galenic data simulate profiles``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from galenic.work.bar import progress_bar

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
    overwrite
        Profiles: replace the file or folder of profiles that --out names.
    """

    gene_info: str | None = None
    sample_info: tuple[str, ...] = ()
    genes: Literal["landmark", "all"] = "landmark"
    level: Literal["as it is", "4", "5"] = "as it is"
    dtype: Literal["float32", "float16"] = "float32"
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class SimulatedFlags:
    """Simulated profiles with planted mechanisms.

    Parameters
    ----------
    n_perturbagens
        Compounds; they take mechanisms in turn.
    n_genes
        Number of genes.
    n_cells
        Cell lines, at most 8; every compound is in each.
    n_mechanisms
        Mechanisms, at most 10.
    noise
        Standard deviation of each z-score's own noise.
    stress
        Standard deviation of a profile along each direction of stress, which says nothing of the mechanism.
    seed
        Seed of all random numbers; the same seed gives the same data.
    """

    n_perturbagens: int = 60
    n_genes: int = 200
    n_cells: int = 4
    n_mechanisms: int = 10
    noise: float = 1.0
    stress: float = 0.5
    seed: int = 0


def convert(files: list[str], out: str, flags: ProfileFlags) -> None:
    """Read profiles and write them in the format that the end of ``out`` names, a folder if it names none."""
    kind = kind_of_out(out)
    infos = sample_infos(files, flags.sample_info)
    _require_memory_type(kind, flags)
    inputs = [*files, *(info for info in (flags.gene_info, *infos) if info)]
    require_free(out, kind, inputs, flags.overwrite)
    if kind == "folder" and flags.level == "as it is":
        _store(files, out, infos, flags)
    else:
        adata = _computed(read_files(files, flags, say=False), flags.level)
        _write(adata, out, kind, flags)


def simulate(out: str, flags: SimulatedFlags, *, overwrite: bool) -> None:
    """Write simulated profiles as h5ad."""
    from galenic.data.simulate import profiles

    if kind_of_out(out) != ".h5ad":
        raise ValueError(f"--out should end in .h5ad for simulated profiles; received {out!r}. Correct the name.")
    require_free(out, ".h5ad", [], overwrite)
    _write(profiles(**asdict(flags)), out, ".h5ad", ProfileFlags())


def kind_of_out(out: str) -> str:
    """The suffix that says how profiles are written, or ``"folder"``; any other suffix is refused."""
    from galenic.data.store import is_store

    known = next((suffix for suffix in SUFFIXES if out.lower().endswith(suffix)), None)
    if is_store(out):
        return "folder"
    if known is None and Path(out).suffix:
        raise ValueError(
            f"--out should end in {', '.join(SUFFIXES)} for a file, or have no suffix for a folder; received {out!r}, "
            f"which ends in {Path(out).suffix!r}. Correct the name."
        )
    return known or "folder"


def require_free(out: str, kind: str, inputs: Iterable[str], overwrite: bool) -> None:
    """Refuse, before anything is read, to write over an input, over what is there, or where it is not allowed."""
    target = Path(out)
    for file in map(Path, inputs):
        same = os.path.exists(target) and os.path.exists(file) and target.samefile(file)
        if same or target.resolve() in file.resolve().parents:
            raise FileExistsError(f"--out should name a new {_noun(kind)}; {out} is read as input. Name another.")
    # Unlike those of Path, these do not fail in folders that may not be looked into.
    if os.path.exists(target):
        _require_replaceable(target, kind, overwrite)
    above = next((folder for folder in target.absolute().parents if os.path.exists(folder)), target.absolute().parent)
    if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
        reason = "may not be written to" if above.is_dir() else "is no folder"
        raise OSError(
            f"--out should name a place to write to; {above}, where {target.name} would lie, {reason}. Change its "
            "permissions, or name another place."
        )


def _require_replaceable(target: Path, kind: str, overwrite: bool) -> None:
    from galenic.data.store import is_store

    what = f"--out should name a new {_noun(kind)}; {target} exists"
    ours = is_store(target) if kind == "folder" else target.is_file()
    if not ours:
        held = "a file" if target.is_file() else "a folder that is no store of profiles"
        raise FileExistsError(f"{what}, {held}. Name another, or remove it first.")
    if not overwrite:
        size = "" if target.is_dir() else f" ({target.stat().st_size:,} bytes)"
        raise FileExistsError(f"{what}{size}. Name another, or replace it with --overwrite.")


def _noun(kind: str) -> str:
    return "folder" if kind == "folder" else "file"


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
        overwrite=flags.overwrite,
        progress=True,
    )
    _summarise(open_store(out), out)


@progress_bar("reading profiles")
def read_files(files: list[str], flags: ProfileFlags, *, say: bool = True) -> AnnData:
    """Profiles of one file, or of several joined by gene, with the side tables that the flags name.

    ``say`` prints what of several was kept and dropped; it is in their steps too.
    """
    from galenic.data import read
    from galenic.data.profiles import coverage_lines, join_phases

    genes = None if flags.genes == "all" else "landmark"
    mapped = on_disk(files, genes, flags.gene_info, flags.sample_info)
    if mapped is not None:
        return mapped
    phases = {}
    infos = sample_infos(files, flags.sample_info)
    for name, file, info in zip(phases_of(files), files, infos, strict=True):
        typer.echo(f"reading {file}", err=True)
        phases[name] = read.profiles(file, genes=genes, gene_info=flags.gene_info, sample_info=info)
        say_columns(file, phases[name])
    if len(phases) == 1:
        return phases.popitem()[1]
    joined, coverage = join_phases(phases)
    if say:
        typer.echo("\n".join(coverage_lines(coverage)))
    return joined


def on_disk(files: list[str], genes: str | None, *tables: object) -> AnnData | None:
    """The folder of 'galenic data convert', left where it is, if all of it is wanted and nothing is joined to it."""
    from galenic.data.gctx.selection import N_LANDMARKS
    from galenic.data.store import is_store, open_store

    if len(files) != 1 or any(tables) or not is_store(files[0]):
        return None
    adata = open_store(files[0])
    is_landmark = adata.var.get("landmark")
    whole = genes is None or (adata.n_vars == N_LANDMARKS if is_landmark is None else bool(is_landmark.all()))
    return adata if whole else None


def say_columns(file: str, adata: AnnData) -> None:
    """Print which columns of a table were taken for genes: their names told, and may have misled."""
    from galenic.data.gctx.sniff import format_of

    if Path(file).is_file() and format_of(file) == "unknown":
        typer.echo(adata.uns["steps"][0], err=True)


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
    from galenic.data.gctx.sniff import writing_explained, written_whole

    with writing_explained(out):
        Path(out).parent.mkdir(parents=True, exist_ok=True)
    if kind == "folder":
        to_store(adata, out, genes=None, dtype=flags.dtype, overwrite=flags.overwrite)
    elif kind == ".h5ad":
        with written_whole(out) as part:
            adata.write_h5ad(part)
    else:
        write_gctx(adata, out) if kind == ".gctx" else write_gct(adata, out)
    _summarise(adata, out)


def _summarise(adata: AnnData, out: str) -> None:
    from galenic.data.checks import steps_of

    lines = [f"{adata.n_obs:,} profiles x {adata.n_vars:,} genes: {out}"]
    for name, what in (("pert_id", "perturbagens"), ("cell", "cells"), ("plate", "plates")):
        if name in adata.obs:
            lines.append(f"{adata.obs[name].nunique():,} {what}")
    if "pert_type" in adata.obs:
        counts = adata.obs["pert_type"].astype("object").fillna("unknown").value_counts()
        lines.append(", ".join(f"{name} {count:,}" for name, count in counts.items()))
    typer.echo("\n".join([*lines, *(f"- {step}" for step in steps_of(adata.uns))]))


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
