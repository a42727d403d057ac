"""Which of the formats of profiles a file is, told by its bytes and not by its name."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, cast

import h5py

from galenic.data.checks import first, require_file
from galenic.data.limits import unpacked
from galenic.work.atomic import NoRoomError, written
from galenic.work.ends import is_ours

HDF5 = b"\x89HDF\r\n\x1a\n"
GZIP = b"\x1f\x8b"
GCT_VERSIONS = ("#1.2", "#1.3")
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)
NAMED = (".gct", ".gct.gz", ".gctx")
"""Ends of names that nothing but profiles has."""
PERTURBED = frozenset({"pert_id", "pert_type", "pert_name", "pert_iname", "cmap_name"})
"""Columns of which a table of profiles has one."""
Format = Literal["gct", "gctx", "h5ad", "unknown"]


def format_of(path: str | Path) -> Format:
    """``"gct"`` (compressed by gzip or not), ``"gctx"``, ``"h5ad"`` (or a zarr folder), or ``"unknown"``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is a folder, empty, or HDF5 or gzip that is cut off.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "text.gctx")
    ...     _ = path.write_text("#1.3" + chr(10))
    ...     format_of(path)
    'gct'
    """
    path = require_file(path, "profiles", or_zarr=True)
    if path.is_dir():
        return "h5ad"
    with path.open("rb") as stream:
        head = stream.read(len(HDF5))
    if head == HDF5:
        return _format_of_hdf5(path)
    with open_lines(path) as stream:
        line = stream.readline(64)
    return "gct" if line.decode("utf-8-sig", errors="replace").strip() in GCT_VERSIONS else "unknown"


def holds_profiles(path: str | Path) -> bool:
    """Whether h5ad or zarr is of profiles of perturbed cells: it names their perturbagens, or galenic wrote it so."""
    if (obs := Path(path) / "obs").is_dir():
        return any((obs / name).exists() for name in PERTURBED) or (Path(path) / "uns" / "steps").exists()
    with open_hdf5(path) as file:
        obs = file["obs"]
        # Files of the first years hold a table there, not a group.
        columns = set(obs) if isinstance(obs, h5py.Group) else set(obs.dtype.names or ())
        return bool(columns & PERTURBED) or "steps" in file.get("uns", ())


@contextmanager
def open_lines(path: str | Path) -> Iterator[IO[bytes]]:
    """The bytes of a text file, unpacked if gzip compressed them.

    Raises
    ------
    ValueError
        If the compressed data are cut off or damaged.
    """
    path = Path(path)
    with path.open("rb") as stream:
        packed = stream.read(2) == GZIP
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            plain = cast(IO[bytes], stream)
            yield unpacked(plain, path.stat().st_size, path.name) if packed else plain
    except DAMAGE as error:
        raise ValueError(
            f"{path.name} should be a whole compressed file; it is cut off or damaged ({error}). Download it again."
        ) from error


@contextmanager
def open_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """An HDF5 file for reading.

    Raises
    ------
    ValueError
        If it is cut off or damaged.
    """
    with damage_explained(path), h5py.File(path, "r") as file:
        yield file


@contextmanager
def damage_explained(path: str | Path) -> Iterator[None]:
    """Turn what h5py says of a damaged file into the user's words."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # h5py says of damage whatever comes to its mind
        if is_ours(error):
            raise
        raise ValueError(
            f"{Path(path).name} should be a whole HDF5 file; it is cut off or damaged ({error}). "
            "Download or write it again."
        ) from error


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """A place beside ``path`` to write to; it takes the place of ``path`` once all is written.

    Raises
    ------
    OSError
        If the system does not let it be written.
    """
    with writing_explained(path), written(path, parents=False) as part:
        yield part


@contextmanager
def writing_explained(path: str | Path) -> Iterator[None]:
    """Turn what the system says of a place that it does not let be written into the user's words."""
    try:
        yield
    except NoRoomError:
        raise
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(
            f"{path} should be a place to write to; the system refuses it ({reason}). Check the folder, its "
            "permissions and its free space, or name another place."
        ) from error


def not_profiles(path: str | Path) -> ValueError:
    """The error for a file of another kind."""
    path = Path(path)
    with path.open("rb") as stream:
        start = stream.read(24).decode(errors="replace")
    return ValueError(
        f"profiles should be GCT ('#1.2' or '#1.3' in its first line), GCTX, h5ad, a table (CSV, TSV, Parquet), or a "
        f"folder of 'galenic data convert'; {path.name} starts with {start!r}. Export it as one of these."
    )


def _format_of_hdf5(path: Path) -> Format:
    with open_hdf5(path) as file:
        if "0/DATA/0/matrix" in file:
            return "gctx"
        if {"obs", "var"} <= set(file):
            return "h5ad"
        names = sorted(file)
    raise ValueError(
        f"{path.name} should be GCTX (with /0/DATA/0/matrix) or h5ad (with obs and var); it is other HDF5, which holds "
        f"{first(names, 5) or 'nothing'}. Name the file of profiles."
    )
