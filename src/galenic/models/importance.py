"""Feature importance that lasts: refit on halves of the cells, and on shuffled responses for the null."""

from __future__ import annotations

import warnings
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd

from galenic.data.response import ResponseData
from galenic.models.baselines.baseline import Baseline


def resampled_importance(
    model: Baseline, data: ResponseData, *, n_repeats: int = 20, n_null: int = 5, seed: int = 0, n_jobs: int = 1
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
        Fits with each drug's responses shuffled over its cells: what chance gives. All cells are used, because a mean
        over refits on halves varies about as much as one fit on all.
    seed
        Of the halves and the shuffles.
    n_jobs
        Refits at the same time.

    Returns
    -------
    tuple
        Weights ``(n_repeats, n_features, n_drugs)`` and null weights ``(n_null, n_features, n_drugs)``, NaN where a
        drug or a feature was not in a half; the features (modality, feature); the drugs.
    """
    # A model that reads no genes says so here, before the long work.
    whole = replace(model).fit(data).importance(data)
    index, drugs = whole.index, [str(drug) for drug in whole.columns]
    jobs = [(number, False) for number in range(n_repeats)] + [(number, True) for number in range(n_null)]
    tables = joblib.Parallel(n_jobs=n_jobs)(
        joblib.delayed(_refit)(model, data, [seed, number, int(shuffled)], shuffled) for number, shuffled in jobs
    )
    stack = np.stack([table.reindex(index=index, columns=drugs).to_numpy() for table in tables])
    return stack[:n_repeats], stack[n_repeats:], index, drugs


def _refit(model: Baseline, data: ResponseData, seed: list[int], shuffled: bool) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    if shuffled:
        response = data.response
        for rows in data.pairs.groupby("drug").indices.values():
            response[rows] = rng.permutation(response[rows])
        some = replace(data, pairs=data.pairs.assign(response=response))
    else:
        cells = rng.permutation(data.cells.n_obs)[: max(data.cells.n_obs // 2, 2)]
        some = data.take(np.isin(data.cell_rows, cells)).trim()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return replace(model).fit(some).importance(some)
