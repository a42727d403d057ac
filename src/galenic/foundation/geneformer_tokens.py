"""Rank value encoding: the genes of a cell as tokens, from the gene that is highest for itself downwards."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from galenic.data.checks import first

CELL_BITS = 5
CELLS_AT_A_TIME = 2**CELL_BITS
"""Cells sorted in one go: their keys fit the cache nearest to the processor."""
LOWEST, HIGHEST = 2.0**-31, 2.0**32
"""Values beyond are ties: no count over a median of a human gene comes near them."""
TOP = int(np.float64(HIGHEST).view(np.int64))
VALUE_BITS = (TOP - int(np.float64(LOWEST).view(np.int64))).bit_length()
"""Above them stands the cell, and the lowest of them give way to the token."""


class Tokens(NamedTuple):
    """Tokens of cells, one cell after the other; those of cell ``i`` are ``tokens[indptr[i]:indptr[i + 1]]``."""

    indptr: np.ndarray
    """``(n_cells + 1,)``, int64."""
    tokens: np.ndarray
    """``(n_tokens,)``, int32."""

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each cell, ``(n_cells,)``."""
        return np.diff(self.indptr)

    def between(self, before: int, after: int) -> Tokens:
        """With one token put before and one after those of every cell; a cell without tokens stays without.

        Examples
        --------
        >>> longer = Tokens(np.array([0, 2, 2]), np.array([7, 8])).between(2, 3)
        >>> longer.tokens.tolist(), longer.indptr.tolist()
        ([2, 7, 8, 3], [0, 4, 4])
        """
        there = self.lengths > 0
        indptr = _starts(self.lengths + 2 * there)
        tokens = np.empty(int(indptr[-1]), dtype=np.int32)
        tokens[np.arange(len(self.tokens)) + np.repeat(indptr[:-1] - self.indptr[:-1] + 1, self.lengths)] = self.tokens
        tokens[indptr[:-1][there]], tokens[indptr[1:][there] - 1] = before, after
        return Tokens(indptr, tokens)


def rank_tokens(
    counts: sparse.csr_matrix, medians: np.ndarray, tokens: np.ndarray, *, max_tokens: int | None = None
) -> Tokens:
    """Tokens of the genes that each cell expresses, by descending value.

    Parameters
    ----------
    counts
        Cells x genes, 0 or more, each gene in one column.
    medians
        Of each gene's non-zero values over the cells that the model was trained on, ``(n_genes,)``, above 0.
    tokens
        Of each gene, ``(n_genes,)``; -1 for a gene that the model does not know, whose counts are passed over.
    max_tokens
        Tokens that are kept of a cell, those of the highest values; None: all.

    Returns
    -------
    Tokens
        ``(indptr, tokens)``; a cell that expresses no known gene has none.

    Raises
    ------
    ValueError
        If a count is negative or missing, a median is not above 0, or a token stands twice.

    Notes
    -----
    The value of gene ``g`` is ``v_g = c_g / n * 10 000 / median_g`` with ``n`` the counts of the whole cell. ``n`` is
    the same for all genes of a cell, so that the order is that of ``c_g / median_g``, and this is what is computed: how
    deep a cell was sequenced, and what was counted in genes without token, cannot change a token.

    Ties: values that agree to ten digits are equal, and of equal values the gene with the smaller token comes first.
    (Published code leaves the order of ties to an unstable sort, hence to the order of the columns.)

    All cells of a block are sorted at once, as whole numbers that hold cell, value and token from the highest bits to
    the lowest.

    References
    ----------
    Theodoris et al., Transfer learning enables predictions in network biology, Nature 2023.

    Examples
    --------
    >>> counts = sparse.csr_matrix(np.array([[1.0, 4.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0]]))
    >>> encoded = rank_tokens(counts, medians=np.array([1.0, 8.0, 1.0, 1.0]), tokens=np.array([7, 8, 9, 6]))
    >>> encoded.tokens.tolist(), encoded.indptr.tolist()
    ([6, 7, 8], [0, 3, 3])
    """
    medians, tokens = np.asarray(medians, dtype=np.float64), np.asarray(tokens, dtype=np.int64)
    known = tokens >= 0
    _check(counts, medians, tokens, known)
    weights = np.zeros(len(tokens))
    weights[known] = 1.0 / medians[known]
    blocks = [
        _block(counts, slice(start, min(start + CELLS_AT_A_TIME, counts.shape[0])), weights, tokens, max_tokens)
        for start in range(0, counts.shape[0], CELLS_AT_A_TIME)
    ]
    lengths = [np.zeros(0, dtype=np.int64), *(length for length, _ in blocks)]
    found = [np.zeros(0, dtype=np.int32), *(token for _, token in blocks)]
    return Tokens(_starts(np.concatenate(lengths)), np.concatenate(found))


def _check(counts: sparse.csr_matrix, medians: np.ndarray, tokens: np.ndarray, known: np.ndarray) -> None:
    if not counts.shape[1] == len(medians) == len(tokens):
        raise ValueError(
            f"medians and tokens should be those of the {counts.shape[1]:,} columns of counts; there are "
            f"{len(medians):,} and {len(tokens):,}. Give one of each for every column."
        )
    if not float(counts.data.min(initial=0)) >= 0:
        raise ValueError(
            f"counts should be 0 or more; the lowest of {counts.nnz:,} is {counts.data.min():,.4g}. "
            "Give the counts themselves, not scaled or logged."
        )
    wrong = known & ~((medians > 0) & np.isfinite(medians))
    if wrong.any():
        raise ValueError(
            f"every median should be above 0; {int(wrong.sum()):,} are not (first columns: "
            f"{first(np.flatnonzero(wrong))}). Give -1 as token of genes without a median."
        )
    if len(np.unique(tokens[known])) < int(known.sum()):
        raise ValueError(
            f"each token should have one column; {int(known.sum()):,} columns have "
            f"{len(np.unique(tokens[known])):,} tokens. Sum the columns of one gene first."
        )


def _block(
    counts: sparse.csr_matrix, cells: slice, weights: np.ndarray, tokens: np.ndarray, max_tokens: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Lengths and tokens of a few cells."""
    starts = counts.indptr[cells.start : cells.stop + 1].astype(np.int64)
    columns = counts.indices[starts[0] : starts[-1]]
    values = weights.take(columns)
    values *= counts.data[starts[0] : starts[-1]]
    lengths = np.diff(starts)
    if not values.all():
        there = values > 0
        values, columns = values[there], columns[there]
        lengths = np.diff(np.concatenate([[0], np.cumsum(there)])[starts - starts[0]])
    np.clip(values, LOWEST, HIGHEST, out=values)
    # Floating point numbers above 0 are in the order of their bits read as whole numbers.
    keys = values.view(np.int64)
    np.subtract(TOP, keys, out=keys)
    of_token = (1 << int(tokens.max(initial=0)).bit_length()) - 1
    keys &= ~of_token
    keys |= tokens.take(columns)
    keys |= np.repeat(np.arange(len(lengths), dtype=np.int64) << VALUE_BITS, lengths)
    keys.sort()
    if max_tokens is not None and int(lengths.max(initial=0)) > max_tokens:
        kept = np.minimum(lengths, max_tokens)
        stays = np.tile([True, False], len(lengths))
        keys, lengths = keys[np.repeat(stays, np.column_stack([kept, lengths - kept]).ravel())], kept
    keys &= of_token
    found = keys.astype(np.int32)
    return lengths, found


def _starts(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
