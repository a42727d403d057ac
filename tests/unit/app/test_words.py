"""How the app speaks: nothing of a file becomes markup, refusals stand as they are, and nothing is stale."""

from __future__ import annotations

import re
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("streamlit", reason="streamlit is in the extra [app]")

from streamlit.testing.v1 import AppTest

from galenic.app import words
from galenic.models import find


@pytest.mark.parametrize(
    "text",
    ["![a](http://x.y/z.png)", "[a](javascript:b)", "<img src=x>", "$x^2$", ":red[no]", "**b** `c` # d", "a|b~c"],
)
def test_no_sign_of_markdown_is_left_bare(text: str) -> None:
    found = words.plain(text)
    assert not re.search(r"(?<!\\)[`*_{}\[\]()#!|~$:<>]", found)
    assert re.sub(r"\\(.)", r"\1", found) == text


def test_our_refusals_stay_and_the_rest_goes_to_a_log() -> None:
    with pytest.raises(ValueError) as ours:
        find("Rige")
    assert words.explained(ours.value) == str(ours.value)
    try:
        np.ones(3) @ np.ones(4)
    except ValueError as error:
        said = words.explained(error)
    assert said.startswith("Failed: ValueError")
    log = Path(said.rsplit(" ", 1)[1])
    assert "Traceback" in log.read_text()
    log.unlink()


def test_what_is_said_of_flags_is_left_out() -> None:
    assert words.in_pages("give a table (--cells).") == "Give a table."
    assert words.in_pages("writing needs room. Start again (on the command line: with --resume).") == (
        "Writing needs room. Start again."
    )


def counting() -> None:
    import warnings

    import streamlit as st

    from galenic.app import words

    key = st.text_input("key", "a")

    def compute(work: words.Work) -> int:
        st.session_state["times"] = st.session_state.get("times", 0) + 1
        warnings.warn(f"about {key}", UserWarning, stacklevel=1)
        warnings.warn(f"about {key}", UserWarning, stacklevel=1)
        warnings.warn("of a library", FutureWarning, stacklevel=1)
        return int(st.session_state["times"])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        value, notes = words.computed("it", "Counting", {"key": key}, compute)
    st.write(f"{value} {notes}")


def test_an_answer_is_kept_until_what_it_depends_on_changes() -> None:
    window, other = (AppTest.from_function(counting).run() for _ in range(2))
    assert window.markdown[0].value == "1 ['about a']"
    assert window.run().markdown[0].value == "1 ['about a']"
    assert window.text_input[0].set_value("b").run().markdown[0].value == "2 ['about b']"
    assert other.run().markdown[0].value == "1 ['about a']"
    assert not window.exception
    assert not other.exception


def failing() -> None:
    from galenic.app import words
    from galenic.models import find

    with words.refusals_told():
        find("![x](http://a.b)")
    with words.refusals_told(), words.working("Breaking"):
        raise KeyError("secret")


def test_errors_are_words_on_the_page_and_free_the_turn() -> None:
    page = AppTest.from_function(failing).run()
    assert not page.exception
    refused, broken = (error.value for error in page.error)
    assert "a model should be one of" in re.sub(r"\\(.)", r"\1", refused).lower()
    assert "![x]" not in refused
    assert broken.startswith("Failed\\: KeyError")
    assert "secret" not in broken
    free: list[bool] = []

    def ask() -> None:
        free.append(words.TURN.acquire(blocking=False))
        words.TURN.release()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert free == [True]


def test_progress_of_steps_inside_reaches_the_page() -> None:
    from galenic.work.bar import listened, progress_bar

    shown: list[tuple[float, str]] = []
    work = words.Work()
    work.step = lambda fraction, text="": shown.append((fraction, text))  # type: ignore[method-assign]
    with warnings.catch_warnings(), listened(work.heard), progress_bar("fits", 4) as advance:
        with progress_bar("networks", 2) as inner:
            inner()
        advance()
    assert shown == [
        (0.0, "Fits: 0 of 4"),
        (0.0, "Fits: 0 of 4 (networks: 0 of 2)"),
        (0.0, "Fits: 0 of 4 (networks: 1 of 2)"),
        (0.25, "Fits: 1 of 4"),
    ]
