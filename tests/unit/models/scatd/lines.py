"""A small model of cells with the interface that explanations need: ridge on lines, and a network beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from anndata import AnnData
from torch import Tensor, nn

from galenic.models.scatd.evidence import ridge_weights


class Lines:
    """P(sensitive) of cells from a ridge on bulk lines; ``share`` is how much a random network counts beside it."""

    penalty = 500.0

    def __init__(self, bulk: AnnData, cells: AnnData, *, share: float = 0.0, n_members: int = 3) -> None:
        self.spec_: dict[str, Any] = {"features": list(bulk.var_names)}
        self.source = standardised(bulk.X)
        self.label = bulk.obs["label"].to_numpy(float)
        self.mean, self.sd = cells.X.mean(axis=0), cells.X.std(axis=0) + 1e-8
        self.weight = torch.from_numpy(4 * ridge_weights(self.source, self.label[:, None], self.penalty)[:, 0])
        self.share = share
        generator = torch.Generator().manual_seed(0)
        self.first = torch.randn(n_members, bulk.n_vars, 6, generator=generator, dtype=torch.float64) / 10
        self.last = torch.randn(n_members, 6, generator=generator, dtype=torch.float64)

    def function(self, device: str = "cpu", *, each: bool = False) -> Callable[[Tensor], Tensor]:
        """Logits; of every member where ``each``."""

        def logits(x: Tensor) -> Tensor:
            hidden = nn.functional.silu(torch.einsum("ng,mgh->nmh", x, self.first))
            members = (x @ self.weight)[:, None] + self.share * (hidden * self.last).sum(dim=-1)
            return members if each else members.mean(dim=1)

        return logits

    def features_of(self, cells: AnnData) -> np.ndarray:
        """Standardised by the statistics of the cells that it was made with."""
        return (np.asarray(cells.X, dtype=np.float64) - self.mean) / self.sd


def standardised(x: np.ndarray) -> np.ndarray:
    """Mean 0 and standard deviation 1 of each feature."""
    return (np.asarray(x, dtype=np.float64) - x.mean(axis=0)) / (x.std(axis=0) + 1e-8)
