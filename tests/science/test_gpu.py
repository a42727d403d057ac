"""On a GPU the five systems find what they find on the processor. Without one these tests skip.

What is random is drawn by the processor in both, so that fits can be compared number by number.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_fits import SYSTEMS, Fitted, numbers
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

import galenic
from galenic.foundation.ragged import Ragged
from galenic.foundation.running import encode_cells
from galenic.foundation.scfoundation_network import ScFoundationEncoder, Shape
from galenic.train import Batches, Training, loop, seeded, train
from galenic.train.fabric import launched
from galenic.work.processes import on

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use"),
]
LIKE = (F.dropout, F.alpha_dropout, torch.randn_like, torch.rand_like, F.scaled_dot_product_attention)
SHAPED = (torch.rand, torch.randn, torch.randint, torch.randperm)


def brought(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Tensors of numbers on the processor, in full width."""
    return tuple(
        (one.cpu().float() if one.is_floating_point() else one.cpu()) if isinstance(one, Tensor) else one
        for one in values
    )


class DrawnByTheProcessor(TorchFunctionMode):
    """Inside, what is drawn for a GPU is drawn by the processor and brought there."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in LIKE and args[0].is_cuda:
            names, first = list(kwargs), args[0]
            args, kwargs = brought(args), dict(zip(names, brought(tuple(kwargs.values())), strict=True))
            return function(*args, **kwargs).to(first)
        if function in SHAPED and "device" in kwargs:
            place = {name: kwargs.pop(name) for name in ("device", "dtype") if name in kwargs}
            return function(*args, **kwargs).to(**place)
        return function(*args, **kwargs)


def opened(folder: Path, fitted: Fitted) -> Any:
    """What was fitted, saved and opened again."""
    model = fitted[0]
    model.save(folder / "model")
    return galenic.load(folder / "model")


def alike(one: np.ndarray, other: np.ndarray) -> float:
    """Their correlation."""
    assert one.shape == other.shape
    assert np.isfinite(one).all()
    assert np.isfinite(other).all()
    return float(np.corrcoef(one, other)[0, 1])


def compared(fitted: Fitted) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`numbers`, without stages in which the attention of torch draws by itself."""
    model, history, answer = fitted
    if "stage" in history:
        history = history[~history["stage"].str.endswith("structures")]
    return numbers((model, history, answer))


