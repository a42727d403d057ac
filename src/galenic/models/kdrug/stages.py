"""The stages of KDRUG as steps of training: the teacher, its tuning, and the student's distillation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from galenic.nn.losses import distill_soft, relation
from galenic.work.processes import gathered

RELATED = 512
"""Pairs of a batch that are related to each other: the published batch; the cost grows with its square."""

Step = Callable[[nn.Module, Mapping[str, Any], float], dict[str, Tensor]]


def squared(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error."""
    return (prediction - truth).square().mean()


def fit_step(hide: float) -> Step:
    """Stages 1 and 2: squared error of the prediction.

    ``hide`` is the share of cells from which a privileged modality is hidden, each by itself, so that the network can
    answer without it.
    """

    def step(net: nn.Module, batch: Mapping[str, Any], progress: float) -> dict[str, Tensor]:
        batch = hidden(batch, hide) if net.training and hide else batch
        return {"fit": squared(net(batch)["prediction"], batch["target"])}

    return step


def hidden(batch: Mapping[str, Any], share: float) -> dict[str, Any]:
    """The batch with a share of its cells without each privileged modality."""
    cells = dict(batch["cells"])
    for name, has in batch["cells"].items():
        if name.startswith("has "):
            cells[name] = has.bool() & (torch.rand(has.shape, device=has.device) >= share)
    return {**batch, "cells": cells}


def privileged_step(gap: float) -> Step:
    """Stage 3: the main head follows the other head and the truth; its cell vectors follow those of each modality.

    ``0.5 MSE(others, main) + 0.5 MSE(main, truth) + gap * sum over modalities of MSE(main vector, its vector)``. The
    published code takes Frobenius norms over the batch, which grow with it; here means.
    """

    def step(net: nn.Module, batch: Mapping[str, Any], progress: float) -> dict[str, Tensor]:
        answer = net(batch)
        main, others = answer["main_cells"], answer["other_cells"]
        parts = others.split(main.shape[1], dim=1)
        return {
            "agree": 0.5 * squared(answer["main"], answer["others"].detach()),
            "fit": 0.5 * squared(answer["main"], batch["target"]),
            "gap": gap * torch.stack([squared(main, part.detach()) for part in parts]).sum(),
        }

    return step


def structure_step(net: nn.Module, batch: Mapping[str, Any], progress: float) -> dict[str, Tensor]:
    """What the graph of a drug says, as if the drug were new: squared error with every identity hidden."""
    drugs = {**batch["drugs"], "known": torch.full_like(batch["drugs"]["known"], -1)}
    return {"structure": squared(net({**batch, "drugs": drugs})["prediction"], batch["target"])}


def distil_step(
    hard: float, soft: float, relation_weight: float, hide: float, detach: bool, as_published: bool
) -> Step:
    """The student: error against the truth, error against the teacher, and relations between pairs (RAD).

    The teacher's outputs come with the batch (``teacher`` of pairs, of drugs and of cells): they are computed once, in
    evaluation mode and without gradients. A term of weight 0 is absent.
    """

    def step(net: nn.Module, batch: Mapping[str, Any], progress: float) -> dict[str, Tensor]:
        batch = hidden(batch, hide) if net.training and hide else batch
        answer, terms = net(batch), {}
        prediction = answer["prediction"]
        if hard:
            terms["fit"] = hard * squared(prediction, batch["target"])
        if soft:
            terms["distil"] = soft * distill_soft(prediction, batch["teacher"])
        if relation_weight:
            drug, cell = batch["drug"], batch["cell"]
            student = torch.cat([answer["drugs"][drug], answer["main_cells"][cell]], dim=1)
            teacher = torch.cat([batch["drugs"]["teacher"][drug], batch["cells"]["teacher"][cell]], dim=1)
            pairs = [gathered(rows) for rows in (student, teacher, prediction, batch["teacher"])]
            # Rows are sorted by cell: the first ones would all be of one.
            few = torch.randperm(len(pairs[0]), device=prediction.device)[:RELATED]
            terms["relation"] = relation_weight * relation(
                *(rows[few] for rows in pairs), detach=detach, as_published=as_published
            )
        return terms

    return step
