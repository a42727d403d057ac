"""Losses of distillation: against loops, and the laws that the published form breaks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from galenic.nn.losses import distill_soft, relation

FORMS = [relation, lambda *x: relation(*x, reduction="sum"), lambda *x: relation(*x, as_published=True)]


@pytest.fixture
def pairs(rng):
    """Features of width 4 and 6, and predictions, of seven pairs."""
    student, teacher = rng.normal(size=(7, 4)), rng.normal(size=(7, 6))
    return [torch.tensor(x) for x in (student, teacher, *rng.uniform(size=(2, 7)))]


def loop(student, teacher, student_prediction, teacher_prediction):
    """The loss of each pair by the book."""
    n = len(student)
    lengths = [[sum(float(f[i] @ f[k]) ** 2 for k in range(n)) ** 0.5 for i in range(n)] for f in (student, teacher)]
    losses = []
    for i in range(n):
        row = 0.0
        for j in range(n):
            a_student = float(student[i] @ student[j]) / lengths[0][i]
            a_teacher = float(teacher[i] @ teacher[j]) / lengths[1][i]
            row += (a_student - a_teacher) ** 2
        losses.append(100 * abs(float(student_prediction[i]) - float(teacher_prediction[i])) * row)
    return losses


def test_relation_equals_the_loop(pairs):
    expected = loop(*pairs)
    assert relation(*pairs, reduction="none").tolist() == pytest.approx(expected)
    assert relation(*pairs, reduction="sum").item() == pytest.approx(sum(expected))
    assert relation(*pairs).item() == pytest.approx(sum(expected) / 7)
    columns = [x[:, None] for x in pairs[2:]]
    for student_prediction in (pairs[2], columns[0]):
        for teacher_prediction in (pairs[3], columns[1]):
            mixed = relation(pairs[0], pairs[1], student_prediction, teacher_prediction)
            assert mixed.item() == pytest.approx(sum(expected) / 7)


def test_relation_is_zero_when_relations_are_equal(pairs):
    student, teacher, *predictions = pairs
    turned = student @ torch.linalg.qr(teacher[:4, :4])[0]
    for same in (student, 3 * student, turned, torch.nn.functional.pad(student, (0, 5))):
        assert relation(student, same, *predictions).item() == pytest.approx(0, abs=1e-12)
    assert relation(*pairs[:2], pairs[2], pairs[2]).item() == 0
    assert relation(*pairs).item() > 1


def test_order_of_pairs_does_not_matter(pairs, rng):
    order = torch.tensor(rng.permutation(7))
    shuffled = [x[order] for x in pairs]
    assert relation(*shuffled).item() == pytest.approx(relation(*pairs).item())
    torch.testing.assert_close(relation(*shuffled, reduction="none"), relation(*pairs, reduction="none")[order])


def test_only_the_mean_forgets_the_size_of_the_batch(pairs):
    twice = [torch.cat([x, x]) for x in pairs]
    one, two = ([f(*given).item() for f in FORMS] for given in (pairs, twice))
    assert two == pytest.approx([one[0], 2 * one[1], 4 * one[2]])


@pytest.mark.parametrize(
    "form", [*FORMS, lambda *x: relation(*x, detach=False)], ids=["mean", "sum", "published", "on"]
)
def test_no_gradient_reaches_the_teacher(pairs, form):
    for x in pairs:
        x.requires_grad_()
    form(*pairs).backward()
    assert (pairs[0].grad.abs().sum(dim=1) > 0).all()
    assert pairs[1].grad is None
    assert pairs[3].grad is None


def test_detach_takes_the_weights_as_constants(pairs):
    student_prediction = pairs[2].requires_grad_()
    pairs[0].requires_grad_()
    relation(*pairs).backward()
    assert student_prediction.grad is None
    relation(*pairs, detach=False).backward()
    rows = relation(*pairs, reduction="none") / (100 * (pairs[2] - pairs[3]).abs())
    expected = 100 * rows * (pairs[2] - pairs[3]).sign() / 7
    torch.testing.assert_close(student_prediction.grad, expected.detach())


def test_the_published_form_no_longer_weighs_pairs(pairs):
    student, teacher, student_prediction, teacher_prediction = pairs
    gap = (student_prediction - teacher_prediction).abs()
    rows = relation(*pairs, reduction="none") / (100 * gap)
    broadcast = (rows * (100 * gap)[:, None]).sum()
    assert relation(*pairs, as_published=True).item() == pytest.approx(broadcast.item())
    moved = relation(student, teacher, teacher_prediction + gap.flip(0), teacher_prediction, as_published=True)
    assert moved.item() == pytest.approx(broadcast.item())  # the same gaps on other pairs
    assert relation(student, teacher, teacher_prediction + gap.flip(0), teacher_prediction).item() != pytest.approx(
        relation(*pairs).item()
    )


def test_silent_features_give_no_nan(pairs):
    pairs[0][2] = 0
    pairs[0].requires_grad_()
    loss = relation(*pairs)
    loss.backward()
    assert loss.isfinite()
    assert pairs[0].grad.isfinite().all()


def test_distill_soft_equals_the_loop(pairs):
    student, teacher = pairs[2:]
    expected = sum((float(a) - float(b)) ** 2 for a, b in zip(student, teacher, strict=True)) / 7
    student.requires_grad_(), teacher.requires_grad_()
    assert distill_soft(student, teacher[:, None]).item() == pytest.approx(expected)  # never a table of all with all
    distill_soft(student[:, None], teacher).backward()
    assert (student.grad != 0).all()
    assert teacher.grad is None


def test_what_does_not_fit_is_refused(pairs):
    with pytest.raises(ValueError, match=r"same pairs; received 7, 7, 7, 1 of them"):
        relation(*pairs[:3], pairs[3][:1])
    with pytest.raises(ValueError, match="received 350, 7"):
        distill_soft(pairs[2].repeat(50), pairs[3])
    with pytest.raises(ValueError, match="reduction should be"):
        relation(*pairs, reduction="total")


@pytest.mark.real
def test_published_relation_number_by_number(shared):
    with np.load(shared / "golden" / "kdrug_rad.npz") as stored:
        golden = {name: torch.from_numpy(stored[name]) for name in stored.files}
    pairs = [golden[f"{what}_{who}"] for what in ("features", "prediction") for who in ("student", "teacher")]
    broadcast, flat = golden["as_published_broadcast"].item(), golden["flat_weights"].item()
    assert (round(broadcast, 1), round(flat, 1)) == (1574.3, 200.1)
    assert relation(*pairs, as_published=True).item() == pytest.approx(broadcast, rel=1e-6)
    assert relation(*pairs, reduction="sum").item() == pytest.approx(flat, rel=1e-6)
    assert relation(*pairs).item() == pytest.approx(flat / 8, rel=1e-6)
