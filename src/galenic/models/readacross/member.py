"""One network of ReadAcross, from its first weights to its last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from galenic.data.aligned import Aligned
from galenic.models.profiles.discriminant import squashed
from galenic.models.readacross.network import Encoder, Learner, step
from galenic.nn.angular import AngularLoss
from galenic.train import Batches, Where, seeded

if TYPE_CHECKING:
    from galenic.models.readacross.model import ReadAcross

STEPS = 4
"""Steps that an epoch has at least: few profiles in one batch would teach little."""


@dataclass(frozen=True)
class Front:
    """What happens to z-scores before a network sees them: squashed, centred, rotated and scaled.

    ``matrix`` is ``(n_genes, n_features)``, or ``(n_genes,)`` where genes are only scaled.
    """

    squash: float
    mean: np.ndarray
    matrix: np.ndarray

    def __call__(self, part: np.ndarray) -> np.ndarray:
        """Features of rows of z-scores, ``(n, n_features)`` float32."""
        centred = squashed(part, self.squash) - self.mean
        return (centred * self.matrix if self.matrix.ndim == 1 else centred @ self.matrix).astype(np.float32)


class Features:
    """Rows of features, computed as they are asked for: what batches take of profiles too many for memory."""

    def __init__(self, rows: Aligned, front: Front) -> None:
        self.rows, self.front = rows, front
        self.shape = (len(rows), front.matrix.shape[-1])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self.front(self.rows[rows])


@dataclass(frozen=True)
class Lesson:
    """What networks learn from: features, context, and the number of each profile's perturbagen and mechanism.

    ``mechanism`` is empty where there is none.
    """

    features: Any
    context: np.ndarray
    label: np.ndarray
    mechanism: np.ndarray

    def batches(self, size: int, rows: np.ndarray, *, together: bool, shuffle: bool = True) -> Batches:
        """Batches of some rows."""
        arrays = {"x": self.features, "context": self.context, "label": self.label}
        if len(self.mechanism):
            arrays["mechanism"] = self.mechanism
        groups = self.label if together else None
        return Batches(arrays, batch_size=size, rows=rows, together=groups, shuffle=shuffle)


@dataclass(frozen=True)
class Member:
    """The weights of a trained encoder, and how it was trained."""

    state: dict[str, np.ndarray]
    history: pd.DataFrame


def new_encoder(model: ReadAcross, n_features: int, n_context: int) -> Encoder:
    """An untrained encoder with the widths of a model."""
    return Encoder(
        n_features,
        n_context,
        noise=model.noise,
        input_dropout=model.input_dropout,
        n_latent=model.width,
        n_layers=model.n_layers,
        growth=model.growth,
        hidden_dropout=model.hidden_dropout,
    )


def new_loss(model: ReadAcross, codes: np.ndarray) -> AngularLoss:
    """The loss of a model for classes of these profiles."""
    return AngularLoss(
        model.loss,
        torch.from_numpy(np.bincount(codes[codes >= 0])),
        model.width,
        scale=model.scale,
        margin=model.margin,
        ramp=model.ramp,
        rare=model.rare,
        n_centres=model.n_centres,
        smoothing=model.smoothing,
        balance=model.balance,
    )


def train_member(model: ReadAcross, lesson: Lesson, valid: Lesson | None, number: int, where: Where) -> Member:
    """Train one network."""
    seed = 1000 * model.seed + number
    with seeded(seed):
        encoder = new_encoder(model, lesson.features.shape[1], lesson.context.shape[1])
        mechanism = new_loss(model, lesson.mechanism) if len(lesson.mechanism) else None
        learner = Learner(encoder, new_loss(model, lesson.label), mechanism, model.mechanism)
    together = model.loss == "contrastive"
    rows = np.flatnonzero(lesson.label >= 0)
    size = max(2, min(model.training.batch_size, -(-len(rows) // STEPS)))
    watched = None
    if valid is not None and together:  # the classes of a softmax are those of the training profiles
        watched = valid.batches(2**11, np.flatnonzero(valid.label >= 0), together=True, shuffle=False)
    batches = lesson.batches(size, rows, together=together)
    history = where.train("network", learner, batches, step, model.training, valid=watched, seed=seed)
    history.insert(0, "stage", "network")
    history.insert(1, "member", number)
    state = {
        name: tensor.detach().cpu().numpy().copy(order="C") for name, tensor in learner.encoder.state_dict().items()
    }
    return Member(state, history)
