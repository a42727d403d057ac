"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

REAL_DATA = Path(os.environ.get("GALENIC_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture
def rng() -> np.random.Generator:
    """A local random generator."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data that lies beside the checkout; tests that need it skip where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"real data are not at {REAL_DATA}; set GALENIC_REAL_DATA to their folder")
    return REAL_DATA


@pytest.fixture(scope="session")
def kang(shared: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Interferon-beta in five blood cell types: log2 expression ``(1556, 1267)`` and the cells' labels."""
    import anndata

    data = anndata.read_h5ad(shared / "perturb" / "kang_ifnb_pbmc.h5ad")
    return np.asarray(sparse.csr_matrix(data.X).toarray(), dtype=np.float64), data.obs.astype({"cell_type": str})


@pytest.fixture(scope="session")
def l1000_obs(shared: Path) -> pd.DataFrame:
    """Labels of the wells of three L1000 plate groups, of which two ran the same compounds on two cell lines."""
    import anndata

    return anndata.read_h5ad(shared / "perturb" / "l1000_level3_3plates.h5ad", backed="r").obs


@pytest.fixture(scope="session")
def perturb_folder(shared: Path) -> Path:
    """The folder of measured perturbation data."""
    if not (shared / "perturb").is_dir():
        pytest.skip(f"perturbation data are not in {shared}; set GALENIC_REAL_DATA to the folder that holds 'perturb'")
    return shared / "perturb"


@pytest.fixture(scope="session")
def deeppert_folder(shared: Path) -> Path:
    """The folder of published gene weights, known pairs of targets and their golden results."""
    if not (shared / "deeppert").is_dir():
        pytest.skip(f"gene weights are not in {shared}; set GALENIC_REAL_DATA to the folder that holds 'deeppert'")
    return shared / "deeppert"


Reports = Generator[None, pytest.TestReport, pytest.TestReport]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Reports:
    """With every extra installed (EXTRAS=all), a test that skips because something "is in the extra" has failed."""
    report = yield
    if report.skipped and os.environ.get("GALENIC_EXTRAS") == "all" and "is in the extra" in str(report.longrepr):
        report.outcome = "failed"
    return report
