"""Folders that galenic writes: stores, indexes, references, runs, data, checkpoints, chunks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile.checks import keeps_the_law
from hostile.folders import FOLDERS

FEW = {
    "profile stores": 40,
    "search indexes": 40,
    "references": 20,
    "run folders": 30,
    "data folders": 20,
    "checkpoints": 40,
    "chunks": 60,
    "kept jobs": 60,
}


@pytest.mark.parametrize("name", FEW)
def test_what_is_spoilt_is_read_or_refused_in_words(name: str, tmp_path: Path) -> None:
    keeps_the_law(FOLDERS[name](), tmp_path, FEW[name])
