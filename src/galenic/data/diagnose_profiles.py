"""What a file of profiles holds, and what in it will trouble a search."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from galenic.data.checks import first
from galenic.data.gctx.selection import N_LANDMARKS, Selection
from galenic.data.gctx.sniff import format_of
from galenic.data.genes import kind_of_names
from galenic.data.read.profiles import selection

PEEKED = 16
"""Blocks that are looked at: enough for the range, whatever the size of the file."""
LARGEST_LEVEL_3 = 20.0
"""Level 3 is in log2, from 0 to about 15."""
LARGEST_CLIPPED = 10.0
Finding = tuple[str, Literal["ok", "note", "warning", "error"], str, str]


def profile_findings(path: str | Path) -> list[Finding]:
    """Shape, scale, missing values, landmarks and types of a file or folder of profiles."""
    chosen = selection(path)
    kind = "folder of profiles" if Path(path).is_dir() else f"profiles ({format_of(path).upper()})"
    detail = f"{chosen.shape[0]:,} profiles x {chosen.shape[1]:,} genes ({kind_of_names(chosen.var.index[:2000])} ids)"
    return [(kind, "ok", detail, ""), *_scale(chosen), _landmarks(chosen), _types(chosen)]


def _scale(chosen: Selection) -> list[Finding]:
    low, high, missing, seen = np.inf, -np.inf, 0, 0
    for block in islice(chosen.blocks(), PEEKED):
        values = block.load()
        missing, seen = missing + int(np.isnan(values).sum()), seen + values.size
        low, high = np.fmin(low, np.nanmin(values, initial=np.inf)), np.fmax(high, np.nanmax(values, initial=-np.inf))
    part = "" if seen >= chosen.shape[0] * chosen.shape[1] else f" in the first {seen:,} values"
    found: list[Finding] = [("scale", "note", f"{_level(low, high)}, {low:,.4g} to {high:,.4g}{part}", "")]
    if missing:
        found.append(
            ("missing values", "warning", f"{missing:,} of {seen:,}", "Leave out genes or profiles with many.")
        )
    return found


def _level(low: float, high: float) -> str:
    if low >= 0:
        return "level 3 (log2 expression)" if high <= LARGEST_LEVEL_3 else "not logged: counts or fluorescence"
    return "z-scores, clipped (level 4 or 5)" if max(-low, high) <= LARGEST_CLIPPED else "z-scores (level 4 or 5)"


def _landmarks(chosen: Selection) -> Finding:
    var = chosen.var
    if "landmark" in var and var["landmark"].any():
        return ("landmark genes", "ok", f"{int(var['landmark'].sum()):,} are marked", "")
    if len(var) == N_LANDMARKS:
        return ("landmark genes", "ok", f"none is marked; {N_LANDMARKS} genes in all are taken for them", "")
    remedy = "Give the published table of genes with --gene-info."
    return ("landmark genes", "warning", f"nothing says which of the {len(var):,} genes are landmarks", remedy)


def _types(chosen: Selection) -> Finding:
    obs = chosen.obs
    if "pert_type" not in obs:
        remedy = "Give the published table of profiles with --sample-info."
        return ("perturbagens", "warning", f"no column pert_type; columns: {first(obs.columns, 5) or 'none'}", remedy)
    counts = obs["pert_type"].astype("object").fillna("unknown").value_counts()
    shown = ", ".join(f"{name} {count:,}" for name, count in counts.head(6).items())
    number = f"{obs['pert_id'].nunique():,} perturbagens; " if "pert_id" in obs else ""
    return ("perturbagens", "ok", f"{number}{shown}", "")
