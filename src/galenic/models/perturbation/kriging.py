"""Effects over contexts as a smooth function of their controls: the best linear guess at a context from its likes."""

from __future__ import annotations

import numpy as np

from galenic.models.perturbation.floors import context_similarity
from galenic.models.perturbation.known import Conditions, Known

RANGE, NOISE = 0.4, 0.05
"""Distance (1 - correlation of controls) over which effects lose touch, and variance of noise, in units of theirs."""


def kriged_weights(asked: Conditions, known: Known, controls: np.ndarray, similarity: str) -> np.ndarray:
    r"""Weight of each measured effect of the same perturbation elsewhere, ``(n_asked, n_known)``; rows sum to 1.

    With the covariance :math:`K_{cd} = \exp(-(1 - r_{cd}) / 0.4)` of the effects in two contexts, r the similarity of
    their mean controls,

    .. math:: w = (K + 0.05\, I)^{-1} k_c + \tfrac{1}{n} (1 - \textstyle\sum w)

    over the n contexts that are sources: kriging, whose unknown mean is that of the sources. A context that is much
    like one of them takes its effect, one that is like none their mean, and sources that are alike share one voice.
    Euclidean distances are divided by their mean.
    """
    sources = known.elsewhere(asked)
    n_contexts = len(known.controls)
    one_hot = np.zeros((len(known.at), n_contexts))
    one_hot[np.arange(len(known.at)), known.at.context] = 1
    counts = sources @ one_hot
    patterns, first, own = np.unique(np.c_[asked.context, counts > 0], axis=0, return_index=True, return_inverse=True)
    there = patterns[:, 1:].astype(bool)
    between = context_similarity(known.controls, known.controls, similarity)
    towards = context_similarity(controls[first], known.controls, similarity)
    if similarity == "euclidean":
        unit = max(float(-between[np.isfinite(between) & (between > -1e300)].mean()), 1e-12)
        between, towards = 1 + between / unit, 1 + towards / unit
    between, towards = (np.exp((np.maximum(values, -1e6) - 1) / RANGE) for values in (between, towards))
    both = there[:, :, None] & there[:, None, :]
    system = np.where(both, between, 0.0) + np.where(there, NOISE, 1.0)[:, :, None] * np.eye(n_contexts)
    weights = np.linalg.solve(system, np.where(there, towards, 0.0)[:, :, None])[:, :, 0]
    missing = (1 - weights.sum(axis=1, keepdims=True)) / np.maximum(there.sum(axis=1, keepdims=True), 1)
    weights = np.where(there, weights + missing, 0.0)[own.ravel()] / np.maximum(counts, 1)
    result: np.ndarray = np.where(sources, weights[:, known.at.context], 0.0)
    return result
