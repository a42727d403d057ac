"""How predicted effects of perturbations are scored in a run: by condition, by group, against each floor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from galenic.evaluate.perturbation import perturbation, perturbation_by_condition
from galenic.evaluate.skill import skill

CORRELATIONS = ("pearson_delta", "spearman_delta", "cosine_delta")
"""Starts of the metrics that have no value where no effect is predicted; there they count as 0."""
SKILL_METRICS = ("mae", "pearson_delta", "discrimination")
MOST_EFFECTS = 2_000_000
"""Effects of a model and split that are kept; of more only those of a few conditions."""
SHOWN = 3
"""Best, middle and worst conditions whose effects are kept then."""


class Measured(NamedTuple):
    """Conditions and what was measured of them.

    ``table``: ``context, perturbation``, (``dose``,) ``n_cells``; ``truth``: mean expression of each, and ``control``:
    that of its context's controls, ``(n_conditions, n_genes)``; ``genes``: their names.
    """

    table: pd.DataFrame
    truth: np.ndarray
    control: np.ndarray
    genes: np.ndarray

    @property
    def labelled(self) -> pd.DataFrame:
        """The table for scoring, where a dose is part of the perturbation's name."""
        return pd.DataFrame({"context": self.table["context"], "perturbation": labels_of(self.table)})


def labels_of(table: pd.DataFrame) -> np.ndarray:
    """Name of the perturbation of each condition, with its dose where there is one.

    Examples
    --------
    >>> labels_of(pd.DataFrame({"perturbation": ["x", "y"], "dose": [0.1, np.nan]})).tolist()
    ['x at 0.1', 'y']
    """
    names = table["perturbation"].to_numpy(dtype="object")
    if "dose" not in table:
        return names
    doses = [f" at {dose:g}" if np.isfinite(dose) else "" for dose in table["dose"]]
    return names + np.array(doses, dtype="object")


def by_condition(
    measured: Measured, prediction: np.ndarray, perturbed_mean: np.ndarray | None, top: Sequence[int]
) -> pd.DataFrame:
    """Metrics of :func:`galenic.evaluate.perturbation_by_condition`, one row a condition; undefined is NaN.

    Of ``top`` only those that are at most the number of genes.
    """
    found = perturbation_by_condition(
        measured.labelled,
        measured.truth,
        prediction,
        measured.control,
        perturbed_mean=perturbed_mean,
        top=[k for k in top if k <= len(measured.genes)],
    )
    return found.drop(columns=["context", "perturbation", "n_others"])


def comparable(values: pd.DataFrame) -> pd.DataFrame:
    """Correlations that are undefined count as 0, so that a model that predicts no effect has a value."""
    some = [name for name in values if name.startswith(CORRELATIONS)]
    return values.assign(**values[some].fillna(0.0))


def by_group(
    measured: Measured, prediction: np.ndarray, values: pd.DataFrame, seen: np.ndarray | None = None
) -> pd.DataFrame:
    """Means over all conditions, over those of each context, and by how many parts of a combination were trained on.

    Parameters
    ----------
    measured, prediction
        What is scored.
    values
        Of :func:`by_condition`.
    seen
        Parts of each combination that were trained on alone, ``(n_conditions,)``; -1 for what is no combination.

    Returns
    -------
    DataFrame
        ``group, metric, value, n``; groups ``"all"``, each context, ``"0 seen"``, ``"1 seen"``, ...; ``collapse`` for
        all and for contexts.
    """
    filled = comparable(values)
    context = measured.table["context"].to_numpy()
    groups = {"all": np.ones(len(filled), dtype=bool)} | {name: context == name for name in np.unique(context)}
    if seen is not None:
        groups |= {f"{number} seen": seen == number for number in np.unique(seen[seen >= 0])}
    tables = [
        pd.DataFrame(
            {
                "group": group,
                "metric": filled.columns,
                "value": filled[rows].mean().to_numpy(),
                "n": filled[rows].notna().sum().to_numpy(),
            }
        )
        for group, rows in groups.items()
    ]
    # Of the whole prediction, not of one condition; the other metrics of this call are those above.
    told = perturbation(
        measured.labelled, measured.truth, prediction, measured.control, top=(), distance="l2", by_context=True
    )
    return pd.concat([*tables, told[told["metric"] == "collapse"]], ignore_index=True)


