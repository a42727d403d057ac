"""Floors with a few coefficients: what is special to a perturbation elsewhere, scaled or mapped to this context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from anndata import AnnData

from galenic.data.condition_means import ConditionMeans
from galenic.data.perturbation import PerturbationColumns
from galenic.models.perturbation.floors import Floor
from galenic.models.perturbation.known import (
    Conditions,
    Known,
    compare,
    context_weights,
    counted,
    everything_weights,
    mixed,
    shares,
)
from galenic.models.perturbation.perturbation_model import measured


@dataclass(kw_only=True, repr=False)
class ScaledShift(Floor):
    r"""Control + the mean effect of the context + s times what is special to the perturbation elsewhere.

    With effects :math:`e_{cp}` and their excess over the mean effect of the context's other perturbations,
    :math:`r_{cp} = e_{cp} - \bar e_{c,-p}`,

    .. math:: \hat e_{cp} = \bar e_{c,-p} + s\, d_{cp}, \qquad d_{cp} = \frac{1}{|C_p \setminus c|}
       \sum_{c' \in C_p \setminus c} r_{c'p}, \qquad s = \frac{\sum \langle r_{cp}, d_{cp}\rangle}{\sum \langle
       d_{cp}, d_{cp}\rangle}

    summed over the training conditions, each held out from its own prediction. Near 1 effects carry over as they are;
    near 0 another context says nothing of this one. In a context without training effects the mean is that over all.

    Notes
    -----
    What was special to a perturbation is needed, so contexts with a single one are no sources; where there are no
    others :class:`MeanShift` answers, and ``obs["fallback"]`` says so. Without any source only the mean is left.

    Examples
    --------
    >>> from galenic.data.simulate import perturbations
    >>> model = ScaledShift().fit(perturbations(n_contexts=3, n_perturbations=5, n_genes=20))
    >>> bool(0.9 < model.arrays_["scale"][0] < 1.1)
    True
    """

    def _learn(
        self, adata: AnnData, columns: PerturbationColumns, means: ConditionMeans, spec: dict[str, Any], **how: Any
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        conditions, known = compare(spec, measured(means), None)
        products = squares = 0.0
        own = own_excess(conditions, known)
        for rows in conditions.blocks():
            elsewhere, able, _ = excess_elsewhere(conditions.take(rows), known)
            able &= np.isfinite(own[rows]).all(axis=1)
            products += float((own[rows][able] * elsewhere[able]).sum())
            squares += float((elsewhere[able] ** 2).sum())
        return spec, {"scale": np.array([products / squares if squares > 0 else 1.0])}

    def _effects(
        self, asked: Conditions, known: Known, controls: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        elsewhere, able, count = excess_elsewhere(asked, known)
        return usual(asked, known) + self.arrays_["scale"][0] * elsewhere, count, able


def excess_elsewhere(asked: Conditions, known: Known) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean excess of the asked perturbation in other contexts, zeros where none is known; whether, and of how many."""
    weights = shares(known.elsewhere(asked) & known.has_special)
    return mixed(weights, known.special), counted(weights) > 0, counted(weights)


def own_excess(conditions: Conditions, known: Known) -> np.ndarray:
    """Excess of each learned condition itself; NaN where its context has no other."""
    result = np.full((len(conditions), known.special.shape[1]), np.nan)
    for rows in conditions.blocks():
        result[rows] = known.special[known.itself(conditions.take(rows)).argmax(axis=1)]
    return result


def usual(asked: Conditions, known: Known) -> np.ndarray:
    """Mean effect of the context's other perturbations, or over all contexts where it has none."""
    weights = context_weights(asked, known)
    none = ~weights.any(axis=1)
    weights[none] = everything_weights(asked.take(np.flatnonzero(none)), known)
    return mixed(weights, known.effects)
