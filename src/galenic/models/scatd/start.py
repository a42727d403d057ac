"""The linear start of ScATD: a direction in the features that lines and cells share, and what its halves agree on."""

from __future__ import annotations

from typing import Literal

import numpy as np

Start = Literal["ridge", "centroid"]

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


def direction(kind: Start, x: np.ndarray, y: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Weights and intercept whose score is higher for sensitive lines, ``(n_features + 1,)``.

    Parameters
    ----------
    kind
        ``"ridge"``: of the response, turned round; ``"centroid"``: from the mean of resistant lines to that of
        sensitive ones, which is ridge on labels with a penalty beyond all bounds.
    x
        Standardised features, ``(n, n_features)``.
    y, response
        Labels, 1 = sensitive, and responses, lower = more sensitive.

    Examples
    --------
    >>> x = np.array([[0.0, 1.0], [2.0, 1.0]])
    >>> direction("centroid", x, np.array([0, 1]), np.array([1.0, 0.0])).tolist()
    [2.0, 0.0, -2.0]
    """
    if kind == "ridge":
        return -ridge(x, response)[0]
    low, high = x[y == 0].mean(axis=0), x[y == 1].mean(axis=0)
    return np.append(high - low, -(high - low) @ (high + low) / 2)


def halves(
    kind: Start,
    x: np.ndarray,
    y: np.ndarray,
    response: np.ndarray,
    line: np.ndarray,
    seed: int,
    n_splits: int = N_SPLITS,
) -> np.ndarray:
    """Weights learned from disjoint halves of the cell lines, ``(n_splits, 2, n_features)``.

    Parameters
    ----------
    kind, x, y, response
        As for :func:`direction`. The penalty of the ridge is that of all lines.
    line
        Cell line of each row: its rows stay together. Both halves have lines of each class.
    seed, n_splits
        Of the draws, and their number.
    """
    names, where, codes = np.unique(line, return_index=True, return_inverse=True)
    penalty = ridge(x, response)[1] if kind == "ridge" else 0.0
    rng = np.random.default_rng([seed, 7])
    found = np.empty((n_splits, 2, x.shape[1]))
    for number in range(n_splits):
        half = np.zeros(len(names), dtype=bool)
        for one in (0, 1):
            members = rng.permutation(np.flatnonzero(y[where] == one))
            half[members[: (len(members) + number % 2) // 2]] = True
        for side, rows in enumerate((half[codes], ~half[codes])):
            if kind == "centroid":
                found[number, side] = direction(kind, x[rows], y[rows], response[rows])[:-1]
                continue
            part, numbers = x[rows] - x[rows].mean(axis=0), response[rows].mean() - response[rows]
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
    r"""Chance that the direction learned from all lines is right, from how much their halves agree.

    Where cells differ along one axis, the two halves place it at :math:`a` and :math:`b` and all lines at
    :math:`t = a + b`, which has a normal error of the size of :math:`a - b`. Halves point the same way where
    :math:`|a - b| < |t|`: over random halves with the chance :math:`2\Phi(z) - 1` for :math:`z = |t| / \sigma`, so
    that their mean correlation is :math:`r = 4\Phi(z) - 3`, and the chance that the sign of :math:`t` is right, with
    nothing known before, is :math:`\Phi(z) = (3 + r) / 4`.

    What only the domain of the cells turns round (a gene that means something else there) it cannot see. Where labels
    say nothing it is spread evenly between 0.5 and 1, as 1 less half a p-value.

    Examples
    --------
    >>> [sign_confidence(agreed) for agreed in (-1.0, 0.0, 0.8, 1.0)]
    [0.5, 0.75, 0.95, 1.0]
    """
    return (3 + float(np.clip(agreed, -1.0, 1.0))) / 4


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
