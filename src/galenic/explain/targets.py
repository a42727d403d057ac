"""Target combinations: pairs of genes whose weights on latent variables go together."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage

from galenic.explain import target_profiles as profiles
from galenic.explain.target_genes import find_candidates, gene_weights, is_known
from galenic.explain.target_pairs import read_known
from galenic.explain.target_published import nearest_cluster, published

COLLINEAR = 0.9
"""Share of the variance in one component, from which latent variables are nearly copies of each other."""


@dataclass(frozen=True)
class TargetCombinations:
    """What :func:`target_combinations` returns.

    Attributes
    ----------
    pairs
        Best first: ``rank, gene_a, gene_b, score`` and, where the disease has known pairs, ``known``. Of the default
        procedure also ``r`` (cosine of the residual profiles, signed), ``importance`` (sum of mean absolute weights),
        ``p_value, q_value, same_cluster``; of the published one ``a_score, b_score, r``, genes in lower case.
    ranking
        All pairs of candidates, in the order of the score, likewise; of the published procedure the listed pairs.
    clusters
        ``gene, cluster, role``: reference genes (role "reference") and where each candidate falls ("candidate").
    candidates
        Candidates that are measured, as the weights spell them.
    columns
        Latent variables that were read; of the published procedure its columns A and B.
    threshold
        Smallest ``|r|`` of a listed pair; 0 for none.
    effective_rank
        How many directions the latent variables span, of as many as there are.
    n_shared, residual_rank
        Components taken away, and the effective rank of what is left; 0 and NaN for the published procedure.
    notes
        What to know before trusting it, one sentence each.
    """

    pairs: pd.DataFrame
    ranking: pd.DataFrame
    clusters: pd.DataFrame
    candidates: tuple[str, ...]
    columns: tuple[str, ...]
    threshold: float
    effective_rank: float
    n_shared: int
    residual_rank: float
    notes: tuple[str, ...]


def target_combinations(
    weights: pd.DataFrame,
    known: pd.DataFrame | None = None,
    *,
    disease: str | None = None,
    candidates: Sequence[str] | None = None,
    n_clusters: int = 4,
    n_reference: int = 50,
    threshold: float | Literal["auto"] | None = None,
    n_pairs: int | None = 100,
    drop: Sequence[str] = (),
    n_shared: int | None = None,
    quantile: float = 0.95,
    seed: int = 0,
    as_published: bool = False,
) -> TargetCombinations:
    r"""Rank pairs of candidate genes by how alike, or how opposite, their weights on latent variables are.

    Profiles are normal scores of ranks within each variable, less the components that all variables share
    (:func:`~galenic.explain.target_profiles.residual_profiles`), at length 1. The score of a pair is

    .. math:: s_{ij} = |\cos(r_i, r_j)|,

    its p-value the share of pairs of genes taken at random whose score is at least as large.

    Parameters
    ----------
    weights
        Genes x latent variables: how much each gene matters to each variable, as mean absolute attributions; any
        number of variables from 2.
    known
        Known pairs: ``gene_a, gene_b, disease`` (or ``genename1, genename2, fd_name``), one row a pair and disease.
    disease
        Its genes are the candidates unless some are named, and its pairs are marked.
    candidates
        Genes to be paired, in any case.
    n_clusters, n_reference
        Ward clusters of the genes of largest mean absolute weight; candidates fall into the nearest. By default they
        are told, and keep no pair out.
    threshold
        Smallest ``|r|`` of a listed pair, 0 to 1. "auto": the ``quantile`` of random pairs of genes; published: a 200th
        of the number of candidates. ``None``: none; published: 0.8.
    n_pairs
        Pairs to list, the best; all where ``None``.
    drop
        Rows or columns of ``weights`` that are no genes or variables.
    n_shared
        Components to take away; ``None`` lets the spectrum decide.
    quantile
        Of the random pairs, for ``threshold="auto"``.
    seed
        Of the genes drawn for the random pairs, where there are more than 1,500.
    as_published
        The published procedure (:func:`~galenic.explain.target_published.published`) in every step: the row ``dose`` is
        dropped, and average and total count as two more variables in clustering and correlation.

    Returns
    -------
    TargetCombinations

    Raises
    ------
    ValueError
        For a row such as ``dose`` among the genes, an unknown disease, fewer than two measured candidates, or numbers
        that cannot be.

    Warns
    -----
    UserWarning
        If named candidates are not measured, or the latent variables are nearly copies of each other.

    Notes
    -----
    Measured on the one published matrix (OV7, 978 genes, 95 variables): one component holds 99 % of the variance, and
    over the 13 diseases with three known pairs or more this score has a mean AUROC of 0.48, the published ``|r|`` 0.46
    and the sum of importances 0.52: no skill. How often the genes stand in known pairs of other diseases gives 0.74,
    whether the pair itself does 0.85 (:func:`~galenic.explain.target_floors.score_diseases`). Read a list of pairs
    beside these floors.

    Source: the procedure of sirpan/Deep-pert. Different by default: only latent variables count, not their averages;
    any number of them; shared components are taken away; clusters keep nothing out; a threshold from random pairs;
    symbols stay as they are. Nothing is drawn.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> values = rng.gamma(2, size=(60, 1)) * rng.gamma(9, size=(60, 8))
    >>> weights = pd.DataFrame(values, index=[f"G{i}" for i in range(60)])
    >>> found = target_combinations(weights, candidates=["G1", "G2", "G3"])
    >>> found.pairs[["rank", "gene_a", "gene_b"]].to_numpy().tolist()[0][0], len(found.pairs)
    (1, 3)
    """
    _require_numbers(n_clusters, n_reference, n_pairs, threshold, quantile)
    has_dose = as_published and isinstance(weights, pd.DataFrame) and "dose" in weights.index
    table, notes = gene_weights(weights, [*drop, "dose"] if has_dose and "dose" not in drop else drop)
    known = None if known is None else read_known(known)
    genes, said = find_candidates(table, known, disease, candidates)
    if candidates is not None and "; not: " in said[0]:
        warnings.warn(said[0], stacklevel=2)
    notes += said
    n_reference = min(n_reference, len(table))
    if as_published:
        at_least = 0.8 if threshold is None else threshold
        limit = len(table) ** 2 if n_pairs is None else n_pairs
        found = _published(table, genes, n_clusters, n_reference, at_least, limit)
    else:
        found = _residual(table, genes, n_clusters, n_reference, threshold, n_pairs, n_shared, quantile, seed)
    notes += found.notes
    for note in found.notes:
        warnings.warn(note, stacklevel=2)
    if known is not None and disease is not None:
        pairs, ranking = (
            part.assign(known=is_known(part, known, disease, genes)) for part in (found.pairs, found.ranking)
        )
        found = replace(found, pairs=pairs, ranking=ranking)
    return replace(found, notes=tuple(notes))


def _published(
    table: pd.DataFrame,
    genes: list[str],
    n_clusters: int,
    n_reference: int,
    threshold: float | Literal["auto"],
    n_pairs: int,
) -> TargetCombinations:
    found = published(
        table, genes, n_clusters=n_clusters, n_reference=n_reference, threshold=threshold, n_pairs=n_pairs
    )
    pairs = found.pairs.copy()
    pairs.insert(0, "rank", np.arange(1, len(pairs) + 1))
    spread = table.std(axis=0, ddof=0)
    shares = np.linalg.svd(((table - table.mean()) / spread.where(spread > 0, 1)).to_numpy(), compute_uv=False) ** 2
    return TargetCombinations(
        pairs, pairs, _cluster_table(found.clusters, found.nearest), tuple(genes), found.columns, found.threshold,
        profiles.effective_rank(shares), 0, float("nan"), _collinear(shares / shares.sum(), table.shape[1]),
    )  # fmt: skip


def _residual(
    table: pd.DataFrame,
    genes: list[str],
    n_clusters: int,
    n_reference: int,
    threshold: float | Literal["auto"] | None,
    n_pairs: int | None,
    n_shared: int | None,
    quantile: float,
    seed: int,
) -> TargetCombinations:
    whole = profiles.residual_profiles(table, n_shared)
    null = profiles.random_pairs(whole, seed)
    importance = table.abs().mean(axis=1)
    reference = importance.sort_index().sort_values(ascending=False, kind="stable").index[:n_reference]
    values = pd.DataFrame(whole.rows, index=whole.genes)
    clusters = fcluster(linkage(values.loc[reference].to_numpy(), "ward"), n_clusters, "maxclust").astype(int)
    numbers = pd.Series(clusters, index=reference, name="cluster")
    nearest = nearest_cluster(values.loc[genes], values.loc[reference], numbers)
    ranking = rank_pairs(values.loc[genes], importance[genes], nearest, null)
    at_least = float(np.quantile(null, quantile)) if threshold == "auto" else float(threshold or 0.0)
    pairs = ranking[ranking["score"] >= at_least].head(len(ranking) if n_pairs is None else n_pairs)
    return TargetCombinations(
        pairs, ranking, _cluster_table(numbers, nearest), tuple(genes), tuple(table.columns), at_least,
        whole.effective_rank, whole.n_shared, whole.residual_rank, _collinear(whole.shares, table.shape[1]),
    )  # fmt: skip


def rank_pairs(values: pd.DataFrame, importance: pd.Series, nearest: pd.Series, null: np.ndarray) -> pd.DataFrame:
    """All pairs of the rows of ``values``, unit profiles by gene, best first; ties in the order of the names."""
    values = values.sort_index()
    names = values.index.to_numpy(dtype=object)
    i, j = np.triu_indices(len(names), 1)
    r = np.clip(values.to_numpy() @ values.to_numpy().T, -1, 1)[i, j]
    size, cluster = importance[names].to_numpy(), nearest[names].to_numpy()
    p_value = profiles.exceeded(null, np.abs(r))
    table = pd.DataFrame({
        "gene_a": names[i], "gene_b": names[j], "score": np.abs(r), "r": r, "importance": size[i] + size[j],
        "p_value": p_value, "q_value": false_discovery(p_value), "same_cluster": cluster[i] == cluster[j],
    })  # fmt: skip
    table = table.sort_values("score", ascending=False, kind="stable", ignore_index=True)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    return table


def false_discovery(p_values: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's q-values; NaN is no test and stays.

    Examples
    --------
    >>> false_discovery(np.array([0.01, np.nan, 0.04, 0.03])).round(3)
    array([0.03,  nan, 0.04, 0.04])
    """
    order = np.argsort(p_values, kind="stable")[: int(np.isfinite(p_values).sum())]
    stepped = p_values[order] * len(order) / np.arange(1, len(order) + 1)
    result = np.full(p_values.shape, np.nan)
    result[order] = np.minimum(np.minimum.accumulate(stepped[::-1])[::-1], 1.0)
    return result


