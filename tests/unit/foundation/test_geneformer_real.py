"""The published dictionaries of the first series on counts of PC9 cells."""

from __future__ import annotations

import time
from pathlib import Path

import anndata
import numpy as np
import pytest

from galenic.foundation.counts import CountRows
from galenic.foundation.geneformer_dictionaries import Dictionaries, read_dictionaries
from galenic.foundation.geneformer_genes import match_genes
from galenic.foundation.geneformer_tokens import rank_tokens

pytestmark = pytest.mark.real
LONGEST = 2048


@pytest.fixture(scope="module")
def published(shared: Path) -> Dictionaries:
    folder = shared / "singlecell" / "dicts"
    if not folder.is_dir():
        pytest.skip(
            f"dictionaries of Geneformer are not in {folder}; set GALENIC_REAL_DATA to the folder that has them"
        )
    names = ("geneformer_v1_tokens.tsv.gz", "geneformer_v1_symbol_to_ensembl.tsv.gz")
    return read_dictionaries([folder / name for name in names])


@pytest.fixture(scope="module")
def pc9(shared: Path) -> anndata.AnnData:
    return anndata.read_h5ad(shared / "singlecell" / "pc9_erlotinib_day11_counts.h5ad")


def naive(adata: anndata.AnnData, dictionaries: Dictionaries, row: int) -> list[int]:
    """Published steps for one cell, from names to tokens."""
    counts = adata.X[row].toarray().ravel().astype(float)
    values: dict[int, float] = {}
    for name, count in zip(adata.var_names, counts, strict=True):
        gene = dictionaries.symbols.get(name)
        if count > 0 and gene in dictionaries.tokens:
            value = count / counts.sum() * 10_000 / dictionaries.medians[gene]
            values[dictionaries.tokens[gene]] = values.get(dictionaries.tokens[gene], 0.0) + value
    return sorted(values, key=lambda token: (-values[token], token))[:LONGEST]


def test_published_dictionaries(published: Dictionaries) -> None:
    published.require_fit(25_426, 0)
    assert len(published.genes) == 25_424
    assert published.ends is None
    assert 0.09 < min(published.medians.values()) < max(published.medians.values()) < 700


def test_real_cells_equal_the_loop_and_are_faster(published: Dictionaries, pc9: anndata.AnnData) -> None:
    matched = match_genes(pc9.var_names, published)
    coverage = matched.coverage.set_index("step")
    assert coverage.loc["genes", "kept"] > 16_000
    assert coverage.loc["genes with a token", "kept"] > 13_000
    counts = matched.counts(CountRows(pc9)(0, pc9.n_obs))
    encoded = rank_tokens(*counts, max_tokens=LONGEST)
    for row in np.linspace(0, pc9.n_obs - 1, 50).astype(int):
        assert encoded.tokens[encoded.indptr[row] : encoded.indptr[row + 1]].tolist() == naive(pc9, published, row)
    assert encoded.lengths.max() == LONGEST
    assert encoded.lengths.min() > 0

    def seconds_per_cell(one_by_one: bool) -> float:
        start, n = time.perf_counter(), 30 if one_by_one else pc9.n_obs
        if one_by_one:
            for row in range(n):
                naive(pc9, published, row)
        else:
            rank_tokens(*counts, max_tokens=LONGEST)
        return (time.perf_counter() - start) / n

    assert seconds_per_cell(True) > 20 * min(seconds_per_cell(False) for _ in range(3))
