"""Valid small folders that galenic wrote, and what reads them and answers out of them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import load, save

from galenic.data import read
from galenic.data.convert import convert
from galenic.data.simulate import profiles, screen
from galenic.data.store import open_store
from galenic.foundation.chunks import Chunks
from galenic.foundation.geneformer_dictionaries import find_dictionaries
from galenic.foundation.geneformer_network import read_network, read_shape
from galenic.models import CELL_MODELS, ENCODERS, PERTURBATION_MODELS, PROFILE_MODELS
from galenic.models.base import load as load_model
from galenic.models.reference.building import build
from galenic.models.reference.reference import open_reference
from galenic.report import run as runs
from galenic.report.page import sections_of
from galenic.search.index import SimilarityIndex
from galenic.train import checkpoint
from galenic.work.kept import Kept
from hostile.edits import Edit, edited
from hostile.hdf5 import spoilt
from hostile.target import Files, Target, files_of
from hostile.texts import columns_changed, in_header, parquet

sys.path.insert(0, str(Path(__file__).parents[2] / "contract"))
QUICK = ("KernelRidge", "MeanEffects", "RawCosine", "MeanShift", "CellLogistic")
"""Models that are fitted in a moment."""
HOSTILE_ARRAYS = (
    np.zeros(0), np.zeros((0, 3)), np.full((2, 2), np.nan), np.array([np.inf]), np.arange(3), np.array([-1]),
    np.array([10**9]), np.zeros((2, 2, 2)), np.array([True]), np.array(7.0), np.zeros((1, 50), np.float16),
)  # fmt: skip


def arrays_changed(content: bytes, edits: Sequence[Edit], other: bytes) -> bytes:
    """Arrays or tables of which some are absent, called otherwise, of another shape or kind, or hold hostile values."""
    if content.startswith(b"PAR1"):
        return parquet(columns_changed(pd.read_parquet(io.BytesIO(content)), edits))
    if content.startswith(b"\x93NUMPY"):
        arrays = {"": np.load(io.BytesIO(content))}
    elif content.startswith(b"PK"):
        with np.load(io.BytesIO(content)) as found:
            arrays = dict(found)
    else:
        try:
            arrays = load(content)
        except Exception:
            return edited(content, edits, other)
    for kind, at, what in edits:
        names = sorted(arrays)
        if not names:
            break
        name = names[at % len(names)]
        arrays[name] = _changed(arrays[name], kind, what // 2)
        if kind % 11 == 10 and name:
            arrays[("x", "y")[what % 2]] = arrays.pop(name)
    stream = io.BytesIO()
    if content.startswith(b"\x93NUMPY"):
        np.save(stream, arrays[""])
        return stream.getvalue()
    if content.startswith(b"PK"):
        np.savez(stream, **arrays)
        return stream.getvalue()
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def _changed(array: np.ndarray, kind: int, what: int) -> np.ndarray:
    if (kind := kind % 7) <= 1 or not array.size:
        return HOSTILE_ARRAYS[what % len(HOSTILE_ARRAYS)]
    if kind == 2:
        return array[: what % (len(array) + 1)] if array.ndim else array.reshape(1)
    if kind == 3:
        return array.T if array.ndim > 1 else array[None]
    if kind == 4:
        return np.concatenate([array, array]) if array.ndim else array
    if kind == 5:
        return (
            array.astype((np.float16, np.int8, np.int64, np.float64, bool)[what % 5])
            if array.dtype.kind in "biuf"
            else array
        )
    flat = array.reshape(-1).copy()
    with contextlib.suppress(OverflowError, ValueError):
        flat[what % len(flat)] = (np.nan, np.inf, -1, 10**9, 0)[what // 3 % 5]
    return flat.reshape(array.shape)


def with_checksum(files: dict[str, bytes]) -> None:
    """The checksum in a header, right again."""
    for record, name, entry in (
        ("model.json", "weights.safetensors", "weights_sha256"), ("store.json", "matrix.npy", "sha256"),
    ):  # fmt: skip
        with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
            header = json.loads(files[record])
            header[entry] = hashlib.sha256(files[name]).hexdigest()
            files[record] = json.dumps(header).encode("utf-8", errors="surrogatepass")


@cache
def models(names: tuple[str, ...] | None = None) -> list[Files]:
    """Folders of fitted models, of the given classes or of all."""
    import cases
    import cell_cases
    import perturbation_cases
    import profile_cases

    found: list[Files] = []
    for module in (cases, profile_cases, perturbation_cases, cell_cases):
        for case in module.CASES:
            if names is None or (case.name in names and not case.form):
                with tempfile.TemporaryDirectory() as folder:
                    found.append(files_of(case.fitted().save(Path(folder, "model"))))
    return found


def _answer(path: Path) -> None:
    """Load a model, and ask what models of its kind are asked."""
    import cases
    import cell_cases
    import perturbation_cases
    import profile_cases

    model = load_model(path)
    name = type(model).__name__
    if name in PERTURBATION_MODELS:
        model.predict(perturbation_cases.training_cells(), perturbation_cases.HELD_OUT)
    elif name in PROFILE_MODELS:
        model.embed(profile_cases.few_profiles())
    elif name in ENCODERS:
        model.embed(cell_cases.given()[1])
    elif name in CELL_MODELS:
        model.predict(cell_cases.given()[1])
    else:
        model.predict(cases.small_screen())


@cache
def _small() -> Any:
    return profiles(n_perturbagens=12, n_genes=25, n_cells=2, seed=1)


def _stores() -> list[Files]:
    with tempfile.TemporaryDirectory() as folder:
        return [files_of(convert(_small(), Path(folder, "store")))]


def _indexes() -> list[Files]:
    table = pd.DataFrame({"cell": list("aab"), "dose": [0.1, 1, 10]}, index=["x", "y", "z"])
    found = []
    for metric, offsets in (("cosine", np.array([0.1, 0.2, 0.0])), ("euclidean", None)):
        with tempfile.TemporaryDirectory() as folder:
            SimilarityIndex(np.eye(3), table, metric=metric, offsets=offsets).save(folder)
            found.append(files_of(Path(folder)))
    return found


def _index(path: Path) -> None:
    for memory_map in (False, True):
        index = SimilarityIndex.load(path, memory_map=memory_map)
        index.search(np.array([1.0, 0.0, 0.0]), k=2)


def _references() -> list[Files]:
    from galenic.models.profiles.similarities import RawCosine

    with tempfile.TemporaryDirectory() as folder:
        return [files_of(build(RawCosine().fit(_small()), _small(), Path(folder, "reference")))]


def _reference(path: Path) -> None:
    open_reference(path).by_name("compound 7", k=2)


def _runs() -> list[Files]:
    with tempfile.TemporaryDirectory() as folder:
        with runs.start(folder, verb="predict", command="galenic predict", fields={"n": 1}, seed=0) as run:
            run.record["data"] = {"pairs": 2, "cells": 2, "drugs": 1, "unit": "ln_ic50"}
            run.write("predictions", pd.DataFrame({"cell": ["a", "b"], "drug": ["5", "5"], "prediction": [0.5, 1.0]}))
            run.write("ranking", pd.DataFrame({"cell": ["a"], "rank": [1], "drug": ["5"], "prediction": [0.5]}))
        return [files_of(Path(folder))]


def _run(path: Path) -> None:
    sections_of(runs.read(path))


def in_data_folder(content: bytes, edits: Sequence[Edit], other: bytes) -> bytes:
    """A file of a data folder, changed where its format allows."""
    return spoilt(content, edits, other) if content.startswith(b"\x89HDF") else arrays_changed(content, edits, other)


def _screens() -> list[Files]:
    with tempfile.TemporaryDirectory() as folder:
        return [files_of(read.write(screen(8, 3, 20, n_drivers=1)[0], Path(folder, "screen")))]


def _checkpoints() -> list[bytes]:
    stream = io.BytesIO()
    torch.save({"settings": {"a": 1}, "net": {"w": torch.ones(2)}, "epoch": 3}, stream)
    return [stream.getvalue()]


def _chunks() -> list[Files]:
    with tempfile.TemporaryDirectory() as folder:
        chunks = Chunks(Path(folder, "c"), {"width": 2})
        chunks.write(0, "abc", np.ones((2, 2), np.float32))
        return [files_of(Path(folder, "c"))]


def _chunk(path: Path) -> None:
    Chunks(path, {"width": 2}).read(0, "abc", (2, 2))


def _networks() -> list[Files]:
    import geneformer_folder

    found: list[Files] = []
    for how in ({"kind": "json"}, {"weights": "bin"}):
        with tempfile.TemporaryDirectory() as folder:
            found.append(files_of(geneformer_folder.write_model(Path(folder), **how)))
    return found


def _network(path: Path) -> None:
    shape = read_shape(path / "config.json")
    read_network(path, shape)
    find_dictionaries(path, shape.vocab_size, shape.pad_token_id)


def _kept() -> list[Files]:
    with tempfile.TemporaryDirectory() as folder:
        Kept(folder, {"seed": 0}).write("fold 0", {"score": 0.5, "x": np.arange(3.0), "deep": [{"a": None}]})
        return [files_of(Path(folder))]


FOLDERS = {
    "model folders": lambda: Target("model folders", models(QUICK), _answer, "model", arrays_changed, with_checksum),
    "all model folders": lambda: Target("all model folders", models(), _answer, "model", arrays_changed, with_checksum),
    "profile stores": lambda: Target(
        "profile stores",
        _stores(),
        lambda path: open_store(path, mmap=False, verify=True),
        "store",
        arrays_changed,
        with_checksum,
    ),
    "search indexes": lambda: Target("search indexes", _indexes(), _index, "index", arrays_changed),
    "references": lambda: Target("references", _references(), _reference, "reference", arrays_changed, None),
    "run folders": lambda: Target("run folders", _runs(), _run, "run", arrays_changed),
    "data folders": lambda: Target("data folders", _screens(), read.read_folder, "screen", in_data_folder),
    "checkpoints": lambda: Target("checkpoints", _checkpoints(), lambda path: checkpoint.read(path, {"a": 1}), "a.pt"),
    "chunks": lambda: Target("chunks", _chunks(), _chunk, "chunks", arrays_changed),
    "kept jobs": lambda: Target(
        "kept jobs", _kept(), lambda path: Kept(path, {"seed": 0}).read("fold 0"), "kept", arrays_changed
    ),
    "geneformer folders": lambda: Target("geneformer folders", _networks(), _network, "network", in_header),
}
"""What makes each target: some fit models first."""
