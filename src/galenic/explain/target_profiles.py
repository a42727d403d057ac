"""What tells genes apart in their weights on latent variables, once what all genes share is taken away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

NULL_GENES = 1500
"""Genes, drawn at random from more, whose pairs are the null."""


@dataclass(frozen=True)
class Profiles:
    """Residual profiles of genes; made by :func:`residual_profiles`.

    Attributes
    ----------
    rows
        ``(n_genes, n_variables)``, rows of length 1; a gene with no residual has a row of zeros.
    genes
        Their names.
    shares
        Share of the variance in each component before anything is taken away, ``(n_variables,)``.
    n_shared
        Leading components that were taken away.
    """

    rows: np.ndarray
    genes: pd.Index
    shares: np.ndarray
    n_shared: int

    @property
    def effective_rank(self) -> float:
        """How many directions the latent variables span: :func:`effective_rank` of ``shares``."""
        return effective_rank(self.shares)

    @property
    def residual_rank(self) -> float:
        """The same of what is left."""
        return effective_rank(self.shares[self.n_shared :])


def effective_rank(shares: np.ndarray) -> float:
    """Number of directions in use: ``exp(-sum p ln p)``, p the shares of variance (Roy and Vetterli, EUSIPCO 2007).

    Examples
    --------
    >>> effective_rank(np.ones(5)), round(effective_rank(np.array([0.99, 0.01])), 2)
    (5.0, 1.06)
    """
    p = shares[shares > 0] / shares.sum()
    return round(float(np.exp(-(p * np.log(p)).sum())), 12)


def residual_profiles(weights: pd.DataFrame, n_shared: int | None = None) -> Profiles:
    """Profiles of genes over latent variables, less what all variables say together.

    Each variable is replaced by normal scores of its ranks over the genes, ``Phi^-1((rank - 1/2) / n)``, ties at their
    mean, and set to variance 1. With ``Z = U S V'`` the residual is ``sum_{k > n_shared} u_k s_k v_k'``, its rows set
    to length 1.

    Parameters
    ----------
    weights
        Genes x latent variables, finite.
    n_shared
        Leading components to take away, at most ``n_variables - 2``. ``None``: as long as the first of those that are
        left holds half of their variance or more.

    Returns
    -------
    Profiles

    Notes
    -----
    Ranks make it independent of the unit and of any monotone change of a variable. The largest gene of every variable
    is not far from the others, as it is after scaling to 0..1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> common = rng.normal(size=(200, 1))
    >>> found = residual_profiles(pd.DataFrame(common + 0.1 * rng.normal(size=(200, 6))))
    >>> found.n_shared, found.effective_rank < 1.2, found.residual_rank > 4
    (1, True, True)
    """
    values = weights.to_numpy(dtype=np.float64)
    z = stats.norm.ppf((stats.rankdata(values, axis=0) - 0.5) / len(values))
    spread = z.std(axis=0)
    z = (z - z.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    if z.shape[1] < 2:
        raise ValueError(
            f"profiles of genes need two latent variables that differ between genes; received {weights.shape[1]:,}, of "
            f"which {z.shape[1]:,} do. Take more latent variables, or the published procedure."
        )
    u, s, v = np.linalg.svd(z, full_matrices=False)
    shares = s**2 / (s**2).sum()
    most = len(s) - 2
    if n_shared is None:
        n_shared, left = 0, shares[::-1].cumsum()[::-1]
        while n_shared < most and shares[n_shared] >= 0.5 * left[n_shared]:
            n_shared += 1
    elif not 0 <= n_shared <= most:
        raise ValueError(
            f"n_shared should be 0 to {most}, two fewer than the latent variables; received {n_shared}. Correct it."
        )
    residual = (u[:, n_shared:] * s[n_shared:]) @ v[n_shared:]
    length = np.linalg.norm(residual, axis=1, keepdims=True)
    # What rounding leaves of a gene that is nothing but shared has no direction.
    there = length > 1e-9 * np.linalg.norm(z, axis=1, keepdims=True).max()
    return Profiles(np.where(there, residual / np.where(there, length, 1.0), 0.0), weights.index, shares, n_shared)


def random_pairs(profiles: Profiles, seed: int = 0) -> np.ndarray:
    """|cosine| of pairs of genes taken at random, sorted: what the label of a gene is worth.

    All pairs of genes, or those of ``NULL_GENES`` genes drawn with ``seed`` where there are more.
    """
    rows = profiles.rows
    if len(rows) > NULL_GENES:
        rows = rows[np.random.default_rng(seed).choice(len(rows), NULL_GENES, replace=False)]
    i, j = np.triu_indices(len(rows), 1)
    return np.sort(np.abs((rows @ rows.T)[i, j]))


def exceeded(null: np.ndarray, values: np.ndarray) -> np.ndarray:
    """P-value of each value: ``(1 + null values at least as large) / (1 + null values)``; ``null`` is sorted.

    Examples
    --------
    >>> exceeded(np.array([0.1, 0.2, 0.3]), np.array([0.25, 0.5]))
    array([0.5 , 0.25])
    """
    # A pair is among the random ones too, but for rounding.
    at_least = len(null) - np.searchsorted(null, values - 1e-12, side="left")
    return np.asarray((1 + at_least) / (1 + len(null)))
