"""Claims: paired tests over folds and seeds, bootstrap intervals, corrections for many tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from galenic.evaluate.checks import first, require_columns
from galenic.evaluate.metrics import greater_is_better, grouped, score_of
from galenic.work.bar import counted

SCORES = ["model", "fold", "seed", "group", "metric", "value"]
COMPARISON = [
    "split",
    "metric",
    "group",
    "model",
    "floor",
    "difference",
    "low",
    "high",
    "p_value",
    "n",
    "wins",
    "better",
]
RESAMPLED = 2_000_000  # numbers resampled at a time: bounds memory at a few tens of megabytes


def paired(
    scores: pd.DataFrame,
    model: str,
    floor: str,
    *,
    metric: str,
    group: str = "all",
    split: str | None = None,
    test_share: float | None = None,
    level: float = 0.95,
) -> dict[str, Any]:
    """Compare a model with a floor over matching folds and seeds: difference, interval and p-value.

    Parameters
    ----------
    scores
        Tidy scores: ``model, fold, seed, group, metric, value`` (+ ``split``, ...).
    model, floor
        Two names of the column ``model``.
    metric, group, split
        Which scores; ``split`` may stay out where the table holds one split.
    test_share
        Test rows of a fold over its train and test rows. By default 1 / number of folds, right for cross-validation;
        must be given for a repeated holdout.
    level
        Level of the interval.

    Returns
    -------
    dict
        ``split, metric, group, model, floor``; ``difference`` = mean of model minus floor; ``low, high`` its interval;
        ``p_value`` (two-sided); ``n`` = folds x seeds where both are defined; ``wins`` = in how many the model is
        better; ``better`` = the interval lies wholly on the good side of 0 (for ``rmse``, below it). With fewer than
        two differences interval and p-value are NaN.

    Raises
    ------
    ValueError
        If model and floor were not scored on the same folds and seeds, or the share of test rows cannot be told.

    Notes
    -----
    The corrected resampled t-test of Nadeau and Bengio (Machine Learning 2003, 52:239). Folds are not independent: any
    two share most of their training rows, so the plain t-test finds differences in noise. The variance of the mean
    difference is taken as ``(1 / J + n_test / n_train) * s^2`` instead of ``s^2 / J``, for J differences with sample
    variance s^2, and J - 1 degrees of freedom. The second term does not shrink with more seeds, because these reuse
    the same data.

    Examples
    --------
    >>> scores = pd.DataFrame({"model": ["net"] * 5 + ["mean"] * 5, "fold": [0, 1, 2, 3, 4] * 2, "seed": 0,
    ...                        "group": "all", "metric": "pearson",
    ...                        "value": [0.5, 0.6, 0.5, 0.6, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4]})
    >>> row = paired(scores, "net", "mean", metric="pearson")
    >>> round(row["difference"], 2), round(row["p_value"], 3), row["wins"], row["better"]
    (0.14, 0.019, 5, True)
    """
    require_columns(scores, SCORES, "a comparison: the score table")
    sign = 1 if greater_is_better(metric) else -1
    chosen = scores[(scores["metric"] == metric) & (scores["group"] == group)]
    if split is None:
        split = _only_split(chosen)
    elif "split" in chosen.columns:
        chosen = chosen[chosen["split"] == split]
    ours, theirs = _matched(chosen, model, floor)
    differences = (ours - theirs).dropna().to_numpy()
    ratio = _test_to_train(ours.index, test_share) if len(differences) > 1 else np.nan
    difference, low, high, p_value = _corrected(differences, ratio, level)
    return {
        "split": split,
        "metric": metric,
        "group": group,
        "model": model,
        "floor": floor,
        "difference": difference,
        "low": low,
        "high": high,
        "p_value": p_value,
        "n": len(differences),
        "wins": int((sign * differences > 0).sum()),
        "better": bool(low > 0 if sign > 0 else high < 0),
    }


def compare(
    scores: pd.DataFrame, floor: str | Sequence[str], *, test_share: float | None = None, level: float = 0.95
) -> pd.DataFrame:
    """Compare every model with the floor, for each split, metric and group.

    Parameters
    ----------
    scores, test_share, level
        As in :func:`paired`.
    floor
        Name of the floor, or names of several: then every comparison is with the best of them (see :func:`best_floor`).

    Returns
    -------
    pandas.DataFrame
        The rows of :func:`paired`, one for each split, metric, group and model that is not a floor; metrics of which
        neither more nor less is better (``collapse``) are left out.

    Examples
    --------
    >>> scores = pd.DataFrame({"model": ["net", "net", "mean", "mean"], "fold": [0, 1, 0, 1], "seed": 0, "group": "all",
    ...                        "metric": "rmse", "value": [1.0, 1.1, 1.3, 1.3]})
    >>> compare(scores, "mean")[["model", "floor", "difference", "n", "wins"]]
      model floor  difference  n  wins
    0   net  mean       -0.25  2     2
    """
    require_columns(scores, SCORES, "a comparison: the score table")
    floors = [floor] if isinstance(floor, str) else list(floor)
    keys = [key for key in ("split", "metric", "group") if key in scores.columns]
    rows = []
    for names, some in scores.groupby(keys, sort=False):
        metric, group = map(str, names[-2:])
        if score_of(metric).greater_is_better is None:
            continue  # neither more nor less of it is better: there is nothing to compare
        chosen = best_floor(some, floors, metric, group)
        for model in some["model"].unique():
            if model not in floors:
                rows.append(paired(some, model, chosen, metric=metric, group=group, test_share=test_share, level=level))
    return pd.DataFrame(rows, columns=COMPARISON)


def best_floor(
    scores: pd.DataFrame, floors: Sequence[str], metric: str, group: str = "all", split: str | None = None
) -> str:
    """The floor with the best mean score over folds and seeds; the first named where none is defined.

    It is chosen with the test scores in sight, which favours the floor: a model that beats it has been handicapped.

    Parameters
    ----------
    scores
        Tidy scores, as in :func:`paired`.
    floors
        Names of the column ``model`` to choose from.
    metric, group, split
        Which scores.

    Examples
    --------
    >>> scores = pd.DataFrame({"model": ["mean", "ridge"], "group": "all", "metric": "rmse", "value": [1.3, 1.2]})
    >>> best_floor(scores, ["mean", "ridge"], "rmse")
    'ridge'
    """
    require_columns(scores, ["model", "metric", "group", "value"], "choosing a floor: the score table")
    more = greater_is_better(metric)
    chosen = scores[(scores["metric"] == metric) & (scores["group"] == group)]
    if split is not None:
        chosen = chosen[chosen["split"] == split]
    known = [floor for floor in floors if (chosen["model"] == floor).any()]
    if not known:
        raise ValueError(
            f"at least one floor of {first(floors, 8)} should have {metric} scores of group {group!r}; scored are "
            f"{first(chosen['model'].unique(), 8)}. Run a floor on the same folds and seeds."
        )
    means = chosen.groupby("model")["value"].mean().reindex(known)
    if means.isna().all():
        return known[0]
    return str(means.idxmax() if more else means.idxmin())


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values: with probability 1 - alpha no true null falls below alpha, whatever the dependence.

    NaN stays NaN and is not counted as a test.

    Parameters
    ----------
    p_values
        Of the tests, ``(n,)``.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, np.nan])).round(3)
    array([0.02, 0.04,  nan])
    """
    return _adjusted(p_values, lambda p: np.minimum(1, np.maximum.accumulate(p * np.arange(len(p), 0, -1))))


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's adjusted p-values (q-values): the share of false discoveries stays below q.

    NaN stays NaN and is not counted as a test.

    Parameters
    ----------
    p_values
        Of the tests, ``(n,)``.

    Examples
    --------
    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03])).round(3)
    array([0.03, 0.04, 0.04])
    """
    return _adjusted(
        p_values,
        lambda p: np.minimum(1, np.minimum.accumulate((p * len(p) / np.arange(1, len(p) + 1))[::-1])[::-1]),
    )


def bootstrap_interval(
    function: str | Callable[..., Any],
    *arrays: np.ndarray,
    n: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    strata: np.ndarray | None = None,
    vectorised: bool = False,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of rows.

    Parameters
    ----------
    function
        Name of a metric of :data:`~galenic.evaluate.METRICS` (fast: many resamples at once), or a function of the
        resampled arrays that returns a number.
    *arrays
        Arrays with one entry a row, resampled together; for a metric, truth and prediction.
    n
        Number of resamples.
    level
        Level of the interval.
    seed
        Of the resampling.
    strata
        Group of each row; rows are then resampled within their group, whose size stays.
    vectorised
        The function takes many resamples at once, arrays ``(n_resamples, n_rows)``, and returns ``(n_resamples,)``.

    Returns
    -------
    tuple of float
        Low and high end. Resamples where the statistic is undefined are left out; NaN where it is in all.

    Examples
    --------
    >>> low, high = bootstrap_interval(np.mean, np.arange(100.0))
    >>> low < 49.5 < high
    True
    """
    columns = [np.asarray(array) for array in arrays]
    n_rows = len(columns[0])
    strata = np.zeros(n_rows, dtype=np.intp) if strata is None else np.unique(strata, return_inverse=True)[1]
    if {len(column) for column in (*columns, strata)} != {n_rows}:
        raise ValueError(
            f"the arrays of a bootstrap should have one entry a row; received lengths "
            f"{[len(column) for column in (*columns, strata)]}. Pass columns of one table."
        )
    if not n_rows:
        return np.nan, np.nan
    rng = np.random.default_rng(seed)
    at_a_time = max(1, RESAMPLED // n_rows)
    values = np.concatenate(
        [
            _resampled(function, columns, strata, min(at_a_time, n - done), rng, vectorised)
            for done in counted(range(0, n, at_a_time), "blocks of resamples")
        ]
    )
    values = values[np.isfinite(values)]
    if not len(values):
        return np.nan, np.nan
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _resampled(
    function: str | Callable[..., Any],
    columns: list[np.ndarray],
    strata: np.ndarray,
    n: int,
    rng: np.random.Generator,
    vectorised: bool,
) -> np.ndarray:
    """The statistic of ``n`` resamples, ``(n,)``."""
    rows = np.empty((n, len(strata)), dtype=np.intp)
    for stratum in range(strata.max() + 1):
        members = np.flatnonzero(strata == stratum)
        rows[:, members] = members[rng.integers(len(members), size=(n, len(members)))]
    if isinstance(function, str):
        truth, prediction = (column[rows] for column in columns)
        return grouped(function, truth, prediction, np.repeat(np.arange(n), len(strata)), n)
    if vectorised:
        return np.asarray(function(*(column[rows] for column in columns)), dtype=np.float64)
    return np.array([float(function(*(column[chosen] for column in columns))) for chosen in rows])


def _only_split(scores: pd.DataFrame) -> str | None:
    if "split" not in scores.columns:
        return None
    splits = scores["split"].unique()
    if len(splits) > 1:
        raise ValueError(
            f"a comparison is within one split; the scores hold {len(splits)} ({first(splits)}). Name one: split=..."
        )
    return splits[0] if len(splits) else None


def _matched(scores: pd.DataFrame, model: str, floor: str) -> tuple[pd.Series, pd.Series]:
    """Scores of both by (fold, seed), in the same order."""
    twice = scores.duplicated(["model", "fold", "seed"])
    if twice.any():
        raise ValueError(
            f"each model should have one score a fold and seed; {int(twice.sum()):,} rows repeat one (models: "
            f"{first(scores.loc[twice, 'model'].unique())}). Score each once, or give them different names."
        )
    ours, theirs = (
        scores[scores["model"] == name].set_index(["fold", "seed"])["value"].sort_index() for name in (model, floor)
    )
    apart = ours.index.symmetric_difference(theirs.index)
    if not len(ours) or len(apart):
        raise ValueError(
            f"{model!r} and {floor!r} should be scored on the same folds and seeds; they have {len(ours):,} and "
            f"{len(theirs):,}, and {len(apart):,} are not shared (first (fold, seed): {first(apart)}). "
            "Run both on the same folds and seeds."
        )
    return ours, theirs


def _test_to_train(runs: pd.Index, test_share: float | None) -> float:
    """Number of test rows over number of training rows."""
    n_folds = runs.to_frame(index=False).groupby("seed", dropna=False)["fold"].nunique().max()
    if test_share is None:
        if n_folds < 2:
            raise ValueError(
                f"the share of test rows is taken as 1 / folds, and the scores hold {n_folds} fold a seed. "
                "Give it: test_share=0.1 for a holdout of a tenth."
            )
        test_share = 1 / n_folds
    if not 0 < test_share < 1:
        raise ValueError(f"test_share should lie between 0 and 1; received {test_share}. Give test rows over all rows.")
    return test_share / (1 - test_share)


def _corrected(differences: np.ndarray, ratio: float, level: float) -> tuple[float, float, float, float]:
    """Mean, interval and p-value of the corrected resampled t-test."""
    n = len(differences)
    mean = float(differences.mean()) if n else np.nan
    if n < 2:
        return mean, np.nan, np.nan, np.nan
    error = float(np.sqrt((1 / n + ratio) * differences.var(ddof=1)))
    if error == 0:
        return mean, mean, mean, float(mean == 0)
    reach = float(stats.t.ppf((1 + level) / 2, n - 1)) * error
    return mean, mean - reach, mean + reach, float(2 * stats.t.sf(abs(mean) / error, n - 1))


def _adjusted(p_values: np.ndarray, adjust: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Adjust the defined p-values in ascending order and put them back."""
    p_values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p_values, kind="stable")[: np.isfinite(p_values).sum()]
    result = np.full(p_values.shape, np.nan)
    result[order] = adjust(p_values[order])
    return result
