"""One network of ScATD: rows added to rare classes, then a head on a frozen encoder, towards the cells' domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from galenic.data.augment import decoded, multipliers, smote, without_tomek_links
from galenic.models.scatd.network import CellClassifier, Placed, encoder_of
from galenic.nn.residual_vae import ResidualVAE, drawn
from galenic.nn.transfer_losses import SCALES, coral, domain_confusion, mmd, reversal_at
from galenic.train import Batches, Training, Where, seeded
from galenic.work.processes import gathered

if TYPE_CHECKING:
    from galenic.models.scatd.model import ScATD

MOST_CELLS = 5000
"""Cells of the target that networks see in training, at most."""
TUNED_LR = 0.1
"""Share of the learning rate at which the encoder is tuned in the last epochs."""


@dataclass(frozen=True)
class Lesson:
    """What all members share.

    Attributes
    ----------
    vae
        Pretrained; its encoder is read, its decoder makes new rows.
    placed
        Brings shared features to its input.
    target
        Standardised shared features of cells, ``(n, n_features)``, or ``None``.
    low
        Least value that each standardised feature can have, or ``None``.
    """

    vae: ResidualVAE
    placed: Placed
    target: np.ndarray | None
    low: np.ndarray | None


def train_member(
    model: ScATD,
    lesson: Lesson,
    x: np.ndarray,
    y: np.ndarray,
    wanted: np.ndarray,
    number: int,
    where: Where,
) -> tuple[CellClassifier, pd.DataFrame]:
    """Train one classifier on standardised rows of the lines.

    Parameters
    ----------
    x, y
        Training rows of one fold, ``(n, n_features)``, and their labels.
    wanted
        What the head is to say of each row, from 0 to 1: its label, or how sensitive it is among all.
    number
        Of the member.
    """
    seed = 1000 * model.seed + number
    x, origin = augmented(model, lesson, x, y, seed)
    y, wanted = y[origin], wanted[origin]
    sizes = np.bincount(y, minlength=2)
    weight = len(y) / (2 * sizes[y])
    with seeded(seed):
        net = _untrained(model, lesson)
    with torch.no_grad():
        inputs = lesson.placed(_tensor(x))
        target = None if lesson.target is None else lesson.placed(_tensor(lesson.target)).to(where.device)
    arrays = {"x": inputs, "y": wanted.astype(np.float32), "weight": weight.astype(np.float32)}
    step = _Step(model.adapt_by, model.adapt_weight, model.as_published, target)
    batches = Batches(arrays, batch_size=min(model.training.batch_size, max(2, len(y) // 4)))
    histories = [where.train("head", net, batches, step, model.training, seed=seed)]
    if model.tuned_epochs:
        net.encoder.unfreeze()
        training = replace(model.training, max_epochs=model.tuned_epochs, lr=TUNED_LR * model.training.lr)
        histories.append(where.train("tuned", net, batches, step, training, seed=seed))
        net.encoder.freeze()
    history = pd.concat(histories, ignore_index=True)
    history.insert(0, "member", number)
    return net.cpu().eval(), history


def restored(model: ScATD, lesson: Lesson, state: Mapping[str, np.ndarray]) -> CellClassifier:
    """The trained classifier with these weights, in evaluation mode."""
    with seeded(0):  # first weights are drawn even where they are replaced at once
        net = _untrained(model, lesson)
    net.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
    return net.eval()


def _untrained(model: ScATD, lesson: Lesson) -> CellClassifier:
    return CellClassifier(encoder_of(lesson.vae), _n_latent(lesson.vae), critic=model.adapt_by == "adversarial")


def augmented(model: ScATD, lesson: Lesson, x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows with more of the rare class, without those of the larger class in Tomek links; and what each is made from.

    Returns
    -------
    x, origin
        ``(n_rows, n_features)``, and for each the number of the given row that it is or was made from.
    """
    origin = np.arange(len(y))
    if model.augment != "none":
        growth = multipliers(y)
        if model.augment == "smote":
            more = smote(x, y, growth, seed=seed)
        else:
            more = decoded(x, y, growth, _decoder(lesson), low=lesson.low, seed=seed)
        x, origin = more.x, more.origin
    if model.tomek:
        kept = without_tomek_links(x, y[origin])
        x, origin = x[kept], origin[kept]
    return x, origin


def _decoder(lesson: Lesson) -> Any:
    """Function that gives for each row one that its latents, drawn once, decode to."""
    vae, placed = lesson.vae.eval(), lesson.placed

    @torch.no_grad()
    def sample(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        mean, log_variance = vae.encoder(placed(_tensor(rows)))
        made = (vae.decode(drawn(mean, log_variance, generator)) - placed.centre) / placed.scale
        return np.asarray(made[:, placed.places].numpy(), dtype=np.float64)

    return sample


@dataclass(frozen=True)
class _Step:
    """Terms of a batch of lines, with as many cells drawn at random beside them."""

    adapt_by: str
    weight: float
    sampled: bool
    target: Tensor | None

    def __call__(self, net: Any, batch: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
        x, n = batch["x"], len(batch["x"])
        adapting = self.target is not None and self.adapt_by != "none" and self.weight > 0
        if adapting:
            assert self.target is not None
            rows = torch.randint(len(self.target), (n,), device=self.target.device)
            x = torch.cat([x, self.target[rows]])
        # Both domains in one pass: each is encoded once, under the same batch statistics.
        logits, z = net(x, self.sampled, n)
        each = functional.binary_cross_entropy_with_logits(logits, batch["y"], reduction="none")
        terms = {"class": (batch["weight"] * each).mean()}
        if adapting:
            terms["domain"] = self.weight * self._distance(net, gathered(z[:n]), gathered(z[n:]), progress)
        return terms

    def _distance(self, net: Any, source: Tensor, target: Tensor, progress: float) -> Tensor:
        if self.adapt_by == "adversarial":
            return domain_confusion(net.critic, source, target, weight=reversal_at(progress))
        if self.adapt_by == "coral":
            return coral(source, target)
        return mmd(source, target, scales=(1.0,) if self.sampled else SCALES)


def published_training() -> Training:
    """As published: 150 epochs at 2e-5, cosine to a hundredth (its two restarts are left out)."""
    return Training(
        lr=2e-5, weight_decay=3e-3, batch_size=64, max_epochs=150, patience=0, schedule="cosine", monitor="none"
    )


def _tensor(x: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))


def _n_latent(vae: ResidualVAE) -> int:
    return int(vae.encoder.mean.out_features)
