"""Rank value encoding against a plain loop, and its laws."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import sparse

from galenic.foundation.geneformer_tokens import CELLS_AT_A_TIME, Tokens, rank_tokens


def naive(
    counts: np.ndarray, totals: np.ndarray, medians: np.ndarray, tokens: np.ndarray, longest: int
) -> list[list[int]]:
    """Published steps, a cell and a gene at a time; ties by token."""
    result = []
    for row, total in zip(counts, totals, strict=True):
        values = {}
        for count, median, token in zip(row, medians, tokens, strict=True):
            if token >= 0 and count > 0:
                values[int(token)] = count / total * 10_000 / median
        result.append(sorted(values, key=lambda token: (-values[token], token))[:longest])
    return result


def split(encoded: Tokens) -> list[list[int]]:
    return [encoded.tokens[a:b].tolist() for a, b in pairwise(encoded.indptr)]


@pytest.fixture
def genes(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts, medians and tokens; some genes without a token, some cells without counts, some values stored as 0."""
    n, n_genes = 2 * CELLS_AT_A_TIME + 7, 60
    counts = rng.poisson(rng.uniform(0, 3, size=(n, 1)) * rng.lognormal(size=n_genes)).astype(np.float32)
    counts[[3, 40]] = 0
    tokens = rng.permutation(np.arange(2, 25_000))[:n_genes]
    tokens[rng.random(n_genes) < 0.2] = -1
    medians = rng.lognormal(size=n_genes)
    medians[1::3] = medians[::3]  # genes with one median: equal counts are ties
    return counts, medians, tokens


def test_equals_the_loop(genes: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    counts, medians, tokens = genes
    encoded = rank_tokens(sparse.csr_matrix(counts), medians, tokens, max_tokens=20)
    totals = np.maximum(counts.sum(axis=1, dtype=np.float64), 1)
    assert split(encoded) == naive(counts.astype(float), totals, medians, tokens, 20)
    assert max(encoded.lengths) == 20
    assert any(a > b for cell in split(encoded) for a, b in pairwise(cell))
    assert encoded.lengths[3] == 0


def test_hand_made_cell_ties_and_truncation() -> None:
    #                  value: 4 / 2 = 2, 1 / 0.5 = 2, 9, 0, 3 / 1 = 3 without a token
    counts = sparse.csr_matrix(np.array([[4.0, 1.0, 9.0, 0.0, 3.0]]))
    medians, tokens = np.array([2.0, 0.5, 1.0, 1.0, 1.0]), np.array([30, 20, 40, 10, -1])
    assert split(rank_tokens(counts, medians, tokens)) == [[40, 20, 30]]
    assert split(rank_tokens(counts, medians, tokens, max_tokens=2)) == [[40, 20]]


def test_rounding_does_not_decide_a_tie() -> None:
    # 0.1 * 3 is not 0.3 in floating point; 3 / 0.3 and 1 / 0.1 differ in the last bit in some orders of computing.
    counts = sparse.csr_matrix(np.array([[3.0, 1.0, 7.0]]))
    assert split(rank_tokens(counts, np.array([0.1 * 3, 0.1, 0.1 * 7]), np.array([9, 8, 7]))) == [[7, 8, 9]]


def test_order_of_genes_depth_and_company_do_not_matter(
    genes: tuple[np.ndarray, np.ndarray, np.ndarray], rng: np.random.Generator
) -> None:
    counts, medians, tokens = genes
    expected = split(rank_tokens(sparse.csr_matrix(counts), medians, tokens))
    order = rng.permutation(len(tokens))
    assert split(rank_tokens(sparse.csr_matrix(counts[:, order]), medians[order], tokens[order])) == expected
    deeper = counts * np.arange(1, len(counts) + 1)[:, None]
    assert split(rank_tokens(sparse.csr_matrix(deeper), medians, tokens)) == expected
    alone = [split(rank_tokens(sparse.csr_matrix(row[None]), medians, tokens))[0] for row in counts]
    assert alone == expected


def test_stored_zeros_and_unsorted_columns() -> None:
    counts = sparse.csr_matrix((np.array([0.0, 5.0, 2.0]), np.array([2, 1, 0]), np.array([0, 3, 3])), shape=(2, 3))
    assert split(rank_tokens(counts, np.ones(3), np.array([5, 6, 7]))) == [[6, 5], []]


def test_no_cells_and_no_counts() -> None:
    assert rank_tokens(sparse.csr_matrix((0, 3)), np.ones(3), np.arange(3)).indptr.tolist() == [0]
    assert rank_tokens(sparse.csr_matrix((2, 3)), np.ones(3), np.arange(3)).lengths.tolist() == [0, 0]


def test_ends_go_round_cells_that_have_tokens() -> None:
    encoded = Tokens(np.array([0, 0, 2, 2, 3]), np.array([7, 8, 9]))
    assert split(encoded.between(2, 3)) == [[], [2, 7, 8, 3], [], [2, 9, 3]]


@pytest.mark.parametrize(
    ("counts", "medians", "tokens", "said"),
    [
        ([[1.0, -1.0]], [1, 1], [0, 1], "should be 0 or more"),
        ([[1.0, np.nan]], [1, 1], [0, 1], "should be 0 or more"),
        ([[1.0, 1.0]], [1, 0], [0, 1], "median should be above 0"),
        ([[1.0, 1.0]], [1, np.nan], [0, 1], "median should be above 0"),
        ([[1.0, 1.0]], [1, 1], [4, 4], "each token should have one column"),
        ([[1.0, 1.0]], [1], [0, 1], "those of the 2 columns"),
    ],
)
def test_refused(counts: list[list[float]], medians: list[float], tokens: list[int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        rank_tokens(sparse.csr_matrix(np.array(counts)), np.array(medians), np.array(tokens))
