"""Where tensors live, and random numbers that stay local."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def pick(device: str | torch.device = "auto") -> torch.device:
    """The device to compute on.

    Parameters
    ----------
    device
        ``"auto"`` takes a CUDA GPU, else an Apple GPU, else the CPU; or a device by name (``"cpu"``, ``"cuda"``,
        ``"cuda:1"``, ``"mps"``).

    Raises
    ------
    ValueError
        If there is no such device here.

    Examples
    --------
    >>> pick("cpu")
    device(type='cpu')
    """
    n_cuda, has_mps = torch.cuda.device_count(), torch.backends.mps.is_available()
    if device == "auto":
        return torch.device("cuda", 0) if n_cuda else torch.device("mps" if has_mps else "cpu")
    here = ["cpu"] + [f"cuda:{index}" for index in range(n_cuda)] + ["mps"] * has_mps
    try:
        wanted = torch.device(device)
    except RuntimeError:
        wanted = None
    if wanted is not None and wanted.type == "cuda" and wanted.index is None:
        wanted = torch.device("cuda", 0)
    if wanted is None or (str(wanted) not in here and wanted.type not in here):
        raise ValueError(
            f"device should be 'auto' or one that is here ({', '.join(here)}); received {str(device)!r}. "
            "Use device='auto', or install a torch built for that device."
        )
    return wanted


@contextmanager
def seeded(seed: int, device: str | torch.device = "cpu") -> Iterator[None]:
    """Random numbers of torch from ``seed`` inside the block; the caller's random state comes back after it.

    Holds for the CPU and for ``device``, also when the block raises. Use it to initialise a network.

    Parameters
    ----------
    seed
        0 or more.
    device
        Whose random numbers are seeded besides those of the CPU.

    Examples
    --------
    >>> with seeded(0):
    ...     first = torch.rand(2)
    >>> with seeded(0):
    ...     bool((torch.rand(2) == first).all())
    True
    """
    device = torch.device(device)
    others = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(others, device_type="cuda" if device.type == "cpu" else device.type):
        reseed(device, seed)
        yield


def reseed(device: torch.device, *numbers: int) -> None:
    """Set torch's random state of the CPU and of ``device`` from whole numbers; call it inside :func:`seeded`."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):  # manual_seed_all would change the other GPUs of the caller
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def to_device(batch: Any, device: torch.device) -> Any:
    """A batch (tensors in dicts, lists and tuples) on ``device``."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {name: to_device(value, device) for name, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        return type(batch)(to_device(value, device) for value in batch)
    return batch


class Local:
    """One device, with the verbs of ``lightning.Fabric`` that the loop uses.

    Parameters
    ----------
    device
        ``"cpu"``, ``"cuda"``, ``"auto"``, or a device of torch.
    """

    world_size, global_rank, is_global_zero = 1, 0, True

    def __init__(self, device: str | torch.device = "auto") -> None:
        self.device = pick(device)

    def setup(self, net: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        """The network on the device, and its optimiser.

        Parameters
        ----------
        net
            A network.
        optimizer
            Its optimiser.
        """
        return net.to(self.device), optimizer

    def to_device(self, batch: Any) -> Any:
        """A batch on the device.

        Parameters
        ----------
        batch
            A tensor, or a mapping of them.
        """
        return to_device(batch, self.device)

    def backward(self, total: Tensor) -> None:
        """Gradients of a total.

        Parameters
        ----------
        total
            A loss.
        """
        total.backward()

    def clip_gradients(
        self, net: nn.Module, optimizer: torch.optim.Optimizer, *, max_norm: float, error_if_nonfinite: bool
    ) -> None:
        """Scale gradients down to a norm.

        Parameters
        ----------
        net, optimizer
            As for :meth:`setup`.
        max_norm
            Largest norm of all gradients together.
        error_if_nonfinite
            Raise where the norm is not a finite number.
        """
        nn.utils.clip_grad_norm_(net.parameters(), max_norm, error_if_nonfinite=error_if_nonfinite)

    def broadcast(self, value: Any) -> Any:
        """What the first process holds: this one.

        Parameters
        ----------
        value
            Anything.
        """
        return value
