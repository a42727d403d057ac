"""Losses on the unit sphere against plain loops and the reference library."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from galenic.nn.angular import AngularLoss, class_losses

N, CLASSES, WIDTH, SCALE, MARGIN = 12, 5, 4, 7.0, 0.4
COUNTS = torch.tensor([10, 3, 3, 1, 40])


def profiles(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(N, WIDTH, generator=generator), dim=1), torch.arange(N) % CLASSES


def made(kind: Any, **how: Any) -> AngularLoss:
    torch.manual_seed(1)
    return AngularLoss(kind, COUNTS, WIDTH, scale=SCALE, **how)


def naive(loss: AngularLoss, embedding: Tensor, label: Tensor, margins: list[float]) -> float:
    """The loss of each profile by plain loops over classes, centres and angles."""
    total = weight = 0.0
    for row, own in zip(embedding.tolist(), label.tolist(), strict=True):
        logits = []
        for number, centres in enumerate(loss.centres.tolist()):
            cosines = []
            for centre in centres:
                length = math.sqrt(sum(c * c for c in centre))
                cosines.append(sum(a * b for a, b in zip(row, centre, strict=True)) / length)
            cosine = max(cosines)
            if number == own and loss.kind == "cosface":
                cosine -= margins[own]
            if number == own and loss.kind == "arcface":
                angle, m = math.acos(cosine), margins[own]
                cosine = math.cos(angle + m) if angle <= math.pi - m else cosine - m * math.sin(m)
            logits.append(SCALE * cosine)
        log_sum = math.log(sum(map(math.exp, logits)))
        share = [loss.smoothing / CLASSES + (1 - loss.smoothing) * (number == own) for number in range(CLASSES)]
        total += float(loss.weights[own]) * sum(s * (log_sum - logit) for s, logit in zip(share, logits, strict=True))
        weight += float(loss.weights[own])
    return total / weight


@pytest.mark.parametrize("kind", ["cosine", "arcface", "cosface"])
@pytest.mark.parametrize(
    "how", [{}, {"margin": MARGIN}, {"n_centres": 3, "margin": MARGIN}, {"smoothing": 0.1}, {"balance": 0.5}]
)
def test_class_losses_equal_a_loop(kind: Any, how: dict[str, Any]) -> None:
    loss, (embedding, label) = made(kind, **how), profiles()
    assert loss(embedding, label).item() == pytest.approx(
        naive(loss, embedding, label, loss.margins.tolist()), rel=1e-5
    )


def test_arcface_is_monotone_beyond_pi_less_the_margin() -> None:
    """A profile opposite to its class must cost more than one that is less so."""
    angles = torch.linspace(0.01, math.pi - 0.01, 200, dtype=torch.float64)
    embedding = torch.stack([angles.cos(), angles.sin(), torch.zeros(200)], dim=1)
    centres = torch.tensor([[[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]]], dtype=torch.float64)
    label, margins = torch.zeros(200, dtype=torch.long), torch.full((200,), 1.0, dtype=torch.float64)
    scale = torch.tensor(1.0, dtype=torch.float64)
    own = class_losses(embedding, label, centres, scale, margins, "arcface")
    assert (own.diff() > 0).all()


def test_contrastive_equals_a_loop() -> None:
    loss, (embedding, _) = made("contrastive"), profiles()
    label = torch.tensor([0, 0, 0, 1, 1, 2, 3, 3, 4, 4, 4, 4])
    values = []
    for i in range(N):
        others = [j for j in range(N) if j != i]
        positives = [j for j in others if label[j] == label[i]]
        if positives:
            similar = {j: math.exp(SCALE * float(embedding[i] @ embedding[j])) for j in others}
            logs = [math.log(similar[p] / sum(similar.values())) for p in positives]
            values.append(-sum(logs) / len(positives))
    assert len(values) == N - 1
    assert loss(embedding, label).item() == pytest.approx(sum(values) / len(values), rel=1e-5)


def reference(name: str, **how: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        losses = pytest.importorskip("pytorch_metric_learning.losses", reason="needs pytorch-metric-learning")
        return getattr(losses, name)(**how)


@pytest.mark.parametrize(
    ("kind", "name", "how", "ours"),
    [
        ("cosine", "NormalizedSoftmaxLoss", {"temperature": 1 / SCALE}, {}),
        ("arcface", "ArcFaceLoss", {"margin": math.degrees(MARGIN), "scale": SCALE}, {"margin": MARGIN}),
        ("cosface", "CosFaceLoss", {"margin": MARGIN, "scale": SCALE}, {"margin": MARGIN}),
        (
            "arcface",
            "SubCenterArcFaceLoss",
            {"margin": math.degrees(MARGIN), "scale": SCALE, "sub_centers": 3},
            {"margin": MARGIN, "n_centres": 3},
        ),
    ],
)
def test_class_losses_equal_the_reference(kind: Any, name: str, how: dict[str, Any], ours: dict[str, Any]) -> None:
    other = reference(name, num_classes=CLASSES, embedding_size=WIDTH, **how)
    loss, (embedding, label) = made(kind, **ours), profiles()
    with torch.no_grad():
        other.W.copy_(loss.centres.flatten(0, 1).T)
    assert loss(embedding, label).item() == pytest.approx(other(embedding, label).item(), rel=1e-5)


def test_contrastive_equals_the_reference() -> None:
    other = reference("SupConLoss", temperature=1 / SCALE)
    embedding, label = profiles()
    assert made("contrastive")(embedding, label).item() == pytest.approx(other(embedding, label).item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["cosine", "arcface", "cosface"])
def test_blocks_of_classes_give_the_same_loss_and_gradient(kind: Any) -> None:
    found = []
    for block in (10**6, 25):
        embedding, label = profiles()
        embedding.requires_grad_()
        centres = F.normalize(torch.randn(CLASSES, 2, WIDTH, generator=torch.Generator().manual_seed(3)), dim=2)
        centres.requires_grad_()
        losses = class_losses(
            embedding, label, centres, torch.tensor(SCALE), torch.full((N,), MARGIN), kind, 0.1, block=block
        )
        losses.mean().backward()
        found.append((losses.detach(), embedding.grad, centres.grad))
    for whole, parts in zip(*found, strict=True):
        torch.testing.assert_close(whole, parts)


def test_a_margin_of_0_is_the_cosine_softmax() -> None:
    embedding, label = profiles()
    for kind in ("arcface", "cosface"):
        torch.testing.assert_close(made(kind)(embedding, label), made("cosine")(embedding, label), rtol=1e-5, atol=0)


def test_the_margin_grows_with_the_progress() -> None:
    loss, (embedding, label) = made("arcface", margin=MARGIN, ramp=0.5), profiles()
    found = [loss(embedding, label, progress).item() for progress in (0.0, 0.25, 0.5, 1.0)]
    assert found[0] == pytest.approx(made("cosine")(embedding, label).item(), rel=1e-5)
    assert found[0] < found[1] < found[2] == found[3]


def test_rare_classes_get_the_full_margin() -> None:
    margins = made("arcface", margin=MARGIN, rare=0.25).margins
    torch.testing.assert_close(margins, MARGIN * COUNTS.float() ** -0.25)


def test_profiles_without_a_class_are_left_out() -> None:
    loss, (embedding, label) = made("arcface", margin=MARGIN), profiles()
    some = torch.where(torch.arange(N) < 6, label, -1)
    torch.testing.assert_close(loss(embedding, some), loss(embedding[:6], label[:6]))
    assert loss(embedding, torch.full((N,), -1)).item() == 0


def test_the_scale_and_the_centres_learn() -> None:
    loss, (embedding, label) = made("arcface", margin=MARGIN), profiles()
    loss(embedding, label).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in loss.parameters())


def test_forbidden_values_are_refused() -> None:
    with pytest.raises(ValueError, match="margin in"):
        made("arcface", margin=2.0)