@pytest.fixture(scope="module")
def on_processor() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {name: compared(system("cpu")) for name, system in SYSTEMS.items()}


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_gpu_fits_what_the_processor_fits(name: str, on_processor: dict[str, Any], tmp_path: Path) -> None:
    with DrawnByTheProcessor():
        fitted = SYSTEMS[name]("cuda")
    values, history = compared(fitted)
    assert alike(values, on_processor[name][0]) > 0.999
    np.testing.assert_allclose(history, on_processor[name][1], rtol=1e-2, atol=1e-3)
    _, _, answer = fitted
    np.testing.assert_array_equal(answer(opened(tmp_path, fitted)), answer(fitted[0]))


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_same_seed_gives_the_same_fit(name: str) -> None:
    first, again = compared(SYSTEMS[name]("cuda")), compared(SYSTEMS[name]("cuda"))
    print(name, "same bits:", all((one == other).all() for one, other in zip(first, again, strict=True)))
    assert alike(first[0], again[0]) > 0.9999
    np.testing.assert_allclose(first[1], again[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed", "64-true"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_other_precisions(name: str, precision: str, on_processor: dict[str, Any]) -> None:
    with on(launched(precision=precision, device="cuda")), DrawnByTheProcessor():
        values, history = compared(SYSTEMS[name]("cuda"))
    print(name, precision, alike(values, on_processor[name][0]))
    assert alike(values, on_processor[name][0]) > (0.999 if precision == "64-true" else 0.9)
    if precision != "16-mixed":  # it leaves out steps until it has found a scale
        wide = {"rtol": 0.01, "atol": 0.01} if precision == "64-true" else {"rtol": 0.2, "atol": 0.05}
        np.testing.assert_allclose(history, on_processor[name][1], **wide)


@pytest.mark.parametrize(("precision", "least"), [("float32", 0.99999), ("bfloat16", 0.999)])
def test_cells_have_the_vectors_that_the_processor_gives(precision: str, least: float) -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 200, 40)
    places = np.concatenate([[0], np.cumsum(lengths)])
    fields = {"value": rng.random(places[-1]).astype("f4"), "gene": rng.integers(0, 500, places[-1])}
    with seeded(0):
        net = ScFoundationEncoder(Shape(96, 2, 4, 20, 1.0, 500))

    def source(start: int, stop: int) -> Ragged:
        inside = slice(places[start], places[stop])
        return Ragged(places[start : stop + 1] - places[start], {name: one[inside] for name, one in fields.items()})

    how: dict[str, Any] = {"n_cells": 40, "width": net.width, "max_tokens_in_batch": 1000}
    expected = encode_cells(source, net, device="cpu", **how)
    found = encode_cells(source, net, device="cuda", precision=precision, **how)
    assert alike(found.ravel(), expected.ravel()) > least


def test_the_random_state_of_the_gpu_comes_back() -> None:
    torch.cuda.manual_seed(3)
    before = torch.cuda.get_rng_state()
    with seeded(3, "cuda"):
        torch.rand(3, device="cuda")
    assert (torch.cuda.get_rng_state() == before).all()


def test_a_fit_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With dropout, whose numbers the GPU draws."""

    def fit(path: Path | None) -> tuple[list[Tensor], list[float]]:
        with seeded(0):
            net, x = torch.nn.Sequential(torch.nn.Linear(9, 64), torch.nn.Dropout(0.5), torch.nn.Linear(64, 1)), None
            x = torch.randn(64, 9)
        training = Training(lr=0.01, max_epochs=6, batch_size=16, patience=0, clip=1.0, schedule="cosine")

        def step(net: Any, batch: Any, progress: float) -> dict[str, Tensor]:
            return {"error": (net(batch["x"]) - batch["x"].sum(1, keepdim=True)).square().mean()}

        history = train(net, Batches(x, batch_size=16), step, training, device="cuda", checkpoint=path)
        return [tensor.cpu() for tensor in net.state_dict().values()], history["train_total"].tolist()

    whole, losses = fit(None)
    epochs, one_epoch = [], loop._fit

    def stops(*given: Any) -> Any:
        epochs.append(1)
        if len(epochs) == 4:
            raise KeyboardInterrupt
        return one_epoch(*given)

    monkeypatch.setattr(loop, "_fit", stops)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "state.pt")
    again, resumed = fit(tmp_path / "state.pt")
    assert resumed == losses
    assert all((one == other).all() for one, other in zip(whole, again, strict=True))
    assert len(epochs) > 4


@pytest.mark.parametrize("how", [["--strategy", "ddp"], ["--precision", "bf16-mixed"], []])
def test_torchrun_with_nccl(how: list[str], tmp_path: Path) -> None:
    run, galenic_ = (
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"],
        ["-m", "galenic"],
    )
    fit = ["fit", "readacross", "--profiles", "profiles.h5ad", "--folds", "0", "--n-members", "1"]
    simulate = ["data", "simulate", "profiles", "--out", "profiles.h5ad", "--n-perturbagens", "20", "--n-genes", "60"]
    for command in (
        [sys.executable, *galenic_, *simulate],
        [*run, *galenic_, *fit, "--training.max-epochs", "2", "--out", "on", *how],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "on" / "model").is_dir()


TOGETHER = """
import json, sys
import numpy as np
from lightning.fabric import Fabric
from lightning.fabric.strategies import DDPStrategy
from small_fits import SYSTEMS
from test_gpu import DrawnByTheProcessor, compared
from galenic.work.processes import on

# NCCL wants a GPU for each process; gloo lets two share one.
strategy = DDPStrategy(process_group_backend="gloo", find_unused_parameters=True)
fabric = Fabric(accelerator="cuda", devices=1, num_nodes=2, strategy=strategy)
fabric.launch()
with on(fabric), DrawnByTheProcessor():
    found = {name: [values.tolist() for values in compared(system("cuda"))] for name, system in SYSTEMS.items()}
if fabric.is_global_zero:
    json.dump(found, open(sys.argv[1], "w"))
"""


def test_two_processes_on_a_gpu_fit_what_the_processor_fits(on_processor: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "together.py").write_text(TOGETHER)
    env = {**os.environ, "PYTHONPATH": f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}"}
    env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29533", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    command = [sys.executable, "-W", "ignore", "together.py", "found.json"]
    started = [
        subprocess.Popen(command, cwd=tmp_path, env={**env, "NODE_RANK": rank, "RANK": rank, "GROUP_RANK": rank})
        for rank in ("0", "1")
    ]
    assert [one.wait(timeout=200) for one in started] == [0, 0]
    found = json.loads((tmp_path / "found.json").read_text())
    for name, (values, history) in found.items():
        assert alike(np.array(values), on_processor[name][0]) > 0.999, name
        np.testing.assert_allclose(history, on_processor[name][1], rtol=1e-2, atol=1e-3, err_msg=name)
