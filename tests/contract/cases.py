"""The models that have to obey the laws: one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from galenic.data.response import ResponseData
from galenic.data.simulate import screen
from galenic.models import find
from galenic.train import Training


@cache
def small_screen() -> ResponseData:
    """40 cells x 10 drugs with mutation and methylation, some pairs missing."""
    return screen(n_cells=40, n_drugs=10, n_genes=60, n_drivers=2, missing=0.1, seed=1)[0]


@dataclass(frozen=True)
class Case:
    """How the laws build a small model of one class, and what they may ask of it."""

    name: str
    make: Callable[[], Any]
    reads_genes: bool = True
    draws_rows: bool = False
    form: str = ""

    def __str__(self) -> str:
        return f"{self.name}-{self.form}" if self.form else self.name

    def fitted(self) -> Any:
        """A fitted model; the same object for every law, which must not change it."""
        return _fitted(self)


@cache
def _fitted(case: Case) -> Any:
    return case.make().fit(small_screen())


def _of(name: str, **fields: Any) -> Callable[[], Any]:
    return lambda: find(name)(**fields)


BRIEF = Training(lr=2e-3, max_epochs=2, batch_size=4096, patience=0, monitor="none")
PUBLISHED = {
    "n_members": 1,
    "n_latent": 8,
    "hidden": 16,
    "as_published": True,
    "start": "means",
    "identity": False,
    "head": "mlp",
    "encoder": "conv",
    "fusion": "attention",
    "relation": 1e-3,
    "block": "none",
}

CASES = (
    Case("KDRUG", _of("KDRUG", n_members=2, n_latent=8, hidden=16, relation=0.02, training=BRIEF)),
    # Nothing but networks: shares of 0 beside a strong start would hide what they do.
    Case(
        "KDRUG",
        _of("KDRUG", n_members=2, n_latent=8, n_heads=2, start="means", fusion="attention", stages=3, training=BRIEF),
        form="networks",
    ),
    Case("KDRUG", _of("KDRUG", **PUBLISHED, training=BRIEF), form="published"),
    Case("DrugMean", _of("DrugMean"), reads_genes=False),
    Case("CellMean", _of("CellMean"), reads_genes=False),
    Case("MeanEffects", _of("MeanEffects"), reads_genes=False),
    Case("TissueDrugMean", _of("TissueDrugMean"), reads_genes=False),
    Case("NearestDrugs", _of("NearestDrugs"), reads_genes=False),
    Case("Factorisation", _of("Factorisation", rank=3), reads_genes=False),
    Case("Ridge", _of("Ridge")),
    Case("KernelRidge", _of("KernelRidge", inputs=("expression", "tissue", "mutation"))),
    Case("KernelCompletion", _of("KernelCompletion")),
    Case("ElasticNet", _of("ElasticNet")),
    Case("RandomForest", _of("RandomForest", n_trees=8, n_components=8), draws_rows=True),
    Case("Boosting", _of("Boosting", n_trees=8, n_components=8, min_leaf=5), draws_rows=True),
)
