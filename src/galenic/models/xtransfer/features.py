"""What is known of a gene's response in a condition: the inputs of the correction that all genes share."""

from __future__ import annotations

import numpy as np

from galenic.models.perturbation.floors import context_similarity
from galenic.models.perturbation.known import Conditions, Known, mixed, shares
from galenic.models.perturbation.linear import excess_elsewhere, own_excess
from galenic.models.perturbation.stacked import PARTS

NAMES = (
    *PARTS,
    "start",
    "spread of sources",
    "lowest source",
    "highest source",
    "control",
    "control less that of the nearest source",
    "control less that of the sources",
    "slope of the gene",
    "spread of the gene",
)
"""Inputs of a gene in a condition, in their order."""


def learn(conditions: Conditions, known: Known) -> dict[str, np.ndarray]:
    """What is typical of each gene, and the units of the inputs.

    Returns
    -------
    dict
        ``gene_slope`` (n_genes,): of what is special to a perturbation on what is special to it elsewhere, shrunk;
        ``gene_spread`` (n_genes,): standard deviation of the former; ``effect_size``, ``control_mean``,
        ``control_size``: one number each.
    """
    own = own_excess(conditions, known)
    parts = [excess_elsewhere(conditions.take(rows), known)[:2] for rows in conditions.blocks()]
    elsewhere, able = (np.concatenate(column) for column in zip(*parts, strict=True))
    able &= np.isfinite(own).all(axis=1)
    slope = spread = np.zeros(own.shape[1])
    if able.sum() > 2:
        squares = (elsewhere[able] ** 2).sum(axis=0)
        slope = (elsewhere[able] * own[able]).sum(axis=0) / np.maximum(squares + np.median(squares), 1e-12)
        spread = own[able].std(axis=0)
    return {
        "gene_slope": slope.astype(np.float32),
        "gene_spread": spread.astype(np.float32),
        "effect_size": np.array([max(float(np.sqrt((known.effects**2).mean())), 1e-6)]),
        "control_mean": np.array([float(np.nanmean(known.controls))]),
        "control_size": np.array([max(float(np.nanstd(known.controls)), 1e-6)]),
    }


def gene_features(
    asked: Conditions,
    known: Known,
    controls: np.ndarray,
    parts: np.ndarray,
    start: np.ndarray,
    told: dict[str, np.ndarray],
) -> np.ndarray:
    """Inputs of every gene of the asked conditions, ``(n_asked, n_genes, 14)`` float32, in the order of :data:`NAMES`.

    Parameters
    ----------
    controls
        Mean of the controls of each asked condition's context, ``(n_asked, n_genes)``.
    parts, start
        Of :class:`~galenic.models.perturbation.stacked.StackedShift`: ``(5, n_asked, n_genes)`` and their sum.
    told
        What :func:`learn` returned.
    """
    sources = known.elsewhere(asked)
    low, high = _extremes(sources, known.effects)
    mean = mixed(shares(sources), known.effects)
    spread = np.sqrt(np.maximum(mixed(shares(sources), known.effects**2) - mean**2, 0))
    nearest, others = _control_of_sources(asked, sources, known, controls)
    effect, size = told["effect_size"][0], told["control_size"][0]
    inputs = [
        *(parts / effect),
        *(values / effect for values in (start, spread, low, high)),
        (controls - told["control_mean"][0]) / size,
        (controls - nearest) / size,
        (controls - others) / size,
        np.broadcast_to(told["gene_slope"], start.shape),
        np.broadcast_to(told["gene_spread"] / effect, start.shape),
    ]
    return np.stack(inputs, axis=2).astype(np.float32)


def _extremes(sources: np.ndarray, effects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest effect of each gene over the sources of each asked condition; zeros without a source."""
    asked, at = np.nonzero(sources)
    low, high = np.zeros((2, len(sources), effects.shape[1]))
    if len(asked):
        starts = np.flatnonzero(np.r_[True, np.diff(asked) != 0])
        low[asked[starts]] = np.minimum.reduceat(effects[at], starts, axis=0)
        high[asked[starts]] = np.maximum.reduceat(effects[at], starts, axis=0)
    return low, high


def _control_of_sources(
    asked: Conditions, sources: np.ndarray, known: Known, controls: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Controls of the context most alike and mean of those of all contexts that are sources; else the own ones."""
    has = np.isfinite(known.controls).all(axis=1)
    sources = sources & has[known.at.context]
    any_source = sources.any(axis=1)
    alike = np.where(sources, context_similarity(controls, known.controls, "pearson")[:, known.at.context], -np.inf)
    nearest, others = controls.copy(), controls.copy()
    nearest[any_source] = known.controls[known.at.context[alike[any_source].argmax(axis=1)]]
    others[any_source] = mixed(shares(sources[any_source]), known.controls[known.at.context])
    return nearest, others
