"""The wanted profiles and genes of a source, under galenic's names, before their numbers are read."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first, require_unique
from galenic.data.gctx.metadata import GENE_ID, MISSING_NUMBER, ROW_ID, as_text, canonical_genes, canonical_profiles
from galenic.data.gctx.source import BLOCK, Block, Source, place
from galenic.data.limits import memory_left
from galenic.work.bar import progress_bar
from galenic.work.near import did_you_mean

N_LANDMARKS = 978
"""Genes that the L1000 assay measures; a file of exactly so many holds no others."""
PROBE = ("pr_id", "pr_probe_id", "probe_id", "rid", "row_id", "id")
PROFILE_ID = ("inst_id", "sig_id", "sample_id", "profile_id", "cid", "id", "distil_id")
Genes: TypeAlias = str | Iterable[Any] | None
Rows: TypeAlias = slice | Iterable[Any] | None


@dataclass(frozen=True, eq=False)
class Part:
    """Places in one source, ``(n_profiles,)`` and ``(n_genes,)``, in the wanted order."""

    source: Source
    rows: np.ndarray
    genes: np.ndarray


@dataclass(frozen=True, eq=False)
class Selection:
    """Profiles that are known by name and not read yet.

    Parameters
    ----------
    name
        For messages.
    obs, var
        The profiles and genes, in the order of the values.
    parts
        Where the numbers lie: the profiles of one source after those of another.
    steps
        What was done to the numbers so far.
    """

    name: str
    obs: pd.DataFrame
    var: pd.DataFrame
    parts: tuple[Part, ...]
    steps: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Profiles x genes."""
        return len(self.obs), len(self.var)

    def blocks(self, size: int = BLOCK) -> Iterator[Block]:
        """All values in blocks of about ``size``, as float32, with NaN where the files have -666."""
        before = 0
        for part in self.parts if all(self.shape) else ():
            for block in part.source.blocks(part.rows, part.genes, size):
                yield replace(block, rows=block.rows + before, load=partial(self._clean, block.load))
            before += len(part.rows)

    def narrowed(self, genes: np.ndarray) -> tuple[Part, ...]:
        """Its parts with only the genes at these places of ``var``."""
        return tuple(replace(part, genes=part.genes[genes]) for part in self.parts)

    def read(self) -> AnnData:
        """Everything in memory.

        Raises
        ------
        ValueError
            If this machine has less memory than it takes, or a value is infinite.
        """
        require_memory(self.shape, self.name)
        X = np.empty(self.shape, dtype=np.float32)
        with progress_bar(f"reading {self.name}", X.size, unit="values") as advance:
            for block in self.blocks():
                place(X, block, block.load())
                advance(len(block.rows) * len(block.genes))
        adata = AnnData(X=X, obs=self.obs.copy(), var=self.var.copy())
        adata.uns["steps"] = list(self.steps)
        return adata

    def _clean(self, load: Callable[[], np.ndarray]) -> np.ndarray:
        values = load()
        with np.errstate(over="ignore"):
            clean = np.array(values, dtype=np.float32)
        clean[values == MISSING_NUMBER] = np.nan
        infinite = np.isinf(clean)
        if infinite.any():
            raise ValueError(
                f"every value of {self.name} should be finite or missing; {int(infinite.sum()):,} in a block of "
                f"{clean.size:,} are infinite or too large for float32. Correct them before reading."
            )
        return clean


def select(
    source: Source,
    *,
    genes: Genes = None,
    rows: Rows = None,
    gene_info: pd.DataFrame | None = None,
    sample_info: pd.DataFrame | None = None,
) -> Selection:
    """Find the wanted profiles and genes by name; see :func:`galenic.data.read.profiles`."""
    raw = source.genes if gene_info is None else with_gene_info(source.genes, gene_info, source.name)
    var = canonical_genes(raw, source.name)
    require_unique(var.index, f"gene ids of {source.name}")
    table = source.profiles if sample_info is None else with_sample_info(source.profiles, sample_info, source.name)
    obs = canonical_profiles(table)
    gene_places, row_places = find_genes(var, genes, source.name), find_rows(obs.index, rows, source.name)
    if isinstance(genes, str) and "landmark" not in var:
        var = var.assign(landmark=True)
    step = f"{len(row_places)} of {len(obs)} profiles and {len(gene_places)} of {len(var)} genes of {source.name}"
    part = Part(source, row_places, gene_places)
    return Selection(source.name, obs.iloc[row_places], var.iloc[gene_places], (part,), (*source.steps, step))


