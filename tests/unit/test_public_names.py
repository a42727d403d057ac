"""Every public name can be had, lazily, and no name hides another."""

from __future__ import annotations

import subprocess
import sys

import pytest

import galenic


@pytest.mark.parametrize("name", galenic.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(galenic, name) is not None
    code = f"from galenic import {name}; import galenic; assert callable({name}) or galenic.{name}"
    assert name in dir(galenic)
    if name in ("evaluate", "benchmark", "KernelRidge"):
        subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_benchmark_is_the_function_whatever_was_imported_first() -> None:
    """A submodule of the same name must not take the function's place."""
    code = "import galenic; galenic.benchmark; galenic.benchmark; assert callable(galenic.benchmark), galenic.benchmark"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code]).returncode == 0


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        galenic.nonsense  # noqa: B018
