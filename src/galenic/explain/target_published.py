"""Target combinations as published (sirpan/Deep-pert, commit 5bc2f1a), step by step; nothing is mended here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage

AVERAGES = ["Average_Importance", "Total_Importance"]


@dataclass(frozen=True)
class Published:
    """What :func:`published` computes.

    Attributes
    ----------
    pairs
        ``gene_a, gene_b`` (lower case), ``score`` = ``a_score + b_score``, ``r``; best first.
    clusters
        Number of the cluster of each reference gene.
    nearest
        Number of the nearest cluster of each candidate.
    columns
        Columns A and B, of the largest and the smallest sum.
    threshold
        Smallest ``|r|`` of a pair that is listed.
    """

    pairs: pd.DataFrame
    clusters: pd.Series
    nearest: pd.Series
    columns: tuple[str, str]
    threshold: float


def scaled(weights: pd.DataFrame) -> pd.DataFrame:
    """Weights with their average and total as two more columns, sorted by average, each column scaled to 0..1.

    Parameters
    ----------
    weights
        Genes x latent variables.

    Returns
    -------
    DataFrame
        Genes (largest average first) x (latent variables + 2). A column without spread is 0.

    Examples
    --------
    >>> scaled(pd.DataFrame({"0": [1.0, 3.0, 2.0], "1": [2.0, 8.0, 4.0]}, index=list("abc"))).round(2)
         0     1  Average_Importance  Total_Importance
    b  1.0  1.00                1.00              1.00
    c  0.5  0.33                0.38              0.38
    a  0.0  0.00                0.00              0.00
    """
    values = weights.to_numpy(dtype=np.float64)
    more = np.column_stack([values, values.mean(axis=1), values.sum(axis=1)])
    order = np.argsort(-more[:, -2], kind="stable")
    more = more[order] - more.min(axis=0)
    spread = more.max(axis=0)
    columns = [*map(str, weights.columns), *AVERAGES]
    return pd.DataFrame(more / np.where(spread > 0, spread, 1.0), index=weights.index[order], columns=columns)


def auto_threshold(n_candidates: int) -> float:
    """Published threshold of ``|r|``: a 200th of the number of candidates, rounded to tenths, 0 to 0.9.

    Examples
    --------
    >>> auto_threshold(11), auto_threshold(400)
    (0.1, 0.9)
    """
    return min(max(round(n_candidates / 200, 1), 0.0), 0.9)


def published_pairs(
    matrix: pd.DataFrame, genes: Sequence[str], columns: tuple[str, str], threshold: float
) -> pd.DataFrame:
    """Pairs of ``genes`` whose rows of the scaled matrix correlate, by the sum of two columns.

    Parameters
    ----------
    matrix
        From :func:`scaled`; Pearson's r is over all its columns, the average and the total too.
    genes
        Rows of it. A gene whose row is constant has no r and forms no pair.
    columns
        A and B.
    threshold
        Smallest ``|r|``.

    Returns
    -------
    DataFrame
        ``gene_a, gene_b, score, a_score, b_score, r``, best first. The first gene of a pair is the one that stands
        higher in the matrix.
    """
    rows = matrix[matrix.index.isin(list(genes))]
    values = rows.to_numpy()
    centred = values - values.mean(axis=1, keepdims=True)
    # Rounding leaves a constant row a spread of about 1e-16; it has no correlation.
    spread = np.sqrt((centred**2).sum(axis=1))
    spread[spread < 1e-12] = np.nan
    unit = centred / spread[:, None]
    i, j = np.triu_indices(len(rows), 1)
    r = np.clip(unit @ unit.T, -1, 1)[i, j]
    a, b = (rows[name].to_numpy() for name in columns)
    names = rows.index.astype(str).str.lower().to_numpy(dtype=object)
    table = pd.DataFrame(
        {"gene_a": names[i], "gene_b": names[j], "score": 0.0, "a_score": a[i] + a[j], "b_score": b[i] + b[j], "r": r}
    )
    table["score"] = table["a_score"] + table["b_score"]
    listed = table[table["r"].abs() >= threshold]
    return listed.sort_values("score", ascending=False, kind="stable", ignore_index=True)


def published(
    weights: pd.DataFrame,
    candidates: Sequence[str],
    *,
    n_clusters: int,
    n_reference: int,
    threshold: float | Literal["auto"],
    n_pairs: int,
) -> Published:
    """The published procedure.

    1. :func:`scaled`. 2. Ward linkage of the ``n_reference`` rows of largest total, over all columns, cut into
    ``n_clusters``. 3. Each candidate goes to the nearest centroid, by the latent variables. 4. Candidates of the
    cluster that most went to are kept. 5. Over the reference genes of that cluster every column is summed; A has the
    largest sum, B the smallest. 6. :func:`published_pairs`, the first ``n_pairs``.

    Parameters
    ----------
    weights
        Genes x latent variables, without the row ``dose``.
    candidates
        Genes of ``weights``.
    n_clusters, n_reference, n_pairs
        Numbers of clusters, of genes that are clustered, and of pairs that are listed.
    threshold
        Smallest ``|r|`` of a pair, or "auto": :func:`auto_threshold`.

    Returns
    -------
    Published

    Raises
    ------
    ValueError
        If fewer than two candidates share a cluster.

    Notes
    -----
    Of two clusters with equally many candidates the first is kept; the published data have no such tie. Drawing the
    published heat map changed the clusters where ``n_reference`` is not 50; that is left out.
    """
    matrix = scaled(weights)
    reference = matrix.sort_values(AVERAGES[1], ascending=False, kind="stable").iloc[:n_reference]
    numbers = fcluster(linkage(reference.to_numpy(), "ward"), n_clusters, "maxclust")
    clusters = pd.Series(numbers.astype(int), index=reference.index, name="cluster")
    variables = list(matrix.columns[: weights.shape[1]])
    chosen = matrix[matrix.index.isin(list(candidates))]
    nearest = nearest_cluster(chosen[variables], reference[variables], clusters)
    counts = nearest.value_counts()
    kept = int(counts[counts == counts.max()].index.min())
    genes = list(nearest.index[nearest == kept])
    if len(genes) < 2:
        raise ValueError(
            f"two candidates at least should share a cluster; {len(chosen):,} candidates lie in {len(counts):,} "
            f"clusters, one each. Ask for fewer clusters than {n_clusters}, or name more candidates."
        )
    sums = reference[clusters == kept].sum()
    columns = (str(sums.idxmax()), str(sums.idxmin()))
    at_least = auto_threshold(len(chosen)) if threshold == "auto" else float(threshold)
    pairs = published_pairs(matrix, genes, columns, at_least).head(n_pairs)
    return Published(pairs, clusters, nearest, columns, at_least)


def nearest_cluster(rows: pd.DataFrame, reference: pd.DataFrame, clusters: pd.Series) -> pd.Series:
    """Number of the cluster whose mean over ``reference`` is nearest to each row (Euclidean)."""
    centres = reference.groupby(clusters.to_numpy()).mean()
    distance = ((rows.to_numpy()[:, None, :] - centres.to_numpy()[None]) ** 2).sum(axis=2)
    return pd.Series(centres.index.to_numpy()[distance.argmin(axis=1)].astype(int), index=rows.index, name="cluster")
