"""Training: its fields and the learning rate."""

from __future__ import annotations

import subprocess
import sys

import pytest

from galenic.train import Training
from galenic.train.training import rate


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lr", 0.0),
        ("lr", float("nan")),
        ("lr", "0.1"),
        ("weight_decay", -1.0),
        ("batch_size", 0),
        ("batch_size", 2.5),
        ("max_epochs", True),
        ("patience", -1),
        ("min_delta", -0.1),
        ("clip", float("inf")),
        ("warmup", 1.0),
        ("schedule", "step"),
        ("optimizer", "sgd"),
        ("monitor", ""),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=rf"Training\.{field} should be .*; received .*\. Set it"):
        Training(**{field: value})


def test_plateau_needs_epochs_to_be_compared():
    with pytest.raises(ValueError, match="plateau"):
        Training(schedule="plateau", patience=0)
    with pytest.raises(ValueError, match="plateau"):
        Training(schedule="plateau", monitor="none")


def test_the_rate_rises_then_holds_or_falls():
    shares = [step / 100 for step in range(1, 101)]
    constant = [rate(Training(lr=2.0, warmup=0.1), share) for share in shares]
    assert constant[:3] == pytest.approx([0.2, 0.4, 0.6])
    assert constant[9:] == pytest.approx([2.0] * 91)
    cosine = [rate(Training(lr=2.0, warmup=0.1, schedule="cosine"), share) for share in shares]
    assert max(cosine) == pytest.approx(2.0)
    assert cosine[-1] == pytest.approx(0.02)
    assert sorted(cosine[10:], reverse=True) == cosine[10:]


def test_reading_the_hyperparameters_needs_no_torch():
    code = "import sys; from galenic.train import Training; Training(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
