"""The laws of the training loop."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from galenic.train import Batches, Training, seeded, train, unreached

TERMS = ("error", "size")


def build(seed=0, dropout=0.2, **more):
    with seeded(seed):
        return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(dropout), nn.Linear(12, 1))


def step(net, batch, progress):
    out = net(batch["x"])[:, 0]
    return {"error": (out - batch["y"]).square().mean(), "size": 1e-3 * out.square().mean()}


@pytest.fixture
def data(rng):
    x = rng.normal(size=(120, 6)).astype("float32")
    return {"x": x, "y": (x @ rng.normal(size=6) + 0.1 * rng.normal(size=120)).astype("float32")}


@pytest.fixture
def fit(data):
    """Train a small network and give it with its history; keywords change one thing."""

    def run(net=None, step=step, seed=0, with_valid=True, **more):
        where = {name: more.pop(name) for name in ("fabric", "checkpoint", "keep", "progress") if name in more}
        training = Training(**{"lr": 0.01, "batch_size": 16, "max_epochs": 6, "patience": 0, **more})
        net = build() if net is None else net
        batches = Batches(data, rows=np.arange(90), batch_size=training.batch_size)
        valid = Batches(data, rows=np.arange(90, 120), batch_size=7, shuffle=False) if with_valid else None
        history = train(net, batches, step, training, valid=valid, seed=seed, device="cpu", **where)
        return net, history

    return run


@pytest.fixture
def every_epoch(monkeypatch):
    """Checkpoints are written after each epoch, however long that takes."""
    monkeypatch.setattr("galenic.train.checkpoint.SHARE", 1.0)


def weights(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def equal(first, second):
    first, second = (weights(net) if isinstance(net, nn.Module) else net for net in (first, second))
    return all(torch.equal(first[name], second[name]) for name in first)


def score(net, data, rows=slice(90, 120)):
    with torch.no_grad():
        return sum(step(net, {name: torch.tensor(value[rows]) for name, value in data.items()}, 1.0).values()).item()


def test_a_planted_linear_truth_is_learned(fit, data):
    net, history = fit(build(dropout=0.0), max_epochs=100, lr=0.02)
    truth = torch.tensor(data["y"][90:])
    with torch.no_grad():
        residual = net(torch.tensor(data["x"][90:]))[:, 0] - truth
    assert 1 - residual.square().sum() / (truth - truth.mean()).square().sum() > 0.9
    assert history["train_total"].iloc[-1] < history["train_total"].iloc[0]


def test_shuffled_truth_is_not_learned(fit, data, rng):
    data["y"] = rng.permutation(data["y"])
    net, _ = fit(max_epochs=20)
    assert score(net, data) > 0.8 * data["y"][90:].var()


def test_the_history_has_a_row_an_epoch_and_its_terms_sum_to_the_total(fit):
    _, history = fit()
    parts = [f"{part}_{name}" for part in ("train", "valid") for name in ("total", *TERMS)]
    assert list(history.columns) == ["epoch", "seconds", "lr", *parts, "best"]
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    for part in ("train", "valid"):
        together = sum(history[f"{part}_{name}"] for name in TERMS)
        assert together.to_numpy() == pytest.approx(history[f"{part}_total"].to_numpy())


def test_the_best_weights_and_buffers_come_back_whatever_the_batches(fit, data):
    net, history = fit(lr=0.1, max_epochs=30)
    best = history.loc[history["best"]]
    assert len(best) == 1
    assert best["valid_total"].item() == history["valid_total"].min()
    assert not history["best"].iloc[-1]  # otherwise nothing had to be restored
    assert score(net, data) == pytest.approx(best["valid_total"].item(), rel=1e-5)
    assert not net.training


def test_training_stops_after_patience_without_improvement(fit):
    _, history = fit(lr=0.1, max_epochs=200, patience=4)
    assert len(history) < 200
    assert history["epoch"].max() - history.loc[history["best"], "epoch"].item() == 4


def test_too_small_an_improvement_is_none(fit):
    _, history = fit(min_delta=1e6, patience=3)
    assert history["best"].tolist() == [True, False, False, False]


def test_without_validation_the_training_total_decides(fit):
    net, history = fit(with_valid=False, lr=0.1, max_epochs=10)
    assert not net.training
    assert history.loc[history["best"], "train_total"].item() == history["train_total"].min()
    assert not any(name.startswith("valid") for name in history)


def test_a_term_can_be_monitored(fit):
    _, history = fit(lr=0.1, max_epochs=10, monitor="size")
    assert history.loc[history["best"], "valid_size"].item() == history["valid_size"].min()
    with pytest.raises(ValueError, match=r"one of 'total', 'error', 'size' or 'none'; received 'kl'"):
        fit(monitor="kl")


def test_monitor_none_keeps_the_last_epoch(fit, data):
    net, history = fit(lr=0.1, max_epochs=10, monitor="none", patience=1)
    assert history["best"].tolist() == [False] * 9 + [True]
    assert score(net, data) == pytest.approx(history["valid_total"].iloc[-1], rel=1e-5)


def test_a_term_of_weight_0_is_absent(fit):
    def longer(net, batch, progress):
        return {**step(net, batch, progress), "nothing": 0.0 * net(batch["x"]).abs().sum()}

    def once(net, batch, progress):  # the same two passes, so that dropout draws the same numbers
        net(batch["x"])
        return step(net, batch, progress)

    assert equal(fit(step=longer, net=build(dropout=0.0))[0], fit(step=once, net=build(dropout=0.0))[0])


def test_same_seed_equal_other_seed_not(fit):
    first, history = fit(seed=1)
    second, again = fit(seed=1)
    other, _ = fit(seed=2)
    assert equal(first, second)
    assert history.drop(columns="seconds").equals(again.drop(columns="seconds"))
    assert not equal(first, other)


def state_of_the_caller():
    _, keys, *rest = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), keys.tolist(), rest, random.getstate()


def test_the_callers_random_state_is_left_alone_and_does_not_matter(fit):
    net = fit()[0]
    torch.rand(5)
    before = state_of_the_caller()
    assert equal(net, fit()[0])
    assert state_of_the_caller() == before

    def broken(net, batch, progress):
        torch.rand(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(step=broken)
    assert state_of_the_caller() == before


def test_inputs_are_unchanged(fit, data):
    before = {name: value.copy() for name, value in data.items()}
    fit()
    assert all((data[name] == before[name]).all() for name in data)


def test_frozen_weights_are_bit_identical(fit):
    net = build()
    net[0].requires_grad_(False)
    before = weights(net)
    fit(net, weight_decay=0.1)
    changed = {name for name, tensor in weights(net).items() if not torch.equal(tensor, before[name])}
    assert not changed & {"0.weight", "0.bias"}
    assert {"1.weight", "4.weight", "1.running_mean"} <= changed


def test_a_network_may_keep_a_part_in_evaluation_mode(fit):
    class Kept(nn.Module):
        def __init__(self):
            super().__init__()
            self.rest = build()

        def forward(self, x):
            return self.rest(x)

        def train(self, mode=True):
            super().train(mode)
            self.rest[1].eval()
            return self

    net = Kept()
    before = net.rest[1].running_mean.clone()
    fit(net)
    assert torch.equal(net.rest[1].running_mean, before)


def test_steps_are_in_training_mode_and_validation_is_not(fit):
    modes = []

    def watch(net, batch, progress):
        modes.append((net.training, torch.is_grad_enabled(), progress == 1))
        return step(net, batch, progress)

    fit(step=watch, max_epochs=1)
    assert modes == [(True, True, False)] * 6 + [(False, False, True)] * 5


def test_progress_rises_evenly_from_0_to_1(fit):
    came = []

    def watch(net, batch, progress):
        came.append(progress)
        return step(net, batch, progress)

    fit(step=watch, with_valid=False, max_epochs=4)
    assert came == pytest.approx([done / 24 for done in range(24)])


def test_validation_draws_the_same_random_numbers_each_epoch(fit):
    drawn = []

    def noisy(net, batch, progress):
        drawn.append(None if net.training else torch.rand(1).item())
        return step(net, batch, progress)

    fit(step=noisy, max_epochs=2)
    drawn = [value for value in drawn if value is not None]
    assert drawn[:5] == drawn[5:]
    assert len(set(drawn)) == 5


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"schedule": "cosine"}, lambda lr: (np.diff(lr) < 0).all() and lr[-1] == pytest.approx(1e-4)),
        ({"warmup": 0.5}, lambda lr: lr[:3] == pytest.approx([0.01 / 3, 0.02 / 3, 0.01]) and lr[5] == 0.01),
        ({"schedule": "plateau", "patience": 2, "min_delta": 1e6}, lambda lr: lr == pytest.approx([0.01, 0.01, 0.001])),
    ],
)
def test_the_learning_rate_follows_its_schedule(fit, more, expected):
    assert expected(fit(**more)[1]["lr"].to_numpy())


def test_clipping_bounds_what_a_step_changes(fit):
    def steep(net, batch, progress):
        return {"error": 1e6 * step(net, batch, progress)["error"]}

    norms = []

    def spy(optimizer, *args, **more):
        slopes = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norms.append(torch.cat([slope.flatten() for slope in slopes]).norm().item())

    handle = register_optimizer_step_pre_hook(spy)
    try:
        fit(step=steep, clip=0.5, max_epochs=1)
    finally:
        handle.remove()
    assert norms == pytest.approx([0.5] * 6, rel=1e-3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_named(fit, data, bad):
    data["x"][37] = bad
    with pytest.raises(FloatingPointError, match=r"at epoch 1, batch \d: 'error' = nan, 'size' = nan\. Check"):
        fit(seed=3)
    data["x"][37] = 0
    data["x"][118] = bad
    with pytest.raises(FloatingPointError, match="validation after epoch 1, batch 5"):
        fit(seed=3)


def test_a_gradient_that_is_not_finite_is_found_in_the_weights(fit):
    def kink(net, batch, progress):
        return {"error": (0.0 * net(batch["x"])).square().sum().sqrt()}

    with pytest.raises(FloatingPointError, match=r"(weights should be finite; after epoch 1|batch 2)"):
        fit(step=kink)
    with pytest.raises(FloatingPointError, match="weights should be finite; after epoch 1 6 tensors"):
        fit(step=kink, batch_size=90)


@pytest.mark.parametrize(
    ("terms", "name"),
    [
        (lambda out: {"error": out}, "'error'"),
        (lambda out: {"error": 1.0}, "'error'"),
        (lambda out: {"total": out.mean()}, "'total'"),
        (lambda out: {}, "nothing"),
    ],
)
def test_terms_are_named_scalars(fit, terms, name):
    with pytest.raises(ValueError, match=rf"named scalar tensors.*received {name} at epoch 1, batch 1"):
        fit(step=lambda net, batch, progress: terms(net(batch["x"])))


def test_nothing_to_train_is_refused(fit):
    with pytest.raises(ValueError, match="0 trainable tensors"):
        fit(build().requires_grad_(False))
    with pytest.raises(ValueError, match="received 0 batches"):
        train(build(), [], step, Training(), device="cpu")
    with pytest.raises(ValueError, match="received generator"):
        train(build(), (batch for batch in []), step, Training(), device="cpu")
    with pytest.raises(ValueError, match="it gave none"):
        train(build(), [{"x": torch.ones(4, 6), "y": torch.ones(4)}], step, Training(), valid=[], device="cpu")


def interrupted(at):
    """A step that dies at a share of the steps, like a job that ran out of time."""

    def run(net, batch, progress):
        if net.training and progress >= at:
            raise TimeoutError
        return step(net, batch, progress)

    return run


@pytest.mark.parametrize("more", [{}, {"schedule": "plateau", "patience": 4, "lr": 0.2}, {"optimizer": "adam"}])
@pytest.mark.parametrize("at", [0.3, 0.75])
def test_a_resumed_run_equals_an_uninterrupted_one(fit, tmp_path, every_epoch, more, at):
    whole, history = fit(max_epochs=12, **more)
    path = tmp_path / "runs" / "checkpoint.pt"
    with pytest.raises(TimeoutError):
        fit(step=interrupted(at), max_epochs=12, checkpoint=path, **more)
    content = torch.load(path, weights_only=True)
    assert content["epoch"] == int(12 * at)
    steps = []

    def counted(net, batch, progress):
        steps.append(net.training)
        return step(net, batch, progress)

    resumed, again = fit(net=build(seed=9), step=counted, max_epochs=12, checkpoint=path, **more)
    assert equal(whole, resumed)
    assert history.drop(columns="seconds").equals(again.drop(columns="seconds"))
    assert sum(steps) == 6 * (len(history) - int(12 * at))  # it did not start again
    assert list(path.parent.iterdir()) == []


def test_a_checkpoint_of_another_run_is_refused(fit, tmp_path):
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(TimeoutError):
        fit(step=interrupted(0.5), checkpoint=path)
    for more in ({"lr": 0.5}, {"seed": 4}, {"with_valid": False}, {"net": nn.Linear(6, 1)}, {"batch_size": 9}):
        with pytest.raises(ValueError, match=r"from the same run; .* differs in \d setting.*Use the former settings"):
            fit(checkpoint=path, **more)
    assert path.exists()
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="cannot be read"):
        fit(checkpoint=path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be read"):
        fit(checkpoint=path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:lightning", "ignore::FutureWarning:lightning")
def test_fabric_on_one_device_gives_equal_results(fit):
    lightning = pytest.importorskip("lightning", reason="lightning is in the extra [scale]")
    fabric = lightning.Fabric(accelerator="cpu", devices=1)
    alone, history = fit(clip=1.0)
    through, again = fit(clip=1.0, fabric=fabric)
    assert equal(alone, through)
    assert history.drop(columns="seconds").equals(again.drop(columns="seconds"))


TWO_PROCESSES = """
import json, sys
from pathlib import Path
import lightning, numpy as np, torch
from torch import nn
from galenic.train import Batches, Training, checkpoint, seeded, train
from galenic.work.processes import gathered

