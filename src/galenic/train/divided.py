"""A batch that several processes divide among them: what is random, and what is usual in it, is that of the whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from galenic.work.processes import gathered

LIKE = (F.dropout, F.alpha_dropout, torch.randn_like, torch.rand_like)
"""Draw numbers for the rows of their first argument."""
SHAPED = (torch.rand, torch.randn)
"""Draw numbers of a shape."""


class Divided(TorchFunctionMode):
    """Inside it a network learns from its rows of a batch what one process would learn from all of them.

    All processes have the same random state. Dropout and noise are drawn for the whole batch, and those of its own rows
    used; batch norms take their means over the whole batch. Tensors without a row, or several, for each row
    of the batch are the same in every process, and so are the numbers drawn for them.

    Parameters
    ----------
    start, n, total
        First of the rows of this process, how many it has, and how many all have together.
    batch
        What it learns from. Tables inside it (the distinct cells and drugs of pairs) are the same in every process.
    """

    def __init__(self, start: int, n: int, total: int, batch: Any = None) -> None:
        super().__init__()
        self.start, self.n, self.total = start, n, total
        tables = batch.values() if isinstance(batch, Mapping) else ()
        self.alike = {len(next(iter(one.values()))) for one in tables if isinstance(one, Mapping) and one}

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by torch in place of each of its functions."""
        kwargs = kwargs or {}
        if function in LIKE and self._is_ours(len(args[0])):
            return self._own(function(self._whole(args[0]), *args[1:], **kwargs))
        if function in SHAPED and self._is_ours((shape := _shape(args))[0]):
            return self._own(function(self._all(shape[0]), *shape[1:], **kwargs))
        if function is torch.randint and self._is_ours((shape := args[-1])[0]):
            whole: Tensor = function(*args[:-1], (self._all(shape[0]), *shape[1:]), **kwargs)  # type: ignore[call-overload]
            return self._own(whole)
        if function is F.batch_norm and kwargs.get("training") and self._is_ours(len(args[0])):
            first = self.start * (len(args[0]) // self.n)
            return function(gathered(args[0]), *args[1:], **kwargs)[first : first + len(args[0])]
        return function(*args, **kwargs)

    def _is_ours(self, n: int) -> bool:
        """Whether there is a row for each of the batch, or several: left and right of pairs, one below the other."""
        return n > 0 and n % self.n == 0 and n not in self.alike

    def _all(self, n: int) -> int:
        return n // self.n * self.total

    def _whole(self, rows: Tensor) -> Tensor:
        """The rows in their places of the whole batch, among zeros."""
        blocks = rows.unflatten(0, (-1, self.n))
        sizes = (self.start, self.total - self.start - self.n)
        before, after = (rows.new_zeros((len(blocks), size, *rows.shape[1:])) for size in sizes)
        return torch.cat([before, blocks, after], dim=1).flatten(0, 1)

    def _own(self, whole: Tensor) -> Tensor:
        return whole.unflatten(0, (-1, self.total))[:, self.start : self.start + self.n].flatten(0, 1)


def _shape(args: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(args[0]) if len(args) == 1 and not isinstance(args[0], int) else tuple(args)
