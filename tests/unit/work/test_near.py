"""Nearest names: laws, and a slow twin."""

from __future__ import annotations

from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galenic.work.near import did_you_mean, nearest, nearest_name

names = st.text(alphabet="abcdeABCDE-_ 12", min_size=1, max_size=8)
known_names = st.lists(names, min_size=1, max_size=12, unique=True)


def plain(name: str) -> str:
    return name.strip().casefold().replace("_", "-").replace(" ", "-")


@given(names, known_names)
def test_the_nearest_is_one_of_the_known_and_the_name_itself_comes_first(name: str, known: list[str]) -> None:
    found = nearest(name, known, n=5)
    assert set(found) <= set(known)
    assert len(found) == len(set(found)) <= 5
    asked = known[0]
    if plain(asked):
        assert plain(nearest(asked, known, n=1)[0]) == plain(asked)


@given(names, known_names)
def test_case_and_joints_do_not_matter(name: str, known: list[str]) -> None:
    assert nearest(name.swapcase(), known) == nearest(name, known)
    assert nearest(name.replace("_", "-"), known) == nearest(name, known)


@given(names, known_names)
def test_what_is_near_is_begun_or_alike(name: str, known: list[str]) -> None:
    asked = plain(name)
    for one in nearest(name, known, n=20):
        alike = SequenceMatcher(None, plain(one), asked).ratio() >= 0.6
        assert alike or plain(one).startswith(asked)
    if asked:
        best = max(SequenceMatcher(None, plain(one), asked).ratio() for one in known)
        assert bool(nearest(name, known)) == (
            best >= 0.6 or any(plain(one).startswith(asked) for one in known if len(asked) > 1)
        )


@pytest.mark.parametrize(("name", "known", "said"), [("mcf-7", ["MCF7", "A549"], "MCF7"), ("x" * 9, ["MCF7"], "")])
def test_it_is_said_as_a_question_or_not_at_all(name: str, known: list[str], said: str) -> None:
    assert did_you_mean(name, known, "no") == (f"Did you mean '{said}'?" if said else "no")
    assert nearest_name(name, known) == (f"; did you mean '{said}'?" if said else ".")
