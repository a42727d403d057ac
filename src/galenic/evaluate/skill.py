"""Skill: by how much of its error a model is better than the best floor, with an interval over conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from galenic.evaluate.checks import first, require_columns
from galenic.evaluate.metrics import greater_is_better, score_of
from galenic.evaluate.statistics import bootstrap_interval


def skill(
    scores: pd.DataFrame,
    floors: Mapping[str, pd.DataFrame],
    metric: str | Sequence[str],
    *,
    contexts: str = "context",
    perturbations: str = "perturbation",
    by: str | None = None,
    undefined_as: float | None = None,
    n: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Skill of a model: 1 - its error over the error of the best floor, on the same conditions.

    Parameters
    ----------
    scores
        Of the model, from :func:`perturbation_by_condition`.
    floors
        The same of each floor, by its name.
    metric
        One or several columns of these tables.
    contexts, perturbations
        Columns that name a condition; tables are joined by them.
    by
        Column whose values are resampled whole, ``"perturbation"`` or ``"context"``. By default conditions are
        resampled one by one, and the interval is too narrow where one drug stands in many contexts.
    undefined_as
        What an undefined similarity (no effect predicted: no correlation) counts as, say 0. By default a condition
        counts only where the model and every floor are defined, and a floor that never is takes no part.
    n, level, seed
        Resamples, level and seed of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        One row a metric: ``metric``, ``floor`` (the best), ``value`` and ``floor_value`` (means over the ``n``
        conditions counted), ``skill``, ``low``, ``high``, ``n``. Undefined is NaN: nothing in common, or a floor
        without error.

    Raises
    ------
    ValueError
        For a metric without direction, missing columns, tables of different conditions, or no floor.

    Notes
    -----
    The error is the distance from the best value: ``mae`` itself, 1 - r for a similarity r such as
    ``pearson_delta``, ``sign_top20`` or ``discrimination``. Skill is 1 for a perfect model, 0 for one that equals the
    floor, and negative below it, without bound. The floor is chosen once, with the test in sight, which handicaps
    the model; resamples keep it. Percentile bootstrap of the ratio of mean errors, model and floor resampled together.

    Examples
    --------
    >>> conditions = pd.DataFrame({"context": "K562", "perturbation": ["KLF1", "MAPK1", "TGFBR2"]})
    >>> model, floor = conditions.assign(mae=[0.1, 0.2, 0.1]), conditions.assign(mae=[0.2, 0.4, 0.2])
    >>> skill(model, {"no effect": floor}, "mae").round(3)
      metric      floor  value  floor_value  skill  low  high  n
    0    mae  no effect  0.133        0.267    0.5  0.5   0.5  3
    """
    metrics = [metric] if isinstance(metric, str) else list(metric)
    if not floors:
        raise ValueError("skill needs at least one floor; received none. Score 'no effect': the controls themselves.")
    keys = [contexts, perturbations]
    if by is not None and by not in keys:
        raise ValueError(f"by should be {contexts!r} or {perturbations!r}; received {by!r}. Choose one of those.")
    model = _indexed(scores, keys, metrics, "the model")
    others = {name: _indexed(table, keys, metrics, f"the floor {name!r}") for name, table in floors.items()}
    for name, table in others.items():
        apart = model.index.symmetric_difference(table.index)
        if len(apart):
            raise ValueError(
                f"model and floor should be scored on the same conditions; the model has {len(model):,}, {name!r} has "
                f"{len(table):,}, and {len(apart):,} are not shared (first: {first(apart)}). Score both on the same."
            )
    units = np.arange(len(model)) if by is None else pd.factorize(model.index.get_level_values(by))[0]
    rows = []
    for one in metrics:
        values = pd.DataFrame({name: table[one].reindex(model.index) for name, table in others.items()})
        rows.append((one, *_skill(model[one], values, one, units, undefined_as, (n, level, seed))))
    return pd.DataFrame(rows, columns=["metric", "floor", "value", "floor_value", "skill", "low", "high", "n"])


def _indexed(table: pd.DataFrame, keys: list[str], metrics: list[str], whose: str) -> pd.DataFrame:
    require_columns(table, [*keys, *metrics], f"skill: the scores of {whose}")
    table = table.astype(dict.fromkeys(keys, str)).set_index(keys)[metrics]
    twice = table.index.duplicated()
    if twice.any():
        raise ValueError(
            f"a condition should stand once in the scores of {whose}; {int(twice.sum()):,} rows repeat one (first: "
            f"{first(table.index[twice])}). Average folds and seeds first, or compute skill for each."
        )
    return table


def _skill(
    model: pd.Series,
    floors: pd.DataFrame,
    metric: str,
    units: np.ndarray,
    undefined_as: float | None,
    resampling: tuple[int, float, int],
) -> tuple[str | None, float, float, float, float, float, int]:
    """Best floor, mean of model and floor, skill, its interval, and number of conditions."""
    if greater_is_better(metric) and undefined_as is not None:
        model, floors = model.fillna(undefined_as), floors.fillna(undefined_as)
    floors = floors.loc[:, floors.notna().any()]
    counted = (model.notna() & floors.notna().all(axis=1)).to_numpy()
    if floors.empty or not counted.any():
        return None, np.nan, np.nan, np.nan, np.nan, np.nan, 0
    model, floors = model[counted], floors[counted]
    best_value = score_of(metric).best
    error, errors = (best_value - model).abs().to_numpy(), (best_value - floors).abs()
    name = errors.mean().idxmin()
    floor_error = errors[name].to_numpy()
    value = low = high = np.nan
    if floor_error.mean() > 0:
        value = float(1 - error.mean() / floor_error.mean())
        codes = np.unique(units[counted], return_inverse=True)[1]
        sums = (np.bincount(codes, one) for one in (error, floor_error))
        n, level, seed = resampling
        low, high = bootstrap_interval(_ratio, *sums, n=n, level=level, seed=seed, vectorised=True)
    return str(name), float(model.mean()), float(floors[name].mean()), value, low, high, len(model)


def _ratio(model: np.ndarray, floor: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 - model.sum(axis=1) / floor.sum(axis=1)
