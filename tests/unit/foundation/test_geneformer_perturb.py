"""Perturbation in silico against a plain loop over cells, and its laws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from geneformer_folder import POSITIONS, WIDTH, cells, genes_of, write_model
from torch.nn.functional import cosine_similarity

from galenic.foundation import Geneformer
from galenic.foundation.counts import CountRows
from galenic.foundation.geneformer_edits import edit
from galenic.foundation.geneformer_perturb import perturb

SERIES = [("v1", "cell"), ("v2", "cell"), ("v2", "cls")]


@pytest.fixture(params=SERIES, ids="-".join)
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> Geneformer:
    series, mode = request.param
    return Geneformer.load(write_model(tmp_path, series), mode=mode)


def series_of(encoder: Geneformer) -> str:
    return "v1" if encoder.dictionaries_.ends is None else "v2"


def token_lists(encoder: Geneformer, adata: Any) -> list[list[int]]:
    ragged = encoder.tokens(CountRows(adata)(0, adata.n_obs), encoder.matched(adata))
    return [part.tolist() for part in np.split(ragged.fields["token"], ragged.indptr[1:-1])]


def naive(
    encoder: Geneformer, tokens: list[int], gene: int, kind: str, compare: str, goal: torch.Tensor
) -> tuple[float, float] | None:
    """Lists of Python, one cell, one gene."""
    ends = encoder.dictionaries_.ends is not None
    before = list(tokens)
    if kind == "delete":
        if gene not in before:
            return None
        after = [token for token in before if token != gene]
    else:
        rest = [token for token in before if token != gene]
        if len(rest) + 1 > POSITIONS:
            del rest[-2 if ends else -1]
            before = list(rest)
        after = [*rest[:ends], gene, *rest[ends:]]

    if not after:
        return np.nan, np.nan

    def states(one: list[int]) -> torch.Tensor:
        n = torch.tensor([len(one)])
        return encoder.network_(torch.tensor([one]), n, layer=encoder.vectors.layer)[0]

    def cell(one: list[int]) -> torch.Tensor:
        return states(one)[0] if encoder.mode == "cls" else states(one)[ends : len(one) - ends].mean(0)

    shift = cosine_similarity(cell(after), goal, dim=0) - cosine_similarity(cell(before), goal, dim=0)
    if compare == "cell":
        return float(cosine_similarity(cell(before), cell(after), dim=0)), float(shift)
    place = {token: vector for token, vector in zip(after, states(after), strict=True)}
    pairs = [
        cosine_similarity(vector, place[token], dim=0)
        for token, vector in zip(before, states(before), strict=True)
        if token != gene and not (ends and token in (2, 3))
    ]
    return float(torch.stack(pairs).mean()) if pairs else np.nan, float(shift)


@pytest.mark.parametrize("compare", ["genes", "cell"])
@pytest.mark.parametrize("kind", ["delete", "overexpress"])
def test_equals_the_loop(encoder: Geneformer, kind: Any, compare: Any, rng: np.random.Generator) -> None:
    adata = cells(series_of(encoder))
    goal = rng.normal(size=WIDTH).astype(np.float32)
    lists = token_lists(encoder, adata)
    seen = [sum(encoder.dictionaries_.tokens[gene] in one for one in lists) for gene in genes_of(series_of(encoder))]
    chosen = [number for number, n in enumerate(seen) if 3 <= n < adata.n_obs][:3]
    names = [f"SYM{chosen[0]}", genes_of(series_of(encoder))[chosen[1]], f"SYM{chosen[2]}"]
    genes = [encoder.dictionaries_.tokens[genes_of(series_of(encoder))[number]] for number in chosen]
    found = perturb(encoder, adata, names, kind=kind, compare=compare, goal=goal, device="cpu", max_tokens_in_batch=40)
    assert {len(one) == POSITIONS for one in lists} == {True, False}
    expected = [
        (name, cell, gene in tokens, *values)
        for name, gene in zip(names, genes, strict=True)
        for cell, tokens in zip(adata.obs_names, lists, strict=True)
        if (values := naive(encoder, tokens, gene, kind, compare, torch.tensor(goal))) is not None
    ]
    assert [tuple(row) for row in found.cells[["gene", "cell", "expressed"]].itertuples(index=False)] == [
        row[:3] for row in expected
    ]
    np.testing.assert_allclose(
        found.cells[["cosine", "goal_shift"]], np.array([row[3:] for row in expected]), atol=1e-5
    )
    for name, row in found.genes.set_index("gene").iterrows():
        cosines = np.array([one[3] for one in expected if one[0] == name and not np.isnan(one[3])])
        assert row["n_cells"] == len(cosines)
        assert row["n_expressed"] == sum(one[2] for one in expected if one[0] == name)
        assert row["cosine"] == pytest.approx(cosines.mean(), abs=1e-5)
        assert row["sd"] == pytest.approx(cosines.std(ddof=1), abs=1e-4)


def test_batches_order_and_inputs(encoder: Geneformer, rng: np.random.Generator) -> None:
    adata = cells(series_of(encoder))
    before = adata.copy()
    names = ["SYM3", "SYM8"]
    first = perturb(encoder, adata, names, device="cpu")
    small = perturb(encoder, adata, names, device="cpu", max_tokens_in_batch=1)
    np.testing.assert_allclose(small.cells["cosine"], first.cells["cosine"], atol=1e-5)
    assert list(first.cells.columns) == ["gene", "cell", "expressed", "cosine"]
    assert (adata.X != before.X).nnz == 0
    turned = perturb(encoder, adata[rng.permutation(adata.n_obs)], names[::-1], device="cpu")
    merged = turned.cells.merge(first.cells, on=["gene", "cell"], suffixes=("", "_first"))
    assert len(merged) == len(first.cells)
    np.testing.assert_allclose(merged["cosine"], merged["cosine_first"], atol=1e-5)


def test_bfloat16_is_near(encoder: Geneformer, tmp_path: Path) -> None:
    adata = cells(series_of(encoder))
    half = Geneformer.load(tmp_path, mode=encoder.mode, precision="bfloat16")
    found, expected = (perturb(one, adata, ["SYM3"], device="cpu").cells["cosine"] for one in (half, encoder))
    assert 0 < np.abs(found - expected).max() < 0.1


def test_what_is_first_already_does_not_move(encoder: Geneformer) -> None:
    adata = cells(series_of(encoder))
    lists = token_lists(encoder, adata)
    top = lists[0][len(encoder.dictionaries_.ends or ()) // 2]
    gene = next(name for name, token in encoder.dictionaries_.tokens.items() if token == top)
    found = perturb(encoder, adata[[0]], [gene], kind="overexpress", device="cpu")
    assert found.cells["cosine"][0] == pytest.approx(1, abs=1e-6)


def test_a_gene_in_no_cell_and_a_cell_with_nothing_left(encoder: Geneformer) -> None:
    adata = cells(series_of(encoder))
    X = adata.X.toarray()
    X[:, 9], X[:, 0], X[:, 1] = 0, 500, 500
    X[4] = 0
    X[4, 0] = 5
    adata.X = X
    found = perturb(encoder, adata, ["SYM9", "SYM0"], compare="genes", device="cpu")
    assert found.genes["n_cells"].tolist() == [0, 11]
    assert found.genes["n_expressed"].tolist() == [0, 12]
    assert np.isnan(found.genes["cosine"][0])
    assert found.cells.set_index("cell")["cosine"].isna().sum() == 1
    assert np.isnan(found.cells.set_index("cell").loc["cell 4", "cosine"])
    nobody = perturb(encoder, adata, ["SYM9"], device="cpu")
    assert len(nobody.cells) == 0
    assert nobody.genes["n_cells"].tolist() == [0]


def test_edits_by_hand() -> None:
    #                 cls       eos pad | full: 4 of at most 4
    table = torch.tensor([[2, 5, 3, 0], [2, 5, 6, 3]])
    lengths = torch.tensor([3, 4])
    done = edit(table, lengths, 7, kind="overexpress", ends=True, longest=4)
    assert done.after.tolist() == [[2, 7, 5, 3], [2, 7, 5, 3]]
    assert done.full.tolist() == [False, True]
    assert done.before.tolist() == [[2, 5, 3]]
    assert done.others.tolist() == [[False, True, False, False], [False, True, False, False]]
    assert done.after_others.tolist() == [[False, False, True, False]] * 2
    moved = edit(table, lengths, 6, kind="overexpress", ends=True, longest=4)
    assert moved.after.tolist() == [[2, 6, 5, 3], [2, 6, 5, 3]]
    assert moved.full.tolist() == [False, False]
    gone = edit(table, lengths, 6, kind="delete", ends=True, longest=4)
    assert (gone.rows.tolist(), gone.after.tolist()) == ([1], [[2, 5, 3]])


def test_refused(encoder: Geneformer) -> None:
    adata = cells(series_of(encoder))
    with pytest.raises(ValueError, match=r"of 2 named 1 have none .*'LOST'"):
        perturb(encoder, adata, ["SYM1", "LOST"])
    with pytest.raises(ValueError, match="some are the same gene"):
        perturb(encoder, adata, ["SYM1", genes_of(series_of(encoder))[1]])
    with pytest.raises(ValueError, match="kind should be one of"):
        perturb(encoder, adata, ["SYM1"], kind="activate")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"one vector of 16 numbers; received the shape \(3,\)"):
        perturb(encoder, adata, ["SYM1"], goal=np.ones(3))
    with pytest.raises(ValueError, match="should be a list of genes"):
        perturb(encoder, adata, [])
