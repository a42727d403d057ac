"""Sequences of unequal length, one cell after the other, and batches of cells of like length."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Ragged:
    """The tokens of some cells; those of cell ``i`` stand at ``indptr[i]:indptr[i + 1]`` of every field.

    Parameters
    ----------
    indptr
        ``(n_cells + 1,)``, ascending from 0.
    fields
        What is known of each token, by name: arrays ``(n_tokens,)`` of whole numbers or fractions.

    Examples
    --------
    >>> tokens = Ragged(np.array([0, 2, 3]), {"gene": np.array([4, 7, 5])})
    >>> table, real = tokens.padded(np.array([0, 1]))
    >>> table["gene"].tolist(), real.tolist()
    ([[4, 7], [5, 0]], [[True, True], [True, False]])
    """

    indptr: np.ndarray
    fields: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each cell, ``(n_cells,)``; a cell with none is not encoded."""
        return np.diff(self.indptr)

    def padded(self, cells: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The tokens of ``cells`` (positions) as tables, ``(len(cells), longest of them)``.

        Returns
        -------
        fields : dict of ndarray
            By name; 0 where a cell has no more tokens.
        real : ndarray of bool
            False where it has not.
        """
        lengths = self.lengths[cells]
        steps = np.arange(int(lengths.max(initial=0)))
        real = steps < lengths[:, None]
        places = (self.indptr[:-1][cells][:, None] + steps)[real]
        tables = {}
        for name, values in self.fields.items():
            tables[name] = np.zeros(real.shape, dtype=np.int64 if values.dtype.kind in "iub" else np.float32)
            tables[name][real] = values[places]
        return tables, real

    def digest(self) -> str:
        """A checksum of everything that an encoder sees of these cells."""
        found = hashlib.sha256(np.ascontiguousarray(self.indptr, dtype=np.int64).tobytes())
        for name in sorted(self.fields):
            values = np.ascontiguousarray(self.fields[name])
            found.update(f"{name} {values.dtype.str}".encode())
            found.update(values.tobytes())
        return found.hexdigest()


def batches(lengths: np.ndarray, max_tokens: int) -> Iterator[np.ndarray]:
    """Cells of like length together, so that little is computed for padding.

    Parameters
    ----------
    lengths
        Tokens of each cell; cells with none are left out.
    max_tokens
        Most tokens of a batch, padding included. A longer cell is alone.

    Yields
    ------
    ndarray of int
        Positions of the cells of a batch, the longest cell first.

    Examples
    --------
    >>> [cells.tolist() for cells in batches(np.array([3, 9, 0, 2, 10]), max_tokens=20)]
    [[4, 1], [0, 3]]
    """
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] > 0]
    start = 0
    while start < len(order):
        n = max(1, max_tokens // int(lengths[order[start]]))
        yield order[start : start + n]
        start += n
