"""Cells as an encoder reads them: normalised, on its features, and dense only where they are asked for."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from galenic.data.cell_matrix import CellMatrix, Kind
from galenic.data.checks import first, require_columns

FEWEST = 8
"""Cells below which nothing is learned."""
FLAT = 1e-6
"""Standard deviation below which a feature is taken for constant."""
LARGEST = 10.0
"""Standardised values are held within this: the one cell that has a rare gene would outweigh all the others."""
SMALLEST_SHARE = 0.5
"""Below this share of an encoder's genes cells are refused."""
VALUES = 2**21
"""Values of cells that are read at once outside batches."""
EXPRESSION = ("counts", "log", "linear")
"""Kinds of values that become one: ln(1 + counts in ten thousand)."""


@dataclass(frozen=True, eq=False)
class Front:
    """What happens to values before a network reads them: ``(x - centre) / scale``, held within ±``largest``.

    ``centre`` and ``scale`` are ``(n_features,)``.
    """

    centre: np.ndarray
    scale: np.ndarray
    largest: float = np.inf

    @classmethod
    def of(cls, mean: np.ndarray, sd: np.ndarray, standardise: bool) -> Front:
        """From the mean and standard deviation of each feature; without ``standardise`` values stay as they are."""
        if not standardise:
            return cls(np.zeros_like(mean), np.ones_like(sd))
        return cls(mean, np.where(sd > FLAT, sd, 1.0), LARGEST)

    def undo(self, x: np.ndarray) -> np.ndarray:
        """Values in the units that they were read in."""
        return x.astype(np.float64) * self.scale + self.centre


class CellRows:
    """Cells as a network reads them: rows for sorted numbers, normalised and dense only when they are asked for.

    Parameters
    ----------
    matrix
        Cells on the features of the network.
    front
        Learned on training cells.
    middle
        What a feature that the cells lack is taken at, ``(n_features,)``.
    """

    def __init__(self, matrix: CellMatrix, front: Front, middle: np.ndarray) -> None:
        held = matrix.values  # noqa: PD011
        if sparse.issparse(held) and held.format != "csr":
            matrix = replace(matrix, values=held.tocsr())  # columns first give no rows in reasonable time
        self.matrix, self.front, self.middle = matrix, front, middle
        self.shape = (matrix.n, len(matrix.features))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        numbers = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else np.asarray(rows)
        result = np.empty((len(numbers), self.shape[1]), dtype=np.float32)
        for place in parts(len(numbers), self._width()):
            x = self.matrix.rows(numbers[place])
            x[:, ~self.matrix.found] = self.middle[~self.matrix.found]
            x -= self.front.centre
            x /= self.front.scale
            result[place] = np.clip(x, -self.front.largest, self.front.largest, out=x)
        return result

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows and their values, a bounded number of values at a time."""
        for part in parts(len(self), self._width()):
            yield part, self[part]

    def _width(self) -> int:
        # Whole rows of the file are read, whatever part of them is wanted.
        return max(self.shape[1], self.matrix.gather.shape[0])


def parts(n: int, width: int) -> Iterator[slice]:
    """Slices of ``n`` rows of a width, of two million values at most."""
    size = max(1, VALUES // max(1, width))
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def moments(matrix: CellMatrix, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (divided by n) of each feature over some cells, block by block."""
    n, mean, squares = 0, np.zeros(len(matrix.features)), np.zeros(len(matrix.features))
    for part in parts(len(rows), max(matrix.gather.shape)):
        x = matrix.rows(rows[part])
        own, apart = x.mean(axis=0), x.mean(axis=0) - mean
        squares += ((x - own) ** 2).sum(axis=0) + apart**2 * n * len(x) / (n + len(x))
        n += len(x)
        mean += apart * len(x) / n
    return mean, np.sqrt(squares / n)


def matrix_of(
    cells: AnnData, *, use_rep: str | None, features: Sequence[str] | None, kind: Kind | None, normalise: bool
) -> CellMatrix:
    """Cells to learn from; genes in alphabetical order, so that their order in the file does not matter.

    Without ``normalise`` counts are taken as if they were logarithms: as they are.
    """
    matrix = CellMatrix.of(cells, use_rep=use_rep, features=features, kind=kind)
    if not normalise and matrix.kind in EXPRESSION:
        matrix = CellMatrix.of(cells, use_rep=use_rep, features=features, kind="log")
    if use_rep is not None and features is None:
        return matrix
    known = [name for name, found in zip(matrix.features, matrix.found, strict=True) if found]
    if not known:
        raise ValueError(
            f"cells should have some of the {len(matrix.features):,} features asked for; they have none of them "
            f"(first asked for: {first(matrix.features)}). Use the same kind of names in both."
        )
    known = known if use_rep is not None else sorted(known)
    return CellMatrix.of(cells, use_rep=use_rep, features=known, kind=matrix.kind)


