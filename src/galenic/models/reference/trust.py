"""Whether a query can be trusted: that it has a signal, and that its profiles agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from galenic.data.checks import first
from galenic.search.applicability import Applicability

LOOSE = 0.05
"""Perturbagens whose profiles agree less than those of all but this share of the others are flagged."""
ENOUGH = 20
"""Perturbagens with replicates from which that can be said."""


def standing(table: pd.DataFrame, strength: float, rows: np.ndarray, usual: Applicability) -> dict[str, Any]:
    """Whether a perturbagen of the reference can be trusted as a query.

    Parameters
    ----------
    table
        Of the perturbagens: ``n_profiles``, ``agreement``.
    strength
        Mean number of changed genes in its profiles.
    rows
        Of the perturbagen in the table; several where ids share a name.
    usual
        What strengths are usual.

    Returns
    -------
    dict
        ``n_profiles, agreement, strength, strength_quantile``, ``flag`` (of weak, scattered, single) and ``reason``.
    """
    n = int(table["n_profiles"].to_numpy()[rows].sum())
    quantiles = usual.strengths
    share = float(np.searchsorted(quantiles, strength) / len(quantiles))
    agreement = float(np.nanmean(table["agreement"].to_numpy()[rows])) if n > len(rows) else float("nan")
    others = table["agreement"].dropna()
    loose = n > len(rows) and len(others) >= ENOUGH and (others < agreement).mean() < LOOSE
    said = [
        ("weak", share < usual.weak, f"fewer changed genes than {1 - usual.weak:.0%} of the profiles"),
        ("scattered", loose, f"its profiles agree less than those of {1 - LOOSE:.0%} of the perturbagens"),
        ("single", n == 1, "one profile alone: nothing says whether it repeats"),
    ]
    true = [(flag, words) for flag, holds, words in said if holds]
    told = {"n_profiles": n, "agreement": agreement, "strength": strength, "strength_quantile": share}
    return told | {"flag": ", ".join(flag for flag, _ in true), "reason": "; ".join(words for _, words in true)}


def has_signal(values: np.ndarray) -> np.ndarray:
    """Which profiles say something: most of their genes do not share one value, as 0 or a mark for missing (-666).

    Examples
    --------
    >>> has_signal(np.array([[0.1, -2.0, 0.0], [0.0, 0.0, 0.0], [-666.0, -666.0, 0.0]])).tolist()
    [True, False, False]
    """
    if not values.shape[1]:
        return np.zeros(len(values), dtype=bool)
    extreme = np.take_along_axis(values, np.abs(values).argmax(axis=1)[:, None], axis=1)
    return np.asarray((values == extreme).mean(axis=1) <= 0.5)


def require_signal(values: np.ndarray, names: pd.Index) -> None:
    """Raise ``ValueError`` where a profile has infinite values or no changed gene."""
    infinite, empty = np.isinf(values).any(axis=1), ~has_signal(values)
    for bad, words in (
        (infinite, "hold infinite values"),
        (empty, "have no changed gene: all are 0 or missing, or most have one value"),
    ):
        if bad.any():
            raise ValueError(
                f"query profiles should be finite z-scores with some signal; {int(bad.sum()):,} of {len(values):,} "
                f"{words} (first: {first(names[bad])}). Leave them out or correct them."
            )
