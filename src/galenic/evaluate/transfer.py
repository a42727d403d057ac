"""Judging what was carried from bulk lines to single cells: scores of each target, differences to the best floor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from galenic.evaluate.checks import first, require_columns
from galenic.evaluate.metrics import METRICS, grouped
from galenic.evaluate.single_cell import single_cell

KEYS = ["model", "target", "drug", "setting", "size", "seed"]
"""What names one answer: ``size`` = cells of each class that were given labels; ``seed`` = of lines, folds, draws."""
PREDICTIONS = [*KEYS, "cell", "label", "probability", "called", "abstain"]
CALLED = ("mcc", "f1", "balanced_accuracy")
TRANSFER_METRICS = ("auroc", "auprc", "mcc", "balanced_accuracy", "ece")
DIFFERENCES = [
    "metric",
    "model",
    "floor",
    "target",
    "value",
    "floor_value",
    "difference",
    "low",
    "high",
    "n_seeds",
    "n",
]
RANKING = ("auroc", "auprc")
RESAMPLES = ("seed", "cell", "target")


def transfer_scores(predictions: pd.DataFrame, metrics: Sequence[str] = TRANSFER_METRICS) -> pd.DataFrame:
    """Score each answer of each model to each target.

    Parameters
    ----------
    predictions
        One row a cell: :data:`PREDICTIONS`; ``label`` is the truth (1 = sensitive), ``called`` what the model said, by
        a threshold of the source: ``mcc``, ``f1`` and ``balanced_accuracy`` are of these calls.
    metrics
        Of :data:`galenic.evaluate.CELL_METRICS`.

    Returns
    -------
    pandas.DataFrame
        ``model, target, drug, setting, size, seed, metric, value, n``; ``n`` = cells with a probability. Besides
        ``metrics`` the share of cells that a model ``abstained`` from; those that have a probability are scored all the
        same. A Matthews correlation that is undefined because all calls are one class counts as 0: nothing was told.

    Examples
    --------
    >>> table = pd.DataFrame({"model": "a", "target": "t", "drug": "d", "setting": "zero-shot", "size": 0, "seed": 0,
    ...                       "cell": list("pqrs"), "label": [0, 0, 1, 1], "probability": [0.1, 0.6, 0.5, 0.9],
    ...                       "called": [0, 1, 1, 1], "abstain": False})
    >>> transfer_scores(table, ["auroc"])[["model", "metric", "value", "n"]]
      model     metric  value  n
    0     a      auroc   0.75  4
    1     a  abstained   0.00  4
    """
    require_columns(predictions, PREDICTIONS, "scoring transfer: the table of predictions")
    groups = predictions.groupby(KEYS, sort=False, dropna=False)
    answer = groups.ngroup()
    known = predictions["probability"].notna()
    told = predictions[known].assign(answer=answer[known], called=predictions.loc[known, "called"].astype(np.float64))
    parts = [
        single_cell(told, "answer", metrics=some, prediction=prediction)
        for prediction in ("probability", "called")
        if (some := [metric for metric in metrics if (metric in CALLED) == (prediction == "called")])
    ]
    scores = pd.concat(parts).astype({"group": np.int64})
    wide = scores.pivot_table(index="group", columns="metric", values="value", dropna=False)
    wide = wide.reindex(index=range(len(groups)), columns=list(metrics))
    if "mcc" in wide:
        both = told.groupby("answer")["label"].nunique().reindex(wide.index) > 1
        wide["mcc"] = wide["mcc"].where(wide["mcc"].notna() | ~both, 0.0)
    wide["abstained"] = groups["abstain"].mean().to_numpy()
    n = told["answer"].value_counts().reindex(wide.index, fill_value=0)
    keys = predictions[~answer.duplicated()][KEYS].reset_index(drop=True).assign(n=n.to_numpy())
    found = pd.concat([keys, wide], axis=1).melt([*KEYS, "n"], var_name="metric", ignore_index=False)
    return found.sort_index(kind="stable").reset_index(drop=True)[[*KEYS, "metric", "value", "n"]]


def transfer_differences(
    predictions: pd.DataFrame,
    model: str,
    floors: str | Sequence[str],
    *,
    metric: str = "auroc",
    resample: Sequence[str] = ("seed", "cell"),
    n_bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """How much better a model ranks the cells of each target than the best floor, and on the mean over targets.

    Parameters
    ----------
    predictions
        As for :func:`transfer_scores`, without few-shot labels: all seeds answer for the same cells.
    model, floors
        Names; of several floors the one with the best mean over targets is taken. It is chosen with the labels in
        sight, which favours the floor.
    metric
        ``"auroc"`` or ``"auprc"``.
    resample
        What is drawn with replacement for the interval: ``"seed"`` (and with it the lines), ``"cell"`` (within each
        class, the same cells for both models), ``"target"``. Without ``"target"``, intervals hold for these targets
        only.
    n_bootstrap, level, seed
        Number of resamples, level of the intervals, and seed.

    Returns
    -------
    pandas.DataFrame
        ``metric, model, floor, target, value, floor_value, difference, low, high, n_seeds, n``; a row a target (``n`` =
        its cells) and a row ``"mean"`` (``n`` = targets). Drugs of one target are averaged first: it counts once.

    Raises
    ------
    ValueError
        If model and floor share no seed of a target, or for another metric or name to resample.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> cells = pd.DataFrame({"target": "t", "drug": "d", "setting": "zero-shot", "size": 0, "seed": 0, "called": 1,
    ...                       "cell": range(60), "label": [0, 1] * 30, "abstain": False})
    >>> good, chance = cells["label"] * 0.5 + 0.5 * rng.random(60), rng.random(60)
    >>> both = pd.concat([cells.assign(model=m, probability=p) for m, p in [("net", good), ("chance", chance)]])
    >>> row = transfer_differences(both, "net", "chance").set_index("target").loc["mean"]
    >>> bool(row["difference"] > 0.2), bool(row["low"] > 0)
    (True, True)
    """
    require_columns(predictions, PREDICTIONS, "differences of transfer: the table of predictions")
    strange = [name for name in resample if name not in RESAMPLES]
    if metric not in RANKING or strange:
        raise ValueError(
            f"differences are of {first(RANKING)}, resampled by {first(RESAMPLES)}; received {metric!r} and "
            f"{first(resample)}. Correct these."
        )
    floor = _best(predictions, [floors] if isinstance(floors, str) else list(floors), metric)
    rng = np.random.default_rng(seed)
    both = predictions[predictions["model"].isin([model, floor])]
    targets = list(dict.fromkeys(both["target"]))
    points: list[np.ndarray] = []
    resampled: list[np.ndarray] = []
    rows: list[tuple[Any, ...]] = []
    for target in targets:
        part = both[both["target"] == target]
        found = [
            _values(some, model, floor, metric, n_bootstrap if "cell" in resample else 0, [seed, len(points)])
            for _, some in part.groupby("drug", sort=True)
        ]
        point, draws = (np.mean(list(values), axis=0) for values in zip(*found, strict=True))
        gain = draws[0] - draws[1]
        weights = _weights(len(gain), n_bootstrap, "seed" in resample, rng)
        resampled.append((weights * gain.T).sum(axis=1))
        points.append(point.mean(axis=1))
        rows.append(
            _row(metric, model, floor, target, points[-1], resampled[-1], level, len(gain), part["cell"].nunique())
        )
    weights = _weights(len(targets), n_bootstrap, "target" in resample, rng)
    mean = (weights * np.stack(resampled, axis=1)).sum(axis=1)
    point = np.mean(points, axis=0)
    rows.append(_row(metric, model, floor, "mean", point, mean, level, int(rows[0][-2]), len(targets)))
    return pd.DataFrame(rows, columns=DIFFERENCES)


def _best(predictions: pd.DataFrame, floors: list[str], metric: str) -> str:
    known = predictions[predictions["model"].isin(floors)]
    if known.empty:
        raise ValueError(
            f"a floor of {first(floors, 8)} should have been run; predictions are of "
            f"{first(predictions['model'].unique(), 8)}. Run one on the same targets and seeds."
        )
    scores = transfer_scores(known, [metric])
    scores = scores[scores["metric"] == metric].groupby(["model", "target"], sort=False)["value"].mean()
    return str(scores.groupby("model", sort=False).mean().idxmax())


def _values(
    part: pd.DataFrame, model: str, floor: str, metric: str, n: int, seed: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of both models for each seed, ``(2, n_seeds)``, and of resampled cells, ``(2, n_seeds, n)``."""
    rng = np.random.default_rng(seed)
    wide = part.pivot_table(index=["cell", "label"], columns=["model", "seed"], values="probability").dropna()
    theirs, ours = (wide[name] if name in wide else wide.iloc[:, :0] for name in (floor, model))
    seeds = [one for one in ours.columns if one in theirs.columns]
    if not seeds or wide.empty:
        raise ValueError(
            f"{model!r} and {floor!r} should have answered for the same cells with the same seeds; they share "
            f"{len(seeds)} seeds and {len(wide):,} cells of {first(part['target'].unique())}. Run both on the same."
        )
    truth = wide.index.get_level_values("label").to_numpy(dtype=np.float64)
    answers = np.stack([ours[seeds].to_numpy().T, theirs[seeds].to_numpy().T])
    point = np.array([[METRICS[metric].function(truth, answer) for answer in model_] for model_ in answers])
    if not n:
        return point, point[..., None]
    # Classes by first appearance: of two drugs with opposite labels the same cells are drawn.
    strata = pd.factorize(truth)[0]
    classes = [np.flatnonzero(strata == one) for one in range(strata.max() + 1)]
    rows = np.concatenate([some[rng.integers(len(some), size=(n, len(some)))] for some in classes], axis=1)
    codes = np.repeat(np.arange(n), len(truth))
    draws = [
        [grouped(metric, truth[rows].ravel(), answer[rows].ravel(), codes, n) for answer in model_]
        for model_ in answers
    ]
    return point, np.array(draws)


def _weights(n: int, n_bootstrap: int, drawn: bool, rng: np.random.Generator) -> np.ndarray:
    """Weight of each unit in each resample, ``(n_bootstrap, n)``; they sum to 1."""
    if not drawn:
        return np.full((n_bootstrap, n), 1 / n)
    return rng.multinomial(n, np.full(n, 1 / n), size=n_bootstrap) / n


def _row(
    metric: str, model: str, floor: str, target: str, point: np.ndarray, draws: np.ndarray, level: float, n_seeds: int,
    n: int,
) -> tuple[Any, ...]:  # fmt: skip
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return metric, model, floor, target, point[0], point[1], point[0] - point[1], low, high, n_seeds, n
