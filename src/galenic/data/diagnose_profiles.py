"""What a file of profiles holds, and what in it will trouble a search."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Literal

from galenic.data.checks import first, is_zarr
from galenic.data.gctx.selection import N_LANDMARKS, Selection
from galenic.data.gctx.sniff import format_of
from galenic.data.genes import kind_of_names
from galenic.data.read.profiles import selection
from galenic.data.scores import Scale

PEEKED = 16
"""Blocks that are looked at: enough for the range, whatever the size of the file."""
NAMES = {"gct": "GCT", "gctx": "GCTX", "h5ad": "h5ad"}
Finding = tuple[str, Literal["ok", "note", "warning", "error"], str, str]


def profile_findings(path: str | Path) -> list[Finding]:
    """Shape, scale, missing values, landmarks and types of a file or folder of profiles."""
    chosen = selection(path)
    is_folder = Path(path).is_dir() and not is_zarr(path)
    kind = "folder of profiles" if is_folder else f"profiles ({'zarr' if is_zarr(path) else NAMES[format_of(path)]})"
    detail = f"{chosen.shape[0]:,} profiles x {chosen.shape[1]:,} genes ({kind_of_names(chosen.var.index[:2000])} ids)"
    return [(kind, "ok", detail, ""), *_scale(chosen), _landmarks(chosen), _types(chosen)]


def _scale(chosen: Selection) -> list[Finding]:
    scale = Scale()
    for block in islice(chosen.blocks(), PEEKED):
        scale = scale.plus(block.load())
    whole = scale.seen >= chosen.shape[0] * chosen.shape[1]
    part = "" if whole else f" in the first {scale.seen:,} values"
    if scale.known == 0:
        detail = f"all {scale.seen:,} values are missing (NaN or -666){part}"
        return [("no numbers", "error" if whole else "warning", detail, "Export or download it again.")]
    found: list[Finding] = [("scale", "note", f"{scale}{part}", "")]
    if scale.whole and scale.are_levels:
        remedy = "Take the levels before rounding: z-scores of rounded ones are coarse."
        found.append(("whole numbers", "warning", f"all {scale.known:,} known values{part}", remedy))
    if scale.known < scale.seen:
        detail = f"{scale.seen - scale.known:,} of {scale.seen:,}{part}"
        found.append(("missing values", "warning", detail, "Leave out genes or profiles with many."))
    return found


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