def by_perturbation(table: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """Error and correlation of each perturbation over its contexts (and doses): ``drug, metric, value, n``."""
    chosen = comparable(values)[["mae", "pearson_delta"]].assign(drug=table["perturbation"].to_numpy())
    long = chosen.melt("drug", var_name="metric")
    return long.groupby(["drug", "metric"])["value"].agg(value="mean", n="size").reset_index()


def effects(measured: Measured, prediction: np.ndarray, values: pd.DataFrame) -> pd.DataFrame:
    """Measured and predicted effects of conditions, one row a condition and gene.

    Where these are more than :data:`MOST_EFFECTS`, those of the best, the middle and the worst :data:`SHOWN` conditions
    by ``pearson_delta``.

    Returns
    -------
    DataFrame
        ``context, perturbation``, (``dose``,) ``gene, measured, predicted``: expression less that of the controls.
    """
    rows = np.arange(len(measured.table))
    if measured.truth.size > MOST_EFFECTS and len(rows) > 3 * SHOWN:
        order = np.argsort(-comparable(values)["pearson_delta"].to_numpy(), kind="stable")
        middle = (len(order) - SHOWN) // 2
        rows = np.sort(np.r_[order[:SHOWN], order[middle : middle + SHOWN], order[-SHOWN:]])
    n_genes = len(measured.genes)
    keys = measured.table.drop(columns="n_cells").iloc[np.repeat(rows, n_genes)].reset_index(drop=True)
    return keys.assign(
        gene=np.tile(measured.genes, len(rows)),
        measured=(measured.truth - measured.control)[rows].ravel().astype(np.float32),
        predicted=(prediction - measured.control)[rows].ravel().astype(np.float32),
    )


def skills(conditions: pd.DataFrame, judged: Sequence[str], floors: Sequence[str]) -> pd.DataFrame:
    """Skill of each judged model against every floor, for each split; ``best`` marks the floor with the least error.

    Parameters
    ----------
    conditions
        ``model, split, fold, seed, context, perturbation``, (``dose``,) and metrics: folds and seeds of a condition
        are averaged first.
    judged, floors
        Names of models; a model that is a floor itself is compared with the others.

    Returns
    -------
    DataFrame
        ``model, split, metric, floor, value, floor_value, skill, low, high, n, best``. Whole perturbations are
        resampled where some were measured in several contexts (or doses), else conditions.
    """
    metrics = list(SKILL_METRICS)
    table = comparable(conditions)
    if "dose" in table:
        # The dose goes with the context here: perturbations are what is resampled whole.
        table = table.assign(context=table["context"] + " at " + table["dose"].map("{:g}".format))
    keys = ["split", "model", "context", "perturbation"]
    means = table.groupby(keys, sort=False)[metrics].mean().reset_index()
    rows = []
    for split, part in means.groupby("split", sort=False):
        own = {str(name): some for name, some in part.groupby("model", sort=False)}
        for model in judged:
            others = {floor: own[floor] for floor in floors if floor != model and floor in own}
            if model in own and others:
                rows.append(_against(own[model], others).assign(model=model, split=split))
    columns = ["model", "split", "metric", "floor", "value", "floor_value", "skill", "low", "high", "n", "best"]
    return pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)


def _against(scores: pd.DataFrame, floors: dict[str, pd.DataFrame]) -> pd.DataFrame:
    counts = scores["perturbation"].value_counts()
    by = "perturbation" if len(counts) > 1 and counts.max() > 1 else None
    best = skill(scores, floors, SKILL_METRICS, by=by, n=1).set_index("metric")["floor"]
    rows = [skill(scores, {name: table}, SKILL_METRICS, by=by).assign(floor=name) for name, table in floors.items()]
    found = pd.concat(rows, ignore_index=True)
    return found.assign(best=found["floor"].to_numpy() == best.reindex(found["metric"]).to_numpy())