checkpoint.SHARE = 1.0
fabric = lightning.Fabric(accelerator="cpu", devices=2, strategy="ddp")
fabric.launch()
folder, x = Path(sys.argv[1]), np.random.default_rng(0).normal(size=(90, 6)).astype("float32")

def run(dies, **more):
    steps = []

    def step(net, batch, progress):
        steps.append(progress)
        if dies and 0.5 <= progress < 1:
            raise TimeoutError
        said = net(batch["x"] + 0.1 * torch.randn_like(batch["x"]) + 0.1 * torch.rand(batch["x"].shape))
        drawn = torch.randint(3, (len(said),))
        error = (said - batch["x"].sum(1, keepdim=True)).square().mean()
        return {"error": error, "spread": 0.01 * gathered(said).std(), "drawn": 0.01 * (said[:, 0] * drawn).mean()}

    with seeded(0):  # a bias before a batch norm has no slope but rounding, which Adam makes large
        first = nn.Linear(6, 8, bias=False)
        net = nn.Sequential(first, nn.BatchNorm1d(8), nn.Dropout(0.1), nn.AlphaDropout(0.1), nn.Linear(8, 1))
    batches, valid = Batches(x, rows=range(70), batch_size=8), Batches(x, rows=range(70, 90), batch_size=8)
    training = Training(lr=0.02, max_epochs=6, patience=0, clip=1.0)
    history = train(net, batches, step, training, valid=valid, **more).drop(columns="seconds")
    weights = {name: tensor.tolist() for name, tensor in net.named_parameters()}
    return {"steps": len(steps), "history": history.to_dict("list"), "weights": weights}

