"""Small files that would fill the memory: refused before memory is taken, in a process that has little of it."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from galenic.data import read

ROOM = 3 << 29
"""Bytes that a reader may take beyond what its libraries have."""
BIG = 3 << 30
READ = """
import resource, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from hostile.law import outcome
from galenic.data import read
from galenic.data.read.gene_sets import gene_sets
from galenic.data.store import open_store
from galenic.foundation.geneformer_dictionaries import read_dictionaries
from galenic.foundation.weights import read_pickle, read_tensors
from galenic import plan
from galenic.models.base import load
from galenic.search.index import SimilarityIndex
room = {room} + resource.getpagesize() * int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (room, room))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for line in sys.stdin:
    how, path = line.rstrip("\\n").split("\\t")
    said = outcome(eval(how), Path(path))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(said, path, grown // 1024, flush=True)
"""
"""Reads what standard input names, and prints how that ended and by how many MB the process has grown since."""


def zeros(pack: Callable[[bytes], bytes], content: bytes, times: int) -> bytes:
    """A packed part many times over; unpackers read such a file as one."""
    return pack(content) * times


def zip_of(parts: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return stream.getvalue()


def npy(shape: tuple[int, ...]) -> bytes:
    """A header that declares a shape, and nothing after it."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def sheet(rows: str) -> bytes:
    """A spreadsheet with these rows."""
    from hostile.texts import workbook

    with zipfile.ZipFile(io.BytesIO(workbook())) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["xl/worksheets/sheet1.xml"] = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        f"{rows}</sheetData></worksheet>"
    ).encode()
    return zip_of(parts)


def pairs_of_pairs(levels: int) -> bytes:
    """A dictionary whose key is a pair of pairs of pairs ..., a few bytes a level."""
    return (
        b"\x80\x02}(X\x01\x00\x00\x00a"
        + b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(levels))
        + b"K\x01u."
    )


def h5(path: Path, write: Callable[[h5py.File], None]) -> None:
    with h5py.File(path, "w") as file:
        write(file)


def huge_gctx(file: h5py.File) -> None:
    file.create_dataset("0/DATA/0/matrix", shape=(10**9, 10**9), dtype="f4", chunks=(100, 1000), compression="gzip")
    for group in ("COL", "ROW"):
        file.create_dataset(f"0/META/{group}/id", shape=(10**9,), dtype="S20", chunks=(1000,), compression="gzip")


