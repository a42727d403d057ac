"""Predict, explain and search drug response from gene expression, with every score beside its floor.

Public names are imported when first used, so that ``import galenic`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from galenic.models import MODELS

__version__ = "0.1.0"

_NAMES = {
    "ResponseData": "galenic.data.response",
    "simulate": "galenic.data",
    "read": "galenic.data",
    "drugs": "galenic.data",
    "evaluate": "galenic",
    "explain": "galenic",
    "split": "galenic.evaluate.splits",
    "benchmark": "galenic.benchmark",
    "load": "galenic.models.base",
    "with_params": "galenic.models.fields",
    **{name: place for name, (place, _) in MODELS.items()},
}
_NAMES["rank"] = "galenic.models.ranking"
__all__ = ["__version__", *sorted(_NAMES)]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'galenic' has no attribute {name!r}")
    place = _NAMES[name]
    try:
        value = getattr(import_module(place), name)
    except AttributeError:
        value = import_module(f"{place}.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
