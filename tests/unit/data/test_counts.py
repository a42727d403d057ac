"""Raw counts are told from logs however shallow they are, and nothing else is taken for counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from galenic.data.condition_means import FEWEST, Seen


def are_counts(X: np.ndarray) -> bool:
    """The verdict, which must not depend on the form of the matrix nor on the size of blocks."""
    verdicts = []
    for form, size in ((np.asarray, len(X)), (sparse.csr_matrix, len(X)), (np.asarray, 7)):
        seen = Seen()
        for start in range(0, len(X), size):
            part = X[start : start + size]
            seen.add(form(part), pd.Index([str(row) for row in range(len(part))]))
        verdicts.append(seen.are_counts)
    assert len(set(verdicts)) == 1
    return verdicts[0]


@pytest.mark.parametrize("depth", [0.3, 1.0, 8.0, 300.0])
def test_counts_of_any_depth_are_refused_and_their_logs_are_not(depth: float, rng: np.random.Generator) -> None:
    X = rng.poisson(depth, (60, 40)).astype(np.float32)
    assert are_counts(X)
    totals = X.sum(axis=1, keepdims=True)
    assert not are_counts(np.log1p(X / np.maximum(totals, 1) * 1e4))


def test_noughts_and_ones_rounded_scores_and_tiny_tables_are_no_counts(rng: np.random.Generator) -> None:
    assert not are_counts(rng.integers(0, 2, (60, 40)).astype(np.float32))
    assert not are_counts(rng.choice([0.0, 1.0, 2.0], (60, 40)))
    assert not are_counts(np.rint(rng.normal(size=(60, 40)) * 2))
    few = np.zeros((60, 40))
    few.flat[: FEWEST - 1] = rng.integers(1, 6, FEWEST - 1)
    assert not are_counts(few)
    few.flat[FEWEST - 1] = 3
    assert are_counts(few)


def test_one_fraction_makes_no_counts(rng: np.random.Generator) -> None:
    X = rng.poisson(1.0, (60, 40)).astype(np.float64)
    X[-1, -1] = 0.5
    assert not are_counts(X)
