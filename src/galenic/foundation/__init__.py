"""Encoders that were trained on many millions of cells: counts in, one vector a cell out.

Their weights are published by others, under their own licences, and never part of this package: you name the files.
The classes are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from galenic.foundation.geneformer import Geneformer
    from galenic.foundation.scfoundation import ScFoundation

_WHERE = {"Geneformer": "geneformer", "ScFoundation": "scfoundation"}
__all__ = ["Geneformer", "ScFoundation"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"galenic.foundation has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"galenic.foundation.{_WHERE[name]}"), name)
