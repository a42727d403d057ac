"""Genes behind the calls of many cells: importance, whether rankings agree, and gene sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import stats

from galenic.models.deeppert.enrichment import enrich

LEVEL = 0.95
RESAMPLES = 200
"""Resamples of the cells, for the range of ranks."""


def importance_table(attributed: AnnData, *, n_resamples: int = RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """Rank features by the mean size of their contributions.

    Parameters
    ----------
    attributed
        As :func:`galenic.models.scatd.explaining.attribute` returns.
    n_resamples
        Resamples of the cells for ``rank_low, rank_high``; 0 leaves these NaN. By cell: they hold for other cells of
        the same samples.
    seed
        Of the resamples.

    Returns
    -------
    DataFrame
        A row a feature, the most important first: ``gene, rank, importance`` (mean absolute contribution to the logit),
        ``mean`` (signed; near 0 where the background is the mean of the same cells), ``weight`` (slope of contribution
        on value: above 0 = more of the feature, more sensitive), ``toward`` ("sensitive", "resistant" or "neither"),
        ``rank_low, rank_high`` (95 % of the resamples).

    Examples
    --------
    >>> found = AnnData(np.array([[1.0, -3.0], [-1.0, 3.0]]), var=pd.DataFrame(index=["A", "B"]))
    >>> found.layers["value"] = np.array([[1.0, 1.0], [-1.0, -1.0]])
    >>> importance_table(found)[["gene", "rank", "importance", "weight", "toward"]]
      gene  rank  importance  weight     toward
    0    B     1         3.0    -3.0  resistant
    1    A     2         1.0     1.0  sensitive
    """
    parts = np.asarray(attributed.X, dtype=np.float64)
    if not len(parts):
        raise ValueError("importance is a mean over cells; received no cell. Give the cells to be explained.")
    sizes = np.abs(parts)
    mean_size = sizes.mean(axis=0)
    low, high = _rank_range(sizes, n_resamples, seed)
    weight = _slopes(np.asarray(attributed.layers["value"], dtype=np.float64), parts)
    table = pd.DataFrame(
        {
            "gene": attributed.var_names.to_numpy(str),
            "importance": mean_size,
            "mean": parts.mean(axis=0),
            "weight": weight,
            "toward": np.array(["resistant", "neither", "sensitive"])[np.sign(weight).astype(int) + 1],
            "rank_low": low,
            "rank_high": high,
        }
    )
    table = table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)
    table.insert(1, "rank", np.arange(1, len(table) + 1))
    return table


def agreement(rows: np.ndarray, among: str, *, top: int = 50) -> dict[str, Any]:
    """How well rankings by several vectors of importance agree.

    Parameters
    ----------
    rows
        Importance by each member, refit or resample, ``(n_rows, n_features)``; only sizes count.
    among
        What the rows are.
    top
        Features at the top whose overlap is counted; as many as there are where fewer.

    Returns
    -------
    dict
        ``among, n, spearman`` (mean over pairs), ``overlap`` (mean share of the first ``top`` that two have in common),
        ``chance`` (what random orders share), ``top``. NaN for fewer than two rows.

    Examples
    --------
    >>> agreement(np.array([[3.0, 2.0, 1.0, 0.0], [3.0, 1.0, 2.0, 0.0]]), "members", top=2)
    {'among': 'members', 'n': 2, 'spearman': 0.8, 'overlap': 0.5, 'chance': 0.5, 'top': 2}
    """
    sizes = np.abs(np.asarray(rows, dtype=np.float64))
    n, n_features = sizes.shape
    top = min(top, n_features)
    told: dict[str, Any] = {"among": among, "n": n, "spearman": np.nan, "overlap": np.nan}
    if n > 1 and n_features > 1:
        pairs = np.triu_indices(n, 1)
        ranks = stats.rankdata(sizes, axis=1)
        first = np.zeros_like(sizes)
        np.put_along_axis(first, np.argsort(-sizes, axis=1, kind="stable")[:, :top], 1.0, axis=1)
        with np.errstate(invalid="ignore"):
            told["spearman"] = round(float(np.nanmean(np.corrcoef(ranks)[pairs])), 12)
        told["overlap"] = float((first @ first.T)[pairs].mean() / top)
    return told | {"chance": top / n_features, "top": top}


def gene_set_table(
    table: pd.DataFrame, gene_sets: Mapping[str, Iterable[str]], *, top: int = 100, minimum: int = 5
) -> pd.DataFrame:
    """Gene sets among the most important genes, and sets whose genes weigh one way.

    Parameters
    ----------
    table
        As :func:`importance_table` returns, all features.
    gene_sets
        Genes of each set; those of ``table`` are the universe.
    top
        Number of top genes; at most all but one.
    minimum
        Sets with fewer genes in the universe are not tested.

    Returns
    -------
    DataFrame
        ``gene_set, n, n_top, odds, p_value, q_value`` (Fisher, one-sided), ``t, p_ulm, q_ulm`` (slope of the signed
        weights on membership; above 0 = the set's genes make sensitive); see
        :func:`galenic.models.deeppert.enrichment.enrich`.
    """
    genes = table.set_index("gene")
    found = enrich(
        genes[["weight"]], gene_sets, absolute=genes[["importance"]], top=min(top, len(table) - 1), minimum=minimum
    )
    return found.drop(columns="dimension").rename(columns={"pathway": "gene_set"})


def _slopes(values: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Slope of contributions on values over cells, feature by feature; 0 where a value does not vary."""
    way = values - values.mean(axis=0)
    square = (way**2).sum(axis=0)
    return np.asarray((way * parts).sum(axis=0) / np.where(square > 0, square, 1.0))


def _rank_range(sizes: np.ndarray, n_resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Range of the rank of each feature over resamples of the cells."""
    n, n_features = sizes.shape
    if not n_resamples or n < 2:
        return np.full(n_features, np.nan), np.full(n_features, np.nan)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(n, np.full(n, 1 / n), size=n_resamples) / n
    ranks = stats.rankdata(-(times @ sizes), axis=1, method="min").astype(np.float32)
    low, high = np.quantile(ranks, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return np.floor(low), np.ceil(high)