alone = run(False, device="cpu")
whole = run(False, fabric=fabric)
try:
    run(True, fabric=fabric, checkpoint=folder / "checkpoint.pt")
except TimeoutError:
    fabric.barrier()
resumed = run(False, fabric=fabric, checkpoint=folder / "checkpoint.pt")
(folder / f"{fabric.global_rank}.json").write_text(json.dumps([alone, whole, resumed]))
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_and_resume(tmp_path):
    pytest.importorskip("lightning", reason="lightning is in the extra [scale]")
    script = tmp_path / "script.py"
    script.write_text(TWO_PROCESSES)
    subprocess.run([sys.executable, script, tmp_path], check=True, capture_output=True, timeout=200)
    (alone, whole, resumed), other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert [alone, whole, resumed] == other
    assert alone["steps"] == whole["steps"]
    for name, values in alone["history"].items():
        assert values == pytest.approx(whole["history"][name], rel=1e-5), name
    for name, values in alone["weights"].items():
        np.testing.assert_allclose(values, whole["weights"][name], atol=1e-5, err_msg=name)
    assert resumed["steps"] == 3 * (9 + 3)  # half the epochs; both take part in each of 9 batches, 3 of validation
    assert whole["steps"] == 2 * resumed["steps"]
    assert whole["weights"] == resumed["weights"]
    assert whole["history"] == resumed["history"]
    assert whole["history"]["valid_total"][-1] < 0.5 * whole["history"]["valid_total"][0]


