"""Heads of KDRUG: a drug's vector and a cell's vector to one number a pair."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ProductHead(nn.Module):
    """The inner product of a drug's vector with the vector of a cell: a low-rank response matrix.

    Parameters
    ----------
    n_drug
        Width of a drug's vector; its last number is added for every cell.
    n_cell
        Width of a cell's vector.
    dropout
        Half of it is the share of the cell's vector that is set to 0 in training.
    """

    def __init__(self, n_drug: int, n_cell: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout / 2)
        self.mix = nn.Linear(n_cell, n_drug - 1, bias=False) if n_cell != n_drug - 1 else nn.Identity()

    def forward(self, drugs: Tensor, cells: Tensor, drug: Tensor, cell: Tensor) -> Tensor:
        """Numbers ``(n_pairs,)`` of drugs ``(n_drugs, n_drug)`` and cells ``(n_cells, n_cell)`` by their places."""
        cells = self.mix(self.dropout(cells))
        # The whole grid is one product of matrices; gathering vectors pair by pair would take longer.
        grid = torch.addmm(drugs[:, -1], cells, drugs[:, :-1].T)
        return grid[cell, drug]


class MLPHead(nn.Module):
    """The published head: linear, ReLU, dropout, twice, and one linear layer.

    The first layer is linear in ``[drug, cell]``: it is computed once for each distinct drug and cell and added for
    each pair, which gives the same numbers as the layer on the pair itself.

    Parameters
    ----------
    n_drug, n_cell
        Widths of the two vectors.
    hidden
        Width of the first hidden layer; the second has 128 at most.
    dropout
        Share of hidden values set to 0 in training.
    """

    def __init__(self, n_drug: int, n_cell: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.n_drug = n_drug
        self.first = nn.Linear(n_drug + n_cell, hidden)
        second = min(128, hidden)
        self.rest = nn.Sequential(
            nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, second), nn.ReLU(), nn.Dropout(dropout)
        )
        self.last = nn.Linear(second, 1)

    def trunk(self, drugs: Tensor, cells: Tensor, drug: Tensor, cell: Tensor) -> Tensor:
        """The last hidden layer, ``(n_pairs, 128)``."""
        weight = self.first.weight
        by_drug = functional.linear(drugs, weight[:, : self.n_drug], self.first.bias)
        by_cell = functional.linear(cells, weight[:, self.n_drug :])
        return self.rest(by_drug[drug] + by_cell[cell])

    def forward(self, drugs: Tensor, cells: Tensor, drug: Tensor, cell: Tensor) -> Tensor:
        """Numbers ``(n_pairs,)`` of drugs ``(n_drugs, n_drug)`` and cells ``(n_cells, n_cell)`` by their places."""
        return self.last(self.trunk(drugs, cells, drug, cell)).squeeze(-1)
