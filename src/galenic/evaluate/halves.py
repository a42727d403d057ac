"""Ceilings of perturbation scores: how well one half of the measurements predicts the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from galenic.evaluate.checks import labels, require_columns
from galenic.evaluate.perturbation import TOP, perturbation_by_condition
from galenic.evaluate.perturbation_splits import control_rows

CORRELATIONS = ("pearson_delta", "spearman_delta", "cosine_delta")


def split_half(
    X: Any,
    table: pd.DataFrame,
    *,
    contexts: str = "context",
    perturbations: str = "perturbation",
    control: str = "control",
    replicates: str | None = None,
    top: Sequence[int] = TOP,
    distance: str = "l1",
    n_splits: int = 10,
    seed: int = 0,
) -> pd.DataFrame:
    """Score one random half of the cells (or replicates) against the other, as if it were a prediction.

    Parameters
    ----------
    X
        Expression, ``(n_cells, n_genes)``, dense or scipy sparse, treated and control.
    table
        One row a cell or well: ``obs`` of an AnnData.
    contexts, perturbations
        Its columns.
    control
        The value of ``perturbations`` in control rows, or a boolean column that marks them.
    replicates
        Column of the replicate (plate, donor, batch). Whole replicates of a context, with their controls, then go to
        one half. By default single cells are halved, which leaves what a plate or donor has in common on both sides:
        the ceiling is then too high.
    top, distance
        As in :func:`perturbation`.
    n_splits
        Number of random halvings; each condition's scores are averaged over them.
    seed
        Of the halvings.

    Returns
    -------
    pandas.DataFrame
        ``group, metric, value, full, ceiling, n``, one row a metric. ``value`` is the mean over the n conditions that
        have cells and controls in both halves, half against half. For correlations ``full`` is the agreement to
        expect of two *full* measurements and ``ceiling`` what a predictor that knew the truth would reach against one.

    Raises
    ------
    ValueError
        For missing columns, arrays that disagree, or no condition with both halves.

    Notes
    -----
    Controls are halved too: effects of one half are differences from its own controls, else the noise of common
    controls would pass for agreement. The second half's effect is added to the first half's control.

    Spearman-Brown: two measurements of twice the size agree ``2 r / (1 + r)`` where halves agree r; a predictor
    without noise correlates with one of them the square root of that (see :func:`~galenic.evaluate.summary`).
    Both hold for independent errors, and are applied to the mean correlation. Errors (``mae``) of one half against
    the other are larger than a perfect model's against all cells: by about sqrt(2) for the halves and sqrt(2) for the
    two noisy sides, where noise is all there is.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"context": "K562", "perturbation": ["control"] * 40 + ["KLF1"] * 40})
    >>> X = rng.normal(size=(80, 30)) + np.outer(table["perturbation"] == "KLF1", rng.normal(size=30))
    >>> scores = split_half(X, table, top=[5])
    >>> bool(scores.set_index("metric").loc["pearson_delta", "ceiling"] > 0.95)
    True
    """
    require_columns(table, [contexts, perturbations], "a ceiling of halves: the table of cells")
    X = X.tocsr() if sparse.issparse(X) else np.asarray(X)
    if X.ndim != 2 or X.shape[0] != len(table):
        raise ValueError(
            f"X should hold a row a row of the table, ({len(table):,}, n_genes); received {X.shape}. "
            "Take both from the same AnnData."
        )
    is_control = control_rows(table, perturbations, control)
    cells = pd.DataFrame({"context": labels(table, contexts, "a ceiling of halves").to_numpy()})
    cells["perturbation"] = labels(table, perturbations, "a ceiling of halves").to_numpy()
    cells.loc[is_control, "perturbation"] = ""  # however the controls are called, one group a context
    groups = cells.groupby(["context", "perturbation"]).ngroup().to_numpy()
    conditions = cells.drop_duplicates().sort_values(["context", "perturbation"], ignore_index=True)
    units = None if replicates is None else labels(table, replicates, "a ceiling of halves").to_numpy()
    scores = []
    for rng in np.random.default_rng(seed).spawn(n_splits):
        half = _halves(cells["context"].to_numpy(), groups, units, rng)
        found = _two(X, groups, half, conditions)
        if found is not None:
            chosen, *arrays = found
            scores.append(perturbation_by_condition(chosen, *arrays, top=top, distance=distance))
    if not scores:
        raise ValueError(
            f"halves need a condition with two {'replicates' if replicates else 'cells'} or more, and as many controls "
            f"in its context; none of {len(conditions):,} has them. "
            + ("Leave replicates out to halve cells." if replicates else "Average less before.")
        )
    return _averaged(pd.concat(scores, ignore_index=True))


def _halves(contexts: np.ndarray, groups: np.ndarray, units: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """0 or 1 for each cell: random halves of each condition's cells, or of each context's replicates."""
    if units is None:
        return _alternate(groups, rng)
    keys = pd.DataFrame({"context": contexts, "unit": units})
    number = keys.groupby(["context", "unit"]).ngroup().to_numpy()
    unique = keys.drop_duplicates().sort_values(["context", "unit"])
    return _alternate(pd.factorize(unique["context"])[0], rng)[number]


def _alternate(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Deal the members of each group to 0 and 1 in random order, starting with either."""
    order = np.lexsort((rng.random(len(groups)), groups))
    starts = np.flatnonzero(np.append(True, np.diff(groups[order]) != 0)) if len(order) else order
    within = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    half = np.empty(len(groups), dtype=np.intp)
    half[order] = (within + np.repeat(rng.integers(2, size=len(starts)), np.diff(np.append(starts, len(order))))) % 2
    return half


