"""What a search answers, as tables: hits with what is known of them, enriched labels, and a map of the neighbours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from galenic.data.drugs import fingerprints, tanimoto
from galenic.search.enrichment import enrichment

LABELS = ("moa", "target")
N_MAPPED, N_OTHERS = 60, 240
"""Hits, and other perturbagens, on a map."""
HIT_COLUMNS = ("query", "rank", "id", "pert_id", "pert_name", "similarity")
RANK_COLUMNS = ("query", "kind", "label", "n", "n_in_hits", "k", "odds", "p_value", "q_value", "auroc", "p_rank",
                "q_rank")  # fmt: skip
MAP_COLUMNS = ("query", "role", "id", "name", "moa", "x", "y", "rank", "similarity")


class Answer(NamedTuple):
    """The tables of one search.

    Parameters
    ----------
    hits
        ``query, rank, id, pert_id, pert_name, similarity`` and, where known, ``cosine, moa, target, smiles, tanimoto``;
        of profiles ``cell, dose, time, plate``; of gene lists ``wtcs, tau``. ``above`` is the share of pairs of
        different perturbagens in the reference, of the same kind as query and hit, that are less similar, whatever the
        filter; there is none where similarities are combined by ``"max"`` or ``"q67"``. ``n_profiles, n_cells,
        agreement, concentration`` speak of the profiles that were compared: those that a filter left.
    queries
        One row a query: what it was, whether it can be trusted (``flag, reason``), and the shares of ``vehicles`` that
        are weaker (``vehicle_strength``) and whose best hit is less similar (``vehicle_similarity``).
    enrichment
        Mechanisms and targets over the whole ranking of perturbagens: ``kind`` (moa or target), ``label``, and the
        columns of :func:`galenic.search.enrichment`; ``k`` is the number of hits that were counted.
    map
        Query, first hits and a sample of the others in two dimensions: ``role, id, name, moa, x, y``.
    """

    hits: pd.DataFrame
    queries: pd.DataFrame
    enrichment: pd.DataFrame
    map: pd.DataFrame


def hit_table(query: str, ranking: pd.DataFrame, known: pd.DataFrame, k: int, smiles: str | None) -> pd.DataFrame:
    """The first ``k`` of a ranking with what is known of their perturbagens.

    Parameters
    ----------
    query
        Its name.
    ranking
        ``id, pert_id, similarity``, ..., best first.
    known
        Of the perturbagens, indexed by ``pert_id``.
    k
        How many.
    smiles
        Structure of the query, with which those of the hits are compared.
    """
    top = ranking.head(k).reset_index(drop=True)
    about = known.reindex(top["pert_id"]).reset_index(drop=True)
    if "pert_name" not in about:
        about["pert_name"] = pd.NA
    about["pert_name"] = about["pert_name"].astype("object").where(about["pert_name"].notna(), top["pert_id"])
    start = pd.DataFrame({"query": query, "rank": np.arange(1, len(top) + 1)}, index=top.index)
    table = pd.concat([start, top, about], axis=1)
    if "smiles" in table:
        table["tanimoto"] = structure_similarity(smiles, table["smiles"])
    return table[[*HIT_COLUMNS, *(name for name in table if name not in HIT_COLUMNS)]]


def structure_similarity(smiles: str | None, others: pd.Series) -> np.ndarray:
    """Shared Morgan bits (radius 2) over all, ``(n,)``; NaN where a structure is not known.

    Examples
    --------
    >>> structure_similarity("CCO", pd.Series(["OCC", None])).tolist()
    [1.0, nan]
    """
    result, there = np.full(len(others), np.nan), others.notna().to_numpy()
    if smiles and there.any():
        known = others[there].tolist()
        result[there] = tanimoto(fingerprints([smiles]), fingerprints(known))[0]
    return result


def enriched(query: str, ranking: pd.DataFrame, known: pd.DataFrame, k: int) -> pd.DataFrame:
    """Mechanisms and targets among the first of a ranking of perturbagens, and over all of it.

    Counted are the first ``k``, at most a tenth of the ranking but no fewer than ten: in a small reference the first
    fifty are nearly all there is.
    """
    n_top = min(k, max(10, len(ranking) // 10))
    parts = []
    for kind in LABELS:
        labels = known[kind].dropna() if kind in known else pd.Series(dtype=object)
        labels = labels[labels.index.isin(ranking["pert_id"])]
        if len(labels):
            rows = pd.DataFrame({"id": ranking["pert_id"], "similarity": ranking["similarity"]})
            parts.append(enrichment(rows, labels, label=kind, k=n_top).assign(query=query, kind=kind, k=n_top))
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True)[list(RANK_COLUMNS)] if parts else pd.DataFrame(columns=RANK_COLUMNS)


def named(table: pd.DataFrame) -> pd.DataFrame:
    """``id``, ``name`` (the id where there is none) and ``moa`` of perturbagens."""
    ids = pd.Series(table.index, index=table.index)
    rows = {"id": ids, "name": table["pert_name"].fillna(ids) if "pert_name" in table else ids, "moa": table.get("moa")}
    return pd.DataFrame(rows, index=table.index).reset_index(drop=True)


def neighbour_map(
    query: str, own: np.ndarray | None, hits: pd.DataFrame, vectors: np.ndarray, others: pd.DataFrame, seed: int = 0
) -> pd.DataFrame:
    """Query, hits and a sample of others in the plane in which their vectors differ most.

    Principal components of vectors, which is the classical scaling of their distances.

    Parameters
    ----------
    query
        Its name.
    own
        Its vector, ``(n_dims,)``; ``None`` where it has none.
    hits
        From :func:`hit_table`, those that are mapped.
    vectors
        Of the hits and then of the others, ``(n, n_dims)``.
    others
        ``id, name, moa`` of the others.
    """
    named = {"id": hits["id"], "name": hits["pert_name"], "moa": hits.get("moa")}
    table = pd.DataFrame({**named, "rank": hits["rank"], "similarity": hits["similarity"]}).assign(role="hit")
    rows = [table.astype({"rank": "Float64"}), others.assign(role="other", rank=pd.NA, similarity=np.nan)]
    points = np.asarray(vectors, dtype=np.float64)
    if own is not None:
        first = {"id": query, "name": query, "moa": None, "role": "query", "rank": pd.NA, "similarity": np.nan}
        rows.insert(0, pd.DataFrame([first]))
        points = np.concatenate([np.asarray(own, dtype=np.float64)[None], points])
    rows = [row.astype({"rank": "Float64", "moa": "object", "similarity": "float64"}) for row in rows if len(row)]
    centred = points - points.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(points), 2))
    n = min(2, len(sizes))
    # A component has no sign of its own; the largest coordinate is made positive, so that a map does not flip.
    flips = np.sign(left[np.abs(left[:, :n]).argmax(axis=0), np.arange(n)])
    places[:, :n] = left[:, :n] * sizes[:n] * flips
    table = pd.concat(rows, ignore_index=True).assign(query=query, x=places[:, 0].round(5), y=places[:, 1].round(5))
    return table[list(MAP_COLUMNS)]


def joined(answers: list[Answer]) -> Answer:
    """The answers to several queries as one."""
    if len(answers) == 1:
        return answers[0]
    parts = [[part for part in tables if len(part)] or [tables[0]] for tables in zip(*answers, strict=True)]
    return Answer(*(pd.concat(part, ignore_index=True) for part in parts))
