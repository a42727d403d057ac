"""One network of a teacher or student, from its first stage to its last."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from galenic.models.kdrug.encode import Arrays, grid, vectors
from galenic.models.kdrug.network import Fusion, Network
from galenic.models.kdrug.role import build
from galenic.models.kdrug.stages import Step, distil_step, fit_step, privileged_step, structure_step
from galenic.train import PairBatches, Training, Where, seeded

if TYPE_CHECKING:
    from galenic.models.kdrug.model import KDRUG

STEPS = 8
"""Steps that an epoch has at least: a small screen in one batch would teach little."""


@dataclass(frozen=True)
class Lesson:
    """What the members of a role learn from: cells, drugs and pairs as arrays.

    ``target`` is what is predicted of drugs of fitting, ``new_target`` of a drug as if it were new.
    """

    cells: Arrays
    drugs: Arrays
    cell: np.ndarray
    drug: np.ndarray
    target: np.ndarray
    new_target: np.ndarray


@dataclass(frozen=True)
class Member:
    """A trained network and what it says of the training cells and drugs.

    Attributes
    ----------
    state
        Its weights.
    history
        Of all its stages.
    grid, structure
        Predictions, cells x drugs: of drugs by their identities, and by their graphs alone.
    cells, drugs
        Encoded vectors: of cells the main modality's.
    left_out
        Cells it did not learn from, ``(n_cells,)`` bool.
    new_drugs
        Drugs whose graphs it did not learn from, ``(n_drugs,)`` bool; none where graphs were not learned apart.
    """

    state: Arrays
    history: pd.DataFrame
    grid: np.ndarray
    structure: np.ndarray
    cells: np.ndarray
    drugs: np.ndarray
    left_out: np.ndarray
    new_drugs: np.ndarray


def train_member(
    model: KDRUG,
    using: str,
    lesson: Lesson,
    teacher: Member | None,
    number: int,
    held: np.ndarray,
    new_drugs: np.ndarray,
    where: Where,
) -> Member:
    """All stages of one network.

    Parameters
    ----------
    teacher
        Teaches a student: it left out the same cells, so that nothing of them is passed on.
    held
        Pairs that it does not learn from, mask.
    new_drugs
        Drugs whose graphs it does not learn from, mask.
    """
    school = _School(model, using, lesson, teacher, number, held, where)
    net = school.student() if using == "student" else school.teacher()
    structure, new = np.zeros((0, 0)), np.zeros_like(new_drugs)
    if model.identity:
        net = school.read_structures(net, new_drugs)
        structure, new = grid(net, lesson.cells, {**lesson.drugs, "known": np.full(len(new_drugs), -1)}), new_drugs
    cells, drugs = vectors(net, lesson.cells, lesson.drugs)
    learned = np.bincount(lesson.cell[~held], minlength=len(cells)) > 0
    return Member(
        {name: tensor.detach().cpu().numpy().copy() for name, tensor in net.state_dict().items()},
        pd.concat(school.histories, ignore_index=True),
        grid(net, lesson.cells, lesson.drugs),
        structure,
        cells,
        drugs,
        ~learned,
        new,
    )


@dataclass
class _School:
    model: KDRUG
    using: str
    lesson: Lesson
    by: Member | None
    number: int
    held: np.ndarray
    where: Where

    def __post_init__(self) -> None:
        self.seed = 1000 * self.model.seed + 10 * self.number + (self.using == "student")
        self.histories: list[pd.DataFrame] = []

    def teacher(self) -> Network:
        """Stages 1 to 3 of a teacher."""
        model, step = self.model, fit_step(self.model.hide)
        if model.stages == 1 or model.fusion == "plain" or not self.new().others:
            return self.learn(self.new(), step, "teacher 1: one head")
        first, net = self.learn(self.new("plain"), step, "teacher 1: one head"), self.new()
        own = net.state_dict()
        kept = {
            name: value for name, value in first.state_dict().items() if own.get(name, value[:0]).shape == value.shape
        }
        net.load_state_dict(kept, strict=False)
        self.learn(net, step, "teacher 2: two heads")
        if model.stages == 3:
            for name, parameter in net.named_parameters():
                frozen = name.startswith(tuple(f"cells.of_{other}." for other in net.others))
                parameter.requires_grad_(not frozen and not name.startswith("other_head"))
            self.learn(net, privileged_step(0.5), "teacher 3: privileged")
            net.requires_grad_(True)
        return net

    def student(self) -> Network:
        """The student, with a teacher or without."""
        model, taught = self.model, self.by is not None
        weights = (model.hard, model.soft if taught else 0.0, model.relation if taught else 0.0)
        step = distil_step(*weights, model.hide, model.detach, model.as_published)
        return self.learn(self.new(), step, "student")

    def read_structures(self, net: Network, new_drugs: np.ndarray) -> Network:
        """The last stage: everything but the graph encoder stays, and graphs learn to stand in for identities."""
        has = self.lesson.drugs["mask"].any(axis=1)
        rows = np.flatnonzero(~self.held & (has & ~new_drugs)[self.lesson.drug])
        if not len(rows):
            return net
        net.requires_grad_(False)
        net.drug.requires_grad_(True)
        training = replace(self.model.training, max_epochs=self.model.structure_epochs)
        batches = self.batches({"target": self.lesson.new_target}, rows, graphs=True)
        self.train(net, structure_step, f"{self.using}: structures", training, batches)
        net.requires_grad_(True)
        return net

    def new(self, fusion: Fusion | None = None) -> Network:
        """An untrained network, its weights drawn from the seed."""
        widths = {name: self.lesson.cells[name].shape[1] for name in self.lesson.cells if not name.startswith("has ")}
        with seeded(self.seed):
            return build(self.model, self.using, widths, len(self.lesson.drugs["mask"]), fusion)

    def learn(self, net: Network, step: Step, stage: str) -> Network:
        """Train a network for one stage on the pairs that are not held out, and watch those that are."""
        pairs = {"target": self.lesson.target}
        if self.by is not None:
            pairs["teacher"] = self.by.grid[self.lesson.cell, self.lesson.drug]
        batches = self.batches(pairs, np.flatnonzero(~self.held))
        valid = self.batches(pairs, np.flatnonzero(self.held), shuffle=False) if self.held.any() else None
        return self.train(net, step, stage, self.model.training, batches, valid)

    def train(
        self,
        net: Network,
        step: Step,
        stage: str,
        training: Training,
        batches: PairBatches,
        valid: PairBatches | None = None,
    ) -> Network:
        """Train a network and keep the history."""
        # Names of files have no colons everywhere.
        name = stage.replace(":", ",")
        history = self.where.train(name, net, batches, step, training, valid=valid, seed=self.seed)
        history.insert(0, "stage", stage)
        history.insert(1, "member", self.number)
        self.histories.append(history)
        return net.cpu()

    def batches(self, pairs: Arrays, rows: np.ndarray, *, graphs: bool = False, shuffle: bool = True) -> PairBatches:
        """Pairs with their targets, and what the teacher says of cells and drugs."""
        lesson = self.lesson
        # Copies of every graph for every batch would take longer than the network, where identities stand for them.
        graphs = graphs or not self.model.identity
        cells = dict(lesson.cells)
        drugs = {name: value for name, value in lesson.drugs.items() if name == "known" or graphs}
        if self.by is not None and self.model.relation:
            cells["teacher"], drugs["teacher"] = self.by.cells, self.by.drugs
        size = min(self.model.training.batch_size, -(-len(rows) // STEPS)) if shuffle else 2**15
        block: Literal["cell", "drug"] | None = None if self.model.block == "none" else self.model.block
        if graphs and self.model.identity:
            block = "drug"
        table = {"cell": lesson.cell, "drug": lesson.drug, **pairs}
        return PairBatches(cells, drugs, table, batch_size=size, rows=rows, shuffle=shuffle, block=block)
