"""Rankings of target pairs judged: known pairs among the first, and what chance gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from galenic.explain.target_pairs import first, known_matrix, of_disease, read_known

STEPS = tuple(range(10, 101, 10))


@dataclass(frozen=True)
class Match:
    """What :func:`match_known` returns.

    Attributes
    ----------
    table
        ``disease, n, listed, hits, rate, expected, low, high, p_value``, one row an n: known pairs among the first
        ``listed = min(n, pairs in the list)``, their share, how many chance gives with its 95 % range, and the chance
        of so many or more (hypergeometric).
    n_candidates, n_pairs, n_known
        Candidates, pairs of them, and known ones among these.
    base_rate
        ``n_known / n_pairs``.
    auroc, average_precision
        Of the list over all pairs of candidates; pairs that are not listed stand below it, all tied.
    p_permutation
        Share of shuffles of the candidates' labels with an AUROC at least as high, (1 + k) / (1 + shuffles).
    """

    table: pd.DataFrame
    n_candidates: int
    n_pairs: int
    n_known: int
    base_rate: float
    auroc: float
    average_precision: float
    p_permutation: float


def match_known(
    pairs: pd.DataFrame,
    known: pd.DataFrame,
    disease: str,
    candidates: Sequence[str],
    *,
    steps: Sequence[int] = STEPS,
    n_permutations: int = 999,
    seed: int = 0,
) -> Match:
    """Compare a ranked list of pairs with the known pairs of a disease, and with chance.

    Parameters
    ----------
    pairs
        ``gene_a, gene_b`` in any case, best first; with ``score``, equal scores are ties. Each pair once.
    known
        Known pairs: ``gene_a, gene_b, disease``.
    disease
        One of them.
    candidates
        All genes that could have been paired; chance is drawn from their pairs.
    steps
        Lengths of the list at which known pairs are counted.
    n_permutations
        Shuffles of the labels of the candidates. They keep how often each gene stands in known pairs, which the
        hypergeometric test does not.
    seed
        Of the shuffles.

    Returns
    -------
    Match

    Raises
    ------
    ValueError
        If the disease is unknown, a pair is not of candidates or stands twice, or n_permutations is below 1.

    Notes
    -----
    Candidates that come from the known pairs of the disease make every list look good; only what exceeds ``expected``
    counts.

    Examples
    --------
    >>> known = pd.DataFrame({"gene_a": ["A", "A"], "gene_b": ["B", "C"], "disease": "x"})
    >>> pairs = pd.DataFrame({"gene_a": ["a", "b", "a"], "gene_b": ["b", "d", "c"]})
    >>> found = match_known(pairs, known, "x", ["A", "B", "C", "D"], steps=[1, 3])
    >>> found.table[["n", "hits", "expected", "p_value"]].round(3).to_numpy().tolist()
    [[1.0, 1.0, 0.333, 0.333], [3.0, 2.0, 1.0, 0.2]]
    >>> found.auroc
    0.875
    """
    if n_permutations < 1 or not len(steps) or min(steps) < 1:
        raise ValueError(
            f"n_permutations and every step should be 1 or more; received {n_permutations} and {list(steps)}. "
            "999 and 10, 20, ... are usual."
        )
    of, name = of_disease(read_known(known), disease)
    genes = list(dict.fromkeys(str(gene).upper() for gene in candidates))
    truth = known_matrix(of, genes)
    scores, listed = _as_matrix(pairs, genes)
    i, j = np.triu_indices(len(genes), 1)
    n_known = int(truth[i, j].sum())
    n = np.asarray(steps)
    lengths = np.minimum(n, len(listed))
    found = np.concatenate([[0], np.cumsum(truth[listed[:, 0], listed[:, 1]])])
    chance = stats.hypergeom(len(i), n_known, lengths)
    table = pd.DataFrame({
        "disease": name, "n": n, "listed": lengths, "hits": found[lengths],
        "rate": found[lengths] / np.maximum(lengths, 1), "expected": lengths * n_known / len(i),
        "low": chance.ppf(0.025), "high": chance.ppf(0.975), "p_value": chance.sf(found[lengths] - 1),
    })  # fmt: skip
    auroc, p_value = permuted_auroc(scores, truth, n_permutations, np.random.default_rng(seed))
    precision = average_precision(truth[i, j], scores[i, j])
    return Match(table, len(genes), len(i), n_known, n_known / len(i), auroc, precision, p_value)


def _as_matrix(pairs: pd.DataFrame, genes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Scores ``(n, n)``, 0 where not listed, and the places of the listed pairs in their order ``(m, 2)``."""
    places = pd.Index(genes)
    listed = np.column_stack([places.get_indexer(pairs[name].astype(str).str.upper()) for name in ("gene_a", "gene_b")])
    strange = pairs[(listed < 0).any(axis=1) | (listed[:, 0] == listed[:, 1])]
    if len(strange):
        raise ValueError(
            f"every pair should be of two of the {len(genes):,} candidates; {len(strange):,} of {len(pairs):,} are not "
            f"(first: {first(strange['gene_a'] + '-' + strange['gene_b'])}). Name all candidates."
        )
    keys = np.sort(listed, axis=1)
    twice = len(keys) - len(np.unique(keys, axis=0))
    if twice:
        raise ValueError(f"each pair should be listed once; {twice:,} of {len(pairs):,} rows repeat one. Drop these.")
    # Places count from the end, so that what is not listed stands below; equal scores share their mean place.
    place = -np.arange(len(pairs), dtype=np.float64)
    place = stats.rankdata(pairs.get("score", place))
    scores = np.zeros((len(genes), len(genes)))
    scores[listed[:, 0], listed[:, 1]] = scores[listed[:, 1], listed[:, 0]] = place
    return scores, listed


def permuted_auroc(
    scores: np.ndarray, truth: np.ndarray, n_permutations: int, rng: np.random.Generator
) -> tuple[float, float]:
    """AUROC, and the share of shuffles of gene labels in which it is at least as high; NaN where there is no AUROC."""
    i, j = np.triu_indices(len(scores), 1)
    ranks = np.zeros_like(scores)
    ranks[i, j] = stats.rankdata(scores[i, j])
    ranks += ranks.T
    a, b = np.nonzero(np.triu(truth, 1))
    n_known, n_others = len(a), len(i) - len(a)
    if not n_known or not n_others:
        return float("nan"), float("nan")
    own = ranks[a, b].sum()
    orders = rng.permuted(np.tile(np.arange(len(scores)), (n_permutations, 1)), axis=1)
    drawn = ranks[orders[:, a], orders[:, b]].sum(axis=1)
    auroc = (own - n_known * (n_known + 1) / 2) / (n_known * n_others)
    return float(auroc), float((1 + (drawn >= own - 1e-9).sum()) / (1 + n_permutations))


def average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    """Mean over the known of the precision at their score; tied scores are taken together. NaN where none is known.

    Examples
    --------
    >>> round(average_precision(np.array([True, False, True]), np.array([3.0, 2.0, 1.0])), 3)
    0.833
    >>> round(average_precision(np.array([True, False, True]), np.zeros(3)), 3)
    0.667
    """
    if not truth.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    truth, scores = truth[order], scores[order]
    ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    found = np.cumsum(truth)[ends]
    return float((np.diff(found, prepend=0) * found / (ends + 1)).sum() / truth.sum())
