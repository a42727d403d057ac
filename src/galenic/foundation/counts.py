"""The counts of an AnnData, some rows at a time: in memory or on disk, sparse or dense, and what kind of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from galenic.data.checks import first
from galenic.work.near import nearest_name

LARGEST_LOG = 30.0
"""No cell's counts are all below this and broken unless they were logged: 2 to the 30 is a billion."""
LOOKED_AT, AT_A_TIME = 512, 64


class CountRows:
    """Rows of ``X`` or of a layer as sparse matrices of float64; the AnnData is never changed.

    Parameters
    ----------
    adata
        Cells x genes, in memory or backed (then only the rows that are asked for are read).
    layer
        Name of the layer; None: ``X``.

    Raises
    ------
    ValueError
        If there is no such layer, or nothing in it.

    Examples
    --------
    >>> CountRows(AnnData(np.array([[0.0, 2.0], [3.0, 0.0]])))(0, 1).toarray().tolist()
    [[0.0, 2.0]]
    """

    def __init__(self, adata: AnnData, layer: str | None = None) -> None:
        if layer is not None and layer not in adata.layers:
            raise ValueError(
                f"layer should be one of the data; {layer!r} is not among {first(adata.layers, 5) or 'them: none'}"
                f"{nearest_name(layer, adata.layers)} Name another, or leave it out for X."
            )
        matrix = adata.X if layer is None else adata.layers[layer]
        if matrix is None or 0 in adata.shape:
            raise ValueError(
                f"counts of cells x genes are expected; {'X' if layer is None else layer} of these data of "
                f"{adata.n_obs:,} x {adata.n_vars:,} is empty. Read them first."
            )
        # Columns that lie together cannot be read by rows, least of all from disk.
        if getattr(matrix, "format", "") == "csc":
            matrix = matrix.to_memory() if hasattr(matrix, "to_memory") else matrix
            matrix = sparse.csr_matrix(matrix)
        self.matrix: Any = matrix
        self.names = adata.obs_names
        self.shape: tuple[int, int] = adata.shape
        self.where = "X" if layer is None else f"the layer {layer!r}"

    def __call__(self, start: int, stop: int) -> sparse.csr_matrix:
        """Rows ``start`` to before ``stop``, float64, columns ascending, no zeros stored.

        Raises
        ------
        ValueError
            If a value is negative, missing or infinite.
        """
        rows = sparse.csr_matrix(self.matrix[start:stop], dtype=np.float64, copy=True)
        rows.sum_duplicates()
        rows.eliminate_zeros()
        bad = ~(np.isfinite(rows.data) & (rows.data > 0))
        if bad.any():
            row = int(np.searchsorted(rows.indptr, int(np.argmax(bad)), side="right")) - 1
            raise ValueError(
                f"counts should be finite and 0 or more; in rows {start:,} to {stop:,} of {self.where} are "
                f"{int(bad.sum()):,} others (first: {rows.data[bad][0]:.4g} in {str(self.names[start + row])!r}). They "
                "were scaled, regressed or damaged: give the counts themselves, often in layers['counts'] or raw."
            )
        return rows

    def look(self) -> Look:
        """What kind of numbers these are, told from rows all over the data."""
        n = self.shape[0]
        n_blocks = min(LOOKED_AT // AT_A_TIME, -(-n // AT_A_TIME))
        starts = np.linspace(0, max(0, n - AT_A_TIME), n_blocks).astype(int)
        found = Look(0, 0.0, 0, 0.0)
        for start in starts:
            found = found.plus(self(int(start), min(n, int(start) + AT_A_TIME)))
        return found


@dataclass(frozen=True)
class Look:
    """What kind of numbers some values are.

    Parameters
    ----------
    n
        Values above 0.
    highest
        The highest.
    broken
        How many are not whole numbers.
    undone
        Mean over cells of what their values sum to if they are logarithms of 1 + x: 10,000 after scanpy's
        usual steps.
    """

    n: int
    highest: float
    broken: int
    undone: float
    n_cells: int = 0

    @property
    def are_logged(self) -> bool:
        """Whether these can only be logarithms."""
        return self.broken > 0 and self.highest <= LARGEST_LOG

    def plus(self, rows: sparse.csr_matrix) -> Look:
        """With more cells."""
        values = rows.data
        with np.errstate(over="ignore"):
            undone = float(np.expm1(values).sum())
        n_cells = self.n_cells + rows.shape[0]
        return Look(
            n=self.n + values.size,
            highest=max(self.highest, float(values.max(initial=0.0))),
            broken=self.broken + int((values != np.rint(values)).sum()),
            undone=(self.undone * self.n_cells + undone) / max(n_cells, 1),
            n_cells=n_cells,
        )

    def __str__(self) -> str:
        if self.n == 0:
            return "no values above 0"
        share = f"{self.broken / self.n:.0%} not whole" if self.broken else "whole numbers"
        kind = f"logarithms (undone, a cell sums to {self.undone:,.0f})" if self.are_logged else "counts"
        return f"{kind}: {share}, the highest {self.highest:,.4g}"
