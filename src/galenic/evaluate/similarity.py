"""Similarities of a few profiles with all others, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from galenic.evaluate.checks import first

BLOCK = 4_000_000  # similarities at a time: bounds memory at about 100 MB beyond what is given and returned

Similar: TypeAlias = Callable[[np.ndarray], np.ndarray]


def blocks(n: int) -> Iterator[np.ndarray]:
    """Consecutive rows, so many that their similarities with ``n`` rows fit the bound on memory."""
    size = max(1, BLOCK // max(n, 1))
    return (np.arange(start, min(start + size, n)) for start in range(0, n, size))


def similarity_of(
    n: int,
    embedding: np.ndarray | None,
    similarity: np.ndarray | None,
    metric: str,
) -> Similar:
    """A function from a few rows to their similarities with all rows, from an embedding or a matrix; see `retrieval`.

    Examples
    --------
    >>> similarity_of(2, np.array([[3.0, 4.0], [0.0, 2.0]]), None, "cosine")(np.array([0])).round(2)
    array([[1. , 0.8]])
    """
    if (embedding is None) is (similarity is None):
        came = "neither" if embedding is None else "both"
        raise ValueError(f"retrieval needs an embedding or a similarity; received {came}. Give one of them.")
    given = np.asarray(embedding if similarity is None else similarity)
    expected = "(n, n_dims)" if similarity is None else "(n, n)"
    if given.ndim != 2 or len(given) != n or (similarity is not None and given.shape[1] != n):
        raise ValueError(
            f"a row of the table needs a row of the array: {expected} with n = {n:,}; received shape {given.shape}. "
            "Take both from the same profiles in the same order."
        )
    if similarity is not None:
        return lambda rows: _rows_of(given, rows)
    if metric not in ("cosine", "euclidean"):
        raise ValueError(f"metric should be 'cosine' or 'euclidean'; received {metric!r}. Pass similarity= for others.")
    return (_cosine if metric == "cosine" else _euclidean)(_finite(given, "embedding"))


def _rows_of(similarity: np.ndarray, rows: np.ndarray) -> np.ndarray:
    block = similarity[rows].astype(np.result_type(similarity.dtype, np.float32), copy=False)
    block[np.arange(len(rows)), rows] = 0
    return _finite(block, "similarity")


def _finite(values: np.ndarray, what: str) -> np.ndarray:
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise ValueError(
            f"every number of the {what} should be finite; {len(bad):,} of {len(values):,} rows hold others (first: "
            f"{first(bad)}). Leave those profiles out, for every model alike."
        )
    return values


def _cosine(embedding: np.ndarray) -> Similar:
    vectors = embedding.astype(np.result_type(embedding.dtype, np.float32))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    zero = np.flatnonzero(lengths == 0)
    if len(zero):
        raise ValueError(
            f"cosine needs vectors with a direction; {len(zero):,} of {len(vectors):,} are all zero (first rows: "
            f"{first(zero)}). Leave those profiles out or choose metric='euclidean'."
        )
    unit = vectors / lengths
    return lambda rows: unit[rows] @ unit.T


def _euclidean(embedding: np.ndarray) -> Similar:
    # Minus the squared distance; centred first, so that little is lost where the three terms cancel.
    vectors = embedding - embedding.mean(axis=0, dtype=np.float64)
    squares = (vectors**2).sum(axis=1)
    return lambda rows: 2 * vectors[rows] @ vectors.T - squares[rows, None] - squares