def _two(X: Any, groups: np.ndarray, half: np.ndarray, conditions: pd.DataFrame) -> tuple[Any, ...] | None:
    """The conditions that both halves have, their mean in the first, as predicted by the second, and control."""
    n = len(conditions)
    counts = np.bincount(2 * groups + half, minlength=2 * n).reshape(n, 2)
    means = means_of(X, 2 * groups + half, 2 * n).reshape(n, 2, -1)
    is_control = (conditions["perturbation"] == "").to_numpy()
    controls = pd.Series(np.flatnonzero(is_control), index=conditions["context"][is_control])
    control = controls.reindex(conditions["context"]).to_numpy()
    known = ~is_control & (counts > 0).all(axis=1) & ~np.isnan(control)
    known[known] = (counts[control[known].astype(np.intp)] > 0).all(axis=1)
    if not known.any():
        return None
    reference = means[control[known].astype(np.intp)]
    prediction = reference[:, 0] + means[known, 1] - reference[:, 1]
    return conditions[known], means[known, 0], prediction, reference[:, 0]


def means_of(X: Any, groups: np.ndarray, n_groups: int) -> np.ndarray:
    """Mean expression of each group of cells, ``(n_groups, n_genes)``; 0 for a group without cells.

    Examples
    --------
    >>> means_of(np.array([[1.0], [3.0], [5.0]]), np.array([0, 0, 1]), 2)
    array([[2.],
           [5.]])
    """
    weights = 1 / np.bincount(groups, minlength=n_groups)[groups]
    member = sparse.csr_matrix((weights, (groups, np.arange(len(groups)))), shape=(n_groups, len(groups)))
    means = member @ X
    return np.asarray(means.toarray() if sparse.issparse(means) else means, dtype=np.float64)


def _averaged(scores: pd.DataFrame) -> pd.DataFrame:
    by_condition = scores.drop(columns="n_others").groupby(["context", "perturbation"]).mean()
    table = pd.DataFrame(
        {"group": "all", "metric": by_condition.columns, "value": by_condition.mean().to_numpy(), "full": np.nan}
    )
    r = table["value"].where(table["metric"].str.startswith(CORRELATIONS))
    table["full"] = 2 * r / (1 + r)
    table["ceiling"] = np.sqrt(table["full"].where(table["full"] >= 0))
    return table.assign(n=by_condition.notna().sum().to_numpy())
