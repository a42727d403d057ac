"""Metrics of predictions: pure functions, one literal table of them, and their fast versions within groups."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from galenic.work.near import did_you_mean

# A spread below this share of the values' own size is rounding, not variation: correlation with it is undefined.
ROUNDING = 1e-10


class Metric(NamedTuple):
    """A metric: its function of (truth, prediction), whether more is better, and the value of a perfect prediction.

    Parameters
    ----------
    function
        Of (truth, prediction), both ``(n,)``.
    greater_is_better
        Whether more is better.
    best
        Value of a perfect prediction.
    """

    function: Callable[[np.ndarray, np.ndarray], float]
    greater_is_better: bool
    best: float


class Score(NamedTuple):
    """A score that has no function of (truth, prediction): whether more is better, and the value of a perfect model.

    ``None``: neither more nor less is better, only ``best`` is.

    Parameters
    ----------
    greater_is_better
        Whether more is better; ``None`` where only ``best`` is.
    best
        Value of a perfect model.
    """

    greater_is_better: bool | None
    best: float


def rmse(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Root mean squared error, in the unit of the response; NaN without rows.

    Parameters
    ----------
    truth, prediction
        Numbers, ``(n,)``. A missing or infinite number in either makes the metric NaN (so for all metrics here).

    Examples
    --------
    >>> rmse([1.0, 2.0], [1.0, 4.0])
    1.4142135623730951
    """
    return _all_rows("rmse", truth, prediction)


