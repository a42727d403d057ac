"""One network of XTransferCDR, from its first weights to its last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from galenic.models.perturbation.known import Conditions, Known
from galenic.models.xtransfer.genes import GeneNet, corrections, gene_step
from galenic.models.xtransfer.lesson import Lesson, source_weights
from galenic.models.xtransfer.network import Towers, Weights
from galenic.models.xtransfer.pairs import Pairs, Scale
from galenic.train import Batches, Where, seeded

if TYPE_CHECKING:
    from galenic.models.xtransfer.model import XTransferCDR

STEPS = 16
"""Steps that an epoch has at least: few rows in one batch would teach little."""
SHARE_OF_GENES = 0.2
"""Of the genes of every condition the correction of genes does not learn from: they tell when to stop."""


@dataclass(frozen=True)
class Member:
    """A trained network, how it was trained, and what it says of the conditions that it did not see.

    ``rows`` (n,) are numbers of training conditions, ``said`` (n, n_genes) its corrections of their effects.
    """

    state: dict[str, np.ndarray]
    history: pd.DataFrame
    rows: np.ndarray
    said: np.ndarray


def train_genes(model: XTransferCDR, lesson: Lesson, fold: np.ndarray, number: int, where: Where) -> Member:
    """Train one correction of genes on the conditions of other folds."""
    seed = 1000 * model.seed + number
    rng = np.random.default_rng([seed, 1])
    held = np.flatnonzero(lesson.able & (fold == number % max(1, fold.max() + 1)))
    rows = np.setdiff1d(np.flatnonzero(lesson.able), held)
    if len(rows) > gene_limit(lesson):
        rows = np.sort(rng.choice(rows, gene_limit(lesson), replace=False))
    features, left = lesson.features(rows), lesson.left(rows)
    arrays = {"features": features.reshape(-1, features.shape[-1]), "left": left.ravel()}
    watched = np.tile(rng.random(left.shape[1]) < SHARE_OF_GENES, len(rows))
    with seeded(seed):
        net = GeneNet(features.shape[-1], dropout=model.dropout)
    size = int(np.clip(len(watched) // (2 * STEPS), 64, model.gene_training.batch_size))
    batches = Batches(arrays, batch_size=size, rows=~watched)
    valid = Batches(arrays, batch_size=2**14, rows=watched, shuffle=False)
    history = where.train("genes", net, batches, gene_step, model.gene_training, valid=valid, seed=seed)
    said = corrections(net, lesson.features(held), where.device) if len(held) else np.zeros((0, left.shape[1]))
    size_of_effects = lesson.told["effect_size"][0]
    return Member(_state(net), _named(history, "genes", number), held, said * size_of_effects)


def gene_limit(lesson: Lesson) -> int:
    """Conditions that a correction of genes learns from at most: more teach little that is new."""
    return max(16, 2**18 // lesson.own.shape[1])


def train_towers(
    model: XTransferCDR,
    net: Towers,
    pairs: Pairs,
    lesson: Lesson,
    held: np.ndarray,
    number: int,
    where: Where,
) -> Member:
    """Train towers on pairs that hold none of the conditions ``held``, which tell the best epoch."""
    asked = Question.of(model, lesson, held, pairs.profiles.scale) if len(held) else None
    step = _Step(model.terms)
    training = model.training
    if asked is None and training.monitor == "held_out":  # nothing tells the best epoch: the last one is kept
        training = replace(training, monitor="none")
    valid = [asked.batch] if asked is not None else None
    history = where.train("towers", net, pairs, step, training, valid=valid, seed=1000 * model.seed + number)
    said = np.zeros((0, lesson.own.shape[1]))
    if asked is not None:
        said = asked.answer(net, where.device) * pairs.profiles.scale.size
    return Member(_state(net), _named(history, "towers", number), held, said)


@dataclass(frozen=True)
class _Step:
    """Terms of a batch of pairs; of held-out conditions the error of what is predicted."""

    weights: Weights

    def __call__(self, net: Any, batch: Mapping[str, Any], progress: float) -> dict[str, Tensor]:
        if "left_out" in batch:
            said = net.transfer(batch["states"], batch["inputs"], batch["weights"])
            return {"held_out": F.mse_loss(said, batch["left_out"])}
        shared = "drug" if batch["kind"] == "drug" else "cell"
        terms: dict[str, Tensor] = net({k: v for k, v in batch.items() if k != "kind"}, shared, self.weights)
        return terms


@dataclass(frozen=True)
class Question:
    """Conditions that towers are asked for: states of their contexts, inputs of measured conditions, their weights."""

    batch: dict[str, Tensor]

    @classmethod
    def of(cls, model: XTransferCDR, lesson: Lesson, rows: np.ndarray, scale: Scale) -> Question:
        """Held-out training conditions, and what the towers should say of them."""
        asked = lesson.conditions.take(rows)
        batch = inputs_of(model, asked, lesson.known, lesson.controls[rows], scale)
        if model.start == "none":
            return cls(batch | {"left_out": scale(lesson.controls[rows] + lesson.own[rows])})
        left = (lesson.own[rows] - lesson.start[rows]) / scale.size
        return cls(batch | {"left_out": torch.from_numpy(left.astype(np.float32))})

    @torch.no_grad()
    def answer(self, net: Towers, device: str) -> np.ndarray:
        """What the towers say, ``(n, n_genes)`` in their units."""
        parts = [self.batch[name].to(device) for name in ("states", "inputs", "weights")]
        said: np.ndarray = net.to(device).eval().transfer(*parts).cpu().numpy()
        return said


def inputs_of(
    model: XTransferCDR, asked: Conditions, known: Known, controls: np.ndarray, scale: Scale
) -> dict[str, Tensor]:
    """What towers are given at prediction: mean controls, profiles of measured conditions that count, and how much."""
    weights = source_weights(asked, known)
    used = np.flatnonzero(weights.any(axis=0))
    inputs = known.effects[used] / scale.size if model.difference else (known.means[used] - scale.centre) / scale.size
    return {
        "states": scale(controls),
        "inputs": torch.from_numpy(inputs.astype(np.float32)),
        "weights": torch.from_numpy(weights[:, used].astype(np.float32)),
    }


def _state(net: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.detach().cpu().numpy().copy(order="C") for name, tensor in net.state_dict().items()}


def _named(history: pd.DataFrame, stage: str, number: int) -> pd.DataFrame:
    history.insert(0, "stage", stage)
    history.insert(1, "member", number)
    return history
