"""Profiles of any format converted once into a store, in bounded memory; an interrupted conversion goes on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first
from galenic.data.gctx.selection import Genes, Selection
from galenic.data.gctx.sniff import writing_explained
from galenic.data.gctx.source import BLOCK, place
from galenic.data.profiles import coverage_lines, join_tables
from galenic.data.read.profiles import SideTable, selection
from galenic.data.scores import Scale, warn_of_mixture
from galenic.data.store import FORMAT, KIND, MATRIX, OBS, RECORD, VAR, is_store, sha256
from galenic.work.atomic import put, synced, written
from galenic.work.bar import progress_bar, watcher

PROGRESS = "progress.json"
FLUSH = 16
"""Blocks between two records of the progress: what an interruption can cost."""
Source: TypeAlias = str | Path | AnnData
Watch: TypeAlias = Callable[[int, int], None]


def convert(
    source: Source | Mapping[str, Source],
    folder: str | Path,
    *,
    genes: Genes = "landmark",
    gene_info: SideTable = None,
    sample_info: SideTable | Mapping[str, SideTable] = None,
    dtype: Literal["float32", "float16"] = "float32",
    block: int = BLOCK,
    resume: bool = True,
    overwrite: bool = False,
    progress: bool | Watch = False,
) -> Path:
    """Write profiles to a folder whose matrix need not fit in memory.

    Works block by block. An interrupted conversion goes on where it stopped when it is called again with the same
    arguments, and ends with the same bytes. The folder appears whole or not at all.

    Parameters
    ----------
    source
        A file or folder that :func:`galenic.data.read.profiles` reads, an AnnData, or several by name: phases that are
        joined as :func:`galenic.data.profiles.join_phases` joins them.
    folder
        A new folder.
    genes, gene_info
        As for :func:`galenic.data.read.profiles`.
    sample_info
        The same; for several sources one table for all, or tables by the names of the sources.
    dtype
        float16 halves the size; of z-scores within -10 to 10 it loses at most 0.004.
    block
        Values that are held in memory at a time.
    resume
        Go on with an interrupted conversion of the same source; otherwise begin anew.
    overwrite
        Replace the store that lies there, once the new one is whole; any other folder is left alone.
    progress
        Show a bar; or a function that is called with the values that are done and the values in all.

    Returns
    -------
    Path
        The folder: ``matrix.npy, obs.parquet, var.parquet, store.json``.

    Raises
    ------
    FileExistsError
        If the folder exists, and is no store that may be replaced.
    OSError
        If the system does not let the folder be written.
    ValueError
        If the source cannot be read, or a value does not fit float16.

    Warns
    -----
    UserWarning
        If sources that are joined are some of levels and some of z-scores.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from galenic.data.store import open_store
    >>> adata = AnnData(pd.DataFrame({"5720": [1.5]}, index=["p1"]).astype("float32"))
    >>> with TemporaryDirectory() as place:
    ...     open_store(convert(adata, Path(place, "store"), genes=None), mmap=False).X.tolist()
    [[1.5]]
    """
    if dtype not in ("float32", "float16"):
        raise ValueError(f"dtype should be 'float32' or 'float16'; received {dtype!r}. Choose one.")
    folder = Path(folder)
    _require_free(folder, overwrite)
    chosen = _selection(source, genes, gene_info, sample_info)
    part = folder.with_name(f".{folder.name}.part")
    with writing_explained(folder):
        part.mkdir(parents=True, exist_ok=True)
    record = {
        "format": FORMAT,
        "kind": KIND,
        "source": _names(source),
        "shape": list(chosen.shape),
        "dtype": dtype,
        "steps": [*chosen.steps, f"stored as {dtype}"],
    }
    _require_space(chosen.shape, dtype, part)
    identity = _identity(source, chosen, record, block)
    try:
        with _watched(progress, chosen.shape) as watch:
            _write_matrix(chosen, part, record, identity, block, resume, watch)
    except ValueError:
        # Going on would meet the same fault; what an interruption leaves is kept.
        shutil.rmtree(part)
        raise
    record["sha256"] = sha256(part / MATRIX)
    with writing_explained(folder):
        _write_table(chosen.obs, part / OBS)
        _write_table(chosen.var, part / VAR)
        (part / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
        (part / PROGRESS).unlink(missing_ok=True)
        _put(part, folder)
    return folder


def _require_free(folder: Path, overwrite: bool) -> None:
    if not os.path.exists(folder) or (overwrite and is_store(folder)):
        return
    # What is no store was not written here, and may be all that someone has.
    remedy = "Remove it, or name another" if overwrite else "Remove it, name another, or replace a store (overwrite)"
    raise FileExistsError(f"a store is written to a new folder; {folder} exists. {remedy}.")


def _put(part: Path, folder: Path) -> None:
    """Move a whole store where it belongs, and only then remove the one that lay there."""
    for path in part.iterdir():
        synced(path)
    put(part, folder)


def _selection(
    source: Source | Mapping[str, Source],
    genes: Genes,
    gene_info: SideTable,
    sample_info: SideTable | Mapping[str, SideTable],
) -> Selection:
    if not isinstance(source, Mapping):
        if isinstance(sample_info, Mapping):
            raise ValueError("one source has one table of profiles; sample_info names several. Give one table.")
        return selection(source, genes=genes, gene_info=gene_info, sample_info=sample_info)
    infos = sample_info if isinstance(sample_info, Mapping) else dict.fromkeys(source, sample_info)
    each = {
        name: selection(one, genes=genes, gene_info=gene_info, sample_info=infos.get(name))
        for name, one in source.items()
    }
    tables = join_tables({name: (one.obs, one.var) for name, one in each.items()})
    warn_of_mixture({name: _first_scale(one) for name, one in each.items()})
    parts = tuple(one.narrowed(places) for one, places in zip(each.values(), tables.genes, strict=True))
    steps = [f"{name}: {step}" for name, one in each.items() for step in one.steps]
    return Selection(
        name=" and ".join(one.name for one in each.values()),
        obs=tables.obs,
        var=tables.var,
        parts=tuple(part for group in parts for part in group),
        steps=(*steps, f"joined {first(source, 4)} by gene id", *coverage_lines(tables.coverage)),
    )


def _first_scale(chosen: Selection) -> Scale:
    """What the numbers of the first block look like."""
    scale = Scale()
    for block in islice(chosen.blocks(), 1):
        scale = scale.plus(block.load())
    return scale


def _write_matrix(
    chosen: Selection,
    part: Path,
    record: Mapping[str, Any],
    identity: str,
    size: int,
    resume: bool,
    watch: Watch,
) -> None:
    """Fill the array block by block, from where an earlier call with the same identity stopped."""
    done = _blocks_done(part, identity) if resume else 0
    # A record of other work must not outlive the first write of this.
    (part / PROGRESS).write_text(json.dumps({"identity": identity, "blocks": done}), encoding="utf-8")
    matrix = np.lib.format.open_memmap(
        part / MATRIX, mode="r+" if done else "w+", dtype=record["dtype"], shape=None if done else chosen.shape
    )
    finished = 0
    try:
        for i, block in enumerate(chosen.blocks(size)):
            finished += len(block.rows) * len(block.genes)
            if i < done:
                continue
            place(matrix, block, _fitting(block.load(), record["dtype"], chosen.name))
            done = i + 1
            if done % FLUSH == 0:
                _record_progress(part, matrix, identity, done)
            watch(finished, chosen.shape[0] * chosen.shape[1])
    finally:
        _record_progress(part, matrix, identity, done)


def _blocks_done(part: Path, identity: str) -> int:
    try:
        progress = json.loads((part / PROGRESS).read_text(encoding="utf-8"))
        done = int(progress["blocks"]) if progress["identity"] == identity else 0
        return done if (part / MATRIX).is_file() else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _identity(source: Source | Mapping[str, Source], chosen: Selection, record: Mapping[str, Any], block: int) -> str:
    """A digest of everything that decides the bytes of the matrix."""
    digest = hashlib.sha256(json.dumps([record, block]).encode())
    for one in source.values() if isinstance(source, Mapping) else [source]:
        if isinstance(one, AnnData):
            # Nothing tells cheaply whether it changed, and numbers in memory are soon written again.
            digest.update(os.urandom(16))
            continue
        path = Path(one)
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            status = file.stat()
            digest.update(f"{file.resolve()} {status.st_size} {status.st_mtime_ns}".encode())
    for names in (chosen.obs.index, chosen.var.index):
        digest.update("\n".join(map(str, names)).encode())
    return digest.hexdigest()


def _names(source: Source | Mapping[str, Source]) -> list[str]:
    sources = source.values() if isinstance(source, Mapping) else [source]
    return ["AnnData" if isinstance(one, AnnData) else Path(one).name for one in sources]


@contextmanager
def _watched(progress: bool | Watch, shape: tuple[int, int]) -> Iterator[Watch]:
    """A function to call after every block."""
    if not isinstance(progress, bool):
        yield progress
        return
    with progress_bar("values", shape[0] * shape[1], show=progress or None) as advance:
        yield watcher(advance)


def _fitting(values: np.ndarray, dtype: str, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        fitting = values.astype(dtype, copy=False)
    infinite = int(np.isinf(fitting).sum())
    if infinite:
        raise ValueError(
            f"values should fit {dtype}, within -65,504 to 65,504; {infinite:,} in a block of {name} do not. "
            "Convert with dtype='float32'."
        )
    return fitting


def _record_progress(part: Path, matrix: np.memmap, identity: str, done: int) -> None:
    # The numbers must lie on the disk before the record says so.
    matrix.flush()
    text = json.dumps({"identity": identity, "blocks": done})
    with written(part / PROGRESS) as draft:
        draft.write_text(text, encoding="utf-8")


def _require_space(shape: tuple[int, int], dtype: str, part: Path) -> None:
    needed = shape[0] * shape[1] * np.dtype(dtype).itemsize
    held = (part / MATRIX).stat().st_blocks * 512 if (part / MATRIX).is_file() else 0
    free = shutil.disk_usage(part).free
    if needed - held > free:
        raise ValueError(
            f"the store needs {needed / 2**30:,.1f} GB of disk in {part.parent}; {free / 2**30:,.1f} GB are free. "
            "Choose another place, fewer genes, or dtype='float16'."
        )


def _write_table(table: pd.DataFrame, path: Path) -> None:
    table.rename_axis("id").reset_index().to_parquet(path, index=False)
