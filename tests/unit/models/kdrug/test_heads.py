"""Heads of KDRUG: computed once a drug and once a cell, they say what the layers say of each pair by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from galenic.models.kdrug.heads import MLPHead, ProductHead

N_DRUG, N_DRUGS, N_CELLS, N_PAIRS = 5, 4, 6, 30
Given = tuple[Tensor, Tensor, Tensor, Tensor]


def given(n_cell: int, rng: np.random.Generator) -> Given:
    """Vectors of drugs and cells, and pairs of them: some twice, in no order."""
    drugs, cells = (torch.tensor(rng.normal(size=shape)).float() for shape in ((N_DRUGS, N_DRUG), (N_CELLS, n_cell)))
    return (
        drugs,
        cells,
        torch.tensor(rng.integers(N_DRUGS, size=N_PAIRS)),
        torch.tensor(rng.integers(N_CELLS, size=N_PAIRS)),
    )


def product(n_cell: int) -> ProductHead:
    torch.manual_seed(0)
    return ProductHead(N_DRUG, n_cell, dropout=0.5)


def mlp(n_cell: int, hidden: int = 12) -> MLPHead:
    torch.manual_seed(0)
    return MLPHead(N_DRUG, n_cell, hidden, dropout=0.5)


HEADS = [pytest.param(make, n_cell, id=f"{make.__name__}-{n_cell}") for make in (product, mlp) for n_cell in (4, 3, 7)]
"""Cells as wide as a drug less its last number, narrower and wider."""


def by_pair(head: nn.Module, drug: np.ndarray, cell: np.ndarray) -> float:
    """What a head says of one drug and one cell, number by number."""
    if isinstance(head, ProductHead):
        if isinstance(head.mix, nn.Linear):
            cell = head.mix.weight.detach().numpy() @ cell
        return sum(a * b for a, b in zip(drug[:-1], cell, strict=True)) + drug[-1]
    value = np.concatenate([drug, cell])
    for layer in (head.first, head.rest[2], head.last):
        value = layer.weight.detach().numpy() @ value + layer.bias.detach().numpy()
        value = np.maximum(value, 0) if layer is not head.last else value
    return float(value[0])


@pytest.mark.parametrize(("make", "n_cell"), HEADS)
def test_distinct_drugs_and_cells_equal_the_loop_over_pairs(make, n_cell: int, rng: np.random.Generator) -> None:
    head, (drugs, cells, drug, cell) = make(n_cell).eval(), given(n_cell, rng)
    with torch.no_grad():
        found = head(drugs, cells, drug, cell)
    assert found.shape == (N_PAIRS,)
    expected = [by_pair(head, drugs[d].numpy(), cells[c].numpy()) for d, c in zip(drug, cell, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.std() > 0.01


@pytest.mark.parametrize(("make", "n_cell"), HEADS)
def test_every_pair_with_vectors_of_its_own_says_the_same(make, n_cell: int, rng: np.random.Generator) -> None:
    head, (drugs, cells, drug, cell) = make(n_cell).eval(), given(n_cell, rng)
    place = torch.arange(N_PAIRS)
    torch.testing.assert_close(
        head(drugs, cells, drug, cell), head(drugs[drug], cells[cell], place, place), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize(("make", "n_cell"), HEADS)
def test_every_trainable_tensor_gets_a_gradient(make, n_cell: int, rng: np.random.Generator) -> None:
    head, (drugs, cells, drug, cell) = make(n_cell).eval(), given(n_cell, rng)
    drugs.requires_grad_()
    cells.requires_grad_()
    drug[0], cell[0] = 2, 3
    head(drugs, cells, drug, cell).square().sum().backward()
    for tensor in (drugs, cells, *head.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
        assert tensor.grad.abs().sum() > 1e-3


@pytest.mark.parametrize(("make", "n_cell"), HEADS)
def test_vectors_that_no_pair_names_get_none(make, n_cell: int, rng: np.random.Generator) -> None:
    head, (drugs, cells, drug, cell) = make(n_cell).eval(), given(n_cell, rng)
    drugs.requires_grad_()
    cells.requires_grad_()
    drug[drug == 1], cell[cell == 4] = 0, 0
    head(drugs, cells, drug, cell).square().sum().backward()
    assert (drugs.grad[1] == 0).all()
    assert (cells.grad[4] == 0).all()
    assert (drugs.grad[0] != 0).any()
    assert (cells.grad[0] != 0).any()


def test_a_product_is_linear_in_the_cell_but_for_the_last_number(rng: np.random.Generator) -> None:
    head, (drugs, cells, drug, cell) = product(7).eval(), given(7, rng)
    with torch.no_grad():
        once, twice = head(drugs, cells, drug, cell), head(drugs, 2 * cells, drug, cell)
        torch.testing.assert_close(twice - once, once - drugs[drug, -1], atol=1e-5, rtol=0)
        torch.testing.assert_close(head(drugs, 0 * cells, drug, cell), drugs[drug, -1], atol=0, rtol=0)


def test_a_product_mixes_only_where_widths_differ() -> None:
    assert list(product(4).parameters()) == []
    assert [tuple(p.shape) for p in product(7).parameters()] == [(4, 7)]


def test_a_product_drops_half_the_share_of_the_cell_in_training() -> None:
    torch.manual_seed(0)
    head = ProductHead(2, 1, dropout=0.5)
    drugs, cells = torch.tensor([[1.0, 0.0]]), torch.ones(4000, 1)
    place = torch.arange(4000)
    found = head.train()(drugs, cells, torch.zeros_like(place), place)
    assert (found == 0).float().mean() == pytest.approx(0.25, abs=0.03)
    torch.testing.assert_close(found[found != 0], torch.full(((found != 0).sum(),), 4 / 3))
    assert (head.eval()(drugs, cells, torch.zeros_like(place), place) == 1).all()


@pytest.mark.parametrize(("hidden", "width"), [(12, 12), (200, 128)])
def test_the_trunk_is_what_the_last_layer_reads(hidden: int, width: int, rng: np.random.Generator) -> None:
    head, pairs = mlp(3, hidden).eval(), given(3, rng)
    trunk = head.trunk(*pairs)
    assert trunk.shape == (N_PAIRS, width)
    assert (trunk >= 0).all()
    torch.testing.assert_close(head.last(trunk)[:, 0], head(*pairs), atol=0, rtol=0)


@pytest.mark.parametrize("make", [product, mlp])
def test_no_pairs_give_no_numbers(make, rng: np.random.Generator) -> None:
    drugs, cells, drug, cell = given(3, rng)
    assert make(3)(drugs, cells, drug[:0], cell[:0]).shape == (0,)
