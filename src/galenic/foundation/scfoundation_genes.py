"""The genes of a data set in the order that scFoundation was trained with."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from galenic.data.checks import first
from galenic.data.genes import clean_names, kind_of_names, look_like_mouse
from galenic.data.read import table
from galenic.data.read.coverage import Step, step

NAMES, NUMBER = ("gene_name", "symbol", "gene"), "index"
FEW = 0.5
"""Share of the model's genes below which a warning is due."""


@dataclass(frozen=True)
class GeneOrder:
    """Where the columns of a data set go.

    Parameters
    ----------
    places
        Place of each column in the order of the model, ``(n_columns,)``; -1: the model does not know the gene.
    names
        Names of the columns, cleaned.
    genes
        The order of the model.
    """

    places: np.ndarray
    names: Sequence[str]
    genes: Sequence[str]

    @property
    def repeated(self) -> bool:
        """Whether a gene stands in several columns."""
        known = self.places[self.places >= 0]
        return len(np.unique(known)) < len(known)

    def __call__(self, rows: sparse.csr_matrix, logged: bool = False) -> sparse.csr_matrix:
        """Rows with the genes of the model, ``(n, n_genes)``, columns ascending.

        Columns of one gene are summed, unknown ones dropped, missing genes are 0. Of logarithms of 1 + x the sum is
        taken of x.
        """
        known = np.flatnonzero(self.places >= 0)
        shape = (len(self.places), len(self.genes))
        moved = sparse.csr_matrix((np.ones(len(known)), (known, self.places[known])), shape=shape)
        undo = logged and self.repeated
        found = sparse.csr_matrix((rows.expm1() if undo else rows) @ moved)
        found = found.log1p() if undo else found
        found.sort_indices()
        return found

    def coverage(self) -> list[Step]:
        """Rows of a report: genes of the model found and filled, columns dropped, columns summed."""
        known = self.places >= 0
        found, counts = np.unique(self.places[known], return_counts=True)
        there = np.zeros(len(self.genes), dtype=bool)
        there[found] = True
        n = len(found)
        names, genes = np.array(self.names, dtype="object"), np.array(self.genes, dtype="object")
        share = f"{n / len(genes):.1%} of the genes of the model are in the data; the others are taken as 0"
        return [
            step("genes of the model", n, len(genes) - n, share, genes[~there]),
            step("genes of the data", known.sum(), (~known).sum(), "the model knows them", names[~known]),
            step("repeated genes", n, known.sum() - n, "columns of one gene are summed", genes[found[counts > 1]]),
        ]


def read_genes(genes: str | Path | Sequence[str]) -> tuple[str, ...]:
    """The order of the genes: a list, or the table that is published with the model.

    Parameters
    ----------
    genes
        Symbols in order; or a file, ``OS_scRNA_gene_index.19264.tsv`` of the scFoundation repository (columns
        ``gene_name`` and ``index``, compressed or not).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the table has no such column, or a gene is empty or stands twice.

    Examples
    --------
    >>> read_genes(["A1BG", "A1CF"])
    ('A1BG', 'A1CF')
    """
    listed = _from_table(genes) if isinstance(genes, (str, Path)) else list(genes)
    names = tuple("" if pd.isna(gene) else str(gene).strip() for gene in listed)
    odd = pd.Index(names)[pd.Index(names).duplicated()].unique().tolist() + [name for name in names if not name]
    if odd or not names:
        raise ValueError(
            f"the genes of scFoundation should be named once each; of {len(names):,} these are empty or stand twice: "
            f"{first(odd) or 'none, for the list is empty'}. Take the published table as it is."
        )
    return names


def _from_table(path: str | Path) -> list[object]:
    found, name = table(path), Path(path).name
    column = next((one for one in NAMES if one in found), None)
    if column is None:
        raise ValueError(
            "the genes of scFoundation should be a table with the column gene_name (and index), as in "
            f"OS_scRNA_gene_index.19264.tsv; {name} has {first(found.columns, 5)}. Name that file."
        )
    if NUMBER in found:
        found = found.sort_values(NUMBER, kind="stable")
        numbers = found[NUMBER].tolist()
        if numbers != list(range(len(found))):
            raise ValueError(
                f"index should number the genes from 0 on; in {name} it runs from {numbers[0]} to {numbers[-1]} over "
                f"{len(found):,} rows. Take the published table as it is."
            )
    return list(found[column])


def order_genes(
    names: Iterable[object], genes: Sequence[str], *, aliases: Mapping[str, str] | None = None
) -> GeneOrder:
    """Find each column's place in the order of the model.

    Parameters
    ----------
    names
        Symbols of the columns; versions and ids that other programs add are taken off.
    genes
        The order of the model.
    aliases
        Other names (old symbols, Ensembl ids) to symbols; used where the model does not know the name itself and the
        symbol is no other column's name.

    Raises
    ------
    ValueError
        If no name is known, or the names are those of mice.

    Warns
    -----
    UserWarning
        If less than half of the model's genes are there.

    Examples
    --------
    >>> order_genes(["TP53", "old", "XIST"], ["A1BG", "TP53", "EGFR"], aliases={"old": "EGFR"}).places.tolist()
    [1, 2, -1]
    """
    given = clean_names(names)
    if look_like_mouse(given[:2000]):
        raise ValueError(
            f"genes should be human symbols; the names look like those of mice (first: {first(given)}). scFoundation "
            "was trained on human cells: translate the genes by orthologs, not by capitals."
        )
    known, present = pd.Index(genes), set(given)
    if aliases:
        given = [
            aliases[name] if name in aliases and name not in known and aliases[name] not in present else name
            for name in given
        ]
    places = known.get_indexer(pd.Index(given))
    found = GeneOrder(places, given, genes)
    n = len(np.unique(places[places >= 0]))
    if n == 0:
        kind = kind_of_names(given[:2000])
        raise ValueError(
            f"genes should be human symbols, as in the model's list (first: {first(genes)}); of {len(given):,} none "
            f"is there (first: {first(given)}; they look like {kind}). Name the column of var that has symbols, "
            "genes= (--gene-column), or give aliases that lead to symbols."
        )
    if n < FEW * len(known):
        warnings.warn(
            f"scFoundation knows {len(known):,} genes; {n:,} of them are in these data, the others are taken as 0. "
            "Vectors of so few genes are not those that it was trained on.",
            stacklevel=2,
        )
    return found
