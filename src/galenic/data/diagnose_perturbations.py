"""What a file of perturbed cells says of contexts, perturbations and controls, and what will trouble transfer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from anndata import AnnData

from galenic.data.checks import first, require_unique
from galenic.data.condition_means import Seen, blocks
from galenic.data.gctx.sniff import holds_profiles
from galenic.data.perturbation import perturbation_columns
from galenic.data.read.matrices import open_h5ad

Finding = tuple[str, Literal["ok", "note", "warning", "error"], str, str]
SAME = {
    "genes stand twice": ("repeated genes",),
    "values that are no numbers": ("missing values", "infinite values"),
    "raw counts": ("counts", "unlogged expression"),
}
"""What the check of any matrix calls the same fault, with an advice of its own."""


def perturbation_findings(path: str | Path) -> list[Finding]:
    """Contexts, perturbations, conditions and controls of an h5ad file; nothing where no columns are found for them.

    What a fit of perturbations refuses is an error, in the words of the fit. A file of profiles may be meant for a
    search: there it is a warning, and values are looked at by the check of profiles alone.
    """
    adata = open_h5ad(path, backed=True)
    try:
        are_profiles = holds_profiles(path)
        found = findings_of(adata, values=not are_profiles)
        if not are_profiles:
            return found
        return [(name, "warning" if how == "error" else how, detail, remedy) for name, how, detail, remedy in found]
    finally:
        adata.file.close()


def findings_of(adata: AnnData, *, values: bool = True) -> list[Finding]:
    """As :func:`perturbation_findings`, of cells; without ``values`` expression is not looked at.

    Examples
    --------
    >>> from galenic.data.simulate import perturbations
    >>> [(name, severity) for name, severity, _, _ in findings_of(perturbations(n_contexts=2, n_perturbations=3))]
    [('perturbation data', 'ok')]
    """
    try:
        columns = perturbation_columns(adata, without_controls="keep")
    except ValueError as error:
        # Without a column of its kind the file is of something else; with one, rows lack a value.
        return [("perturbation data", "error", *_parted(error))] if str(error).startswith("every row") else []
    if columns.is_control.all():
        return []
    table, _ = columns.conditions()
    counts = table.groupby("perturbation")["context"].nunique()
    detail = (
        f"{len(columns.contexts):,} contexts ({columns.names['context']!r}), {len(columns.perturbations):,} "
        f"perturbations ({columns.names['perturbation']!r}), {len(table):,} conditions; "
        f"{int(columns.is_control.sum()):,} controls ({columns.names['control']!r})"
    )
    found: list[Finding] = [("perturbation data", "ok", detail, ""), *_controls(adata)]
    found += [*_genes(adata), *(_values(adata) if values else [])]
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


def beside(of_matrix: Sequence[Finding], of_perturbations: Sequence[Finding]) -> list[Finding]:
    """Both kinds of findings, less those on the matrix that advise otherwise than an error among the second.

    Examples
    --------
    >>> counts = ("counts", "warning", "1 to 60", "Take log2.")
    >>> beside([counts], [("raw counts", "error", "all are whole", "Take log1p.")])
    [('raw counts', 'error', 'all are whole', 'Take log1p.')]
    """
    refused = {name for name, how, *_ in of_perturbations if how == "error"}
    told = {name for error in refused for name in SAME.get(error, ())}
    # What is counts is no log scale either, however low.
    kept = [one for one in of_matrix if one[0] not in told and not ("raw counts" in refused and one[0] == "scale")]
    return [*kept, *of_perturbations]


def _genes(adata: AnnData) -> list[Finding]:
    try:
        require_unique(adata.var_names, "genes of adata")
    except ValueError as error:
        return [("genes stand twice", "error", *_parted(error))]
    return []


def _values(adata: AnnData) -> list[Finding]:
    """What a fit would refuse of the values."""
    found: list[Finding] = []
    seen = Seen()
    try:
        for numbers, part in blocks(adata, np.ones(adata.n_obs, dtype=bool)):
            seen.add(part, adata.obs_names[numbers])
    except ValueError as error:
        found.append(("values that are no numbers", "error", *_parted(error)))
    try:
        seen.require_logs()
    except ValueError as error:
        found.append(("raw counts", "error", *_parted(error)))
    return found


def _parted(error: ValueError) -> tuple[str, str]:
    """What is wrong, and the last sentence: what to do."""
    detail, _, remedy = str(error).partition(". ")
    return detail, remedy


def _controls(adata: AnnData) -> list[Finding]:
    try:
        perturbation_columns(adata)
    except ValueError as error:
        return [("contexts without controls", "error", *_parted(error))]
    return []
