"""Predict, explain and search drug response from gene expression, with every score beside its floor.

Public names are imported when first used, so that ``import galenic`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from galenic.models import ENCODERS, MODELS
from galenic.version import __version__

_MODULES = {
    "drugs": "galenic.data.drugs",
    "evaluate": "galenic.evaluate",
    "explain": "galenic.explain",
    "plots": "galenic.plots",
    "read": "galenic.data.read",
    "search": "galenic.search",
    "simulate": "galenic.data.simulate",
}
_NAMES = {
    "Geneformer": "galenic.foundation.geneformer",
    "ResponseData": "galenic.data.response",
    "ScFoundation": "galenic.foundation.scfoundation",
    "SimilarityIndex": "galenic.search.index",
    "Training": "galenic.train",
    "benchmark": "galenic.benchmarking",
    "load": "galenic.models.base",
    "rank": "galenic.models.ranking",
    "split": "galenic.evaluate.splits",
    "with_controls": "galenic.data.perturbed_cells",
    "with_params": "galenic.models.fields",
    **{name: place for name, (place, _) in (MODELS | ENCODERS).items()},
}
__all__ = ["__version__", *sorted([*_MODULES, *_NAMES])]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name not in _NAMES:
        raise AttributeError(f"module 'galenic' has no attribute {name!r}")
    return getattr(import_module(_NAMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
