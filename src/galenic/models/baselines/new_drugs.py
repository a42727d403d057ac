"""A drug that was not fitted as a weighted sum of known ones, by its structure."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from galenic.data.checks import first
from galenic.data.drugs import fingerprints, similarity, tanimoto

N_BITS = 2048
NEIGHBOURS = 5
STRUCTURE_PENALTY = 0.3
"""Ridge penalty of the regression on structures, whose kernel is 1 for the drug itself."""


def neighbour_weights(smiles: pd.Series, known: pd.Series, k: int = NEIGHBOURS) -> np.ndarray:
    """Tanimoto weights of the ``k`` nearest known structures; equal weights where there is no structure."""
    asked_for, fitted = _structures(smiles, known)
    weights = np.full((len(smiles), len(known)), 1.0 / len(known))
    if len(fitted) == 0 or not asked_for.any():
        return weights
    similarity = tanimoto(
        fingerprints(smiles[asked_for], n_bits=N_BITS), fingerprints(known.iloc[fitted], n_bits=N_BITS)
    )
    k = min(k, len(fitted))
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    near = np.take_along_axis(similarity, nearest, axis=1) + 1e-6
    rows = np.zeros((len(similarity), len(known)))
    np.put_along_axis(rows, fitted[nearest], near / near.sum(axis=1, keepdims=True), axis=1)
    weights[asked_for] = rows
    return weights


def _structures(smiles: pd.Series, known: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Which of the new drugs have a structure (the others are named in a warning), and rows of the known that do."""
    asked_for = smiles.notna().to_numpy()
    if not asked_for.all():
        warnings.warn(
            f"{(~asked_for).sum():,} new drug(s) have no structure (first: {first(smiles.index[~asked_for])}); "
            "each is predicted as the average drug.",
            stacklevel=2,
        )
    if asked_for.any() and not known.notna().any():
        warnings.warn(
            f"none of the {len(known):,} drugs of fitting has a structure, so {asked_for.sum():,} new drug(s) are "
            "predicted as the average drug. Fit with a table of drugs (--drugs).",
            stacklevel=2,
        )
    return asked_for, np.flatnonzero(known.notna())


def kernel_weights(smiles: pd.Series, known: pd.Series) -> np.ndarray:
    r"""Kernel ridge regression on structures as weights of the known drugs, ``(n, n_known)``; rows sum to 1.

    With :math:`K` the similarity of the known structures, a new one weighs them by
    :math:`1/n + k^\top (K + \lambda I)^{-1} (I - 11^\top / n)`: the mean drug, and what its structure says beyond it.
    Equal weights where there is no structure.
    """
    asked_for, fitted = _structures(smiles, known)
    weights = np.full((len(smiles), len(known)), 1.0 / len(known))
    if len(fitted) == 0 or not asked_for.any():
        return weights
    structures, n = list(known.iloc[fitted]), len(fitted)
    inverse = np.linalg.inv(similarity(structures, structures) + STRUCTURE_PENALTY * np.eye(n))
    pull = similarity(list(smiles[asked_for]), structures) @ inverse
    rows = np.zeros((int(asked_for.sum()), len(known)))
    rows[:, fitted] = pull + (1 - pull.sum(axis=1, keepdims=True)) / n
    weights[asked_for] = rows
    return weights


def left_out_weights(known: pd.Series) -> np.ndarray:
    """:func:`kernel_weights` of each known drug when it is left out, all at once, ``(n_known, n_known)``."""
    n_known, has = len(known), np.flatnonzero(known.notna())
    weights = np.full((n_known, n_known), 1.0 / max(n_known - 1, 1))
    np.fill_diagonal(weights, 0.0)
    n = len(has)
    if n < 2:
        return weights
    structures = list(known.iloc[has])
    inverse = np.linalg.inv(similarity(structures, structures) + STRUCTURE_PENALTY * np.eye(n))
    # The inverse of a matrix without one row and column is known from the inverse of the whole.
    pull = -inverse / np.diag(inverse)[:, None]
    np.fill_diagonal(pull, 0.0)
    rest = (1 - pull.sum(axis=1, keepdims=True)) / (n - 1) * (1 - np.eye(n))
    weights[has] = 0.0
    weights[np.ix_(has, has)] = pull + rest
    return weights