def packed_gctx(file: h5py.File) -> None:
    """Ids that are there, of which there are too many: zeros, packed to a thousandth."""
    file.create_dataset("0/DATA/0/matrix", shape=(BIG // 8, 1), dtype="f4", chunks=(1000, 1))
    file["0/META/ROW/id"] = [b"1"]
    ids = file.create_dataset(
        "0/META/COL/id", (BIG // 8,), "i8", chunks=(1 << 24,), compression="gzip", compression_opts=1
    )
    part = None
    for start in range(0, BIG // 8 >> 24):
        if part is None:
            ids[: 1 << 24] = 0
            part = ids.id.read_direct_chunk((0,))
        ids.id.write_direct_chunk((start << 24,), part[1])


def h5ad(file: h5py.File, X: Callable[[h5py.File], None]) -> None:
    from anndata import AnnData
    from anndata.io import write_elem

    write_elem(file, "/", AnnData(np.zeros((2, 2), np.float32)))
    del file["X"]
    X(file)


def sparse(file: h5py.File, indptr: list[int], indices: list[int]) -> None:
    group = file.create_group("X")
    group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": np.array([2, 2])})
    group["indptr"], group["indices"] = np.array(indptr, "i8"), np.array(indices, "i4")
    group["data"] = np.ones(len(indices), np.float32)


def write_all(folder: Path) -> list[tuple[str, Path]]:
    """Every bomb, and what reads it."""
    line, many = b"cell,a,b\n" + b"x,0,0\n" * (1 << 19), 256
    tabs = zeros(gzip.compress, b"\t" * (1 << 24), 128)
    one_line = b"0," * (1 << 24)
    names = ("n_latent", "hidden", "n_heads", "seed")
    grids = "".join(f"{name} = {[8] * 99}\n" for name in names).encode()
    far = '<row r="1"><c r="XFD1" t="n"><v>1</v></c></row><row r="1048576"><c r="A1048576"><v>1</v></c></row>'
    declared = {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}
    header = json.dumps({"a": declared}).encode()
    parts = {
        "a.csv.gz": ("read.table", zeros(lambda text: gzip.compress(text, mtime=0), line, many * 4)),
        "a.csv.bz2": ("read.matrix", zeros(bz2.compress, line, many * 4)),
        "a.csv.xz": ("read.table", zeros(lambda text: lzma.compress(text, preset=0), line, many * 4)),
        "line.csv.gz": ("read.matrix", zeros(lambda text: gzip.compress(text, mtime=0), one_line, 64)),
        "a.gct.gz": ("read.profiles", gzip.compress(b"#1.3\n2\t9\t0\t0\n") + tabs),
        "a.gmt.gz": ("gene_sets", zeros(lambda text: gzip.compress(text, mtime=0), b"A\tB\tC\n" * (1 << 21), many)),
        "sheet.xlsx": ("read.table", zip_of({"[Content_Types].xml": b"", "xl/sheet1.xml": b" " * (1 << 28)})),
        "far.xlsx": ("read.table", sheet(far)),
        "wide.gct": ("read.profiles", b"#1.3\n1000000000\t1000000000\t0\t0\nid\tp1\n"),
        "deep.json": ("read_dictionaries", b"[" * 100_000),
        "plan.toml": ("plan.read", b"a = " + b"[" * 100_000),
        "number.toml": ("plan.read", b"a = " + b"9" * 10_000),
        "grid.toml": ("plan.read", b'[[model]]\nname = "KDRUG"\n' + grids),
        "pairs.pkl": ("read_pickle", pairs_of_pairs(200)),
        "pairs.bin": ("read_tensors", pairs_of_pairs(200)),
        "long.pkl": ("read_pickle", b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x."),
        "a.safetensors": ("read_tensors", struct.pack("<Q", 1 << 40) + b"{"),
        "wide.safetensors": ("read_tensors", struct.pack("<Q", len(header)) + header),
    }  # fmt: skip
    for name, (_, content) in parts.items():
        (folder / name).write_bytes(content)
    found = [(how, folder / name) for name, (how, _) in parts.items()]
    h5(folder / "huge.gctx", huge_gctx)
    h5(folder / "packed.gctx", packed_gctx)
    h5(folder / "far.h5ad", lambda file: h5ad(file, lambda inside: sparse(inside, [0, 1, 2], [0, 10**9])))
    h5(folder / "steps.h5ad", lambda file: h5ad(file, lambda inside: sparse(inside, [0, 10**12, 2], [0, 1])))
    h5(
        folder / "zeros.h5ad",
        lambda file: h5ad(file, lambda inside: inside.create_dataset("X", (10**6, 10**6), "f4", chunks=(100, 100))),
    )
    h5(
        folder / "other.h5ad",
        lambda file: h5ad(file, lambda inside: inside.__setitem__("X", h5py.ExternalLink("/etc/passwd", "/"))),
    )
    h5(
        folder / "outside.h5ad",
        lambda file: h5ad(
            file, lambda inside: inside.create_dataset("X", (2, 2), "f4", external=[("/etc/passwd", 0, 16)])
        ),
    )
    found += [("read.profiles", folder / name) for name in ("huge.gctx", "packed.gctx", "far.h5ad", "steps.h5ad")]
    found += [
        ("read.matrix", folder / name)
        for name in ("far.h5ad", "steps.h5ad", "zeros.h5ad", "other.h5ad", "outside.h5ad")
    ]
    index = folder / "index"
    index.mkdir()
    (index / "index.json").write_text(json.dumps({"format": 2, "metric": "cosine", "n": 10**9, "n_dims": 1000}))
    (index / "vectors.npy").write_bytes(npy((10**9, 1000)))
    found.append(("SimilarityIndex.load", index))
    return found


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, int]]:
    """How each bomb ended, and by how many MB the process had grown by then."""
    bombs = write_all(tmp_path_factory.mktemp("bombs"))
    names = "".join(f"{how}\t{path}\n" for how, path in bombs)
    shown = subprocess.run(
        [sys.executable, "-c", READ.format(room=ROOM)],
        input=names,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).parent), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr[-2000:]
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert len(lines) == len(bombs)
    return {
        f"{how} {path.name}": (said, int(grown)) for (how, path), (said, _, grown) in zip(bombs, lines, strict=True)
    }


def test_rows_that_are_packed_to_nothing_are_counted_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1 << 20, np.int32)), pa.array(["x"]))
    parquet.write_table(pa.table({"a": rows, "b": rows}), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 10_000
    monkeypatch.setattr("galenic.data.limits.memory_left", lambda: 1 << 22)
    with pytest.raises(ValueError, match=r"a\.parquet should fit into memory; it needs 0\.0 GB"):
        read.table(tmp_path / "a.parquet")


def test_bombs_are_refused_in_words(ended: dict[str, tuple[str, int]]) -> None:
    assert {name: said for name, (said, _) in ended.items() if said != "refused"} == {}


def test_bombs_take_little_memory(ended: dict[str, tuple[str, int]]) -> None:
    """Each would take 1 GB or more, most of them many times that."""
    assert max(grown for _, grown in ended.values()) < 700, ended
