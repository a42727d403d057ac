"""Low-rank linear effects: factors of contexts and of perturbations, mapped to genes by ridge regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.linalg import eigh

from galenic.data.checks import first, require_file, require_unique
from galenic.data.condition_means import ConditionMeans
from galenic.data.perturbation import PerturbationColumns, parts_of
from galenic.models.fields import param
from galenic.models.perturbation.floors import Floor
from galenic.models.perturbation.known import Conditions, Known, compare
from galenic.models.perturbation.linear import excess_elsewhere, own_excess, usual
from galenic.models.perturbation.perturbation_model import measured
from galenic.work.near import nearest_name

RANKS = (1, 2, 3, 5, 10, 20, 50)
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
MOST_CONTEXT_FACTORS = 3


@dataclass(kw_only=True, repr=False)
class LowRankEffect(Floor):
    r"""Control + mean effect of the context + a low-rank linear map of factors of the perturbation and the context.

    .. math:: \hat e_{cp} = \bar e_{c,-p} + G\, W\, [z_{cp},\ u_c \otimes z_{cp}]

    The columns of :math:`G` (genes x rank) are the principal axes of what is special to the training conditions (see
    :class:`~galenic.models.perturbation.linear.ScaledShift`), :math:`z_{cp}` the coordinates on them of what is special
    to the perturbation in the other contexts, or its row in ``factors``, and :math:`u_c` the leading principal
    components of the mean controls. :math:`W` is found by ridge regression.

    Parameters
    ----------
    rank
        Number of axes, and of factors of a perturbation; None = chosen among 1 to 50.
    penalty
        Of the ridge, in units of the mean squared size of its inputs; None = chosen among 0.01 to 1000.

    Notes
    -----
    Both are chosen by the error on training conditions, each left out of the regression in turn (in closed form).
    A condition that was in the fit has been learned from. After Ahlmann-Eltze, Huber and Anders, Nature Methods 22
    (2025), whose ``Y = G W P' + b`` has no contexts: there b is the mean over all perturbations, and P is
    given or, for perturbed genes, their rows of G.

    Examples
    --------
    >>> from galenic.data.simulate import perturbations
    >>> adata = perturbations(n_contexts=3, n_perturbations=12, n_genes=20)
    >>> held_out = (adata.obs["cell_type"] == "type A") & (adata.obs["perturbation"] == "P03")
    >>> model = LowRankEffect().fit(adata[~held_out].copy())
    >>> predicted = model.predict(adata, pd.DataFrame({"context": ["type A"], "perturbation": ["P03"]}))
    >>> predicted.shape, predicted.obs["n_sources"].tolist()
    ((1, 20), [2])
    """

    rank: int | None = param(None, low=1)
    penalty: float | None = param(None, low=0)

    def fit(
        self,
        adata: AnnData,
        *,
        context: str = "cell_type",
        perturbation: str = "perturbation",
        control: str = "control",
        dose: str | None = None,
        factors: pd.DataFrame | str | Path | None = None,
        valid: AnnData | None = None,
        n_jobs: int = 1,
        device: str = "cpu",
        progress: bool = False,
        checkpoint: str | Path | None = None,
    ) -> Self:
        """Learn from treated cells and controls; all but ``factors`` is as for every model of perturbations.

        Parameters
        ----------
        adata
            Cells or profiles x genes, logs. Not changed.
        context, perturbation, control, dose
            Columns of ``obs``.
        factors
            Numbers that describe perturbations, from elsewhere (another data set, structures, a language model):
            index = perturbation, one column a number; or a CSV file of that form. A combination is the sum of its
            parts. None = what the perturbation did in other contexts.
        valid, n_jobs, device, progress, checkpoint
            Not used.

        Raises
        ------
        ValueError
            If ``factors`` knows none of the perturbations, repeats some, or holds missing values; or as for every
            model.
        """
        return self._fit(adata, context, perturbation, control, dose, factors=_read(factors))

    def _learn(
        self, adata: AnnData, columns: PerturbationColumns, means: ConditionMeans, spec: dict[str, Any], **how: Any
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        conditions, known = compare(spec, measured(means), None)
        arrays = context_factors(known.controls)
        if how["factors"] is not None:
            names, arrays["factors"] = _reduced(how["factors"], set(columns.perturbations))
            spec = spec | {"factor_names": names}
        own = own_excess(conditions, known)
        inputs, able, _ = self._inputs(conditions, known, spec, arrays)
        rows = np.flatnonzero(able & np.isfinite(own).all(axis=1))
        spec = spec | {"rank": 0, "penalty": 0.0, "interaction": False}
        if len(rows) < 3:
            return spec, arrays
        axes = principal_axes(own[rows], max(RANKS) if self.rank is None else self.rank)
        z = inputs[rows] if "factors" in arrays else inputs[rows] @ axes
        u = context_scores(known.controls, arrays)[conditions.context[rows]]
        rank, penalty, interaction = self._chosen(z, u, own[rows], axes)
        X = crossed(z[:, :rank], u, interaction)
        weights = ridge(X, own[rows] @ axes[:, :rank], penalty)
        return spec | {"rank": rank, "penalty": penalty, "interaction": interaction}, arrays | {
            "axes": axes[:, :rank],
            "weights": weights,
        }

    def _chosen(self, z: np.ndarray, u: np.ndarray, own: np.ndarray, axes: np.ndarray) -> tuple[int, float, bool]:
        """Rank, penalty and whether contexts have maps of their own, with the least error on conditions left out."""
        Y = own @ axes
        ranks = [rank for rank in RANKS if rank <= axes.shape[1]] if self.rank is None else [axes.shape[1]]
        penalties = PENALTIES if self.penalty is None else (self.penalty,)
        errors = {}
        for rank in ranks:
            beyond = float((Y[:, rank:] ** 2).sum())
            for interaction in (False, True) if u.shape[1] else (False,):
                left_out = leave_one_out(crossed(z[:, :rank], u, interaction), Y[:, :rank], penalties)
                for penalty, error in zip(penalties, left_out, strict=True):
                    errors[rank, penalty, interaction] = error + beyond
        return min(errors, key=lambda key: errors[key])

    def _inputs(
        self, asked: Conditions, known: Known, spec: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What says which perturbation it is: its excess elsewhere, over genes, or its factors; whether it is there."""
        if "factors" not in arrays:
            parts = [excess_elsewhere(asked.take(rows), known) for rows in asked.blocks()]
            values, able, count = (np.concatenate(column) for column in zip(*parts, strict=True))
            return values, able, count
        places = pd.Index(spec["factor_names"])
        found = [places.get_indexer(pd.Index(parts_of(name))) for name in asked.names]
        able = np.array([(rows >= 0).all() for rows in found], dtype=bool)
        return np.array([arrays["factors"][rows].sum(axis=0) for rows in found]), able, np.zeros(len(asked), dtype=int)

    def _effects(
        self, asked: Conditions, known: Known, controls: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        inputs, able, count = self._inputs(asked, known, self.spec_, self.arrays_)
        if self.spec_["rank"] == 0:
            return np.zeros_like(controls), count, np.zeros(len(asked), dtype=bool)
        axes = self.arrays_["axes"]
        z = inputs if "factors" in self.arrays_ else inputs @ axes
        u = context_scores(controls, self.arrays_)
        X = crossed(z[:, : self.spec_["rank"]], u, self.spec_["interaction"])
        return usual(asked, known) + X @ self.arrays_["weights"] @ axes.T, count, able


def context_factors(controls: np.ndarray) -> dict[str, np.ndarray]:
    """Leading principal axes of mean controls, for :func:`context_scores`; none where there is one context."""
    mean = controls.mean(axis=0)
    _, sizes, axes = np.linalg.svd(controls - mean, full_matrices=False)
    n = min(MOST_CONTEXT_FACTORS, len(controls) - 1, int((sizes > 1e-6 * max(sizes[0], 1e-9)).sum()))
    return {"context_mean": mean, "context_axes": axes[:n].T / np.maximum(sizes[:n], 1e-12) * np.sqrt(len(controls))}


def context_scores(controls: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Scores of contexts, variance 1 over those of the fit, ``(n, n_factors)``."""
    # A context far outside those of the fit would be extrapolated without bound.
    return np.clip((controls - arrays["context_mean"]) @ arrays["context_axes"], -2, 2)


def principal_axes(values: np.ndarray, most: int) -> np.ndarray:
    """Leading right singular vectors, ``(n_columns, n)``, of which there are at most ``most``."""
    # By the smaller of the two products: thousands of conditions x thousands of genes take seconds.
    tall = len(values) > values.shape[1]
    product = values.T @ values if tall else values @ values.T
    squares, vectors = eigh(product, subset_by_index=[max(0, len(product) - most), len(product) - 1])
    squares, vectors = squares[::-1], vectors[:, ::-1]
    n = max(1, min(len(values) - 1, int((squares > 1e-10 * max(squares[0], 1e-20)).sum())))
    axes = vectors[:, :n] if tall else values.T @ vectors[:, :n]
    result: np.ndarray = axes / np.maximum(np.linalg.norm(axes, axis=0), 1e-12)
    return result


def crossed(z: np.ndarray, u: np.ndarray, interaction: bool) -> np.ndarray:
    """``[z, u (x) z]``, ``(n, n_z (1 + n_u))``; without interaction ``z`` alone."""
    products = (u[:, :, None] * z[:, None, :]).reshape(len(z), -1)
    return np.concatenate([z, products], axis=1) if interaction else z


def ridge(X: np.ndarray, Y: np.ndarray, penalty: float) -> np.ndarray:
    """``(X'X + a I)^-1 X'Y`` with ``a`` = penalty x mean squared singular value of X, by its decomposition."""
    left, sizes, right = np.linalg.svd(X, full_matrices=False)
    amount = max(penalty * (sizes**2).mean(), 1e-12)
    result: np.ndarray = right.T @ ((sizes / (sizes**2 + amount))[:, None] * (left.T @ Y))
    return result


def leave_one_out(X: np.ndarray, Y: np.ndarray, penalties: Sequence[float]) -> list[float]:
    """Sum of squared errors of every row predicted from the others, for each penalty, without refitting."""
    left, sizes, _ = np.linalg.svd(X, full_matrices=False)
    rotated, errors = left.T @ Y, []
    for penalty in penalties:
        shrunk = sizes**2 / (sizes**2 + max(penalty * (sizes**2).mean(), 1e-12))
        leverage = (left**2) @ shrunk
        residual = (Y - left @ (shrunk[:, None] * rotated)) / np.maximum(1 - leverage, 1e-9)[:, None]
        errors.append(float((residual**2).sum()))
    return errors


def _read(factors: pd.DataFrame | str | Path | None) -> pd.DataFrame | None:
    """Factors as a table of numbers by perturbation; checked."""
    if factors is None:
        return None
    if isinstance(factors, (str, Path)):
        factors = pd.read_csv(
            require_file(factors, "factors of perturbations"), index_col=0, float_precision="round_trip"
        )
    if not isinstance(factors, pd.DataFrame):
        raise TypeError(
            f"factors should be a DataFrame with the perturbations as its index, or a CSV file; received "
            f"{type(factors).__name__}. Name the rows: pd.DataFrame(array, index=perturbations)."
        )
    table = factors.set_axis(factors.index.astype(str), axis=0)
    require_unique(table.index, "perturbations of the factors")
    values = table.to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = ~np.isfinite(values).all(axis=1)
    if wrong.any() or not values.size:
        raise ValueError(
            f"factors should be finite numbers; {int(wrong.sum()):,} of {len(table):,} rows hold others (first: "
            f"{first(table.index[wrong])}). Fill or leave out those rows."
        )
    return pd.DataFrame(values, index=table.index)


def _reduced(factors: pd.DataFrame, perturbations: set[str]) -> tuple[list[str], np.ndarray]:
    """Names, and principal components of the standardised factors, by the perturbations that were fitted."""
    singles = {part for name in perturbations for part in parts_of(name)}
    known = factors.index.isin(singles)
    if not known.any():
        some = sorted(singles)
        raise ValueError(
            f"factors should know the perturbations of the fit (first: {first(some)}); they know none (first: "
            f"{first(factors.index)}){nearest_name(some[0], factors.index)} Use the same kind of names."
        )
    values = factors.to_numpy()
    spread = values[known].std(axis=0)
    scaled = (values - values[known].mean(axis=0)) / np.where(spread > 0, spread, 1)
    return factors.index.tolist(), scaled @ principal_axes(scaled[known], max(RANKS))
