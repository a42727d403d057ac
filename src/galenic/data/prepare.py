"""From plates to z-scores, and from replicates to signatures."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.stats import rankdata

from galenic.data.checks import first, require_unique
from galenic.data.counts import counts_to_z
from galenic.data.gctx.metadata import as_text
from galenic.data.scores import (
    TO_DEVIATION,
    clipped,
    groups_of,
    require_levels,
    require_profile_columns,
    require_scores,
    robust_scores,
    scale_of,
    with_steps,
)

__all__ = ["counts_to_z", "modz", "replicate_weights", "robust_z"]

VEHICLE = "ctl_vehicle"
SMALLEST_WEIGHT = 0.01
BLOCK = 4 << 20
"""Values that are averaged at a time."""


def robust_z(
    adata: AnnData,
    *,
    by: str | Sequence[str] | None = "plate",
    against: Literal["population", "vehicle"] = "population",
    floor: float = 0.1,
    clip: float | None = 10.0,
    force: bool = False,
) -> AnnData:
    """Level 4 from level 3: how far each gene of a well lies from the wells of its plate.

    ``z = (x - median) / (1.4826 * max(MAD, floor))`` for each plate and gene.

    Parameters
    ----------
    adata
        Profiles x genes in log2 scale (level 3). It is not changed.
    by
        Columns of ``obs`` that tell the plates apart; None: all profiles are of one plate.
    against
        All wells of the plate, or its vehicle wells (``pert_type`` ``ctl_vehicle``).
    floor
        Smallest median absolute deviation, in the unit of ``X``: without it a gene that hardly varies would shout.
    clip
        Largest distance from 0 of a score; None: none.
    force
        Take values of which more than 5 % lie below 0, which are z-scores unless they are centred levels.

    Returns
    -------
    AnnData
        ``X`` float32; missing stays NaN. ``uns["steps"]`` says what was done.

    Raises
    ------
    ValueError
        If a column is missing, a profile has no plate, a plate has fewer than three wells to compare with, or the
        values are scores already.

    Warns
    -----
    UserWarning
        If every value is a whole number: rounded, so that a deviation is often 0 and the floor makes the scores.

    References
    ----------
    Subramanian et al. (2017), Cell 171, 1437.

    Examples
    --------
    >>> obs = pd.DataFrame({"plate": "A"}, index=["w1", "w2", "w3", "w4"])
    >>> adata = AnnData(np.array([[1.5], [2.5], [3.5], [9.5]], dtype="float32"), obs=obs)
    >>> robust_z(adata).X.ravel().astype(float).round(2).tolist()
    [-1.01, -0.34, 0.34, 4.38]
    """
    if against not in ("population", "vehicle"):
        raise ValueError(f"against should be 'population' or 'vehicle'; received {against!r}. Choose one.")
    reference = np.ones(adata.n_obs, dtype=bool)
    if against == "vehicle":
        require_profile_columns(adata.obs, ["pert_type"], "a table of profiles with vehicle wells")
        reference = as_text(adata.obs["pert_type"]) == VEHICLE
    if not force:
        require_levels(adata.X, "values to score within plates")
    what = "wells" if against == "population" else f"vehicle wells (pert_type {VEHICLE!r})"
    Z = np.empty(adata.shape, dtype=np.float32)
    for rows in groups_of(adata.obs, by, reference, what):
        values = np.asarray(adata.X[rows], dtype=np.float64)
        Z[rows] = robust_scores(values, values[reference[rows]], floor)
    plates = "all profiles" if by is None else f"each {by if isinstance(by, str) else ' and '.join(by)}"
    _warn_of_rounded(adata, Z, floor)
    step = f"robust z against the {against} of {plates}, deviation at least {floor}"
    return with_steps(AnnData(X=Z, obs=adata.obs.copy(), var=adata.var.copy()), adata, [step, *clipped(Z, clip)])


def modz(
    adata: AnnData, *, by: Sequence[str] = ("pert_id", "cell", "dose", "time"), clip: float | None = 10.0
) -> AnnData:
    """Level 5 from level 4: each set of replicates becomes one signature, in which replicates that agree count more.

    The weight of a replicate is its mean Spearman correlation with the others over the landmark genes; see
    :func:`replicate_weights`. Two replicates count the same; a single one stays itself.

    Parameters
    ----------
    adata
        Profiles x genes, z-scores (level 4). ``var["landmark"]`` where the genes are not all landmarks. It is not
        changed.
    by
        Columns of ``obs`` in which replicates agree; missing agrees with missing.
    clip
        Largest distance from 0 of a score; None: none.

    Returns
    -------
    AnnData
        Signatures x genes, in the order in which the sets appear. ``obs``: the columns in which every set agrees,
        ``n_replicates``, ``weights`` and ``profiles`` (of the replicates, separated by ``|``).

    Raises
    ------
    ValueError
        If a column is missing, there are no profiles, or fewer than 5 % of the values lie below 0: no z-scores.

    Notes
    -----
    cmapPy rounds weights to four digits before it averages; here they are not rounded. Genes that a replicate lacks do
    not count for the weights, and are averaged over the others.

    References
    ----------
    Subramanian et al. (2017), Cell 171, 1437.

    Examples
    --------
    >>> obs = pd.DataFrame({"pert_id": "BRD-A"}, index=["w1", "w2"])
    >>> adata = AnnData(np.array([[1.0, -2.0, 3.0], [3.0, -2.0, 1.0]], dtype="float32"), obs=obs)
    >>> modz(adata, by=["pert_id"]).X.tolist()
    [[2.0, -2.0, 2.0]]
    """
    by = [by] if isinstance(by, str) else list(by)
    require_profile_columns(adata.obs, by, "a table of replicates")
    if adata.n_obs == 0:
        raise ValueError("replicates should be averaged; there are no profiles. Keep some.")
    require_scores(adata.X, "replicates")
    groups = adata.obs.groupby(by, dropna=False, sort=False, observed=True)
    codes = groups.ngroup().to_numpy()
    order = np.argsort(codes, kind="stable")
    bounds = np.r_[0, np.cumsum(np.bincount(codes))]
    landmark = _landmarks(adata.var)
    X, weights = np.empty((len(bounds) - 1, adata.n_vars), dtype=np.float32), np.empty(adata.n_obs)
    for start, stop in _spans(bounds, max(1, BLOCK // max(adata.n_vars, 1))):
        rows = order[bounds[start] : bounds[stop]]
        values = np.asarray(adata.X[rows], dtype=np.float32)
        for i in range(start, stop):
            inside = slice(bounds[i] - bounds[start], bounds[i + 1] - bounds[start])
            weights[rows[inside]] = own = _weights(values[inside], landmark)
            X[i] = _average(values[inside], own)
    obs = _signatures(adata.obs, by, order, bounds, weights)
    step = f"MODZ of {adata.n_obs:,} profiles by {', '.join(by)}"
    return with_steps(AnnData(X=X, obs=obs, var=adata.var.copy()), adata, [step, *clipped(X, clip)])


def replicate_weights(correlation: np.ndarray) -> np.ndarray:
    """Weights of replicates from how they correlate with each other.

    Parameters
    ----------
    correlation
        ``(n, n)``, n at least 2; the diagonal is not read.

    Returns
    -------
    ndarray, (n,)
        Mean correlation with the others (negative ones are 0), at least 0.01, divided by its sum.

    Examples
    --------
    >>> replicate_weights(np.array([[1, 0.6, 0.2], [0.6, 1, -0.3], [0.2, -0.3, 1]])).round(3).tolist()
    [0.5, 0.375, 0.125]
    """
    n = len(correlation)
    positive = np.where(np.eye(n, dtype=bool), 0.0, np.clip(np.nan_to_num(correlation), 0.0, None))
    raw = np.maximum(positive.sum(axis=1) / (n - 1), SMALLEST_WEIGHT)
    return raw / raw.sum()


def _warn_of_rounded(adata: AnnData, Z: np.ndarray, floor: float) -> None:
    scale = scale_of(adata.X)
    if not (scale.known and scale.low < scale.high and scale.whole):
        return
    unit = 1 / (TO_DEVIATION * floor)
    far = float((np.abs(Z) >= 0.999 * unit).mean())
    warnings.warn(
        f"levels should have decimals; all {scale.known:,} values that were looked at are whole numbers ({scale.low:g} "
        f"to {scale.high:g}), so that where a deviation is 0 the floor of {floor:g} makes one unit a score of "
        f"{unit:.2f}: {far:.1%} of the scores are that far from 0 or farther. Take the levels before rounding, or a "
        "larger floor=.",
        stacklevel=3,
    )


def _weights(values: np.ndarray, landmark: np.ndarray) -> np.ndarray:
    n = len(values)
    if n <= 2:
        return np.full(n, 1.0 / n)
    known = landmark & ~np.isnan(values).any(axis=0)
    ranks = rankdata(values[:, known], axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    length = np.sqrt((ranks**2).sum(axis=1, keepdims=True))
    # A profile without any differences agrees with none; its length is 0.
    ranks = np.divide(ranks, length, out=np.zeros_like(ranks), where=length > 0)
    return replicate_weights(ranks @ ranks.T)


def _average(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    if known.all():
        return weights @ values
    total = weights @ known
    sums = weights @ np.where(known, values, 0.0)
    return np.divide(sums, total, out=np.full(values.shape[1], np.nan), where=total > 0)


def _landmarks(var: pd.DataFrame) -> np.ndarray:
    marked = var["landmark"].to_numpy(dtype=bool) if "landmark" in var else np.zeros(len(var), dtype=bool)
    return marked if marked.any() else np.ones(len(var), dtype=bool)


def _spans(bounds: np.ndarray, n_rows: int) -> Iterator[tuple[int, int]]:
    """Whole sets, as many at a time as fit in ``n_rows`` profiles."""
    start, last = 0, len(bounds) - 1
    while start < last:
        stop = max(start + 1, int(np.searchsorted(bounds, bounds[start] + n_rows, side="right")) - 1)
        yield start, stop
        start = stop


def _signatures(
    obs: pd.DataFrame, by: list[str], order: np.ndarray, bounds: np.ndarray, weights: np.ndarray
) -> pd.DataFrame:
    """One row a set: what its replicates agree in, and who they are."""
    codes = pd.DataFrame({name: pd.factorize(obs[name])[0][order] for name in obs}, index=range(len(obs)))
    sets = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    lead = order[bounds[:-1]]
    agree = [name for name in obs if bool((codes[name].to_numpy() == codes[name].to_numpy()[bounds[:-1]][sets]).all())]
    table = obs.iloc[lead][agree].copy()
    ids, texts = obs.index.astype(str).to_numpy()[order], np.char.mod("%.4f", weights[order])
    table["n_replicates"] = np.diff(bounds)
    table["weights"] = _joined(texts, bounds)
    table["profiles"] = _joined(ids, bounds)
    table.index = pd.Index([":".join(parts) for parts in zip(*(as_text(table[name]) for name in by), strict=True)])
    require_unique(table.index, f"ids of signatures, made of {first(by, 5)},")
    return table


def _joined(texts: np.ndarray, bounds: np.ndarray) -> list[str]:
    return ["|".join(texts[start:stop]) for start, stop in pairwise(bounds)]
