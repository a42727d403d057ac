"""The latents of all members side by side: held where few, else computed block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from galenic.models.deeppert.member import Layers, encoded

BLOCK = 2**22
"""Values that are computed at once."""
HELD = 2**25
"""Values up to which all are held: 0.3 GB."""


class Latents:
    """Latents of every member for every profile, ``(n_profiles, n_latents)``, and sums over profiles.

    Parameters
    ----------
    scores
        Component scores, ``(n_profiles, n_components)``; without encoders the latents themselves.
    encoders
        Of all members.

    Examples
    --------
    >>> latents = Latents(np.array([[1.0, 2.0], [3.0, 6.0]]))
    >>> latents.moments()[0].tolist(), latents.moments()[1].tolist()
    ([2.0, 4.0], [1.0, 2.0])
    """

    def __init__(self, scores: np.ndarray, encoders: Sequence[Layers] | None = None) -> None:
        width = scores.shape[1] if encoders is None else sum(len(layers[-1][1]) for layers in encoders)
        self.shape = (len(scores), width)
        self._scores, self._encoders = scores, encoders
        if encoders is not None and len(scores) * width <= HELD:
            self._scores, self._encoders = self._computed(slice(None)), None

    def blocks(self) -> Iterator[np.ndarray]:
        """Rows in their order; all at once where they are held."""
        if self._encoders is None:
            yield self._scores
            return
        size = max(1, BLOCK // self.shape[1])
        for start in range(0, self.shape[0], size):
            yield self._computed(slice(start, start + size))

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each latent, ``(n_latents,)`` each."""
        n = self.shape[0]
        mean: Any = sum(part.sum(axis=0) for part in self.blocks()) / n
        squares: Any = sum(((part - mean) ** 2).sum(axis=0) for part in self.blocks())
        return mean, np.sqrt(squares / n)

    def products(self, columns: np.ndarray, centre: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        """Mean products of some latents (a mask), centred and scaled: ``(n_columns, n_columns)``."""
        total: Any = 0.0
        for part in self._scaled(columns, centre, deviation):
            total = total + part.T @ part
        return np.asarray(total / self.shape[0])

    def cubes(self, columns: np.ndarray, centre: np.ndarray, deviation: np.ndarray, mixing: np.ndarray) -> np.ndarray:
        """Sums of the cubes of mixtures of some latents, ``(n_mixtures,)``: to which side their extremes lie."""
        return np.asarray(sum(((part @ mixing) ** 3).sum(axis=0) for part in self._scaled(columns, centre, deviation)))

    def _scaled(self, columns: np.ndarray, centre: np.ndarray, deviation: np.ndarray) -> Iterator[np.ndarray]:
        for part in self.blocks():
            yield (part[:, columns] - centre[columns]) / deviation[columns]

    def _computed(self, rows: slice) -> np.ndarray:
        return np.concatenate([encoded(layers, self._scores[rows]) for layers in self._encoders or ()], axis=1)
