"""The models of perturbations that have to obey the laws: one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.simulate import perturbations
from galenic.models import find
from galenic.train import Training

HELD_OUT = pd.DataFrame(
    {
        "context": ["type A", "type B", "type C", "type B"],
        "perturbation": ["P02", "P00", "P04", "P01+P04"],
    }
)
"""Conditions that the fit never sees."""


@cache
def all_cells() -> AnnData:
    """6 perturbations and three of their pairs in 3 cell types."""
    return perturbations(n_contexts=3, n_perturbations=6, n_genes=30, n_cells=8, pairs=3, seed=0)


def is_held_out(adata: AnnData) -> np.ndarray:
    """Which cells are of a condition that is asked."""
    asked = set(zip(HELD_OUT["context"], HELD_OUT["perturbation"], strict=True))
    return np.array(
        [pair in asked for pair in zip(adata.obs["cell_type"], adata.obs["perturbation"], strict=True)], dtype=bool
    )


@cache
def training_cells() -> AnnData:
    """All cells but those of the conditions that are asked."""
    adata = all_cells()
    return adata[~is_held_out(adata)].copy()


def factors() -> pd.DataFrame:
    """Three numbers for each perturbation."""
    names = [f"P{number:02d}" for number in range(6)]
    return pd.DataFrame(np.random.default_rng(2).normal(size=(6, 3)), index=names)


@dataclass(frozen=True)
class PerturbationCase:
    """How the laws build and fit a small model of one class."""

    name: str
    make: Callable[[], Any]
    form: str = ""
    how: Callable[[], dict[str, Any]] = field(default=dict)
    draws: bool = False

    def __str__(self) -> str:
        return f"{self.name}-{self.form}" if self.form else self.name

    def fit(self, adata: AnnData, **columns: Any) -> Any:
        """A new model, fitted."""
        return self.make().fit(adata, **columns, **self.how())

    def fitted(self) -> Any:
        """A fitted model; the same object for every law, which must not change it."""
        return _fitted(self)


@cache
def _fitted(case: PerturbationCase) -> Any:
    return case.fit(training_cells())


def _of(name: str, **fields: Any) -> Callable[[], Any]:
    return lambda: find(name)(**fields)


def _xtransfer(**fields: Any) -> Callable[[], Any]:
    few = {
        "n_networks": 2,
        "widths": (16, 12, 8, 4),
        "training": Training(max_epochs=2, batch_size=16, monitor="held_out"),
        "gene_training": Training(max_epochs=2, monitor="error"),
    }
    return _of("XTransferCDR", **few | fields)


CASES = (
    PerturbationCase("NoEffect", _of("NoEffect")),
    PerturbationCase("CopySource", _of("CopySource")),
    PerturbationCase("GlobalMeanEffect", _of("GlobalMeanEffect")),
    PerturbationCase("ContextMeanEffect", _of("ContextMeanEffect")),
    PerturbationCase("MeanShift", _of("MeanShift")),
    PerturbationCase("ScaledShift", _of("ScaledShift")),
    PerturbationCase("NearestContextShift", _of("NearestContextShift")),
    PerturbationCase("NearestContextShift", _of("NearestContextShift", similarity="euclidean"), form="euclidean"),
    PerturbationCase("AdditivePairs", _of("AdditivePairs")),
    PerturbationCase("StackedShift", _of("StackedShift")),
    PerturbationCase("LowRankEffect", _of("LowRankEffect")),
    PerturbationCase(
        "LowRankEffect", _of("LowRankEffect", rank=2, penalty=1.0), form="factors", how=lambda: {"factors": factors()}
    ),
    PerturbationCase("XTransferCDR", _xtransfer(), draws=True),
    PerturbationCase("XTransferCDR", _xtransfer(start="none"), form="no-start", draws=True),
    PerturbationCase(
        "XTransferCDR",
        _xtransfer(start="none", n_networks=1, level="cells", output="relu", norm="batch", difference=False),
        form="no-start-cells",
        draws=True,
    ),
    PerturbationCase("XTransferCDR", _xtransfer(spread="measured"), form="measured-spread", draws=True),
    PerturbationCase("XTransferCDR", _xtransfer(level="cells", mode="drug"), form="cells", draws=True),
    PerturbationCase("XTransferCDR", _xtransfer(n_networks=0), form="start-alone"),
)
