"""Matrices far too large to hold: rows are made when they are read, and what was read at once is remembered."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData


class Made:
    """Rows of a table over and over, each time a little larger, in half precision.

    Parameters
    ----------
    table
        ``(n_rows, n_columns)``.
    n
        Rows that there seem to be.
    """

    dtype = np.dtype(np.float16)
    ndim = 2

    def __init__(self, table: np.ndarray, n: int) -> None:
        self.table, self.shape = table.astype(np.float16), (n, table.shape[1])
        self.most, self.times = 0, 0

    def __getitem__(self, rows: Any) -> np.ndarray:
        numbers = np.arange(*rows.indices(self.shape[0])) if isinstance(rows, slice) else np.asarray(rows)
        numbers = np.flatnonzero(numbers) if numbers.dtype == bool else numbers
        assert (np.diff(numbers) > 0).all(), "files give rows in ascending order, each once"
        self.most, self.times = max(self.most, len(numbers) * self.shape[1]), self.times + 1
        turn, row = np.divmod(numbers, len(self.table))
        return self.table[row] * (1 + turn % 8 / np.float16(8)).astype(np.float16)[:, None]


class MadeData(AnnData):
    """An AnnData whose matrix is made when it is read; its table of rows repeats as the matrix does."""

    def __init__(self, small: AnnData, n: int) -> None:
        places = np.arange(n) % small.n_obs
        obs = pd.DataFrame({name: column.to_numpy()[places] for name, column in small.obs.items()})
        super().__init__(obs=obs.set_axis([f"r{number}" for number in range(n)]), var=small.var.copy())
        self.made = Made(np.asarray(small.X), n)

    @property
    def X(self) -> Any:
        """The matrix."""
        return self.made

    def __getitem__(self, rows: Any) -> AnnData:
        """Some rows, made."""
        return AnnData(self.made[rows], obs=self.obs.iloc[rows], var=self.var)


@contextmanager
def most_memory() -> Iterator[Callable[[], int]]:
    """A function that says how many bytes of Python and NumPy were held at most, beyond those at the beginning."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        yield lambda: tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
