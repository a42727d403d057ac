"""Every system fits in other precisions, and ends in the usual one."""

from __future__ import annotations

import numpy as np
import pytest
from small_fits import SYSTEMS, numbers

from galenic.train.fabric import launched
from galenic.work.processes import on


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*lightning:")
@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_fit_in_another_precision(name: str, precision: str) -> None:
    pytest.importorskip("lightning", reason="lightning is in the extra [scale]")
    with on(launched(precision=precision, device="cpu")):
        fitted = SYSTEMS[name]("cpu")
    values, history = numbers(fitted)
    assert np.isfinite(values).all()
    assert np.isfinite(history).any()
    kinds = {array.dtype for array in fitted[0].arrays_.values() if array.dtype.kind == "f"}
    usual = {array.dtype for array in SYSTEMS[name]("cpu")[0].arrays_.values() if array.dtype.kind == "f"}
    assert kinds == usual
