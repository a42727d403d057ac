"""How the app speaks: refusals in three parts, progress, and what was computed once is not computed again."""

from __future__ import annotations

import re
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st

from galenic.app.windows import window
from galenic.work.bar import listened
from galenic.work.contents import contents
from galenic.work.ends import why

T = TypeVar("T")
TURN = threading.RLock()
"""Whoever computes holds it: warnings belong to a process, and two fits at once would share its memory and cores."""
BETWEEN = 0.2
"""Seconds between two pictures of a bar."""
MARKS = re.compile(r"([\\`*_{}\[\]()#+!|~$:<>&^=-])")


@dataclass
class Work:
    """A piece of work under way.

    Attributes
    ----------
    notes
        What it warned of, each once.
    """

    notes: list[str] = field(default_factory=list)
    _bar: Any = None
    _outer: str = ""
    _done: tuple[float, str] = (0.0, "")
    _shown: float = 0.0

    def step(self, fraction: float, text: str = "") -> None:
        """Show how much is done, 0 to 1. Where the user has clicked elsewhere, the work ends here."""
        if self._bar is not None and (fraction >= 1 or time.monotonic() - self._shown > BETWEEN):
            self._shown = time.monotonic()
            self._bar.progress(min(max(fraction, 0.0), 1.0), plain(text))

    def heard(self, what: str, done: float, total: float | None) -> None:
        """What steps inside the work tell: the first of them fills the bar, and those inside it are told beside."""
        self._outer = self._outer or what
        said = f"{what}: {done:,.0f}" + (f" of {total:,.0f}" if total else "")
        if what == self._outer:
            self._done = (done / total if total else 0.0, said.capitalize())
            self.step(*self._done)
        else:
            self.step(self._done[0], f"{self._done[1]} ({said})")


def plain(text: object) -> str:
    r"""Text as it is, where Streamlit reads Markdown: names in files must not become links, pictures or formulas.

    Examples
    --------
    >>> plain("![x](http://a.b)")
    '\\!\\[x\\]\\(http\\://a.b\\)'
    """
    return MARKS.sub(r"\\\1", str(text)).replace("\n", "  \n")


def in_pages(text: object) -> str:
    """What the library and the command line say, as a sentence without the flags that only the latter has.

    Examples
    --------
    >>> in_pages("Give a table of cells with a tissue column (--cells).")
    'Give a table of cells with a tissue column.'
    """
    said = re.sub(r"; which [^.;]* is said with \w+=", "", str(text))
    said = re.sub(r" \((?:on the command line: )?(?:with )?--[\w-]+\)", "", said)
    is_word = re.match(r"[a-z]+ ", said) is not None
    return said[:1].upper() + said[1:] if is_word else said


@contextmanager
def refusals_told() -> Iterator[None]:
    """Show on the page why its block ended, in words; what is ours to mend goes to a log."""
    try:
        yield
    except Exception as error:
        st.error(plain(as_uploaded(in_pages(explained(error)))), icon=":material/error:")


def as_uploaded(text: str) -> str:
    """Uploads by the names that the user gave them, where the library tells of the files that they lie in."""
    for one in window().known.values():
        text = text.replace(str(one.path), one.name).replace(one.path.name, one.name)
    return text


def explained(error: Exception) -> str:
    """Why it ended: our own refusals as they are; for what broke, where the details lie."""
    kind, said = why(error)
    if kind != "failed":
        return said
    with tempfile.NamedTemporaryFile("w", prefix="galenic-app-", suffix=".log", delete=False, encoding="utf-8") as log:
        traceback.print_exception(error, file=log)
    return f"Failed: {type(error).__name__}. The fault is ours; details are in {log.name}"


@contextmanager
def working(what: str) -> Iterator[Work]:
    """Show what is being done, and for how long; one window computes at a time.

    Parameters
    ----------
    what
        Such as "Scoring 1,200 cells".

    Yields
    ------
    Work
        ``step(fraction, text)`` fills a bar; ``notes`` are its warnings once the block has ended.
    """
    place = st.empty()
    try:
        _take_turn(place)
        try:
            with place.container(), st.spinner(plain(what), show_time=True):
                work = Work(_bar=st.empty())
                with warnings.catch_warnings(record=True) as caught, listened(work.heard):
                    warnings.simplefilter("always", UserWarning)
                    yield work
                said = (str(one.message) for one in caught if one.category is UserWarning)
                work.notes += [one for one in dict.fromkeys(said) if one not in work.notes]
        finally:
            TURN.release()
    finally:
        place.empty()


def computed(name: str, what: str, key: object, compute: Callable[[Work], T]) -> tuple[T, list[str]]:
    """What ``compute`` gives and warns of; the last of each ``name`` is kept for this browser window.

    Parameters
    ----------
    name
        What is kept: one answer a name, so that a window holds one set of results and not its history.
    what
        Said while it is computed.
    key
        All that the answer depends on; another content of it, another answer.
    compute
        Is given a :class:`Work`.
    """
    shelf = window().shelf
    checksum = contents(key)
    if name not in shelf or shelf[name][0] != checksum:
        shelf.pop(name, None)
        with working(what) as work:
            value = compute(work)
        shelf[name] = (checksum, value, work.notes)
    _, value, notes = shelf[name]
    return value, notes


def show_notes(notes: list[str], title: str = "Before you rely on this") -> None:
    """Warnings of a piece of work, in one box."""
    if notes:
        lines = "\n".join(f"- {plain(as_uploaded(in_pages(one)))}" for one in notes)
        st.warning(f"**{title}**\n\n{lines}", icon=":material/warning:")


def download(label: str, table: Any, file: str, *, key: str | None = None) -> None:
    """A button that saves a table as CSV."""
    st.download_button(label, table.to_csv(index=False).encode("utf-8"), Path(file).name, "text/csv", key=key,
                       icon=":material/download:", on_click="ignore")  # fmt: skip


def _take_turn(place: Any) -> None:
    if TURN.acquire(blocking=False):
        return
    with place.container(), st.spinner("Waiting: another window of this app is computing", show_time=True):
        bar = st.empty()
        while not TURN.acquire(timeout=0.5):
            bar.text("")  # a call of Streamlit: here the wait ends where the user has clicked elsewhere
