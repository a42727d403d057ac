"""Integrated gradients: what calculus says of polynomials, contributions that add up, and the loop they stand for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from galenic.explain import attribution
from galenic.explain.attribution import Rule, backprojected, expected_gradients, integrated_gradients, path

RULES: list[Rule] = ["gauss-legendre", "midpoint"]


def tensor(values: np.ndarray) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def smooth(x: Tensor, z: Tensor) -> Tensor:
    """Two inputs, of two and of three dimensions, that multiply each other."""
    return torch.tanh(x[:, 0] * z[:, 0, 1]) + torch.exp(-(x**2).sum(dim=1)) * z.sum(dim=(1, 2)).sin()


@pytest.fixture
def pair(rng: np.random.Generator) -> list[Tensor]:
    return [tensor(rng.normal(size=(7, 3))), tensor(rng.normal(size=(7, 2, 2)))]


@pytest.mark.parametrize("rule", RULES)
def test_a_linear_function_gives_weight_times_way(rule: Rule, rng: np.random.Generator) -> None:
    x, base, w = rng.normal(size=(5, 4)), rng.normal(size=(5, 4)), rng.normal(size=4)
    found = integrated_gradients(lambda x: x @ tensor(w) + 3, [tensor(x)], [tensor(base)], n_steps=2, rule=rule)
    np.testing.assert_allclose(found.contributions[0], (x - base) * w, atol=1e-12)
    np.testing.assert_allclose(found.output, x @ w + 3, atol=1e-12)
    np.testing.assert_allclose(found.baseline_output, base @ w + 3, atol=1e-12)


@pytest.mark.parametrize("powers", [(1, 2), (3, 1), (2, 2, 3), (0, 4), (7, 1)])
def test_a_monomial_is_shared_by_its_powers(powers: tuple[int, ...], rng: np.random.Generator) -> None:
    """From 0, a factor's part of the product is its power over the sum of the powers."""
    x, exponents = rng.uniform(0.5, 2, size=(6, len(powers))), np.array(powers)
    found = integrated_gradients(
        lambda x: (x ** tensor(exponents)).prod(dim=1), [tensor(x)], [torch.zeros(1, len(powers))], n_steps=4
    )
    whole = (x**exponents).prod(axis=1, keepdims=True)
    # Four points of Gauss and Legendre are exact for slopes up to the seventh power along the path.
    np.testing.assert_allclose(found.contributions[0], whole * exponents / exponents.sum(), rtol=1e-12)


def test_the_baseline_need_not_be_zero(rng: np.random.Generator) -> None:
    x, base = rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
    found = integrated_gradients(lambda x: (x**3).sum(dim=1), [tensor(x)], [tensor(base)], n_steps=3)
    np.testing.assert_allclose(found.contributions[0], x**3 - base**3, atol=1e-12)


def test_contributions_of_smooth_functions_add_up(pair: list[Tensor], rng: np.random.Generator) -> None:
    bases = [tensor(rng.normal(size=x.shape)) for x in pair]
    found = integrated_gradients(smooth, pair, bases, n_steps=32)
    assert [value.shape for value in found.contributions] == [(7, 3), (7, 2, 2)]
    assert np.abs(found.gap).max() < 1e-9
    by_hand = (
        found.output
        - found.baseline_output
        - found.contributions[0].sum(axis=1)
        - found.contributions[1].sum(axis=(1, 2))
    )
    np.testing.assert_allclose(found.gap, by_hand, atol=1e-14)
    assert np.abs(found.output - found.baseline_output).min() > 1e-3
    assert np.abs(integrated_gradients(smooth, pair, bases, n_steps=2).gap).max() > 1e-3


@pytest.mark.parametrize("rule", RULES)
def test_both_rules_converge_to_one_answer(rule: Rule, pair: list[Tensor]) -> None:
    bases = [torch.zeros_like(x) for x in pair]
    exact = integrated_gradients(smooth, pair, bases, n_steps=200).contributions

    def error(n_steps: int) -> float:
        found = integrated_gradients(smooth, pair, bases, n_steps=n_steps, rule=rule).contributions
        return max(float(np.abs(a - b).max()) for a, b in zip(found, exact, strict=True))

    if rule == "midpoint":  # twice the points, a quarter of the error
        assert error(64) / error(128) == pytest.approx(4, rel=0.1)
        assert error(128) < 1e-3
    else:
        assert error(4) > 1e-5
        assert error(32) < 1e-10


