"""The linear start of ScATD: ridge on the features that lines and cells share, and what its halves agree on."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

PENALTIES = np.logspace(-2, 2, 17)
"""Per line, for standardised features: from hardly any to one that leaves next to nothing."""
N_SPLITS = 100


def ridge(x: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    r"""Weights of ridge regression, with the largest penalty whose leave-one-out error is within one standard error.

    Parameters
    ----------
    x
        Standardised features, ``(n, n_features)``.
    y
        What to predict, ``(n,)``.
    weight
        Of each row, above 0.

    Returns
    -------
    weights, penalty
        ``(n_features + 1,)``, the last of them the intercept; and the penalty for each line.

    Notes
    -----
    With :math:`H = K (K + \lambda n I)^{-1}`, the left-out residual is :math:`(y_i - (Hy)_i) / (1 - H_{ii})`. The
    rule of one standard error (Breiman et al. 1984) rather than the best error: lines are not the cells that will be
    asked about, and directions along which lines hardly vary carry over least.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> ridge(x, x @ [1.0, 0.0, -1.0] + 5)[0].round(1).tolist()
    [1.0, 0.0, -1.0, 5.0]
    """
    weight = np.ones(len(y)) if weight is None else weight / weight.mean()
    root = np.sqrt(weight)[:, None]
    centre, level = np.average(x, axis=0, weights=weight), float(np.average(y, weights=weight))
    a, b = root * (x - centre), root[:, 0] * (y - level)
    values, vectors = np.linalg.eigh(a @ a.T)
    values, rotated = np.maximum(values, 0.0), vectors.T @ b
    errors = []
    for penalty in PENALTIES * len(y):
        shrunk = values / (values + penalty)
        left = (b - vectors @ (shrunk * rotated)) / np.maximum(
            1 - (vectors**2) @ shrunk - root[:, 0] ** 2 / len(y), 1e-9
        )
        errors.append(left**2)
    means = np.mean(errors, axis=1)
    lowest = int(means.argmin())
    allowed = means[lowest] + errors[lowest].std() / np.sqrt(len(y))
    best = float(PENALTIES[np.flatnonzero(means <= allowed).max()])
    return _weights(a, vectors, rotated, values, best * len(y), centre, level), best


def halves(
    x: np.ndarray, y: np.ndarray, line: np.ndarray, penalty: float, seed: int, n_splits: int = N_SPLITS
) -> np.ndarray:
    """Weights learned from disjoint halves of the cell lines, ``(n_splits, 2, n_features)``.

    Parameters
    ----------
    x, y
        Standardised features and what to predict.
    line
        Cell line of each row: its rows stay together.
    penalty
        Of the ridge, for each line.
    seed, n_splits
        Of the draws, and their number.
    """
    names, codes = np.unique(line, return_inverse=True)
    rng = np.random.default_rng([seed, 7])
    found = np.empty((n_splits, 2, x.shape[1]))
    for number in range(n_splits):
        first = np.isin(codes, rng.permutation(len(names))[: len(names) // 2])
        for side, rows in enumerate((first, ~first)):
            part, numbers = x[rows] - x[rows].mean(axis=0), y[rows] - y[rows].mean()
            kernel = part @ part.T + penalty * len(numbers) * np.eye(len(numbers))
            found[number, side] = part.T @ np.linalg.solve(kernel, numbers)
    return found


def agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Mean correlation over cells of the scores that two halves of the lines give, ``(n_cells, n_splits)`` each.

    Examples
    --------
    >>> scores = np.arange(4.0)[:, None]
    >>> round(agreement(scores, 2 * scores), 3), round(agreement(scores, -scores), 3)
    (1.0, -1.0)
    """
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    size = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    known = size > 0
    return float(((first * second).sum(axis=0)[known] / size[known]).mean()) if known.any() else 0.0


def sign_confidence(agreed: float) -> float:
    r"""Chance that the direction learned from all lines is right, from how much halves agree.

    Where cells differ along one axis, two halves correlate by +1 or -1. A half that is right with the chance
    :math:`q` agrees with another on average by :math:`r = (2q - 1)^2`; with a normal error of the direction, all lines,
    twice as many, are right with :math:`\Phi(\sqrt 2\,\Phi^{-1}(q))`.

    What only the domain of the cells turns round (a gene that means something else there) it cannot see.

    Examples
    --------
    >>> round(sign_confidence(0.0), 2), round(sign_confidence(0.25), 2), round(sign_confidence(0.81), 2)
    (0.5, 0.83, 0.99)
    """
    right = (1 + np.sqrt(np.clip(agreed, 0.0, 1.0))) / 2
    return float(ndtr(np.sqrt(2) * ndtri(min(right, 1 - 1e-9))))


def _weights(
    a: np.ndarray,
    vectors: np.ndarray,
    rotated: np.ndarray,
    values: np.ndarray,
    penalty: float,
    centre: np.ndarray,
    level: float,
) -> np.ndarray:
    """Weights and intercept out of the dual solution."""
    found = a.T @ (vectors @ (rotated / (values + penalty)))
    return np.append(found, level - centre @ found)
