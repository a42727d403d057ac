"""Cells beside those that resemble them: a graph of nearest cells, along which scores are spread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from galenic.data.cell_matrix import VALUES, CellMatrix

N_STEPS = 100
"""Steps of spreading at most; with 0.9 carried on at each, 3e-5 of the first step is left."""
BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Graph of nearest cells; of many cells a sample is linked, and the others look up their nearest in it.

    Use :meth:`of`.

    Attributes
    ----------
    graph
        Links between landmark cells, shares of each that sum to 1, ``(n_landmarks, n_landmarks)``.
    landmarks
        Rows of the landmark cells.
    lookup
        For each cell shares of its nearest landmarks, ``(n_cells, n_landmarks)``; ``None``: every cell is a landmark.
    """

    graph: sparse.csr_matrix
    landmarks: np.ndarray
    lookup: sparse.csr_matrix | None

    @classmethod
    def of(
        cls, components: np.ndarray, *, n_neighbours: int = 15, n_landmarks: int = 5000, seed: int = 0
    ) -> Neighbourhood:
        """Link cells.

        Parameters
        ----------
        components
            Coordinates of the cells, ``(n_cells, n_components)``.
        n_neighbours
            Cells that each is linked to, itself among them, 2 or more; all there are if they are fewer.
        n_landmarks
            Cells that are linked at most, drawn at random, so that time and memory grow with the number of cells only.
        seed
            Of the draw.

        Raises
        ------
        ValueError
            If there are fewer than two cells, or fewer than two neighbours.

        Examples
        --------
        >>> cells = np.array([[0.0], [0.1], [0.2], [9.0], [9.1], [9.2]])
        >>> Neighbourhood.of(cells, n_neighbours=3).smooth(np.array([1.0, 0, 0, 0, 0, -1])).round(2).tolist()
        [0.38, 0.31, 0.31, -0.31, -0.31, -0.38]
        """
        n = len(components)
        if n < 2 or n_neighbours < 2:
            raise ValueError(
                f"a neighbourhood needs two cells and two neighbours or more; received {n:,} and {n_neighbours}. Give "
                "more cells, or set neighbours=0 to judge each by itself."
            )
        landmarks = np.arange(n)
        if n > n_landmarks:
            landmarks = np.sort(np.random.default_rng(seed).choice(n, n_landmarks, replace=False))
        held = components[landmarks]
        k = min(n_neighbours, len(held))
        index = NearestNeighbors(n_neighbors=k).fit(held)
        links = _links(index.kneighbors(held, return_distance=False), len(held))
        links = ((links + links.T) / 2).tolil()
        links.setdiag(0.0)
        links = links.tocsr()
        scale = sparse.diags(1 / np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1e-12))
        lookup = None
        if len(landmarks) < n:
            parts = [
                index.kneighbors(components[start : start + BLOCK], return_distance=False)
                for start in range(0, n, BLOCK)
            ]
            lookup = _links(np.concatenate(parts), len(held)) / k
        return cls((scale @ links).tocsr(), landmarks, lookup)

    def smooth(self, values: np.ndarray, *, spread: float = 0.9) -> np.ndarray:
        r"""Spread values along the graph: :math:`(1 - s)\,(I - s A)^{-1} v`.

        Rows of the graph :math:`A` sum to 1: what is the same for all cells stays as it is.

        Parameters
        ----------
        values
            A number, or several, of each cell: ``(n_cells,)`` or ``(n_cells, n)``. Not changed.
        spread
            Share carried on at each step, [0, 1); 0 leaves values as they are (but for the landmarks' lookup).

        Returns
        -------
        numpy.ndarray
            Of the shape of ``values``.

        Notes
        -----
        A random walk that stops with the chance 1 - s at each step (Zhou et al., NIPS 2003, with links normalised by
        the degree of one side, which keeps constants). With a lookup, landmarks are smoothed after each has taken the
        mean of the cells that look it up.

        Examples
        --------
        >>> cells = Neighbourhood.of(np.arange(40.0)[:, None], n_neighbours=5)
        >>> noisy = np.arange(40) + np.random.default_rng(0).normal(scale=9, size=40)
        >>> bool(np.corrcoef(cells.smooth(noisy), np.arange(40))[0, 1] > np.corrcoef(noisy, np.arange(40))[0, 1])
        True
        """
        if not 0 <= spread < 1:
            raise ValueError(f"spread should be in [0, 1); received {spread}. 0.9 is usual.")
        start = np.asarray(values, dtype=np.float64)
        if self.lookup is not None:
            weights = np.asarray(self.lookup.sum(axis=0)).reshape(-1, *[1] * (start.ndim - 1))
            # Of many cells that coincide only some are looked up; the others keep what they have.
            mean = (self.lookup.T @ start) / np.maximum(weights, 1e-12)
            start = np.where(weights > 0, mean, start[self.landmarks])
        now = start
        for _ in range(N_STEPS if spread else 0):
            now = spread * (self.graph @ now) + (1 - spread) * start
        return now if self.lookup is None else np.asarray(self.lookup @ now)


