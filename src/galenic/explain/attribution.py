"""Attribution: how much each input contributes to an output, by gradients along a path from a baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Rule = Literal["gauss-legendre", "midpoint", "left"]
CHUNK = 2**15
"""Rows that a function is asked for at once."""


@dataclass(frozen=True)
class Attribution:
    """What :func:`integrated_gradients` and :func:`expected_gradients` return.

    Attributes
    ----------
    contributions
        One array an input, of its shape: contributions. Where the function gives several numbers a row, they are the
        last axis: ``(*shape of the input, n_outputs)``.
    output, baseline_output
        The function at the inputs and at the baselines, ``(n,)`` or ``(n, n_outputs)``.
    """

    contributions: list[np.ndarray]
    output: np.ndarray
    baseline_output: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """``output - baseline_output`` less the sum of the contributions; 0 where attribution is complete."""
        several = self.output.ndim - 1
        total = sum(value.sum(axis=tuple(range(1, value.ndim - several))) for value in self.contributions)
        return np.asarray(self.output - self.baseline_output - total)


def integrated_gradients(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    baselines: Sequence[Tensor],
    *,
    n_steps: int = 32,
    rule: Rule = "gauss-legendre",
) -> Attribution:
    r"""Integrated gradients of a function that gives one number a row, or several.

    :math:`a_i = (x_i - x'_i) \int_0^1 \partial_i f(x' + t (x - x'))\, dt` (Sundararajan, Taly and Yan, ICML 2017);
    contributions sum to :math:`f(x) - f(x')`. All rows and steps go through the function together, in chunks; all
    outputs come from the same pass.

    Parameters
    ----------
    function
        Takes tensors like ``inputs`` with any number of rows, returns ``(rows,)`` or ``(rows, n_outputs)``. Rows must
        not depend on each other.
    inputs
        Tensors with the same number of rows.
    baselines
        One for each input, of its shape or with one row.
    n_steps
        Points on the path. Kinks (ReLU) need more of them than smooth functions.
    rule
        "gauss-legendre", "midpoint", or "left": the left ends of equal steps, which counts the baseline's slope in
        full and the input's not at all. Its gap shrinks with 1 / ``n_steps`` only; it is there to compare with
        published numbers.

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
    >>> both = integrated_gradients(lambda x: torch.stack([x.sum(1), x.prod(1)], 1), [x], [torch.zeros_like(x)])
    >>> both.contributions[0].round(3).tolist()
    [[[1.0, 1.0], [2.0, 1.0]]]
    """
    _require_matching(inputs, baselines, n_steps)
    starts = [base.expand_as(x).detach() for base, x in zip(baselines, inputs, strict=True)]
    ways = [x.detach() - start for x, start in zip(inputs, starts, strict=True)]
    means = mean_slopes(function, starts, ways, n_steps=n_steps, rule=rule)
    with torch.no_grad():
        output, base = function(*[x.detach() for x in inputs]), function(*starts)
    values = [_times(mean, way).cpu().numpy() for way, mean in zip(ways, means, strict=True)]
    return Attribution(values, output.cpu().numpy(), base.cpu().numpy())


def mean_slopes(
    function: Callable[..., Tensor], starts: Sequence[Tensor], ways: Sequence[Tensor], *, n_steps: int, rule: Rule
) -> list[Tensor]:
    """Mean gradients of a function on the straight lines from ``starts`` along ``ways``.

    Returns
    -------
    list of Tensor
        One an input, of its shape; several outputs are the last axis.
    """
    places, weights = path(n_steps, rule, ways[0])
    means: list[list[Tensor]] = [[] for _ in ways]
    size = max(1, CHUNK // n_steps)
    for at in range(0, max(1, len(ways[0])), size):
        rows = slice(at, at + size)
        # Steps first, so that a row's points lie n_rows apart and fold back by one reshape.
        points = [
            (start[rows][None] + places.view(-1, *[1] * way.ndim) * way[rows][None]).flatten(0, 1)
            for start, way in zip(starts, ways, strict=True)
        ]
        for mean, slope in zip(means, slopes(function, points), strict=True):
            folded = slope.unflatten(0, (n_steps, len(ways[0][rows])))
            mean.append((weights.view(-1, *[1] * (folded.ndim - 1)) * folded).sum(dim=0))
    return [torch.cat(parts) for parts in means]


def expected_gradients(
    function: Callable[[Tensor], Tensor], inputs: Tensor, background: Tensor, *, n_draws: int = 200, seed: int = 0
) -> Attribution:
    r"""Expected gradients: integrated gradients averaged over baselines that are drawn from a background.

    :math:`a_i = E_{x', t}\,(x_i - x'_i)\, \partial_i f(x' + t (x - x'))` with :math:`x'` from the background and
    :math:`t` uniform in (0, 1) (Erion et al., Nature Machine Intelligence 2021).

    Parameters
    ----------
    function
        As in :func:`integrated_gradients`, of one input.
    inputs
        ``(n, n_features)``.
    background
        Rows to start from, ``(n_background, n_features)``: usually training profiles.
    n_draws
        Baselines drawn for each row. Each has its own place on the path, and the places cover it evenly.
    seed
        Of the draws.

    Returns
    -------
    Attribution
        ``baseline_output`` is the mean of the function over the background, ``gap`` the error of drawing.

    Raises
    ------
    ValueError
        If there is no background, or its features differ.

    Examples
    --------
    >>> x, background = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    >>> found = expected_gradients(lambda x: 3 * x[:, 1], x, background)
    >>> found.contributions[0].round(3).tolist(), found.baseline_output.tolist()
    ([[0.0, 6.0]], [0.0])
    """
    if n_draws < 1 or not len(background) or background.shape[1:] != inputs.shape[1:] or inputs.ndim != 2:
        raise ValueError(
            "expected gradients need inputs (n, n_features), one draw at least, and background rows of the same "
            f"features; received inputs {tuple(inputs.shape)}, background {tuple(background.shape)} and "
            f"n_draws={n_draws}. Correct these."
        )
    rng = np.random.default_rng(seed)
    inputs, background, n = inputs.detach(), background.detach(), len(inputs)
    with torch.no_grad():
        output, usual = function(inputs), function(background).mean(dim=0, keepdim=True)
    parts, size = [inputs.new_zeros(0, *inputs.shape[1:], *output.shape[1:])], max(1, CHUNK // n_draws)
    for at in range(0, n, size):
        x = inputs[at : at + size]
        drawn = background[torch.from_numpy(rng.integers(len(background), size=(n_draws, len(x))))]
        strata = rng.permuted(np.tile(np.arange(n_draws)[:, None], len(x)), axis=0)
        t = torch.from_numpy((strata + rng.random(strata.shape)) / n_draws).to(x)[..., None]
        way = (x - drawn).flatten(0, 1)
        (slope,) = slopes(function, [(drawn + t * (x - drawn)).flatten(0, 1)])
        parts.append(_times(slope, way).unflatten(0, (n_draws, -1)).mean(dim=0))
    return Attribution([torch.cat(parts).cpu().numpy()], output.cpu().numpy(), usual.expand_as(output).cpu().numpy())


def backprojected(contributions: np.ndarray, components: np.ndarray) -> np.ndarray:
    r"""Contributions of components spread over genes by the loadings, as Deep-pert published it.

    :math:`b_g = \sum_k a_k C_{kg}`. This is no attribution of genes: :math:`\sum_g b_g \ne f(x) - f(x')`, and signs
    may be wrong. The exact rule multiplies the *gradient* by the loadings and then by the gene's own difference; it
    is what gradients through :class:`galenic.nn.blocks.Project` give.

    Parameters
    ----------
    contributions
        Of the components, ``(n, n_components)`` or ``(n, n_components, n_outputs)``.
    components
        Loadings, ``(n_components, n_genes)``.

    Returns
    -------
    ndarray
        ``(n, n_genes)`` or ``(n, n_genes, n_outputs)``.

    Raises
    ------
    ValueError
        If the numbers of components differ.

    Examples
    --------
    >>> backprojected(np.array([[2.0]]), np.array([[0.6, -0.8]]))
    array([[ 1.2, -1.6]])
    """
    if contributions.ndim not in (2, 3) or contributions.shape[1] != len(components):
        raise ValueError(
            "contributions (n, n_components[, n_outputs]) and components (n_components, n_genes) should have the same "
            f"components; received {contributions.shape} and {components.shape}. Use the loadings of the same PCA."
        )
    return np.asarray(np.einsum("nk...,kg->ng...", contributions, components, optimize=True))


def slopes(function: Callable[..., Tensor], points: Sequence[Tensor]) -> list[Tensor]:
    """Gradients of a function at points, one tensor an input; several outputs are the last axis.

    The function is computed once, whatever the number of outputs.
    """
    points = [x.detach().requires_grad_() for x in points]
    # An input that the function does not read (a mask) has a slope of 0.
    output = function(*points)
    found = [
        torch.autograd.grad(total, points, retain_graph=output.ndim > 1, allow_unused=True, materialize_grads=True)
        for total in (output.sum(dim=0) if output.ndim > 1 else [output.sum()])
    ]
    if output.ndim == 1:
        return list(found[0])
    return [torch.stack([one[number] for one in found], dim=-1) for number in range(len(points))]


def _require_matching(inputs: Sequence[Tensor], baselines: Sequence[Tensor], n_steps: int) -> None:
    fit = len(inputs) == len(baselines) and len({len(x) for x in inputs}) == 1
    if n_steps < 1 or not fit or any(not _matches(*pair) for pair in zip(inputs, baselines, strict=True)):
        raise ValueError(
            "integrated gradients need one step at least, and for each input a baseline of its shape or of one row; "
            f"received n_steps={n_steps}, inputs {[tuple(x.shape) for x in inputs]} and "
            f"baselines {[tuple(x.shape) for x in baselines]}. Correct these."
        )


def _matches(x: Tensor, baseline: Tensor) -> bool:
    """Whether a baseline has the shape of an input, or of one of its rows."""
    return x.shape[1:] == baseline.shape[1:] and x.ndim == baseline.ndim and len(baseline) in (1, len(x))


def _times(slope: Tensor, way: Tensor) -> Tensor:
    """Slopes times ways; slopes may have an axis of outputs more."""
    return slope * (way if slope.ndim == way.ndim else way[..., None])


def path(n_steps: int, rule: Rule, like: Tensor) -> tuple[Tensor, Tensor]:
    """Points in [0, 1) and their weights, which sum to 1."""
    if rule in ("midpoint", "left"):
        shift = 0.5 if rule == "midpoint" else 0.0
        points, weights = (np.arange(n_steps) + shift) / n_steps, np.full(n_steps, 1 / n_steps)
    elif rule == "gauss-legendre":
        points, weights = np.polynomial.legendre.leggauss(n_steps)
        points, weights = (points + 1) / 2, weights / 2
    else:
        raise ValueError(
            f'rule should be "gauss-legendre", "midpoint" or "left"; received {rule!r}. Choose one of them.'
        )
    return torch.as_tensor(points).to(like), torch.as_tensor(weights).to(like)
