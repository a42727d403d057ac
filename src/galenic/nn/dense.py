"""Densely connected layers: each reads the input and everything that earlier layers gave."""

from __future__ import annotations

import math
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dense(nn.Module):
    """A densely connected SELU network: every layer sees the input and the output of all layers before it.

    Parameters
    ----------
    n_features
        Width of the input.
    n_latent
        Width of the output, which is linear in the input and all layers.
    n_layers
        Number of hidden layers; 0 leaves a linear map.
    growth
        Width of each hidden layer.
    hidden_dropout
        Share of the hidden values that are dropped in training, [0, 1); alpha dropout, which keeps the mean and
        variance that SELU keeps.

    Raises
    ------
    ValueError
        If a number is not allowed.

    Raises
    ------
    ValueError
        If a number is not allowed.

    Notes
    -----
    Weights start as LeCun normal, biases as 0, so that SELU normalises itself (Klambauer et al., NeurIPS 2017). Without
    gradients all layers write into one buffer ``(n, n_features + n_layers * growth)`` in place of a concatenation each.

    Examples
    --------
    >>> net = Dense(978, 32, n_layers=4, growth=64)
    >>> net(torch.zeros(5, 978)).shape, net.n_seen
    (torch.Size([5, 32]), 1234)
    """

    def __init__(
        self, n_features: int, n_latent: int, *, n_layers: int = 1, growth: int = 512, hidden_dropout: float = 0.0
    ) -> None:
        super().__init__()
        if min(n_features, n_latent, growth) < 1 or n_layers < 0 or not 0 <= hidden_dropout < 1:
            raise ValueError(
                "n_features, n_latent and growth should be 1 or more, n_layers 0 or more, hidden_dropout in [0, 1); "
                f"received {n_features}, {n_latent}, {growth}, {n_layers} and {hidden_dropout}. Correct the widths."
            )
        *before, self.n_seen = accumulate([growth] * n_layers, initial=n_features)
        hidden = [nn.Linear(width, growth) for width in before]
        self.layers, self.growth = nn.ModuleList(hidden), growth
        self.out = nn.Linear(self.n_seen, n_latent, bias=False)
        self.drop = nn.AlphaDropout(hidden_dropout)
        for layer in [*hidden, self.out]:
            nn.init.normal_(layer.weight, std=1 / math.sqrt(layer.in_features))
        for layer in hidden:
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Output ``(n, n_latent)`` of input ``(n, n_features)``."""
        if torch.is_grad_enabled():
            # Autograd needs every layer's input as it was: slices of one buffer that is written on would not do.
            seen = x
            for layer in self.layers:
                seen = torch.cat([seen, self.drop(F.selu(layer(seen)))], dim=1)
            out: Tensor = self.out(seen)
            return out
        seen = x.new_empty(len(x), self.n_seen)
        seen[:, : x.shape[1]] = x
        for number, layer in enumerate(self.layers):
            at = x.shape[1] + number * self.growth
            seen[:, at : at + self.growth] = self.drop(F.selu(layer(seen[:, :at])))
        result: Tensor = self.out(seen)
        return result