@pytest.mark.parametrize("rule", RULES)
def test_kinks_need_more_points_but_get_there(rule: Rule) -> None:
    x, base = torch.tensor([[2.0, 1.0]]), torch.tensor([[-1.0, -3.0]])
    found = integrated_gradients(lambda x: x.relu().sum(dim=1), [x], [base], n_steps=1000, rule=rule)
    np.testing.assert_allclose(found.contributions[0], [[2.0, 1.0]], atol=5e-3)
    few = integrated_gradients(lambda x: x.relu().sum(dim=1), [x], [base], n_steps=3, rule=rule)
    assert abs(few.gap.item()) > 5 * abs(found.gap.item())


def loop(function: Callable[..., Tensor], inputs: list[Tensor], bases: list[Tensor], n_steps: int) -> list[np.ndarray]:
    """The midpoint rule, one row and one point at a time."""
    values = [np.zeros(tuple(x.shape)) for x in inputs]
    for row in range(len(inputs[0])):
        for step in range(n_steps):
            t = (step + 0.5) / n_steps
            point = [
                (base[row] + t * (x[row] - base[row]))[None].requires_grad_()
                for x, base in zip(inputs, bases, strict=True)
            ]
            slopes = torch.autograd.grad(function(*point)[0], point)
            for value, slope, x, base in zip(values, slopes, inputs, bases, strict=True):
                value[row] += ((x - base)[row] * slope[0] / n_steps).numpy()
    return values


def test_equals_the_loop_over_rows_and_points(pair: list[Tensor], rng: np.random.Generator) -> None:
    bases = [tensor(rng.normal(size=x.shape)) for x in pair]
    found = integrated_gradients(smooth, pair, bases, n_steps=5, rule="midpoint")
    for value, expected in zip(found.contributions, loop(smooth, pair, bases, 5), strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 6, 13, 17, 35, 10_000])
