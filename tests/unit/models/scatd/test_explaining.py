"""Contributions add up, are those of the loop they stand for, and start from the background that was asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from anndata import AnnData

from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.models.scatd import explaining
from galenic.models.scatd.explaining import attribute, background_of, contributions

sys.path.insert(0, str(Path(__file__).parent))
from lines import Lines


@pytest.fixture(scope="module")
def simulated() -> tuple[AnnData, AnnData]:
    return bulk_and_cells(n_genes=60, n_lines=80, n_cells=50, n_drivers=6, seed=1)


@pytest.fixture(scope="module")
def model(simulated: tuple[AnnData, AnnData]) -> Lines:
    return Lines(*simulated, share=0.3)


@pytest.mark.parametrize("background", ["mean", "zero", "random", "mixed"])
def test_contributions_add_up(model: Lines, simulated: tuple[AnnData, AnnData], background: str) -> None:
    found = attribute(model, simulated[1], background=background)
    total = found.X.sum(axis=1)
    np.testing.assert_allclose(total, found.obs["prediction"] - found.obs["baseline"], atol=1e-4)
    assert found.obs["gap"].abs().max() < 1e-6
    assert found.uns["attribution"]["largest_gap"] < 1e-5
    logits = model.function()(torch.from_numpy(model.features_of(simulated[1]))).numpy()
    np.testing.assert_allclose(found.obs["prediction"], logits)


def test_expected_gradients_add_up_as_draws_grow(model: Lines, simulated: tuple[AnnData, AnnData]) -> None:
    gaps = [
        attribute(model, simulated[1], method="eg", background="random", n_samples=n).obs["gap"].abs().mean()
        for n in (10, 1000)
    ]
    assert gaps[1] < 0.25 * gaps[0]


def test_it_is_what_a_loop_over_cells_and_steps_gives(model: Lines, simulated: tuple[AnnData, AnnData]) -> None:
    x = torch.from_numpy(model.features_of(simulated[1]))[:5]
    base, function = x.mean(dim=0, keepdim=True) * 0.5, model.function()
    found = contributions(function, x.numpy(), base.numpy(), n_steps=50).contributions[0]
    n = 2000
    for row, cell in zip(found, x, strict=True):
        total = torch.zeros_like(cell)
        for step in range(n):
            point = (base[0] + (step + 0.5) / n * (cell - base[0])).requires_grad_()
            (slope,) = torch.autograd.grad(function(point[None]).sum(), point)
            total += slope / n
        np.testing.assert_allclose(row, ((cell - base[0]) * total).numpy(), atol=1e-6)


def test_it_is_what_captum_gives(model: Lines, simulated: tuple[AnnData, AnnData]) -> None:
    attr = pytest.importorskip("captum.attr", reason="captum is not installed")
    x = torch.from_numpy(model.features_of(simulated[1]))
    found = contributions(model.function(), x.numpy(), np.zeros((1, x.shape[1])), n_steps=50).contributions[0]
    other = attr.IntegratedGradients(model.function()).attribute(x, torch.zeros_like(x), n_steps=50)
    np.testing.assert_allclose(found, other.numpy(), atol=1e-8)


def test_expected_gradients_are_integrated_gradients_averaged_over_the_background(
    model: Lines, simulated: tuple[AnnData, AnnData]
) -> None:
    x = model.features_of(simulated[1])
    rows = x[:7]
    found = contributions(model.function(), x[:10], rows, method="eg", n_samples=4000).contributions[0]
    each = [contributions(model.function(), x[:10], row[None]).contributions[0] for row in rows]
    exact = np.mean(each, axis=0)
    assert np.abs(found - exact).max() < 0.05 * np.abs(exact).max()


def test_one_cell_is_explained_as_in_a_batch(model: Lines, simulated: tuple[AnnData, AnnData]) -> None:
    cells = simulated[1]
    whole, one = attribute(model, cells), attribute(model, cells[3].copy(), reference=cells)
    np.testing.assert_allclose(one.X[0], whole.X[3], atol=1e-6)


def test_blocks_change_nothing(
    model: Lines, simulated: tuple[AnnData, AnnData], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = attribute(model, simulated[1])
    monkeypatch.setattr(explaining, "VALUES", 60 * 50 * 7)
    np.testing.assert_allclose(attribute(model, simulated[1]).X, whole.X, atol=1e-6)


def test_nothing_is_changed_and_nothing_is_drawn_globally(model: Lines, simulated: tuple[AnnData, AnnData]) -> None:
    cells, before, state = simulated[1], simulated[1].copy(), torch.get_rng_state()
    first = attribute(model, cells, method="eg", background="random", noise=0.09, n_samples=20)
    again = attribute(model, cells, method="eg", background="random", noise=0.09, n_samples=20)
    np.testing.assert_array_equal(first.X, again.X)
    np.testing.assert_array_equal(cells.X, before.X)
    assert list(cells.obs) == list(before.obs)
    assert torch.equal(state, torch.get_rng_state())


def test_labels_are_not_read(model: Lines, simulated: tuple[AnnData, AnnData]) -> None:
    cells = simulated[1].copy()
    cells.obs["label"] = 1 - cells.obs["label"]
    np.testing.assert_array_equal(attribute(model, cells).X, attribute(model, simulated[1]).X)


def test_noise_moves_contributions_a_little(model: Lines, simulated: tuple[AnnData, AnnData]) -> None:
    plain, noisy = (
        attribute(model, simulated[1], method="eg", background="zero", noise=noise, n_samples=100).X
        for noise in (0.0, 0.09)
    )
    assert 0 < np.abs(plain - noisy).max() < 0.3 * np.abs(plain).max()
    assert np.corrcoef(plain.ravel(), noisy.ravel())[0, 1] > 0.98


class TestBackgrounds:
    x = np.random.default_rng(0).normal(size=(40, 5))

    def test_zero_and_mean(self) -> None:
        assert background_of(self.x, "zero").tolist() == [[0.0] * 5]
        np.testing.assert_allclose(background_of(self.x, "mean"), self.x.mean(axis=0, keepdims=True))

    def test_random_is_cells_for_one_method_and_their_mean_for_the_other(self) -> None:
        rows = background_of(self.x, "random", method="eg", n_random=4, seed=3)
        assert rows.shape == (4, 5)
        assert all((self.x == row).all(axis=1).sum() == 1 for row in rows)
        assert len(np.unique(rows, axis=0)) == 4
        one = background_of(self.x, "random", method="ig", n_random=4, seed=3)
        np.testing.assert_allclose(one, rows.mean(axis=0, keepdims=True))

    def test_mixed_is_half_of_each(self) -> None:
        drawn = background_of(self.x, "random", n_random=4, seed=3)
        mixed = background_of(self.x, "mixed", n_random=4, seed=3)
        np.testing.assert_allclose(mixed, (self.x.mean(axis=0, keepdims=True) + drawn) / 2)

    def test_all_are_taken_where_there_are_few(self) -> None:
        np.testing.assert_allclose(background_of(self.x[:3], "random"), background_of(self.x[:3], "mean"))

    @pytest.mark.parametrize("kind", ["mean", "random", "mixed"])
    def test_one_cell_is_no_background(self, kind: str) -> None:
        with pytest.raises(ValueError, match="two cells or more; received 1"):
            background_of(self.x[:1], kind)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"method": "shap"}, "method should be one of"),
        ({"background": "bulk"}, "background one of"),
        ({"n_steps": 0}, "should be 1 or more"),
        ({"noise": 0.1}, "noise is for method 'eg'"),
        ({"noise": -1.0, "method": "eg"}, "noise 0 or more"),
    ],
)
def test_what_is_not_allowed_is_refused(
    model: Lines, simulated: tuple[AnnData, AnnData], wrong: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        attribute(model, simulated[1], **wrong)
