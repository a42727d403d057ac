"""Feature importance that lasts: refit on halves of the cells, and on shuffled responses for the null."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from galenic.data.response import ResponseData
from galenic.models.baselines.baseline import Baseline
from galenic.work.bar import counted
from galenic.work.contents import contents
from galenic.work.fan_out import fan_out
from galenic.work.kept import Kept

HALVES = 4
"""Refits on halves that one null is the mean of."""


def resampled_importance(
    model: Baseline,
    data: ResponseData,
    *,
    n_repeats: int = 20,
    n_null: int = 5,
    seed: int = 0,
    n_jobs: int = 1,
    parts: str | Path | None = None,
) -> tuple[np.ndarray, np.ndarray, pd.MultiIndex, list[str]]:
    """Weights of every feature for every drug, over refits on random halves of the cells.

    Parameters
    ----------
    model
        Its fields are used; it need not be fitted and stays as it is.
    data
        Measured pairs.
    n_repeats
        Refits on halves.
    n_null
        Shuffles of each drug's responses over its cells. Each gives the mean over 4 refits on halves: what chance gives
        for the same statistic.
    seed
        Of the halves and the shuffles.
    n_jobs
        Refits at the same time; -1: all cores, or workers of a cluster (:func:`galenic.work.engines.engine`).
    parts
        Folder in which finished refits are kept, so that interrupted work goes on where it was; more refits of the same
        model and data may be asked for later.

    Returns
    -------
    tuple
        Weights ``(n_repeats, n_features, n_drugs)`` and null weights ``(n_null, n_features, n_drugs)``, in standard
        deviations of the drug's response, NaN where a drug or a feature was not in a half; the features (modality,
        feature); the drugs.

    Raises
    ------
    ValueError
        If the model reads no genes, or ``parts`` holds refits of another model or other data.
    """
    # A model that reads no genes says so here, before the long work.
    whole = model.sketch().fit(data).importance(data)
    index, drugs = whole.index, [str(drug) for drug in whole.columns]
    null = [(shuffle, half) for shuffle in range(1, n_null + 1) for half in range(HALVES)]
    order = [(0, half) for half in range(n_repeats)] + null
    jobs = {f"shuffle {shuffle}, half {half}": (model, data, seed, shuffle, half) for shuffle, half in order}
    kept = Kept(parts, {"model": contents(model), "data": contents(data), "seed": seed}) if parts else None
    found = dict(counted(fan_out(_refit, jobs, n_jobs=n_jobs, kept=kept), "refits", len(jobs)))
    tables = [_table(*found[name]) for name in jobs]
    # In units that no fit decides, so that the null can be pooled over drugs: a fit on noise may choose a small penalty
    # by luck, and that luck has to stay in the null.
    spread = data.pairs.groupby("drug")["response"].std().reindex(drugs).to_numpy()
    stack = np.stack([table.reindex(index=index, columns=drugs).to_numpy() / spread for table in tables])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a feature that none of the halves had
        means = np.nanmean(stack[n_repeats:].reshape(n_null, HALVES, len(index), len(drugs)), axis=1)
    return stack[:n_repeats], means, index, drugs


def _table(weights: np.ndarray, levels: list[np.ndarray], drugs: list[str]) -> pd.DataFrame:
    return pd.DataFrame(weights, index=pd.MultiIndex.from_arrays(levels), columns=drugs)


def _refit(
    model: Baseline, data: ResponseData, seed: int, shuffle: int, half: int
) -> tuple[np.ndarray, list[np.ndarray], list[str]]:
    """Importance of a refit on one random half, as a table's values, levels of its rows and columns.

    ``shuffle`` 0 keeps the responses, any other number shuffles them.
    """
    if shuffle:
        rng, response = np.random.default_rng([seed, shuffle]), data.response
        for rows in data.pairs.groupby("drug").indices.values():
            response[rows] = rng.permutation(response[rows])
        data = replace(data, pairs=data.pairs.assign(response=response))
    cells = np.random.default_rng([seed, shuffle, half]).permutation(data.cells.n_obs)[: max(data.cells.n_obs // 2, 2)]
    some = data.take(np.isin(data.cell_rows, cells)).trim()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        table = model.sketch().fit(some).importance(some)
    levels = [table.index.get_level_values(level).to_numpy(dtype=np.str_) for level in range(2)]
    return table.to_numpy(), levels, [str(drug) for drug in table.columns]
