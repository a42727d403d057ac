"""Ways to rank target pairs, judged on every disease beside floors that read no weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from galenic.explain import target_profiles as profiles
from galenic.explain.target_genes import find_candidates, gene_weights
from galenic.explain.target_pairs import known_matrix, of_disease, popularity, read_known
from galenic.explain.target_scores import average_precision, permuted_auroc
from galenic.explain.targets import false_discovery
from galenic.work.bar import counted

FLOORS = ("popularity", "known elsewhere")
"""Methods that read no weights."""
Scorer = Callable[[list[str], str], np.ndarray]
"""From candidates and a disease to a symmetric matrix of scores."""


def scorers(weights: pd.DataFrame, known: pd.DataFrame, n_shared: int | None = None) -> dict[str, Scorer]:
    """Ways to score pairs of genes, by name.

    Parameters
    ----------
    weights
        From :func:`~galenic.explain.target_genes.gene_weights`.
    known
        From :func:`~galenic.explain.target_pairs.read_known`.
    n_shared
        Components to take away for "residual".

    Returns
    -------
    dict
        - "residual": ``|cosine|`` of residual profiles, as :func:`~galenic.explain.targets.target_combinations`.
        - "correlation": absolute Pearson's r of weights scaled to 0..1 in each variable, as published but over the
          variables alone.
        - "importance": sum of the mean absolute weights of the two genes.
        - "popularity": sum of the numbers of their partners in known pairs of other diseases.
        - "known elsewhere": in how many other diseases the pair itself is known, ties by popularity.
    """
    place = {gene: i for i, gene in enumerate(weights.index)}
    residual = profiles.residual_profiles(weights, n_shared).rows
    values = weights.to_numpy()
    spread = np.ptp(values, axis=0)
    rows = (values - values.min(axis=0)) / np.where(spread > 0, spread, 1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    # A row without spread has no correlation: it is 0 here, so that the pair still has a place.
    rows = np.where(length > 1e-12, rows / np.where(length > 1e-12, length, 1), 0.0)
    size = weights.abs().mean(axis=1)

    def alike(unit: np.ndarray) -> Scorer:
        def score(genes: list[str], _: str) -> np.ndarray:
            chosen = unit[[place[gene] for gene in genes]]
            return np.asarray(np.abs(chosen @ chosen.T))

        return score

    def importance(genes: list[str], _: str) -> np.ndarray:
        return np.add.outer(size[genes].to_numpy(), size[genes].to_numpy())

    def popular(genes: list[str], disease: str) -> np.ndarray:
        counts = popularity(known, genes, without=disease).to_numpy(dtype=np.float64)
        return np.add.outer(counts, counts)

    def elsewhere(genes: list[str], disease: str) -> np.ndarray:
        others = known[known["disease"] != of_disease(known, disease)[1]]
        places = pd.Index([gene.upper() for gene in genes])
        a, b = (places.get_indexer(others[name]) for name in ("gene_a", "gene_b"))
        there = (a >= 0) & (b >= 0)
        counts = np.zeros((len(genes), len(genes)))
        np.add.at(counts, (a[there], b[there]), 1)
        ties = popular(genes, disease)
        return counts + counts.T + ties / (1 + ties.max())

    return {
        "residual": alike(residual), "correlation": alike(rows), "importance": importance, "popularity": popular,
        "known elsewhere": elsewhere,
    }  # fmt: skip


def score_diseases(
    weights: pd.DataFrame,
    known: pd.DataFrame,
    *,
    methods: Mapping[str, Scorer] | None = None,
    drop: Sequence[str] = (),
    min_known: int = 3,
    top: int = 10,
    n_permutations: int = 999,
    n_shared: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Judge ways to rank target pairs on every disease, floors that read no weights among them.

    Parameters
    ----------
    weights
        Genes x latent variables.
    known
        Known pairs: ``gene_a, gene_b, disease``. The candidates of a disease are its genes that are measured.
    methods
        More of them, by name: a function of candidates and disease that gives a symmetric matrix of scores.
    drop
        Rows or columns of ``weights`` to leave out.
    min_known
        Diseases with fewer known pairs among their candidates, or where all pairs are known, are left out.
    top
        Length of the list of which hits are counted.
    n_permutations, seed
        Shuffles of gene labels for the p-value of the AUROC, and where they start; the same for each method.
    n_shared
        Components to take away for "residual".

    Returns
    -------
    DataFrame
        One row a disease and method: ``disease, method, is_floor, n_candidates, n_pairs, n_known, base_rate, auroc, ap,
        top, hits, expected, p_hits, p_value, q_value``. ``hits``: known pairs among the first ``top``, in expectation
        over the order of ties, and ``expected`` what chance gives; ``p_hits``: hypergeometric, hits rounded down;
        ``p_value``: permutation of gene labels, one-sided; ``q_value``: Benjamini-Hochberg over diseases within the
        method. The floors use the other diseases alone.

    Raises
    ------
    ValueError
        As :func:`~galenic.explain.targets.target_combinations`.

    Notes
    -----
    On the published ovarian matrix, over 13 diseases: mean AUROC of residual 0.48, correlation 0.46, importance 0.52,
    popularity 0.74, known elsewhere 0.85: nothing read from the weights reaches a floor. Weights of one cell line stand
    for all diseases there; only the ovarian row is matched. The floors know the habits of those who combine drugs, and
    diseases share combinations ("Other Cancer" among them): they are what a claim must exceed, and no biology.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> weights = pd.DataFrame(rng.gamma(2, size=(40, 6)), index=[f"G{i}" for i in range(40)])
    >>> ends = rng.choice(12, (40, 2))
    >>> known = pd.DataFrame({"gene_a": [f"G{i}" for i in ends[:, 0]], "gene_b": [f"G{i}" for i in ends[:, 1]]})
    >>> table = score_diseases(weights, known.assign(disease=["x", "y"] * 20), n_permutations=99)
    >>> sorted(set(table["method"])), sorted(set(table["disease"]))
    (['correlation', 'importance', 'known elsewhere', 'popularity', 'residual'], ['x', 'y'])
    """
    table, _ = gene_weights(weights, drop)
    pairs = read_known(known)
    ways = {**scorers(table, pairs, n_shared), **(methods or {})}
    rows = []
    for disease, of in counted(pairs.groupby("disease", sort=True), "diseases"):
        upper = set(of["gene_a"]) | set(of["gene_b"])
        if table.index.str.upper().isin(upper).sum() < 2:
            continue
        genes, _ = find_candidates(table, pairs, str(disease), None)
        truth = known_matrix(of, genes)
        i, j = np.triu_indices(len(genes), 1)
        y = truth[i, j]
        if y.sum() < min_known or y.all():
            continue
        size = {"n_candidates": len(genes), "n_pairs": len(y), "n_known": int(y.sum()), "base_rate": y.mean()}
        for method, score in ways.items():
            scores = score(genes, str(disease))
            found = _judged(scores, truth, min(top, len(y)), n_permutations, seed)
            rows.append({"disease": disease, "method": method, "is_floor": method in FLOORS, **size, **found})
    if not rows:
        raise ValueError(
            f"one disease at least should have {min_known} known pairs, but not all, among the {len(table):,} genes of "
            f"the weights; none of {pairs['disease'].nunique():,} has. Lower min_known, or check the gene symbols."
        )
    result = pd.DataFrame(rows)
    result["q_value"] = result.groupby("method")["p_value"].transform(lambda p: false_discovery(p.to_numpy()))
    return result


def _judged(scores: np.ndarray, truth: np.ndarray, top: int, n_permutations: int, seed: int) -> dict[str, float]:
    i, j = np.triu_indices(len(scores), 1)
    # Sums that differ by rounding alone are ties.
    values, y = scores[i, j].round(12), truth[i, j]
    auroc, p_value = permuted_auroc(scores.round(12), truth, n_permutations, np.random.default_rng(seed))
    cut = np.sort(values)[-top]
    above, tied = values > cut, values == cut
    hits = float(y[above].sum() + (top - above.sum()) * y[tied].mean())
    expected = top * y.mean()
    p_hits = float(stats.hypergeom.sf(np.floor(hits + 1e-9) - 1, len(y), int(y.sum()), top))
    return {
        "auroc": auroc, "ap": average_precision(y, values), "top": top, "hits": hits, "expected": float(expected),
        "p_hits": p_hits, "p_value": p_value,
    }  # fmt: skip
