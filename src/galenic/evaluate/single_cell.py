"""Scores of single cells told sensitive or resistant: ranking, calls, calibration, and their intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from galenic.evaluate.checks import finite, first, labels, require_columns
from galenic.evaluate.metrics import auroc, grouped
from galenic.evaluate.statistics import RESAMPLED
from galenic.work.bar import counted

CELL_METRICS = ("auroc", "auprc", "mcc", "f1", "balanced_accuracy", "brier", "ece")
"""More is better, but for ``brier`` and ``ece``, of which less is."""
COLUMNS = ["group", "metric", "value", "low", "high", "n"]


def single_cell(
    table: pd.DataFrame,
    within: str | None = None,
    *,
    threshold: float = 0.5,
    metrics: Sequence[str] = CELL_METRICS,
    truth: str = "label",
    prediction: str = "probability",
    n_bins: int = 10,
) -> pd.DataFrame:
    """Score the probabilities that cells are sensitive, over all cells or inside each platform, sample, cluster, ...

    Parameters
    ----------
    table
        One row a cell (or bulk line).
    within
        Column whose values are scored one by one; ``None`` scores all rows as the group ``"all"``.
    threshold
        Probability from which on a cell is called sensitive, in [0, 1]. Choose it on the source, never on these cells.
    metrics
        Names of :data:`CELL_METRICS`.
    truth, prediction
        Columns of the label (1 = sensitive, 0 = resistant) and of P(sensitive).
    n_bins
        Bins of equal width of the calibration error.

    Returns
    -------
    pandas.DataFrame
        ``group, metric, value, n``. An undefined metric is NaN, as it is with one class only, but for ``brier`` and
        ``ece``.

        - ``auroc``, ``auprc``: ranking; chance is 0.5 and the share of sensitive cells.
        - ``mcc``: Matthews correlation of calls and labels, chance is 0; NaN where all calls are one class.
        - ``f1``: of sensitive cells; 0 where none is found.
        - ``balanced_accuracy``: mean of the shares of sensitive and of resistant cells called right.
        - ``brier``: mean squared difference of probability and label.
        - ``ece``: expected calibration error, the mean over cells of the gap between mean probability and share of
          sensitive cells in their bin. It is biased upwards where bins hold few cells.

    Raises
    ------
    ValueError
        For a missing column or metric, labels that are not 0 and 1, probabilities outside [0, 1].

    Examples
    --------
    >>> table = pd.DataFrame({"label": [0, 0, 1, 1], "probability": [0.1, 0.6, 0.6, 0.9]})
    >>> single_cell(table, metrics=["auroc", "mcc", "brier"])
      group metric     value  n
    0   all  auroc  0.87500  4
    1   all    mcc  0.57735  4
    2   all  brier  0.13500  4
    """
    given = _given(table, metrics, threshold, truth, prediction, n_bins)
    if within is None:
        codes, names = np.zeros(len(table), dtype=np.intp), pd.Index(["all"])
    else:
        codes, names = _codes(table, within)
    values = _values(metrics, given, codes, len(names), threshold, n_bins)
    return pd.DataFrame(
        {
            "group": np.repeat(np.asarray(names), len(metrics)),
            "metric": np.tile(np.asarray(metrics), len(names)),
            "value": values.ravel(),
            "n": np.repeat(np.bincount(codes, minlength=len(names)), len(metrics)),
        }
    )


def single_cell_intervals(
    table: pd.DataFrame,
    by: str | None = None,
    *,
    threshold: float = 0.5,
    metrics: Sequence[str] = CELL_METRICS,
    truth: str = "label",
    prediction: str = "probability",
    n_bins: int = 10,
    n_bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Scores over all cells with bootstrap intervals, by cell or by sample, cluster, patient, ...

    Parameters
    ----------
    table, threshold, metrics, truth, prediction, n_bins
        As for :func:`single_cell`.
    by
        Column of the groups that are drawn with replacement, each with all its cells; ``None`` draws single cells,
        sensitive and resistant ones apart. Cells of one sample are not independent: by cell, intervals hold for other
        cells of the *same* samples; by sample, for other samples.
    n_bootstrap, level, seed
        Number of resamples, level of the intervals, and seed.

    Returns
    -------
    pandas.DataFrame
        ``group, metric, value, low, high, n``: percentile intervals; ``n`` = units that were drawn. Resamples where a
        metric is undefined are left out. NaN with fewer than two groups; with fewer than ten they are too narrow.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"label": [0, 1] * 50, "sample": np.arange(100) // 10})
    >>> table["probability"] = (0.3 + 0.4 * table["label"] + 0.1 * rng.normal(size=100)).clip(0, 1)
    >>> row = single_cell_intervals(table, "sample", metrics=["auroc"]).iloc[0]
    >>> bool(row["low"] <= row["value"] <= row["high"]), int(row["n"])
    (True, 10)
    """
    given = _given(table, metrics, threshold, truth, prediction, n_bins)
    rng = np.random.default_rng(seed)
    if by is None:
        unit, strata = np.arange(len(table)), given.truth.astype(np.intp)
    else:
        unit, names = _codes(table, by)
        strata = np.zeros(len(names), dtype=np.intp)
    n_units = len(strata)
    point = _values(metrics, given, np.zeros(len(table), dtype=np.intp), 1, threshold, n_bins)[0]
    if n_units < 2:
        low = high = np.full(len(metrics), np.nan)
    else:
        at_a_time = max(1, RESAMPLED // max(len(table), 1))
        values = [
            _resampled(metrics, given, unit, strata, min(at_a_time, n_bootstrap - done), threshold, n_bins, rng)
            for done in counted(range(0, n_bootstrap, at_a_time), "blocks of resamples")
        ]
        low, high = _quantiles(np.concatenate(values), level)
    rows = zip(["all"] * len(metrics), metrics, point, low, high, [n_units] * len(metrics), strict=True)
    return pd.DataFrame(rows, columns=COLUMNS)


def overview_within(
    table: pd.DataFrame,
    within: str,
    *,
    metrics: Sequence[str] = ("auroc", "auprc"),
    truth: str = "label",
    prediction: str = "probability",
) -> pd.DataFrame:
    """Scores over all rows beside those inside groups, and what the group alone would score.

    Where labels differ between platforms, a score over all rows is high for a model that has learned to tell platforms.

    Parameters
    ----------
    table, metrics, truth, prediction
        As for :func:`single_cell`, of metrics of ranking.
    within
        Column of the groups: platform, study, sample, ...

    Returns
    -------
    pandas.DataFrame
        ``group, metric, value, n``. Groups:

        - ``all``: over all ``n`` rows.
        - ``within_<column>``: mean over groups where the metric is defined, each weighted by its number of pairs of a
          sensitive and a resistant row (the AUROC is then the share of right pairs within groups); ``n`` groups.
        - ``<column>_alone``: AUROC of the share of sensitive rows of a row's group, from the same rows; 0.5 = labels do
          not depend on the group. With few rows a group it is above 0.5 by chance.

    Examples
    --------
    >>> table = pd.DataFrame({"platform": list("aaabbb"), "label": [0, 0, 1, 0, 1, 1]})
    >>> table["probability"] = [0.1, 0.1, 0.1, 0.9, 0.9, 0.9]
    >>> overview_within(table, "platform", metrics=["auroc"]).round(3)
                 group metric  value  n
    0              all  auroc  0.667  6
    1  within_platform  auroc  0.500  2
    2   platform_alone  auroc  0.667  6
    """
    given = _given(table, metrics, 0.5, truth, prediction, 10)
    codes, names = _codes(table, within)
    n_groups = len(names)
    everything = _values(metrics, given, np.zeros(len(table), dtype=np.intp), 1, 0.5, 10)[0]
    inside = _values(metrics, given, codes, n_groups, 0.5, 10)
    ones = np.bincount(codes, given.truth, n_groups)
    sizes = np.bincount(codes, minlength=n_groups)
    pairs = ones * (sizes - ones)
    rows: list[tuple[str, str, float, int]] = []
    for place, metric in enumerate(metrics):
        known = np.isfinite(inside[:, place]) & (pairs > 0)
        mean = float(np.average(inside[known, place], weights=pairs[known])) if known.any() else np.nan
        rows += [("all", metric, everything[place], len(table)), (f"within_{within}", metric, mean, int(known.sum()))]
    share = (ones / np.maximum(sizes, 1))[codes]
    rows.append((f"{within}_alone", "auroc", auroc(given.truth, share), len(table)))
    return pd.DataFrame(rows, columns=["group", "metric", "value", "n"])


class _Given(NamedTuple):
    truth: np.ndarray
    probability: np.ndarray


def _given(
    table: pd.DataFrame, metrics: Sequence[str], threshold: float, truth: str, prediction: str, n_bins: int
) -> _Given:
    unknown = [metric for metric in metrics if metric not in CELL_METRICS]
    if unknown or not 0 <= threshold <= 1 or n_bins < 1:
        raise ValueError(
            f"metrics should be of {', '.join(CELL_METRICS)}, threshold in [0, 1] and n_bins 1 or more; received "
            f"{first(metrics, 8)}, {threshold} and {n_bins}. Correct these."
        )
    require_columns(table, [truth, prediction], "scoring cells: the prediction table")
    given = _Given(finite(table, truth, "scoring cells"), finite(table, prediction, "scoring cells"))
    strange = np.unique(given.truth[~np.isin(given.truth, (0.0, 1.0))])
    outside = given.probability[(given.probability < 0) | (given.probability > 1)]
    if len(strange) or len(outside):
        raise ValueError(
            f"labels should be 1 (sensitive) or 0 (resistant) and probabilities in [0, 1]; received {len(strange)} "
            f"other labels (first: {strange[:3].tolist()}) and {len(outside):,} other probabilities (first: "
            f"{outside[:3].tolist()}). Convert labels; pass scores through a calibration first."
        )
    return given


def _codes(table: pd.DataFrame, column: str) -> tuple[np.ndarray, pd.Index]:
    require_columns(table, [column], f"scoring cells by {column!r}: the prediction table")
    return pd.factorize(labels(table, column, f"scoring cells by {column!r}"), sort=True)


def _values(
    metrics: Sequence[str], given: _Given, codes: np.ndarray, n_groups: int, threshold: float, n_bins: int
) -> np.ndarray:
    """Every metric in each group, ``(n_groups, n_metrics)``, without a loop over cells or groups."""
    truth, probability = given
    called = (probability >= threshold).astype(np.float64)
    found: dict[str, Callable[[], np.ndarray]] = {
        "auroc": lambda: grouped("auroc", truth, probability, codes, n_groups),
        "auprc": lambda: grouped("auprc", truth, probability, codes, n_groups),
        "balanced_accuracy": lambda: grouped("balanced_accuracy", truth, called, codes, n_groups),
        "brier": lambda: grouped("rmse", truth, probability, codes, n_groups) ** 2,
        "mcc": lambda: _mcc(truth, called, codes, n_groups),
        "f1": lambda: _f1(truth, called, codes, n_groups),
        "ece": lambda: _ece(truth, probability, codes, n_groups, n_bins),
    }
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([found[metric]() for metric in metrics], axis=1)


def _mcc(truth: np.ndarray, called: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    n, ones, said, right = _table(truth, called, codes, n_groups)
    return (n * right - ones * said) / np.sqrt(ones * (n - ones) * said * (n - said))


def _f1(truth: np.ndarray, called: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    _, ones, said, right = _table(truth, called, codes, n_groups)
    return np.where(ones > 0, 2 * right / (ones + said), np.nan)


def _table(truth: np.ndarray, called: np.ndarray, codes: np.ndarray, n_groups: int) -> tuple[np.ndarray, ...]:
    """Number of cells, sensitive ones, those called so, and those rightly, in each group."""
    counts = (np.bincount(codes, weights, n_groups) for weights in (None, truth, called, truth * called))
    return tuple(count.astype(np.float64) for count in counts)


def _ece(truth: np.ndarray, probability: np.ndarray, codes: np.ndarray, n_groups: int, n_bins: int) -> np.ndarray:
    place = np.minimum((probability * n_bins).astype(np.intp), n_bins - 1) + n_bins * codes
    gaps = np.abs(np.bincount(place, truth - probability, n_groups * n_bins)).reshape(n_groups, n_bins).sum(axis=1)
    return gaps / np.bincount(codes, minlength=n_groups)


def _resampled(
    metrics: Sequence[str],
    given: _Given,
    unit: np.ndarray,
    strata: np.ndarray,
    n: int,
    threshold: float,
    n_bins: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Every metric of ``n`` resamples of units, ``(n, n_metrics)``."""
    times = np.zeros((n, len(strata)), dtype=np.intp)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        times[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=n)
    # A cell that is drawn twice stands in the resample twice.
    rows = np.repeat(np.tile(np.arange(len(unit)), n), times[:, unit].ravel())
    codes = np.repeat(np.arange(n), times[:, unit].sum(axis=1))
    return _values(metrics, _Given(given.truth[rows], given.probability[rows]), codes, n, threshold, n_bins)


def _quantiles(values: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    known = np.where(np.isfinite(values), values, np.nan)
    found = np.full((2, values.shape[1]), np.nan)
    some = np.isfinite(known).any(axis=0)
    found[:, some] = np.nanquantile(known[:, some], [(1 - level) / 2, (1 + level) / 2], axis=0)
    return found[0], found[1]
