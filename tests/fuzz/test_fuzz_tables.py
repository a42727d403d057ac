"""Tables of every kind: text, compressed text, Parquet, spreadsheets, and what is made of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile.checks import keeps_the_law
from hostile.texts import TEXTS

FEW = {
    "tables": 60,
    "spreadsheets": 30,
    "matrices": 60,
    "responses": 30,
    "drug tables": 15,
    "cells to predict": 20,
    "gene lists": 30,
    "splits": 60,
    "gene weights": 30,
    "gene sets": 100,
    "profile tables": 30,
}


@pytest.mark.parametrize("name", FEW)
def test_what_is_spoilt_is_read_or_refused_in_words(name: str, tmp_path: Path) -> None:
    keeps_the_law(TEXTS[name], tmp_path, FEW[name])
