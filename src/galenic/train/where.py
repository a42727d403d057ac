"""Where a fit computes, and where it keeps what is half done: nothing here changes a number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from galenic.train.loop import train
from galenic.train.terms import Step
from galenic.train.training import Training


@dataclass(frozen=True, kw_only=True)
class Where:
    """Device, progress bar and folder of a fit, on their way from ``fit`` to each of its trainings.

    Parameters
    ----------
    device
        As for :func:`galenic.train.train`.
    progress
        Show bars.
    folder
        Where each training keeps its state, so that a fit that was killed goes on in the middle; ``None``: nowhere.
    """

    device: str = "auto"
    progress: bool = False
    folder: Path | None = None

    def within(self, name: str) -> Where:
        """The same, in a folder of its own."""
        return self if self.folder is None else replace(self, folder=self.folder / name)

    def train(
        self,
        name: str,
        net: nn.Module,
        batches: Any,
        step: Step,
        training: Training,
        *,
        valid: Any = None,
        seed: int = 0,
    ) -> pd.DataFrame:
        """:func:`galenic.train.train`; with a folder its state is kept there as ``name``, also when it is finished.

        So a stage that is done is not done again while the fit that it is a stage of goes on.
        """
        return train(
            net,
            batches,
            step,
            training,
            valid=valid,
            seed=seed,
            device=self.device,
            progress=self.progress,
            checkpoint=None if self.folder is None else self.folder / f"{name}.pt",
            keep=self.folder is not None,
        )
