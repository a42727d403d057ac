"""The training loop: sum named terms, keep the best weights, stop early, resume."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from galenic.train import checkpoint as disk
from galenic.train.devices import Local, reseed, seeded
from galenic.train.divided import Divided
from galenic.train.terms import Step, Sums
from galenic.train.training import Training, rate
from galenic.work.bar import Advance, progress_bar
from galenic.work.near import nearest_name
from galenic.work.processes import current, on

OPTIMIZERS: dict[str, Any] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


class Stepped(nn.Module):
    """A network with its step: what several devices have in common is all that a step does with the network."""

    def __init__(self, net: nn.Module, step: Step) -> None:
        super().__init__()
        self.net, self.step = net, step

    def forward(self, batch: Any, progress: float) -> Mapping[str, Tensor]:
        """The terms of a batch."""
        return self.step(self.net, batch, progress)


@dataclass(frozen=True)
class _Run:
    """What stays the same from the first step to the last."""

    net: nn.Module
    stepped: nn.Module  # network and step, and the optimiser, as the fabric wraps them
    optimizer: Any
    groups: list[dict[str, Any]]  # parameter groups of the optimiser
    training: Training
    shares: list[Share]  # of each step of an epoch
    seed: int
    fabric: Any


@dataclass(frozen=True)
class Share:
    """What a process has of a batch.

    Attributes
    ----------
    own
        Rows; ``None``: all that it is given.
    start, total
        The first of them among all rows of the batch, and how many these are; 0 where nothing is divided.
    weight
        Of its loss: gradients are averaged over processes, the loss is one over rows.
    """

    own: int | None
    start: int = 0
    total: int = 0
    weight: float = 1.0

    @classmethod
    def of(cls, n: int, rank: int, world: int) -> Share:
        """Of a batch of ``n`` rows, divided as ``numpy.array_split`` does."""
        if world == 1:
            return cls(n)
        own, start = n // world + (rank < n % world), rank * (n // world) + min(rank, n % world)
        return cls(own, start, n, own * world / n)

    def within(self, batch: Any) -> AbstractContextManager[Any]:
        """The context of a step."""
        return Divided(self.start, self.own, self.total, batch) if self.own and self.total else nullcontext()


@dataclass
class _State:
    """What a run has come to, beside the network and the optimiser."""

    epoch: int = 0
    best: float = math.inf
    stale: int = 0
    scale: float = 1.0
    history: list[dict[str, float]] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)


def train(
    net: nn.Module,
    batches: Any,
    step: Step,
    training: Training,
    *,
    valid: Any = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    fabric: Any = None,
    progress: bool = False,
    checkpoint: str | Path | None = None,
    keep: bool = False,
) -> pd.DataFrame:
    """Train a network in place; it ends with its best weights, in evaluation mode, on the device it was trained on.

    Parameters
    ----------
    net
        The network; only parameters with ``requires_grad`` are changed.
    batches
        Training batches: :class:`Batches`, :class:`PairBatches`, anything with their ``epoch`` method and a length, or
        a list or ``DataLoader``.
    step
        ``step(net, batch, progress)`` returns named scalar terms, already weighted, that are summed and made small.
        ``progress`` is the share of all steps done, from 0 to below 1, and 1 on validation rows.
    training
        Learning rate, epochs, patience and so on.
    valid
        Validation batches, like ``batches``. They are scored in evaluation mode, without gradients, at progress 1 and
        with the same random numbers each epoch, so epochs are comparable.
    seed
        Of the order of the rows and of what is random in the network. The caller's random state is left alone.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...; without effect if ``fabric`` is given.
    fabric
        A launched ``lightning.Fabric``, to train on several devices or in another precision; by default the one of the
        ``galenic.work.processes.on`` block that this stands in. Batches with ``sizes`` are divided among its processes,
        others are taken by each as they come.
    progress
        Show a progress bar on the standard error.
    checkpoint
        File to resume from if it is there, written after the first epoch and then so often that writing takes a
        twentieth of the time at most; removed at the end. A resumed run ends like an uninterrupted one, bit for bit:
        the random numbers of an epoch follow from the seed and its number.
    keep
        Leave the file at the end: the same call gives the finished network at once.

    Returns
    -------
    DataFrame
        One row an epoch: ``epoch`` (from 1), ``seconds``, ``lr`` (of the last step), ``train_total``,
        ``train_<term>``, ..., ``valid_total``, ``valid_<term>``, ... (means over rows), and ``best`` (true in the row
        of the weights that were kept).

    Raises
    ------
    FloatingPointError
        If a term or a weight is no longer finite.
    ValueError
        If nothing can be trained, a term is not a scalar, ``training.monitor`` is not a term, or the checkpoint belongs
        to another run.

    Examples
    --------
    >>> from galenic.train import Batches, Training
    >>> with seeded(0):
    ...     net, x = nn.Linear(3, 1), torch.randn(64, 3)
    >>> def step(net, batch, progress):
    ...     return {"error": (net(batch["x"]) - batch["x"].sum(1, keepdim=True)).square().mean()}
    >>> history = train(net, Batches(x, batch_size=16), step, Training(lr=0.05, max_epochs=50), device="cpu")
    >>> bool(history["train_total"].min() < 0.01)
    True
    """
    fabric = fabric or current() or Local(device)
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    shares = _shares(batches, fabric)
    n_steps = len(shares)
    if not parameters or not shares:
        raise ValueError(
            f"training needs batches and trainable parameters; received {n_steps} batches and {len(parameters)} "
            "trainable tensors. Check the rows and requires_grad."
        )
    optimizer = OPTIMIZERS[training.optimizer](parameters, lr=training.lr, weight_decay=training.weight_decay)
    width = parameters[0].dtype
    outer, wrapped = fabric.setup(Stepped(net, step), optimizer)
    path = Path(checkpoint) if checkpoint is not None else None
    settings = {"training": asdict(training), "seed": seed, "batches": n_steps, "validation": valid is not None}
    settings["network"] = {name: list(tensor.shape) for name, tensor in net.state_dict().items()}
    state = _resume(path, settings, net, optimizer, fabric) if path else _State()
    run = _Run(net, outer, wrapped, optimizer.param_groups, training, shares, seed, fabric)
    saves = disk.Saves(path if fabric.is_global_zero else None)
    content = partial(_content, state, settings, net, optimizer)
    # Every epoch has its own random numbers, so none need to be stored to resume.
    bar = progress_bar(
        "training",
        training.max_epochs * n_steps,
        done=state.epoch * n_steps,
        show=(progress or None) if fabric.is_global_zero else False,
    )
    with on(fabric if fabric.world_size > 1 else None), seeded(seed, fabric.device), bar as advance, saves.told():
        while state.epoch < training.max_epochs and not 0 < training.patience <= state.stale:
            started = perf_counter()
            reseed(fabric.device, seed, state.epoch, 0)
            trained = _fit(run, state, batches, advance)
            row = {f"train_{name}": value for name, value in trained.items()}
            watched, lr = trained, run.groups[0]["lr"]
            if valid is not None:
                reseed(fabric.device, seed)
                with on(None):  # every process scores all rows, so that all stop together
                    watched = _score(run, state, valid)
                row |= {f"valid_{name}": value for name, value in watched.items()}
            state.history.append({"epoch": state.epoch + 1, "seconds": perf_counter() - started, "lr": lr, **row})
            _judge(state, watched, training, net)
            saves.after_epoch(content)
    if keep:
        saves.at_end(content)
    optimizer.zero_grad()
    if state.weights:
        net.load_state_dict(state.weights, strict=False)
    net.eval().to(width)  # Fabric leaves it in the precision it was trained in
    if path and not keep and fabric.is_global_zero:
        path.unlink(missing_ok=True)
    kept = state.epoch - (state.stale if state.weights else 0)
    history = pd.DataFrame(state.history)
    return history.assign(best=history["epoch"] == kept)


def _fit(run: _Run, state: _State, batches: Any, advance: Advance) -> dict[str, float]:
    """Means of the terms over one pass of the training rows."""
    run.net.train()
    sums, n_steps = Sums(), len(run.shares)
    all_steps = run.training.max_epochs * n_steps
    share = {"rank": run.fabric.global_rank, "world_size": run.fabric.world_size}
    for number, (part, batch) in enumerate(zip(run.shares, _stream(run, batches, state.epoch, **share), strict=True)):
        done = state.epoch * n_steps + number
        for group in run.groups:
            group["lr"] = rate(run.training, (done + 1) / all_steps, state.scale)
        with part.within(batch):
            terms = run.stepped(batch, done / all_steps)
        where = f"epoch {state.epoch + 1}, batch {number + 1}"
        total = sums.add(terms, batch, where, part.own)
        run.optimizer.zero_grad()
        run.fabric.backward(sum(terms.values()) * part.weight)
        if run.training.clip:
            run.fabric.clip_gradients(run.stepped, run.optimizer, max_norm=run.training.clip, error_if_nonfinite=False)
        run.optimizer.step()
        advance(text=f"{where}: {total:.4g}")
    broken = [name for name, tensor in run.net.named_parameters() if not bool(tensor.isfinite().all())]
    if broken:
        raise FloatingPointError(
            f"weights should be finite; after epoch {state.epoch + 1} {len(broken)} tensors are not "
            f"(first: {broken[0]!r}). Lower training.lr or set training.clip."
        )
    return sums.means(run.fabric)


@torch.no_grad()
def _score(run: _Run, state: _State, valid: Any) -> dict[str, float]:
    """Means of the terms over the validation rows."""
    run.net.eval()
    sums = Sums()
    for number, batch in enumerate(_stream(run, valid)):
        where = f"validation after epoch {state.epoch + 1}, batch {number + 1}"
        sums.add(run.stepped(batch, 1.0), batch, where)
    if not sums.n_rows:
        raise ValueError("valid should give batches; it gave none. Check the rows, or pass valid=None.")
    return sums.means(run.fabric)


def _judge(state: _State, watched: dict[str, float], training: Training, net: nn.Module) -> None:
    """Count the epoch, and keep the weights if it is the best."""
    state.epoch += 1
    if training.monitor == "none":
        return
    if training.monitor not in watched:
        raise ValueError(
            f"training.monitor should be one of {', '.join(map(repr, watched))} or 'none'; "
            f"received {training.monitor!r}{nearest_name(training.monitor, watched)} Name a term that the step returns."
        )
    value = watched[training.monitor]
    if value < state.best - training.min_delta:
        state.best, state.stale, state.weights = value, 0, {k: v.clone() for k, v in _kept(net).items()}
        return
    state.stale += 1
    if training.schedule == "plateau" and state.stale % max(1, training.patience // 2) == 0:
        state.scale *= 0.1


def _kept(net: nn.Module) -> dict[str, Tensor]:
    """Weights that learn, and buffers; frozen weights (perhaps of a large encoder) need no copy."""
    frozen = {name for name, parameter in net.named_parameters() if not parameter.requires_grad}
    return {name: tensor for name, tensor in net.state_dict().items() if name not in frozen}


def _resume(
    path: Path, settings: dict[str, Any], net: nn.Module, optimizer: torch.optim.Optimizer, fabric: Any
) -> _State:
    saved = fabric.broadcast(disk.read(path, settings) if fabric.is_global_zero else None)
    if saved is None:
        return _State()
    net.load_state_dict(saved["net"], strict=False)
    optimizer.load_state_dict(saved["optimizer"])
    return _State(**{name: saved[name] for name in vars(_State())})


def _shares(batches: Any, fabric: Any) -> list[Share]:
    """What this process has of each batch of an epoch."""
    if hasattr(batches, "sizes"):
        return [Share.of(int(n), fabric.global_rank, fabric.world_size) for n in batches.sizes(fabric.world_size)]
    if not hasattr(batches, "__len__"):
        raise ValueError(
            f"batches should have a length and be repeatable; received {type(batches).__name__}. "
            "Pass Batches, a list or a DataLoader."
        )
    return [Share(None)] * len(batches)


def _content(
    state: _State, settings: dict[str, Any], net: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """What a checkpoint holds."""
    return vars(state) | {"settings": settings, "net": _kept(net), "optimizer": optimizer.state_dict()}


def _stream(run: _Run, batches: Any, epoch: int = 0, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
    if hasattr(batches, "epoch"):
        where = {"device": run.fabric.device, "rank": rank, "world_size": world_size}
        batches = batches.epoch(epoch, seed=run.seed, **where)
    return map(run.fabric.to_device, batches)
