"""A checkpoint is taken as it was written or refused in words; a number that is not finite leaves the last good one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from galenic.train import Batches, Training, Where, checkpoint, seeded, train
from galenic.work.atomic import NoRoomError
from galenic.work.kept import Kept

SETTINGS = {"seed": 3, "training": {"lr": 0.1}}
X = torch.linspace(-1, 1, 64).reshape(32, 2)
BRIEF = Training(lr=0.01, batch_size=16, max_epochs=6, patience=0, monitor="none")


def content() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    return {"settings": SETTINGS, "epoch": 3, "net": {"weight": torch.randn(8, 8, generator=generator)}}


def same(found: dict[str, Any]) -> bool:
    whole = content()
    return (
        found["settings"] == SETTINGS
        and found["epoch"] == 3
        and found["net"].keys() == whole["net"].keys()
        and torch.equal(found["net"]["weight"], whole["net"]["weight"])
    )


def test_a_changed_byte_anywhere_is_noticed(tmp_path: Path) -> None:
    """``torch.load`` alone takes a changed weight as it is; bytes that say nothing (padding) may be any."""
    path = tmp_path / "a.pt"
    checkpoint.write(path, content())
    whole, refused = path.read_bytes(), 0
    for place in range(0, len(whole), 5):
        changed = bytearray(whole)
        changed[place] ^= 0x41
        path.write_bytes(changed)
        try:
            found = checkpoint.read(path, SETTINGS)
            assert found is not None
            assert same(found), place
        except ValueError as error:
            assert "a.pt cannot be read" in str(error)  # noqa: PT017
            refused += 1
        assert path.read_bytes() == changed
    assert refused > len(whole) / 5 / 4


def test_weights_that_changed_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    checkpoint.write(path, content())
    whole = path.read_bytes()
    at = whole.index(content()["net"]["weight"].numpy().tobytes())
    path.write_bytes(whole[: at + 40] + bytes([whole[at + 40] ^ 1]) + whole[at + 41 :])
    assert not same(torch.load(path, weights_only=True))
    with pytest.raises(ValueError, match=r"a\.pt cannot be read .*is not what was written.*Delete it to start again"):
        checkpoint.read(path, SETTINGS)


def test_what_is_cut_off_empty_or_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    checkpoint.write(path, content())
    whole = path.read_bytes()
    for damaged in (b"", b"text", whole[:-1], whole[: len(whole) // 2], whole[1:], whole[:30]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a checkpoint should be .*cannot be read .*\. Delete it"):
            checkpoint.read(path, SETTINGS)
        assert path.read_bytes() == damaged
    checkpoint.write(path, content())
    with pytest.raises(ValueError, match=r"from the same run; .* seed was 3, now 4\. Use the former"):
        checkpoint.read(path, SETTINGS | {"seed": 4})


def test_a_full_disk_leaves_the_former_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pt"
    checkpoint.write(path, content())

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoRoomError, match=r"writing a\.pt needs room; the disk of .* is full"):
        checkpoint.write(path, content() | {"epoch": 9})
    found = checkpoint.read(path, SETTINGS)
    assert found is not None
    assert same(found)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("at", [0.0, 0.5])
def test_a_number_that_is_not_finite_leaves_the_last_good_state_and_says_where(tmp_path: Path, at: float) -> None:
    path = tmp_path / "run.pt"

    def step(net: nn.Module, batch: Any, progress: float) -> dict[str, torch.Tensor]:
        error = net(batch["x"]).square().mean()
        return {"error": error * (float("nan") if progress >= at else 1.0)}

    with seeded(0):
        net = nn.Linear(2, 1)
    with pytest.raises(FloatingPointError) as caught:
        train(net, Batches(X, batch_size=16), step, BRIEF, device="cpu", checkpoint=path)
    assert "lr" in str(caught.value)
    assert (f"The last good state is kept in {path}." in str(caught.value)) == path.exists() == bool(at)
    if at:
        kept = torch.load(path, weights_only=True)
        assert kept["epoch"] >= 1
        assert all(bool(tensor.isfinite().all()) for tensor in kept["net"].values())


def test_stages_of_a_job_are_not_done_again_and_leave_with_it(tmp_path: Path) -> None:
    kept, steps = Kept(tmp_path / "kept", {}), []

    def step(net: nn.Module, batch: Any, progress: float) -> dict[str, torch.Tensor]:
        steps.append(progress)
        return {"error": (net(batch["x"]) - 1).square().mean()}

    def run(where: Where) -> torch.Tensor:
        with seeded(0):
            net = nn.Linear(2, 1)
        for name in ("first", "second"):
            where.train(name, net, Batches(X, batch_size=16), step, BRIEF, seed=1)
        return net.weight.detach().clone()

    here = Where(device="cpu")
    whole, n = run(here), len(steps)
    assert not (tmp_path / "kept" / "job").exists()
    assert torch.equal(run(here.of(kept, "job")), whole)
    assert {file.name for file in kept.room("job").iterdir()} == {"first.pt", "second.pt"}
    assert torch.equal(run(here.of(kept, "job")), whole)
    assert len(steps) == 2 * n
    kept.write("job", whole.numpy())
    assert not kept.room("job").exists()
    # A worker that does not see the folder keeps nothing.
    (tmp_path / "kept").rename(tmp_path / "elsewhere")
    assert torch.equal(run(here.of(kept, "job")), whole)
    assert not (tmp_path / "kept").exists()
