"""How sure it is which cells are the sensitive ones, and what a call then means, in words."""

from __future__ import annotations

from typing import Any

import pandas as pd

from galenic.report.blocks import Text
from galenic.report.run import Run
from galenic.report.words import count, number, p_value

CONFIDENT = 0.9
"""Chance of the direction from which it is taken as known, where the run does not say what was asked for."""
BY_CHANCE = 0.05
"""p-value of lines left out above which no cell is called."""
RARE = (0.4, 0.6)
"""Thresholds outside of which calls need a word: P on their side of it may be on the other side of 0.5."""


def direction_of(run: Run) -> dict[str, Any]:
    """What the model said of the direction; empty where it says nothing."""
    told = run.record["fields"].get("direction")
    return told if isinstance(told, dict) else {}


def chance(value: float) -> str:
    """A probability; what is nearly sure is not written as sure.

    >>> chance(0.5), chance(1e-6), chance(0.999)
    ('0.50', 'below 0.01', 'above 0.99')
    """
    return "below 0.01" if value < 0.01 else "above 0.99" if value > 0.99 else number(value, 2)


def direction(run: Run) -> Text | None:
    """How sure it is which of two kinds of cells is the sensitive one, in words."""
    told = direction_of(run)
    value, needed = told.get("confidence"), told.get("needed", CONFIDENT)
    if not isinstance(value, (int, float)):
        return None
    kinds = " The cells are of one kind, or of kinds that overlap: expect few that stand out."
    kinds = kinds if told.get("two_kinds") is False else ""
    if "agreement" in told and told["agreement"] is None:
        return _without_halves(float(value), kinds)
    by_chance = told.get("by_chance") or 0.0
    if by_chance > BY_CHANCE:
        return Text(
            f"Lines that were left out are not told better than by chance (p {p_value(by_chance)}): the model has not "
            "learned what makes a line sensitive, and what it says of cells counts for nothing. A few labelled cells "
            "would do instead of it.",
            "bad",
        )
    said = f"Which cells are the sensitive ones is told rightly with a chance {_of(float(value))}"
    if value >= needed:
        said += ": halves of the lines agree on the direction. A gene that means something else in these cells than in "
        return Text(f"{said}lines would not show here.{kinds}", "good")
    said += f", less than {needed:g}: halves of the lines disagree on it. The model may well have found two kinds of "
    return Text(f"{said}cells and named them the wrong way round. A few labelled cells settle it.", "bad")


def _without_halves(value: float, kinds: str) -> Text:
    """The same where a few labels say it, or nothing does."""
    if value == 1:
        return Text(
            "How sure it is which cells are the sensitive ones was not measured: that takes a linear start and a "
            f"target.{kinds}",
            "note",
        )
    return Text(
        f"The few labelled cells say which cells are the sensitive ones, lines do not: they are told rightly with a "
        f"chance {_of(value)}, from how labels that are left out in turn are told by the others. P cannot be farther "
        f"from 0.5 than that.{kinds}",
        "good",
    )


def _of(value: float) -> str:
    """``of 0.92``, ``above 0.99``."""
    said = chance(value)
    return said if said[0].isalpha() else f"of {said}"


def off_threshold(cells: pd.DataFrame, threshold: float) -> Text | None:
    """What a call means where it is not made at 0.5."""
    low, high = RARE
    if low <= threshold <= high or cells["abstain"].all():
        return None
    said = f"Cells are called sensitive from P = {number(threshold, 2)} on, not from 0.5: that told the lines best"
    if threshold < low:
        return Text(
            f"{said}, of which few are sensitive. A cell called sensitive is likelier so than most, not likelier than "
            "not.",
            "note",
        )
    return Text(f"{said}, of which most are sensitive. A cell called resistant may be likelier sensitive.", "note")


def abstained(cells: pd.DataFrame) -> Text | None:
    """How many cells were not called, if any."""
    n, n_cells = int(cells["abstain"].sum()), len(cells)
    if not n:
        return None
    said = f"{share(n, n_cells)} of {count(n_cells)} cells were not called"
    if "reason" in cells:
        reasons = cells.loc[cells["abstain"], "reason"].dropna().value_counts()
        said += (
            ": " + ", ".join(f"{reason} {count(times)}" for reason, times in reasons.items()) if len(reasons) else ""
        )
    if n == n_cells:
        said += ": take nothing that follows as a call, and the ranking only if you can check it"
    elif n > n_cells / 2:
        said += ". More than half: take what follows as a ranking at most"
    return Text(f"{said}.", "note")


def share(n: int, total: int) -> str:
    """A number of cells and its share.

    >>> share(18, 120)
    '18 (15 %)'
    """
    return f"{count(n)} ({100 * n / max(total, 1):.0f} %)"
