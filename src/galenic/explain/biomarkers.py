"""From weights of many refits to a ranked table of genes, with stability and false discovery rate."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd


def biomarkers(
    weights: np.ndarray,
    features: Sequence[str],
    drugs: Sequence[str],
    *,
    null: np.ndarray | None = None,
    modality: Sequence[str] | None = None,
    top: int = 50,
    keep: int | None = None,
) -> pd.DataFrame:
    """Rank features within each drug by mean weight over refits.

    Parameters
    ----------
    weights
        Weights of models refitted on random halves of the cells, ``(n_repeats, n_features, n_drugs)``, signed; NaN
        where a refit had no such drug or feature.
    features, drugs
        Names along the last two axes.
    null
        What chance gives for the mean over refits: such means with shuffled responses, ``(n_null, n_features,
        n_drugs)``; q-values are NaN without them, and for a drug of which they hold none.
    modality
        Modality of each feature; "expression" where not given.
    top
        A feature counts as found by a refit if it is among that refit's ``top`` features of the drug by absolute
        weight; 1 or more.
    keep
        Rows to return for each drug, the best; all where None.

    Returns
    -------
    DataFrame
        ``drug, rank, gene, modality, weight, spread, stability, q_value``, sorted by drug (in the order given) and
        rank. ``weight`` = mean over refits and ``spread`` their s.d.; ``stability`` = share of the refits in which the
        feature is found with the sign of its mean; ``q_value`` = Benjamini-Hochberg within the drug over empirical
        p-values: the share of the null weights of that modality, pooled over drugs, at least as large.

    Raises
    ------
    ValueError
        If the axes of ``weights`` or ``null`` do not match the names, or ``top`` is below 1.

    Notes
    -----
    The null is pooled over drugs, so weights must be in a unit that no fit decides (standard deviations of the
    response, not multiples of a fit's own penalty). The smallest possible p-value is 1 / (number of null weights of
    the modality + 1). Features that are correlated with a driver are rightly found with it.

    Examples
    --------
    >>> weights = np.random.default_rng(0).normal(size=(10, 100, 1))
    >>> weights[:, 7] += 9
    >>> biomarkers(weights, [f"G{i}" for i in range(100)], ["aspirin"])[["drug", "rank", "gene", "stability"]].head(1)
          drug  rank gene  stability
    0  aspirin     1   G7        1.0
    """
    weights = np.asarray(weights, dtype=np.float64)
    _require_shape("weights", weights, features, drugs)
    if null is not None:
        null = np.asarray(null, dtype=np.float64)
        _require_shape("null", null, features, drugs)
    if top < 1:
        raise ValueError(f"top should be 1 or more; received {top}. Give the number of features that count as found.")
    kinds = np.asarray(["expression"] * len(features) if modality is None else list(modality))
    n_drugs = len(drugs)
    with warnings.catch_warnings():
        # A feature that no refit of a drug had stays NaN and is ranked last.
        warnings.simplefilter("ignore", RuntimeWarning)
        mean, spread = np.nanmean(weights, axis=0), np.nanstd(weights, axis=0)
    size = np.nan_to_num(np.abs(weights), nan=-1.0)
    top = min(top, len(features))
    cut = -np.partition(-size, top - 1, axis=1)[:, top - 1 : top]
    found = (size >= np.maximum(cut, 0)) & (size > 0) & (np.sign(weights) == np.sign(mean))
    stability = found.sum(axis=0) / np.maximum((~np.isnan(weights)).sum(axis=0), 1)
    q_values = np.full(mean.shape, np.nan) if null is None else _q_values(mean, null, kinds)
    order = np.argsort(-np.nan_to_num(np.abs(mean), nan=-1.0), axis=0, kind="stable")[: keep or len(features)]
    n = len(order)

    def sorted_by_rank(values: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, order, axis=0).T.ravel()

    return pd.DataFrame(
        {
            "drug": np.repeat(np.asarray(drugs, dtype=object), n),
            "rank": np.tile(np.arange(1, n + 1), n_drugs),
            "gene": np.asarray(features, dtype=object)[order.T.ravel()],
            "modality": kinds[order.T.ravel()],
            "weight": sorted_by_rank(mean),
            "spread": sorted_by_rank(spread),
            "stability": sorted_by_rank(stability),
            "q_value": sorted_by_rank(q_values),
        }
    )


def _require_shape(what: str, weights: np.ndarray, features: Sequence[str], drugs: Sequence[str]) -> None:
    if weights.ndim != 3 or weights.shape[1:] != (len(features), len(drugs)) or 0 in weights.shape:
        raise ValueError(
            f"{what} should be (n_repeats, {len(features):,} features, {len(drugs):,} drugs), none of them 0; "
            f"received {weights.shape}. Stack the weights of each refit along the first axis."
        )


def _q_values(mean: np.ndarray, null: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg within each drug over p-values against the null of one modality, pooled over drugs."""
    p_values = np.full(mean.shape, np.nan)
    for kind in np.unique(kinds):
        rows = kinds == kind
        # Never in units of a drug's own null: a fit on noise that chose a small penalty by luck would then look real.
        pool = np.sort(np.abs(null[:, rows]).ravel())
        pool = pool[~np.isnan(pool)]
        at_least = len(pool) - np.searchsorted(pool, np.abs(mean[rows]), side="left")
        p_values[rows] = (at_least + 1) / (len(pool) + 1)
    p_values[np.isnan(mean)] = 1.0
    n = len(p_values)
    order = np.argsort(p_values, axis=0, kind="stable")
    stepped = np.take_along_axis(p_values, order, axis=0) * n / np.arange(1, n + 1)[:, None]
    stepped = np.minimum(np.minimum.accumulate(stepped[::-1], axis=0)[::-1], 1.0)
    q_values = np.empty_like(stepped)
    np.put_along_axis(q_values, order, stepped, axis=0)
    q_values[:, np.isnan(null).all(axis=(0, 1))] = np.nan
    return q_values


