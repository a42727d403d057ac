"""Retrieval: do profiles of one drug, mechanism or target find each other in an embedding or by a similarity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from galenic.evaluate.checks import require_columns
from galenic.evaluate.pairs import Column, Pairs, Strata, column, pairs_of
from galenic.evaluate.ranking import (
    AT,
    Ranked,
    average_precision,
    expected_average_precision,
    found_at,
    pooled_auroc,
    ranked,
)
from galenic.evaluate.similarity import Similar, blocks, similarity_of
from galenic.work.bar import counted

POOLED_BINS = 2**22  # one ranking of all pairs: bins narrower than float32 tells apart over most of [-1, 1]


class Scored(NamedTuple):
    """What the blocks of rows leave of one group: a table of queries and the quantile of every match."""

    queries: pd.DataFrame
    quantiles: np.ndarray


def retrieval(
    table: pd.DataFrame,
    embedding: np.ndarray | None = None,
    *,
    similarity: np.ndarray | None = None,
    metric: str = "cosine",
    same: Sequence[str] = ("pert_id",),
    different: Sequence[str] = (),
    strata: Strata | None = None,
    separator: str | None = None,
    exact: bool = True,
) -> pd.DataFrame:
    """Score how well profiles that belong together are found among all others.

    Parameters
    ----------
    table
        Labels, one row a profile.
    embedding
        Vector of each profile, ``(n, n_dims)``, in the order of the table; compared by ``metric``: ``"cosine"`` or
        ``"euclidean"``.
    similarity
        In place of an embedding: similarity of each query (row) to each profile, ``(n, n)``, higher = more alike; the
        diagonal is not read.
    same
        Columns a match shares, all of them: ``["pert_id"]``, ``["moa"]``.
    different
        Columns in which a match differs, all of them: ``["plate"]``.
    strata
        Further groups of pairs: ``{"same cell": ("cell", True), "different cell": ("cell", False)}``. Matches and
        non-matches then both share (or differ in) the column; a list of such conditions must all hold.
    separator
        With ``"|"`` a label of ``same`` is a set, and ``"a|b"`` matches ``"b|c"``.
    exact
        Sort every row. ``False`` counts in 65,536 bins a row (quantiles then within about 3e-5): several times faster
        for tens of thousands of profiles where the processor lacks the vector instructions that numpy sorts with, and
        half as fast where it has them.
    metric
        How vectors are compared: ``"cosine"`` or ``"euclidean"``; not used with ``similarity``.

    Returns
    -------
    pandas.DataFrame
        ``group, metric, value, n``, with the group ``"all"`` and one for each stratum. Metrics:

        - ``median_quantile``: median over the n matches of the share of the query's non-matches that are more similar
          than the match, ties half. 0 is best, 0.5 is chance.
        - ``recall_at_1pct``, ``recall_at_10pct``: share of the n matches with a quantile of at most 0.01, 0.1.
        - ``auroc``: 1 - mean quantile, where each of n labels (combination of ``same``) counts once.
        - ``auroc_by_pair``: the same where each of the n matches counts once; large labels weigh more.
        - ``map``: mean over n queries of average precision; ``map_normalised``: of (AP - e) / (1 - e) with e the AP
          of a random ranking, which is 0 by chance however many matches there are.
        - ``hit_at_k``: share of n queries with a match among the first k (1, 5, 10); ``recall_at_k``: mean over n
          queries of the share of their matches among the first k.

        A metric without matches is NaN with n = 0.

    Raises
    ------
    ValueError
        For missing columns, arrays of the wrong shape, numbers that are not finite, or a vector of length zero.

    Notes
    -----
    A query is a profile with at least one match and one non-match. Its non-matches are the profiles that do not share
    *all* of ``same``, whatever ``different`` says: a profile of the query's drug on the query's plate is neither. (In
    copairs: ``neg_diffby`` = ``pos_sameby`` for a single column.) Rows that miss a label of a group's columns take no
    part in that group. Rows in another order, or similarities passed through an increasing function, change nothing.

    Each block of rows takes one matrix product and, a group, one sort; memory beyond the result is about 100 MB plus
    8 bytes a match.

    Examples
    --------
    >>> table = pd.DataFrame({"drug": list("aabb"), "cell": list("xyxy")})
    >>> embedding = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.8, 0.2]])
    >>> scores = retrieval(table, embedding, same=["drug"])
    >>> scores[scores["metric"].isin(["auroc", "map"])].round(3)
      group metric  value  n
    3   all  auroc  0.750  2
    5   all    map  0.833  4
    """
    similar = similarity_of(len(table), embedding, similarity, metric)
    groups = pairs_of(table, same, different, strata, separator)
    tables = [summary(group, scored) for group, scored in _scored(len(table), groups, similar, exact)]
    return pd.concat(tables, ignore_index=True)


def retrieval_by_query(
    table: pd.DataFrame,
    embedding: np.ndarray | None = None,
    *,
    similarity: np.ndarray | None = None,
    metric: str = "cosine",
    same: Sequence[str] = ("pert_id",),
    different: Sequence[str] = (),
    strata: Strata | None = None,
    separator: str | None = None,
    exact: bool = True,
) -> pd.DataFrame:
    """Score each query of :func:`retrieval` by itself, for scores by drug and for significance.

    Parameters
    ----------
    table, embedding, similarity, metric, same, different, strata, separator, exact
        As in :func:`retrieval`.

    Returns
    -------
    pandas.DataFrame
        One row a group and query: ``group, row`` (index of the table), the columns of ``same``, ``n_positives``,
        ``n_negatives``, ``mean_quantile`` (of its matches), ``ap``, ``ap_expected``, ``ap_normalised``, and
        ``found_at_1``, ``found_at_5``, ``found_at_10`` (matches among the first k).

    Examples
    --------
    >>> table = pd.DataFrame({"drug": list("aabb")}, index=list("wxyz"))
    >>> embedding = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.8, 0.2]])
    >>> retrieval_by_query(table, embedding, same=["drug"])[["row", "drug", "n_negatives", "ap"]].round(3)
      row drug  n_negatives     ap
    0   w    a            2  1.000
    1   x    a            2  1.000
    2   y    b            2  1.000
    3   z    b            2  0.333
    """
    similar = similarity_of(len(table), embedding, similarity, metric)
    groups = pairs_of(table, same, different, strata, separator)
    tables = []
    for group, (queries, _) in _scored(len(table), groups, similar, exact):
        rows = queries["row"].to_numpy()
        labels = table[list(same)].iloc[rows].reset_index(drop=True)
        own = queries.assign(row=table.index[rows]).drop(columns="label")
        tables.append(pd.concat([own[["row"]], labels, own.drop(columns="row")], axis=1).assign(group=group))
    result = pd.concat(tables, ignore_index=True)
    return result[["group", *result.columns.drop("group")]]


def external(
    table: pd.DataFrame,
    vectors: np.ndarray | None = None,
    *,
    similarity: np.ndarray | None = None,
    metric: str = "cosine",
    label: str | None = "moa",
    related: np.ndarray | None = None,
    separator: str | None = "|",
    prefix: int | None = None,
    exclude: np.ndarray | None = None,
    exact: bool = True,
) -> pd.DataFrame:
    """Score how well similarity between drugs agrees with what is known of them: mechanism, target, class, structure.

    Parameters
    ----------
    table
        One row a drug.
    vectors, similarity, metric, exact
        As in :func:`retrieval`, one row a drug.
    label
        Column of the annotation; two drugs match if they share any of its values.
    related
        In place of ``label``: which drugs match, boolean ``(n, n)``, symmetric (say Tanimoto similarity > 0.4).
    separator, prefix
        What separates several values of a label, and how many leading characters of a value count: levels 1, 2, 3 and
        4 of an ATC code are 1, 3, 4 and 5.
    exclude
        Pairs to leave out, boolean ``(n, n)``, symmetric: drugs of similar structure, to see what is found beyond it.

    Returns
    -------
    pandas.DataFrame
        ``group, metric, value, n``: the metrics of :func:`retrieval` and ``auroc_pooled``, one ranking of all n
        matching pairs of drugs against all others. Group ``"all"``, and with ``exclude`` also ``"not excluded"``.
        In ``auroc`` each label as it is written (``"a|b"``), or with ``related`` each drug, counts once.

    Examples
    --------
    >>> table = pd.DataFrame({"moa": ["kinase|lipid", "kinase", "lipid", None, "channel"]})
    >>> vectors = np.array([[1.0, 0.1], [1.0, 0.0], [0.9, 0.2], [0.5, 0.5], [0.0, 1.0]])
    >>> external(table, vectors).query("metric == 'auroc_pooled'").round(3)
       group        metric  value  n
    13   all  auroc_pooled    1.0  2
    """
    similar = similarity_of(len(table), vectors, similarity, metric)
    n = len(table)
    if (label is None) is (related is None):
        label_or = "both" if label is not None else "neither"
        raise ValueError(
            f"give a label or a matrix of related drugs; received {label_or}. Set label=None for a matrix."
        )
    for what, matrix in (("related", related), ("exclude", exclude)):
        if matrix is not None and (np.shape(matrix) != (n, n) or np.asarray(matrix).dtype != bool):
            raise ValueError(
                f"{what} should be a boolean matrix ({n:,}, {n:,}), a row and a column a drug of the table; received "
                f"shape {np.shape(matrix)} of {np.asarray(matrix).dtype}. Compare the similarity with a threshold."
            )
    same: tuple[Column, ...] = ()
    if label is not None:
        require_columns(table, [label], "external agreement: the table of drugs")
        same = (column(table[label], separator, prefix),)
    groups = {"all": Pairs(same, related=related)}
    if exclude is not None:
        groups["not excluded"] = Pairs(same, related=related, exclude=exclude)
    tables = []
    for group, scored in _scored(n, groups, similar, exact):
        pooled = _pooled(n, groups[group], similar)
        row = pd.DataFrame([(group, "auroc_pooled", *pooled)], columns=["group", "metric", "value", "n"])
        tables += [summary(group, scored), row]
    return pd.concat(tables, ignore_index=True)


def summary(group: str, scored: Scored) -> pd.DataFrame:
    """The metrics of one group from its queries and the quantiles of its matches."""
    queries, quantiles = scored
    sums = (queries["mean_quantile"] * queries["n_positives"]).groupby(queries["label"]).sum()
    by_label = sums / queries.groupby("label")["n_positives"].sum()
    pairs, labels, asked = len(quantiles), len(by_label), len(queries)
    rows = [
        ("median_quantile", np.median(quantiles) if pairs else np.nan, pairs),
        ("recall_at_1pct", _mean(quantiles <= 0.01), pairs),
        ("recall_at_10pct", _mean(quantiles <= 0.1), pairs),
        ("auroc", 1 - _mean(by_label), labels),
        ("auroc_by_pair", 1 - _mean(quantiles), pairs),
        ("map", _mean(queries["ap"]), asked),
        ("map_normalised", _mean(queries["ap_normalised"]), asked),
        *((f"hit_at_{k}", _mean(queries[f"found_at_{k}"] > 0), asked) for k in AT),
        *((f"recall_at_{k}", _mean(queries[f"found_at_{k}"] / queries["n_positives"]), asked) for k in AT),
    ]
    table = pd.DataFrame(rows, columns=["metric", "value", "n"])
    table.insert(0, "group", group)
    return table


def _mean(values: np.ndarray | pd.Series) -> float:
    return float(np.mean(values)) if len(values) else np.nan


def _scored(n: int, groups: dict[str, Pairs], similar: Similar, exact: bool) -> Iterator[tuple[str, Scored]]:
    """Each group's queries; a block of similarities is computed once for all groups."""
    pieces: dict[str, list[Scored]] = {group: [] for group in groups}
    known = {group: pairs.known(n) for group, pairs in groups.items()}
    labels = {group: _label(pairs, n) for group, pairs in groups.items()}
    for rows in counted(blocks(n), "blocks of queries"):
        masks = {group: pairs.blocks(rows, known[group]) for group, pairs in groups.items()}
        asks = {group: np.array(match.any(axis=1) & other.any(axis=1)) for group, (match, other) in masks.items()}
        live = np.flatnonzero(np.logical_or.reduce(list(asks.values())))
        if not len(live):
            continue
        block = similar(rows[live])
        for group, (match, other) in masks.items():
            chosen = asks[group][live]
            own = live[chosen]
            found = ranked(block if chosen.all() else block[chosen], match[own], other[own], exact=exact)
            pieces[group].append(_query_table(found, rows[own], labels[group][rows[own]]))
    for group, parts in pieces.items():
        parts = parts or [_query_table(Ranked(*np.zeros((5, 0), dtype=np.intp)), np.zeros(0, int), np.zeros(0, int))]
        yield (
            group,
            Scored(
                pd.concat([part.queries for part in parts], ignore_index=True),
                np.concatenate([part.quantiles for part in parts]),
            ),
        )


