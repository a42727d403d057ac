"""Pairs of profiles that towers are trained on, less those of conditions that are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from anndata import AnnData

from galenic.data.condition_means import ConditionMeans
from galenic.data.condition_pairs import pair_index
from galenic.data.perturbation import PerturbationColumns
from galenic.models.xtransfer.lesson import Lesson
from galenic.models.xtransfer.pairs import Pairs, Profiles, Scale, Triples

if TYPE_CHECKING:
    from galenic.models.xtransfer.model import XTransferCDR

STEPS = 16
"""Batches that an epoch has at least: few rows in one batch would teach little."""


def scale_of(model: XTransferCDR, told: dict[str, np.ndarray]) -> Scale:
    """Units of the towers: of effects, around the mean of controls; without a start expression as it is."""
    if model.start == "none":
        return Scale(np.zeros(1), 1.0)
    return Scale(told["controls"].mean(axis=0).astype(np.float64), float(told["effect_size"][0]))


def training_pairs(
    model: XTransferCDR,
    adata: AnnData | None,
    columns: PerturbationColumns,
    means: ConditionMeans,
    lesson: Lesson,
    scale: Scale,
    held: np.ndarray,
) -> Pairs:
    """Pairs of rows or of mean profiles.

    Parameters
    ----------
    adata, columns, means
        Cells, or None where pairs are made of means; what the table of the cells says, and their means.
    scale
        Units of the towers.
    held
        Numbers of conditions that are in no pair.
    """
    n = len(means.table)
    by_dose = "dose" in means.table
    rows = columns if adata is not None else _of_means(columns, means)
    X = adata.X if adata is not None else np.concatenate([means.means, means.control_means])
    group = np.where(rows.is_control, n + rows.context, rows.conditions(by_dose=by_dose)[1])
    keep = ~np.isin(group, held)
    base = origin = None
    if model.start != "none":
        base = np.concatenate([lesson.controls + lesson.start, means.control_means])
    if model.difference:
        origin = np.concatenate([lesson.controls, means.control_means])
    index = pair_index(rows, model.mode, by_dose=by_dose, keep=keep)
    profiles = Profiles(X, group, base, origin, scale)
    n_treated = int((keep & ~rows.is_control).sum())
    size = model.training.batch_size
    triples = _triples(rows, np.where(keep, group, -1)) if model.terms.pair else None
    return Pairs(profiles, index, triples, batch_size=size, n_batches=max(STEPS, -(-n_treated // size)))


def can_pair(means: ConditionMeans, mode: str, held: np.ndarray | None = None) -> bool:
    """Whether any two conditions, other than those of the numbers ``held``, share just one factor."""
    factors = {"cell": ["context"], "drug": [name for name in ("perturbation", "dose") if name in means.table]}
    kept = means.table if held is None else means.table.drop(index=means.table.index[held])
    return any(kept.duplicated(columns).any() for name, columns in factors.items() if mode in (name, "both"))


def _of_means(columns: PerturbationColumns, means: ConditionMeans) -> PerturbationColumns:
    """The columns of a table whose rows are conditions, then the controls of each context."""
    n, n_contexts = len(means.table), len(means.contexts)
    codes = {name: number for number, name in enumerate(columns.perturbations)}
    perturbation = np.array([codes[name] for name in means.table["perturbation"]] + [-1] * n_contexts)
    dose = None
    if "dose" in means.table:
        dose = np.r_[means.table["dose"].to_numpy(dtype=float), np.full(n_contexts, np.nan)]
    return PerturbationColumns(
        columns.contexts,
        columns.perturbations,
        np.r_[means.context, np.arange(n_contexts)],
        perturbation,
        np.arange(n + n_contexts) >= n,
        dose,
        None,
        columns.parts,
        columns.names,
    )


def _triples(rows: PerturbationColumns, group: np.ndarray) -> Triples | None:
    """Rows of combinations of two whose parts were measured in the same context; none: None."""
    single = {parts[0]: code for code, parts in enumerate(rows.parts) if len(parts) == 1}
    pairs = {code: [single.get(part, -1) for part in parts] for code, parts in enumerate(rows.parts) if len(parts) == 2}
    places: dict[tuple[int, int], np.ndarray] = {}
    used = np.flatnonzero((group >= 0) & ~rows.is_control)
    if not pairs or not len(used):
        return None
    order = used[np.lexsort((rows.perturbation[used], rows.context[used]))]
    keys = np.stack([rows.context[order], rows.perturbation[order]], axis=1)
    starts = np.flatnonzero(np.r_[True, (np.diff(keys, axis=0) != 0).any(axis=1)])
    for start, numbers in zip(starts, np.split(order, starts[1:]), strict=True):
        places[int(keys[start, 0]), int(keys[start, 1])] = numbers
    found = [
        (places[context, parts[0]], places[context, parts[1]], numbers)
        for (context, code), numbers in places.items()
        if (parts := pairs.get(code)) and (context, parts[0]) in places and (context, parts[1]) in places
    ]
    if not found:
        return None
    one, other, both = (list(column) for column in zip(*found, strict=True))
    return Triples(one, other, both)
