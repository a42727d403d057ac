"""The floors' effects side by side, each counted as much as it helped where the truth was held out."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from anndata import AnnData
from scipy.optimize import nnls

from galenic.data.condition_means import ConditionMeans
from galenic.data.perturbation import PerturbationColumns
from galenic.models.perturbation import regression
from galenic.models.perturbation.floors import Floor
from galenic.models.perturbation.known import Conditions, Known, compare, counted, mixed, shift_weights
from galenic.models.perturbation.kriging import kriged_weights
from galenic.models.perturbation.linear import excess_elsewhere, usual
from galenic.models.perturbation.perturbation_model import measured

PARTS = ("mean of the context", "excess elsewhere", "mean shift", "similar contexts", "excess by regression")
"""What is added up."""


@dataclass(kw_only=True, repr=False)
class StackedShift(Floor):
    r"""Control + a weighted sum of simple effects, with weights learned on conditions that were held out.

    .. math:: \hat e_{cp} = w_1 \bar e_{c,-p} + w_2 d_{cp} + w_3 \bar e_{-c,p} + w_4 \tilde e_{cp} + w_5 \hat r_{cp}

    of the mean effect of the context's other perturbations, what is special to the perturbation elsewhere (see
    :class:`ScaledShift`), its mean effect over the other contexts, the same weighed by the likeness of controls (see
    :func:`~galenic.models.perturbation.kriging.kriged_weights`), and what perturbations with a similar excess elsewhere
    had for one here (kernel ridge regression, see :mod:`galenic.models.perturbation.regression`). The weights are not
    negative and minimise the squared error over the training conditions, each left out of its own prediction, so that
    what carries over counts and what does not is silent. Without a source of the perturbation in another context the
    effects of its parts are added up where it is a combination, else the mean effect of the context answers, and
    ``obs["fallback"]`` says so. A condition's own measurement is never averaged into its answer, but the weights have
    been learned from it: to judge, ask for conditions that were not in the fit. Where no perturbation was measured in
    two contexts there is nothing to learn weights from, and effects are taken from similar contexts as they are.

    Parameters
    ----------
    similarity
        Of contexts, as in :class:`NearestContextShift`.

    Examples
    --------
    >>> from galenic.data.simulate import perturbations
    >>> model = StackedShift().fit(perturbations(n_contexts=3, n_perturbations=5, n_genes=20))
    >>> bool((model.arrays_["weights"] >= 0).all())
    True
    """

    similarity: Literal["pearson", "spearman", "euclidean"] = "pearson"

    ladder: ClassVar[tuple[str, ...]] = ("AdditivePairs", "ContextMeanEffect", "GlobalMeanEffect")

    def _learn(
        self, adata: AnnData, columns: PerturbationColumns, means: ConditionMeans, spec: dict[str, Any], **how: Any
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        conditions, known = compare(spec, measured(means), None)
        arrays, left_out = regression.learn(conditions, known)
        products, towards = np.zeros((len(PARTS),) * 2), np.zeros(len(PARTS))
        for rows in conditions.blocks():
            asked = conditions.take(rows)
            parts, count = simple_effects(asked, known, known.controls[asked.context], self.similarity)
            parts = np.concatenate([parts, left_out[None, rows]])[:, count > 0]
            own = known.effects[known.itself(asked).argmax(axis=1)][count > 0]
            products += np.einsum("kng,lng->kl", parts, parts)
            towards += np.einsum("kng,ng->k", parts, own)
        weights = _least_squares(products, towards)
        if not towards.any():
            weights[PARTS.index("similar contexts")] = 1.0
            if len(means.contexts) > 1:
                warnings.warn(
                    "no perturbation was measured in two contexts, so nothing tells how well effects carry over: they "
                    "are taken from similar contexts as they are. Add conditions that two contexts share.",
                    stacklevel=4,
                )
        return spec, {"weights": weights, **arrays}

    def _effects(
        self, asked: Conditions, known: Known, controls: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        parts, count = self.parts(asked, known, controls)
        return np.einsum("k,kng->ng", self.arrays_["weights"], parts), count, count > 0

    def parts(self, asked: Conditions, known: Known, controls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is added up, ``(5, n_asked, n_genes)``, zeros where a part has nothing to say; and number of sources.

        Parameters
        ----------
        asked
            Conditions that are asked for.
        known
            Effects that were measured.
        controls
            Mean profiles of controls, by context.
        """
        parts, count = simple_effects(asked, known, controls, self.similarity)
        return np.concatenate([parts, regression.predict(self.arrays_, asked, known)[None]]), count


def simple_effects(
    asked: Conditions, known: Known, controls: np.ndarray, similarity: str
) -> tuple[np.ndarray, np.ndarray]:
    """The first four of :data:`PARTS`, ``(4, n_asked, n_genes)``, and number of sources."""
    shift = shift_weights(asked, known)
    alike = kriged_weights(asked, known, controls, similarity)
    special = excess_elsewhere(asked, known)[0]
    parts = [usual(asked, known), special, mixed(shift, known.effects), mixed(alike, known.effects)]
    return np.stack(parts), counted(shift)


def _least_squares(products: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """Weights that are not negative, of all values at once, from the products of the parts with each other."""
    values, axes = np.linalg.eigh(products)
    kept = values > 1e-10 * max(values.max(), 1e-300)
    if not kept.any():
        return np.zeros(len(products))
    root = np.sqrt(values[kept])
    return np.asarray(nnls((axes[:, kept] * root).T, (axes[:, kept].T @ towards) / root)[0])
