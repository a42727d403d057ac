"""What a section of the report is made of: texts, facts, tables, figures and drawings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go


@dataclass(frozen=True)
class Text:
    """A paragraph.

    ``kind`` is ``""``, ``"heading"``, ``"question"``, ``"good"``, ``"bad"``, ``"note"``, ``"warning"`` or ``"code"``.
    """

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Facts:
    """Labelled values, shown as a row of tiles, one below the other where they are long (``is_list``), or many short
    ones side by side in columns (``is_grid``).
    """

    items: list[tuple[str, str]]
    is_list: bool = False
    is_grid: bool = False

    @property
    def look(self) -> str:
        """How they are laid out: ``"tiles"``, ``"list"`` or ``"grid"``."""
        return "list" if self.is_list else "grid" if self.is_grid else "tiles"


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Parameters
    ----------
    text
        What is read.
    note
        A second, quieter line: an interval.
    sort
        Value to sort by; numbers also align to the right. The text where ``None``.
    kind
        ``"best"``, ``"good"``, ``"bad"`` or ``"quiet"``.
    badge
        A word set in a small frame behind the text: ``"floor"``.
    bar
        Length of a bar behind the text, -1 to 1; negative ones point left.
    """

    text: str
    note: str = ""
    sort: float | None = None
    kind: str = ""
    badge: str = ""
    bar: float | None = None


@dataclass(frozen=True)
class Table:
    """A table whose columns sort on a click; its first column names the rows.

    Parameters
    ----------
    head
        Column names.
    rows
        Cells, or plain text.
    caption
        What it shows.
    is_searchable
        Whether a search field stands above.
    choose
        Columns that get a selector of one of their values.
    foot
        Rows that stay below, however the others are sorted.
    hints
        Explanations of columns, shown below the table.
    """

    head: list[str]
    rows: list[list[Cell | str]]
    caption: str = ""
    is_searchable: bool = False
    choose: tuple[str, ...] = ()
    foot: list[list[Cell | str]] = field(default_factory=list)
    hints: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Figures:
    """Figures side by side where there is room, each with its caption."""

    figures: list[tuple[str, go.Figure]]


@dataclass(frozen=True)
class Drawings:
    """Drawings side by side, each a caption and the text of an SVG; black on white, whatever the page is in."""

    items: list[tuple[str, str]]


Block = Text | Facts | Table | Figures | Drawings


@dataclass(frozen=True)
class Section:
    """A part of the report: heading, one sentence on how to read it, and its blocks."""

    key: str
    title: str
    how: str
    blocks: Sequence[Block]