def test_chunks_change_nothing(chunk: int, pair: list[Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks smaller than a row's path, that divide the rows evenly, that do not, and one for everything."""
    bases, asked_for = [torch.zeros_like(x[:1]) for x in pair], []

    def counted(x: Tensor, z: Tensor) -> Tensor:
        asked_for.append(len(x))
        return smooth(x, z)

    whole = integrated_gradients(smooth, pair, bases, n_steps=5)
    monkeypatch.setattr(attribution, "CHUNK", chunk)
    parts = integrated_gradients(counted, pair, bases, n_steps=5)
    for a, b in zip(whole.contributions, parts.contributions, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-14)
    paths = asked_for[:-2]  # the last two are the inputs and the baselines
    assert sum(paths) == 7 * 5
    assert max(paths) <= max(chunk, 5)


def test_rows_do_not_hear_of_each_other(pair: list[Tensor], rng: np.random.Generator) -> None:
    bases, order = [tensor(rng.normal(size=x.shape)) for x in pair], rng.permutation(7)
    whole = integrated_gradients(smooth, pair, bases)
    mixed = integrated_gradients(smooth, [x[order] for x in pair], [x[order] for x in bases])
    for a, b in zip(whole.contributions, mixed.contributions, strict=True):
        np.testing.assert_allclose(a[order], b, atol=1e-14)


def test_a_baseline_of_one_row_stands_for_all(pair: list[Tensor], rng: np.random.Generator) -> None:
    bases = [tensor(rng.normal(size=(1, *x.shape[1:]))) for x in pair]
    one = integrated_gradients(smooth, pair, bases)
    each = integrated_gradients(smooth, pair, [base.repeat(7, *[1] * (base.ndim - 1)) for base in bases])
    for a, b in zip(one.contributions, each.contributions, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.baseline_output, each.baseline_output)


def test_an_input_that_is_not_read_contributes_nothing(rng: np.random.Generator) -> None:
    x, mask = tensor(rng.normal(size=(4, 3))), torch.ones(4, 2, dtype=torch.float64)
    found = integrated_gradients(
        lambda x, mask: (x**2).sum(dim=1), [x, mask], [torch.zeros_like(x), torch.zeros_like(mask)]
    )
    np.testing.assert_array_equal(found.contributions[1], np.zeros((4, 2)))
    np.testing.assert_allclose(found.contributions[0], x.numpy() ** 2, atol=1e-12)
    # A mask that does not move stays where it is along the path and contributes nothing though it is read.
    kept = integrated_gradients(
        lambda x, mask: (x**2).sum(dim=1) * mask[:, 0], [x, 2 * mask], [torch.zeros_like(x), 2 * mask]
    )
    np.testing.assert_array_equal(kept.contributions[1], np.zeros((4, 2)))
    np.testing.assert_allclose(kept.contributions[0], 2 * x.numpy() ** 2, atol=1e-12)


def test_what_was_given_stays_as_it_was(pair: list[Tensor]) -> None:
    bases = [torch.ones_like(pair[0]), torch.zeros_like(pair[1][:1])]
    pair[0].requires_grad_()
    weight = torch.ones(3, dtype=torch.float64, requires_grad=True)
    before = [x.detach().clone() for x in (*pair, *bases)]
    found = integrated_gradients(lambda x, z: smooth(x * weight, z), pair, bases)
    for x, kept in zip((*pair, *bases), before, strict=True):
        assert torch.equal(x, kept)
    assert pair[0].requires_grad
    assert not pair[1].requires_grad
    assert pair[0].grad is None
    assert weight.grad is None
    found.contributions[0][:] = 0
    assert torch.equal(pair[0], before[0])


def test_no_rows_give_empty_arrays() -> None:
    x = torch.zeros(0, 3)
    found = integrated_gradients(lambda x: x.sum(dim=1), [x], [torch.zeros(1, 3)])
    assert found.contributions[0].shape == (0, 3)
    assert found.output.shape == found.baseline_output.shape == (0,)


def test_no_rows_have_no_gap() -> None:
    x = torch.zeros(0, 3)
    assert integrated_gradients(lambda x: x.sum(dim=1), [x], [x]).gap.shape == (0,)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n_steps", [1, 2, 7, 64])
def test_a_path_lies_within_and_weighs_one(rule: Rule, n_steps: int) -> None:
    points, weights = path(n_steps, rule, torch.zeros(1, dtype=torch.float64))
    assert points.shape == weights.shape == (n_steps,)
    assert ((points > 0) & (points < 1)).all()
    assert (points.diff() > 0).all()
    assert weights.sum().item() == pytest.approx(1)
    np.testing.assert_allclose(points + points.flip(0), np.ones(n_steps), atol=1e-12)


def test_an_unknown_rule_is_refused() -> None:
    x = torch.ones(2, 3)
    with pytest.raises(
        ValueError, match=r'should be "gauss-legendre", "midpoint" or "left"; received \'simpson\'\. Choose'
    ):
        integrated_gradients(lambda x: x.sum(dim=1), [x], [x], rule="simpson")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "n_baselines", "n_steps", "came"),
    [
        ([2], 1, 0, r"n_steps=0, inputs \[\(2, 3\)\] and baselines \[\(1, 3\)\]"),
        ([2, 3], 2, 8, r"n_steps=8, inputs \[\(2, 3\), \(3, 3\)\] and baselines \[\(1, 3\), \(1, 3\)\]"),
        ([2, 2], 1, 8, r"n_steps=8, inputs \[\(2, 3\), \(2, 3\)\] and baselines \[\(1, 3\)\]"),
        ([], 0, 8, r"n_steps=8, inputs \[\] and baselines \[\]"),
    ],
)
def test_what_does_not_fit_is_refused(rows: list[int], n_baselines: int, n_steps: int, came: str) -> None:
    inputs, bases = [torch.ones(n, 3) for n in rows], [torch.zeros(1, 3)] * n_baselines
    with pytest.raises(ValueError, match=rf"need one step at least.*received {came}\. Correct these\."):
        integrated_gradients(lambda *x: x[0].sum(dim=1), inputs, bases, n_steps=n_steps)


@pytest.mark.parametrize("shape", [(3, 3), (2, 2), (1, 4)])
def test_a_baseline_of_another_shape_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="baseline"):
        integrated_gradients(lambda x: x.sum(dim=1), [torch.ones(2, 3)], [torch.zeros(shape)])


def several(x: Tensor, z: Tensor) -> Tensor:
    return torch.stack([smooth(x, z), (x**3).sum(dim=1), z.sum(dim=(1, 2))], dim=1)


