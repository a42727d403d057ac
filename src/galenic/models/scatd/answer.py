"""From logits of cells to probabilities: neighbours are asked, two kinds are looked for, and doubt is counted in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from galenic.data.neighbourhood import Neighbourhood
from galenic.models.cells.cell_model import sigmoid
from galenic.models.scatd.mixture import Mixture

EDGE = 1e-9
"""Probabilities are held this far from 0 and 1 on the scale of logits."""
BY_CHANCE = 0.05
"""p-value of the left-out lines above which no cell is told anything."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What is known of cells before they are told sensitive or resistant.

    Attributes
    ----------
    ids
        Of the cells.
    logits
        Of members, then of draws of their latents, ``(n, n_cells)``.
    n_members
        How many of them are of members.
    together
        Cells are told what they are from how all of them lie; otherwise each by itself.
    graph, spread
        Neighbourhood that logits are spread over, if any.
    empty
        Cells without counts.
    threshold
        P(sensitive) from which lines are called sensitive.
    spread_of_lines
        Standard deviation of the logits of lines that were left out; 0 = not known.
    by_chance
        Chance of the score on left-out lines if labels meant nothing.
    agreed
        How far halves of the lines agree on these cells; ``None``: nothing to compare.
    sure
        Chance that the direction is right.
    """

    ids: pd.Index
    logits: np.ndarray
    n_members: int
    together: bool
    graph: Neighbourhood | None
    spread: float
    empty: np.ndarray
    threshold: float
    agreed: float | None
    sure: float
    spread_of_lines: float = 0.0
    by_chance: float = 0.0


def answered(answer: Answer, *, needed: float, certainty: float) -> pd.DataFrame:
    """The table of :meth:`ScATD.predict`.

    Parameters
    ----------
    answer
        Logits and what is known beside them.
    needed
        Chance of the direction below which all cells are abstained from.
    certainty
        max(P, 1 - P) below which a cell is, with P taken as far from 0.5 as it is from the cut.
    """
    logits, empty = answer.logits, answer.empty
    alone = sigmoid(logits[: answer.n_members]).mean(axis=0)
    smooth = logits if answer.graph is None else answer.graph.smooth(logits.T, spread=answer.spread).T
    score = smooth[: answer.n_members].mean(axis=0)
    kinds = Mixture.of(score[~empty]) if answer.together else None
    if not answer.together:
        each, found = sigmoid(smooth), sigmoid(score)
    elif kinds is None:
        # Smoothing takes noise away and with it the spread that the calibration on lines counted with.
        # A member's own level is not widened with it: that all cells lie higher is no difference between them.
        wider = max(answer.spread_of_lines / max(score[~empty].std(), 1e-12), 1.0)
        each, found = _widened(smooth, ~empty, wider), _widened(score[None], ~empty, wider)[0]
    else:
        mean = score[~empty].mean()
        level = smooth[:, ~empty].mean(axis=1, keepdims=True)
        each, found = kinds.posterior(smooth - level + mean), kinds.posterior(score)
    sure = answer.sure
    probability, members = (sure * p + (1 - sure) * (1 - p) for p in (found, each))
    cut = answer.threshold if kinds is None else 0.5
    label = pd.array((found >= cut).astype(np.int64), dtype="Int64")
    label[empty] = pd.NA
    unsure = sure < needed or answer.by_chance > BY_CHANCE
    # As far from the cut as P would be from 0.5: where lines are called at 0.1, a P of 0.1 is what nobody can tell.
    beyond = expit(logit(np.clip(found, EDGE, 1 - EDGE)) - logit(np.clip(cut, EDGE, 1 - EDGE)))
    told = np.maximum(beyond, 1 - beyond)
    abstain = empty | unsure | (sure * told + (1 - sure) * (1 - told) < certainty)
    blank = np.where(empty, np.nan, 1.0)
    table = pd.DataFrame(
        {
            "probability": probability * blank,
            "sd": members.std(axis=0) * blank,
            "label": label,
            "abstain": abstain,
            "score": score * blank,
            "alone": alone * blank,
        },
        index=answer.ids.copy(),
    )
    table.attrs["direction"] = {
        "confidence": sure, "agreement": answer.agreed, "needed": needed, "by_chance": answer.by_chance,
        "two_kinds": kinds is not None,
        "share_sensitive": None if kinds is None else kinds.share, "abstained": float(abstain.mean()),
        "why": _why(answer, needed, kinds, abstain),
    }  # fmt: skip
    return table


def _why(answer: Answer, needed: float, kinds: Mixture | None, abstain: np.ndarray) -> str:
    """One sentence for people."""
    remedy = "Every cell is abstained from; a few labelled cells would settle it."
    if answer.by_chance > BY_CHANCE:
        return f"Lines that were left out are not told better than by chance (p = {answer.by_chance:.2g}). {remedy}"
    if answer.sure < needed:
        return (
            f"Halves of the lines do not agree on these cells: the direction is right with a chance of "
            f"{answer.sure:.2f}, and {needed:.2f} is asked for. {remedy}"
        )
    said = "cells are of two kinds" if kinds is not None else "cells are of one kind, or of kinds that overlap"
    chance = "above 0.99" if answer.sure > 0.99 else f"of {answer.sure:.2f}"
    sure = f"The direction is right with a chance {chance}"
    if answer.agreed is None and answer.sure == 1:
        sure = "How sure the direction is was not measured"
    return f"{sure}; {said}; {100 * (1 - (~abstain).mean()):.0f} % are abstained from."


def _widened(logits: np.ndarray, known: np.ndarray, times: float) -> np.ndarray:
    """Probabilities where each row of logits is spread about its own mean over cells, ``(n, n_cells)``."""
    level = logits[:, known].mean(axis=1, keepdims=True)
    return sigmoid(level + (logits - level) * times)
