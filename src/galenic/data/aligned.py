"""Profiles as rows of the genes a model knows, whatever genes a file has and in whatever order."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first
from galenic.data.genes import clean_names
from galenic.data.scores import Scale

LEAST = 0.8
"""Share of the genes of a model that profiles need to have."""
BLOCK = 2**22
"""Values that are read at once."""


class Aligned:
    """Rows of profiles on given genes: by number, in bounded memory, missing values and genes as 0.

    Parameters
    ----------
    adata
        Profiles x genes; in memory, backed, or with a memory map or zarr array as ``X``.
    genes
        Ids of the genes that are wanted, in their order.
    symbols
        Their symbols, for profiles whose genes are named so.
    what
        For messages.

    Raises
    ------
    ValueError
        If fewer than 80 % of the genes are there, or genes are named twice.

    Warns
    -----
    UserWarning
        If some genes are missing; their values are 0, a z-score's "no change".

    Notes
    -----
    Genes are looked for by the names of the variables, and by the columns ``symbol``, ``gene_symbol`` and ``ensembl``
    of ``var``: whichever finds most.

    Examples
    --------
    >>> adata = AnnData(np.array([[1.0, np.nan, 3.0]]), var=pd.DataFrame(index=["7157", "1956", "3845"]))
    >>> Aligned(adata, ["1956", "7157"])[np.array([0])].tolist()
    [[0.0, 1.0]]
    """

    def __init__(
        self, adata: AnnData, genes: Sequence[str], symbols: Sequence[str] | None = None, what: str = "profiles"
    ) -> None:
        self.adata, self.places = adata, _places(adata, list(genes), symbols, what)
        self.shape = (adata.n_obs, len(self.places))
        self.everything = np.array_equal(self.places, np.arange(adata.n_vars))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Rows (sorted numbers, or a slice) as float32, ``(n_rows, n_genes)``."""
        part = self.adata.X[rows]
        part = np.asarray(part.toarray() if hasattr(part, "toarray") else part, dtype=np.float32)
        if not self.everything:
            known = self.places >= 0
            part = np.where(known, part[:, np.where(known, self.places, 0)], np.float32(0))
        # In one memory order, whatever that of the file: sums in another order differ in the last bit.
        return np.ascontiguousarray(np.nan_to_num(part, nan=0.0, posinf=np.inf, neginf=-np.inf))

    def blocks(self, rows: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Numbers of rows, and those rows, a few megabytes at a time."""
        rows = np.arange(len(self)) if rows is None else rows
        # Whole rows of the file are read, whatever part of them is wanted.
        size = max(1, BLOCK // max(1, self.shape[1], self.adata.n_vars))
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            yield part, self[part]


def require_scores(values: np.ndarray, what: str) -> None:
    """Raise ``ValueError`` unless values look like z-scores: of those that are not 0, 5 % at least lie below it.

    Examples
    --------
    >>> require_scores(np.array([[0.5, -1.0]]), "profiles")
    """
    found = Scale().plus(values)
    if found.are_levels:
        raise ValueError(
            f"{what} should be z-scores, of which about half lie below 0; {found.span}. Levels become scores by "
            "'galenic data convert --level 4' or galenic.data.prepare.robust_z."
        )


def _places(adata: AnnData, genes: list[str], symbols: Sequence[str] | None, what: str) -> np.ndarray:
    """Column of each gene, -1 where it is missing."""
    given = [pd.Index(clean_names(adata.var_names))]
    given += [
        pd.Index(clean_names(adata.var[name])) for name in ("symbol", "gene_symbol", "ensembl") if name in adata.var
    ]
    wanted = [pd.Index(genes)] + ([pd.Index(clean_names(symbols))] if symbols is not None else [])
    best = np.full(len(genes), -1)
    for names in given:
        once = ~names.duplicated(keep=False)
        for asked in wanted:
            found = names[once].get_indexer(asked) if asked.is_unique else best
            columns = np.where(found >= 0, np.flatnonzero(once)[found] if once.any() else -1, -1)
            best = columns if (columns >= 0).sum() > (best >= 0).sum() else best
    missing = np.flatnonzero(best < 0)
    if len(genes) - len(missing) < LEAST * len(genes):
        raise ValueError(
            f"{what} should have at least {LEAST:.0%} of the {len(genes):,} genes of the model; {len(missing):,} are "
            f"missing (first: {first(np.array(genes)[missing])}; the profiles name theirs {first(adata.var_names)}). "
            "Name genes by Entrez id, or give their symbols in a column 'symbol' of var."
        )
    if len(missing):
        warnings.warn(
            f"{len(missing):,} of {len(genes):,} genes of the model are missing from the {what} (first: "
            f"{first(np.array(genes)[missing])}); they count as unchanged.",
            stacklevel=4,
        )
    return best
