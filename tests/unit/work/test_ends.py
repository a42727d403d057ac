"""Errors are sorted once, for the command line and for the app: refused, no room, or broken."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import galenic
from galenic.data.checks import first
from galenic.data.simulate import screen
from galenic.models import find
from galenic.work.atomic import NoRoomError
from galenic.work.ends import why


def of_jobs(error: Exception) -> None:
    try:
        raise error
    except Exception as first:
        raise RuntimeError("a job failed") from first


def read_only() -> None:
    raise OSError(errno.EROFS, "Read-only file system", "results")


def no_room() -> None:
    raise NoRoomError("writing x needs room; the disk is full. Free some space.")


def refusal() -> ValueError:
    with pytest.raises(ValueError) as caught:
        find("Rige")
    return caught.value


def explain_no_genes() -> None:
    data = screen(8, 3, 20)[0]
    galenic.MeanEffects().fit(data).importance(data)


CASES = {
    "our refusal": (lambda: find("Rige"), "refused", "a model should be one of"),
    "our refusal without a semicolon": (explain_no_genes, "refused", "reads no genes, so there is nothing to explain"),
    "our refusal in a job": (lambda: of_jobs(refusal()), "refused", "a model should be one of"),
    "a place that may not be written": (read_only, "refused", "results may not be (Read-only file system). Choose"),
    "no permission in a job": (lambda: of_jobs(PermissionError(13, "no", "p")), "refused", "p may not be (no)"),
    "an absent file": (lambda: pd.read_csv("absent.csv"), "refused", "a file that can be read is expected;"),
    "a full disk": (no_room, "full", "writing x needs room"),
    "a full disk, of the system": (lambda: of_jobs(OSError(errno.ENOSPC, "full")), "full", "Free some space"),
    "a library": (lambda: np.ones(3) @ np.ones(4), "failed", "ValueError: matmul"),
    "C, called by our code": (lambda: first(3), "failed", "TypeError: 'int' object is not iterable"),
    "a job that broke": (lambda: of_jobs(KeyError("x")), "failed", "RuntimeError: a job failed"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_error_is_sorted_and_said(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, kind, said = CASES[case]
    monkeypatch.chdir(tmp_path)
    assert_ends(work, kind, said)


def assert_ends(work: Callable[[], object], kind: str, said: str) -> None:
    with pytest.raises(Exception) as caught:
        work()
    found = why(caught.value)
    assert found[0] == kind
    assert said in found[1]
    if kind == "refused" and "no genes" not in said:
        assert ";" in found[1]
        assert found[1].endswith((".", "?"))
