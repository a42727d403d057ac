"""How KDRUG is fitted: for the teacher, then the student, a start, networks over folds of cells, and their share."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from galenic.data.response import ResponseData
from galenic.evaluate.splits import holdout
from galenic.models.baselines.baseline import drug_table, response_matrix
from galenic.models.baselines.completion import Completion, KernelCompletion, own_responses
from galenic.models.baselines.inputs import learn_inputs
from galenic.models.baselines.new_drugs import left_out_weights
from galenic.models.kdrug.encode import Arrays, cell_arrays, drug_arrays
from galenic.models.kdrug.member import Lesson, Member, train_member
from galenic.models.kdrug.role import denormalise, modalities, new_start, normalise
from galenic.models.keeping import opened
from galenic.train import Where
from galenic.work.bar import counted
from galenic.work.fan_out import fan_out
from galenic.work.kept import digest

if TYPE_CHECKING:
    from galenic.models.kdrug.model import KDRUG

QUANTILES = 1001
"""Numbers kept of the distribution of errors on new drugs."""


@dataclass(frozen=True)
class Fitted:
    """What one role learned.

    Attributes
    ----------
    spec, arrays
        To be saved.
    members
        The trained networks: each teaches the student that leaves out the same cells.
    """

    spec: dict[str, Any]
    arrays: Arrays
    members: list[Member]


class Fit:
    """One fit of one model: what was read, and the roles in their order."""

    def __init__(
        self,
        model: KDRUG,
        data: ResponseData,
        held: np.ndarray,
        where: Where,
        *,
        n_jobs: int = 1,
        checkpoint: str | Path | None = None,
    ) -> None:
        self.model, self.data, self.held, self.where, self.n_jobs = model, data, held, where, n_jobs
        names = tuple(dict.fromkeys((*model.student, *present(model, data))))
        self.features, self.arrays = learn_inputs(data.cells, names)
        self.cells = cell_arrays(data.cells, self.features, self.arrays, required=model.student[:1])
        self.drugs = drug_arrays(data.drugs, data.drugs)
        self.Y = response_matrix(data, data.response)
        self.seen, self.mean = ~np.isnan(self.Y), np.nanmean(self.Y, axis=0)
        # What structures say of each drug when it is left out, as if it were new.
        self.without = left_out_weights(data.drugs["smiles"])
        self.starts: dict[tuple[str, ...], tuple[dict[str, Any], Arrays, Completion]] = {}
        self.kept = opened(checkpoint, model, self.read, kinds=(Member,))

    def read(self) -> str:
        """What tells cells, drugs and pairs, and their order, from others."""
        data = self.data
        pairs = data.response, data.cell_rows, data.drug_rows, self.held
        return digest(*self.cells, *self.cells.values(), *self.drugs.values(), self.without, *pairs)

    def run(self) -> tuple[dict[str, Any], Arrays, pd.DataFrame]:
        """Spec, arrays and history of the fitted model."""
        taught, roles, histories = None, {}, []
        arrays = dict(self.arrays)
        model = self.model
        # A teacher that reads nothing more than its student has nothing to teach.
        reads_more = set(modalities(model, "teacher", self.features)) - set(model.student)
        wanted = ("teacher", "student") if reads_more or model.teacher != type(model).teacher else ("student",)
        for using in ("teacher",) if model.answers == "teacher" else wanted if model.teacher else ("student",):
            taught = self.role(using, taught)
            roles[using] = taught.spec
            arrays |= {f"{using}.{name}": array for name, array in taught.arrays.items()}
            histories += [member.history for member in taught.members]
        spec = {"inputs": self.features, "unit": self.data.unit, "drugs": drug_table(self.data.drugs), "roles": roles}
        return spec, arrays, pd.concat(histories, ignore_index=True)

    def role(self, using: str, teacher: Fitted | None) -> Fitted:
        """Fit the start and the networks of one role, and join them."""
        model = self.model
        start = new_start(model, using, self.features)
        found: Completion | None = None
        if isinstance(start, KernelCompletion):
            start.spec_, start.arrays_, found = self.completed(start)
        else:
            start.fit(self.data)
        centred = self.Y - self.mean
        scale = float(np.nanstd(centred)) or 1.0
        members = self.members(using, centred / scale, teacher, scale)
        spec: dict[str, Any]
        if model.as_published:
            spec, kept = {"share": 1.0, "new_share": 1.0, "scale": 1.0}, self.published_errors(members)
        else:
            spec, kept = self.join(start, found, members, centred, scale)
        arrays = {f"start.{name}": np.ascontiguousarray(array) for name, array in start.arrays_.items()} | kept
        for number, member in enumerate(members):
            arrays |= {f"{number}.{name}": array for name, array in member.state.items()}
        spec |= {
            "start": {k: v for k, v in start.spec_.items() if k not in ("drugs", "unit")},
            "n_members": len(members),
        }
        return Fitted(spec, arrays, members)

    def completed(self, start: KernelCompletion) -> tuple[dict[str, Any], Arrays, Completion]:
        """What the start learned; the same start is fitted once."""
        if start.inputs not in self.starts:
            self.starts[start.inputs] = start._complete(self.data, self.data.response)
        spec, arrays, found = self.starts[start.inputs]
        return dict(spec), dict(arrays), found

    def published_errors(self, members: list[Member]) -> Arrays:
        """Errors on the pairs that no network learned from; those of new drugs are not known."""
        errors = np.full(self.Y.shape, np.nan, dtype=np.float32)
        rows = self.held_pairs()[0][0]
        at = self.data.cell_rows[rows], self.data.drug_rows[rows]
        found = denormalise(np.mean([member.grid for member in members], axis=0))
        errors[at] = np.abs(self.Y - found)[at]
        return {"errors": errors, "new_errors": np.zeros(0)}

    def join(
        self,
        start: Any,
        found: Completion | None,
        members: list[Member],
        centred: np.ndarray,
        scale: float,
    ) -> tuple[dict[str, Any], Arrays]:
        """Shares of the networks, what known cells' own responses add, and errors on unseen cells and drugs."""
        networks = scale * np.stack([member.grid for member in members])
        hidden = np.stack([member.left_out for member in members])
        unseen = unseen_cells(networks, hidden)
        share, left_out = 1.0, np.zeros_like(centred)
        if found is not None:
            left_out = found.left_out
            # Both without the same cells: the start, which learned from all others, would look too good beside them.
            starts = np.full_like(networks, np.nan)
            for number, rows in enumerate(hidden):
                starts[number, rows] = found.smooth.without(rows)
            share = best_share(centred, unseen_cells(starts, hidden), unseen, len(members))
        mean_unseen = average(unseen)
        honest = np.where(np.isnan(mean_unseen), left_out, (1 - share) * left_out + share * mean_unseen)
        if found is not None:
            own = own_responses(centred - honest, found.covariance, found.noise, 0)[0]
            start.arrays_["dual"] = (1 - share) * start.arrays_["dual"]
            start.arrays_["own"] = honest + own - (1 - share) * found.fitted - share * networks.mean(axis=0)
        errors = np.abs(centred - honest).astype(np.float32)
        # Not with what a cell's own responses add: the response to the drug that is left out is among them.
        new_share, new_errors = self.join_new(members, scale, self.mean + honest)
        levels = np.linspace(0, 1, QUANTILES)
        kept = {"errors": errors, "new_errors": np.quantile(new_errors, levels) if len(new_errors) else np.zeros(0)}
        spec = {"share": share, "new_share": new_share if found is not None else 1.0, "scale": scale}
        return spec, kept

    def join_new(self, members: list[Member], scale: float, answers: np.ndarray) -> tuple[float, np.ndarray]:
        """The share of what networks read from graphs, for new drugs, and the errors when drugs are left out."""
        base = answers @ self.without.T
        if not self.model.identity:
            return 0.0, np.abs(self.Y - base)[self.seen]
        read = np.stack([self.without @ self.mean + scale * member.structure for member in members])
        # Where neither the drug nor the cell was learned from: a network knows its cells, and the start here does not.
        for said, member in zip(read, members, strict=True):
            said[~member.left_out] = np.nan
        read = unseen_cells(read.transpose(0, 2, 1), np.stack([member.new_drugs for member in members]))
        read = read.transpose(0, 2, 1)
        share = best_share(self.Y, np.stack([base, base]), read, len(members))
        mean_read = average(read)
        joined = np.where(np.isnan(mean_read), base, (1 - share) * base + share * mean_read)
        return share, np.abs(self.Y - joined)[self.seen]

    def members(self, using: str, target: np.ndarray, teacher: Fitted | None, scale: float) -> list[Member]:
        """The trained networks of a role, each without one fold of the cells."""
        model, read = self.model, modalities(self.model, using, self.features)
        at = self.data.cell_rows, self.data.drug_rows
        new_mean = self.without @ self.mean
        lesson = Lesson(
            cells={key: self.cells[key] for name in read for key in (name, f"has {name}")},
            drugs=self.drugs,
            cell=at[0],
            drug=at[1],
            target=normalise(self.data.response) if model.as_published else target[at],
            new_target=(self.data.response - new_mean[at[1]]) / scale,
        )
        teachers: list[Member | None] = [None] * model.n_members if teacher is None else [*teacher.members]
        held, new = self.held_pairs()
        names = [f"{using}-{n}" for n in range(model.n_members)]
        jobs = {
            name: (model, using, lesson, teachers[n], n, held[n], new[n], self.where.of(self.kept, name))
            for n, name in enumerate(names)
        }
        found: dict[str, Member] = dict(
            counted(fan_out(train_member, jobs, n_jobs=self.n_jobs, kept=self.kept), "networks", len(jobs))
        )
        return [found[name] for name in names]

    def held_pairs(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """For each member the pairs it does not learn from (of a fold of cells), and the drugs its graphs leave out."""
        model, numbers = self.model, range(self.model.n_members)
        structures = self.data.drugs.get("structure")
        n_drugs = len(self.data.drugs)
        new = [left_out(structures, n_drugs, model, number) for number in numbers]
        if model.n_members == 1:
            new = [np.zeros(n_drugs, dtype=bool)]
        if model.as_published or model.n_members == 1:
            held = self.held if self.held.any() else hold_out(self.data, model.seed)
            return [held for _ in numbers], new
        return [left_out(None, self.data.cells.n_obs, model, number)[self.data.cell_rows] for number in numbers], new


def present(model: KDRUG, data: ResponseData) -> tuple[str, ...]:
    """What the teacher reads: all that was asked for, or of the default what the data have."""
    if model.teacher != type(model).teacher:
        return model.teacher
    absent = [name for name in model.teacher if name not in ("expression", "tissue") and name not in data.cells.obsm]
    if absent:
        warnings.warn(
            f"the default teacher reads {', '.join(model.teacher)}; these cells carry no {' and no '.join(absent)}, so "
            "it does without. Read them (--modality, modalities={name: file}) or name what it should read (--teacher).",
            stacklevel=2,
        )
    return tuple(name for name in model.teacher if name not in absent)


def left_out(groups: pd.Series | None, n: int, model: KDRUG, number: int) -> np.ndarray:
    """Which of ``n`` things a member leaves out, whole groups together: one fold of a division.

    Where there are enough members (an even number) the things are divided twice, each time anew, so that each is left
    out by two members that learned from different ones.
    """
    n_folds = fold_count(model.n_members)
    place = np.arange(n)
    if groups is not None:
        place = pd.factorize(groups.where(groups.notna(), groups.index.to_series()))[0]
    order = np.random.default_rng([model.seed, number // n_folds]).permutation(place.max() + 1 if n else 0)
    return np.asarray(order[place] % n_folds == number % n_folds)


def fold_count(n_members: int) -> int:
    """Folds of one division: half as many as members, where these are enough for two divisions."""
    return n_members // 2 if n_members >= 4 else max(n_members, 2)


def hold_out(data: ResponseData, seed: int) -> np.ndarray:
    """Mask of the pairs of a tenth of the cells; of a tenth of the pairs where there are too few cells."""
    by = "cell" if data.pairs["cell"].nunique() >= 10 else None
    held = np.zeros(len(data), dtype=bool)
    if len(data) >= 10:
        held[holdout(data.pairs, by, 0.1, seed=seed).test] = True
    return held


def unseen_cells(networks: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    """What two members at most say of what they did not learn from, ``(2, ...)``; NaN where there is none.

    Parameters
    ----------
    networks
        What every member says, members x cells x drugs.
    left_out
        Which cells each left out, members x cells.
    """
    found = np.full((2, *networks.shape[1:]), np.nan)
    count = np.cumsum(left_out, axis=0)
    for place in (0, 1):
        # The first member, then the second, that left a cell out.
        member = (left_out & (count == place + 1)).argmax(axis=0)
        rows = np.flatnonzero(count[-1] > place)
        found[place, rows] = networks[member[rows], rows]
    return found


def average(said: np.ndarray) -> np.ndarray:
    """Mean over the first axis of what is there; NaN where nothing is."""
    count = (~np.isnan(said)).sum(axis=0)
    return np.where(count > 0, np.nansum(said, axis=0) / np.maximum(count, 1), np.nan)


def best_share(truth: np.ndarray, start: np.ndarray, networks: np.ndarray, n_members: int) -> float:
    r"""The share ``b`` in [0, 1] for which ``(1 - b) start + b mean of n_members`` is nearest to what was measured.

    Each thing was left out by one member or two, yet a new one is answered by the mean of all. With :math:`g` how far
    a member lies from the start, the mean of :math:`n` has the square :math:`E g_1 g_2 + (E g^2 - E g_1 g_2) / n`.

    Parameters
    ----------
    truth
        Cells x drugs.
    start, networks
        What both said without having seen it, ``(2, ...)``: for one or two members, and NaN.
    """
    known = ~(np.isnan(truth) | np.isnan(networks).all(axis=0))
    if not known.any():
        return 0.0
    gaps = (networks - start)[:, known]
    single, both = np.nanmean(gaps**2), ~np.isnan(gaps).any(axis=0)
    shared = np.mean(gaps[0, both] * gaps[1, both]) if both.any() else single
    square = shared + (single - shared) / n_members
    pull = np.nanmean(gaps * (truth - start)[:, known])
    return float(np.clip(pull / square, 0.0, 1.0)) if square > 0 else 0.0
