"""Scores of predicted perturbation effects: by condition, and their means overall and by context."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from galenic.evaluate.conditions import Conditions, conditions_of
from galenic.evaluate.deltas import (
    cosine_rows,
    effects,
    first_k,
    mean_rows,
    overlap_rows,
    pearson_rows,
    r2_rows,
    sign_rows,
    slices,
    spearman_rows,
)
from galenic.evaluate.discrimination import discrimination
from galenic.evaluate.metrics import ROUNDING

TOP = (20, 50, 100)


def perturbation(
    table: pd.DataFrame,
    truth: np.ndarray,
    prediction: np.ndarray,
    control: np.ndarray,
    *,
    contexts: str = "context",
    perturbations: str = "perturbation",
    perturbed_mean: np.ndarray | None = None,
    top: Sequence[int] = TOP,
    degs: np.ndarray | None = None,
    predicted_degs: np.ndarray | None = None,
    distance: str = "l1",
    by_context: bool = False,
) -> pd.DataFrame:
    """Score predicted effects of perturbations: errors, agreement of effects, and whether they can be told apart.

    Parameters
    ----------
    table
        One row a condition, that is a perturbation in a context, each once. A dose belongs into the name of the
        perturbation.
    truth, prediction
        Mean expression of each condition, ``(n_conditions, n_genes)``, in the order of the table and on one scale,
        normally log-normalised.
    control
        Mean expression of the *measured* controls of each condition's context, same shape, or ``(n_genes,)`` for all.
        Truth and prediction are compared with the same controls, whatever a model predicts for untreated cells. For
        effects in place of expression pass zeros (``mae``, ``rmse`` and everything on effects stay what they are).
    contexts, perturbations
        Columns of the table.
    perturbed_mean
        Mean expression of the perturbed conditions *seen in training*, of the context or of all: ``(n_genes,)`` or a
        row a condition. Without it ``pearson_delta_perturbed`` is left out.
    top
        How many genes count as the most changed.
    degs
        Which genes these are. By default those with the largest true effect, chosen condition by condition. Numbers
        ``(n_conditions, n_genes)`` order them, smallest first: p-values or ranks, say from training conditions. A
        boolean mask names a set of its own size: the columns then end in ``_degs``, and ``precision_top20`` says
        which share of the 20 genes that are first in the prediction stand in the set.
    predicted_degs
        Numbers that order the genes of the prediction, smallest first; by default minus the size of its effect.
    distance
        Of ``discrimination``: ``"l1"``, ``"l2"`` or ``"cosine"``.
    by_context
        Also a group for each context.

    Returns
    -------
    pandas.DataFrame
        ``group, metric, value, n``: the mean over the n conditions where the metric is defined. With t, p, c the true
        and predicted expression and the control, and effects d = t - c and e = p - c over genes:

        - ``mae`` ``mean |t - p|``, ``rmse`` ``sqrt(mean (t - p)^2)``: the same for expression and effects. Less is
          better.
        - ``r2_absolute`` 1 - SSE / SST of t over genes. Only to compare with what others report: predicting no
          effect at all scores 0.76 to 0.96, as genes differ more than treatments do. More is better, as for all below.
        - ``pearson_delta``, ``spearman_delta``, ``cosine_delta``: of d with e.
        - ``pearson_delta_perturbed``: Pearson of t - m with p - m, m the ``perturbed_mean``. What all perturbations
          share no longer helps. Predicting no effect is *not* undefined here: run it, as a floor.
        - ``mae_top20``, ``pearson_delta_top20``: over the most changed genes; ``sign_top20``: share of them predicted
          to move the right way (a predicted 0 counts half, 0.5 is chance); ``de_overlap_top20``: share of them among
          the 20 that are first in the prediction (chance: 20 / n_genes).
        - ``discrimination``: share of the other perturbations *of the context* whose d lies farther from e than the
          own d; ``centroid_accuracy``: the same by Euclidean distance. 0.5 is chance. NaN for a context with one.
        - ``collapse``: variance of e over variance of d, between the conditions of a context, pooled over contexts and
          genes. Best is 1; near 0 a model says the same for all. Neither more nor less is better, so it is reported
          and not compared. Measured d hold noise, so a mean that is right stays below 1.

        Undefined is NaN with n = 0.

    Raises
    ------
    ValueError
        For a missing column, a condition that stands twice, shapes that disagree, a number that is not finite, or an
        unknown distance.

    Notes
    -----
    *No effect* (e = 0) and, against m, the perturbed mean have no direction: their correlations are NaN, not 0, and
    such conditions are left out of the mean (``n`` tells). Compare models on conditions that both have
    (:func:`skill`), which may count an undefined correlation as 0 by ``undefined_as=0.0``. Effects below 1e-6 of the
    spread of the control are rounding of float32 and count as 0.

    Genes tied for the last place among the first k share it, so the order of genes does not matter. Where k exceeds the
    number of genes the metric is undefined.

    Discrimination is the PDS of the Virtual Cell Challenge (Roohani et al., Cell 2025, 188:3370) but for two things:
    ties count half (there, the order of rows breaks them), and the rank is divided by n - 1, not n, so that a constant
    prediction scores 0.5 and the worst 0. With n conditions, 1 - (1 - PDS) n / (n - 1) is ours. The package
    ``cell-eval`` (0.8) also leaves the perturbed gene out of its distances, ranks all conditions of the table together,
    and takes e against the *predicted* controls; its ``mae``, ``mse`` = rmse^2 by condition and ``pearson_delta`` are
    equal to ours when both sides hold the same controls (but for *no effect*, where it correlates the last digits of
    float32: -0.08 to 0.19 in a trial). Its ``overlap_at_k`` and ``precision_at_k`` are among genes
    significant on both sides, 0 where there are none: see :func:`de_overlap` and :func:`precision_at_k`.

    ``pearson_delta_perturbed`` and ``centroid_accuracy``: Systema (Vinas Torne et al., Nature Biotechnology 2025).
    Over ``degs`` chosen on the truth, effects are larger than in truth by selection: a fair model has some error there.

    Examples
    --------
    >>> table = pd.DataFrame({"context": ["K562", "K562"], "perturbation": ["KLF1", "MAPK1"]})
    >>> control = np.array([1.0, 2.0, 3.0, 4.0])
    >>> truth = control + np.array([[1.0, 0.0, -1.0, 0.0], [0.0, 2.0, 0.0, 1.0]])
    >>> scores = perturbation(table, truth, control + (truth - control) / 2, control, top=[2])
    >>> scores[scores["metric"].isin(["mae", "pearson_delta", "discrimination", "collapse"])].round(3)
       group          metric  value  n
    0    all             mae  0.312  2
    3    all   pearson_delta  1.000  2
    10   all  discrimination  1.000  2
    12   all        collapse  0.250  2
    """
    conditions = conditions_of(table, truth, prediction, control, contexts, perturbations, perturbed_mean)
    by_condition = _by_condition(conditions, top, degs, predicted_degs, distance)
    collapse = _collapse(conditions)
    groups = {"all": np.ones(len(table), dtype=bool)}
    if by_context:
        groups.update({name: conditions.codes == code for code, name in enumerate(conditions.names)})
    tables = [_summary(group, by_condition[rows], collapse, conditions.codes[rows]) for group, rows in groups.items()]
    return pd.concat(tables, ignore_index=True)


def perturbation_by_condition(
    table: pd.DataFrame,
    truth: np.ndarray,
    prediction: np.ndarray,
    control: np.ndarray,
    *,
    contexts: str = "context",
    perturbations: str = "perturbation",
    perturbed_mean: np.ndarray | None = None,
    top: Sequence[int] = TOP,
    degs: np.ndarray | None = None,
    predicted_degs: np.ndarray | None = None,
    distance: str = "l1",
) -> pd.DataFrame:
    """Score each condition of :func:`perturbation` by itself, for :func:`skill` and for looking at single drugs.

    Parameters
    ----------
    table, truth, prediction, control, contexts, perturbations, perturbed_mean, top, degs, predicted_degs, distance
        As in :func:`perturbation`.

    Returns
    -------
    pandas.DataFrame
        One row a condition, with the index of the table: its context and perturbation, a column a metric (all but
        ``collapse``), and ``n_others`` perturbations that it was to be told from.

    Examples
    --------
    >>> table = pd.DataFrame({"context": ["K562", "K562"], "perturbation": ["KLF1", "MAPK1"]})
    >>> truth = np.array([[1.0, 0.0, -1.0, 0.0], [0.0, 2.0, 0.0, 1.0]])
    >>> scores = perturbation_by_condition(table, truth, truth[[0, 0]], np.zeros(4), top=[2])
    >>> scores[["perturbation", "mae", "pearson_delta", "sign_top2", "discrimination"]].round(2)
      perturbation   mae  pearson_delta  sign_top2  discrimination
    0         KLF1  0.00            1.0        1.0             1.0
    1        MAPK1  1.25            0.0        0.5             0.0
    """
    conditions = conditions_of(table, truth, prediction, control, contexts, perturbations, perturbed_mean)
    values = _by_condition(conditions, top, degs, predicted_degs, distance)
    return pd.concat([table[[contexts, perturbations]], values.set_index(table.index)], axis=1)


def _by_condition(
    conditions: Conditions,
    top: Sequence[int],
    degs: np.ndarray | None,
    predicted_degs: np.ndarray | None,
    distance: str,
) -> pd.DataFrame:
    for what, order in (("degs", degs), ("predicted_degs", predicted_degs)):
        if order is not None and np.shape(order) != conditions.truth.shape:
            raise ValueError(
                f"{what} should hold a number or a truth value for each gene of each condition, "
                f"{conditions.truth.shape}; received {np.shape(order)}. Repeat one row for a set that all share."
            )
    blocks = []
    for rows, (truth, prediction, control) in conditions.blocks():
        true, predicted = effects(truth, control), effects(prediction, control)
        block = _whole(truth, prediction, true, predicted)
        if conditions.perturbed_mean is not None:
            mean = conditions.perturbed_mean[rows]
            block["pearson_delta_perturbed"] = pearson_rows(effects(truth, mean), effects(prediction, mean))
        order = -np.abs(predicted) if predicted_degs is None else np.asarray(predicted_degs[rows], dtype=np.float64)
        block |= _few(true, predicted, truth - prediction, top, None if degs is None else np.asarray(degs[rows]), order)
        blocks.append(pd.DataFrame(block))
    values = pd.concat(blocks, ignore_index=True)
    true, predicted = (given - conditions.control for given in (conditions.truth, conditions.prediction))
    values["discrimination"], n_others = discrimination(true, predicted, conditions.codes, distance=distance)
    nearest = values["discrimination"]
    if distance != "l2":
        nearest = discrimination(true, predicted, conditions.codes, distance="l2")[0]
    return values.assign(centroid_accuracy=nearest, n_others=n_others)


def _whole(truth: np.ndarray, prediction: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics over all genes, ``(n_conditions,)`` each."""
    return {
        "mae": mean_rows(np.abs(truth - prediction)),
        "rmse": np.sqrt(mean_rows((truth - prediction) ** 2)),
        "r2_absolute": r2_rows(truth, prediction),
        "pearson_delta": pearson_rows(true, predicted),
        "spearman_delta": spearman_rows(true, predicted),
        "cosine_delta": cosine_rows(true, predicted),
    }


