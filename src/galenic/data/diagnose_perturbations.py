"""What a file of perturbed cells says of contexts, perturbations and controls, and what will trouble transfer."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from anndata import AnnData

from galenic.data.checks import first
from galenic.data.perturbation import PerturbationColumns, perturbation_columns
from galenic.data.read.matrices import open_h5ad

Finding = tuple[str, Literal["ok", "note", "warning", "error"], str, str]


def perturbation_findings(path: str | Path) -> list[Finding]:
    """Contexts, perturbations, conditions and controls of an h5ad file; nothing where no columns are found for them."""
    adata = open_h5ad(path, backed=True)
    try:
        return findings_of(adata)
    finally:
        adata.file.close()


def findings_of(adata: AnnData) -> list[Finding]:
    """As :func:`perturbation_findings`, of cells.

    Examples
    --------
    >>> from galenic.data.simulate import perturbations
    >>> [(name, severity) for name, severity, _, _ in findings_of(perturbations(n_contexts=2, n_perturbations=3))]
    [('perturbation data', 'ok')]
    """
    try:
        columns = perturbation_columns(adata, without_controls="keep")
    except ValueError:
        return []
    if columns.is_control.all():
        return []
    table, _ = columns.conditions()
    counts = table.groupby("perturbation")["context"].nunique()
    detail = (
        f"{len(columns.contexts):,} contexts ({columns.names['context']!r}), {len(columns.perturbations):,} "
        f"perturbations ({columns.names['perturbation']!r}), {len(table):,} conditions; "
        f"{int(columns.is_control.sum()):,} controls ({columns.names['control']!r})"
    )
    found: list[Finding] = [("perturbation data", "ok", detail, ""), *_controls(columns)]
    single = counts.index[counts == 1]
    if len(single):
        detail = f"{len(single):,} of {len(counts):,} perturbations (first: {first(single)})"
        found.append(("in one context only", "note", detail, "Their effect cannot be carried over; split by another."))
    combined = sum(len(parts) > 1 for parts in columns.parts)
    if combined:
        found.append(("combinations", "note", f"{combined:,} of {len(columns.perturbations):,} perturbations", ""))
    if columns.dose is not None:
        doses = np.unique(columns.dose[~columns.is_control & np.isfinite(columns.dose)])
        if len(doses) > 1:
            detail = f"{len(doses):,} doses in {columns.names['dose']!r}, {doses.min():g} to {doses.max():g}"
            remedy = f"Give --dose {columns.names['dose']} to tell them apart; else effects are means over doses."
            found.append(("doses", "note", detail, remedy))
    return found


def _controls(columns: PerturbationColumns) -> list[Finding]:
    counts = np.bincount(columns.context[columns.is_control], minlength=len(columns.contexts))
    lacking = np.array(columns.contexts)[counts == 0]
    if not len(lacking):
        return []
    detail = f"{len(lacking):,} of {len(columns.contexts):,} contexts (first: {first(lacking)})"
    return [("contexts without controls", "warning", detail, "Add their controls, or leave them out with --where.")]