def find_genes(var: pd.DataFrame, genes: Genes, name: str) -> np.ndarray:
    """Places of the wanted genes.

    Raises
    ------
    ValueError
        If landmarks are wanted and nothing says which these are, or a wanted gene is unknown or named twice.
    """
    if genes is None:
        return np.arange(len(var))
    if isinstance(genes, str):
        if genes != "landmark":
            raise ValueError(f"genes should be None, 'landmark' or a list of ids; received {genes!r}. Choose one.")
        return _landmarks(var, name)
    wanted = pd.Index(as_text(list(genes)))
    kinds = {"ids": var.index}
    kinds |= {
        text: pd.Index(as_text(var[key]))
        for key, text in ((ROW_ID, "ids of rows"), ("symbol", "symbols"))
        if key in var
    }
    best = max(kinds, key=lambda kind: int(wanted.isin(kinds[kind]).sum()))
    _require_one_kind(wanted, best, kinds, name)
    return _places(kinds[best], wanted, "genes", name)


def find_rows(ids: pd.Index, rows: Rows, name: str) -> np.ndarray:
    """Places of the wanted profiles, which are named by id, place, slice or mask.

    Raises
    ------
    ValueError
        If one is unknown or named twice.
    """
    if rows is None:
        return np.arange(len(ids))
    if isinstance(rows, slice):
        return np.arange(len(ids))[rows]
    wanted = np.asarray(rows if isinstance(rows, np.ndarray) else list(rows))
    if wanted.dtype.kind == "b":
        if wanted.shape != (len(ids),):
            raise ValueError(
                f"a mask of profiles should have one entry for each of the {len(ids):,} of {name}; it has "
                f"{wanted.size:,}. Make it from the same table."
            )
        return np.flatnonzero(wanted)
    if wanted.dtype.kind not in "iu":
        return _places(ids, pd.Index(as_text(wanted)), "profiles", name)
    outside = wanted[(wanted < 0) | (wanted >= len(ids))]
    if len(outside):
        raise ValueError(
            f"places of profiles should be 0 to {len(ids) - 1:,} in {name}; {len(outside):,} are not (first: "
            f"{first(outside)}). Correct rows=."
        )
    require_unique(pd.Index(wanted), "the wanted profiles")
    return wanted.astype(np.int64)


def with_gene_info(genes: pd.DataFrame, info: pd.DataFrame, name: str) -> pd.DataFrame:
    """The genes of a file with what a side table says of them, joined by Entrez id or by probe.

    Raises
    ------
    ValueError
        If the table knows none of the genes, or says two things of one.
    """
    ids = {"": as_text(genes.index)} | {key: as_text(genes[key]) for key in GENE_ID if key in genes}
    keys = [key for key in (*GENE_ID, *PROBE) if key in info]
    found, key = _best_match(ids, info, keys, f"the genes of {name}", "gene_id or pr_gene_id")
    # Of a table that is keyed by probes the Entrez ids are news; of one that is keyed by them they are not.
    news = found.drop(columns=[other for other in GENE_ID if other in found] if key in GENE_ID else [key])
    return pd.concat([genes.drop(columns=[c for c in news if c in genes]), news.set_axis(genes.index)], axis=1)


def with_sample_info(profiles: pd.DataFrame, info: pd.DataFrame, name: str) -> pd.DataFrame:
    """The profiles of a file with what a side table (``inst_info``, ``sig_info``) says of them, joined by id.

    Raises
    ------
    ValueError
        If the table knows none of the profiles, or says two things of one.

    Warns
    -----
    UserWarning
        If it does not know all of them.
    """
    keys = [key for key in PROFILE_ID if key in info] or [str(column) for column in info.columns[:1]]
    ids = {"": as_text(profiles.index)}
    found, key = _best_match(ids, info, keys, f"the profiles of {name}", "inst_id or sig_id")
    known = pd.Index(ids[""]).isin(as_text(info[key]))
    if not known.all():
        warnings.warn(
            f"sample_info should know every profile of {name}; it does not know {int((~known).sum()):,} of "
            f"{len(known):,} (first: {first(profiles.index[~known])}). Their metadata are missing.",
            stacklevel=2,
        )
    news = found.drop(columns=key)
    kept = profiles.drop(columns=[column for column in news if column in profiles])
    return pd.concat([kept, news.set_axis(profiles.index)], axis=1)


