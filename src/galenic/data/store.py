"""Profiles on disk as one array that is mapped into memory: converted once, opened in an instant."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first
from galenic.data.gctx.selection import Genes, Selection
from galenic.data.gctx.source import BLOCK, place
from galenic.data.profiles import join_tables
from galenic.data.read.profiles import SideTable, selection

FORMAT = 1
KIND = "galenic profiles"
MATRIX, OBS, VAR, RECORD, PROGRESS = "matrix.npy", "obs.parquet", "var.parquet", "store.json", "progress.json"
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
    progress
        Show a bar; or a function that is called with the values that are done and the values in all.

    Returns
    -------
    Path
        The folder: ``matrix.npy, obs.parquet, var.parquet, store.json``.

    Raises
    ------
    FileExistsError
        If the folder exists.
    ValueError
        If the source cannot be read, or a value does not fit float16.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> adata = AnnData(pd.DataFrame({"5720": [1.5]}, index=["p1"]).astype("float32"))
    >>> with TemporaryDirectory() as place:
    ...     open_store(convert(adata, Path(place, "store"), genes=None), mmap=False).X.tolist()
    [[1.5]]
    """
    if dtype not in ("float32", "float16"):
        raise ValueError(f"dtype should be 'float32' or 'float16'; received {dtype!r}. Choose one.")
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"a store is written to a new folder; {folder} exists. Remove it, or name another.")
    chosen = _selection(source, genes, gene_info, sample_info)
    part = folder.with_name(f".{folder.name}.part")
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
        with _watched(progress) as watch:
            _write_matrix(chosen, part, record, identity, block, resume, watch)
    except ValueError:
        # Going on would meet the same fault; what an interruption leaves is kept.
        shutil.rmtree(part)
        raise
    _write_table(chosen.obs, part / OBS)
    _write_table(chosen.var, part / VAR)
    record["sha256"] = _sha256(part / MATRIX)
    (part / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
    (part / PROGRESS).unlink(missing_ok=True)
    os.replace(part, folder)
    return folder


def open_store(folder: str | Path, *, mmap: bool = True, verify: bool = False) -> AnnData:
    """Open a folder that :func:`convert` wrote.

    Parameters
    ----------
    folder
        The folder.
    mmap
        Leave the matrix on disk: ``X`` is then a read-only array of the stored type over a ``numpy.memmap`` (its
        ``base``), of which only the rows that are used are read. Otherwise ``X`` is in memory, as float32.
    verify
        Compare the matrix with its checksum, which reads all of it.

    Returns
    -------
    AnnData
        Profiles x genes.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it is no store, of a later format, or damaged.
    """
    folder = Path(folder)
    record = _read_record(folder)
    tables = [_read_table(folder, name) for name in (OBS, VAR)]
    try:
        X = np.load(folder / MATRIX, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise _damaged(folder, f"{MATRIX} cannot be read: {error}") from error
    found = (*X.shape, str(X.dtype))
    expected = (*record["shape"], record["dtype"])
    if found != expected or X.shape != tuple(len(table) for table in tables):
        lengths = " x ".join(f"{len(table):,}" for table in tables)
        raise _damaged(folder, f"{RECORD} says {expected}, {MATRIX} holds {found}, the tables {lengths}")
    if verify and _sha256(folder / MATRIX) != record["sha256"]:
        raise _damaged(folder, f"the checksum of {MATRIX} is not the one in {RECORD}")
    # anndata cannot write what is of the class memmap; a plain array over the same map it can.
    matrix = X.view(np.ndarray) if mmap else np.array(X, dtype=np.float32)
    adata = AnnData(X=matrix, obs=tables[0], var=tables[1])
    adata.uns["steps"] = [str(step) for step in record.get("steps", [])]
    return adata


def is_store(folder: str | Path) -> bool:
    """Whether a folder says that it is a store of profiles."""
    return (Path(folder) / RECORD).is_file()


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
    parts = tuple(one.narrowed(places) for one, places in zip(each.values(), tables.genes, strict=True))
    steps = [f"{name}: {step}" for name, one in each.items() for step in one.steps]
    return Selection(
        name=" and ".join(one.name for one in each.values()),
        obs=tables.obs,
        var=tables.var,
        parts=tuple(part for group in parts for part in group),
        steps=(*steps, f"joined {first(source, 4)} by gene id"),
    )


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
def _watched(progress: bool | Watch) -> Iterator[Watch]:
    """A function to call after every block."""
    if not isinstance(progress, bool):
        yield progress
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not progress) as bar:
        task = bar.add_task("profiles", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


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
    (part / f"{PROGRESS}.part").write_text(text, encoding="utf-8")
    os.replace(part / f"{PROGRESS}.part", part / PROGRESS)


def _require_space(shape: tuple[int, int], dtype: str, part: Path) -> None:
    needed = shape[0] * shape[1] * np.dtype(dtype).itemsize
    held = (part / MATRIX).stat().st_blocks * 512 if (part / MATRIX).is_file() else 0
    free = shutil.disk_usage(part).free
    if needed - held > free:
        raise ValueError(
            f"the store needs {needed / 2**30:,.1f} GB of disk in {part.parent}; {free / 2**30:,.1f} GB are free. "
            "Choose another place, fewer genes, or dtype='float16'."
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write_table(table: pd.DataFrame, path: Path) -> None:
    table.rename_axis("id").reset_index().to_parquet(path, index=False)


def _read_table(folder: Path, name: str) -> pd.DataFrame:
    try:
        table = pd.read_parquet(folder / name).set_index("id")
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(folder, f"{name} cannot be read: {error}") from error
    table.index.name = None
    return table


def _read_record(folder: Path) -> dict[str, Any]:
    if not folder.exists():
        raise FileNotFoundError(f"a store of profiles should be a folder; {folder} does not exist. Check the path.")
    if not is_store(folder):
        inside = (
            first(sorted(path.name for path in folder.iterdir()), 5) if folder.is_dir() else "no files: it is a file"
        )
        raise ValueError(
            f"a folder of profiles should hold {RECORD}, as 'galenic data convert' writes it; {folder.name} holds "
            f"{inside or 'nothing'}. Name the file of profiles, or convert it first."
        )
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        version, kind = int(record["format"]), record["kind"]
        missing = {"shape", "dtype", "sha256"} - set(record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, f"{RECORD} cannot be read: {error!r}") from error
    if version > FORMAT:
        raise ValueError(
            f"{folder.name} should be of format {FORMAT} or earlier; it is of format {version}. "
            "Open it with a later version of galenic, or convert its source again."
        )
    if kind != KIND or missing:
        raise _damaged(folder, f"{RECORD} is of the kind {kind!r} and lacks {first(sorted(missing)) or 'nothing'}")
    return record


def _damaged(folder: Path, what: str) -> ValueError:
    return ValueError(
        f"{folder.name} should be a whole store of profiles; it is damaged ({what}). Remove it and convert again."
    )
