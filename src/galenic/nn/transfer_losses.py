"""Losses that bring two domains together (bulk and single cells), and a student to its teacher's directions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Usual multiples of the median kernel width for several kernels at once."""


def mmd(
    x: Tensor,
    y: Tensor,
    *,
    scales: Sequence[float] = (1.0,),
    unbiased: bool = False,
    gamma: float | Tensor | None = None,
) -> Tensor:
    r"""Squared maximum mean discrepancy of two batches under Gaussian kernels; by default as scATD computes it.

    Parameters
    ----------
    x, y
        Latents of both domains, ``(n_x, width)`` and ``(n_y, width)``; the numbers of rows may differ.
    scales
        Kernels :math:`\exp(-s\,\gamma\,|a - b|^2)` that are averaged, one for each positive scale ``s``; several
        (:data:`SCALES`) see differences of several sizes.
    unbiased
        Leave the kernel of a row with itself out of the means: about 0 for equal distributions, also below.
    gamma
        Width of the kernel. By default :func:`median_gamma` of both batches together, through which gradients flow, as
        published; to hold it fixed give a number.

    Returns
    -------
    torch.Tensor
        A scalar.

    Raises
    ------
    ValueError
        If the widths differ, a batch has too few rows (two, or one where biased), or a scale is not positive.

    Notes
    -----
    Gretton et al., JMLR 2012, 13:723, equations 3 (unbiased) and 5. Gradients through gamma let a network lower the
    discrepancy by spreading all latents: prefer a fixed gamma or several scales where that matters.

    Examples
    --------
    >>> x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [3.0]])
    >>> round(mmd(x, y, gamma=1.0).item(), 3), mmd(x, x).item()
    (0.466, 0.0)
    """
    _check_domains(x, y, 1 + unbiased)
    if not scales or min(scales) <= 0:
        raise ValueError(f"scales should be one or more numbers above 0; received {tuple(scales)}. Correct these.")
    squares = _squares(torch.cat([x, y]))
    width = (_median_gamma(squares) if gamma is None else gamma) * squares
    kernel = torch.stack([torch.exp(-scale * width) for scale in scales]).mean(dim=0)
    n = len(x)
    within, between = [kernel[:n, :n], kernel[n:, n:]], kernel[:n, n:]
    if not unbiased:
        return within[0].mean() + within[1].mean() - 2 * between.mean()
    own = [(side.sum() - side.diagonal().sum()) / (len(side) * (len(side) - 1)) for side in within]
    return own[0] + own[1] - 2 * between.mean()


def median_gamma(x: Tensor, y: Tensor) -> Tensor:
    """1 / (2 x squared median distance) between the rows of both batches together; 1 where that distance is 0.

    The median is the lower of the two in the middle, as torch takes it; gradients flow through it.

    Examples
    --------
    >>> median_gamma(torch.tensor([[0.0]]), torch.tensor([[2.0]])).item()
    0.125
    """
    _check_domains(x, y, 1)
    return _median_gamma(_squares(torch.cat([x, y])))


def coral(x: Tensor, y: Tensor) -> Tensor:
    r"""Distance of the covariances of two batches, :math:`|C_x - C_y|_F^2 / (4\,d^2)` for latents of width ``d``.

    Parameters
    ----------
    x, y
        Latents of both domains, ``(n_x, width)`` and ``(n_y, width)``, at least two rows each.

    Notes
    -----
    Sun and Saenko, ECCV workshops 2016. Means do not count.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [2.0]])
    >>> coral(x, 2 * x + 5).item()
    9.0
    """
    _check_domains(x, y, 2)
    difference = torch.cov(x.T).reshape(x.shape[1], -1) - torch.cov(y.T).reshape(x.shape[1], -1)
    return difference.square().sum() / (4 * x.shape[1] ** 2)


