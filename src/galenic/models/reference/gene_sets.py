"""Ranked profiles of a reference: written in blocks, and scored by lists of raised and lowered genes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from galenic.data.checks import first
from galenic.search.connectivity import RankedProfiles, gene_sets, wtcs
from galenic.search.percentiles import ncs, reference_quantiles, tau
from galenic.work.bar import counted

N_GENES = 50
"""Genes at each end of a reference query; half of the genes where there are fewer than 100."""
FEWEST = 10
"""Known genes below which a query says too little."""
LEAST = 0.5
"""Share of the listed genes that the reference needs to know."""
COLUMNS = 8_192


def write(
    folder: Path,
    blocks: Callable[[], Iterator[np.ndarray]],
    shape: tuple[int, int],
    groups: np.ndarray,
    queries: np.ndarray,
) -> None:
    """Write ``ranks.npy``, ``weights.npy`` and ``quantiles.npy`` into a folder.

    Parameters
    ----------
    folder
        Where they go.
    blocks
        Gives the profiles of the reference in their order, some rows at a time, ``(n_rows, n_genes)`` of z-scores.
    shape
        Of all profiles, ``(n_profiles, n_genes)``.
    groups
        Cell line and perturbagen type of each profile as one label.
    queries
        Profiles whose ends are the reference queries of tau, z-scores.
    """
    folder.mkdir(parents=True)
    n_profiles, n_genes = shape
    ranks = _new(folder / "ranks.npy", (n_genes, n_profiles), np.uint16)
    weights = _new(folder / "weights.npy", (n_genes, n_profiles), np.float16)
    at = 0
    for block in blocks():
        part = RankedProfiles.of(block)
        ranks[:, at : at + len(block)], weights[:, at : at + len(block)] = part.ranks, part.weights
        at += len(block)
    reference = RankedProfiles(ranks, weights)
    up, down = gene_sets(queries, min(N_GENES, n_genes // 2))
    scores = _new(folder / "scores.npy", (len(queries), n_profiles), np.float32)
    for row in counted(range(len(queries)), "queries of tau"):
        scores[row] = np.nan_to_num(ncs(wtcs(reference, [up[row]], [down[row]]), groups)[0])
    quantiles = _new(folder / "quantiles.npy", (n_profiles, 201), np.float32)
    for start in range(0, n_profiles, COLUMNS):
        quantiles[start : start + COLUMNS] = reference_quantiles(scores[:, start : start + COLUMNS])
    del scores
    (folder / "scores.npy").unlink()


def scores(folder: Path, up: np.ndarray, down: np.ndarray, groups: np.ndarray) -> pd.DataFrame:
    """``wtcs``, ``ncs`` and ``tau`` of every profile for one query, in the order of the reference.

    Parameters
    ----------
    folder
        That :func:`write` filled.
    up, down
        Numbers of the raised and lowered genes; one of the two may be empty.
    groups
        As for :func:`write`.
    """
    ranks, weights, quantiles = (
        np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ("ranks", "weights", "quantiles")
    )
    raw = wtcs(RankedProfiles(ranks, weights), [up] if len(up) else None, [down] if len(down) else None)
    normalised = ncs(raw, groups)
    return pd.DataFrame({"wtcs": raw[0], "ncs": normalised[0], "tau": tau(normalised, quantiles)[0]})


def find_genes(
    genes: pd.DataFrame, up: Iterable[str], down: Iterable[str]
) -> tuple[np.ndarray, np.ndarray, dict[str, int | str]]:
    """Numbers of listed genes, by id or symbol, and how many are known.

    Parameters
    ----------
    genes
        Of the reference; index = ids, ``symbol`` where known.
    up, down
        Entrez ids or symbols; case does not matter, repeats count once.

    Returns
    -------
    tuple of ndarray, ndarray and dict
        Numbers of the raised and lowered genes, and the counts ``up_known, up_listed, down_known, down_listed`` with
        the first ``unknown``.

    Raises
    ------
    ValueError
        If a gene is in both lists, fewer than half of them are known, or fewer than 10.

    Examples
    --------
    >>> genes = pd.DataFrame({"symbol": [f"G{i}" for i in range(20)]}, index=[str(i) for i in range(20)])
    >>> find_genes(genes, [f"g{i}" for i in range(5)], [str(i) for i in range(10, 16)])[2]["down_known"]
    6
    """
    lists = [_distinct(up), _distinct(down)]
    ids = {str(name).casefold(): number for number, name in reversed(list(enumerate(genes.index)))}
    if "symbol" in genes:
        symbols = genes["symbol"].astype("object").fillna("").astype(str).str.casefold()
        ids = {name: number for number, name in reversed(list(enumerate(symbols))) if name} | ids
    found = [np.unique([ids[name] for name in names if name in ids]).astype(np.intp) for names in lists]
    unknown = [name for names in lists for name in names if name not in ids]
    both = np.intersect1d(found[0], found[1])
    if len(both):
        raise ValueError(
            f"a gene should be raised or lowered; {len(both):,} are in both lists (first: "
            f"{first(genes.index[both])}). Take them out of one."
        )
    n_known, n_listed = sum(map(len, found)), sum(map(len, lists))
    if n_known < FEWEST or n_known < LEAST * n_listed:
        lost = f"unknown first: {first(unknown)}; the" if unknown else "the"
        remedy = "Use human Entrez ids or symbols." if unknown else "List more genes."
        raise ValueError(
            f"at least {FEWEST} listed genes, and half of them, should be among the {len(genes):,} of the reference; "
            f"{n_known:,} of {n_listed:,} are ({lost} reference has {first(genes.get('symbol', genes.index))}). "
            f"{remedy}"
        )
    counts = {"up_known": len(found[0]), "up_listed": len(lists[0]), "down_known": len(found[1])}
    return found[0], found[1], {**counts, "down_listed": len(lists[1]), "unknown": first(unknown, 5)}


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text for name in names if (text := str(name).strip().casefold())))


def _new(path: Path, shape: tuple[int, int], kind: type) -> np.ndarray:
    array: np.ndarray = np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)
    return array
