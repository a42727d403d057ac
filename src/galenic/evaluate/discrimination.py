"""Discrimination: does a predicted effect lie nearest to the effect of its own perturbation."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from galenic.evaluate.deltas import slices
from galenic.evaluate.metrics import ROUNDING
from galenic.work.near import did_you_mean

DISTANCES = {"l1": "cityblock", "l2": "euclidean", "cosine": "euclidean"}  # cosine: of vectors brought to length 1


def discrimination(
    truth: np.ndarray, prediction: np.ndarray, contexts: np.ndarray, *, distance: str = "l1"
) -> tuple[np.ndarray, np.ndarray]:
    """Share of the other perturbations of its context that lie farther from a prediction than its own truth does.

    Parameters
    ----------
    truth, prediction
        Effects, ``(n_conditions, n_genes)``.
    contexts
        Context of each condition, integers, ``(n_conditions,)``.
    distance
        ``"l1"``, ``"l2"`` or ``"cosine"``.

    Returns
    -------
    values, n_others
        ``(n_conditions,)`` each: the share, in which an equal distance counts half, and the number of others it is of.
        1 is best, 0.5 is chance, and what predicting one effect for all gives on average. NaN without others; by
        cosine also for an effect of zeros, which has no direction (others without one are not counted).

    Raises
    ------
    ValueError
        For an unknown distance.

    Examples
    --------
    >>> truth = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
    >>> discrimination(truth, truth[[0, 0, 0]], np.zeros(3, dtype=int))
    (array([1. , 0.5, 0. ]), array([2, 2, 2]))
    """
    if distance not in DISTANCES:
        raise ValueError(
            f"distance should be one of {', '.join(DISTANCES)}; received {distance!r}. "
            f"{did_you_mean(distance, DISTANCES, 'Choose one of those.')}"
        )
    if distance == "cosine":
        truth, prediction = _unit(truth), _unit(prediction)
    values, n_others = np.full(len(truth), np.nan), np.zeros(len(truth), dtype=np.int64)
    order = np.argsort(contexts, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(contexts[order])) + 1):
        if len(members) < 2:
            continue
        for rows in slices(len(members), len(members)):
            chosen = members[rows]
            distances = cdist(prediction[chosen], truth[members], DISTANCES[distance])
            values[chosen], n_others[chosen] = _farther(distances, np.arange(rows.start, rows.stop))
    return values, n_others


def _farther(distances: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of a row's other distances that exceed the one in column ``own``, ties half, and how many others."""
    nearest = np.take_along_axis(distances, own[:, None], axis=1)
    tied = np.abs(distances - nearest) <= ROUNDING * nearest
    farther = (distances > nearest) & ~tied
    known = np.isfinite(nearest[:, 0])
    n = np.where(known, np.isfinite(distances).sum(axis=1) - 1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # The own truth is tied with itself.
        return np.where(n > 0, (farther.sum(axis=1) + (tied.sum(axis=1) - 1) / 2) / n, np.nan), n


def _unit(vectors: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
