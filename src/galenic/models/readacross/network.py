"""The network of ReadAcross and the losses it learns from."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from galenic.nn.angular import AngularLoss
from galenic.nn.dense import Dense


class Encoder(nn.Module):
    """Whitened profiles, and their context, to unit vectors.

    Parameters
    ----------
    n_features, n_context
        Width of the profiles and of the context (0 = none).
    noise
        Standard deviation of the Gaussian noise that is added to the profile in training.
    input_dropout
        Share of the profile that is set to 0 in training; the rest grows to make up for it.
    dense
        Fields of :class:`galenic.nn.dense.Dense`.
    """

    def __init__(self, n_features: int, n_context: int, noise: float, input_dropout: float, **dense: Any) -> None:
        super().__init__()
        self.noise = noise
        self.drop = nn.Dropout(input_dropout)
        self.dense = Dense(n_features + n_context, **dense)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Unit rows ``(n, n_latent)`` of ``(n, n_features)`` and ``(n, n_context)``."""
        if self.training:
            x = self.drop(x + self.noise * torch.randn_like(x))
        return F.normalize(self.dense(torch.cat([x, context], dim=1)), dim=1)


class Learner(nn.Module):
    """An encoder with the losses of perturbagens and, where they are known, of mechanisms.

    Parameters
    ----------
    encoder
        What is to be learned.
    loss, mechanism_loss
        Of the label and of the mechanism.
    weight
        Of the mechanism's loss.
    """

    def __init__(
        self, encoder: Encoder, loss: AngularLoss, mechanism_loss: AngularLoss | None = None, weight: float = 0.0
    ) -> None:
        super().__init__()
        self.encoder, self.loss, self.mechanism_loss, self.weight = encoder, loss, mechanism_loss, weight

    def forward(self, batch: dict[str, Tensor], progress: float) -> dict[str, Tensor]:
        """The weighted terms of a batch with ``x``, ``context``, ``label`` and, perhaps, ``mechanism``."""
        embedding = self.encoder(batch["x"], batch["context"])
        terms = {"perturbagen": self.loss(embedding, batch["label"], progress)}
        if self.mechanism_loss is not None:
            terms["mechanism"] = self.weight * self.mechanism_loss(embedding, batch["mechanism"], progress)
        return terms


def step(net: nn.Module, batch: dict[str, Tensor], progress: float) -> dict[str, Tensor]:
    """One step of training: the terms of a :class:`Learner`."""
    terms: dict[str, Tensor] = net(batch, progress)
    return terms


def encoded(encoder: Encoder, x: np.ndarray, context: np.ndarray, device: str = "cpu") -> np.ndarray:
    """Unit vectors of an encoder in evaluation mode, ``(n, n_latent)`` float32."""
    encoder = encoder.to(device).eval()
    with torch.no_grad():
        given = (torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device) for values in (x, context))
        result: np.ndarray = encoder(*given).cpu().numpy()
    return result