def require_memory(shape: tuple[int, int], name: str) -> None:
    """Raise ``ValueError`` if this machine could not hold the matrix."""
    size = 4 * shape[0] * shape[1]
    memory = memory_left()
    if size > memory:
        raise ValueError(
            f"{shape[0]:,} profiles x {shape[1]:,} genes of {name} need {size / 2**30:,.1f} GB of memory; this machine "
            f"has {memory / 2**30:,.1f} left. Name fewer with genes= and rows=, or convert the file with 'galenic data "
            "convert', which works block by block."
        )


def _landmarks(var: pd.DataFrame, name: str) -> np.ndarray:
    if "landmark" in var and var["landmark"].any():
        return np.flatnonzero(var["landmark"].to_numpy())
    if len(var) == N_LANDMARKS:
        return np.arange(len(var))
    raise ValueError(
        f"landmark genes are wanted; nothing in {name} says which of its {len(var):,} genes are landmarks (columns: "
        f"{first(var.columns, 6) or 'none'}). Give gene_info= (--gene-info), a table with pr_gene_id and pr_is_lm or "
        "gene_id and feature_space, or read all genes with genes=None (--genes all)."
    )


def _require_one_kind(wanted: pd.Index, best: str, kinds: dict[str, pd.Index], name: str) -> None:
    """Genes that are known, but by another kind of id than the others, are not unknown."""
    rest = wanted[~wanted.isin(kinds[best])]
    for kind, names in kinds.items():
        others = rest[rest.isin(names)]
        if len(others):
            same = wanted[wanted.isin(kinds[best])]
            raise ValueError(
                f"the wanted genes should be named by one kind of id; of the {len(wanted):,} wanted of {name} "
                f"{len(same):,} are {best} (first: {first(same)}) and {len(others):,} {kind} (first: {first(others)}). "
                "Name all of them by the same kind."
            )


def _places(known: pd.Index, wanted: pd.Index, what: str, name: str) -> np.ndarray:
    require_unique(wanted, f"the wanted {what}")
    places = (
        known.get_indexer(wanted) if known.is_unique else pd.Index(known.where(known != "")).get_indexer_for(wanted)
    )
    missing = wanted[places < 0] if len(places) == len(wanted) else wanted[~wanted.isin(known)]
    if len(missing) or len(places) != len(wanted):
        hint = f"{said} " if (said := did_you_mean(missing[0], known) if len(missing) else "") else ""
        raise ValueError(
            f"every one of the {len(wanted):,} wanted {what} should be in {name} once; {len(missing):,} are not "
            f"(first: {first(missing)}; it has {first(known)}). {hint}Use the same kind of id, or leave them out."
        )
    return places


def _best_match(
    ids: dict[str, np.ndarray], info: pd.DataFrame, keys: list[str], what: str, usual: str
) -> tuple[pd.DataFrame, str]:
    """Rows of ``info`` in the order of the ids that it knows best, and the column that holds these."""
    counts = {
        (own, key): int(pd.Index(values).isin(pd.Index(as_text(info[key])).drop([""], errors="ignore")).sum())
        for own, values in ids.items()
        for key in keys
    }
    own, key = max(counts, key=lambda pair: counts[pair], default=("", ""))
    if not counts or counts[own, key] == 0:
        values = ids[own]
        here = first(info[key], 3) if key else f"no such column, but {first(info.columns, 6)}"
        raise ValueError(
            f"a side table should know {what} (first: {first(values)}) in a column such as {usual}; it knows none of "
            f"them (it has {here}). Give the table that was published with the file."
        )
    table = info.set_axis(pd.Index(as_text(info[key])), axis=0)
    table = table[table.index.isin(ids[own])]
    require_unique(table.index, f"{key} of the side table")
    return table.reindex(ids[own]), key