def columns_of(matrix: CellMatrix, numbers: np.ndarray) -> CellMatrix:
    """The matrix on some of its features."""
    features = [matrix.features[number] for number in numbers]
    return replace(matrix, features=features, found=matrix.found[numbers], gather=matrix.gather[:, numbers])


def learned_rows(matrix: CellMatrix, rows: np.ndarray, *, n_genes: int, standardise: bool) -> CellRows:
    """The matrix on its ``n_genes`` most variable features (0 = all), with the front that some cells teach."""
    mean, sd = moments(matrix, rows)
    chosen = most_variable(sd, n_genes)
    mean, sd = mean[chosen], sd[chosen]
    return CellRows(columns_of(matrix, chosen), Front.of(mean, sd, standardise), mean)


def empty_cells(matrix: CellMatrix) -> np.ndarray:
    """Which cells have nothing but zeros, ``(n,)``."""
    found = [matrix.empty(part) for part in parts(matrix.n, matrix.gather.shape[0])]
    return np.concatenate([np.zeros(0, dtype=bool), *found])


def full_rows(matrix: CellMatrix) -> np.ndarray:
    """Numbers of the cells that have any value but 0."""
    rows = np.flatnonzero(~empty_cells(matrix))
    if len(rows) < FEWEST:
        raise ValueError(
            f"an encoder needs {FEWEST} cells at least that have values; received {matrix.n:,} of which {len(rows):,} "
            "have any. Give more cells, or check the file."
        )
    return rows


def most_variable(sd: np.ndarray, n: int) -> np.ndarray:
    """Numbers of the ``n`` features of largest variance, in their order; all where ``n`` is 0."""
    if not n or n >= len(sd):
        return np.arange(len(sd))
    return np.sort(np.argsort(-sd, kind="stable")[:n])


def held_out(rows: np.ndarray, groups: pd.Series | None, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide cells at random: those to learn from, and about ``share`` of them, in whole groups, to stop by.

    Parameters
    ----------
    rows
        Numbers of cells.
    groups
        Group (donor, sample, line) of each of **all** cells; ``None``: each cell is a group of its own.
    share
        In [0, 1); 0 = none.

    Raises
    ------
    ValueError
        If there is a single group.
    """
    if not share:
        return rows, rows[:0]
    codes = np.arange(len(rows)) if groups is None else pd.factorize(groups.iloc[rows].astype(str))[0]
    sizes = np.bincount(codes)
    if len(sizes) < 2:
        raise ValueError(
            f"cells should be of two groups at least, of which some are left out; all {len(rows):,} are of one "
            f"({first(groups.iloc[rows].astype(str).unique())}). Leave groups out, or set valid_share=0."  # type: ignore[union-attr]
        )
    order = np.random.default_rng([seed, 1]).permutation(len(sizes))
    before = np.cumsum(sizes[order]) - sizes[order]
    chosen = order[:-1][before[:-1] < share * len(rows)]
    away = np.isin(codes, chosen)
    return rows[~away], rows[away]


def groups_of(cells: AnnData, groups: str | None) -> pd.Series | None:
    """The column of ``obs`` that names the group of each cell."""
    if groups is None:
        return None
    require_columns(cells.obs, [groups], "the table of cells (groups=)")
    return cells.obs[groups]


def require_alike(matrix: CellMatrix, learned: str) -> None:
    """Refuse values of another kind, and too few features; warn of some missing."""
    same = matrix.kind == learned or (matrix.kind in EXPRESSION and learned in EXPRESSION)
    if not same:
        raise ValueError(
            f"cells should have values like those the encoder learned from ({learned}); received {matrix.kind} ones. "
            "Give counts or logarithms to an encoder of expression, or name the kind of the values with kind=."
        )
    missing = np.flatnonzero(~matrix.found)
    least = SMALLEST_SHARE if learned != "embedding" else 1.0
    if matrix.found.sum() < least * len(matrix.found):
        raise ValueError(
            f"cells should have {least:.0%} of the {len(matrix.found):,} features of the encoder at least; "
            f"{len(missing):,} are missing (first: {first(np.array(matrix.features)[missing])}). Use the same kind of "
            "names, or the same embedding, as at the fit."
        )
    if len(missing):
        warnings.warn(
            f"{len(missing):,} of {len(matrix.found):,} features of the encoder are missing (first: "
            f"{first(np.array(matrix.features)[missing])}); each is taken at its mean over the training cells.",
            stacklevel=5,
        )
