"""Losses between domains: against loops, the published numbers, numpy twins and finite differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from galenic import evaluate
from galenic.nn.transfer_losses import (
    SCALES,
    coral,
    distill_direction,
    domain_confusion,
    median_gamma,
    mmd,
    reversal_at,
    reverse_gradient,
)


@pytest.fixture
def domains(rng: np.random.Generator) -> list[torch.Tensor]:
    """Seven and five rows of width three, the second domain elsewhere and wider."""
    return [torch.tensor(x) for x in (rng.normal(size=(7, 3)), 1 + 2 * rng.normal(size=(5, 3)))]


def loop(x: torch.Tensor, y: torch.Tensor, gammas: list[float], unbiased: bool) -> float:
    """The discrepancy by the book, averaged over kernels."""

    def mean(a: torch.Tensor, b: torch.Tensor, same: bool) -> float:
        values = [
            sum(np.exp(-gamma * float(((a[i] - b[j]) ** 2).sum())) for gamma in gammas) / len(gammas)
            for i in range(len(a))
            for j in range(len(b))
            if not (same and unbiased and i == j)
        ]
        return sum(values) / len(values)

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


def loop_gamma(x: torch.Tensor, y: torch.Tensor) -> float:
    rows = [*x, *y]
    distances = sorted(
        float(((rows[i] - rows[j]) ** 2).sum()) ** 0.5 for i in range(len(rows)) for j in range(i + 1, len(rows))
    )
    return 1 / (2 * distances[(len(distances) - 1) // 2] ** 2)


@pytest.mark.real
def test_the_published_discrepancy_is_reproduced(shared: Path) -> None:
    golden = np.load(shared / "golden" / "scatd_mmd.npz")
    x, y = (torch.from_numpy(golden[name]) for name in "xy")
    assert median_gamma(x, y).item() == pytest.approx(float(golden["gamma"]), rel=1e-5)
    assert mmd(x, y).item() == pytest.approx(float(golden["mmd"]), rel=1e-5)


@pytest.mark.parametrize("unbiased", [False, True])
def test_discrepancy_equals_the_loop(domains: list[torch.Tensor], unbiased: bool) -> None:
    gamma = loop_gamma(*domains)
    assert median_gamma(*domains).item() == pytest.approx(gamma)
    assert mmd(*domains, unbiased=unbiased).item() == pytest.approx(loop(*domains, [gamma], unbiased))
    assert mmd(*domains, unbiased=unbiased, gamma=0.3).item() == pytest.approx(loop(*domains, [0.3], unbiased))
    several = mmd(*domains, unbiased=unbiased, scales=SCALES).item()
    assert several == pytest.approx(loop(*domains, [scale * gamma for scale in SCALES], unbiased))


def test_discrepancy_is_that_of_the_evaluation(domains: list[torch.Tensor]) -> None:
    x, y = (domain.numpy() for domain in domains)
    for unbiased in (False, True):
        expected = evaluate.mmd(x, y, 0.3, unbiased=unbiased)
        assert mmd(*domains, gamma=0.3, unbiased=unbiased).item() == pytest.approx(expected)


def test_laws_of_the_discrepancy(domains: list[torch.Tensor]) -> None:
    x, y = domains
    for how in ({}, {"unbiased": True}, {"scales": SCALES, "unbiased": True}):
        torch.testing.assert_close(mmd(x, y, **how), mmd(y, x, **how))
        # Neither where the latents lie nor, with the median width, in which unit they are matters.
        torch.testing.assert_close(mmd(5 * x + 100, 5 * y + 100, **how), mmd(x, y, **how))
        torch.testing.assert_close(mmd(x.flip(0), y.flip(0), **how), mmd(x, y, **how))
    assert mmd(x, x).item() == pytest.approx(0, abs=1e-12)
    assert mmd(x, y).item() > 0


def test_unbiased_means_no_bias() -> None:
    """Over many draws of one distribution the mean is 0; the biased form's is not."""
    generator = torch.Generator().manual_seed(0)
    values = {False: [], True: []}
    for _ in range(400):
        x, y = torch.randn(2, 8, 2, generator=generator, dtype=torch.float64)
        for unbiased in values:
            values[unbiased].append(mmd(x, y, gamma=0.5, unbiased=unbiased).item())
    error = np.std(values[True]) / 20
    assert abs(np.mean(values[True])) < 3 * error
    assert np.mean(values[False]) > 20 * error


def test_gradient_flows_through_the_width(domains: list[torch.Tensor]) -> None:
    x, y = (domain.requires_grad_() for domain in domains)
    assert torch.autograd.gradcheck(mmd, (x, y))
    assert torch.autograd.gradcheck(lambda x, y: mmd(x, y, scales=SCALES, unbiased=True), (x, y))
    free = torch.autograd.grad(mmd(x, y), x)[0]
    fixed = torch.autograd.grad(mmd(x, y, gamma=median_gamma(x, y).detach()), x)[0]
    assert not torch.allclose(free, fixed)
    # Nothing changes when all latents grow together, so the published gradient has no part along them.
    along = (free * x).sum() + (torch.autograd.grad(mmd(x, y), y)[0] * y).sum()
    assert along.item() == pytest.approx(0, abs=1e-9)


