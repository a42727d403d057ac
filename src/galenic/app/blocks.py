"""Sections of the report drawn on a page: the same words, tables and figures in both."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from galenic.app import parts, words
from galenic.report.blocks import Block, Cell, Drawings, Facts, Figures, Section, Table, Text
from galenic.report.run import Run, read

SHOWN: dict[str, Callable[[str], Any]] = {
    "heading": st.subheader,
    "question": lambda text: st.markdown(f"**{text}**"),
    "good": lambda text: st.success(text, icon=":material/check:"),
    "bad": lambda text: st.warning(text, icon=":material/balance:"),
    "note": lambda text: st.info(text, icon=":material/info:"),
    "warning": lambda text: st.warning(text, icon=":material/warning:"),
    "": st.write,
}
TILES = 4
"""Facts side by side."""
INTERVAL = re.compile(r" \[([^\[\],]+), ([^\[\],]+)\]( ?)")


def scores(folder: Path, *, key: str) -> None:
    """How the models of a run did: the answer first, then figures and tables."""
    from galenic.report.performance import score_figures, score_tables
    from galenic.report.sections import headline

    run = read(folder)
    sections([headline, score_figures, score_tables], run, key=key, headed=False)


def sections(makers: Sequence[Callable[[Run], Section | None]], run: Run, *, key: str, headed: bool = True) -> None:
    """Those sections that a run has something for.

    Parameters
    ----------
    makers
        Of :mod:`galenic.report`.
    run
        A run folder.
    key
        Sets the widgets apart from those of other pages.
    headed
        Whether the first of them gets its heading.
    """
    for number, make in enumerate(makers):
        section = make(run)
        if section is not None:
            show(section, key=f"{key}-{section.key}", headed=headed or number > 0)


def show(section: Section, *, key: str, headed: bool = True) -> None:
    """One section."""
    if headed:
        st.header(words.plain(section.title))
    if section.how:
        st.caption(words.plain(section.how))
    for number, block in enumerate(section.blocks):
        _block(block, f"{key}-{number}")


def as_table(block: Table) -> pd.DataFrame:
    """A table of the report as a data frame: numbers where a column has nothing but numbers, else its text.

    Examples
    --------
    >>> as_table(Table(["model", "n"], [[Cell("Ridge", badge="floor"), Cell("1,200", sort=1200)]])).values.tolist()
    [['Ridge (floor)', 1200.0]]
    """
    rows = [*block.rows, *block.foot]
    names = _apart(block.head)
    return pd.DataFrame({name: _column([row[place] for row in rows]) for place, name in enumerate(names)})


def as_text(block: Table) -> pd.DataFrame:
    r"""A table of the report as it reads there, intervals on a line of their own.

    Examples
    --------
    >>> as_text(Table(["RMSE"], [[Cell("0.93", "[0.86, 1.00]")], [Cell("4", "of 10")]]))["RMSE"].tolist()
    ['0.93\n[0.86,\xa01.00]', '4 of 10']
    >>> as_text(Table(["difference"], [[Cell("−0.4 [−0.5, −0.3]", "beats its floor")]])).iloc[0, 0]
    '−0.4\n[−0.5,\xa0−0.3]\nbeats its floor'
    """
    rows = [[_text(one if isinstance(one, Cell) else Cell(one)) for one in row] for row in (*block.rows, *block.foot)]
    return pd.DataFrame(rows, columns=_apart(block.head))


def _text(cell: Cell) -> str:
    said = " ".join(filter(None, [cell.text, cell.note, f"({cell.badge})" if cell.badge else ""]))
    return INTERVAL.sub(lambda found: f"\n[{found[1]},\xa0{found[2]}]{chr(10) * bool(found[3])}", said)


def _column(cells: list[Cell | str]) -> list[Any]:
    found = [one if isinstance(one, Cell) else Cell(one) for one in cells]
    are_numbers = all(one.sort is not None and not one.note and not one.badge for one in found)
    if are_numbers:
        return [float("nan") if one.sort is None or math.isnan(one.sort) else float(one.sort) for one in found]
    return [" ".join(filter(None, [one.text, one.note, f"({one.badge})" if one.badge else ""])) for one in found]


def _apart(names: Sequence[str]) -> list[str]:
    """Names of columns, each once."""
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
    again = {name for name, n in seen.items() if n > 1}
    count: dict[str, int] = {}
    found = []
    for name in names:
        count[name] = count.get(name, 0) + 1
        found.append(f"{name} {count[name]}" if name in again else name)
    return found


def _block(block: Block, key: str) -> None:
    if isinstance(block, Text):
        if block.kind == "code":
            st.code(block.text, language=None, wrap_lines=True)
        else:
            SHOWN.get(block.kind, st.write)(words.plain(block.text))
    elif isinstance(block, Facts):
        _facts(block)
    elif isinstance(block, Table):
        rows = as_table(block)
        if any(isinstance(cell, Cell) and cell.note for row in block.rows for cell in row):
            best = [[isinstance(cell, Cell) and cell.kind == "best" for cell in row]
                    for row in (*block.rows, *block.foot)]  # fmt: skip
            rows = rows if len(rows) > parts.MOST_ROWS else as_text(block)
            parts.text_table(rows, block.caption, pd.DataFrame(best, rows.index, rows.columns))
        else:
            parts.table(rows, block.caption)
    elif isinstance(block, Figures):
        _figures(block, key)
    elif isinstance(block, Drawings):
        for column, (caption, svg) in zip(st.columns(2) * len(block.items), block.items, strict=False):
            column.image(svg, caption=words.plain(caption))


def _facts(block: Facts) -> None:
    if block.is_list:
        st.markdown("\n".join(f"- **{words.plain(name)}**: {words.plain(value)}" for name, value in block.items))
        return
    for start in range(0, len(block.items), TILES):
        for column, (name, value) in zip(st.columns(TILES), block.items[start : start + TILES], strict=False):
            column.metric(words.plain(name), value)


def _figures(block: Figures, key: str) -> None:
    columns = st.columns(2, gap="medium") if len(block.figures) > 1 else [st.container()]
    for number, (caption, figure) in enumerate(block.figures):
        with columns[number % len(columns)]:
            parts.figure(figure, caption, key=f"{key}-{number}")
