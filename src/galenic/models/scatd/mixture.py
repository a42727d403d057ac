"""Two kinds of cells behind one score: a mixture of two normal distributions of one width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logsumexp

N_STEPS = 500
SMALLEST = 0.02
"""Share of the cells below which a kind is not believed."""
GAIN = 0.0
"""Fall of the Bayesian information criterion from which two kinds are believed rather than one."""


@dataclass(frozen=True)
class Mixture:
    """Means, common standard deviation and shares of two kinds of cells; the second has the higher score.

    Attributes
    ----------
    low, high, sd
        Of the score.
    share
        Of the cells of the higher kind.
    gain
        By how much the information criterion is lower than that of one normal distribution.
    """

    low: float
    high: float
    sd: float
    share: float
    gain: float

    @classmethod
    def of(cls, scores: np.ndarray) -> Mixture | None:
        """Fit by expectation maximisation; ``None`` where one normal distribution does as well.

        Parameters
        ----------
        scores
            A number of each cell, ``(n_cells,)``; missing ones are left out.

        Notes
        -----
        Started from three cuts of the sorted scores (a tenth, half and nine tenths), the best is kept; no number is
        drawn.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> two = Mixture.of(np.concatenate([rng.normal(-2, 1, 300), rng.normal(4, 1, 100)]))
        >>> round(two.share, 2), two.posterior(np.array([-2.0, 4.0])).round(2).tolist()
        (0.25, [0.0, 1.0])
        >>> Mixture.of(rng.normal(size=400)) is None
        True
        """
        scores = np.sort(scores[np.isfinite(scores)])
        n = len(scores)
        if n < 10 or not scores.std() > 0:
            return None
        one = -0.5 * n * (np.log(2 * np.pi * scores.var()) + 1)
        log_likelihood, found = max((_fitted(scores, cut) for cut in (0.1, 0.5, 0.9)), key=lambda pair: pair[0])
        low, high, sd, share = found
        gain = 2 * (log_likelihood - one) - 2 * np.log(n)
        if gain < GAIN or not SMALLEST < share < 1 - SMALLEST:
            return None
        return cls(low, high, sd, share, float(gain))

    def posterior(self, scores: np.ndarray) -> np.ndarray:
        """Chance that a cell of this score is of the higher kind; rises with the score."""
        middle = (self.low + self.high) / 2
        slope = (self.high - self.low) / self.sd**2
        return np.asarray(expit(slope * (scores - middle) + np.log(self.share / (1 - self.share))))


def _fitted(scores: np.ndarray, cut: float) -> tuple[float, tuple[float, float, float, float]]:
    """Log-likelihood and parameters after steps from one cut."""
    place = max(1, min(len(scores) - 1, round(cut * len(scores))))
    chance = (np.arange(len(scores)) >= place).astype(np.float64)
    smallest = 1e-3 * scores.var()
    last = -np.inf
    for _ in range(N_STEPS):
        weight = np.clip(chance.mean(), 1e-9, 1 - 1e-9)
        high, low = (chance @ scores) / chance.sum(), ((1 - chance) @ scores) / max((1 - chance).sum(), 1e-12)
        variance = max(float((chance * (scores - high) ** 2 + (1 - chance) * (scores - low) ** 2).mean()), smallest)
        logs = np.stack([
            np.log(1 - weight) - (scores - low) ** 2 / (2 * variance),
            np.log(weight) - (scores - high) ** 2 / (2 * variance),
        ])  # fmt: skip
        each = logsumexp(logs, axis=0)
        total = float(each.sum() - 0.5 * len(scores) * np.log(2 * np.pi * variance))
        chance = np.exp(logs[1] - each)
        if total - last < 1e-6:
            break
        last = total
    if low > high:
        low, high, weight = high, low, 1 - weight
    return total, (float(low), float(high), float(np.sqrt(variance)), float(weight))
