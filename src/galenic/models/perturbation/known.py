"""Measured conditions beside asked ones, and which of the measured ones speak for which of the asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from galenic.data.perturbation import parts_of, same_perturbation
from galenic.models.perturbation.question import Question, fitted_table

BLOCK = 256
"""Asked conditions that are answered at once."""
SAME_DOSE = 0.025
"""Doses whose common logarithms differ by less are one: 4.2 and 4.21 were the same on two plates."""


@dataclass(frozen=True, eq=False)
class Conditions:
    """Conditions as codes that asked and measured ones share.

    Parameters
    ----------
    context, perturbation
        Codes, ``(n,)``.
    dose
        Common logarithm, ``(n,)``; 0 where there are none.
    parts
        Codes of what the perturbation is made of, for each condition.
    names
        Of the perturbations, ``(n,)``.
    """

    context: np.ndarray
    perturbation: np.ndarray
    dose: np.ndarray
    parts: tuple[tuple[int, ...], ...]
    names: np.ndarray

    def __len__(self) -> int:
        return len(self.context)

    def take(self, rows: np.ndarray) -> Conditions:
        """Some of the conditions."""
        parts = tuple(self.parts[row] for row in rows)
        return Conditions(self.context[rows], self.perturbation[rows], self.dose[rows], parts, self.names[rows])

    def blocks(self) -> Iterator[np.ndarray]:
        """Row numbers, a few hundred at a time."""
        for start in range(0, len(self), BLOCK):
            yield np.arange(start, min(start + BLOCK, len(self)))


@dataclass(frozen=True, eq=False)
class Known:
    """Measured conditions, sorted by context.

    Parameters
    ----------
    at
        Which they are.
    means
        Mean expression, ``(n_known, n_genes)``.
    effects
        Means less those of the controls that were measured with them, ``(n_known, n_genes)``.
    controls
        Mean of the controls of each context, ``(n_contexts, n_genes)``; NaN where unknown.
    learned
        bool, ``(n_known,)``: from the fit; the others came with the question and speak for their perturbation only.
    """

    at: Conditions
    means: np.ndarray
    effects: np.ndarray
    controls: np.ndarray
    learned: np.ndarray

    @cached_property
    def special(self) -> np.ndarray:
        """Effects less the mean effect of all other learned conditions of the same context; NaN where there is none."""
        n_contexts = len(self.controls)
        one_hot = sparse.csr_matrix(
            (self.learned.astype(float), (self.at.context, np.arange(len(self.at)))), (n_contexts, len(self.at))
        )
        counts = np.bincount(self.at.context, self.learned, minlength=n_contexts)[self.at.context] - self.learned
        others = (one_hot @ self.effects)[self.at.context] - self.learned[:, None] * self.effects
        result: np.ndarray = self.effects - others / np.where(counts > 0, counts, np.nan)[:, None]
        return result

    @cached_property
    def has_special(self) -> np.ndarray:
        """Is there an excess? bool, ``(n_known,)``."""
        return np.asarray(np.isfinite(self.special).all(axis=1))

    def itself(self, asked: Conditions) -> np.ndarray:
        """Is a measured condition the asked one? bool, ``(n_asked, n_known)``."""
        near = np.abs(asked.dose[:, None] - self.at.dose) < SAME_DOSE
        return (
            (asked.context[:, None] == self.at.context) & (asked.perturbation[:, None] == self.at.perturbation) & near
        )

    def elsewhere(self, asked: Conditions) -> np.ndarray:
        """Is it of the asked perturbation in another context, at the nearest dose? bool, ``(n_asked, n_known)``."""
        found = asked.perturbation[:, None] == self.at.perturbation
        return self.nearest_dose(asked, found & (asked.context[:, None] != self.at.context))

    def nearest_dose(self, asked: Conditions, found: np.ndarray) -> np.ndarray:
        """Of those found, in each context those whose dose is nearest to the asked one."""
        if not len(self.at) or not (self.at.dose.any() or asked.dose.any()):
            return found
        distance = np.where(found, np.abs(asked.dose[:, None] - self.at.dose), np.inf)
        starts = np.flatnonzero(np.r_[True, np.diff(self.at.context) != 0])
        lengths = np.diff(np.r_[starts, len(self.at)])
        least = np.repeat(np.minimum.reduceat(distance, starts, axis=1), lengths, axis=1)
        result: np.ndarray = found & (distance < least + SAME_DOSE)
        return result


def shares(chosen: np.ndarray) -> np.ndarray:
    """Rows of equal weights that sum to 1 over what is chosen; rows of zeros where nothing is."""
    result: np.ndarray = chosen / np.maximum(chosen.sum(axis=1, keepdims=True), 1)
    return result


def counted(weights: np.ndarray) -> np.ndarray:
    """Of how many measured conditions each row is made, ``(n_asked,)``; 0 = there is nothing to say."""
    return np.asarray(np.count_nonzero(weights, axis=1))


def everything_weights(asked: Conditions, known: Known) -> np.ndarray:
    """Mean over all learned conditions but the asked one, ``(n_asked, n_known)``."""
    return shares(known.learned & ~known.itself(asked))


def context_weights(asked: Conditions, known: Known) -> np.ndarray:
    """Mean over the learned conditions of the same context but the asked one."""
    same = asked.context[:, None] == known.at.context
    return shares(same & known.learned & ~known.itself(asked))


def shift_weights(asked: Conditions, known: Known) -> np.ndarray:
    """Mean over the same perturbation in other contexts."""
    return shares(known.elsewhere(asked))


def parts_weights(asked: Conditions, known: Known) -> np.ndarray:
    """Sum over the parts of a combination: each from the same context, or else its mean over others.

    Rows of zeros for single perturbations, and where a part is known nowhere.
    """
    total = np.zeros((len(asked), len(known.at)))
    possible = np.array([len(parts) > 1 for parts in asked.parts], dtype=bool)
    for place in range(max(map(len, asked.parts), default=0)):
        has = np.array([len(parts) > max(place, 1) for parts in asked.parts], dtype=bool)
        part = np.array([parts[place] if len(parts) > place else -2 for parts in asked.parts])
        single = replace(asked, perturbation=np.where(has, part, -2))
        here = single.perturbation[:, None] == known.at.perturbation
        here = known.nearest_dose(single, here & (single.context[:, None] == known.at.context))
        weights = np.where(here.any(axis=1, keepdims=True), shares(here), shift_weights(single, known))
        possible &= weights.any(axis=1) | ~has
        total += weights
    return np.where(possible[:, None], total, 0.0)


def mixed(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``weights @ values``, by a sparse product where most weights are 0; values without weight may be NaN."""
    used = np.flatnonzero(weights.any(axis=0))
    narrow = weights[:, used]
    if np.count_nonzero(narrow) < 0.1 * narrow.size:
        return np.asarray(sparse.csr_matrix(narrow) @ values[used])
    result: np.ndarray = narrow @ values[used]
    return result


