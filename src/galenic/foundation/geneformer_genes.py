"""The genes of a data set as tokens of Geneformer: names to Ensembl ids, repeats summed, losses reported."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from galenic.data.checks import first
from galenic.data.genes import clean_names, look_like_mouse
from galenic.data.response import COVERAGE_COLUMNS
from galenic.foundation.counts import CountRows
from galenic.foundation.geneformer_dictionaries import Dictionaries

ENSEMBL_WITH_MORE = re.compile(r"(ENS[A-Z]*G\d{11})(\.\d+)?([_|-].*)?", re.I)
"""An Ensembl id and what stands behind it: a version, ``_SYMBOL``, ``_PAR_Y``."""
CELLS_AT_A_TIME = 4096
FEW = 0.2
"""Share of the names that must be known before a warning is due; lists of all transcripts know far fewer than half."""


@dataclass(frozen=True)
class MatchedGenes:
    """Columns of a data set that have a token.

    Parameters
    ----------
    tokens
        Of each column, ``(n_columns,)``; -1 where there is none.
    medians
        Of each column's gene, ``(n_columns,)``; NaN where there is none.
    coverage
        What was found and lost: columns ``step, kept, dropped, why, examples``.
    """

    tokens: np.ndarray
    medians: np.ndarray
    coverage: pd.DataFrame

    def counts(self, X: sparse.csr_matrix) -> tuple[sparse.csr_matrix, np.ndarray, np.ndarray]:
        """Counts with one column a gene, and the medians and tokens of its columns.

        Columns of one gene are summed; where there are none the counts come back as they are, unknown genes and all.
        """
        known = np.flatnonzero(self.tokens >= 0)
        genes, where, column = np.unique(self.tokens[known], return_index=True, return_inverse=True)
        if len(genes) == len(known):
            return X, self.medians, self.tokens
        shape = (len(self.tokens), len(genes))
        sums = sparse.csr_matrix((np.ones(len(known)), (known, column)), shape=shape)
        return sparse.csr_matrix(X @ sums), self.medians[known][where], genes


def match_genes(
    names: Iterable[object], dictionaries: Dictionaries, *, aliases: Mapping[str, str] | None = None
) -> MatchedGenes:
    """Find the token of each gene of a data set.

    Parameters
    ----------
    names
        Ensembl ids (a version, ``_SYMBOL`` or ``_PAR_Y`` behind them is cut off) or symbols, also mixed.
    dictionaries
        Those of the model.
    aliases
        Old symbols, or names of your own, to symbols or Ensembl ids; used where a name is not known itself.

    Raises
    ------
    ValueError
        If no name is known, or the genes are those of mice.

    Warns
    -----
    UserWarning
        If less than a fifth of the names is known.

    Examples
    --------
    >>> dictionaries = Dictionaries({"<pad>": 0, "ENSG00000141510": 1}, {"ENSG00000141510": 2.5},
    ...                             symbols={"TP53": "ENSG00000141510"})
    >>> match_genes(["ENSG00000141510.16_TP53", "TP53", "XIST"], dictionaries).tokens.tolist()
    [1, 1, -1]
    """
    given = clean_names(names)
    if look_like_mouse(given[:2000]):
        raise ValueError(
            f"genes should be human; the names look like those of mice (first: {first(given)}). Geneformer was trained "
            "on human cells: translate the genes by orthologs, not by capitals."
        )
    ids = [ensembl_id(name, dictionaries, aliases or {}) for name in given]
    tokens = np.array([dictionaries.tokens.get(gene, -1) for gene in ids], dtype=np.int64)
    known = tokens >= 0
    if not known.any():
        raise ValueError(
            f"genes should be human Ensembl ids or symbols; of {len(given):,} names (first: {first(given)}) none has a "
            f"token{'' if dictionaries.symbols else ', and there is no dictionary of symbols'}. Name the column of var "
            "that has them, or give the dictionary of symbols (gene_name_id_dict)."
        )
    medians = np.array([dictionaries.medians[gene] if ok else np.nan for gene, ok in zip(ids, known, strict=True)])
    coverage = _coverage(np.array(given, dtype="object"), np.array(ids, dtype="object"), tokens)
    if known.mean() < FEW:
        warnings.warn(
            f"most genes should have a token; {int(known.sum()):,} of {len(given):,} have one (without: "
            f"{first(np.array(given, dtype='object')[~known])}). Check what the names are.",
            stacklevel=2,
        )
    return MatchedGenes(tokens, medians, coverage)


def ensembl_id(name: str, dictionaries: Dictionaries, aliases: Mapping[str, str]) -> str:
    """The Ensembl id that a name leads to, as the model spells it; empty if none is known."""
    found = ENSEMBL_WITH_MORE.fullmatch(name)
    if found:
        gene = found[1].upper()
    elif name in dictionaries.symbols:
        gene = dictionaries.symbols[name]
    elif name in aliases:
        # Once: an alias of an alias would be a circle waiting to happen.
        return ensembl_id(aliases[name], dictionaries, {})
    else:
        return ""
    return dictionaries.collapsed.get(gene, gene)


def _coverage(names: np.ndarray, ids: np.ndarray, tokens: np.ndarray) -> pd.DataFrame:
    named, known = ids != "", tokens >= 0
    twice = pd.Series(tokens[known]).duplicated().to_numpy()
    steps = [
        ("genes", named, "names lead to an Ensembl id", names[~named]),
        ("genes with a token", known[named], "the model has a token for the id", names[named & ~known]),
        ("repeated genes", ~twice, "columns of one gene are summed", names[known][twice]),
    ]
    return pd.DataFrame(
        [(step, int(kept.sum()), int((~kept).sum()), why, first(lost)) for step, kept, why, lost in steps],
        columns=list(COVERAGE_COLUMNS),
    )


def data_coverage(rows: CountRows, matched: MatchedGenes, *, longest: int) -> pd.DataFrame:
    """What of some data has a token: columns ``step, kept, dropped, why, examples``.

    Parameters
    ----------
    rows
        All counts; they are read once.
    matched
        Genes of the data.
    longest
        Genes of a cell that are encoded at most.
    """
    n_cells, known = rows.shape[0], matched.tokens >= 0
    n_genes, seen, total = np.zeros(n_cells, dtype=np.int64), 0.0, 0.0
    for start in range(0, n_cells, CELLS_AT_A_TIME):
        X = rows(start, start + CELLS_AT_A_TIME)
        per_gene = np.asarray(X.sum(axis=0)).ravel()
        seen, total = seen + float(per_gene[known].sum()), total + float(per_gene.sum())
        counts, _, tokens = matched.counts(X)
        n_genes[start : start + CELLS_AT_A_TIME] = (counts[:, tokens >= 0] > 0).sum(axis=1).ravel()
    steps = [("counts", round(seen), round(total - seen), "they were counted in genes with a token", "")]
    for step, kept, why in (
        ("cells", n_genes > 0, "they express a gene with a token"),
        ("whole cells", n_genes <= longest, f"their genes fit in {longest:,} places, others lose their lowest"),
    ):
        steps.append((step, int(kept.sum()), int((~kept).sum()), why, first(rows.names[~kept])))
    return pd.concat([matched.coverage, pd.DataFrame(steps, columns=matched.coverage.columns)], ignore_index=True)
