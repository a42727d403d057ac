"""Ranks of matches among non-matches, and the scores that follow; every routine is vectorised over queries."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.special import digamma

from galenic.evaluate.metrics import ranks

BINS = 65_536
TOGETHER = 16  # queries whose bins are counted together: these then stay in the processor's cache
AT = (1, 5, 10)


class Ranked(NamedTuple):
    """Where the matches of some queries rank: one entry a match.

    ``query`` (integers from 0), ``above`` and ``equal`` = non-matches of the query with higher and with the same
    similarity, ``own`` = rank among the query's matches from 1, ties sharing their mean rank. ``n_negatives`` is
    the number of non-matches of each query, ``(n_queries,)``.
    """

    query: np.ndarray
    above: np.ndarray
    equal: np.ndarray
    own: np.ndarray
    n_negatives: np.ndarray

    @property
    def quantile(self) -> np.ndarray:
        """Share of the query's non-matches with higher similarity, ties half; 0 is best; NaN without non-matches."""
        with np.errstate(invalid="ignore"):
            return (self.above + self.equal / 2) / self.n_negatives[self.query]

    @property
    def position(self) -> np.ndarray:
        """Rank among matches and non-matches from 1; ties share their mean rank."""
        return self.own + self.above + self.equal / 2


def ranked(similarity: np.ndarray, match: np.ndarray, other: np.ndarray, *, exact: bool = True) -> Ranked:
    """Rank the matches of each query among its non-matches.

    Parameters
    ----------
    similarity
        Of queries and profiles, higher = more alike, ``(n_queries, n)``, finite.
    match, other
        Matches and non-matches of each query, boolean ``(n_queries, n)``.
    exact
        Sort every row. Otherwise count non-matches in 65,536 equal bins between their lowest and highest similarity;
        those in the bin of a match count as ties. A quantile is then off by at most half the share of non-matches
        in one bin, about 3e-5 for bell-shaped similarities.

    Notes
    -----
    Memory: one copy of ``similarity`` (exact), or a few rows of it and 65,536 counts for each of 16 queries.
    """
    query, columns = np.nonzero(match)
    values = similarity[query, columns]
    n_negatives = other.sum(axis=1)
    count = _sorted_counts if exact else _binned_counts
    above, equal = count(similarity, other, n_negatives, query, values)
    return Ranked(query, above, equal, ranks(-values, query), n_negatives)


def average_precision(found: Ranked, n_queries: int) -> np.ndarray:
    """Mean over the matches of a query of the precision at their position, ``(n_queries,)``; NaN without a match.

    Ties share their mean rank: a match counts the matches and half of the others that tie with it as above itself, so
    that the order of the rows does not matter. Without ties it equals ``sklearn.metrics.average_precision_score``.
    """
    with np.errstate(invalid="ignore"):
        return np.bincount(found.query, found.own / found.position, n_queries) / np.bincount(
            found.query, minlength=n_queries
        )


def expected_average_precision(n_positives: np.ndarray, n_negatives: np.ndarray) -> np.ndarray:
    """Average precision of a random ranking, exactly: ``(H + (M - 1) / (L - 1) (L - H)) / L``.

    Parameters
    ----------
    n_positives, n_negatives
        Matches M and non-matches of a query; L is their sum and H the L-th harmonic number.

    Notes
    -----
    A match stands at each place k with chance M / L, and then each of the k - 1 before it is a match with chance
    (M - 1) / (L - 1): the mean of (1 + (k - 1)(M - 1) / (L - 1)) / k over k = 1..L.

    Examples
    --------
    >>> expected_average_precision(np.array([1, 2]), np.array([1, 0]))
    array([0.75, 1.  ])
    """
    matches = np.asarray(n_positives, dtype=np.float64)
    total = matches + np.asarray(n_negatives, dtype=np.float64)
    harmonic = digamma(total + 1) + np.euler_gamma
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total > 1, (matches - 1) / (total - 1), 0.0)
        return np.where(matches > 0, (harmonic + share * (total - harmonic)) / total, np.nan)


