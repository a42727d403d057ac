"""A file of the shipped example, or one of the user's, with the words of the page that asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from galenic.app import parts, uploads


def example_or_upload(
    example: Path, what: str, *, about: str, hint: str, endings: Sequence[str], key: str
) -> tuple[uploads.Upload | None, bool]:
    """Ask for one file; the example first, where it is there.

    Parameters
    ----------
    example
        Where it would lie; not offered where it does not.
    what
        The file is to hold, such as "profiles".
    about
        What the example is, in a sentence.
    hint
        What rows, columns and numbers should be, in a sentence.
    endings
        Which uploads are taken.
    key
        Of the widgets.

    Returns
    -------
    file : Upload or None
        ``None`` until there is one.
    is_example : bool
        Whether it is the shipped one.
    """
    said = parts.OWN
    if example.is_file():
        said = st.radio(f"Your {what}", [parts.EXAMPLE, parts.OWN], key=f"{key}-source", horizontal=True) or said
    if said == parts.OWN:
        return uploads.uploader(f"File of {what}", endings, key=f"{key}-upload", hint=hint), False
    st.caption(f"{about} {hint}")
    st.download_button("Download the example file", example.read_bytes(), f"example_{example.name}",
                       key=f"{key}-example", icon=":material/download:", on_click="ignore")  # fmt: skip
    return parts.of_example(example), True
