"""Training: one loop for every network, batches of anything that gives rows, one device or many.

The names are loaded when they are first used: :class:`Training` alone needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from galenic.train.batches import Batches, PairBatches
    from galenic.train.devices import Local, pick, seeded
    from galenic.train.loop import train
    from galenic.train.terms import unreached
    from galenic.train.training import Training
    from galenic.train.where import Where

_WHERE = {
    "Training": "training",
    "Batches": "batches",
    "PairBatches": "batches",
    "Local": "devices",
    "pick": "devices",
    "seeded": "devices",
    "train": "loop",
    "unreached": "terms",
    "Where": "where",
}
__all__ = ["Batches", "Local", "PairBatches", "Training", "Where", "pick", "seeded", "train", "unreached"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"galenic.train has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"galenic.train.{_WHERE[name]}"), name)
