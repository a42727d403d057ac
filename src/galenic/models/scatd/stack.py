"""How start and networks are joined: a logistic regression on what they say of lines they did not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

PENALTY = 1.0
"""Inverse strength of the ridge on the two standardised scores."""


@dataclass(frozen=True)
class Stack:
    """``logit = intercept + start x s + network x f`` with start and network 0 or more.

    Attributes
    ----------
    start, network
        Weights of the two scores.
    share
        Of the spread of the logit that the networks bring, [0, 1]; 0 = they said nothing that the start did not.
    left_out
        Logits of the lines, from regressions that did not see them either.
    """

    start: float
    network: float
    intercept: float
    share: float
    left_out: np.ndarray


def joined(
    start: np.ndarray | None,
    network: np.ndarray | None,
    y: np.ndarray,
    fold: np.ndarray,
    rivals: Sequence[np.ndarray] = (),
) -> Stack:
    """Join two scores of left-out lines; networks count only where the left-out likelihood says so.

    Parameters
    ----------
    start, network
        Scores of the lines by members that did not see them, ``(n,)``; ``None``: there is no such part.
    y
        Labels, 1 or 0.
    fold
        Fold of each line; the regression is fitted without each in turn.
    rivals
        Scores of other starts, which networks have to beat as well to be heard.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> told = joined(y + rng.normal(size=200), rng.normal(size=200), y, np.arange(200) % 5)
    >>> told.share, told.start > 0
    (0.0, True)
    """
    if start is None or network is None:
        alone = start if network is None else network
        assert alone is not None
        weights, left_out = _crossed([alone], y, fold)
        known = (weights[0], 0.0) if network is None else (0.0, weights[0])
        return Stack(*known, weights[-1], float(network is not None and weights[0] > 0), left_out)
    one, said_by_one = _crossed([start], y, fold)
    two, said_by_two = _crossed([start, network], y, fold)
    without = [said_by_one, *(_crossed([rival], y, fold)[1] for rival in rivals)]
    gains = [_loss(said, y) - _loss(said_by_two, y) for said in without]
    # One standard error: noise of the networks must not be bought for nothing.
    if two[1] <= 0 or any(gain.mean() <= gain.std(ddof=1) / np.sqrt(len(gain)) for gain in gains):
        return Stack(one[0], 0.0, one[1], 0.0, said_by_one)
    spread = [two[0] * start.std(), two[1] * network.std()]
    return Stack(two[0], two[1], two[2], float(spread[1] / sum(spread)), said_by_two)


def _crossed(scores: list[np.ndarray], y: np.ndarray, fold: np.ndarray) -> tuple[list[float], np.ndarray]:
    """Weights and intercept from all lines, and left-out logits."""
    left_out = np.empty(len(y))
    for number in np.unique(fold):
        held = fold == number
        *weights, intercept = _fitted([score[~held] for score in scores], y[~held])
        left_out[held] = intercept + sum(weight * score[held] for weight, score in zip(weights, scores, strict=True))
    return _fitted(scores, y), left_out


def _fitted(scores: list[np.ndarray], y: np.ndarray) -> list[float]:
    """Weights of 0 or more, and the intercept."""
    scales = [max(float(score.std()), 1e-12) for score in scores]
    counts = list(range(len(scores)))
    weights = [0.0] * len(scores)
    while counts:
        x = np.stack([scores[number] / scales[number] for number in counts], axis=1)
        model = LogisticRegression(C=PENALTY, max_iter=1000).fit(x, y)
        if (model.coef_[0] >= 0).all():
            for number, weight in zip(counts, model.coef_[0], strict=True):
                weights[number] = float(weight) / scales[number]
            return [*weights, float(model.intercept_[0])]
        counts.pop(int(model.coef_[0].argmin()))
    return [*weights, float(np.log(y.mean() / (1 - y.mean())))]


def _loss(logit: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(np.logaddexp(0.0, np.where(y == 1, -logit, logit)))
