"""The law as a test: Hypothesis draws edits and bytes, shrinks what breaks it, and draws the same in every run."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostile.law import outcome
from hostile.target import HEADS, Target

CASES = int(os.environ.get("GALENIC_FUZZ_CASES", "0"))
"""Cases of each reader; 0: few, as the suite takes."""
NUMBER = st.integers(0, 2**16 - 1)
EDITS = st.lists(st.tuples(NUMBER, NUMBER, NUMBER), min_size=1, max_size=5)


def keeps_the_law(target: Target, folder: Path, few: int) -> None:
    """Read what is valid, then what was spoilt and what was never valid."""
    for content in target.valid:
        assert outcome(target.read, target.written(folder, content)) == "read"
    how = settings(
        max_examples=CASES or few,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )

    @how
    @given(start=NUMBER, edits=EDITS)
    def spoilt(start: int, edits: list[tuple[int, int, int]]) -> None:
        outcome(target.read, target.case(folder, start, edits))

    @settings(how, max_examples=max(1, (CASES or few) // 5))
    @given(head=st.sampled_from(HEADS), content=st.binary(max_size=300))
    def arbitrary(head: bytes, content: bytes) -> None:
        outcome(target.read, target.written(folder, head + content))

    spoilt()
    if isinstance(target.valid[0], bytes):
        arbitrary()
