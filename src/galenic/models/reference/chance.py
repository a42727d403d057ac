"""What chance gives: how alike pairs of the reference are, and how strong profiles of vehicles are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from galenic.data.gctx.metadata import as_text
from galenic.models.profiles.profile_model import ProfileModel, unit

SHARES = np.r_[np.linspace(0, 0.99, 100), 1 - np.geomspace(0.01, 1e-5, 101)[1:], 1.0]
"""Shares at which quantiles of pairs are kept: hits stand in the last per cent, so half of them lie there."""
N_SIDE = 2_000
"""Queries, and rows that are found, whose pairs are compared."""
N_VEHICLES, FEWEST_VEHICLES = 500, 20
"""Vehicles that are embedded, and from how many on anything is said of them."""
VEHICLES = ("ctl_vehicle", "ctl_untrt")
STRONGER = 0.95
"""Share of the vehicles that a query should surpass."""


class Chance:
    """What similarity and strength are reached without a common mechanism.

    Parameters
    ----------
    state
        Arrays: ``vehicle_strength`` and ``vehicle_similarity``, sorted; and for every kind of pair, named by
        :func:`pair_name`, its quantiles at ``SHARES``. What is not there is not told.

    Examples
    --------
    >>> chance = Chance({"profile_perturbagen": SHARES, "vehicle_strength": np.arange(20.0)})
    >>> chance.above(np.array([0.5, 2.0]), "profile", "perturbagen", reverse=False).round(2).tolist()
    [0.5, 1.0]
    >>> told = chance.judged({"strength": 5.0, "flag": "", "reason": ""}, float("nan"))
    >>> told["flag"], told["reason"]
    ('weak', 'no stronger than 75% of the 20 vehicles')
    """

    def __init__(self, state: Mapping[str, np.ndarray]) -> None:
        self.state = dict(state)

    def above(self, similarity: np.ndarray, kind: str, level: str, *, reverse: bool) -> np.ndarray | None:
        """Share of the pairs of one kind that are less similar, ``(n,)``; ``None`` where no pair is known.

        Parameters
        ----------
        similarity
            Of hits, ``(n,)``.
        kind, level
            What was asked with and what was found, ``"perturbagen"`` or ``"profile"``.
        reverse
            Whether the query was turned round.
        """
        quantiles = self.state.get(pair_name(kind, level, reverse), np.zeros(0))
        return np.interp(similarity, quantiles, SHARES) if len(quantiles) else None

    def judged(self, about: dict[str, Any], best: float) -> dict[str, Any]:
        """What is said of a query, with how it stands beside vehicles: weak, where many of them are as strong.

        Parameters
        ----------
        about
            ``strength, flag, reason``, ...; not changed.
        best
            Its highest similarity to a perturbagen, NaN where that cannot be compared.
        """
        n = len(self.state.get("vehicle_strength", ()))
        if n < FEWEST_VEHICLES:
            return about | {"vehicles": n, "vehicle_strength": np.nan, "vehicle_similarity": np.nan}
        shares = {
            name: float(np.searchsorted(self.state[name], value) / n)
            if name in self.state and value == value
            else np.nan
            for name, value in (("vehicle_strength", about["strength"]), ("vehicle_similarity", best))
        }
        told = about | {"vehicles": n, **shares}
        if shares["vehicle_strength"] < STRONGER:
            words = f"no stronger than {1 - shares['vehicle_strength']:.0%} of the {n:,} vehicles"
            told["reason"] = "; ".join(part for part in (about["reason"], words) if part)
            told["flag"] = (
                about["flag"] if "weak" in about["flag"] else ", ".join(filter(None, ("weak", about["flag"])))
            )
        return told


def pair_name(kind: str, level: str, reverse: bool) -> str:
    """Under which name the quantiles of pairs are kept."""
    return f"{kind}_{level}" + ("_reversed" if reverse else "")


def pairs(
    model: ProfileModel,
    queries: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    found: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray | None]],
) -> dict[str, np.ndarray]:
    """Quantiles of the similarity of different perturbagens, for every kind of query and of what is found.

    A single profile is noisier than the mean of many, and so less similar to everything: each kind of pair has its own
    quantiles.

    Parameters
    ----------
    model
        Whose similarity it is.
    queries
        By kind: perturbagen codes, vectors and vectors of opposites of a sample, ``(n,)`` and ``(n, n_dims)`` each.
    found
        By level: codes, vectors and offsets of a sample; ``None`` where it has none.
    """
    result = {}
    for kind, (codes, own, opposite) in queries.items():
        for level, (others, vectors, offsets) in found.items():
            different = codes[:, None] != others[None]
            for reverse, side in ((False, own), (True, opposite)):
                values = unit(side) @ unit(vectors).T
                if offsets is not None:
                    values = values - offsets - model.offsets(unit(side))[:, None]
                values = values[different]
                kept = np.quantile(values, SHARES) if len(values) else np.zeros(0)
                result[pair_name(kind, level, reverse)] = kept.astype(np.float64)
    return result


def vehicle_rows(obs: pd.DataFrame) -> np.ndarray:
    """Numbers of the profiles of vehicles and untreated cells.

    Examples
    --------
    >>> vehicle_rows(pd.DataFrame({"pert_type": ["trt_cp", "ctl_vehicle", None]})).tolist()
    [1]
    """
    if "pert_type" not in obs:
        return np.zeros(0, dtype=np.intp)
    return np.flatnonzero([text in VEHICLES for text in as_text(obs["pert_type"])])
