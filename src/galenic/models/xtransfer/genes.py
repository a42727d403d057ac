"""A correction that all genes share: one small network reads what is known of a gene and says what the start lacks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from galenic.nn.blocks import MLP

ROWS = 2**18
"""Genes of conditions that are computed at once."""


class GeneNet(nn.Module):
    """What a gene's effect is beyond the start, from the inputs of that gene; 0 before training.

    Parameters
    ----------
    n_features
        Inputs of a gene.
    width
        Of both hidden layers.
    dropout
        Share of hidden values dropped in training.

    Examples
    --------
    >>> GeneNet(14)(torch.randn(5, 14)).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0]
    """

    def __init__(self, n_features: int, width: int = 48, dropout: float = 0.2) -> None:
        super().__init__()
        self.layers = MLP([n_features, width, width, 1], activation="silu", dropout=dropout)
        for parameter in self.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor) -> Tensor:
        """``(..., n_features)`` to ``(...)``."""
        result: Tensor = self.layers(features)[..., 0]
        return result


def gene_step(net: nn.Module, batch: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
    """Squared error of what is left of effects."""
    return {"error": F.mse_loss(net(batch["features"]), batch["left"])}


@torch.no_grad()
def corrections(net: nn.Module, features: np.ndarray, device: str) -> np.ndarray:
    """What the network says of ``(n, n_genes, n_features)``, ``(n, n_genes)``."""
    net = net.to(device).eval()
    flat = torch.from_numpy(features.reshape(-1, features.shape[-1]))
    parts = [net(part.to(device)).cpu().numpy() for part in flat.split(ROWS)]
    return np.concatenate(parts).reshape(features.shape[:2])
