"""A matrix may lie anywhere: the same numbers give the same answers, fitted on and asked about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from big_matrix_sources import LEARNED_FROM, SOURCES, SYSTEMS, System, placed

pytestmark = pytest.mark.filterwarnings("ignore:labels should not depend on the platform")
every_system = pytest.mark.parametrize("system", SYSTEMS, ids=str)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Callable[[System], Path]:
    """A folder for each set of data, so that each source is written once."""
    return lambda system: _made(tmp_path_factory.getbasetemp() / "big" / str(id(system.data())))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@every_system
@pytest.mark.parametrize("source", SOURCES)
def test_what_is_asked_about_may_lie_anywhere(system: System, source: str, place: Callable[[System], Path]) -> None:
    with placed(system.data(), source, place(system)) as adata:
        answer = system.ask(system.fitted(), adata)
    np.testing.assert_allclose(answer, system.expected(), rtol=0, atol=system.tolerance)


@every_system
@pytest.mark.parametrize("source", LEARNED_FROM)
def test_what_is_learned_from_may_lie_anywhere(system: System, source: str, place: Callable[[System], Path]) -> None:
    with placed(system.data(), source, place(system)) as adata:
        answer = system.ask(system.fit(adata), system.data())
    np.testing.assert_allclose(answer, system.expected(), rtol=0, atol=system.tolerance)
