"""What a file holds, told by its bytes and not by its name."""

from __future__ import annotations

import bz2
import csv
import errno
import gzip
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from galenic.data.checks import first, require_file
from galenic.data.limits import MOST_COLUMNS, line_of, unpacked

MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"PK\x03\x04", "zip"),
    (b"PAR1", "parquet"),
    (b"\x89HDF\r\n\x1a\n", "h5ad"),
    (b"MuData (", "h5ad"),  # before the HDF5 proper; its modality of expression is read
    (b"\xd0\xcf\x11\xe0", "xls"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)
OPENERS: dict[str, Callable[..., Any]] = {"gzip": gzip.open, "bz2": bz2.open, "xz": lzma.open}
REMEDIES = {
    "xls": "Save it as .xlsx or CSV",
    "zstd": "Unpack it first",
    "UTF-16": "Save it as UTF-8",
    "JSON": "Save it as CSV",
}
DELIMITERS = "\t,;|"
PEEKED_LINES, PEEKED_BYTES = 20, 1 << 26
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)
"""What unpacking raises; of an ``OSError``, those without a number come from the data and not from the system."""


@dataclass(frozen=True)
class TextLayout:
    """How a delimited text file is laid out: its column names, and its first lines, ``(n_lines, n_columns)``."""

    names: list[str]
    delimiter: str
    rows: list[list[str]]
    longest_line: int


def kind_of_file(path: str | Path) -> str:
    """``"text"``, ``"parquet"``, ``"xlsx"`` or ``"h5ad"``; text may be compressed, and a zarr folder counts as h5ad.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is empty, damaged or of another kind.
    """
    path = require_file(path, "a table", or_zarr=True)
    if path.is_dir():
        return "h5ad"
    with path.open("rb") as stream:
        kind = _magic(stream.read(8))
    if kind in REMEDIES:
        remedy = REMEDIES[kind]
        raise ValueError(f"a table should be CSV, TSV, Parquet, xlsx or h5ad; {path.name} is {kind}. {remedy}.")
    if kind == "zip":
        with _damage_explained(path), _archive(path) as archive:
            return "xlsx" if "[Content_Types].xml" in archive.namelist() else "text"
    return kind if kind in ("parquet", "h5ad") else "text"