def recovered(table: pd.DataFrame, truth: pd.DataFrame, *, top: int | None = None) -> pd.DataFrame:
    """How many planted drivers stand among each drug's first features.

    Parameters
    ----------
    table
        What :func:`biomarkers` returns, with every feature ranked.
    truth
        Planted drivers: ``drug, feature`` (+ ``modality``; then only modalities that ``table`` ranks count, and places
        are counted among them alone).
    top
        How far down to look; the number planted in that drug where None.

    Returns
    -------
    DataFrame
        ``drug, planted, top, found, expected``: ``expected`` = what a random order would find (mean of the
        hypergeometric distribution), ``planted * top / n_features``; NaN where the table has no such drug.

    Examples
    --------
    >>> table = biomarkers(np.array([[[3.0], [2.0], [1.0]]]), ["A", "B", "C"], ["x"])
    >>> recovered(table, pd.DataFrame({"drug": ["x"], "feature": ["A"]}))[["planted", "found", "expected"]].round(2)
       planted  found  expected
    0        1      1      0.33
    """
    keys = ["drug", "feature"]
    if "modality" in truth:
        keys.append("modality")
        truth = truth[truth["modality"].isin(table["modality"])]
        table = table[table["modality"].isin(truth["modality"])]
    table = table.rename(columns={"gene": "feature"})
    table = table.assign(place=table.groupby("drug", sort=False)["rank"].rank(method="first"))
    n_features = table.groupby("drug").size()
    planted = truth[keys].merge(table[[*keys, "place"]], on=keys, how="left")
    counts = planted.groupby("drug", sort=False)
    result = pd.DataFrame({"planted": counts.size()})
    result["top"] = result["planted"] if top is None else top
    within = planted["place"] <= planted["drug"].map(result["top"])
    result["found"] = within.groupby(planted["drug"], sort=False).sum().astype(int)
    n_features = n_features.reindex(result.index).to_numpy()
    result["expected"] = result["planted"] * np.minimum(result["top"], n_features) / n_features
    return result.rename_axis("drug").reset_index()
