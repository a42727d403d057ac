"""Figures of results, for notebooks, papers, reports and the app.

One function a thing to draw. Each takes a tidy table of galenic (or an AnnData), and returns a Plotly figure, or with
``backend="matplotlib"`` the same figure for a paper. Names are imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_NAMES = {
    **dict.fromkeys(("scores", "observed", "ranking", "calibration", "curves"), "of_models"),
    **dict.fromkeys(("effects", "effect_against", "biomarkers", "molecule"), "of_genes"),
    **dict.fromkeys(("neighbours", "target_pairs"), "of_searches"),
    "cells": "of_cells",
    "data_of": "values",
    **dict.fromkeys(("save", "to_matplotlib"), "saving"),
}
_MODULES = ("palette",)
__all__ = sorted([*_NAMES, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"galenic.plots.{name}")
    if name not in _NAMES:
        raise AttributeError(f"module 'galenic.plots' has no attribute {name!r}")
    return getattr(import_module(f"galenic.plots.{_NAMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
