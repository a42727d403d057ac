"""The colours of every figure and page, and the shapes that go with them.

Each named colour can be told from each other one with normal sight and without red, green or blue cones, and stands
out on white and on near-black paper; ``tests/unit/plots/test_palette.py`` measures both. As no colour is sure to be
seen, a kind is also told by its shape (floors are hollow diamonds) or its dash.
"""

from __future__ import annotations

from collections.abc import Sequence

BLUE, GREY, GREEN = "#1a6fd2", "#6e7277", "#12a860"
ORANGE, PURPLE, RED = "#d97a06", "#be7ac4", "#c03428"

MODEL = BLUE
"""What was fitted, and its scores."""
FLOOR = GREY
"""Floors, chance, and every line that is only there to compare with."""
CEILING = GREEN
"""How well the data agree with themselves."""
SENSITIVE, RESISTANT = BLUE, ORANGE
"""Towards sensitivity and towards resistance."""
RISE, FALL = ORANGE, BLUE
"""Above and below the reference."""
CLEAR = "rgba(0,0,0,0)"
"""Nothing: the paper shows."""
STAR = RED
"""The one point that all others are compared with."""
OTHER = (BLUE, ORANGE, PURPLE, GREEN, RED)
"""Kinds side by side, in this order."""
MORE = ("#609c9c", "#f05490", "#9c903c")
"""Where five are too few; these lie closer together, so shapes matter."""
CATEGORIES = (*OTHER, *MORE)

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross")
"""Marks of kinds side by side."""
FLOOR_SYMBOL = "diamond-open"
DASHES = ("dash", "dot", "dashdot")
"""Lines of floors side by side; models are solid."""

Scale = list[list[float | str]]


def faded(colour: str, opacity: float) -> str:
    """A colour that lets the paper through.

    >>> faded("#1a6fd2", 0.5)
    'rgba(26,111,210,0.5)'
    """
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


SEQUENTIAL: Scale = [[0, faded(BLUE, 0.15)], [1, faded(BLUE, 1)]]
"""From few to many."""
VALUES: Scale = [[0, "#7b3aa8"], [0.5, "#23908c"], [1, "#c8a000"]]
"""From low to high, lighter and lighter, of points that lie on each other."""
TOWARDS: Scale = [[0, RESISTANT], [0.5, "#a0a4aa"], [1, SENSITIVE]]
"""Probability of being sensitive, 0 to 1, of points; grey where it is undecided."""
DIVERGING: Scale = [[0, FALL], [0.5, faded(GREY, 0.08)], [1, RISE]]
"""Below and above 0, of areas; paper at 0."""
CONTRIBUTIONS: Scale = [[0, RESISTANT], [0.5, faded(GREY, 0.08)], [1, SENSITIVE]]
"""Towards resistance and towards sensitivity, of areas; paper at 0."""


def colours_of(kinds: Sequence[object]) -> dict[object, str]:
    """A colour for each kind, in the order of the kinds; they repeat after the eighth.

    >>> colours_of(["A", "B"])
    {'A': '#1a6fd2', 'B': '#d97a06'}
    """
    return {kind: CATEGORIES[number % len(CATEGORIES)] for number, kind in enumerate(dict.fromkeys(kinds))}
