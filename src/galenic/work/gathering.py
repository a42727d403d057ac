"""Rows of all processes in each of them, with gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def gather(rows: Tensor) -> Tensor:
    """The rows of all processes, one below the other."""
    found: Tensor = _Gather.apply(rows, _lengths(len(rows), rows.device))
    return found


def _lengths(n: int, device: torch.device) -> list[int]:
    """Rows of each process."""
    found = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(dist.get_world_size())]
    dist.all_gather(found, torch.tensor([n], device=device))
    return [int(one) for one in found]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, lengths: list[int]) -> Tensor:
        ctx.start, ctx.n = sum(lengths[: dist.get_rank()]), len(rows)
        # All processes send as much as the longest; what is added is cut off again.
        padded = rows.new_zeros((max(lengths), *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in lengths]
        dist.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, lengths, strict=True)])

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        # Each process computed a loss of all rows: the slopes of a row come from all of them.
        whole = slopes[0].contiguous()
        dist.all_reduce(whole)
        return whole[ctx.start : ctx.start + ctx.n], None
