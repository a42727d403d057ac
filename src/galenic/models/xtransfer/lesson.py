"""What networks learn from: measured conditions beside what the start says of them when it may not look."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from galenic.models.perturbation import regression
from galenic.models.perturbation.floors import simpler
from galenic.models.perturbation.known import Conditions, Known, compare, parts_weights, shift_weights
from galenic.models.perturbation.stacked import StackedShift, simple_effects
from galenic.models.xtransfer import features as gene_inputs

FEW = 8
"""Groups from which on perturbations, rather than contexts, are left out."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """Training conditions, their effects, and the start of each without itself.

    Parameters
    ----------
    conditions, known
        Asked and measured conditions: the same ones.
    own, start
        Measured effects and those of the start, ``(n_conditions, n_genes)``.
    parts
        Of the start, ``(5, n_conditions, n_genes)``.
    able
        bool, ``(n_conditions,)``: the start has a source for it in another context.
    summed
        bool, ``(n_conditions,)``: a combination whose parts are known, without such a source.
    """

    conditions: Conditions
    known: Known
    own: np.ndarray
    start: np.ndarray
    parts: np.ndarray
    able: np.ndarray
    summed: np.ndarray

    @property
    def controls(self) -> np.ndarray:
        """Mean controls of each condition's context, ``(n_conditions, n_genes)``."""
        result: np.ndarray = self.known.controls[self.conditions.context]
        return result

    @cached_property
    def told(self) -> dict[str, np.ndarray]:
        """What is typical of genes, and units."""
        return gene_inputs.learn(self.conditions, self.known)

    def features(self, rows: np.ndarray) -> np.ndarray:
        """Inputs of every gene of some conditions, ``(n, n_genes, n_features)``."""
        asked, parts = self.conditions.take(rows), self.parts[:, rows]
        return gene_inputs.gene_features(asked, self.known, self.controls[rows], parts, self.start[rows], self.told)

    def left(self, rows: np.ndarray) -> np.ndarray:
        """What the start lacks of some conditions, in units of the size of effects, float32."""
        result: np.ndarray = ((self.own[rows] - self.start[rows]) / self.told["effect_size"][0]).astype(np.float32)
        return result

    def grouped(self) -> np.ndarray:
        """What is left out together, ``(n_conditions,)``: perturbations where there are many, else contexts."""
        asked, places = self.able | self.summed, self.conditions.perturbation
        return places if len(np.unique(places[asked])) >= FEW else self.conditions.context

    def folds(self, n: int, seed: int) -> np.ndarray:
        """Which of at most ``n`` folds leaves a condition out, ``(n_conditions,)``; -1 = none does.

        Whole perturbations where there are several for each fold, else whole contexts: as they will be asked.
        """
        asked = self.able | self.summed
        places = self.grouped()
        names = np.unique(places[asked])
        if len(names) < 3:
            return np.full(len(places), -1)
        order = np.random.default_rng([seed, 7]).permutation(len(names))
        number = dict(zip(names[order].tolist(), (np.arange(len(names)) % n).tolist(), strict=True))
        return np.where(asked, [number.get(place, -1) for place in places.tolist()], -1)


def lesson_of(start: StackedShift) -> Lesson:
    """Put the training conditions of a fitted start together, each as it would be predicted without itself."""
    conditions, known = compare(start.spec_, start.arrays_, None)
    left_out = regression.learn(conditions, known)[1]
    weights = start.arrays_["weights"]
    parts, count, lower, summed = [], [], [], []
    for rows in conditions.blocks():
        asked = conditions.take(rows)
        some, n = simple_effects(asked, known, known.controls[asked.context], start.similarity)
        effects, _, names = simpler(start.ladder, asked, known)
        parts.append(np.concatenate([some, left_out[None, rows]]))
        count.append(n)
        lower.append(effects)
        summed.append(names == "AdditivePairs")
    stacked, able = np.concatenate(parts, axis=1), np.concatenate(count) > 0
    effects = np.where(able[:, None], np.einsum("k,kng->ng", weights, stacked), np.concatenate(lower))
    places = np.concatenate([known.itself(conditions.take(rows)).argmax(axis=1) for rows in conditions.blocks()])
    own = known.effects[places]
    return Lesson(conditions, known, own, effects, stacked, able, np.concatenate(summed) & ~able)


def source_weights(asked: Conditions, known: Known) -> np.ndarray:
    """How much the effect of each measured condition counts for each asked one, ``(n_asked, n_known)``.

    The mean over the other contexts of the perturbation, or of each part of a combination, which are then summed.
    """
    shift = shift_weights(asked, known)
    none = ~shift.any(axis=1)
    shift[none] = parts_weights(asked.take(np.flatnonzero(none)), known)
    return shift