def compare(spec: dict[str, Any], arrays: dict[str, np.ndarray], question: Question | None) -> tuple[Conditions, Known]:
    """Asked and measured conditions in shared codes; without a question the learned conditions are asked."""
    fitted = fitted_table(spec)
    contexts = pd.Index(spec["contexts"])
    controls, means = arrays["controls"].astype(np.float64), arrays["means"].astype(np.float64)
    measured = fitted
    effects = means - controls[contexts.get_indexer(pd.Index(fitted["context"]))]
    if question is not None:
        own = question.means
        has = (own.table["n_cells"] > 0).to_numpy() & (own.control_counts[own.context] > 0)
        measured = pd.concat([fitted, own.table[has].drop(columns="n_cells")], ignore_index=True)
        means = np.concatenate([means, own.means[has]])
        # Against the controls they came with: the fit's may be of another day.
        effects = np.concatenate([effects, own.means[has] - own.control_means[own.context[has]]])
        unseen = np.array([name not in contexts for name in own.contexts], dtype=bool)
        contexts = contexts.append(pd.Index(np.array(own.contexts, dtype="object")[unseen]))
        controls = np.concatenate([controls, own.control_means[unseen]])
    table = fitted if question is None else question.table
    names = pd.concat([measured["perturbation"], table["perturbation"]])
    keys = {key: number for number, key in enumerate(dict.fromkeys(map(same_perturbation, names)))}
    order = np.argsort(contexts.get_indexer(pd.Index(measured["context"])), kind="stable")
    learned = np.arange(len(measured)) < len(fitted)
    known = Known(_coded(measured, contexts, keys).take(order), means[order], effects[order], controls, learned[order])
    return _coded(table, contexts, keys), known


def _coded(table: pd.DataFrame, contexts: pd.Index, keys: dict[str, int]) -> Conditions:
    dose = np.zeros(len(table))
    if "dose" in table:
        given = table["dose"].to_numpy(dtype=float)
        dose = np.log10(np.where(given > 0, given, 1e-9))
    names = table["perturbation"].tolist()
    return Conditions(
        np.asarray(contexts.get_indexer(pd.Index(table["context"]))),
        np.array([keys[same_perturbation(name)] for name in names], dtype=np.int64),
        dose,
        # A part that was measured nowhere has no code.
        tuple(tuple(keys.get(part, -1) for part in parts_of(name)) for name in names),
        np.array(names, dtype="object"),
    )
