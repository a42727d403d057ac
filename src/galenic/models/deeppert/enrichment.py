"""Pathways behind the dimensions of an ensemble, with one correction for all tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from scipy import stats

from galenic.data.checks import require_unique
from galenic.search.enrichment import benjamini_hochberg


def enrich(
    weights: pd.DataFrame,
    pathways: Mapping[str, Iterable[str]],
    *,
    absolute: pd.DataFrame | None = None,
    top: int = 100,
    minimum: int = 5,
) -> pd.DataFrame:
    """Test every pathway in every dimension: for standing among the top genes, and for heavier weights.

    Parameters
    ----------
    weights
        Genes x dimensions, signed.
    pathways
        Genes of each pathway. Only genes of ``weights`` count: they are the universe.
    absolute
        Sizes by which the top genes are taken, of the shape of ``weights``; ``weights`` without signs by default.
    top
        Number of top genes of a dimension.
    minimum
        Pathways with fewer genes in the universe are not tested.

    Returns
    -------
    DataFrame
        A row a dimension and pathway, smallest ``p_value`` first:

        - ``n`` genes of the pathway in the universe, ``n_top`` of them among the top; ``odds`` ratio.
        - ``p_value``: Fisher's exact test, one-sided (at least so many among the top), of the table (top or not) x (in
          the pathway or not); ``q_value``: Benjamini-Hochberg over all dimensions and pathways.
        - ``t``: of the slope in a univariate linear model (ULM) of the signed weights on membership, n_genes - 2
          degrees of freedom; positive where the pathway's genes rise with the dimension. ``p_ulm``: two-sided;
          ``q_ulm``: Benjamini-Hochberg over all.

    Raises
    ------
    ValueError
        If genes stand twice, no pathway has enough genes, or ``top`` is not below the number of genes.

    Notes
    -----
    Differs from DeepProfile's published test, in which the fourth cell of the table forgets the top genes, the test is
    two-sided, and each pathway is corrected by itself. Dimensions that resemble each other find the same pathways:
    count these once (:func:`unique_pathways`).

    Examples
    --------
    >>> weights = pd.DataFrame({0: [3.0, 2.5, 2.0, 0.1, -0.1, 0.2, 0.0, -0.2]}, index=list("abcdefgh"))
    >>> table = enrich(weights, {"one": "abc", "other": "fgh"}, top=3, minimum=3)
    >>> table[["pathway", "n_top", "p_value", "t"]].round(3)
      pathway  n_top  p_value       t
    0     one      3    0.018  10.825
    1   other      0    1.000  -1.768
    """
    require_unique(weights.index, "genes of the weights")
    absolute = weights.abs() if absolute is None else absolute
    if not 1 <= top < len(weights) or absolute.shape != weights.shape:
        raise ValueError(
            f"top should be 1 to {len(weights) - 1:,} genes, and absolute weights of the shape {weights.shape}; "
            f"received {top} and {absolute.shape}. Correct these."
        )
    names, member = _members(weights.index, pathways, minimum)
    n = member.sum(axis=1).astype(int)
    place = np.argsort(np.argsort(-absolute.to_numpy(np.float64), axis=0, kind="stable"), axis=0)
    hits = (member @ (place < top)).round().astype(int)  # pathways x dimensions
    total = len(weights)
    p_value = stats.hypergeom.sf(hits - 1, total, n[:, None], top)
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = hits * (total - top - n[:, None] + hits) / ((top - hits) * (n[:, None] - hits))
    t = univariate_t(member, weights.to_numpy(np.float64))
    p_ulm = 2 * stats.t.sf(np.abs(t), total - 2)
    n_dimensions = weights.shape[1]
    table = pd.DataFrame(
        {
            "dimension": np.tile(weights.columns.to_numpy(), len(names)),
            "pathway": np.repeat(np.asarray(names, dtype=object), n_dimensions),
            "n": np.repeat(n, n_dimensions),
            "n_top": hits.ravel(),
            "odds": odds.ravel(),
            "p_value": p_value.ravel(),
            "q_value": benjamini_hochberg(p_value.ravel()),
            "t": t.ravel(),
            "p_ulm": p_ulm.ravel(),
            "q_ulm": benjamini_hochberg(p_ulm.ravel()),
        }
    )
    return table.sort_values(["p_value", "p_ulm", "dimension", "pathway"], ignore_index=True)


def unique_pathways(table: pd.DataFrame, *, level: float = 0.05, by: str = "q_value") -> int:
    """Number of pathways with a q-value up to ``level`` in one dimension at least; each counts once.

    Parameters
    ----------
    table
        What :func:`enrich` returns: ``pathway`` and the column ``by``.
    level
        Largest q-value that counts.
    by
        Column of the q-values.

    Examples
    --------
    >>> unique_pathways(pd.DataFrame({"pathway": ["a", "a", "b"], "q_value": [0.01, 0.02, 0.5]}))
    1
    """
    return int(table.loc[table[by] <= level, "pathway"].nunique())


def univariate_t(member: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Statistic t of the slope of ``weights`` (genes x dimensions) on each row of ``member`` (pathways x genes).

    NaN where all genes weigh the same.
    """
    n = weights.shape[0]
    x, y = member - member.mean(axis=1, keepdims=True), weights - weights.mean(axis=0)
    sxx, syy, sxy = (x**2).sum(axis=1)[:, None], (y**2).sum(axis=0), x @ y
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.maximum(syy - sxy**2 / sxx, 0)
        return np.asarray(sxy / sxx / np.sqrt(left / (n - 2) / sxx))


def _members(genes: pd.Index, pathways: Mapping[str, Iterable[str]], minimum: int) -> tuple[list[str], np.ndarray]:
    """Names of the pathways with enough genes, and which genes they have, ``(n_pathways, n_genes)``."""
    names, rows = [], []
    for name, members in pathways.items():
        own = genes.isin({str(gene) for gene in members})
        if minimum <= own.sum() < len(genes):
            names.append(name)
            rows.append(own)
    if not names:
        raise ValueError(
            f"a pathway should have {minimum} genes or more of the {len(genes):,} that have weights; none of "
            f"{len(pathways):,} does. Name genes of both in the same way, or lower minimum."
        )
    return names, np.array(rows, dtype=np.float64)
