"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

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


Reports = Generator[None, pytest.TestReport, pytest.TestReport]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Reports:
    """With every extra installed (EXTRAS=all), a test that skips because something "is in the extra" has failed."""
    report = yield
    if report.skipped and os.environ.get("GALENIC_EXTRAS") == "all" and "is in the extra" in str(report.longrepr):
        report.outcome = "failed"
    return report
