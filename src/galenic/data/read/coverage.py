"""The rows of a coverage report: what a step of reading kept and dropped, and why."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, TypeAlias

import pandas as pd

from galenic.data.checks import first
from galenic.data.response import COVERAGE_COLUMNS, empty_coverage

Step: TypeAlias = Mapping[Hashable, Any]


def step(name: str, kept: int, dropped: int, why: str, examples: Iterable[object] = ()) -> Step:
    """One row of a coverage report."""
    return {"step": name, "kept": int(kept), "dropped": int(dropped), "why": why, "examples": first(examples)}


def coverage_table(steps: list[Step]) -> pd.DataFrame:
    """The report, columns ``step, kept, dropped, why, examples``."""
    return pd.DataFrame(steps, columns=list(COVERAGE_COLUMNS)) if steps else empty_coverage()
