"""Encoding one chunk of cells, here or in another process."""

from __future__ import annotations

import copy
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from joblib import Parallel
from joblib.parallel import get_active_backend
from torch import nn

from galenic.foundation.ragged import Ragged, batches
from galenic.work.parcel import opened

Precision = Literal["float32", "bfloat16"]
WAVE = 4
"""Chunks for each worker at a time, where a backend of joblib can only give all results at once."""


@dataclass(frozen=True)
class How:
    """What a chunk is encoded with, besides the network."""

    device: str
    precision: Precision
    max_tokens: int
    width: int


def encode_chunk(
    net: nn.Module, tokens: Ragged, how: How, advance: Callable[[int], None] = lambda n: None
) -> np.ndarray:
    """Vectors of the cells of a chunk, ``(n_cells, width)``; NaN where there are no tokens."""
    device = torch.device(how.device)
    net = net.to(device).eval()
    vectors = np.full((len(tokens), how.width), np.nan, dtype=np.float32)
    cast: Any = torch.autocast(device.type, torch.bfloat16) if how.precision == "bfloat16" else nullcontext()
    advance(int((tokens.lengths == 0).sum()))
    with torch.inference_mode(), cast:
        for cells in batches(tokens.lengths, how.max_tokens):
            fields, real = tokens.padded(cells)
            placed = {name: torch.from_numpy(values).to(device) for name, values in fields.items()}
            vectors[cells] = net(placed, torch.from_numpy(real).to(device)).float().cpu().numpy()
            advance(len(cells))
    broken = int((~np.isfinite(vectors[tokens.lengths > 0])).any(axis=1).sum())
    if broken:
        raise ValueError(
            f"vectors should be finite; those of {broken:,} of {len(tokens):,} cells of a chunk are not. "
            "Check the weights, or use precision='float32'."
        )
    return vectors


@dataclass(frozen=True, eq=False)
class Shipped:
    """A network as its shape and its numbers apart: joblib lays large arrays where all processes read them."""

    key: str
    skeleton: nn.Module
    arrays: dict[str, np.ndarray]

    @classmethod
    def of(cls, net: nn.Module) -> Shipped:
        """Take a network apart; it stays as it is."""
        state = {name: tensor.detach().cpu() for name, tensor in net.state_dict().items()}
        # A copy in which every tensor is without content, made without ever copying the content.
        tensors = [*net.parameters(), *net.buffers()]
        empty: dict[int, Any] = {id(one): torch.empty_like(one, device="meta") for one in tensors}
        empty |= {id(one): nn.Parameter(empty[id(one)], requires_grad=False) for one in net.parameters()}
        skeleton = copy.deepcopy(net, empty)
        return cls(uuid.uuid4().hex, skeleton, {name: tensor.numpy() for name, tensor in state.items()})

    def network(self) -> nn.Module:
        """The network again, built once in each process."""
        if self.key not in _ARRIVED:
            net = copy.deepcopy(self.skeleton)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # the arrays are read-only, and nobody writes to them
                net.load_state_dict({name: torch.from_numpy(one) for name, one in self.arrays.items()}, assign=True)
            _ARRIVED.clear()
            _ARRIVED[self.key] = net
        return _ARRIVED[self.key]


_ARRIVED: dict[str, nn.Module] = {}


def encode_elsewhere(shipped: Any, tokens: Ragged, how: How) -> np.ndarray:
    """Vectors of a chunk, in whatever process this is, by the :class:`Shipped` network that was sent there."""
    return encode_chunk(opened(shipped).network(), tokens, how)


def nothing() -> None:
    """A job for what is done already."""


def results(jobs: Iterator[Any], n_jobs: int) -> Iterator[np.ndarray | None]:
    """Results in the order of the jobs; few jobs are in memory at a time."""
    if get_active_backend()[0].supports_return_generator:
        yield from Parallel(n_jobs=n_jobs, return_as="generator", pre_dispatch="2*n_jobs")(jobs)
        return
    pool = Parallel(n_jobs=n_jobs)
    size = WAVE * max(1, pool._effective_n_jobs())
    while wave := [job for _, job in zip(range(size), jobs, strict=False)]:
        yield from pool(wave)
