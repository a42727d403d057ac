"""What a model of responses says of new cells: intervals where it gives them, and what it found of their features."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.response import ResponseData
from galenic.models.baselines.inputs import alignment


def answers(
    model: Any,
    data: ResponseData,
    *,
    coverage: float = 0.9,
    using: Literal["student", "teacher"] | None = None,
) -> pd.DataFrame:
    """Predictions, with intervals where the model gives them.

    Parameters
    ----------
    model
        Fitted model of responses.
    data
        Cells and drugs that are asked.
    coverage
        Chance that an interval holds the measured response.
    using
        Of a model with a teacher, which of the two answers.

    Returns
    -------
    pandas.DataFrame
        ``cell, drug, prediction``, and ``low, high`` of models that have intervals.

    Raises
    ------
    ValueError
        If ``using`` is given and the model has no teacher.
    """
    if hasattr(model, "intervals"):
        found: pd.DataFrame = model.intervals(data, coverage=coverage, using=using)
        return found
    if using:
        raise ValueError(f"--using is for a model with a teacher; this is {type(model).__name__}. Leave it out.")
    predicted: pd.DataFrame = model.predict(data)
    return predicted


def aligned(model: Any, data: ResponseData) -> ResponseData:
    """The data with what their features share with those of fitting among the coverage."""
    features = model.spec_.get("inputs")
    if not isinstance(features, dict):
        return data
    parts = [part for part in (data.coverage, alignment(data.cells, features)) if len(part)]
    return replace(data, coverage=pd.concat(parts, ignore_index=True)) if parts else data


def usual(model: Any) -> pd.Series:
    """What a model says of the average cell that it was fitted on: the response of each drug that no gene explains.

    Parameters
    ----------
    model
        Fitted model of responses that reads features of cells.

    Returns
    -------
    pandas.Series
        By drug; empty for models that do not keep the means of their genes.

    Notes
    -----
    The answer of a model that learned nothing from genes: near the mean of each drug in the screen.

    Examples
    --------
    >>> from galenic.data.simulate import screen
    >>> from galenic.models.baselines.ridge import Ridge
    >>> data, _ = screen(40, 8, 60)
    >>> found = usual(Ridge().fit(data))
    >>> mean = data.pairs.groupby("drug")["response"].mean()
    >>> bool(found.corr(mean) > 0.95)
    True
    """
    features = model.spec_.get("inputs")
    genes = features.get("expression", []) if isinstance(features, dict) else []
    mean = model.arrays_.get("mean.expression")
    if mean is None or len(genes) != len(mean):
        return pd.Series(dtype="float64")
    cells = AnnData(np.asarray(mean, dtype=np.float64)[None], obs=pd.DataFrame(index=["average"]),
                    var=pd.DataFrame(index=list(genes)))  # fmt: skip
    none = pd.DataFrame({"cell": pd.Series(dtype="object"), "drug": pd.Series(dtype="object"),
                         "response": pd.Series(dtype="float64")})  # fmt: skip
    data = ResponseData(none, cells, model.drugs_, unit=model.spec_.get("unit", "ln_ic50")).grid()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that nothing else is known of it is meant
        table = model.predict(data)
    return pd.Series(table["prediction"].to_numpy(), index=pd.Index(table["drug"], name="drug"))