def components(
    matrix: CellMatrix, n_components: int = 20, *, most: int = 5000, n_features: int = 3000, seed: int = 0
) -> np.ndarray:
    """Principal components of standardised features, ``(n_cells, n_components)``, most of the variance first.

    Parameters
    ----------
    matrix
        Cells x features.
    n_components
        Number; fewer where there are fewer cells or features.
    most
        Cells from which axes are learned, drawn at random where there are more; the others are projected.
    n_features
        Features that count: the most variable ones.
    seed
        Of the draw, and of the solver.

    Examples
    --------
    >>> from anndata import AnnData
    >>> adata = AnnData(np.random.default_rng(0).normal(size=(30, 50)))
    >>> components(CellMatrix.of(adata), 4).shape
    (30, 4)
    """
    rng = np.random.default_rng(seed)
    rows = np.arange(matrix.n)
    if matrix.n > most:
        rows = np.sort(rng.choice(matrix.n, most, replace=False))
    sd = _spread(matrix, rows)
    kept = np.sort(np.argsort(-sd, kind="stable")[:n_features])
    kept = kept[sd[kept] > 0]
    x = np.concatenate([part[:, kept] for part in _parts(matrix, rows)])
    mean, sd = x.mean(axis=0), x.std(axis=0)
    axes = PCA(min(n_components, len(rows) - 1, max(len(kept), 1)), random_state=seed)
    if not len(kept):
        return np.zeros((matrix.n, 1))
    x -= mean
    x /= sd
    axes.fit(x)
    found = np.empty((matrix.n, axes.n_components_), dtype=np.float64)
    for part, values in matrix.blocks():
        found[part] = axes.transform((np.nan_to_num(values[:, kept]) - mean) / sd)
    return found


def _parts(matrix: CellMatrix, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Values of some cells, a block at a time; what is not there is 0."""
    size = max(1, VALUES // max(1, *matrix.gather.shape))
    for start in range(0, len(rows), size):
        yield np.nan_to_num(matrix.rows(rows[start : start + size]))


def _spread(matrix: CellMatrix, rows: np.ndarray) -> np.ndarray:
    """Standard deviation of each feature over some cells."""
    mean: Any = sum(part.sum(axis=0) for part in _parts(matrix, rows)) / len(rows)
    squares: Any = sum(((part - mean) ** 2).sum(axis=0) for part in _parts(matrix, rows))
    return np.asarray(np.sqrt(squares / len(rows)))


def _links(nearest: np.ndarray, n_columns: int) -> sparse.csr_matrix:
    """1 for each of the nearest, a row a cell."""
    n, k = nearest.shape
    return sparse.csr_matrix((np.ones(n * k), nearest.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n_columns))
