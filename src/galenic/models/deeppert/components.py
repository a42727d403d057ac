"""Principal components of rows too many for memory: the same axes as of a whole matrix, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from galenic.nn.blocks import Project

BLOCK = 2**22
"""Values that are read at once."""
HELD = 2**25
"""Values up to which rows are read whole: 0.3 GB in double precision, a few times over while they are decomposed."""
SQUARE = 4096
"""Features up to which their covariance is computed; of more only its products with a few directions."""
SPARE, TURNS = 10, 7
"""Directions beyond those wanted, and how often they are turned towards the strongest."""


def principal(rows: Any, n_components: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Mean ``(n_features,)`` and leading principal axes ``(n_components, n_features)``, float32.

    Parameters
    ----------
    rows
        Anything that has a shape and gives rows for a slice, ``(n, n_features)``; nothing missing.
    n_components
        Number of axes. In each the largest weight is positive.
    seed
        Of the first directions, where there are more than 4,096 features.

    Notes
    -----
    Up to 33 million values go through :class:`galenic.nn.blocks.Project`. Beyond, the covariance of the features is
    summed over blocks; its eigenvectors are the axes. Of many features the covariance is never formed: directions are
    multiplied by it in blocks (subspace iteration; Halko, Martinsson and Tropp 2011).

    Examples
    --------
    >>> mean, axes = principal(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]), 1)
    >>> mean.tolist(), axes.round(3).tolist()
    ([2.0, 2.0], [[0.7070000171661377, 0.7070000171661377]])
    """
    n, n_features = rows.shape
    if n * n_features <= HELD:
        project = Project(n_features, n_components).fit(rows[:], seed=seed)
        return project.mean.numpy(), project.components.numpy()
    mean = np.asarray(sum(part.sum(axis=0, dtype=np.float64) for part in blocks(rows)) / n)
    axes = _of_square(rows, mean, n_components) if n_features <= SQUARE else _of_many(rows, mean, n_components, seed)
    largest = axes[np.arange(n_components), np.abs(axes).argmax(axis=1)]
    return mean.astype(np.float32), (axes * np.sign(largest)[:, None]).astype(np.float32)


def blocks(rows: Any) -> Iterator[np.ndarray]:
    """Rows in their order, a few megabytes at a time."""
    size = max(1, BLOCK // max(1, rows.shape[1]))
    for start in range(0, rows.shape[0], size):
        yield rows[start : start + size]


def _of_square(rows: Any, mean: np.ndarray, n: int) -> np.ndarray:
    products = np.zeros((len(mean), len(mean)))
    for part in blocks(rows):
        centred = part - mean
        products += centred.T @ centred
    return np.asarray(np.linalg.eigh(products)[1][:, ::-1][:, :n].T)


def _of_many(rows: Any, mean: np.ndarray, n: int, seed: int) -> np.ndarray:
    n_directions = min(n + SPARE, len(mean))
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(mean), n_directions)))[0]
    for _ in range(TURNS):
        turned = np.zeros_like(basis)
        for part in blocks(rows):
            centred = part - mean
            turned += centred.T @ (centred @ basis)
        basis = np.linalg.qr(turned)[0]
    inner = np.zeros((n_directions, n_directions))
    for part in blocks(rows):
        along = (part - mean) @ basis
        inner += along.T @ along
    return np.asarray((basis @ np.linalg.eigh(inner)[1][:, ::-1][:, :n]).T)
