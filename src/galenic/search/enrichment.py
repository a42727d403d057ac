"""Which mechanisms and targets stand out among the hits of a search."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse, stats

from galenic.search.checks import first, require_columns

COLUMNS = ["label", "n", "n_in_hits", "odds", "p_value", "q_value", "auroc", "p_rank", "q_rank"]


def enrichment(
    ranking: pd.DataFrame,
    annotations: pd.DataFrame | pd.Series,
    *,
    label: str = "moa",
    k: int = 100,
    separator: str | None = "|",
    minimum: int = 3,
) -> pd.DataFrame:
    """Test each label for standing among the first hits, and for ranking high (or low) as a whole.

    Parameters
    ----------
    ranking
        ``id, similarity`` of everything that was ranked, each id once: a search with ``k`` = all, of one query.
    annotations
        Indexed by id; with several rows an id, all of them count. A data frame is read in its column ``label``.
    label
        Column of mechanisms or targets.
    k
        The hits: this many of highest similarity, ties by id, among the ids that have an annotation.
    separator
        Between several labels of one id; ``None`` takes labels whole.
    minimum
        Labels with fewer ids are not tested.

    Returns
    -------
    pandas.DataFrame
        One row a label, the smallest ``p_value`` first:

        - ``n`` ids with the label among those ranked and annotated, ``n_in_hits`` of them among the hits.
        - ``odds``: of the label among hits over its odds among the rest (infinite where all are hits).
        - ``p_value``: of at least so many among the hits, hypergeometric; ``q_value``: Benjamini-Hochberg.
        - ``auroc``: share of (with, without) couples in which the id with the label is more similar, ties half; near 1
          for mimics, near 0 for reversers. ``p_rank``: two-sided Mann-Whitney test of 0.5, with corrections for
          ties and continuity; ``q_rank``: Benjamini-Hochberg.

    Raises
    ------
    ValueError
        For missing columns, an id that is ranked twice, or rankings and annotations that share no id.

    Notes
    -----
    Ids without annotation say nothing and are left out: otherwise the many unannotated compounds at the bottom of a
    ranking would make every label look enriched.

    Examples
    --------
    >>> ranking = pd.DataFrame({"id": list("abcdefgh"), "similarity": [0.9, 0.8, 0.7, 0.3, 0.2, 0.1, 0.0, -0.1]})
    >>> annotations = pd.Series(["HDAC", "HDAC|x", "HDAC", "y", "y", "y", "x", "x"], index=list("abcdefgh"))
    >>> enrichment(ranking, annotations, k=3)[["label", "n", "n_in_hits", "p_value", "auroc"]].round(3)
      label  n  n_in_hits  p_value  auroc
    0  HDAC  3          3    0.018  1.000
    1     x  3          1    0.821  0.267
    2     y  3          0    1.000  0.400
    """
    require_columns(ranking, ["id", "similarity"], "enrichment: the ranking")
    if isinstance(annotations, pd.DataFrame):
        require_columns(annotations, [label], "enrichment: the table of annotations")
        annotations = annotations[label]
    repeated = ranking.loc[ranking["id"].duplicated(), "id"].unique()
    if len(repeated):
        raise ValueError(
            f"a ranking should name each id once; {len(repeated):,} of {len(ranking):,} rows repeat one (first: "
            f"{first(repeated)}). Rank drugs, not their profiles, and one query at a time."
        )
    if k < 1 or minimum < 1:
        raise ValueError(f"k and minimum should be at least 1; received {k} and {minimum}. 100 and 3 are usual.")
    members, names, scores = _members(ranking, annotations, separator)
    n = np.asarray(members.sum(axis=1)).ravel()
    members, names, n = members[n >= minimum], names[n >= minimum], n[n >= minimum].astype(np.int64)
    if not len(names):
        return pd.DataFrame(columns=COLUMNS)
    return _tested(members, names, n, scores, k).sort_values(["p_value", "p_rank", "label"], ignore_index=True)


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's q-values: the share of false discoveries stays below q. NaN is no test and stays.

    Examples
    --------
    >>> benjamini_hochberg(np.array([0.01, np.nan, 0.04, 0.03])).round(3)
    array([0.03,  nan, 0.04, 0.04])
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p_values, kind="stable")[: np.isfinite(p_values).sum()]
    scaled = p_values[order] * len(order) / np.arange(1, len(order) + 1)
    result = np.full(p_values.shape, np.nan)
    result[order] = np.minimum(1, np.minimum.accumulate(scaled[::-1])[::-1])
    return result


def _members(
    ranking: pd.DataFrame, annotations: pd.Series, separator: str | None
) -> tuple[sparse.csr_array, np.ndarray, np.ndarray]:
    """Labels x annotated ids (0 or 1), best id first; names of labels; similarities."""
    known = annotations.dropna().astype(str)
    known = known.str.split(separator, regex=False).explode() if separator else known
    known = known.str.strip()
    known = known[known != ""]
    chosen = ranking[ranking["id"].isin(known.index)].sort_values(["similarity", "id"], ascending=[False, True])
    if not len(chosen):
        raise ValueError(
            f"ranking and annotations should share ids; none of {len(ranking):,} ranked (first: "
            f"{first(ranking['id'])}) is among {known.index.nunique():,} annotated (first: {first(known.index)}). "
            "Set the index of the annotations to the ids of the ranking."
        )
    scores = chosen["similarity"].to_numpy(dtype=np.float64)
    if not np.isfinite(scores).all():
        raise ValueError(
            f"every similarity should be finite; {int((~np.isfinite(scores)).sum()):,} of {len(scores):,} are not. "
            "Leave those ids out."
        )
    columns = pd.Index(chosen["id"]).get_indexer(known.index)
    known, columns = known[columns >= 0], columns[columns >= 0]
    codes, names = pd.factorize(known, sort=True)
    pairs = np.unique(np.column_stack([codes, columns]), axis=0)  # a label that an id has twice counts once
    shape = (len(names), len(chosen))
    matrix = sparse.csr_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=shape)
    return matrix, np.asarray(names), scores


def _tested(members: sparse.csr_array, names: np.ndarray, n: np.ndarray, scores: np.ndarray, k: int) -> pd.DataFrame:
    total, k = len(scores), min(k, len(scores))
    hits = np.asarray(members[:, :k].sum(axis=1)).ravel().astype(np.int64)
    p_value = stats.hypergeom.sf(hits - 1, total, n, k)
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = hits * (total - k - n + hits) / ((k - hits) * (n - hits))
        higher = members @ stats.rankdata(scores) - n * (n + 1) / 2  # couples in which the id with the label is higher
        without = total - n
        ties = np.unique(scores, return_counts=True)[1].astype(np.float64)
        spread = n * without / 12 * (total + 1 - (ties**3 - ties).sum() / (total * (total - 1)))
        z = np.maximum(np.abs(higher - n * without / 2) - 0.5, 0) / np.sqrt(spread)
        auroc = higher / (n * without)
    p_rank = np.where(spread > 0, 2 * stats.norm.sf(z), np.nan)
    values = [names, n, hits, odds, p_value, benjamini_hochberg(p_value), auroc, p_rank, benjamini_hochberg(p_rank)]
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))
