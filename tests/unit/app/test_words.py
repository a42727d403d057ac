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


def test_uploads_are_told_of_by_the_names_that_the_user_gave() -> None:
    def script() -> None:
        from galenic.app.uploads import stored
        from galenic.app.windows import window
        from galenic.app.words import refusals_told
        from galenic.data.read import table

        folder = window()
        folder.known["one"] = given = stored(folder.path, "my tumours.csv", b"\x00\x01")
        with refusals_told():
            table(given.path)

    page = AppTest.from_function(script, default_timeout=30).run()
    said = page.error[0].value.replace("\\", "")
    assert said.startswith("my tumours.csv should hold text")


def test_a_table_of_text_is_text_and_can_be_scrolled_by_the_keyboard() -> None:
    def script() -> None:
        import pandas as pd

        from galenic.app.parts import text_table

        rows = pd.DataFrame({"<b>model": ["<script>alert(1)</script>", "Ridge"], "n": [1.0, 2.5]})
        text_table(rows, "Scores of 'ours'", pd.DataFrame({"<b>model": [False, True], "n": [False, False]}))

    (shown,) = AppTest.from_function(script, default_timeout=30).run().get("html")
    said = shown.proto.body
    assert "<script>" not in said
    assert "<b>" not in said
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in said
    assert "<strong>Ridge</strong>" in said
    assert "tabindex='0' role='region' aria-label='Scores of &#x27;ours&#x27;'" in said
