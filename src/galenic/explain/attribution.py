"""Attribution: how much each input contributes to a scalar output, by gradients along a path from a baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Rule = Literal["gauss-legendre", "midpoint"]
CHUNK = 2**15
"""Rows that a function is asked for at once."""


@dataclass(frozen=True)
class Attribution:
    """What :func:`integrated_gradients` returns.

    Attributes
    ----------
    contributions
        One array an input, of its shape: contributions.
    output, baseline_output
        The function at the inputs and at the baselines, ``(n,)``.
    """

    contributions: list[np.ndarray]
    output: np.ndarray
    baseline_output: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """``output - baseline_output`` less the sum of the contributions, ``(n,)``; 0 where attribution is complete."""
        total = sum(value.sum(axis=tuple(range(1, value.ndim))) for value in self.contributions)
        return np.asarray(self.output - self.baseline_output - total)


def integrated_gradients(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    baselines: Sequence[Tensor],
    *,
    n_steps: int = 32,
    rule: Rule = "gauss-legendre",
) -> Attribution:
    r"""Integrated gradients of a function that gives one number a row.

    :math:`a_i = (x_i - x'_i) \int_0^1 \partial_i f(x' + t (x - x'))\, dt` (Sundararajan, Taly and Yan, ICML 2017);
    contributions sum to :math:`f(x) - f(x')`. All rows and steps go through the function together, in chunks.

    Parameters
    ----------
    function
        Takes tensors like ``inputs`` with any number of rows, returns ``(rows,)``. Rows must not depend on each other.
    inputs
        Tensors with the same number of rows.
    baselines
        One for each input, of its shape or with one row.
    n_steps
        Points on the path. Kinks (ReLU) need more of them than smooth functions.
    rule
        "gauss-legendre" or "midpoint".

    Returns
    -------
    Attribution

    Raises
    ------
    ValueError
        If there are no points, or inputs and baselines do not match.

    Examples
    --------
    >>> x = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    >>> found = integrated_gradients(lambda x: x[:, 0] * x[:, 1] ** 2, [x], [torch.zeros_like(x)])
    >>> found.contributions[0].round(3).tolist(), abs(found.gap.item()) < 1e-9
    ([[1.333, 2.667]], True)
    """
    fit = len(inputs) == len(baselines) and len({len(x) for x in inputs}) == 1
    if n_steps < 1 or not fit or any(not _matches(*pair) for pair in zip(inputs, baselines, strict=True)):
        raise ValueError(
            "integrated gradients need one step at least, and for each input a baseline of its shape or of one row; "
            f"received n_steps={n_steps}, inputs {[tuple(x.shape) for x in inputs]} and "
            f"baselines {[tuple(x.shape) for x in baselines]}. Correct these."
        )
    places, weights = path(n_steps, rule, inputs[0])
    starts = [base.expand_as(x).detach() for base, x in zip(baselines, inputs, strict=True)]
    ways = [x.detach() - start for x, start in zip(inputs, starts, strict=True)]
    sums = [torch.zeros_like(way) for way in ways]
    n_rows = len(inputs[0])
    for at in range(0, n_rows, max(1, CHUNK // n_steps)):
        rows = slice(at, at + max(1, CHUNK // n_steps))
        # Steps first, so that a row's points lie n_rows apart and fold back by one reshape.
        points = [
            (start[rows][None] + places.view(-1, *[1] * way.ndim) * way[rows][None]).flatten(0, 1).requires_grad_()
            for start, way in zip(starts, ways, strict=True)
        ]
        # An input that the function does not read (a mask) has a slope of 0.
        slopes = torch.autograd.grad(function(*points).sum(), points, allow_unused=True, materialize_grads=True)
        for total, slope in zip(sums, slopes, strict=True):
            folded = slope.unflatten(0, (n_steps, -1))
            total[rows] = (weights.view(-1, *[1] * (folded.ndim - 1)) * folded).sum(dim=0)
    with torch.no_grad():
        output, base = function(*[x.detach() for x in inputs]), function(*starts)
    values = [(way * total).cpu().numpy() for way, total in zip(ways, sums, strict=True)]
    return Attribution(values, output.cpu().numpy(), base.cpu().numpy())


def _matches(x: Tensor, baseline: Tensor) -> bool:
    """Whether a baseline has the shape of an input, or of one of its rows."""
    return x.shape[1:] == baseline.shape[1:] and x.ndim == baseline.ndim and len(baseline) in (1, len(x))


def path(n_steps: int, rule: Rule, like: Tensor) -> tuple[Tensor, Tensor]:
    """Points in (0, 1) and their weights, which sum to 1."""
    if rule == "midpoint":
        points, weights = (np.arange(n_steps) + 0.5) / n_steps, np.full(n_steps, 1 / n_steps)
    elif rule == "gauss-legendre":
        points, weights = np.polynomial.legendre.leggauss(n_steps)
        points, weights = (points + 1) / 2, weights / 2
    else:
        raise ValueError(f'rule should be "gauss-legendre" or "midpoint"; received {rule!r}. Choose one of them.')
    return torch.as_tensor(points).to(like), torch.as_tensor(weights).to(like)
