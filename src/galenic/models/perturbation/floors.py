"""The floors of perturbation prediction: means of measured conditions, without a parameter that is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from anndata import AnnData

from galenic.models.perturbation.known import (
    Conditions,
    Known,
    compare,
    context_weights,
    counted,
    everything_weights,
    mixed,
    parts_weights,
    shift_weights,
)
from galenic.models.perturbation.perturbation_model import PerturbationModel
from galenic.models.perturbation.question import Question

LADDER: dict[str, Callable[[Conditions, Known], np.ndarray]] = {
    "AdditivePairs": parts_weights,
    "MeanShift": shift_weights,
    "ContextMeanEffect": context_weights,
    "GlobalMeanEffect": everything_weights,
}
"""What answers where a floor cannot, the first that can; at the end "NoEffect"."""


@dataclass(kw_only=True, repr=False)
class Floor(PerturbationModel):
    """Base of the floors. What one cannot say, the next simpler one says: the first of :data:`LADDER` that can.

    A condition's own measurement is never averaged into its prediction, even if it was in the fit; floors that learn
    coefficients (:class:`LowRankEffect`, :class:`StackedShift`) have learned them from it too.
    """

    ladder: ClassVar[tuple[str, ...]] = ("MeanShift", "ContextMeanEffect", "GlobalMeanEffect")

    def _answer(self, adata: AnnData, question: Question, device: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        asked, known = compare(self.spec_, self.arrays_, question)
        effects = np.zeros((len(asked), known.means.shape[1]))
        n_sources = np.zeros(len(asked), dtype=np.int64)
        fallback = np.full(len(asked), "", dtype="object")
        for rows in asked.blocks():
            found, count, able = self._effects(asked.take(rows), known, question.controls[rows])
            effects[rows[able]], n_sources[rows[able]] = found[able], count[able]
            rows = rows[~able]
            effects[rows], n_sources[rows], fallback[rows] = simpler(self.ladder, asked.take(rows), known)
        return question.controls + effects, n_sources, fallback

    def _effects(
        self, asked: Conditions, known: Known, controls: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Effects ``(n_asked, n_genes)``, number of sources, and whether this floor can say anything."""
        weights = self._weights(asked, known)
        return mixed(weights, known.effects), counted(weights), counted(weights) > 0

    def _weights(self, asked: Conditions, known: Known) -> np.ndarray:
        """Weight of each measured effect, ``(n_asked, n_known)``; a row of zeros where there is nothing to say."""
        raise NotImplementedError


