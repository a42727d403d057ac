"""Scores of predicted responses: overall, within each drug or cell, and beyond the floor of mean effects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from galenic.evaluate.checks import finite, labels, require_columns
from galenic.evaluate.metrics import METRICS, grouped, require_metric

REGRESSION = ("rmse", "mae", "r2", "pearson", "spearman")
MINIMUM_ROWS = 10  # below this many rows a correlation inside a drug or cell says little
SAME = 1e-6  # float32 rounding, as a share of the spread of the truth


def response(
    table: pd.DataFrame,
    within: str | None = None,
    *,
    metrics: Sequence[str] = REGRESSION,
    truth: str = "response",
    prediction: str = "prediction",
) -> pd.DataFrame:
    """Score a prediction table, over all rows or inside each drug, cell, tissue, ...

    Parameters
    ----------
    table
        One row a predicted pair, of one fold. (Folds are scored one by one: pooled, the differences between folds
        mix with those between cells, and the correlation within a drug of a drug mean turns negative.)
    within
        Column whose values are scored one by one (``"drug"``, ``"cell"``, ``"tissue"``, ...); ``None`` scores all rows
        as the group ``"all"``.
    metrics
        Names of :data:`~galenic.evaluate.METRICS`.
    truth, prediction
        Columns of the measured and the predicted response.

    Returns
    -------
    pandas.DataFrame
        ``group, metric, value, n``: ``n`` rows stood in the group. An undefined metric is NaN.

    Raises
    ------
    ValueError
        For a missing column or metric, or a truth or prediction that is not a finite number.

    Examples
    --------
    >>> table = pd.DataFrame({"drug": list("xxxyyy"), "response": [1.0, 2.0, 3.0, 7.0, 8.0, 9.0]})
    >>> table["prediction"] = [1.0, 2.0, 3.0, 9.0, 8.0, 7.0]
    >>> response(table, within="drug", metrics=["pearson"])
      group   metric  value  n
    0     x  pearson    1.0  3
    1     y  pearson   -1.0  3
    """
    truths, predictions = _numbers(table, truth, prediction)
    if within is None:
        codes, names = np.zeros(len(table), dtype=np.intp), pd.Index(["all"])
    else:
        codes, names = _groups(table, within)
    for metric in metrics:
        require_metric(metric)
    n = np.bincount(codes, minlength=len(names))
    values = {metric: grouped(metric, truths, predictions, codes, len(names)) for metric in metrics}
    return pd.DataFrame(
        {
            "group": np.repeat(np.asarray(names), len(values)),
            "metric": np.tile(np.asarray(list(values)), len(names)),
            "value": np.column_stack(list(values.values())).ravel(),
            "n": np.repeat(n, len(values)),
        }
    )


def overview(
    table: pd.DataFrame, *, floor: str | None = "floor", truth: str = "response", prediction: str = "prediction"
) -> pd.DataFrame:
    """The scores to report of one fold: over all rows, within drugs, within cells, and beyond the floor.

    A correlation over all rows is mostly the difference between drugs, which needs no biology (drug means alone
    explain 72 % of the variance of GDSC1); the other three groups take that away.

    Parameters
    ----------
    table
        One row a predicted pair: ``cell, drug`` and the columns named here.
    floor
        Column with the floor's prediction of the same rows: the drug + cell mean effects of the same training rows.
        ``None`` leaves ``beyond_floor`` out.
    truth, prediction
        Columns of the measured and the predicted response.

    Returns
    -------
    pandas.DataFrame
        ``group, metric, value, n``. Groups:

        - ``all``: the metric over all ``n`` rows.
        - ``within_drug``, ``within_cell``: the mean of the metric over the ``n`` drugs (cells) that have at least 10
          rows and where it is defined.
        - ``beyond_floor``: pearson and spearman of truth - floor with prediction - floor, and
          r2 = 1 - SSE / SSE of the floor, which is 0 for the floor itself, whose correlations are undefined (NaN).

    Raises
    ------
    ValueError
        For a missing column, or a number that is not finite.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"cell": [f"c{i}" for i in range(20)] * 2, "drug": ["x"] * 20 + ["y"] * 20})
    >>> table["response"] = rng.normal(size=40)
    >>> table = table.assign(prediction=table["response"] / 2, floor=0.0)
    >>> overview(table).query("group == 'beyond_floor'").round(3)
               group    metric  value   n
    15  beyond_floor   pearson   1.00  40
    16  beyond_floor  spearman   1.00  40
    17  beyond_floor        r2   0.75  40
    """
    truths, predictions = _numbers(table, truth, prediction)
    everything = np.zeros(len(table), dtype=np.intp)
    rows = [("all", metric, *_mean(metric, truths, predictions, everything, 0)) for metric in REGRESSION]
    rows = [(group, metric, value, len(table)) for group, metric, value, _ in rows]
    for column in ("drug", "cell"):
        codes, _ = _groups(table, column)
        for metric in REGRESSION:
            rows.append((f"within_{column}", metric, *_mean(metric, truths, predictions, codes, MINIMUM_ROWS)))
    if floor is not None:
        require_columns(table, [floor], "scoring beyond the floor (floor=None leaves that out): the prediction table")
        rows += _beyond(truths, predictions, finite(table, floor, "scoring beyond the floor"))
    return pd.DataFrame(rows, columns=["group", "metric", "value", "n"])


def normalised(ln_ic50: np.ndarray) -> np.ndarray:
    """Map ln IC50 (micromolar) to (0, 1) by ``sigmoid(0.1 x)``, the scale of GraphDRP and KDRUG.

    Near 0.5 a step of 0.025 is 1.0 in ln IC50.

    Parameters
    ----------
    ln_ic50
        ln IC50 in micromolar, of any shape.

    Examples
    --------
    >>> float(normalised(0.0))
    0.5
    """
    return expit(0.1 * np.asarray(ln_ic50, dtype=np.float64))


def denormalised(values: np.ndarray) -> np.ndarray:
    """Map the (0, 1) scale of :func:`normalised` back to ln IC50: ``10 logit(y)``, its exact inverse.

    Parameters
    ----------
    values
        On the scale of (0, 1), of any shape.

    Examples
    --------
    >>> float(denormalised(0.5))
    0.0
    """
    return 10 * logit(np.asarray(values, dtype=np.float64))


def _numbers(table: pd.DataFrame, truth: str, prediction: str) -> tuple[np.ndarray, np.ndarray]:
    require_columns(table, [truth, prediction], "scoring: the prediction table")
    return finite(table, truth, "scoring"), finite(table, prediction, "scoring")


def _groups(table: pd.DataFrame, column: str) -> tuple[np.ndarray, pd.Index]:
    require_columns(table, [column], f"scoring within {column!r}: the prediction table")
    return pd.factorize(labels(table, column, f"scoring within {column!r}"), sort=True)


def _mean(metric: str, truth: np.ndarray, prediction: np.ndarray, codes: np.ndarray, minimum: int) -> tuple[float, int]:
    """Mean of a metric over the groups where it is defined and that have ``minimum`` rows, and their number."""
    values = grouped(metric, truth, prediction, codes)
    values = values[(np.bincount(codes) >= minimum) & np.isfinite(values)]
    return (float(values.mean()) if len(values) else np.nan), len(values)


def _beyond(truth: np.ndarray, prediction: np.ndarray, floor: np.ndarray) -> list[tuple[str, str, float, int]]:
    moved = prediction - floor
    if len(truth):
        moved[np.abs(moved) < SAME * np.std(truth)] = 0.0
    errors = np.sum((truth - floor) ** 2)
    scores = {
        "pearson": METRICS["pearson"].function(truth - floor, moved),
        "spearman": METRICS["spearman"].function(truth - floor, moved),
        "r2": 1 - float(np.sum((truth - prediction) ** 2) / errors) if errors > 0 else np.nan,
    }
    return [("beyond_floor", metric, value, len(truth)) for metric, value in scores.items()]