def test_writing_takes_a_small_share_of_the_time(fit, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr("galenic.train.checkpoint.write", lambda path, content: written.append(content["epoch"]))
    monkeypatch.setattr("galenic.train.checkpoint.perf_counter", iter(range(1000)).__next__)  # each look takes a second
    fit(max_epochs=60, checkpoint=tmp_path / "state.pt")
    assert written == [1, 20, 39, 58]  # a second of writing, then nineteen of training


def test_a_finished_training_is_not_done_again(fit, tmp_path):
    path = tmp_path / "state.pt"
    whole, history = fit(max_epochs=4, checkpoint=path, keep=True)
    assert torch.load(path, weights_only=True)["epoch"] == 4
    again, same = fit(net=build(seed=9), step=None, max_epochs=4, checkpoint=path, keep=True)
    assert equal(whole, again)
    pd.testing.assert_frame_equal(history, same)


def test_lists_and_loaders_are_batches_too(data):
    tensors = torch.utils.data.TensorDataset(torch.tensor(data["x"]), torch.tensor(data["y"]))

    def paired(net, batch, progress):
        return step(net, {"x": batch[0], "y": batch[1]}, progress)

    def run(batches):
        net = build()
        train(net, batches, paired, Training(max_epochs=2), seed=1, device="cpu")
        return net

    loader = torch.utils.data.DataLoader(tensors, batch_size=40, shuffle=True)
    assert equal(run(loader), run(loader))
    assert not equal(run(loader), run([tensors[:40], tensors[40:80], tensors[80:]]))


def test_the_bar_is_on_the_standard_error_of_a_terminal_and_only_when_asked(fit, capsys, monkeypatch):
    fit()
    fit(progress=True)  # in a pipe
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fit()
    assert capsys.readouterr() == ("", "")
    fit(progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "epoch 6, batch 6" in err


def test_a_tensor_that_never_learns_is_named(data):
    net = nn.ModuleDict({"used": build(), "idle": nn.Linear(6, 1)})
    batch = {name: torch.tensor(value) for name, value in data.items()}

    def used(net, batch, progress):
        return step(net["used"], batch, progress)

    assert unreached(net, batch, used) == ["idle.weight", "idle.bias"]
    assert unreached(net["used"], batch, step) == []
    net["idle"].requires_grad_(False)
    assert unreached(net, batch, used) == []