@contextmanager
def open_bytes(path: str | Path, *, whole: bool = False) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked if they are compressed (gzip, bz2, xz, or a zip with one file).

    With ``whole`` they will all be in memory at once, and may be a tenth of it.

    Raises
    ------
    ValueError
        If the compressed data are cut off or damaged, or a zip holds several files.
    """
    path = require_file(path, "a table")
    with path.open("rb") as stream:
        kind = _magic(stream.read(8))
    packed = path.stat().st_size
    with _damage_explained(path):
        if kind == "zip":
            with _archive(path) as archive, archive.open(_only_member(archive, path)) as stream:
                yield unpacked(stream, packed, path.name, whole)
        elif kind in OPENERS:
            with OPENERS[kind](path, "rb") as stream:
                yield unpacked(stream, packed, path.name, whole)
        else:
            with path.open("rb") as stream:
                yield stream


def text_layout(path: str | Path) -> TextLayout:
    """Names, delimiter and first lines of a text table.

    Files written by R with row names have one name less than values; the first column then has the name ``""``.

    Raises
    ------
    ValueError
        If it is not text in UTF-8, is a web page or a Git LFS pointer, or has no delimiter.
    """
    path = Path(path)
    with open_bytes(path) as stream:
        lines = _first_lines(stream, path.name)
    if not lines:
        raise ValueError(f"{path.name} should hold a header and rows; it holds only blank lines. Export it again.")
    start = lines[0].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ValueError(
            f"{path.name} should be a table; it is a web page. The download link led to a page (a login or an error): "
            "open it in a browser, and download the file itself."
        )
    if start.startswith(b"version https://git-lfs"):
        raise ValueError(
            f"{path.name} should be a table; it is a Git LFS pointer of a few lines. Run 'git lfs pull' for the data."
        )
    if start.startswith(b"#") and not any(mark in start for mark in DELIMITERS.encode()):
        comment = lines[0][:40].decode(errors="replace").strip()
        raise ValueError(
            f"{path.name} should start with a header; it starts with a comment, {comment!r}. "
            "Remove the lines above the column names."
        )
    inside = _magic(b"".join(lines[:2]))
    if inside != "text" or b"\x00" in lines[0]:
        inside = inside if inside != "text" else "binary data"
        raise ValueError(f"{path.name} should hold text; it holds {inside}. Unpack it, or convert it to CSV first.")
    try:
        text = [line.decode("utf-8-sig" if i == 0 else "utf-8").rstrip("\r\n") for i, line in enumerate(lines)]
    except UnicodeDecodeError as error:
        raise ValueError(not_utf8(path, f"byte {error.object[error.start]:#04x}")) from error
    unquoted = re.sub(r'"[^"]*"', "", text[0])
    delimiter = max(DELIMITERS, key=unquoted.count)
    if (most := max(line.count(delimiter) for line in text)) >= MOST_COLUMNS:
        raise ValueError(
            f"{path.name} should have {MOST_COLUMNS:,} columns at most; a line of it has {most + 1:,}. Check that "
            "it is the table, or divide it."
        )
    try:
        names = [name.strip() for name in next(csv.reader(text[:1], delimiter=delimiter))]
        rows = list(csv.reader(text[1:], delimiter=delimiter))
    except csv.Error as error:
        raise ValueError(
            f"{path.name} should be delimited text; it cannot be parsed ({error}). Export it as CSV again."
        ) from error
    if not names:
        raise ValueError(f"{path.name} should start with a header; its first line is blank. Add the column names.")
    if len(names) == 1 and not rows:
        raise ValueError(
            f"{path.name} should have columns parted by tab, comma, semicolon or |, under a header; it has one line, "
            f"{text[0][:40]!r}. Export it as CSV."
        )
    if rows and len(rows[0]) == len(names) + 1:
        names = ["", *names]
    return TextLayout(names, delimiter, rows, max(map(len, lines)))


def _first_lines(stream: IO[bytes], name: str) -> list[bytes]:
    """A few lines that are not blank, fewer where they are long."""
    lines: list[bytes] = []
    left = PEEKED_BYTES
    for _ in range(PEEKED_LINES + 1):
        line = line_of(stream, name)
        lines += [line] if line.strip() else []
        left -= len(line)
        if not line or left < 0:
            break
    return lines


def not_utf8(path: str | Path, where: str) -> str:
    """The message for a file in another encoding."""
    return (
        f"{Path(path).name} should be text in UTF-8; it is not ({where}). "
        "It was probably saved by a spreadsheet as Latin-1 or Windows-1252: save it again as 'CSV UTF-8'."
    )


def _magic(head: bytes) -> str:
    return next((kind for start, kind in MAGIC if head.startswith(start)), "text")


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (ValueError, struct.error) as error:  # names that are no text, sizes that are no numbers
        raise ValueError(
            f"{path.name} should be a whole zip file; its list of files is damaged ({error}). Download it again."
        ) from error


def _only_member(archive: zipfile.ZipFile, path: Path) -> str:
    names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")]
    if len(names) != 1:
        raise ValueError(
            f"a zip should hold one table; {path.name} holds {len(names)} files ({first(names)}). "
            "Unpack it, and name the file that is meant."
        )
    return names[0]


@contextmanager
def _damage_explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (*DAMAGE, OSError, RuntimeError) as error:
        # Those of the system have a number and stay; zip says by RuntimeError that it needs a password.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL) and not isinstance(error, DAMAGE):
            raise
        raise ValueError(
            f"{path.name} should be a whole compressed file; it is cut off or damaged ({error}). Download it again."
        ) from error
