"""Pieces of pages: the example or an upload, figures with their words, tables, what was kept and dropped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import streamlit as st

from galenic.app import choose, uploads, words

EXAMPLE, OWN = "Example", "My own file"
HINTS = {
    "samples": "One row a sample, one column a gene (or the other way round); gene symbols; log expression.",
    "cells": "One row a cell, one column a gene; raw counts where you have them.",
}
MOST_ROWS = 30
"""Of a table that is shown whole."""
INK = {"light": "#474c59", "dark": "#c4c8d2"}
"""Of the words in figures: Streamlit's own grey has too little contrast."""
STYLE = (
    "<style>.galenic-table {overflow-x: auto} .galenic-table table {width: 100%; border-collapse: collapse; "
    "font-size: 0.875rem} .galenic-table :is(th, td) {padding: 0.4rem 0.5rem; text-align: left; min-width: 4.2rem; "
    "border-bottom: 1px solid rgba(128, 128, 128, 0.35)} .galenic-table th {font-weight: 400; opacity: 0.8}</style>"
)
"""Of tables of text."""
BUTTONS = ("select2d", "lasso2d", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "autoScale2d")
"""Above figures, that are left out: on a phone they hide the legend."""
KEPT = {"step": "step", "kept": "kept", "dropped": "dropped", "why": "why", "examples": "examples"}


def source(
    kind: str, file: str, *, what: str, key: str, endings: Sequence[str] = uploads.MATRICES
) -> uploads.Upload | None:
    """The example file of a page, or an upload; the example can be downloaded to see what is expected.

    Parameters
    ----------
    kind
        Of the page, as in :func:`galenic.app.choose.choose`.
    file
        Of the example, in the shipped folder of that kind.
    what
        ``"samples"`` or ``"cells"``.
    key
        Of the widgets.
    endings
        Which uploads are taken.
    """
    folder = choose.demo(kind)
    example = None if folder is None or not (folder / file).is_file() else folder / file
    said = OWN
    if example is not None:
        said = st.radio(f"Your {what}", [EXAMPLE, OWN], key=f"{key}-source", horizontal=True) or EXAMPLE
    if said == EXAMPLE and example is not None:
        st.caption(f"Simulated {what}, to look around. {HINTS[what]}")
        found = of_example(example)
        st.download_button("Download the example file", example.read_bytes(), f"example_{file}", key=f"{key}-example",
                           icon=":material/download:", on_click="ignore")  # fmt: skip
        return found
    return uploads.uploader(f"File of {what}", endings, key=f"{key}-upload", hint=HINTS[what])


def of_example(path: Path) -> uploads.Upload:
    """A shipped file as if it had been uploaded."""
    return uploads.Upload(path.name, path, uploads.checksum(path))


def named(upload: uploads.Upload) -> str:
    """What a file is called in a sentence."""
    return f"what is in {upload.name}"


def judged(chosen: choose.Chosen) -> list[str]:
    """How a model scored beside its best floor, or that this is not known; before them what it was fitted on."""
    found = choose.described(chosen.folder)
    about = [" ".join(found["facts"])] if found["facts"] else []
    unknown = ["It was not judged beside floors, so how far to trust it is not known."]
    return [" ".join([*about, *(found["judged"] or unknown)])]


def figure(drawn: Any, words_for_it: str, *, key: str) -> None:
    """A figure, in the colours of the page, with a sentence that says what it shows."""
    drawn.update_layout(title=None, modebar_orientation="v")  # across it would hide the legend on a phone
    ink = INK["dark" if st.context.theme.type == "dark" else "light"]
    for update in (drawn.update_xaxes, drawn.update_yaxes):
        update(tickfont_color=ink, title_font_color=ink)
    drawn.update_annotations(font_color=ink)
    bar = {"displaylogo": False, "modeBarButtonsToRemove": list(BUTTONS)}
    st.plotly_chart(drawn, key=key, config=bar, alt=words_for_it)
    st.caption(words.plain(words_for_it))


def table(rows: pd.DataFrame, caption: str, *, height: int | Literal["auto"] = "auto") -> None:
    """A table whose columns sort on a click, numbers with as many digits as say something."""
    numbers = {name: st.column_config.NumberColumn(format=digits(rows[name], str(name)))
               for name in rows if rows[name].dtype.kind == "f"}  # fmt: skip
    st.dataframe(rows, hide_index=True, column_config=numbers, height=height, alt=caption)
    st.caption(words.plain(caption))


def digits(values: pd.Series, name: str = "") -> str:
    """How the numbers of a column are written: counts whole, shares in percent with one digit.

    Examples
    --------
    >>> digits(pd.Series([4.0, 12.0])), digits(pd.Series([0.5, 12.0])), digits(pd.Series([94.87]), "sensitive, %")
    ('%.0f', '%.2f', '%.1f')
    """
    known = values[np.isfinite(values)]
    largest = known.abs().max() if len(known) else 0.0
    if len(known) and (known == known.round()).all() and largest > 1:
        return "%.0f"
    return "%.1f" if "%" in name or largest >= 100 else "%.2f" if largest >= 10 else "%.3f"


def text_table(rows: pd.DataFrame, caption: str, best: pd.DataFrame | None = None) -> None:
    """A small table of texts that wraps, those that are ``best`` in bold; a long one as :func:`table`."""
    if len(rows) > MOST_ROWS:
        table(rows, caption)
        return
    marked = (rows.map(lambda _: False) if best is None else best).to_numpy()
    head = "".join(f"<th scope='col'>{escape(str(name))}</th>" for name in rows.columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(one, is_best)}</td>" for one, is_best in zip(row, line, strict=True)) + "</tr>"
        for row, line in zip(rows.itertuples(index=False), marked, strict=True)
    )
    # Streamlit's own cannot be scrolled by the keyboard where it is wider than the window.
    st.html(
        f"{STYLE}<div class='galenic-table' tabindex='0' role='region' aria-label='{escape(caption or 'Table')}'>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
    if caption:
        st.caption(words.plain(caption))


def _cell(value: Any, is_best: bool) -> str:
    said = escape(f"{value:,.3g}" if isinstance(value, float) else str(value))
    return f"<strong>{said}</strong>".replace("\n", "<br>") if is_best else said.replace("\n", "<br>")


def coverage(found: pd.DataFrame) -> None:
    """What reading kept and dropped, step by step."""
    if not len(found):
        return
    with st.expander("What was kept and dropped, step by step"):
        table(found[[name for name in KEPT if name in found]].fillna(""), "If much was dropped for a reason you do not "
              "expect, stop here: ids of two files may not be of one kind.")  # fmt: skip