@pytest.mark.parametrize("rule", [*RULES, "left"])
def test_several_outputs_in_one_pass_are_as_one_by_one(rule: Rule, pair: list[Tensor]) -> None:
    bases, n_calls = [torch.ones_like(x[:1]) for x in pair], []

    def counted(x: Tensor, z: Tensor) -> Tensor:
        n_calls.append(len(x))
        return several(x, z)

    found = integrated_gradients(counted, pair, bases, n_steps=6, rule=rule)
    assert len(n_calls) == 3  # the path, the inputs, the baselines
    assert [value.shape for value in found.contributions] == [(7, 3, 3), (7, 2, 2, 3)]
    assert found.gap.shape == found.output.shape == (7, 3)
    for number in range(3):
        alone = integrated_gradients(lambda x, z, n=number: several(x, z)[:, n], pair, bases, n_steps=6, rule=rule)
        for a, b in zip(found.contributions, alone.contributions, strict=True):
            np.testing.assert_allclose(a[..., number], b, atol=1e-12)
        np.testing.assert_allclose(found.gap[:, number], alone.gap, atol=1e-12)
    none = integrated_gradients(several, [x[:0] for x in pair], bases, n_steps=6, rule=rule)
    assert none.contributions[0].shape == (0, 3, 3)


def test_left_ends_count_the_baseline_and_not_the_input() -> None:
    x, base = tensor(np.array([[2.0]])), tensor(np.array([[1.0]]))
    found = integrated_gradients(lambda x: (x**2).sum(dim=1), [x], [base], n_steps=4, rule="left")
    np.testing.assert_allclose(found.contributions[0], [[np.mean(2 * np.array([1.0, 1.25, 1.5, 1.75]))]])
    gaps = [
        abs(integrated_gradients(lambda x: (x**2).sum(dim=1), [x], [base], n_steps=n, rule="left").gap.item())
        for n in (10, 20)
    ]
    assert gaps[0] / gaps[1] == pytest.approx(2)


def test_expected_gradients_are_integrated_gradients_over_the_background(rng: np.random.Generator) -> None:
    x, background = tensor(rng.normal(size=(5, 3))), tensor(rng.normal(size=(40, 3)))

    def function(x: Tensor) -> Tensor:
        return torch.stack([torch.tanh(x[:, 0] * x[:, 1]), (x**2).sum(dim=1)], dim=1)

    exact = np.mean([integrated_gradients(function, [x], [row[None]]).contributions[0] for row in background], axis=0)
    found = expected_gradients(function, x, background, n_draws=4000, seed=1)
    np.testing.assert_allclose(found.contributions[0], exact, atol=0.15)
    assert np.abs(found.gap).max() < 0.25
    few = expected_gradients(function, x, background, n_draws=20, seed=1)
    assert np.abs(few.contributions[0] - exact).max() > 2 * np.abs(found.contributions[0] - exact).max()
    np.testing.assert_allclose(found.baseline_output, np.tile(function(background).mean(dim=0).numpy(), (5, 1)))


def test_expected_gradients_from_one_row_are_integrated_gradients(rng: np.random.Generator) -> None:
    """Draws cover the path evenly, so that little is left to chance."""
    x, base = tensor(rng.normal(size=(4, 3))), tensor(rng.normal(size=(1, 3)))
    found = expected_gradients(lambda x: x.prod(dim=1), x, base, n_draws=500)
    exact = integrated_gradients(lambda x: x.prod(dim=1), [x], [base]).contributions[0]
    np.testing.assert_allclose(found.contributions[0], exact, atol=1e-3 * np.abs(exact).max())
    same = expected_gradients(lambda x: x.prod(dim=1), x, base, n_draws=500)
    np.testing.assert_array_equal(found.contributions[0], same.contributions[0])
    with pytest.raises(ValueError, match=r"expected gradients need .*; received .*\. Correct these\."):
        expected_gradients(lambda x: x.prod(dim=1), x, base[:, :2])


def test_gradients_through_components_are_complete_and_loadings_times_contributions_are_not(
    rng: np.random.Generator,
) -> None:
    components, x = np.linalg.qr(rng.normal(size=(8, 3)))[0].T, rng.normal(size=(20, 8))

    def function(scores: Tensor) -> Tensor:
        return torch.stack([(scores**3).sum(dim=1), scores.prod(dim=1)], dim=1)

    scores = tensor(x @ components.T)
    spread = backprojected(
        integrated_gradients(function, [scores], [torch.zeros_like(scores)]).contributions[0], components
    )
    exact = integrated_gradients(
        lambda genes: function(genes @ tensor(components).T), [tensor(x)], [torch.zeros(1, 8, dtype=torch.float64)]
    )
    change = function(scores).numpy()
    assert spread.shape == exact.contributions[0].shape == (20, 8, 2)
    np.testing.assert_allclose(exact.contributions[0].sum(axis=1), change, atol=1e-10)
    assert np.abs(spread.sum(axis=1) - change).max() > 0.1
    with pytest.raises(ValueError, match=r"same components; received .*\. Use the loadings"):
        backprojected(spread, components)