def reverse_gradient(x: Tensor, weight: float = 1.0) -> Tensor:
    """``x`` itself, whose gradient is turned round and multiplied by ``weight`` on the way back.

    Examples
    --------
    >>> x = torch.ones(2, requires_grad=True)
    >>> reverse_gradient(x, 0.5).sum().backward()
    >>> x.grad.tolist()
    [-0.5, -0.5]
    """
    reversed_: Tensor = _Reversed.apply(x, weight)
    return reversed_


def domain_confusion(critic: nn.Module, source: Tensor, target: Tensor, *, weight: float = 1.0) -> Tensor:
    """Cross-entropy of a critic that tells target from source; what made the latents learns to deceive it.

    Parameters
    ----------
    critic
        Network from latents ``(n, width)`` to one logit, ``(n, 1)``: above 0 = target.
    source, target
        Latents of both domains; each domain counts half, whatever its number of rows.
    weight
        Of the turned gradient that reaches the latents, 0 or more; the critic learns at full weight.

    Returns
    -------
    torch.Tensor
        A scalar; log 2 where the critic is at chance.

    Notes
    -----
    Ganin et al., JMLR 2016, 17:59. See :func:`reversal_at` for its schedule.

    Examples
    --------
    >>> critic = torch.nn.Linear(2, 1)
    >>> _ = torch.nn.init.zeros_(critic.weight), torch.nn.init.zeros_(critic.bias)
    >>> round(domain_confusion(critic, torch.zeros(3, 2), torch.ones(5, 2)).item(), 4)
    0.6931
    """
    _check_domains(source, target, 1)
    # One pass for both: batch norm in the critic must not see the domains apart.
    logits = critic(reverse_gradient(torch.cat([source, target]), weight)).reshape(-1)
    n = len(source)
    losses = functional.softplus(torch.cat([logits[:n], -logits[n:]]))
    return (losses[:n].mean() + losses[n:].mean()) / 2


def reversal_at(progress: float, steepness: float = 10.0) -> float:
    """Weight of the turned gradient over training, from 0 to nearly 1: ``2 / (1 + exp(-steepness * progress)) - 1``.

    Examples
    --------
    >>> round(reversal_at(0.0), 3), round(reversal_at(0.5), 3)
    (0.0, 0.987)
    """
    return 2 / (1 + math.exp(-steepness * progress)) - 1


def distill_direction(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean of 1 - cosine between the latents of student and teacher, for the same cells; only directions count.

    Parameters
    ----------
    student, teacher
        Latents of the same cells, ``(n, width)``. No gradient reaches the teacher.

    Raises
    ------
    ValueError
        If shapes differ.

    Examples
    --------
    >>> distill_direction(torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, -1.0]])).item()
    1.0
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"student and teacher should have latents of one shape; received {tuple(student.shape)} and "
            f"{tuple(teacher.shape)}. Give both the same cells and the same number of latents."
        )
    return 1 - functional.cosine_similarity(student, teacher.detach(), dim=1).mean()


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        return -ctx.weight * slopes[0], None


def _squares(rows: Tensor) -> Tensor:
    """Squared distances of all pairs of rows, around their mean so that little is lost where squares cancel."""
    rows = rows - rows.mean(dim=0).detach()
    lengths = rows.square().sum(dim=1)
    squares = (lengths[:, None] + lengths - 2 * rows @ rows.T).clamp(min=0)
    return squares.masked_fill(torch.eye(len(rows), dtype=torch.bool, device=rows.device), 0.0)


def _median_gamma(squares: Tensor) -> Tensor:
    one, other = torch.triu_indices(len(squares), len(squares), 1, device=squares.device)
    median = squares[one, other].median()
    return 1 / (2 * torch.where(median > 0, median, 0.5))


def _check_domains(x: Tensor, y: Tensor, fewest: int) -> None:
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < fewest:
        raise ValueError(
            f"two domains should be matrices of one width with at least {fewest} row(s) each; received "
            f"{tuple(x.shape)} and {tuple(y.shape)}. Give both through the same encoder, in larger batches."
        )
