"""Folders of models whose checksums are right and whose content is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile.checks import keeps_the_law
from hostile.folders import FOLDERS

FEW = {"model folders": 60, "geneformer folders": 30}


@pytest.mark.parametrize("name", FEW)
def test_what_is_spoilt_is_read_or_refused_in_words(name: str, tmp_path: Path) -> None:
    keeps_the_law(FOLDERS[name](), tmp_path, FEW[name])
