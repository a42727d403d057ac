"""Pieces of pages: the example or an upload, figures with their words, tables, what was kept and dropped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

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
    drawn.update_layout(title=None)
    bar = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d"]}
    st.plotly_chart(drawn, key=key, config=bar, alt=words_for_it)
    st.caption(words.plain(words_for_it))


def table(rows: pd.DataFrame, caption: str, *, height: int | Literal["auto"] = "auto") -> None:
    """A table whose columns sort on a click, numbers to three digits."""
    numbers = {name: st.column_config.NumberColumn(format="%.3f")
               for name in rows if rows[name].dtype.kind == "f"}  # fmt: skip
    st.dataframe(rows, hide_index=True, column_config=numbers, height=height, alt=caption)
    st.caption(words.plain(caption))


def text_table(rows: pd.DataFrame, caption: str, best: pd.DataFrame | None = None) -> None:
    """A small table of texts that wraps, those that are ``best`` in bold; a long one as :func:`table`."""
    if len(rows) > MOST_ROWS:
        table(rows, caption)
        return
    shown = rows.map(lambda one: words.plain(f"{one:,.3g}" if isinstance(one, float) else one))
    if best is not None:
        shown = shown.where(~best, "**" + shown + "**")
    shown.columns = pd.Index([words.plain(name) for name in rows.columns])
    st.table(shown, hide_index=True, border="horizontal", alt=caption or None)
    if caption:
        st.caption(words.plain(caption))


def coverage(found: pd.DataFrame) -> None:
    """What reading kept and dropped, step by step."""
    if not len(found):
        return
    with st.expander("What was kept and dropped, step by step"):
        table(found[[name for name in KEPT if name in found]].fillna(""), "If much was dropped for a reason you do not "
              "expect, stop here: ids of two files may not be of one kind.")  # fmt: skip
