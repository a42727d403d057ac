"""Connectivity scores of the Connectivity Map: gene sets against ranked reference profiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from galenic.search.checks import first, matrix

BLOCK = 2_048  # reference profiles at a time: what one gene set needs of them then stays in the processor's cache
ROUNDING = 1e-9  # deviations this close are equal: many are fractions with the denominator n_genes - n_set
RANKED = 4_000_000  # z-scores ranked at a time: bounds memory at about 100 MB beyond input and result


@dataclass(frozen=True)
class RankedProfiles:
    """Reference profiles ranked once, stored gene by gene so that a gene set is read as whole rows.

    Parameters
    ----------
    ranks
        Place of each gene in each profile, 0 = highest z-score, ``uint16 (n_genes, n_profiles)``. Equal z-scores
        keep the order of the genes.
    weights
        Absolute z-scores, ``float16`` or ``float32 (n_genes, n_profiles)``.

    Examples
    --------
    >>> RankedProfiles.of(np.array([[2.0, -3.0, 0.5]])).ranks.ravel().tolist()
    [0, 2, 1]
    """

    ranks: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, profiles: np.ndarray) -> RankedProfiles:
        """Rank profiles, ``(n_profiles, n_genes)`` of finite z-scores and at most 65,536 genes.

        The result takes 6 bytes a z-score, or 4 where they are given as float16.

        Parameters
        ----------
        profiles
            z-scores.
        """
        profiles = np.asarray(profiles)
        if profiles.ndim == 2 and not 2 <= profiles.shape[1] <= 2**16:
            raise ValueError(
                f"reference profiles should have 2 to 65,536 genes; received {profiles.shape[1]:,}. "
                "Pass profiles x genes."
            )
        precision = np.float16 if profiles.dtype == np.float16 else np.float32
        shape = profiles.shape[::-1]
        ranks, weights = np.empty(shape, dtype=np.uint16), np.empty(shape, dtype=precision)
        size = max(1, RANKED // max(shape[0], 1))
        places = np.arange(shape[0], dtype=np.uint16)
        for start in range(0, len(profiles), size):
            block = matrix(profiles[start : start + size], "reference profiles")
            own = np.empty(block.shape, dtype=np.uint16)
            order = np.argsort(-block, axis=1, kind="stable")
            np.put_along_axis(own, order, np.broadcast_to(places, block.shape), axis=1)
            ranks[:, start : start + size] = own.T
            weights[:, start : start + size] = np.abs(block).T
        return cls(ranks, weights)

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return len(self.ranks)

    def __len__(self) -> int:
        """Number of profiles."""
        return self.ranks.shape[1]


def gene_sets(profiles: np.ndarray, n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """The ``n`` highest and the ``n`` lowest genes of each profile, as two ``(n_profiles, n)`` of gene numbers.

    50 + 50 suit the 978 landmark genes, 150 + 150 the 10,174 genes of the full space. Equal z-scores keep the order
    of the genes.

    Parameters
    ----------
    profiles
        z-scores, ``(n_profiles, n_genes)``.
    n
        Genes of each side; at most half of all.

    Examples
    --------
    >>> gene_sets(np.array([[0.1, 5.0, -2.0, 1.0]]), 1)
    (array([[1]]), array([[2]]))
    """
    profiles = matrix(profiles, "profiles")
    if not 1 <= n <= profiles.shape[1] // 2:
        raise ValueError(
            f"the sets should hold between 1 and half of the {profiles.shape[1]:,} genes; received n = {n:,}. "
            "50 suit landmark genes."
        )
    order = np.argsort(-profiles, axis=1, kind="stable")
    return order[:, :n], order[:, : -n - 1 : -1]


def enrichment_scores(reference: RankedProfiles, sets: Sequence[np.ndarray]) -> np.ndarray:
    """Enrichment score of each gene set in each profile, in [-1, 1]: ``(n_sets, n_profiles)``, float64.

    Parameters
    ----------
    reference
        The profiles.
    sets
        Numbers of the genes of each set, each gene once.

    Returns
    -------
    numpy.ndarray
        1 where the set is on top of the profile, -1 where it is at the bottom. NaN where all genes of the set have
        z = 0.

    Notes
    -----
    Going down the ranked genes a sum rises by ``|z| / (sum of |z| over the set)`` at a gene of the set and falls by
    ``1 / (n_genes - n_set)`` at any other; the score is its largest deviation from 0, with its sign, the positive one
    where both are equal (Subramanian et al., PNAS 2005, p = 1). The sum has its maxima right after and its minima right
    before genes of the set, so only those are computed. Rank and weight travel through one sort as the upper and lower
    half of a 64-bit integer.

    Examples
    --------
    >>> reference = RankedProfiles.of(np.array([[3.0, 2.0, 1.0, -1.0, -2.0]]))
    >>> enrichment_scores(reference, [np.array([0, 1]), np.array([4])]).round(2).ravel().tolist()
    [1.0, -1.0]
    """
    chosen = [_checked(genes, reference.n_genes, at) for at, genes in enumerate(sets)]
    result = np.empty((len(chosen), len(reference)))
    for block in _blocks(len(reference)):
        for row, genes in enumerate(chosen):
            result[row, block] = _scores(
                reference.ranks[genes, block], reference.weights[genes, block], reference.n_genes
            )
    return result


def wtcs(
    reference: RankedProfiles, up: Sequence[np.ndarray] | None = None, down: Sequence[np.ndarray] | None = None
) -> np.ndarray:
    """Weighted connectivity score of each query with each profile, in [-1, 1]: ``(n_queries, n_profiles)``, float64.

    Parameters
    ----------
    reference
        The profiles.
    up, down
        Numbers of the genes that each query raises and lowers, one array a query. With one of the two left out the
        score is the enrichment of the other (of ``down``, minus it).

    Returns
    -------
    numpy.ndarray
        ``(ES_up - ES_down) / 2`` where the two have different signs, else 0. Positive: the profile mimics the query.

    Notes
    -----
    Subramanian et al., Cell 2017. Memory beyond the result: a few megabytes.

    Examples
    --------
    >>> reference = RankedProfiles.of(np.array([[3.0, 1.0, -1.0, -3.0], [-3.0, -1.0, 1.0, 3.0]]))
    >>> wtcs(reference, [np.array([0])], [np.array([3])])
    array([[ 1., -1.]])
    """
    given = [sets for sets in (up, down) if sets is not None]
    if not given or len({len(sets) for sets in given}) > 1:
        raise ValueError(
            f"connectivity needs one set of raised and one of lowered genes a query, or one of the two; received "
            f"{[len(sets) for sets in given]} sets. Give lists of the same length."
        )
    if up is None or down is None:
        return enrichment_scores(reference, given[0]) * (1 if down is None else -1)
    scores = enrichment_scores(reference, [*up, *down])
    raised, lowered = scores[: len(up)], scores[len(up) :]
    differ = np.sign(raised) != np.sign(lowered)  # also where one is NaN, which stays
    return np.where(differ, (raised - lowered) / 2, 0.0)


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, n, BLOCK))


def _checked(genes: np.ndarray, n_genes: int, at: int) -> np.ndarray:
    """Gene numbers of one set, ascending."""
    chosen = np.unique(np.asarray(genes, dtype=np.intp))
    outside = chosen[(chosen < 0) | (chosen >= n_genes)]
    if not 0 < len(chosen) < n_genes or len(outside) or len(chosen) != np.size(genes):
        raise ValueError(
            f"a gene set should hold 1 to {n_genes - 1:,} different numbers from 0 to {n_genes - 1:,}; set {at} has "
            f"{np.size(genes):,} entries, {len(chosen):,} different, {len(outside):,} out of range (first: "
            f"{first(outside)}). Look genes up in the reference's gene table."
        )
    return chosen


def _scores(ranks: np.ndarray, weights: np.ndarray, n_genes: int) -> np.ndarray:
    """Enrichment score of one set in a block of profiles, ``(n_profiles,)``; both arrays ``(n_set, n_profiles)``."""
    n_set = len(ranks)
    packed = ranks.T.astype(np.uint64, order="C")
    packed <<= np.uint64(32)
    packed |= weights.T.astype(np.float32, order="C").view(np.uint32)
    packed.sort(axis=1)
    sizes = (packed & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.float32)
    risen = np.cumsum(sizes, axis=1, dtype=np.float64)
    total = risen[:, -1:].copy()
    # Before the i-th gene of the set (from 0) stand its rank - i other genes.
    fallen = ((packed >> np.uint64(32)).astype(np.float64) - np.arange(n_set)) / (n_genes - n_set)
    with np.errstate(invalid="ignore"):
        risen /= total
    risen -= fallen
    highest = risen.max(axis=1)
    with np.errstate(invalid="ignore"):
        risen -= sizes / total
    lowest = risen.min(axis=1)
    return np.where(highest >= -lowest - ROUNDING, highest, lowest)
