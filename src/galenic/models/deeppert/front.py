"""What happens to z-scores before a network sees them: covariates removed, genes standardised, principal components."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from galenic.data.checks import first
from galenic.nn.blocks import Project, Standardize

SPARE = 2
"""Profiles that must be left beyond the number of components."""


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
        values: np.ndarray,
        covariates: np.ndarray,
        genes: Sequence[str],
        *,
        n_components: int,
        scale_genes: bool = True,
        seed: int = 0,
    ) -> Self:
        """Learn from profiles ``(n, n_genes)`` and covariates to remove ``(n, n_covariates)``, of any width from 0.

        Raises
        ------
        ValueError
            If fewer than two genes vary.

        Warns
        -----
        UserWarning
            If some genes are constant.
        """
        constant = values.max(axis=0) == values.min(axis=0)
        _say_constant(constant, genes)
        usual = covariates.mean(axis=0, dtype=np.float64)
        effects = np.linalg.lstsq(covariates - usual, values - values.mean(axis=0, dtype=np.float64), rcond=None)[0]
        left = values - ((covariates - usual) @ effects).astype(np.float32)
        standard = Standardize(values.shape[1]).fit(left)
        mean, scale = standard.mean.numpy(), np.where(constant, 0, standard.scale.numpy()).astype(np.float32)
        scale = scale if scale_genes else (scale > 0).astype(np.float32)
        left -= mean
        left *= _inverse(scale)
        n = max(1, min(n_components, len(values) - SPARE, int((~constant).sum())))
        project = Project(values.shape[1], n).fit(left, seed=seed)
        scores = (left - project.mean.numpy()) @ project.components.numpy().T
        unit = np.sqrt((scores.astype(np.float64) ** 2).mean(keepdims=True)).reshape(1)
        return cls(
            mean,
            scale,
            effects.astype(np.float32),
            usual.astype(np.float32),
            project.components.numpy(),
            project.mean.numpy(),
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
