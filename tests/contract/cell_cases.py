"""The models of cells that have to obey the laws: one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.models import find
from galenic.train import Training


@cache
def given() -> tuple[AnnData, AnnData]:
    """80 lines, 20 of them on both platforms, and 120 cells; never to be changed.

    Values are float64: of counts and of their logarithm the same numbers come.
    """
    bulk, cells = bulk_and_cells(n_genes=60, n_lines=80, n_cells=120, repeated=0.25, shift=0.5, seed=1)
    cells.X = log_of(cells.layers["counts"])
    return bulk, cells


def log_of(counts: np.ndarray) -> np.ndarray:
    """ln(1 + 10,000 x share of the total)."""
    counts = np.asarray(counts, dtype=np.float64)
    return np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))


def few_labels(size: int = 10) -> pd.Series:
    """Labels of the first cells of each class."""
    labels = given()[1].obs["label"]
    return pd.concat([labels[labels == one].iloc[:size] for one in (1, 0)])


@dataclass(frozen=True)
class CellCase:
    """How the laws build a small model of one class."""

    name: str
    make: Callable[[], Any]
    form: str = ""
    columns: dict[str, str] = field(default_factory=lambda: {"line": "line"}, hash=False)
    is_chance: bool = False
    """It tells all cells the same."""
    is_weak: bool = False
    """So little training teaches it hardly anything."""
    is_alone: bool = True
    """What is said of a cell does not depend on the cells beside it."""
    draws: bool = False
    """Rows are drawn while fitting: their order matters a little."""

    def __str__(self) -> str:
        return f"{self.name}-{self.form}" if self.form else self.name

    def fit(self, bulk: AnnData | None, target: AnnData | None, **more: Any) -> Any:
        """A new model, fitted."""
        return self.make().fit(bulk, target=target, **{**({} if bulk is None else self.columns), **more})

    def fitted(self) -> Any:
        """A fitted model; the same object for every law, which must not change it."""
        return _fitted(self)


@cache
def _fitted(case: CellCase) -> Any:
    return case.fit(*given())


def _of(name: str, **fields: Any) -> Callable[[], Any]:
    return lambda: find(name)(n_folds=3, **fields)


BRIEF = Training(lr=2e-3, max_epochs=3, batch_size=32, patience=0, monitor="none")
LONGER = replace(BRIEF, lr=1e-2, max_epochs=8)
SMALL = {"n_latent": 6, "widths": (12,), "training": BRIEF, "pretraining": BRIEF}
RESPONSE = {"line": "line", "response": "ln_ic50"}

CASES = (
    CellCase("CellPrior", _of("CellPrior"), is_chance=True),
    CellCase("CellCentroid", _of("CellCentroid")),
    CellCase("CellSignature", _of("CellSignature", n_genes=10)),
    CellCase("CellSignature", _of("CellSignature", n_genes=10), form="response", columns=RESPONSE),
    CellCase("CellLogistic", _of("CellLogistic")),
    CellCase("AlignedLogistic", _of("AlignedLogistic")),
    CellCase("AlignedLogistic", _of("AlignedLogistic", inverse_penalty=0.1), form="platform",
             columns={"line": "line", "platform": "platform"}),
    CellCase("CellRidge", _of("CellRidge")),
    CellCase("CellRidge", _of("CellRidge"), form="response", columns=RESPONSE),
    CellCase("CellBoosting", _of("CellBoosting", n_trees=15, min_leaf=5)),
    CellCase("ScATD", _of("ScATD", **SMALL), columns=RESPONSE, is_alone=False, draws=True),
    CellCase("ScATD", _of("ScATD", **SMALL | {"training": LONGER}, neighbours=0, start="none", n_draws=2,
                          tuned_epochs=1), form="networks", columns=RESPONSE, draws=True),
    CellCase("ScATD", _of("ScATD", **SMALL, as_published=True), form="published", draws=True, is_weak=True),
)  # fmt: skip
