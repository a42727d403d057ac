"""The same numbers in every place that a matrix may lie in, and the systems that read them: one row each."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cell_cases
import numpy as np
import perturbation_cases
import profile_cases
from anndata import AnnData
from scipy import sparse

from galenic.data.convert import convert
from galenic.data.read.matrices import open_h5ad
from galenic.data.store import open_store
from galenic.models import find
from galenic.models.reference.building import build
from galenic.models.reference.reference import Reference, open_reference
from galenic.search import SimilarityIndex

SPARSE = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix}
LEARNED_FROM = ("memory map float16", "h5ad", "zarr csr")
"""One of each kind, for fits."""
SOURCES = (
    "csr", "csc", "float16", "memory map", "memory map float16", "store float16", "h5ad", "h5ad csr",
    "h5ad csc", "zarr", "zarr csr", "zarr csc",
)  # fmt: skip
"""Beside a dense float32 array in memory."""


def rounded(adata: AnnData) -> AnnData:
    """A copy whose numbers are the same in half, single and double precision."""
    X = adata.X.toarray() if sparse.issparse(adata.X) else np.asarray(adata.X)
    return AnnData(X.astype(np.float16).astype(np.float32), obs=adata.obs.copy(), var=adata.var.copy())


@cache
def profiles() -> AnnData:
    """Profiles of perturbed cells."""
    return rounded(profile_cases.few_profiles())


@cache
def perturbed() -> AnnData:
    """Treated and control cells."""
    return rounded(perturbation_cases.training_cells())


@cache
def cells() -> tuple[AnnData, AnnData]:
    """Labelled lines, and single cells in logs."""
    bulk, target = cell_cases.given()
    return bulk, rounded(target)


@contextmanager
def placed(adata: AnnData, source: str, folder: Path) -> Iterator[AnnData]:
    """``adata`` as it comes out of a source, written to ``folder`` where it is not there yet."""
    where, form = source.split(" ")[0], source.split(" ")[-1]
    path = folder / source.replace(" ", "_")
    if not path.exists():
        _write(adata, where, form, path)
    if where == "store":
        yield AnnData(open_store(path).X, obs=adata.obs, var=adata.var)
    elif where == "memory":
        yield AnnData(np.load(path, mmap_mode="r").view(np.ndarray), obs=adata.obs, var=adata.var)
    elif where in ("h5ad", "zarr"):
        backed = open_h5ad(path, backed=True)
        yield backed
        backed.file.close()
    else:
        yield AnnData(_formed(adata, form), obs=adata.obs, var=adata.var)


def _formed(adata: AnnData, form: str) -> Any:
    """The matrix, sparse, in half precision, or as it is."""
    if form == "float16":
        return adata.X.astype(np.float16)
    return SPARSE[form](adata.X) if form in SPARSE else adata.X


def _write(adata: AnnData, where: str, form: str, path: Path) -> None:
    other = AnnData(_formed(adata, form), obs=adata.obs, var=adata.var)
    if where == "memory":
        with path.open("wb") as stream:
            np.save(stream, other.X)
    elif where == "store":
        convert(adata, path, genes=None, dtype="float16" if form == "float16" else "float32")
    elif where == "h5ad":
        other.write_h5ad(path)
    elif where == "zarr":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of zarr, about its formats
            other.write_zarr(path, **({} if form in SPARSE else {"chunks": (16, 20)}))


@dataclass(frozen=True)
class System:
    """What is fitted on one matrix and asked about another, and how nearly the answers must be the same.

    A tolerance of 0 means equal to the last bit; where sparse sums go in another order, they are not quite.
    """

    name: str
    data: Callable[[], AnnData]
    fit: Callable[[AnnData], Any]
    ask: Callable[[Any, AnnData], np.ndarray]
    tolerance: float = 0.0

    def __str__(self) -> str:
        return self.name

    def fitted(self) -> Any:
        """Fitted on a dense array in memory; the same object for all."""
        return _fitted(self)

    def expected(self) -> np.ndarray:
        """What it says of a dense array in memory."""
        return _expected(self)


@cache
def _fitted(system: System) -> Any:
    return system.fit(system.data())


@cache
def _expected(system: System) -> np.ndarray:
    return system.ask(system.fitted(), system.data())


def _profile(case: Any) -> System:
    def ask(model: Any, adata: AnnData) -> np.ndarray:
        vectors = model.embed(adata)
        more = [model.judge(adata)[["distance", "strength"]]] if hasattr(model, "judge") else []
        return np.column_stack([vectors, *more])

    return System(str(case), profiles, lambda adata: case.make().fit(adata), ask)


def _perturbation(case: Any) -> System:
    def ask(model: Any, adata: AnnData) -> np.ndarray:
        return np.asarray(model.predict(adata, perturbation_cases.HELD_OUT.iloc[:3]).X)

    return System(str(case), perturbed, case.fit, ask, tolerance=1e-5)


def _cell(case: Any) -> System:
    def ask(model: Any, adata: AnnData) -> np.ndarray:
        return model.predict(adata)[["probability", "sd"]].to_numpy()

    return System(str(case), lambda: cells()[1], lambda adata: case.fit(cells()[0], adata), ask, tolerance=1e-9)


def _encoder(adata: AnnData) -> Any:
    how = {"n_genes": 40, "n_latent": 4, "encoder": (8,), "training": cell_cases.BRIEF}
    return find("ScATDEncoder")(**how).fit(adata)


def _index(adata: AnnData) -> SimilarityIndex:
    return SimilarityIndex(find("RawCosine")().fit(adata).embed(adata), adata.obs)


def _found(index: SimilarityIndex, adata: AnnData) -> np.ndarray:
    hits = index.nearest(find("RawCosine")().fit(adata).embed(adata)[:10], k=5)
    return np.stack([hits.rows, hits.similarity])


def _reference(adata: AnnData) -> Reference:
    """As 'galenic search build' writes it."""
    model = find("ShrinkageLDA")(n_latent=8).fit(profiles())
    with tempfile.TemporaryDirectory() as place:
        return open_reference(build(model, adata, Path(place, "reference"), gene_sets=True), memory_map=False)


def _answers(reference: Reference, adata: AnnData) -> np.ndarray:
    return reference.by_profiles(adata[:3].to_memory())[0].select_dtypes("number").to_numpy()


def _some(cases: tuple[Any, ...], *left_out: str) -> list[Any]:
    """Cases but those that read a matrix just as another does, which take long."""
    return [case for case in cases if case.form not in left_out]


PERTURBATIONS = {"MeanShift", "StackedShift", "LowRankEffect", "XTransferCDR", "XTransferCDR-no-start-cells"}
"""All others read the same means."""
SYSTEMS = (
    *map(_profile, _some(profile_cases.CASES, "arcface", "published", "decoder")),
    System("SimilarityIndex", profiles, _index, _found),
    System("Reference", profiles, _reference, _answers),
    *map(_perturbation, [case for case in perturbation_cases.CASES if str(case) in PERTURBATIONS]),
    *map(_cell, _some(cell_cases.CASES, "networks", "published", "platform", "response")),
    System("ScATDEncoder", lambda: cells()[1], _encoder, lambda model, adata: model.embed(adata), tolerance=1e-6),
)