def mae(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Mean absolute error, in the unit of the response; NaN without rows.

    Parameters
    ----------
    truth
        Measured values, ``(n,)``.
    prediction
        Predicted values, ``(n,)``.

    Examples
    --------
    >>> mae([1.0, 2.0], [1.0, 4.0])
    1.0
    """
    return _all_rows("mae", truth, prediction)


def r2(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Coefficient of determination, ``1 - SSE / SST``, at most 1; NaN below two rows or for a constant truth.

    Parameters
    ----------
    truth
        Measured values, ``(n,)``.
    prediction
        Predicted values, ``(n,)``.

    Examples
    --------
    >>> r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.5
    """
    return _all_rows("r2", truth, prediction)


def pearson(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Pearson correlation in [-1, 1]; NaN below three rows or where truth or prediction is constant.

    Parameters
    ----------
    truth
        Measured values, ``(n,)``.
    prediction
        Predicted values, ``(n,)``.

    Examples
    --------
    >>> round(pearson([1.0, 2.0, 3.0], [1.0, 2.0, 4.0]), 3)
    0.982
    >>> pearson([1.0, 2.0, 3.0], [5.0, 5.0, 5.0])
    nan
    """
    return _all_rows("pearson", truth, prediction)


def spearman(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Spearman rank correlation in [-1, 1], ties sharing their mean rank; NaN where :func:`pearson` would be.

    Parameters
    ----------
    truth
        Measured values, ``(n,)``.
    prediction
        Predicted values, ``(n,)``.

    Examples
    --------
    >>> spearman([1.0, 2.0, 3.0], [1.0, 2.0, 40.0])
    1.0
    """
    return _all_rows("spearman", truth, prediction)


def auroc(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Area under the ROC curve: the share of (1, 0) pairs in which the 1 has the higher prediction, ties half.

    NaN where only one class is present.

    Parameters
    ----------
    truth
        Labels 0 or 1, ``(n,)``.
    prediction
        Higher = more likely 1, ``(n,)``. Pass minus the response where lower means sensitive.

    Examples
    --------
    >>> auroc([0, 0, 1], [0.1, 0.3, 0.2])
    0.5
    """
    return _all_rows("auroc", truth, prediction)


def auprc(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Average precision (area under the precision-recall curve, by steps); chance = the share of ones.

    NaN where only one class is present. Parameters as for :func:`auroc`.

    Parameters
    ----------
    truth
        Labels, ``(n,)``: 1 or 0.
    prediction
        Scores, ``(n,)``: higher means more likely 1.

    Examples
    --------
    >>> auprc([0, 0, 1], [0.1, 0.3, 0.2])
    0.5
    """
    return _all_rows("auprc", truth, prediction)


def balanced_accuracy(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Mean of the shares of ones and of zeros that are told right; chance = 0.5. NaN where only one class is present.

    Parameters
    ----------
    truth
        Labels 0 or 1, ``(n,)``.
    prediction
        0.5 or more = said to be 1, ``(n,)``.

    Examples
    --------
    >>> balanced_accuracy([0, 0, 1], [0.1, 0.6, 0.7])
    0.75
    """
    return _all_rows("balanced_accuracy", truth, prediction)


METRICS = {
    "rmse": Metric(rmse, greater_is_better=False, best=0.0),
    "mae": Metric(mae, greater_is_better=False, best=0.0),
    "r2": Metric(r2, greater_is_better=True, best=1.0),
    "pearson": Metric(pearson, greater_is_better=True, best=1.0),
    "spearman": Metric(spearman, greater_is_better=True, best=1.0),
    "auroc": Metric(auroc, greater_is_better=True, best=1.0),
    "auprc": Metric(auprc, greater_is_better=True, best=1.0),
    "balanced_accuracy": Metric(balanced_accuracy, greater_is_better=True, best=1.0),
}
BINARY = ("auroc", "auprc", "balanced_accuracy")
"""Metrics whose truth is 0 or 1."""

# Of `galenic.evaluate.retrieval`; `auroc` there has the direction of the metric above.
RETRIEVAL_METRICS = {
    "median_quantile": Score(greater_is_better=False, best=0.0),
    "recall_at_1pct": Score(greater_is_better=True, best=1.0),
    "recall_at_10pct": Score(greater_is_better=True, best=1.0),
    "auroc": Score(greater_is_better=True, best=1.0),
    "auroc_by_pair": Score(greater_is_better=True, best=1.0),
    "auroc_pooled": Score(greater_is_better=True, best=1.0),
    "map": Score(greater_is_better=True, best=1.0),
    "map_normalised": Score(greater_is_better=True, best=1.0),
    "found_beyond_chance": Score(greater_is_better=True, best=1.0),
    "hit_at_1": Score(greater_is_better=True, best=1.0),
    "hit_at_5": Score(greater_is_better=True, best=1.0),
    "hit_at_10": Score(greater_is_better=True, best=1.0),
    "recall_at_1": Score(greater_is_better=True, best=1.0),
    "recall_at_5": Score(greater_is_better=True, best=1.0),
    "recall_at_10": Score(greater_is_better=True, best=1.0),
}

# Of `galenic.evaluate.perturbation` and `distances_by_condition`; with `_top20` (or any k) or `_degs` behind it, the
# same over a few genes only.
PERTURBATION_METRICS = {
    "mae": Score(greater_is_better=False, best=0.0),
    "rmse": Score(greater_is_better=False, best=0.0),
    "r2_absolute": Score(greater_is_better=True, best=1.0),
    "pearson_delta": Score(greater_is_better=True, best=1.0),
    "spearman_delta": Score(greater_is_better=True, best=1.0),
    "cosine_delta": Score(greater_is_better=True, best=1.0),
    "pearson_delta_perturbed": Score(greater_is_better=True, best=1.0),
    "sign": Score(greater_is_better=True, best=1.0),
    "de_overlap": Score(greater_is_better=True, best=1.0),
    "precision": Score(greater_is_better=True, best=1.0),
    "discrimination": Score(greater_is_better=True, best=1.0),
    "centroid_accuracy": Score(greater_is_better=True, best=1.0),
    "energy_distance": Score(greater_is_better=False, best=0.0),
    "mmd": Score(greater_is_better=False, best=0.0),
    "collapse": Score(greater_is_better=None, best=1.0),
}

# Of `galenic.evaluate.single_cell`, beside `auroc`, `auprc` and `balanced_accuracy`.
CALL_METRICS = {
    "mcc": Score(greater_is_better=True, best=1.0),
    "f1": Score(greater_is_better=True, best=1.0),
    "brier": Score(greater_is_better=False, best=0.0),
    "ece": Score(greater_is_better=False, best=0.0),
}

FEW_GENES = re.compile(r"_(top\d+|degs)$")


def grouped(
    metric: str, truth: np.ndarray, prediction: np.ndarray, codes: np.ndarray, n_groups: int | None = None
) -> np.ndarray:
    """One metric inside each group, without a loop over groups.

    Parameters
    ----------
    metric
        A name of :data:`METRICS`.
    truth, prediction
        Numbers, ``(n,)``; for those of :data:`BINARY` the truth is 0 or 1.
    codes
        Group of each row, integers from 0, ``(n,)``.
    n_groups
        How many groups there are; by default the largest code + 1.

    Returns
    -------
    numpy.ndarray
        The metric of each group, ``(n_groups,)``, NaN where it is undefined.

    Raises
    ------
    ValueError
        For an unknown metric, arrays of different lengths, or labels that are not 0 and 1.

    Examples
    --------
    >>> grouped("rmse", [1.0, 2.0, 3.0], [1.0, 2.0, 5.0], [0, 0, 1])
    array([0., 2.])
    """
    require_metric(metric)
    truth, prediction = (np.asarray(values, dtype=np.float64).ravel() for values in (truth, prediction))
    codes = np.asarray(codes, dtype=np.intp).ravel()
    if not len(truth) == len(prediction) == len(codes):
        raise ValueError(
            f"{metric} needs one prediction and one group a row; received {len(truth):,} truths, "
            f"{len(prediction):,} predictions and {len(codes):,} groups. Pass columns of one table."
        )
    if n_groups is None:
        n_groups = int(codes.max()) + 1 if len(codes) else 0
    known = np.isfinite(truth) & np.isfinite(prediction)
    if metric in BINARY and not np.isin(truth[known], (0.0, 1.0)).all():
        strange = np.unique(truth[known & ~np.isin(truth, (0.0, 1.0))])
        raise ValueError(
            f"{metric} needs labels 0 and 1; received {len(strange):,} other values (first: {strange[:3].tolist()}). "
            "Binarise the response first."
        )
    broken = np.bincount(codes[~known], minlength=n_groups) > 0
    truth, prediction, codes = truth[known], prediction[known], codes[known]
    with np.errstate(divide="ignore", invalid="ignore"):
        values = _GROUPED[metric](truth, prediction, codes, n_groups)
    values[broken] = np.nan
    return values


def ranks(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Rank of each value inside its group, from 1, ties sharing their mean rank, ``(n,)``.

    Examples
    --------
    >>> ranks(np.array([5.0, 1.0, 5.0, 7.0]), np.array([0, 0, 0, 1]))
    array([2.5, 1. , 2.5, 1. ])
    """
    values, codes = np.asarray(values), np.asarray(codes)
    order = np.lexsort((values, codes))
    starts = np.flatnonzero(_changes(codes[order]))
    ties = np.flatnonzero(_changes(codes[order]) | _changes(values[order]))
    lengths = np.diff(np.append(ties, len(order)))
    before = np.repeat(starts, np.diff(np.append(starts, len(order))))
    result = np.empty(len(order))
    result[order] = np.repeat(ties + (lengths + 1) / 2, lengths) - before
    return result


def require_metric(metric: str) -> None:
    """Raise ``ValueError`` unless ``metric`` is a name of :data:`METRICS`."""
    if metric not in METRICS:
        hint = did_you_mean(metric, METRICS, "Choose one of those.")
        raise ValueError(f"metric should be one of {', '.join(METRICS)}; received {metric!r}. {hint}")


def greater_is_better(metric: str) -> bool:
    """Whether more of a metric is better; raise ``ValueError`` for a name that no table of this file holds.

    Also for ``collapse``, of which neither more nor less is better.

    Parameters
    ----------
    metric
        Name of a metric.

    Examples
    --------
    >>> greater_is_better("rmse"), greater_is_better("median_quantile"), greater_is_better("pearson_delta_top20")
    (False, False, True)
    """
    more = score_of(metric).greater_is_better
    if more is None:
        raise ValueError(
            f"a comparison needs a metric of which more or less is better; received {metric!r}, where only "
            f"{score_of(metric).best:g} is best. Report it, and leave it out of the comparison."
        )
    return more


def score_of(metric: str) -> Metric | Score:
    """Direction and best value of a metric of any table of this file; raise ``ValueError`` for another name.

    Examples
    --------
    >>> score_of("mae_top50").best, score_of("collapse").greater_is_better
    (0.0, None)
    >>> greater_is_better("mcc"), greater_is_better("ece")
    (True, False)
    """
    known: dict[str, Metric | Score] = {**METRICS, **RETRIEVAL_METRICS, **PERTURBATION_METRICS, **CALL_METRICS}
    if metric in known:
        return known[metric]
    whole = FEW_GENES.sub("", metric)
    if whole in PERTURBATION_METRICS:
        return PERTURBATION_METRICS[whole]
    hint = did_you_mean(metric, known, "Choose one of those.")
    raise ValueError(f"metric should be one of {', '.join(known)}; received {metric!r}. {hint}")


def _all_rows(metric: str, truth: np.ndarray, prediction: np.ndarray) -> float:
    return float(grouped(metric, truth, prediction, np.zeros(np.size(truth), dtype=np.intp), 1)[0])


def _changes(ordered: np.ndarray) -> np.ndarray:
    """True where a value differs from the one before it, and at the start."""
    return np.append(True, ordered[1:] != ordered[:-1]) if len(ordered) else np.zeros(0, dtype=bool)


def _mean(values: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    return np.bincount(codes, values, n_groups) / np.bincount(codes, minlength=n_groups)


def _spread(values: np.ndarray, codes: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Values minus their group's mean, and each group's sum of squares (NaN where that is rounding only)."""
    centred = values - _mean(values, codes, n_groups)[codes]
    squares = np.bincount(codes, centred**2, n_groups)
    constant = squares <= ROUNDING**2 * np.bincount(codes, values**2, n_groups)
    return centred, np.where(constant, np.nan, squares)


def _rmse(truth: np.ndarray, prediction: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    return np.sqrt(_mean((truth - prediction) ** 2, codes, n_groups))


def _mae(truth: np.ndarray, prediction: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    return _mean(np.abs(truth - prediction), codes, n_groups)


def _r2(truth: np.ndarray, prediction: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    return 1 - np.bincount(codes, (truth - prediction) ** 2, n_groups) / _spread(truth, codes, n_groups)[1]


def _pearson(truth: np.ndarray, prediction: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    (truth, truth_squares), (prediction, squares) = (_spread(values, codes, n_groups) for values in (truth, prediction))
    values = np.bincount(codes, truth * prediction, n_groups) / np.sqrt(truth_squares * squares)
    values[np.bincount(codes, minlength=n_groups) < 3] = np.nan
    return np.clip(values, -1, 1)


def _spearman(truth: np.ndarray, prediction: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    return _pearson(ranks(truth, codes), ranks(prediction, codes), codes, n_groups)


def _auroc(truth: np.ndarray, prediction: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    ones = np.bincount(codes, truth, n_groups)
    zeros = np.bincount(codes, minlength=n_groups) - ones
    return (np.bincount(codes, truth * ranks(prediction, codes), n_groups) - ones * (ones + 1) / 2) / (ones * zeros)


def _auprc(truth: np.ndarray, prediction: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    order = np.lexsort((-prediction, codes))
    truth, prediction, codes = truth[order], prediction[order], codes[order]
    new_group = _changes(codes)
    starts = np.flatnonzero(new_group)
    group = np.cumsum(new_group) - 1
    total = np.cumsum(truth)
    hits = total - (total[starts] - truth[starts])[group]
    precision = hits / (np.arange(len(truth)) - starts[group] + 1)
    # Equal predictions enter together: every hit of a tie has the precision at the tie's end.
    new_tie = new_group | _changes(prediction)
    ends = np.flatnonzero(np.append(new_tie[1:], True)[: len(truth)])
    precision = precision[ends][np.cumsum(new_tie) - 1]
    values = np.bincount(codes, truth * precision, n_groups) / np.bincount(codes, truth, n_groups)
    return np.where(np.bincount(codes, 1 - truth, n_groups) == 0, np.nan, values)


def _balanced_accuracy(truth: np.ndarray, prediction: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    ones = np.bincount(codes, truth, n_groups)
    zeros = np.bincount(codes, 1 - truth, n_groups)
    said = prediction >= 0.5
    return (
        np.bincount(codes, truth * said, n_groups) / ones + np.bincount(codes, (1 - truth) * ~said, n_groups) / zeros
    ) / 2


_GROUPED = {
    "rmse": _rmse,
    "mae": _mae,
    "r2": _r2,
    "pearson": _pearson,
    "spearman": _spearman,
    "auroc": _auroc,
    "auprc": _auprc,
    "balanced_accuracy": _balanced_accuracy,
}
