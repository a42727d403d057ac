"""Is a drug's average precision more than chance: a permutation test for each label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from galenic.evaluate.checks import require_columns
from galenic.evaluate.statistics import benjamini_hochberg

DRAWN = 2_000_000  # random positions at a time: bounds memory at a few tens of megabytes
SAME = 1e-12  # two average precisions closer than this are equal but for rounding


def map_significance(
    queries: pd.DataFrame, by: Sequence[str] = ("pert_id",), *, n_permutations: int = 10_000, seed: int = 0
) -> pd.DataFrame:
    """Test the mean average precision of each label (drug, mechanism, ...) against random rankings.

    Parameters
    ----------
    queries
        From :func:`~galenic.evaluate.retrieval_by_query`.
    by
        Columns whose combinations are tested one by one.
    n_permutations
        Random rankings of each query; no p-value is below 1 / (n_permutations + 1).
    seed
        Of the rankings.

    Returns
    -------
    pandas.DataFrame
        ``group``, the columns of ``by``, ``n`` queries, ``map``, ``map_normalised``, ``p_value`` and ``q_value``
        (Benjamini-Hochberg within the group).

    Raises
    ------
    ValueError
        For missing columns or fewer than one permutation.

    Notes
    -----
    The scheme of copairs (Kalinin et al., Nature Communications 2025). Random rankings are drawn once for every pair of
    numbers of matches and non-matches, and queries with the same numbers share them: queries of one label are matches
    of one another, so that their average precisions rise and fall together, and independent draws would give p-values
    that are too small. ``p = (1 + random means >= the mean) / (1 + n_permutations)``; copairs counts ``>``.

    Positions of M matches among L come from gaps: M uniform numbers leave M + 1 Dirichlet-distributed gaps, and the
    L - M non-matches fall into them multinomially. That is uniform over all rankings and costs M numbers, not L.

    Examples
    --------
    >>> queries = pd.DataFrame({"group": "all", "drug": list("aabb"), "n_positives": 1, "n_negatives": 99,
    ...                         "ap": [1.0, 1.0, 0.02, 0.03], "ap_normalised": [1.0, 1.0, -0.03, -0.02]})
    >>> map_significance(queries, ["drug"], n_permutations=999)[["drug", "n", "map"]]
      drug  n    map
    0    a  2  1.000
    1    b  2  0.025
    """
    by = list(by)
    needed = ["group", *by, "n_positives", "n_negatives", "ap", "ap_normalised"]
    require_columns(queries, needed, "significance: the table of queries")
    if n_permutations < 1:
        raise ValueError(f"n_permutations should be at least 1; received {n_permutations}. 10,000 is usual.")
    rng = np.random.default_rng(seed)
    tables = [_tested(some, by, n_permutations, rng).assign(group=group) for group, some in queries.groupby("group")]
    columns = ["group", *by, "n", "map", "map_normalised", "p_value", "q_value"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def random_average_precision(n_positives: int, n_negatives: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Average precision of ``n`` random rankings for each number of non-matches, ``(len(n_negatives), n)``.

    Examples
    --------
    >>> random_average_precision(2, np.array([0]), 3, np.random.default_rng(0))
    array([[1., 1., 1.]])
    """
    gaps = rng.dirichlet(np.ones(n_positives + 1), size=(len(n_negatives), n))
    above = rng.multinomial(np.asarray(n_negatives)[:, None], gaps)[..., :-1].cumsum(axis=-1)
    own = np.arange(1, n_positives + 1)
    return np.asarray((own / (own + above)).mean(axis=-1))


def _tested(queries: pd.DataFrame, by: list[str], n_permutations: int, rng: np.random.Generator) -> pd.DataFrame:
    table = queries.groupby(by, sort=True, observed=True).agg(
        n=("ap", "size"), map=("ap", "mean"), map_normalised=("ap_normalised", "mean")
    )
    labels = queries.groupby(by, sort=True, observed=True).ngroup().to_numpy()
    kinds, kind = np.unique(queries[["n_positives", "n_negatives"]].to_numpy(), axis=0, return_inverse=True)
    kept = labels >= 0  # rows without a label
    n = table["n"].to_numpy()
    shares = sparse.csr_array((1 / n[labels[kept]], (labels[kept], kind.ravel()[kept])), shape=(len(table), len(kinds)))
    reached = np.zeros(len(table))
    size = max(1, DRAWN // max(int((kinds[:, 0] + 1).sum()), 1))
    for start in range(0, n_permutations, size):
        drawn = np.empty((len(kinds), min(size, n_permutations - start)))
        for n_positives in np.unique(kinds[:, 0]):
            rows = kinds[:, 0] == n_positives
            drawn[rows] = random_average_precision(n_positives, kinds[rows, 1], drawn.shape[1], rng)
        reached += (shares @ drawn >= table["map"].to_numpy()[:, None] - SAME).sum(axis=1)
    table["p_value"] = (reached + 1) / (n_permutations + 1)
    table["q_value"] = benjamini_hochberg(table["p_value"].to_numpy())
    return table.reset_index()