def _cluster_table(reference: pd.Series, candidates: pd.Series) -> pd.DataFrame:
    parts = {"reference": reference, "candidate": candidates}
    return pd.concat(
        [pd.DataFrame({"gene": one.index, "cluster": one.to_numpy(), "role": role}) for role, one in parts.items()],
        ignore_index=True,
    )


def _collinear(shares: np.ndarray, n_variables: int) -> tuple[str, ...]:
    """A note where the latent variables say nearly one thing."""
    if n_variables < 2 or shares.max() < COLLINEAR:
        return ()
    return (
        f"One component holds {100 * shares.max():.1f} % of the variance of the {n_variables:,} latent variables "
        f"(effective rank {profiles.effective_rank(shares):.2f}): they are nearly copies of each other, and "
        "correlations of genes over them are high for any two genes.",
    )


def _require_numbers(
    n_clusters: int, n_reference: int, n_pairs: int | None, threshold: float | str | None, quantile: float
) -> None:
    if not 2 <= n_clusters <= n_reference or (n_pairs is not None and n_pairs < 1):
        raise ValueError(
            "2 clusters or more, no fewer reference genes than clusters and 1 pair or more are expected; received "
            f"n_clusters={n_clusters}, n_reference={n_reference} and n_pairs={n_pairs}. 4, 50 and 100 are usual."
        )
    is_number = isinstance(threshold, int | float) and 0 <= threshold <= 1
    if not (threshold is None or threshold == "auto" or is_number) or not 0 < quantile < 1:
        raise ValueError(
            f'threshold should be 0 to 1, "auto" or None, and quantile between 0 and 1; received {threshold!r} and '
            f"{quantile!r}. Correct them."
        )
