"""What happens to z-scores before a network sees them: covariates removed, genes standardised, principal components."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from galenic.data.checks import first
from galenic.models.deeppert.components import BLOCK, blocks, principal
from galenic.nn.blocks import Standardize

SPARE = 2
"""Profiles that must be left beyond the number of components."""
SINGULAR = 1e-10
"""Share of the largest variance of covariates below which a direction of theirs counts as none."""


@dataclass(frozen=True, eq=False)
class Left:
    """Rows of genes less what covariates explain, less a mean and times a factor: computed when they are asked for."""

    values: Any
    covariates: np.ndarray
    usual: np.ndarray
    effects: np.ndarray
    mean: Any = None
    factor: Any = None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of profiles and of genes."""
        return (len(self.covariates), self.effects.shape[1])

    def __getitem__(self, rows: slice) -> np.ndarray:
        left = np.asarray(self.values[rows], dtype=np.float32)
        left = left - ((self.covariates[rows] - self.usual) @ self.effects).astype(np.float32)
        if self.mean is not None:
            left -= self.mean
            left *= self.factor
        return left


@dataclass(frozen=True, eq=False)
class Deviations:
    """:meth:`Front.deviations` of profiles, computed when they are asked for."""

    values: Any
    covariates: np.ndarray
    front: Front

    def __len__(self) -> int:
        return len(self.covariates)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self.front.deviations(self.values[rows], self.covariates[rows])

    def scores(self) -> np.ndarray:
        """Component scores of all profiles, ``(n, n_components)`` float32."""
        found = np.empty((len(self), len(self.front.components)), dtype=np.float32)
        size = max(1, BLOCK // max(1, len(self.front.mean)))
        for start in range(0, len(self), size):
            found[start : start + size] = self.front.scores(self[start : start + size])
        return found


@dataclass(frozen=True)
class Front:
    """The linear part before every network: from profiles to component scores, and how genes enter these.

    Attributes
    ----------
    mean, scale
        Of genes, ``(n_genes,)``; scale is 0 for a constant gene.
    effects
        What a unit of each covariate adds to each gene, ``(n_covariates, n_genes)``; no rows where none is removed.
    usual
        Mean of each covariate, ``(n_covariates,)``.
    components, shift
        Loadings ``(n_components, n_genes)`` and the mean that they are taken from ``(n_genes,)``.
    unit
        Scores are divided by this number, so that networks see values of about 1, ``(1,)``.
    """

    mean: np.ndarray
    scale: np.ndarray
    effects: np.ndarray
    usual: np.ndarray
    components: np.ndarray
    shift: np.ndarray
    unit: np.ndarray

    @classmethod
    def fit(
        cls,
        values: Any,
        covariates: np.ndarray,
        genes: Sequence[str],
        *,
        n_components: int,
        scale_genes: bool = True,
        seed: int = 0,
    ) -> Self:
        """Learn from profiles ``(n, n_genes)`` and covariates to remove ``(n, n_covariates)``, of any width from 0.

        Profiles are an array, or anything that has a shape and gives rows for a slice; a block of rows is held at a
        time.

        Raises
        ------
        ValueError
            If fewer than two genes vary.

        Warns
        -----
        UserWarning
            If some genes are constant.
        """
        constant, centre = _seen(values)
        _say_constant(constant, genes)
        usual = covariates.mean(axis=0, dtype=np.float64)
        effects = _effects(values, centre, covariates - usual)
        standard = Standardize(len(centre)).fit(Left(values, covariates, usual, effects))
        mean, scale = standard.mean.numpy(), np.where(constant, 0, standard.scale.numpy()).astype(np.float32)
        scale = scale if scale_genes else (scale > 0).astype(np.float32)
        left = Left(values, covariates, usual, effects, mean, _inverse(scale))
        n = max(1, min(n_components, len(values) - SPARE, int((~constant).sum())))
        shift, components = principal(left, n, seed)
        squares = sum((((part - shift) @ components.T).astype(np.float64) ** 2).sum() for part in blocks(left))
        unit = np.sqrt([squares / (len(values) * n)])
        return cls(
            mean,
            scale,
            effects.astype(np.float32),
            usual.astype(np.float32),
            components,
            shift,
            unit.astype(np.float32),
        )

    def deviations(self, values: np.ndarray, covariates: np.ndarray) -> np.ndarray:
        """Genes less their mean (and what covariates explain), standardised: ``(n, n_genes)`` double precision."""
        values = values - self.mean.astype(np.float64)
        if len(self.effects):
            values -= (covariates - self.usual.astype(np.float64)) @ self.effects
        return np.asarray(values * _inverse(self.scale) - self.shift)

    def scores(self, deviations: np.ndarray) -> np.ndarray:
        """Component scores that networks see, ``(n, n_components)``."""
        return np.asarray(deviations @ self.matrix())

    def matrix(self) -> np.ndarray:
        """Scores for a unit of each deviation, ``(n_genes, n_components)``."""
        return np.asarray(self.components.T.astype(np.float64) / self.unit)


def _seen(values: Any) -> tuple[np.ndarray, np.ndarray]:
    """Which genes are constant, and the mean of each."""
    low, high, total = np.inf, -np.inf, np.zeros(values.shape[1])
    for part in blocks(values):
        low, high = np.minimum(low, part.min(axis=0)), np.maximum(high, part.max(axis=0))
        total += part.sum(axis=0, dtype=np.float64)
    return np.asarray(low == high), total / len(values)


def _effects(values: Any, centre: np.ndarray, covariates: np.ndarray) -> np.ndarray:
    """Least squares of genes on centred covariates, the shortest solution, ``(n_covariates, n_genes)``."""
    if not covariates.shape[1]:
        return np.zeros((0, len(centre)))
    products, start = np.zeros((covariates.shape[1], len(centre))), 0
    for part in blocks(values):
        products += covariates[start : start + len(part)].T @ (part - centre)
        start += len(part)
    return np.asarray(np.linalg.pinv(covariates.T @ covariates, rcond=SINGULAR, hermitian=True) @ products)


def _inverse(scale: np.ndarray) -> np.ndarray:
    return np.where(scale > 0, 1 / np.where(scale > 0, scale, 1), 0)


def _say_constant(constant: np.ndarray, genes: Sequence[str]) -> None:
    names = np.asarray(genes, dtype=object)[constant]
    if len(constant) - len(names) < 2:
        raise ValueError(
            f"at least two genes should vary over the profiles; {len(names):,} of {len(constant):,} are constant "
            f"(first: {first(names)}). Give more profiles, or check how they were made."
        )
    if len(names):
        warnings.warn(
            f"genes should vary over the profiles; {len(names):,} of {len(constant):,} are constant (first: "
            f"{first(names)}) and count for nothing. Drop them, or check how the profiles were made.",
            stacklevel=5,
        )
