"""Devices, and random numbers that stay local."""

from __future__ import annotations

import pytest
import torch

from galenic.train import pick, seeded
from galenic.train.devices import Local, to_device


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "xpu", "cpu:1:2"])
def test_a_device_that_is_not_here_is_refused(name):
    with pytest.raises(ValueError, match=r"one that is here .*cpu.*; received"):
        pick(name)


def test_a_device_is_picked():
    assert pick("cpu") == torch.device("cpu")
    assert pick(torch.device("cpu")) == torch.device("cpu")
    assert pick().type == ("cuda" if torch.cuda.is_available() else pick().type)


def test_the_callers_random_state_comes_back_also_after_an_error():
    before = torch.get_rng_state()
    with seeded(3):
        first = torch.rand(3)
    with pytest.raises(RuntimeError), seeded(3):  # noqa: PT012
        assert (torch.rand(3) == first).all()
        raise RuntimeError
    with seeded(4):
        assert (torch.rand(3) != first).all()
    assert (torch.get_rng_state() == before).all()


def test_batches_of_any_nesting_move():
    batch = {"cells": {"x": torch.zeros(2)}, "both": [torch.zeros(1), (torch.ones(1), "name")]}
    moved = to_device(batch, torch.device("meta"))
    assert moved["cells"]["x"].is_meta
    assert moved["both"][1][0].is_meta
    assert moved["both"][1][1] == "name"
    assert not batch["cells"]["x"].is_meta


def test_local_has_the_verbs_of_fabric():
    fabric = pytest.importorskip("lightning", reason="lightning is in the extra [scale]").Fabric
    assert [name for name in dir(Local) if not name.startswith("_") and not hasattr(fabric, name)] == []
