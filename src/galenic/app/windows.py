"""What belongs to one browser window: its uploads and results, gone soon after the window is closed."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.runtime import Runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

KEY = "galenic: window"
GONE = 180.0
"""Seconds after which a closed window cannot come back: Streamlit holds its state for two minutes."""
BETWEEN = 30.0
_OPEN: dict[str, Window] = {}
_LOCK = threading.Lock()


class Window:
    """A temporary folder of its own, what was uploaded to it, and the last result of each kind.

    Attributes
    ----------
    path
        The folder.
    known
        Uploads by the id that Streamlit gave them.
    shelf
        Results by name: checksum of what they depend on, value, warnings.
    seen
        When the window was last known to be open.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="galenic-app-"))
        self.known: dict[str, Any] = {}
        self.shelf: dict[str, tuple[str, Any, list[str]]] = {}
        self.seen = time.monotonic()
        self._delete = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def close(self) -> None:
        """Delete the folder, and let go of everything."""
        self._delete()
        self.known.clear()
        self.shelf.clear()


def window() -> Window:
    """The one that the page is drawn in; Streamlit keeps a closed one's state for long, so it is watched."""
    found: Window | None = st.session_state.get(KEY)
    if found is None or not found.path.is_dir():
        found = st.session_state[KEY] = Window()
        context = get_script_run_ctx(suppress_warning=True)
        if context is not None and Runtime.exists():
            with _LOCK:
                is_first = not _OPEN
                _OPEN[context.session_id] = found
            if is_first:
                threading.Thread(target=_watch, daemon=True, name="galenic-windows").start()
    return found


def sweep(windows: dict[str, Window], is_open: Callable[[str], bool], now: float) -> None:
    """Close the windows that have not been open for ``GONE`` seconds."""
    for name, one in list(windows.items()):
        if is_open(name):
            one.seen = now
        elif now - one.seen > GONE:
            one.close()
            del windows[name]


def _watch() -> None:
    while True:
        time.sleep(BETWEEN)
        with _LOCK:
            sweep(_OPEN, _is_open, time.monotonic())
            if not _OPEN:
                return


def _is_open(name: str) -> bool:
    """Whether a window is; none is where Streamlit has ended in a process that goes on."""
    return Runtime.exists() and Runtime.instance().is_active_session(name)
