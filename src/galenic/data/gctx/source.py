"""What every file of profiles offers: its ids, its metadata, and its numbers block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

BLOCK = 4 << 20
"""Values that are read at a time."""


@dataclass(frozen=True, eq=False)
class Block:
    """A part of a matrix that has not been read yet.

    Parameters
    ----------
    rows, genes
        Where its values belong: places in the wanted profiles and in the wanted genes.
    load
        Reads the values, ``(len(rows), len(genes))``; to be called before the next block is asked for, or not at all.
    """

    rows: np.ndarray
    genes: np.ndarray
    load: Callable[[], np.ndarray]


class Source(Protocol):
    """A file of profiles."""

    name: str
    profiles: pd.DataFrame
    """Index = ids, columns as in the file, one row a profile."""
    genes: pd.DataFrame
    """Index = ids, columns as in the file, one row a gene."""
    steps: tuple[str, ...]
    """What is known to have been done to the numbers."""

    def blocks(self, rows: np.ndarray, genes: np.ndarray, size: int) -> Iterator[Block]:
        """Blocks of about ``size`` values that together hold the wanted profiles and genes.

        Parameters
        ----------
        rows, genes
            Places in the file, each once, in any order.
        size
            Values that may be held at a time.
        """
        ...


def sorted_places(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``places`` in ascending order, and where each stood.

    Examples
    --------
    >>> sorted_places(np.array([7, 3]))
    (array([3, 7]), array([1, 0]))
    """
    order = np.argsort(places, kind="stable")
    return places[order], order


def runs(places: np.ndarray, *, gap: int = 0) -> list[slice]:
    """Slices that cover ascending places, bridging gaps of up to ``gap``.

    Examples
    --------
    >>> runs(np.array([0, 1, 2, 9]))
    [slice(0, 3, None), slice(9, 10, None)]
    >>> runs(np.array([0, 1, 2, 9]), gap=6)
    [slice(0, 10, None)]
    """
    if len(places) == 0:
        return []
    breaks = np.flatnonzero(np.diff(places) > gap + 1)
    starts = places[np.r_[0, breaks + 1]]
    stops = places[np.r_[breaks, len(places) - 1]] + 1
    return [slice(int(start), int(stop)) for start, stop in zip(starts, stops, strict=True)]


def windows(rows: np.ndarray, height: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Ascending places, parted where they fall into another window of ``height`` profiles of the file.

    Examples
    --------
    >>> [places.tolist() for _, places in windows(np.array([0, 1, 5, 9]), 4)]
    [[0, 1], [5], [9]]
    """
    edges = np.flatnonzero(np.diff(rows // height)) + 1
    for start, stop in zip(np.r_[0, edges], np.r_[edges, len(rows)], strict=True):
        if stop > start:
            yield slice(int(start), int(stop)), rows[start:stop]


def place(target: np.ndarray, block: Block, values: np.ndarray) -> None:
    """Write the values of a block where they belong."""
    rows, genes = _as_slice(block.rows), _as_slice(block.genes)
    if isinstance(rows, np.ndarray) and isinstance(genes, np.ndarray):
        target[np.ix_(rows, genes)] = values
    else:
        target[rows, genes] = values


def _as_slice(places: np.ndarray) -> slice | np.ndarray:
    """Neighbours in order as a slice, which is copied several times faster."""
    neighbours = len(places) > 0 and places[-1] - places[0] == len(places) - 1 and bool((np.diff(places) == 1).all())
    return slice(int(places[0]), int(places[-1]) + 1) if neighbours else places
