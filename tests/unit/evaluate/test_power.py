"""What a comparison could have found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from galenic.evaluate import paired, with_power


def scores(differences: np.ndarray) -> pd.DataFrame:
    n = len(differences)
    shared = {"fold": list(range(n)), "seed": 0, "group": "all", "metric": "auroc"}
    floor = pd.DataFrame({"model": "floor", "value": 0.5, **shared})
    return pd.concat([floor, pd.DataFrame({"model": "net", "value": 0.5 + differences, **shared})])


def test_a_true_difference_of_the_detectable_size_is_found_as_often_as_said() -> None:
    rng = np.random.default_rng(0)
    # test_share near 0: the differences are independent, as the theory of power has it
    first = pd.DataFrame([paired(scores(rng.normal(0, 0.05, 40)), "net", "floor", metric="auroc", test_share=1e-9)])
    true = 0.05 / np.sqrt(40) * (2.023 + 0.851)
    assert with_power(first, 100)["detectable"].iloc[0] == pytest.approx(true, rel=0.3)
    found = [
        paired(scores(rng.normal(true, 0.05, 40)), "net", "floor", metric="auroc", test_share=1e-9)["better"]
        for _ in range(400)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.06)


def test_needed_units_grow_as_the_square_and_undefined_stays_so() -> None:
    row = {"difference": [0.02, 0.01, 0.0, np.nan], "low": [-0.03, -0.04, -0.05, np.nan]}
    table = pd.DataFrame({**row, "high": [0.07, 0.06, 0.05, np.nan], "n": [25, 25, 25, 1]})
    found = with_power(table, 100)
    assert found["needed"].iloc[1] == pytest.approx(4 * found["needed"].iloc[0], rel=0.1)
    assert found["needed"].iloc[2:].isna().all()
    assert "needed" not in table
    # A difference of the detectable size needs just the units that are there.
    middle = found["detectable"].iloc[0]
    own = table.iloc[:1].assign(difference=middle, low=middle - 0.05, high=middle + 0.05)
    assert with_power(own, 100)["needed"].iloc[0] == pytest.approx(100, abs=10)
