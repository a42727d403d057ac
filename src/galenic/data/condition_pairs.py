"""Pairs of treated rows that share exactly one factor, drawn on the fly by row number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from galenic.data.checks import first
from galenic.data.perturbation import PerturbationColumns

Mode = Literal["cell", "drug", "both"]
Over = Literal["conditions", "cells"]


@dataclass(frozen=True, eq=False)
class Pool:
    """Conditions in groups, of which two are drawn: the same group, another condition.

    Parameters
    ----------
    rows
        Row numbers of treated rows, sorted by group and condition, ``(n_rows,)``.
    starts
        First place in ``rows`` of each condition, and one more for the end, ``(n_conditions + 1,)``.
    firsts
        First condition of each group, and one more for the end, ``(n_groups + 1,)``. Groups of one are left out.
    """

    rows: np.ndarray
    starts: np.ndarray
    firsts: np.ndarray

    @classmethod
    def of(cls, group: np.ndarray, condition: np.ndarray, rows: np.ndarray) -> Pool:
        """The pool of some rows, by the code of the group and of the condition of each."""
        order = np.lexsort((rows, condition, group))
        group, condition, rows = group[order], condition[order], rows[order]
        starts = np.flatnonzero(np.r_[True, (np.diff(group) != 0) | (np.diff(condition) != 0)]) if len(rows) else rows
        of_condition = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(rows)]))
        n_partners = np.bincount(group[starts], minlength=group.max(initial=-1) + 1)
        keep = n_partners[group] > 1
        rows, group, of_condition = rows[keep], group[keep], of_condition[keep]
        starts = np.flatnonzero(np.r_[True, np.diff(of_condition) != 0]) if len(rows) else rows
        firsts = np.flatnonzero(np.r_[True, np.diff(group[starts]) != 0]) if len(rows) else rows
        return cls(rows, np.r_[starts, len(rows)], np.r_[firsts, len(starts)])

    def __len__(self) -> int:
        return len(self.starts) - 1

    def draw(self, rng: np.random.Generator, n: int, over: Over) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers of ``n`` pairs, left and right."""
        if over == "cells":
            place = rng.integers(len(self.rows), size=n)
            left = np.searchsorted(self.starts, place, side="right") - 1
        else:
            left = rng.integers(len(self), size=n)
            place = self._within(rng, left)
        group = np.searchsorted(self.firsts, left, side="right") - 1
        begin, end = self.firsts[group], self.firsts[group + 1]
        if over == "cells":
            low, high = self.starts[begin], self.starts[end]
            own, after = self.starts[left], self.starts[left + 1]
            # A row of the group other than those of the left condition: the hole in the middle is stepped over.
            other = low + rng.integers(high - low - (after - own))
            return self.rows[place], self.rows[np.where(other < own, other, other + after - own)]
        right = begin + (left - begin + 1 + rng.integers(end - begin - 1)) % (end - begin)
        return self.rows[place], self.rows[self._within(rng, right)]

    def _within(self, rng: np.random.Generator, condition: np.ndarray) -> np.ndarray:
        begin = self.starts[condition]
        places: np.ndarray = begin + rng.integers(self.starts[condition + 1] - begin)
        return places


@dataclass(frozen=True, eq=False)
class PairIndex:
    """Where pairs are drawn from: rows of one context, rows of one perturbation, and the controls of each context.

    Parameters
    ----------
    pools
        By mode: ``"cell"`` (pairs share the context), ``"drug"`` (pairs share the perturbation, and the dose).
    context
        Code of the context of every row of the data, ``(n_rows,)``.
    controls
        Row numbers of controls, sorted by context.
    control_starts
        First place in ``controls`` of each context, and one more for the end, ``(n_contexts + 1,)``.
    """

    pools: dict[str, Pool]
    context: np.ndarray
    controls: np.ndarray
    control_starts: np.ndarray

    def draw(
        self, rng: np.random.Generator, n: int, mode: Mode | None = None, *, over: Over = "conditions"
    ) -> dict[str, np.ndarray]:
        """Draw pairs with replacement, without a loop over them.

        Parameters
        ----------
        rng
            Source of the draws; nothing else is random.
        n
            Number of pairs.
        mode
            What a pair shares; ``"both"`` tosses a coin for each. None = every mode of the index.
        over
            Is every condition as likely as every other, or every cell (row)?

        Returns
        -------
        dict
            Row numbers, ``(n,)`` each: ``left, right`` share exactly one factor, ``control_left, control_right`` are
            controls of their contexts; ``shares_context`` says which factor is shared.
        """
        if over not in ("conditions", "cells"):
            raise ValueError(f"over should be 'conditions' or 'cells'; received {over!r}. Choose one.")
        wanted = sorted(self.pools) if mode in (None, "both") else [str(mode)]
        if not set(wanted) <= set(self.pools):
            raise ValueError(f"mode should be one of {first(sorted(self.pools))}; received {mode!r}. Choose one.")
        which = rng.integers(len(wanted), size=n) if len(wanted) > 1 else np.zeros(n, dtype=int)
        left, right = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
        for number, name in enumerate(wanted):
            own = np.flatnonzero(which == number)
            left[own], right[own] = self.pools[name].draw(rng, len(own), over)
        return {
            "left": left,
            "right": right,
            "control_left": self.controls_of(rng, left),
            "control_right": self.controls_of(rng, right),
            "shares_context": np.array([name == "cell" for name in wanted])[which],
        }

    def controls_of(self, rng: np.random.Generator, rows: np.ndarray) -> np.ndarray:
        """Row numbers of one control for each row, of the same context."""
        begin, end = self.control_starts[self.context[rows]], self.control_starts[self.context[rows] + 1]
        found: np.ndarray = self.controls[begin + rng.integers(end - begin)]
        return found


