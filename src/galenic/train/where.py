"""Where a fit computes, and where it keeps what is half done: nothing here changes a number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from torch import nn

from galenic.train.loop import train
from galenic.train.terms import Step
from galenic.train.training import Training
from galenic.work.kept import Kept
from galenic.work.processes import told


@dataclass(frozen=True, kw_only=True)
class Where:
    """Device, progress bar and folder of a fit, on their way from ``fit`` to each of its trainings.

    Parameters
    ----------
    device
        As for :func:`galenic.train.train`.
    progress
        Show bars.
    kept, job
        In the room of this job each training keeps its state, so that a fit that was killed goes on in the middle;
        ``None``: nowhere.
    """

    device: str = "auto"
    progress: bool = False
    kept: Kept | None = None
    job: str = ""

    def of(self, kept: Kept | None, job: str) -> Where:
        """The same for one job: what it has half done lies in its room until the job is kept.

        Parameters
        ----------
        kept
            Room of the jobs, or None.
        job
            Name of the job.
        """
        return replace(self, kept=kept, job=job)

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
        """:func:`galenic.train.train`; in the room of a job its state is kept as ``name``, also when it is finished.

        So a stage that is done is not done again while the job that it is a stage of goes on.
        """
        kept = self.kept
        # A worker on another machine may not see the folder: it keeps nothing.
        room = kept.room(self.job) if kept is not None and told(kept.is_seen()) else None
        return train(
            net,
            batches,
            step,
            training,
            valid=valid,
            seed=seed,
            device=self.device,
            progress=self.progress,
            checkpoint=None if room is None else room / f"{name}.pt",
            keep=room is not None,
        )