def test_equal_rows_have_a_finite_gradient() -> None:
    x = torch.ones(4, 3, requires_grad=True)
    for how in ({}, {"unbiased": True, "scales": SCALES}):
        value = mmd(x, torch.ones(3, 3), **how)
        assert value.item() == pytest.approx(0, abs=1e-6)
        assert torch.isfinite(torch.autograd.grad(value, x)[0]).all()


def test_coral_equals_numpy(domains: list[torch.Tensor]) -> None:
    x, y = domains
    expected = ((np.cov(x.numpy().T) - np.cov(y.numpy().T)) ** 2).sum() / (4 * 9)
    assert coral(x, y).item() == pytest.approx(expected)
    torch.testing.assert_close(coral(x + 7, y - 3), coral(x, y))
    assert coral(x, x + 1).item() == pytest.approx(0, abs=1e-12)
    one = (np.var(x[:, 0].numpy(), ddof=1) - np.var(y[:, 0].numpy(), ddof=1)) ** 2 / 4
    assert coral(x[:, :1], y[:, :1]).item() == pytest.approx(one)
    assert torch.autograd.gradcheck(coral, tuple(domain.requires_grad_() for domain in domains))


def test_gradient_is_turned(domains: list[torch.Tensor]) -> None:
    x = domains[0].requires_grad_()
    assert torch.equal(reverse_gradient(x), x)
    plain = torch.autograd.grad(x.sin().sum(), x)[0]
    for weight in (0.0, 1.0, 0.3):
        turned = torch.autograd.grad(reverse_gradient(x, weight).sin().sum(), x)[0]
        torch.testing.assert_close(turned, -weight * plain)


def test_confusion_is_a_balanced_cross_entropy(domains: list[torch.Tensor]) -> None:
    critic = nn.Linear(3, 1).double()
    x, y = (domain.requires_grad_() for domain in domains)
    logits = critic(torch.cat([x, y]))[:, 0]
    label = torch.tensor([0.0] * 7 + [1.0] * 5, dtype=torch.float64)
    balance = torch.tensor([0.5 / 7] * 7 + [0.5 / 5] * 5, dtype=torch.float64)
    expected = nn.functional.binary_cross_entropy_with_logits(logits, label, balance, reduction="sum")
    value = domain_confusion(critic, x, y, weight=0.5)
    torch.testing.assert_close(value, expected)
    ours = torch.autograd.grad(value, [x, y, critic.weight])
    theirs = torch.autograd.grad(expected, [x, y, critic.weight])
    torch.testing.assert_close(ours[0], -0.5 * theirs[0])
    torch.testing.assert_close(ours[1], -0.5 * theirs[1])
    torch.testing.assert_close(ours[2], theirs[2])


def test_latents_learn_to_deceive() -> None:
    """A shift between domains that an encoder can undo is undone, so that the critic ends at chance."""
    generator = torch.Generator().manual_seed(0)
    source, target = torch.randn(200, 2, generator=generator), torch.randn(200, 2, generator=generator) + 3
    shift, critic = nn.Parameter(torch.zeros(2)), nn.Linear(2, 1)
    nn.init.zeros_(critic.weight)
    optimizer = torch.optim.Adam([shift, *critic.parameters()], lr=0.02)
    for _ in range(600):
        optimizer.zero_grad()
        domain_confusion(critic, source, target + shift).backward()
        optimizer.step()
    assert (source.mean(0) - (target + shift).mean(0)).norm().item() < 0.7
    assert shift.detach().max().item() < -2


def test_the_schedule_rises_from_nothing() -> None:
    values = [reversal_at(progress) for progress in np.linspace(0, 1, 11)]
    assert values[0] == 0
    assert (np.diff(values) > 0).all()
    assert values[-1] == pytest.approx(np.tanh(5))


def test_only_directions_are_distilled(rng: np.random.Generator) -> None:
    student, teacher = (torch.tensor(x, requires_grad=True) for x in rng.normal(size=(2, 6, 4)))
    rows = zip(student.detach(), teacher.detach(), strict=True)
    cosines = [float(s @ t) / (float(s @ s) * float(t @ t)) ** 0.5 for s, t in rows]
    value = distill_direction(student, teacher)
    assert value.item() == pytest.approx(1 - sum(cosines) / 6)
    lengths = torch.arange(1.0, 7.0)[:, None]
    torch.testing.assert_close(distill_direction(lengths * student, teacher), value)
    assert distill_direction(teacher, teacher).item() == pytest.approx(0)
    assert distill_direction(-teacher, teacher).item() == pytest.approx(2)
    value.backward()
    assert teacher.grad is None
    torch.testing.assert_close((student.grad * student).sum(dim=1), torch.zeros(6, dtype=torch.float64))


def test_what_cannot_be_compared_is_refused(domains: list[torch.Tensor]) -> None:
    x, y = domains
    for call in (
        lambda: mmd(x, y[:, :2]),
        lambda: mmd(x[:1], y, unbiased=True),
        lambda: coral(x[:1], y),
        lambda: domain_confusion(nn.Linear(3, 1), x, y[:0]),
    ):
        with pytest.raises(ValueError, match=r"one width with at least .*; received .*\. Give both"):
            call()
    with pytest.raises(ValueError, match=r"above 0; received \(1.0, 0.0\)\. Correct"):
        mmd(x, y, scales=(1.0, 0.0))
    with pytest.raises(ValueError, match=r"one shape; received \(7, 3\) and \(5, 3\)\. Give both"):
        distill_direction(x, y)
