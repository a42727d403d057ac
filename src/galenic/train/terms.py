"""The named terms of a step: checked, summed over batches, and traced to the weights they teach."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Step = Callable[[nn.Module, Any, float], Mapping[str, Tensor]]


class Sums:
    """Sums of the terms over the rows of an epoch."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.n_rows = 0

    def add(self, terms: Mapping[str, Tensor], batch: Any, where: str, rows: int | None = None) -> float:
        """Add a batch of so many rows (by default counted); returns its total.

        Raises
        ------
        ValueError
            If a term is not a scalar tensor.
        FloatingPointError
            If the total is not finite.
        """
        odd = [n for n, term in terms.items() if not isinstance(term, Tensor) or term.numel() != 1 or n == "total"]
        if odd or not terms:
            raise ValueError(
                "step should return named scalar tensors, none named 'total'; "
                f"received {', '.join(map(repr, odd)) or 'nothing'} at {where}. Reduce each term to one number."
            )
        # One transfer from the device for all terms.
        numbers = torch.stack([term.detach().reshape(()) for term in terms.values()]).tolist()
        values = dict(zip(terms, numbers, strict=True))
        if not math.isfinite(sum(numbers)):
            bad = {name: value for name, value in values.items() if not math.isfinite(value)} or values
            raise FloatingPointError(
                f"the terms should be finite; at {where}: {', '.join(f'{n!r} = {value}' for n, value in bad.items())}. "
                "Check the input for missing values, lower training.lr or set training.clip."
            )
        n = _n_rows(batch) if rows is None else rows
        self.n_rows += n
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + n * value
        return sum(numbers)

    def means(self, fabric: Any) -> dict[str, float]:
        """``total`` and each term, as means over the rows of all processes."""
        values = [*self.sums.values(), self.n_rows]
        if fabric.world_size > 1:
            together = torch.tensor(values, dtype=torch.float64, device=fabric.device)
            values = fabric.all_reduce(together, reduce_op="sum").tolist()
        means = {name: value / values[-1] for name, value in zip(self.sums, values, strict=False)}
        return {"total": sum(means.values()), **means}


def _n_rows(batch: Any) -> int:
    """Rows of a batch, by the first tensor in it; 1 where there is none, so that batches then count the same."""
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, (list, tuple)) else [batch]
    return next((len(part) for part in parts if isinstance(part, Tensor) and part.ndim), 1)


def unreached(net: nn.Module, batch: Any, step: Step, progress: float = 1.0) -> list[str]:
    """Names of the trainable tensors of ``net`` that no term of ``step`` depends on: they would never learn.

    Parameters
    ----------
    net
        A network; its gradients are left as they were.
    batch
        What a batch of its training is.
    step
        Terms of the loss, as :func:`galenic.train.train` takes it.
    progress
        How far training is, 0 to 1.

    Examples
    --------
    >>> net = nn.ModuleDict({"used": nn.Linear(2, 1), "idle": nn.Linear(2, 1)})
    >>> unreached(net, torch.ones(4, 2), lambda net, batch, progress: {"error": net["used"](batch).mean()})
    ['idle.weight', 'idle.bias']
    """
    named = {name: parameter for name, parameter in net.named_parameters() if parameter.requires_grad}
    terms = list(step(net, batch, progress).values())
    slopes = torch.autograd.grad(terms, list(named.values()), allow_unused=True)
    return [name for name, slope in zip(named, slopes, strict=True) if slope is None]
