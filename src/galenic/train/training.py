"""How a network is trained: the numbers, apart from the loop so that reading them needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Literal, get_args

Schedule = Literal["constant", "cosine", "plateau"]
Optimizer = Literal["adam", "adamw"]


@dataclass(frozen=True, kw_only=True)
class Training:
    """Hyperparameters of one training stage.

    Parameters
    ----------
    lr
        Learning rate after warm-up, above 0.
    weight_decay
        Weight decay: decoupled from the gradient for ``"adamw"``, added to it (L2) for ``"adam"``.
    batch_size
        Rows (pairs, cells, profiles) of a batch, on each device.
    max_epochs
        Passes over the training rows at most.
    patience
        Stop after this many epochs in a row without improvement; 0 = never.
    min_delta
        An improvement is a fall of the monitored value by more than this.
    clip
        Largest gradient norm; 0 = no clipping.
    warmup
        Share of all steps over which the learning rate rises from 0, in [0, 1).
    schedule
        ``"constant"``; ``"cosine"``: falls to 1 % of ``lr`` at the end of ``max_epochs``; ``"plateau"``: a tenth each
        time half of ``patience`` passes without improvement.
    optimizer
        ``"adamw"`` or ``"adam"``.
    monitor
        What says which epoch is best: ``"total"``, the name of a term, or ``"none"`` (keep the last epoch and never
        stop early). It is read on the validation rows, and on the training rows where there are none. Terms whose
        weight grows with the progress make *training* totals of different epochs incomparable: give validation rows
        (always scored with the final weights of the terms), or use ``"none"``.

    Raises
    ------
    ValueError
        If a value is not allowed.

    Examples
    --------
    >>> Training(lr=1e-4, batch_size=512).max_epochs
    100
    >>> Training(lr=-1)
    Traceback (most recent call last):
    ValueError: Training.lr should be a number above 0; received -1. Set it to an allowed value, for example 0.001.
    """

    lr: float = 1e-3
    weight_decay: float = 0.0
    batch_size: int = 256
    max_epochs: int = 100
    patience: int = 10
    min_delta: float = 0.0
    clip: float = 0.0
    warmup: float = 0.0
    schedule: Schedule = "constant"
    optimizer: Optimizer = "adamw"
    monitor: str = "total"

    def __post_init__(self) -> None:
        whole, number = (lambda value: _is(value, Integral)), (lambda value: _is(value, Real) and math.isfinite(value))
        allowed = {
            "lr": (lambda value: number(value) and value > 0, "a number above 0"),
            "weight_decay": (lambda value: number(value) and value >= 0, "a number of 0 or more"),
            "batch_size": (lambda value: whole(value) and value >= 1, "a whole number of 1 or more"),
            "max_epochs": (lambda value: whole(value) and value >= 1, "a whole number of 1 or more"),
            "patience": (lambda value: whole(value) and value >= 0, "a whole number of 0 (never stop) or more"),
            "min_delta": (lambda value: number(value) and value >= 0, "a number of 0 or more"),
            "clip": (lambda value: number(value) and value >= 0, "a number of 0 (no clipping) or more"),
            "warmup": (lambda value: number(value) and 0 <= value < 1, "a share from 0 to below 1"),
            "schedule": (lambda value: value in get_args(Schedule), f"one of {get_args(Schedule)}"),
            "optimizer": (lambda value: value in get_args(Optimizer), f"one of {get_args(Optimizer)}"),
            "monitor": (lambda value: isinstance(value, str) and value != "", "'total', 'none' or the name of a term"),
        }
        for field in fields(self):
            holds, wanted = allowed[field.name]
            value = getattr(self, field.name)
            if not holds(value):
                raise ValueError(
                    f"Training.{field.name} should be {wanted}; received {value!r}. "
                    f"Set it to an allowed value, for example {field.default!r}."
                )
        if self.schedule == "plateau" and (self.patience == 0 or self.monitor == "none"):
            raise ValueError(
                "Training.schedule='plateau' needs epochs to be compared; received "
                f"patience={self.patience}, monitor={self.monitor!r}. "
                "Set patience (for example 20) and a monitor, or use schedule='cosine'."
            )


def rate(training: Training, share: float, scale: float = 1.0) -> float:
    """Learning rate of a step.

    Parameters
    ----------
    training
        Gives ``lr``, ``warmup`` and ``schedule``.
    share
        Share of all steps done once this one is, in (0, 1].
    scale
        What plateaus have left of the learning rate.

    Examples
    --------
    >>> rate(Training(lr=0.1, warmup=0.5), 0.25), rate(Training(lr=0.1), 0.25)
    (0.05, 0.1)
    """
    if share < training.warmup:
        return training.lr * share / training.warmup
    if training.schedule == "cosine":
        done = (share - training.warmup) / (1 - training.warmup)
        return training.lr * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)
    return training.lr * scale


def _is(value: object, kind: type) -> bool:
    """Whether a value is a number of a kind; True and False are not numbers here."""
    return isinstance(value, kind) and not isinstance(value, bool)