def _query_table(found: Ranked, rows: np.ndarray, labels: np.ndarray) -> Scored:
    n = len(rows)
    quantiles = found.quantile
    n_positives = np.bincount(found.query, minlength=n)
    ap, expected = average_precision(found, n), expected_average_precision(n_positives, found.n_negatives)
    columns = {
        "row": rows,
        "label": labels,
        "n_positives": n_positives,
        "n_negatives": found.n_negatives,
        "mean_quantile": np.bincount(found.query, quantiles, n) / n_positives,
        "ap": ap,
        "ap_expected": expected,
        "ap_normalised": (ap - expected) / (1 - expected),
        **{f"found_at_{k}": found_at(found, n, k) for k in AT},
    }
    return Scored(pd.DataFrame(columns), quantiles)


def _label(pairs: Pairs, n: int) -> np.ndarray:
    """Number of the label each row belongs to; rows by themselves where matches are given as a matrix."""
    if not pairs.same:
        return np.arange(n)
    return np.unique(np.column_stack([one.codes for one in pairs.same]), axis=0, return_inverse=True)[1].ravel()


def _pooled(n: int, pairs: Pairs, similar: Similar) -> tuple[float, int]:
    """AUROC of one ranking of all pairs of rows, in two passes: the range of similarities, then histograms."""
    known = pairs.known(n)
    low, high = np.inf, -np.inf
    for rows in blocks(n):
        block = similar(rows)
        block[np.arange(len(rows)), rows] = block[0, (rows[0] + 1) % n]  # the diagonal may hold anything
        low, high = min(low, block.min()), max(high, block.max())
    step = (high - low) / (POOLED_BINS - 1) if high > low else 1.0
    few = n * n < POOLED_BINS // 16  # one block, of which most bins would be empty
    n_bins = n * n if few else POOLED_BINS
    counts = np.zeros((2, n_bins), dtype=np.int64)
    for rows in blocks(n):
        bins = np.clip((similar(rows).astype(np.float64) - low) / step, 0, POOLED_BINS - 1).astype(np.int64)
        if few:
            bins = np.unique(bins, return_inverse=True)[1].reshape(bins.shape)
        later = np.arange(n) > rows[:, None]
        for kind, mask in enumerate(pairs.blocks(rows, known)):
            counts[kind] += np.bincount(bins[mask & later], minlength=n_bins)
    return pooled_auroc(counts[0], counts[1]), int(counts[0].sum())
