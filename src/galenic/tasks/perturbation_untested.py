"""Conditions that no fold tests, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from galenic.tasks.task import Part

if TYPE_CHECKING:
    from galenic.tasks.perturbation import PerturbationTask

LEFT: dict[str, str] = {
    "context": "always trained on",
    "perturbation": "combinations whose parts fall into different folds",
    "combination": "single perturbations, which always train",
    "file": "in no test part of the file",
}
"""Why a condition is tested in no fold, by what the folds leave out."""


def untested(task: PerturbationTask, by: str, parts: Sequence[Part]) -> str:
    """How many conditions are tested in no fold, and why, in words; ``""`` where all are.

    Parameters
    ----------
    task
        The question.
    by
        What the folds leave out.
    parts
        The folds, of :meth:`PerturbationTask.folds`.

    Examples
    --------
    >>> import galenic
    >>> from galenic.tasks import PerturbationTask
    >>> cells = galenic.simulate.perturbations(n_contexts=2, n_perturbations=4, n_genes=5, n_cells=3)
    >>> kept = (cells.obs["cell_type"] == "type A") | (cells.obs["perturbation"] != "P01")
    >>> task = PerturbationTask(cells[kept].copy())
    >>> untested(task, "pair", task.folds("pair", 2, 0))
    '1 of 7 conditions is tested in no fold: 1 of a perturbation that was measured in one context only.'
    """
    table = task.means.table
    tested = np.zeros(len(table), dtype=bool)
    for part in parts:
        codes = task.codes[part.test]
        tested[codes[codes >= 0]] = True
    left = table[~tested]
    if left.empty:
        return ""
    whys = _of_pairs(table, left) if by == "pair" else {LEFT[by]: len(left)}
    said = "; ".join(f"{n:,} {why}" for why, n in whys.items() if n)
    verb = "is" if len(left) == 1 else "are"
    return f"{len(left):,} of {len(table):,} conditions {verb} tested in no fold: {said}."


def _of_pairs(table: pd.DataFrame, left: pd.DataFrame) -> dict[str, int]:
    """The untested pairs by reason."""
    contexts = table.groupby("perturbation")["context"].nunique()
    perturbations = table.groupby("context")["perturbation"].nunique()
    single = (left["perturbation"].map(contexts) == 1).to_numpy()
    alone = (left["context"].map(perturbations) == 1).to_numpy() & ~single
    return {
        "of a perturbation that was measured in one context only": int(single.sum()),
        "of a context with one perturbation only": int(alone.sum()),
        "always trained on, so that their context or perturbation has something to train on": int(
            (~single & ~alone).sum()
        ),
    }