def pair_index(
    columns: PerturbationColumns, mode: Mode = "both", *, by_dose: bool = False, keep: np.ndarray | None = None
) -> PairIndex:
    """Pools of row numbers from which training pairs are drawn.

    Parameters
    ----------
    columns
        What :func:`galenic.data.perturbation.perturbation_columns` read; every context has controls.
    mode
        ``"cell"``: pairs share the context and differ in the perturbation. ``"drug"``: the other way round.
        ``"both"``: whichever of the two there is.
    by_dose
        Is a perturbation at another dose another perturbation?
    keep
        bool, ``(n_rows,)``: treated rows that pairs are made of; None = all.

    Raises
    ------
    ValueError
        If no two conditions share just what the mode says, or a context lacks controls.

    Examples
    --------
    >>> import pandas as pd
    >>> from anndata import AnnData
    >>> from galenic.data.perturbation import perturbation_columns
    >>> obs = pd.DataFrame({"cell_type": list("AAABB"), "drug": ["ctrl", "x", "y", "ctrl", "x"]}, index=list("01234"))
    >>> index = pair_index(perturbation_columns(AnnData(np.zeros((5, 1), dtype="float32"), obs=obs)), "drug")
    >>> pair = index.draw(np.random.default_rng(0), 1)
    >>> sorted([int(pair["left"][0]), int(pair["right"][0])]), int(pair["control_left"][0]) in (0, 3)
    ([1, 4], True)
    """
    if mode not in ("cell", "drug", "both"):
        raise ValueError(f"mode should be 'cell', 'drug' or 'both'; received {mode!r}. Choose one.")
    _, condition = columns.conditions(by_dose=by_dose)
    rows = np.flatnonzero(~columns.is_control if keep is None else keep & ~columns.is_control)
    treatment = columns.perturbation
    if by_dose and columns.dose is not None:
        levels, level = np.unique(columns.dose, return_inverse=True)
        treatment = treatment * len(levels) + level
    factors = {"cell": columns.context, "drug": treatment}
    pools = {
        name: Pool.of(factor[rows], condition[rows], rows) for name, factor in factors.items() if mode in (name, "both")
    }
    pools = {name: pool for name, pool in pools.items() if len(pool)}
    if not pools:
        shared, differs = ("context", "perturbation") if mode == "cell" else ("perturbation", "context")
        raise ValueError(
            f"two conditions that share their {shared} and differ in their {differs} are needed to train on pairs; "
            f"there are none among {len(columns.perturbations):,} perturbations (first: "
            f"{first(columns.perturbations)}) in {len(columns.contexts):,} contexts (first: "
            f"{first(columns.contexts)}). Add data, or choose another mode."
        )
    controls = np.flatnonzero(columns.is_control)
    controls = controls[np.argsort(columns.context[controls], kind="stable")]
    counts = np.bincount(columns.context[controls], minlength=len(columns.contexts))
    lacking = np.flatnonzero(counts == 0)
    if len(lacking):
        raise ValueError(
            f"every context should have controls to draw; {len(lacking):,} of {len(counts):,} have none (first: "
            f"{first(np.array(columns.contexts)[lacking])}). Add their controls, or leave these contexts out."
        )
    return PairIndex(pools, columns.context, controls, np.r_[0, np.cumsum(counts)])
