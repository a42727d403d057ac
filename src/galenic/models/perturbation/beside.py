"""What the measured conditions themselves say of an asked one: to stand beside what a model says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.models.perturbation.floors import LADDER
from galenic.models.perturbation.known import compare, counted, mixed
from galenic.models.perturbation.question import ask

if TYPE_CHECKING:
    from galenic.models.perturbation.perturbation_model import PerturbationModel


@dataclass(frozen=True, eq=False)
class Beside:
    """Of one asked condition.

    Parameters
    ----------
    floors
        Effect of each gene by each floor that can say one, genes x floors; the first is the nearest to a guess by hand.
    spread
        Standard deviation of each gene's effect of this perturbation over the other contexts in which it was measured,
        ``(n_genes,)``; ``None`` where these are fewer than two.
    n_contexts
        Number of those contexts.
    fitted
        The effect that was measured in the fit itself, ``(n_genes,)``; ``None`` where the condition was no part of it.
    """

    floors: pd.DataFrame
    spread: np.ndarray | None
    n_contexts: int
    fitted: np.ndarray | None


def beside(model: PerturbationModel, adata: AnnData, condition: pd.DataFrame) -> Beside:
    """Floors and spread of one condition, from the measurements that every fitted model keeps and those in ``adata``.

    Parameters
    ----------
    model
        Fitted.
    adata, condition
        As for ``predict``; one row. A perturbation that nobody knows is not refused.

    Raises
    ------
    ValueError
        If more than one condition is asked, or as ``predict`` does.

    Examples
    --------
    >>> from galenic.data.simulate import perturbations
    >>> from galenic.models.perturbation.floors import MeanShift
    >>> adata = perturbations(n_contexts=3, n_perturbations=4, n_genes=10)
    >>> found = beside(MeanShift().fit(adata), adata, pd.DataFrame({"context": ["type A"], "perturbation": ["P01"]}))
    >>> list(found.floors), found.n_contexts, found.spread.shape
    (['MeanShift', 'ContextMeanEffect', 'GlobalMeanEffect'], 2, (10,))
    """
    if len(condition) != 1:
        raise ValueError(f"one condition should be asked; received {len(condition):,}. Ask for one at a time.")
    model._check_fitted()
    typical = model.arrays_["controls"].mean(axis=0)
    question = ask(adata, condition, model.spec_, typical, unknown="keep", non_negative=model._non_negative())
    asked, known = compare(model.spec_, model.arrays_, question)
    floors = {}
    for name, weigh in LADDER.items():
        weights = weigh(asked, known)
        if counted(weights)[0]:
            floors[name] = mixed(weights, known.effects)[0]
    elsewhere = known.effects[known.elsewhere(asked)[0]]
    itself = np.flatnonzero(known.itself(asked)[0] & known.learned)
    return Beside(
        pd.DataFrame(floors, index=pd.Index(model.spec_["genes"], name="gene")),
        elsewhere.std(axis=0, ddof=1) if len(elsewhere) > 1 else None,
        len(elsewhere),
        known.effects[itself[0]] if len(itself) else None,
    )