def found_at(found: Ranked, n_queries: int, k: int) -> np.ndarray:
    """Number of matches of each query whose position is at most ``k``, ``(n_queries,)``."""
    return np.bincount(found.query[found.position <= k], minlength=n_queries)


def pooled_auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Share of (positive, negative) couples in which the positive is higher, ties half, from two histograms.

    Parameters
    ----------
    positive, negative
        Counts in the same bins, in ascending order, ``(n_bins,)``.
    """
    below = np.cumsum(negative) - negative / 2
    with np.errstate(invalid="ignore"):
        return float(np.divide(positive @ below, positive.sum() * float(negative.sum())))


def _sorted_counts(
    similarity: np.ndarray, other: np.ndarray, n_negatives: np.ndarray, query: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Non-matches above and equal to each value, by one sort of all rows and a bisection for all values at once."""
    ordered = np.where(other, similarity, np.inf)
    ordered.sort(axis=1)
    below, up_to = (_bisected(ordered, n_negatives, query, values, side) for side in (np.less, np.less_equal))
    return n_negatives[query] - up_to, up_to - below


def _bisected(
    ordered: np.ndarray, lengths: np.ndarray, query: np.ndarray, values: np.ndarray, goes_right: np.ufunc
) -> np.ndarray:
    """``np.searchsorted`` of each value in the row of its query."""
    low, high = np.zeros(len(query), dtype=np.intp), lengths[query].astype(np.intp)
    for _ in range(int(lengths.max(initial=0)).bit_length()):
        middle = (low + high) // 2
        right = (low < high) & goes_right(ordered[query, np.minimum(middle, ordered.shape[1] - 1)], values)
        low, high = np.where(right, middle + 1, low), np.where(right, high, middle)
    return low


def _binned_counts(
    similarity: np.ndarray, other: np.ndarray, n_negatives: np.ndarray, query: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Non-matches in higher bins and in the bin of each value, a few queries at a time."""
    above, equal = np.empty((2, len(query)), dtype=np.intp)
    bounds = np.searchsorted(query, np.arange(0, len(similarity) + TOGETHER, TOGETHER))
    for at, (first, last) in enumerate(pairwise(bounds)):
        rows, own = slice(at * TOGETHER, (at + 1) * TOGETHER), slice(first, last)
        found = _binned(similarity[rows], other[rows], query[own] - at * TOGETHER, values[own])
        above[own], equal[own] = n_negatives[query[own]] - found[0], found[0] - found[1]
    return above, equal


def _binned(
    similarity: np.ndarray, other: np.ndarray, query: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Non-matches up to and including the bin of each value, and below it.

    Non-matches fill bins 1 to BINS - 3; a value below or above all of them falls into the empty bin next to these; the
    last bin takes what is not counted.
    """
    low = similarity.min(axis=1, where=other, initial=np.inf)
    high = similarity.max(axis=1, where=other, initial=-np.inf)
    low, high = (np.where(high >= low, edge, 0).astype(np.float64) for edge in (low, high))
    # Where all non-matches are equal they fill one bin, and any other similarity lies far outside of it.
    scale = (BINS - 4) / np.where(high > low, high - low, 1e-30)
    bins = similarity - low[:, None]
    bins *= scale[:, None]
    bins[~other] = BINS - 2
    numbers = bins.astype(np.intp)
    numbers += np.arange(1, len(bins) * BINS, BINS)[:, None]
    counts = np.bincount(numbers.ravel(), minlength=bins.shape[0] * BINS).reshape(-1, BINS)
    np.cumsum(counts, axis=1, out=counts)
    own = np.clip(np.floor((values - low[query]) * scale[query]) + 1, 0, BINS - 2).astype(np.intp)
    return counts[query, own], np.where(own > 0, counts[query, np.maximum(own - 1, 0)], 0)
