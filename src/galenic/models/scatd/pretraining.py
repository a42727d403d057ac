"""Pretraining of an autoencoder on unlabelled cells, read from where they lie a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from galenic.models.scatd.presets import Recipe, new_net, state_of
from galenic.models.scatd.reading import parts
from galenic.nn.residual_vae import ResidualVAE, residual_vae_terms
from galenic.nn.transfer_losses import distill_direction
from galenic.train import Batches, Training, Where, seeded

RESIDENT = 2**28
"""Bytes: fewer are read once and held as dense float32; of more only the rows of a batch are ever dense."""
STEPS = 4
"""Steps that an epoch has at least: few cells in one batch would teach little."""
WATCHED = 512
"""Validation cells of a batch."""
JUDGED = 2048
"""Cells at most by which a finished encoder is judged."""
ACTIVE = 0.01
"""Variance over cells above which the mean of a latent says something."""


@dataclass(frozen=True)
class Step:
    """Terms of a batch: weighted error, divergence, and the angle to the teacher's latents where there are any."""

    recipe: Recipe

    def __call__(self, net: Any, batch: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
        """Named terms of a batch, weighted."""
        coded = net(batch["x"])
        terms = residual_vae_terms(coded, batch["x"], beta=self.recipe.beta)
        if "teacher" in batch:
            student = coded.z if self.recipe.sampled else coded.mean
            terms["direction"] = self.recipe.cosine * distill_direction(student, batch["teacher"])
        return terms


@dataclass(frozen=True)
class Lesson:
    """Cells of one file and what a teacher says of them: ``arrays`` by name, and the ``rows`` that count."""

    arrays: dict[str, Any]
    rows: np.ndarray

    def batches(self, size: int, *, shuffle: bool) -> Batches:
        """Batches of these cells."""
        return Batches(self.arrays, batch_size=size, rows=self.rows, shuffle=shuffle, resident=RESIDENT)

    def blocks(self, most: int) -> Iterator[dict[str, np.ndarray]]:
        """Up to ``most`` of these cells, some at a time."""
        rows = self.rows[:: max(1, -(-len(self.rows) // most))]
        for part in parts(len(rows), self.arrays["x"].shape[1]):
            yield {name: array[rows[part]] for name, array in self.arrays.items()}


def pretrained(
    recipe: Recipe,
    lesson: Lesson,
    valid: Lesson | None,
    *,
    seed: int,
    where: Where,
) -> tuple[ResidualVAE, pd.DataFrame]:
    """Train one network; the schedule of the learning rate never starts again.

    Without validation cells nothing tells the best epoch: the last one is kept.
    """
    training: Training = recipe.training
    if valid is None:
        training = replace(training, monitor="none", schedule=_without_plateau(training))
    with seeded(seed):
        net = new_net(recipe, lesson.arrays["x"].shape[1])
    size = max(2, min(training.batch_size, -(-len(lesson.rows) // STEPS)))
    batches = lesson.batches(size, shuffle=True)
    watched = None if valid is None else valid.batches(WATCHED, shuffle=False)
    history = where.train("network", net, batches, Step(recipe), training, valid=watched, seed=seed)
    return net.to("cpu"), history


def finished(recipe: Recipe, lesson: Lesson, valid: Lesson | None, seed: int, where: Where) -> dict[str, Any]:
    """What is left of one network when it is trained: its ``state``, ``history``, and how it is ``judged``."""
    net, history = pretrained(recipe, lesson, valid, seed=seed, where=where)
    return {"state": state_of(net), "history": history, "judged": judged(net, valid or lesson)}


def _without_plateau(training: Training) -> Any:
    return "cosine" if training.schedule == "plateau" else training.schedule


def judged(net: ResidualVAE, lesson: Lesson) -> dict[str, Any]:
    """How much a network explains, how many latents say something, and how far it agrees with a teacher."""
    net.eval()
    error = variance = 0.0
    means, cosines = [], []
    total = n = 0.0
    for part in lesson.blocks(JUDGED):
        total, n = total + part["x"].sum(axis=0, dtype=np.float64), n + len(part["x"])
    centre = total / n
    for part in lesson.blocks(JUDGED):
        with torch.no_grad():
            coded = net(torch.from_numpy(part["x"]))
        mean = coded.mean.numpy()
        error += float(((coded.reconstruction.numpy() - part["x"]) ** 2).sum())
        variance += float(((part["x"] - centre) ** 2).sum())
        means.append(mean)
        if "teacher" in part:
            lengths = np.linalg.norm(mean, axis=1) * np.linalg.norm(part["teacher"], axis=1)
            cosines.append(np.einsum("ij,ij->i", mean, part["teacher"]) / np.maximum(lengths, 1e-12))
    return {
        "explained": 1 - error / variance if variance > 0 else None,
        "n_active": int((np.concatenate(means).var(axis=0) > ACTIVE).sum()),
        "agreement": float(np.concatenate(cosines).mean()) if cosines else None,
    }
