"""A few labelled cells: ridge on what a cell is and what its neighbourhood is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from galenic.data.cell_matrix import CellMatrix
from galenic.data.neighbourhood import Neighbourhood
from galenic.models.cells.cell_model import standardised

NOISE = 0.3
"""Variance of a label's error, for scores of variance 1 and labels of -1 and +1."""
LEAST = 0.6
"""Of the chance that few labels point the right way."""
N_AXES = 200
MOST = 20_000
"""Cells that axes are learned from."""


@dataclass(frozen=True, eq=False)
class Axes:
    """Principal axes of the standardised features of the target; all that few labels are read on.

    Attributes
    ----------
    mean, sd
        Of each feature of the target.
    axes
        ``(n_axes, n_features)``.
    """

    mean: np.ndarray
    sd: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, matrix: CellMatrix, seed: int) -> Axes:
        """Learn axes from up to 20,000 cells; with fewer cells than axes nothing is lost."""
        own = matrix.statistics()
        rows = np.arange(matrix.n)
        if matrix.n > MOST:
            rows = np.sort(np.random.default_rng([seed, 3]).choice(matrix.n, MOST, replace=False))
        x = standardised(np.nan_to_num(matrix.rows(rows)), own.mean, own.sd)
        k = min(N_AXES, *x.shape)
        if k < min(x.shape):
            from sklearn.utils.extmath import randomized_svd

            axes = randomized_svd(x, k, random_state=seed)[2]
        else:
            axes = np.linalg.svd(x, full_matrices=False)[2]
        return cls(own.mean, own.sd, axes)

    def scores(self, matrix: CellMatrix) -> np.ndarray:
        """Coordinates of cells, ``(n_cells, n_axes)``."""
        found = np.empty((matrix.n, len(self.axes)))
        for rows, part in matrix.blocks():
            values = np.where(matrix.found, part, self.mean)
            found[rows] = standardised(values, self.mean, self.sd) @ self.axes.T
        return found


@dataclass(frozen=True, eq=False)
class FewShot:
    r"""Ridge on coordinates of a cell beside those of its neighbourhood, from a few labels.

    .. math:: f(c) = w^\top [x_c / s_x, (S x)_c / s_{Sx}]

    with :math:`S` the smoothing over the target's graph, scales :math:`s` that give both halves variance 1, and the
    penalty 0.3. One label of each class moves every cell that resembles it or whose neighbours do.

    Attributes
    ----------
    weights, intercept
        ``(2 n_axes,)``, and what makes the mean score of the target 0.
    scales
        Of both halves.
    right
        Chance that a label is told by the others: with one more right and one more wrong; 0.75 where a class has a
        single label, which the other class cannot tell; never below 0.6.
    """

    axes: Axes
    weights: np.ndarray
    intercept: float
    scales: np.ndarray
    right: float

    @classmethod
    def of(
        cls,
        matrix: CellMatrix,
        graph: Neighbourhood | None,
        rows: np.ndarray,
        y: np.ndarray,
        *,
        spread: float,
        seed: int = 0,
    ) -> FewShot:
        """Learn from the labels ``y`` of the cells ``rows``.

        Parameters
        ----------
        matrix
            All features of all cells of the target.
        graph
            Of the target; ``None``: a cell counts by itself.
        rows, y
            Labelled cells and their labels, 1 or 0.
        spread
            Of the smoothing.
        """
        axes = Axes.of(matrix, seed)
        x = axes.scores(matrix)
        parts = [x, x if graph is None else graph.smooth(x, spread=spread)]
        scales = np.array([max(float(np.sqrt(part.var(axis=0).sum())), 1e-12) for part in parts])
        features = np.concatenate([part / scale for part, scale in zip(parts, scales, strict=True)], axis=1)
        centre = features.mean(axis=0)
        known = features[rows] - centre
        target = 2.0 * y - 1.0
        kernel = known @ known.T + NOISE * np.eye(len(y))
        weights = known.T @ np.linalg.solve(kernel, target)
        return cls(axes, weights, -float(centre @ weights), scales, _right(kernel, target))

    def arrays(self) -> dict[str, np.ndarray]:
        """All numbers, by name."""
        return {
            "mean": self.axes.mean, "sd": self.axes.sd, "axes": self.axes.axes.astype(np.float32),
            "weights": self.weights, "scales": self.scales, "intercept": np.array([self.intercept]),
            "right": np.array([self.right]),
        }  # fmt: skip

    @classmethod
    def restored(cls, arrays: Mapping[str, np.ndarray]) -> FewShot:
        """Out of what :meth:`arrays` gave."""
        axes = Axes(arrays["mean"], arrays["sd"], arrays["axes"].astype(np.float64))
        intercept, right = (float(arrays[name][0]) for name in ("intercept", "right"))
        return cls(axes, arrays["weights"], intercept, arrays["scales"], right)

    def score(self, matrix: CellMatrix, graph: Neighbourhood | None, spread: float) -> np.ndarray:
        """Score of each cell, above 0 = sensitive."""
        x = self.axes.scores(matrix)
        parts = [x, x if graph is None else graph.smooth(x, spread=spread)]
        features = np.concatenate([part / scale for part, scale in zip(parts, self.scales, strict=True)], axis=1)
        return np.asarray(features @ self.weights + self.intercept)


def _right(kernel: np.ndarray, target: np.ndarray) -> float:
    """Share of labels whose left-out score has the right sign, in closed form."""
    if min((target > 0).sum(), (target < 0).sum()) < 2:
        return 0.75
    inverse = np.linalg.inv(kernel)
    left = target - (inverse @ target) / np.diag(inverse)
    right = float(((left > 0) == (target > 0)).sum())
    return max(LEAST, (right + 1) / (len(target) + 2))
