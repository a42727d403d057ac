"""What the latents of many members agree on: signs aligned, clustered, averaged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from galenic.explain.clusters import align_signs, choose_k, g_means, k_means
from galenic.models.deeppert.latents import Latents

ALL, SOME = 20, 16
"""Where stability chooses the number of clusters: all up to the first are tried, and so many larger ones."""


@dataclass(frozen=True)
class Consensus:
    """Which latents belong together.

    Attributes
    ----------
    labels
        Dimension of the ensemble that each latent is part of, ``(n_latents,)``; -1 for one that is idle (constant) or
        shared by no other member.
    signs
        1 or -1, by which each latent is multiplied before averaging.
    centre, deviation
        What is subtracted from each latent, and what it is divided by.
    agreement
        Mean correlation of each latent with the others of its dimension, signs aligned; NaN where it has none.
    link
        Strongest absolute correlation of each latent with one of another member; NaN where it is idle or there is none.
    curve
        Stability by number of clusters, where it chose.
    """

    labels: np.ndarray
    signs: np.ndarray
    centre: np.ndarray
    deviation: np.ndarray
    agreement: np.ndarray
    link: np.ndarray
    curve: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        # One that comes from a file would else ask for a matrix of any size.
        if len(self.labels) and not -1 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.labels):
            raise ValueError(
                f"latents should be part of one of as many dimensions as there are latents at most; received "
                f"{len(self.labels):,} labels from {self.labels.min()} to {self.labels.max()}. Fit the model again."
            )

    @property
    def n(self) -> int:
        """Number of dimensions."""
        return int(self.labels.max()) + 1

    def mixing(self) -> np.ndarray:
        """What each latent adds to each dimension, ``(n_latents, n)``: ``(latents - centre) @ mixing``."""
        weight = np.where(self.labels >= 0, self.signs / self.deviation, 0.0)
        return averaging(self.labels, self.n) * weight[:, None]


def averaging(labels: np.ndarray, n: int) -> np.ndarray:
    """Matrix ``(n_latents, n)`` that averages columns within each cluster: ``columns @ averaging(...)``.

    Examples
    --------
    >>> np.array([[1.0, 3.0, 7.0]]) @ averaging(np.array([0, 0, 1]), 2)
    array([[2., 7.]])
    """
    member = (labels[:, None] == np.arange(n)).astype(np.float64)
    return np.asarray(member / np.maximum(member.sum(axis=0), 1))


def consensus(
    latents: np.ndarray | Latents,
    owners: np.ndarray,
    *,
    n_consensus: int | None = None,
    choose: str = "stability",
    shared: float = 0.5,
    min_leaf: int = 3,
    merge: float = 0.9,
    align: bool = True,
    seed: int = 0,
) -> Consensus:
    """Cluster latents and say how each enters the average of its cluster.

    Parameters
    ----------
    latents
        Of all members side by side, ``(n_profiles, n_latents)``, or what gives them block by block.
    owners
        Number of the member that each is of.
    n_consensus
        Number of clusters; chosen by ``choose`` where ``None``.
    choose
        "stability" or "g-means" (see :mod:`galenic.explain.clusters`).
    shared
        Latents whose ``link`` is below this are set aside before clustering.
    min_leaf
        Fewest latents that G-means splits off.
    merge
        Clusters whose averages correlate this much become one, unless their number is given.
    align
        Standardise latents and align their signs; otherwise they are clustered and averaged as they are.
    seed
        Of the halvings behind stability.

    Raises
    ------
    ValueError
        If no latent is shared, or fewer than clusters.
    """
    latents = latents if isinstance(latents, Latents) else Latents(latents)
    centre, deviation = latents.moments()
    active = deviation > 1e-9
    link = _links(latents, active, centre, deviation, owners)
    used_by = active & ~(link < shared)
    _require_latents(n_consensus, active, used_by, shared)
    if not align:
        centre, deviation = np.zeros_like(centre), np.ones_like(deviation)
    deviation = np.where(active, deviation, 1)
    gram = latents.products(used_by, centre, deviation)
    signs = align_signs(gram) if align else np.ones(len(gram))
    gram = gram * signs * signs[:, None]
    found, curve = _clustered(_points(gram), owners[used_by], n_consensus, choose, min_leaf, seed)
    if n_consensus is None and merge < 1:
        found = _merged(gram, found, merge)
    found, average = _arranged(gram, found)
    if align:
        # Each dimension is turned so that its extremes are positive.
        turned = latents.cubes(used_by, centre, deviation, signs[:, None] * average)
        signs = signs * np.where(turned < 0, -1.0, 1.0)[found]
    labels, all_signs, agreement = np.full(len(active), -1), np.ones(len(active)), np.full(len(active), np.nan)
    labels[used_by], all_signs[used_by] = found, signs
    agreement[used_by] = _agreement(gram, found)
    return Consensus(labels, all_signs, centre, deviation, agreement, link, curve)


def _links(
    latents: Latents, active: np.ndarray, centre: np.ndarray, deviation: np.ndarray, owners: np.ndarray
) -> np.ndarray:
    """Strongest absolute correlation of each latent with one of another member."""
    link = np.full(len(active), np.nan)
    own = owners[active]
    if len(np.unique(own)) > 1:
        r = np.abs(latents.products(active, centre, deviation))
        link[active] = np.where(own[:, None] == own, 0, r).max(axis=1)
    return link


def _require_latents(n: int | None, active: np.ndarray, used: np.ndarray, shared: float) -> None:
    if not used.any() or (n or 1) > used.sum():
        raise ValueError(
            f"a consensus of {n or 'some'} dimensions needs that many latents that vary and that two members share "
            f"(correlation {shared:g} or more); received {len(active)}, of which {int(active.sum())} vary and "
            f"{int(used.sum())} are shared. Fit more members, train longer, or lower shared or beta."
        )


def _points(gram: np.ndarray) -> np.ndarray:
    """Points with these inner products: distances as between the latents, in fewer dimensions."""
    squares, axes = np.linalg.eigh(gram)
    kept = squares > 1e-10 * squares[-1]
    return np.asarray(axes[:, kept] * np.sqrt(squares[kept]))


def _clustered(
    points: np.ndarray, owners: np.ndarray, n: int | None, choose: str, min_leaf: int, seed: int
) -> tuple[np.ndarray, pd.DataFrame | None]:
    if n is not None:
        return k_means(points, n), None
    if choose == "g-means":
        return g_means(points, min_leaf=min_leaf), None
    highest = max(2, len(points) // 4)
    more = np.geomspace(min(ALL, highest), highest, SOME).round().astype(int).tolist()
    candidates = sorted({*range(2, min(ALL, highest) + 1), *more})
    n, curve = choose_k(points, candidates, groups=owners, seed=seed)
    return k_means(points, n), curve


def _merged(gram: np.ndarray, labels: np.ndarray, merge: float) -> np.ndarray:
    """Join the two clusters whose averages correlate most, until none do as much as ``merge``."""
    labels = labels.copy()
    while labels.max() > 0:
        average = averaging(labels, labels.max() + 1)
        inner = average.T @ gram @ average
        lengths = np.sqrt(np.maximum(np.diag(inner), 1e-300))
        r = np.triu(inner / lengths / lengths[:, None], 1)
        a, b = divmod(int(r.argmax()), len(r))
        if r[a, b] < merge:
            break
        labels = np.where(labels == b, a, labels)
        labels = np.unique(labels, return_inverse=True)[1]
    return labels


def _arranged(gram: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Clusters in the order of how many latents agree how well, and the matrix that averages each."""
    n = int(labels.max()) + 1
    average = averaging(labels, n)
    common = np.diag(average.T @ gram @ average) * np.bincount(labels, minlength=n)
    order = np.argsort(-common, kind="stable")
    rank = np.empty(n, dtype=int)
    rank[order] = np.arange(n)
    return rank[labels], average[:, order]


def _agreement(gram: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean correlation of each latent with the others of its cluster."""
    lengths = np.sqrt(np.maximum(np.diag(gram), 1e-300))
    r = gram / lengths / lengths[:, None]
    same = (labels[:, None] == labels) & ~np.eye(len(labels), dtype=bool)
    n = same.sum(axis=1)
    return np.where(n > 0, (r * same).sum(axis=1) / np.maximum(n, 1), np.nan)
