"""What perturbations with alike effects elsewhere did here: kernel regression of one excess on another."""

from __future__ import annotations

import numpy as np

from galenic.models.perturbation.known import Conditions, Known
from galenic.models.perturbation.linear import excess_elsewhere, own_excess

PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0)
LEAST, MOST = 20, 4000
"""Conditions of a context that a regression is learned from: fewer say nothing, more take too long."""


def learn(conditions: Conditions, known: Known) -> tuple[dict[str, np.ndarray], np.ndarray]:
    r"""Learn, in each context, what is special to a perturbation from what is special to it elsewhere.

    Kernel ridge regression of the excess :math:`r_{cp}` on :math:`d_{cp}` (see
    :class:`~galenic.models.perturbation.linear.ScaledShift`) with the cosine of :math:`d` as its kernel: one regression
    for all genes of a context, so that perturbations which resemble each other elsewhere lend each other what they did
    here. The penalty is the one of :data:`PENALTIES` with the least error on conditions left out.

    Returns
    -------
    arrays
        ``regression_inputs`` and ``regression_weights`` (n_learned, n_genes), ``regression_context`` (n_learned,) and
        ``regression_penalty``; no rows where no context has :data:`LEAST` conditions.
    left_out : ndarray, (n_conditions, n_genes)
        What the others predict for each condition; zeros where there is no regression.
    """
    inputs, able = inputs_of(conditions, known)
    own = own_excess(conditions, known)
    able &= np.isfinite(own).all(axis=1)
    groups = [np.flatnonzero(able & (conditions.context == code))[:MOST] for code in np.unique(conditions.context)]
    groups = [rows for rows in groups if len(rows) >= LEAST]
    left_out = np.zeros_like(inputs)
    solved = [_decomposed(inputs[rows]) for rows in groups]
    counts = [int((conditions.context == conditions.context[rows[0]]).sum()) for rows in groups]
    if not groups:
        none = np.zeros((0, inputs.shape[1]), dtype=np.float32)
        return _arrays(none, none, np.zeros(0, dtype=np.int64), 0.0), left_out
    errors = [
        sum(
            float(((own[rows] - _left_out(parts, own[rows], penalty, count)) ** 2).sum())
            for rows, parts, count in zip(groups, solved, counts, strict=True)
        )
        for penalty in PENALTIES
    ]
    penalty = PENALTIES[int(np.argmin(errors))]
    weights = []
    for rows, (vectors, values), count in zip(groups, solved, counts, strict=True):
        left_out[rows] = _left_out((vectors, values), own[rows], penalty, count)
        weights.append(vectors @ ((vectors.T @ own[rows]) / (values + penalty)[:, None]))
    rows = np.concatenate(groups)
    arrays = _arrays(inputs[rows], np.concatenate(weights), conditions.context[rows], penalty)
    return arrays, left_out


def predict(arrays: dict[str, np.ndarray], asked: Conditions, known: Known) -> np.ndarray:
    """Excess of the asked conditions by the regression of their context, ``(n_asked, n_genes)``.

    Zeros where the context has none, and where nothing is known of the perturbation elsewhere.
    """
    inputs, able = inputs_of(asked, known)
    result = np.zeros_like(inputs)
    for code in np.unique(arrays["regression_context"]):
        rows, own = np.flatnonzero(able & (asked.context == code)), arrays["regression_context"] == code
        similar = inputs[rows] @ arrays["regression_inputs"][own].T.astype(np.float64)
        result[rows] = similar @ arrays["regression_weights"][own].astype(np.float64)
    return result


def inputs_of(asked: Conditions, known: Known) -> tuple[np.ndarray, np.ndarray]:
    """What is special to the perturbation elsewhere, at length 1, ``(n_asked, n_genes)``; whether anything is."""
    parts = [excess_elsewhere(asked.take(rows), known)[:2] for rows in asked.blocks()]
    values, able = (np.concatenate(column) for column in zip(*parts, strict=True))
    lengths = np.linalg.norm(values, axis=1)
    able &= lengths > 0
    return values / np.where(lengths > 0, lengths, 1)[:, None], able


def _decomposed(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvectors and eigenvalues of the kernel."""
    values, vectors = np.linalg.eigh(inputs @ inputs.T)
    return vectors, np.maximum(values, 0)


def _left_out(parts: tuple[np.ndarray, np.ndarray], own: np.ndarray, penalty: float, count: int) -> np.ndarray:
    """Every row predicted from the others, without refitting.

    The excess of the others was taken over a mean of ``count - 1`` conditions that holds the row itself. It is taken
    over the mean of the rest, since what is said of a row may not know it.
    """
    vectors, values = parts
    shrunk = values / (values + penalty)
    leverage = np.minimum((vectors**2) @ shrunk, 1 - 1e-9)[:, None]

    def from_others(targets: np.ndarray) -> np.ndarray:
        fitted = vectors @ (shrunk[:, None] * (vectors.T @ targets))
        result: np.ndarray = (fitted - leverage * targets) / (1 - leverage)
        return result

    weights = from_others(np.ones((len(own), 1)))
    result: np.ndarray = ((count - 1) * from_others(own) + weights * own) * (count - 1) / (count * (count - 2))
    return result


def _arrays(inputs: np.ndarray, weights: np.ndarray, context: np.ndarray, penalty: float) -> dict[str, np.ndarray]:
    return {
        "regression_inputs": inputs.astype(np.float32),
        "regression_weights": weights.astype(np.float32),
        "regression_context": context.astype(np.int64),
        "regression_penalty": np.array([penalty]),
    }
