"""How far a KDRUG prediction can be trusted: conformal intervals, spread over members and over dropout."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from galenic.data.response import ResponseData
from galenic.models.baselines.baseline import locate

if TYPE_CHECKING:
    from galenic.models.kdrug.model import KDRUG


def intervals(
    model: KDRUG, data: ResponseData, using: Literal["student", "teacher"], coverage: float, n_draws: int
) -> pd.DataFrame:
    """See :meth:`galenic.models.kdrug.model.KDRUG.intervals`."""
    if not 0 < coverage < 1:
        raise ValueError(f"coverage should be between 0 and 1; received {coverage!r}. Ask for 0.9, say.")
    role = model.role(using)
    found = role.members(data)
    prediction = found.mean(axis=0)
    half = half_widths(model, using, coverage, data.drugs)[data.drug_rows]
    if np.isnan(half).any():
        warnings.warn(
            f"a coverage of {coverage:g} needs more errors on left-out cells than there are, so "
            f"{np.isnan(half).sum():,} of {len(half):,} intervals are empty. Ask for less, or fit on more cells.",
            stacklevel=3,
        )
    table = data.pairs.assign(
        prediction=prediction, low=prediction - half, high=prediction + half, spread=found.std(axis=0)
    )
    if n_draws:
        # Welford's sums, so that draws need not be kept.
        mean, squares = np.zeros(len(data)), np.zeros(len(data))
        for draw in range(n_draws):
            new = role.members(data, draw=draw).mean(axis=0)
            step = new - mean
            mean += step / (draw + 1)
            squares += step * (new - mean)
        table["dropout_spread"] = np.sqrt(squares / n_draws)
    return table


def half_widths(model: KDRUG, using: str, coverage: float, drugs: pd.DataFrame) -> np.ndarray:
    """Half the width of the interval of each drug, ``(n_drugs,)``: a quantile of errors on what was left out."""
    errors, new = (model.arrays_[f"{using}.{name}"] for name in ("errors", "new_errors"))
    everything = errors[~np.isnan(errors)]
    known = np.array([conformal(column[~np.isnan(column)], coverage, everything) for column in errors.T])
    at = locate(drugs, model.drugs_)
    widest = conformal(new if len(new) else everything, coverage, everything)
    return np.where(at >= 0, known[at], widest)


def conformal(errors: np.ndarray, coverage: float, others: np.ndarray) -> float:
    """The error that a new one does not exceed with the chance ``coverage``: the ceil((n + 1) coverage)-th smallest.

    Where so few errors cannot say (the rank is above n), those of all drugs answer; NaN where these are too few too.
    """
    # Less a little, so that rounding does not push a whole number to the next.
    rank = int(np.ceil((len(errors) + 1) * coverage - 1e-9))
    if rank <= len(errors):
        return float(np.partition(errors, rank - 1)[rank - 1])
    return conformal(others, coverage, others) if len(others) > len(errors) else float("nan")