def _few(
    true: np.ndarray,
    predicted: np.ndarray,
    error: np.ndarray,
    top: Sequence[int],
    degs: np.ndarray | None,
    order: np.ndarray,
) -> dict[str, np.ndarray]:
    """Metrics over the most changed genes."""
    if degs is not None and degs.dtype == bool:
        sets = {"degs": degs.astype(np.float64)}
    else:
        ranks = -np.abs(true) if degs is None else degs.astype(np.float64)
        sets = {f"top{k}": first_k(ranks, k) for k in top}
    values = {}
    for name, weights in sets.items():
        values[f"mae_{name}"] = mean_rows(np.abs(error), weights)
        values[f"pearson_delta_{name}"] = pearson_rows(true, predicted, weights)
        values[f"sign_{name}"] = sign_rows(true, predicted, weights)
    for k in top:
        guess = first_k(order, k)
        if degs is not None and degs.dtype == bool:
            values[f"precision_top{k}"] = np.where(degs.any(axis=1), mean_rows(sets["degs"], guess), np.nan)
        else:
            values[f"de_overlap_top{k}"] = overlap_rows(sets[f"top{k}"], guess)
    return values


def _collapse(conditions: Conditions) -> np.ndarray:
    """Squares of true and predicted effects around their context's mean, by context, ``(n_contexts, 2)``."""
    n = np.bincount(conditions.codes)
    sums = np.zeros((len(n), 2))
    for side, values in enumerate((conditions.truth, conditions.prediction)):
        delta = values - conditions.control
        means = np.zeros((len(n), delta.shape[1]))
        np.add.at(means, conditions.codes, delta)
        means /= n[:, None]
        for rows in slices(*delta.shape):
            codes = conditions.codes[rows]
            sums[:, side] += np.bincount(codes, ((delta[rows] - means[codes]) ** 2).sum(axis=1), len(n))
    sums[n < 2] = 0.0
    # Conditions that differ by rounding only have no variance to be compared with.
    sizes = np.bincount(conditions.codes, ((conditions.truth - conditions.control) ** 2).sum(axis=1))
    sums[sums[:, 0] <= ROUNDING**2 * sizes] = 0.0
    return sums


def _summary(group: str, values: pd.DataFrame, collapse: np.ndarray, codes: np.ndarray) -> pd.DataFrame:
    values = values.drop(columns="n_others")
    squares = collapse[np.unique(codes)]
    true, predicted = squares.sum(axis=0)
    known = int((collapse[codes, 0] > 0).sum())
    return pd.DataFrame(
        {
            "group": group,
            "metric": [*values.columns, "collapse"],
            "value": [*values.mean(), predicted / true if true > 0 else np.nan],
            "n": [*values.notna().sum(), known],
        }
    )
