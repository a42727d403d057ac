"""AnnData in h5ad files, in memory and on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile.checks import keeps_the_law
from hostile.hdf5 import HDF5

FEW = {"h5ad": 25, "h5ad on disk": 25, "h5ad of profiles": 20}


@pytest.mark.parametrize("name", FEW)
def test_what_is_spoilt_is_read_or_refused_in_words(name: str, tmp_path: Path) -> None:
    keeps_the_law(HDF5[name], tmp_path, FEW[name])
