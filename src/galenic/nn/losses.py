"""Losses beyond those of torch: what a student learns from its teacher, and what keeps two codes apart."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional

GAP_WEIGHT = 100.0
"""Weight of a difference of 1 between the predictions of student and teacher, as published."""


def distill_soft(student_prediction: Tensor, teacher_prediction: Tensor) -> Tensor:
    """Mean squared difference of the predictions of student and teacher; no gradient reaches the teacher.

    Parameters
    ----------
    student_prediction, teacher_prediction
        Predictions of the same pairs, ``(n_pairs,)`` or ``(n_pairs, 1)``.

    Raises
    ------
    ValueError
        If there are not as many of one as of the other.

    Examples
    --------
    >>> import torch
    >>> distill_soft(torch.tensor([0.5, 0.5]), torch.tensor([[0.5], [0.7]])).item()
    0.019999...
    """
    student_prediction, teacher_prediction = student_prediction.reshape(-1), teacher_prediction.detach().reshape(-1)
    _require_same_pairs(len(student_prediction), len(teacher_prediction))
    return functional.mse_loss(student_prediction, teacher_prediction)


def relation(
    student: Tensor,
    teacher: Tensor,
    student_prediction: Tensor,
    teacher_prediction: Tensor,
    *,
    detach: bool = True,
    reduction: Literal["mean", "sum", "none"] = "mean",
    as_published: bool = False,
) -> Tensor:
    """Relation-aware distillation (RAD): pairs should resemble each other in the student as they do in the teacher.

    Parameters
    ----------
    student, teacher
        Features of the same pairs, ``(n_pairs, width)``; the two widths may differ.
    student_prediction, teacher_prediction
        Predictions of these pairs on the normalised scale, ``(n_pairs,)`` or ``(n_pairs, 1)``.
    detach
        Take the weights as constants. Otherwise their gradient pulls the predictions together as well.
    reduction
        ``"mean"`` or ``"sum"`` over pairs, or ``"none"`` for one value a pair, ``(n_pairs,)``.
    as_published
        The loss as the published code computes it; then ``detach`` and ``reduction`` count for nothing (see Notes).

    Raises
    ------
    ValueError
        If features and predictions are not of the same number of pairs, or the reduction is not known.

    Notes
    -----
    With ``A`` the Gram matrix of the features, rows scaled to length 1, pair ``i`` costs
    ``100 |gap_i| * sum_j (A_student[i, j] - A_teacher[i, j])^2``, so that pairs on which student and teacher disagree
    are aligned harder (KDRUG, class ``MAD``). No gradient reaches the teacher.

    The published code multiplies rows ``(n,)`` by weights ``(n, 1)``: every weight meets every row, the sum becomes
    ``(sum of rows) * (sum of weights)``, grows with the square of the batch and no longer weighs pairs; its weights
    carry gradient. The default is the mean over pairs, which does not change with the size of the batch: for its
    published balance with other terms multiply by the size of the batch, or take ``reduction="sum"``.

    Examples
    --------
    >>> import torch
    >>> student, teacher = torch.eye(3), torch.ones(3, 2)
    >>> relation(student, teacher, torch.tensor([0.5, 0.5, 0.6]), torch.full((3,), 0.5), reduction="none").tolist()
    [0.0, 0.0, 8.45...]
    """
    student_prediction, teacher_prediction = student_prediction.reshape(-1), teacher_prediction.detach().reshape(-1)
    _require_same_pairs(len(student), len(teacher), len(student_prediction), len(teacher_prediction))
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'reduction should be "mean", "sum" or "none"; received {reduction!r}. Choose one of them.')
    rows = (_relations(student) - _relations(teacher.detach())).square().sum(dim=1)
    weights = GAP_WEIGHT * (student_prediction - teacher_prediction).abs()
    if as_published:
        return rows.sum() * weights.sum()
    losses = rows * (weights.detach() if detach else weights)
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()


def _relations(features: Tensor) -> Tensor:
    """Gram matrix ``(n, n)`` of features ``(n, width)``, each row of length 1."""
    return functional.normalize(features @ features.T, dim=1)


def _require_same_pairs(*numbers: int) -> None:
    if len(set(numbers)) > 1:
        raise ValueError(
            f"student and teacher should be compared on the same pairs; received {', '.join(map(str, numbers))} of "
            "them. Give one row and one prediction for each pair, from both."
        )


def orthogonality(state: Tensor, effect: Tensor, *, cosine: bool = False) -> Tensor:
    """Mean squared inner product of paired rows; 0 where each state is orthogonal to its effect.

    Parameters
    ----------
    state, effect
        Codes of the same profiles, ``(n, width)``.
    cosine
        Of rows of length 1, so that shrinking the codes does not lower it.

    Notes
    -----
    Equal to the mean squared diagonal of ``state @ effect.T`` (XTransferCDR), without that ``(n, n)`` product. Codes
    that passed a ReLU are not negative: orthogonal then means that no unit is active in both.

    Examples
    --------
    >>> import torch
    >>> orthogonality(torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0]])).item()
    36.0
    """
    if cosine:
        state, effect = functional.normalize(state, dim=1), functional.normalize(effect, dim=1)
    return (state * effect).sum(dim=1).square().mean()


def discrepancy(left: Tensor, right: Tensor, *, kind: Literal["kl", "symmetric", "mse"] = "kl") -> Tensor:
    """How far the codes of what two profiles share are apart, mean over pairs.

    Parameters
    ----------
    left, right
        Codes of pairs, ``(n, width)``.
    kind
        ``"kl"``: KL(softmax(right) || softmax(left)) over the units of a code (published; a constant added to a code
        costs nothing, and left and right are not treated alike); ``"symmetric"``: the mean of both directions;
        ``"mse"``: mean squared difference.

    Examples
    --------
    >>> import torch
    >>> discrepancy(torch.zeros(2, 3), torch.ones(2, 3)).item()
    0.0
    """
    if kind == "mse":
        return functional.mse_loss(left, right)
    logs = [codes.log_softmax(dim=1) for codes in (left, right)]
    forth = functional.kl_div(logs[0], logs[1], log_target=True, reduction="batchmean")
    if kind == "kl":
        return forth
    return (forth + functional.kl_div(logs[1], logs[0], log_target=True, reduction="batchmean")) / 2
