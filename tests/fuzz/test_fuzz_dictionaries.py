"""Dictionaries, weights and pickles that others wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile.checks import keeps_the_law
from hostile.texts import TEXTS

FEW = {"dictionaries": 100, "weights": 60, "pickles": 150}


@pytest.mark.parametrize("name", FEW)
def test_what_is_spoilt_is_read_or_refused_in_words(name: str, tmp_path: Path) -> None:
    keeps_the_law(TEXTS[name], tmp_path, FEW[name])
