"""All networks of one XTransferCDR: what each is trained on, and the order they come back in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from anndata import AnnData

from galenic.data.condition_means import ConditionMeans
from galenic.data.perturbation import PerturbationColumns
from galenic.models.keeping import opened
from galenic.models.xtransfer.answer import new_towers
from galenic.models.xtransfer.lesson import Lesson
from galenic.models.xtransfer.member import Member, train_genes, train_towers
from galenic.models.xtransfer.pairs import Scale
from galenic.models.xtransfer.training_pairs import can_pair, training_pairs
from galenic.train import Where, seeded
from galenic.work.bar import counted
from galenic.work.fan_out import fan_out
from galenic.work.kept import digest

if TYPE_CHECKING:
    from galenic.models.xtransfer.model import XTransferCDR


@dataclass(frozen=True, eq=False)
class School:
    """What every network of a fit learns from.

    Parameters
    ----------
    model
        Its effective fields.
    cells
        Rows that pairs are made of; ``None``: pairs are made of the means of conditions.
    columns, means
        What the table of the cells says, and the means of their conditions.
    lesson
        Conditions beside what the start says of them.
    scale
        Units of the towers.
    folds
        Which fold leaves a condition out, ``(n_conditions,)``.
    """

    model: XTransferCDR
    cells: AnnData | None
    columns: PerturbationColumns
    means: ConditionMeans
    lesson: Lesson
    scale: Scale
    folds: np.ndarray

    def trained(
        self, kinds: Sequence[str], where: Where, *, n_jobs: int = 1, checkpoint: str | Path | None = None
    ) -> dict[str, list[Member]]:
        """The members of each kind, "genes" and "towers"."""
        # An open file cannot go to other processes.
        n_jobs = 1 if self.cells is not None and self.cells.isbacked else n_jobs
        kept = opened(checkpoint, self.model, self._read, kinds=(Member,), what="networks")
        names = {kind: [f"{kind}-{number}" for number in range(self.model.n_networks)] for kind in kinds}
        jobs = {
            name: (self, kind, number, where.of(kept, name))
            for kind, own in names.items()
            for number, name in enumerate(own)
        }
        found: dict[str, Member] = dict(
            counted(fan_out(_trained, jobs, n_jobs=n_jobs, kept=kept), "networks", len(jobs))
        )
        return {kind: [found[name] for name in own] for kind, own in names.items()}

    def towers(self, number: int, where: Where) -> Member:
        """Train one pair of towers on the conditions of other folds."""
        model, means = self.model, self.means
        held = np.flatnonzero(self.folds == number % max(1, self.folds.max() + 1))
        if model.training.monitor != "held_out" or not can_pair(means, model.mode, held):
            held = held[:0]
        pairs = training_pairs(model, self.cells, self.columns, means, self.lesson, self.scale, held)
        with seeded(1000 * model.seed + number):
            net = new_towers(model, means.means.shape[1])
        return train_towers(model, net, pairs, self.lesson, held, number, where)

    def _read(self) -> str:
        """What tells what is learned from, and its order, from other data."""
        columns, means = self.columns, self.means
        told = [columns.context, columns.perturbation, columns.is_control, self.folds]
        told += [values for values in (columns.dose, self.lesson.own, self.lesson.start) if values is not None]
        # Means of conditions are of all their cells: cells of other values have others.
        return digest(means.means, means.control_means, *told)


def _trained(school: School, kind: str, number: int, where: Where) -> Member:
    """One network."""
    if kind == "towers":
        return school.towers(number, where)
    return train_genes(school.model, school.lesson, school.folds, number, where)