def simpler(ladder: tuple[str, ...], asked: Conditions, known: Known) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Effects, number of sources and name of the first model of a ladder that can speak, for each asked condition."""
    effects = np.zeros((len(asked), known.means.shape[1]))
    n_sources = np.zeros(len(asked), dtype=np.int64)
    names = np.full(len(asked), "NoEffect", dtype="object")
    rows = np.arange(len(asked))
    for name in ladder:
        weights = LADDER[name](asked.take(rows), known)
        able = counted(weights) > 0
        own, rows = rows[able], rows[~able]
        effects[own], n_sources[own] = mixed(weights[able], known.effects), counted(weights[able])
        names[own] = name
    return effects, n_sources, names


@dataclass(kw_only=True, repr=False)
class NoEffect(Floor):
    """Nothing happens: the mean of the controls.

    Examples
    --------
    >>> from galenic.data.simulate import perturbations
    >>> adata = perturbations(n_contexts=2, n_perturbations=3, n_genes=10)
    >>> float(abs(NoEffect().fit(adata).predict(adata).layers["effect"]).max())
    0.0
    """

    def _effects(
        self, asked: Conditions, known: Known, controls: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.zeros_like(controls), np.zeros(len(asked), dtype=np.int64), np.ones(len(asked), dtype=bool)


@dataclass(kw_only=True, repr=False)
class CopySource(Floor):
    """The mean treated expression of the perturbation over the other contexts, whatever the state of this one."""

    def _effects(
        self, asked: Conditions, known: Known, controls: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        weights = shift_weights(asked, known)
        return mixed(weights, known.means) - controls, counted(weights), counted(weights) > 0


@dataclass(kw_only=True, repr=False)
class GlobalMeanEffect(Floor):
    """Control + the mean effect of all perturbations in all contexts, each condition counted once."""

    ladder: ClassVar[tuple[str, ...]] = ()

    def _weights(self, asked: Conditions, known: Known) -> np.ndarray:
        return everything_weights(asked, known)


@dataclass(kw_only=True, repr=False)
class ContextMeanEffect(Floor):
    """Control + the mean effect of all other perturbations in the same context."""

    ladder: ClassVar[tuple[str, ...]] = ("GlobalMeanEffect",)

    def _weights(self, asked: Conditions, known: Known) -> np.ndarray:
        return context_weights(asked, known)


@dataclass(kw_only=True, repr=False)
class MeanShift(Floor):
    """Control + the mean effect of the perturbation over the other contexts, each context counted once.

    With doses: the effect at the nearest dose (of its logarithm) of each context.

    Examples
    --------
    >>> import numpy as np
    >>> from galenic.data.simulate import perturbations
    >>> adata = perturbations(n_contexts=3, n_perturbations=5, n_genes=20)
    >>> predicted = MeanShift().fit(adata).predict(adata)
    >>> truth = adata.uns["truth"]["effects"]
    >>> bool(np.corrcoef(predicted.layers["effect"].ravel(), truth.ravel())[0, 1] > 0.95)
    True
    """

    ladder: ClassVar[tuple[str, ...]] = ("ContextMeanEffect", "GlobalMeanEffect")

    def _weights(self, asked: Conditions, known: Known) -> np.ndarray:
        return shift_weights(asked, known)


@dataclass(kw_only=True, repr=False)
class NearestContextShift(Floor):
    """Control + the effect of the perturbation in the context that is most alike, of those where it was measured.

    Parameters
    ----------
    similarity
        Of the mean controls of two contexts, over genes: ``"pearson"`` or ``"spearman"`` correlation, or
        ``"euclidean"`` (minus the distance).
    """

    similarity: Literal["pearson", "spearman", "euclidean"] = "pearson"

    ladder: ClassVar[tuple[str, ...]] = ("ContextMeanEffect", "GlobalMeanEffect")

    def _effects(
        self, asked: Conditions, known: Known, controls: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sources = known.elsewhere(asked)
        alike = context_similarity(controls, known.controls, self.similarity)[:, known.at.context]
        alike = np.where(sources, alike, -np.inf)
        weights = sources & (alike == alike.max(axis=1, keepdims=True, initial=-np.inf))
        weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1)
        return mixed(weights, known.effects), counted(weights), counted(weights) > 0


def context_similarity(one: np.ndarray, other: np.ndarray, kind: str) -> np.ndarray:
    """Similarity of mean profiles, ``(n_one, n_other)``, higher = more alike; the lowest where a profile is unknown."""
    known = np.isfinite(other).all(axis=1)
    other = np.where(known[:, None], other, 0.0)
    if kind == "euclidean":
        squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
        result = -np.sqrt(np.maximum(squares, 0))
    else:
        if kind == "spearman":
            from scipy.stats import rankdata

            one, other = rankdata(one, axis=1), rankdata(other, axis=1)
        one, other = (values - values.mean(axis=1, keepdims=True) for values in (one, other))
        lengths = np.linalg.norm(one, axis=1)[:, None] * np.linalg.norm(other, axis=1)
        result = one @ other.T / np.where(lengths > 0, lengths, 1)
    return np.where(known, result, np.finfo(np.float64).min)


@dataclass(kw_only=True, repr=False)
class AdditivePairs(Floor):
    """Control + the sum of the effects of the parts of a combination ``A+B``.

    Each part is taken from the same context, or, where it was not measured there, as its mean over the others. A single
    perturbation is answered as by :class:`MeanShift`, and says so in ``obs["fallback"]``.
    """

    def _weights(self, asked: Conditions, known: Known) -> np.ndarray:
        return parts_weights(asked, known)
