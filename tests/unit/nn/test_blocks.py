"""Layers in a row, standardising and projecting: against scikit-learn, and differentiable to the genes."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from torch import nn

from galenic.nn import blocks
from galenic.nn.blocks import MLP, Project, Standardize


def kinds(net):
    return [type(layer).__name__ for layer in net]


def test_an_mlp_is_plain_at_its_end():
    net = MLP([5, 4, 3, 2], activation="gelu", dropout=0.1, norm="batch")
    assert kinds(net) == ["Linear", "BatchNorm1d", "GELU", "Dropout"] * 2 + ["Linear"]
    assert kinds(MLP([5, 2], dropout=0.1)) == ["Linear"]
    assert kinds(MLP([5, 4, 2], activation="tanh", norm="layer")) == ["Linear", "LayerNorm", "Tanh", "Linear"]
    assert [layer.in_features for layer in MLP([5, 4, 3, 2]) if isinstance(layer, nn.Linear)] == [5, 4, 3]


@pytest.mark.parametrize("norm", [None, "batch", "layer"])
@pytest.mark.parametrize("activation", list(blocks.ACTIVATIONS))
def test_every_tensor_of_an_mlp_gets_a_gradient(norm, activation):
    torch.manual_seed(0)
    net = MLP([5, 8, 2], norm=norm, activation=activation)
    net(torch.randn(6, 5)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for name, parameter in net.named_parameters() if name != "0.bias")
    net.eval()
    x = torch.randn(6, 5)
    assert torch.allclose(net(x)[:1], net(x[:1]), atol=1e-6)


@pytest.mark.parametrize(
    "more", [{"widths": [3]}, {"widths": [3, 0, 1]}, {"activation": "swish"}, {"norm": "group"}, {"dropout": 1.0}]
)
def test_an_mlp_that_cannot_be_is_refused(more):
    with pytest.raises(ValueError, match=r"should be .*; received"):
        MLP(**{"widths": [3, 2], **more})


@pytest.fixture
def matrix(rng):
    """200 cells of 6 genes on different scales; the last two genes are constant in floating point."""
    values = rng.normal(size=(200, 6)) * [1, 10, 0.1, 3, 0, 0] + [0, 5, 1000, -3, 0.1, 7]
    return values.astype("float32")


@pytest.mark.parametrize("chunk", [2**18, 45])
def test_standardize_equals_scikit_learn(matrix, monkeypatch, chunk):
    monkeypatch.setattr(blocks, "CHUNK", chunk)
    reference = StandardScaler().fit(matrix.astype(float))
    layer = Standardize(6).fit(matrix)
    assert layer.mean.numpy() == pytest.approx(reference.mean_, rel=1e-6)
    assert layer.scale.numpy()[:4] == pytest.approx(np.sqrt(reference.var_)[:4], rel=1e-5)
    assert layer(torch.tensor(matrix)).numpy() == pytest.approx(reference.transform(matrix.astype(float)), abs=1e-3)
    assert layer.inverse(layer(torch.tensor(matrix))).numpy() == pytest.approx(matrix, rel=1e-5)


@pytest.mark.parametrize("chunk", [2**18, 45])
def test_missing_values_do_not_count_and_become_the_mean(matrix, rng, monkeypatch, chunk):
    monkeypatch.setattr(blocks, "CHUNK", chunk)
    matrix[rng.random(matrix.shape) < 0.3] = np.nan
    matrix[:, 3] = np.nan  # a gene that was never measured
    matrix[:20] = np.nan  # cells without expression
    layer = Standardize(6).fit(matrix)
    reference = StandardScaler().fit(matrix[:, :3].astype(float))
    assert layer.scale.numpy()[:3] == pytest.approx(np.sqrt(reference.var_), rel=1e-5)
    out = layer(torch.tensor(matrix))
    assert out.isfinite().all()
    assert (out[torch.tensor(np.isnan(matrix))] == 0).all()
    assert (out[:, 3:] == 0).all()


def test_a_constant_gene_is_0_whatever_comes_later(matrix):
    out = Standardize(6).fit(matrix)(torch.full((2, 6), 1e6))
    assert (out[:, 4:] == 0).all()
    assert (out[:, :4] > 0).all()
    # The mean of a thousand times 0.1 is not 0.1, so its standard deviation is not 0.
    assert Standardize(1).fit(np.full((1000, 1), 0.1))(torch.ones(1, 1)).item() == 0


def test_standardize_reads_sparse_matrices_and_frames(matrix, tmp_path):
    pd = pytest.importorskip("pandas")
    matrix[matrix < 0] = 0
    np.save(tmp_path / "x.npy", matrix)
    plain = Standardize(6).fit(matrix)
    for same in (sp.csr_matrix(matrix), pd.DataFrame(matrix), np.load(tmp_path / "x.npy", mmap_mode="r")):
        assert torch.equal(Standardize(6).fit(same).scale, plain.scale)


def test_slopes_of_standardize_are_one_over_scale(matrix):
    layer = Standardize(6).fit(matrix)
    x = torch.tensor(matrix[:3])
    x[1, 2] = torch.nan
    x.requires_grad_()
    layer(x).sum().backward()
    expected = np.where(layer.scale == 0, 0, 1 / np.where(layer.scale == 0, 1, layer.scale))
    assert x.grad[0].numpy() == pytest.approx(expected)
    assert x.grad[1, 2] == 0


@pytest.mark.parametrize("shape", [(50, 8), (8, 50), (1010, 1005)])
def test_project_equals_scikit_learn(rng, shape):
    values = rng.normal(size=(shape[0], 5)) * [9, 7, 5, 3, 2] @ rng.normal(size=(5, shape[1]))
    values += 0.1 * rng.normal(size=shape) + rng.normal(size=shape[1])
    reference = PCA(5, svd_solver="full" if shape[0] < 1000 else "covariance_eigh").fit(values)
    layer = Project(shape[1], 5).fit(values)
    axes = layer.components.double().numpy()
    assert np.abs((axes * reference.components_).sum(axis=1)) == pytest.approx(np.ones(5), abs=1e-5)
    assert axes @ axes.T == pytest.approx(np.eye(5), abs=1e-5)
    assert (axes[np.arange(5), np.abs(axes).argmax(axis=1)] > 0).all()
    scores = layer(torch.tensor(values, dtype=torch.float32)).numpy()
    nearest = reference.transform(values)
    np.testing.assert_allclose(np.abs(scores), np.abs(nearest), atol=1e-2)
    restored = layer.inverse(torch.tensor(scores)).numpy()
    np.testing.assert_allclose(restored, reference.inverse_transform(nearest), atol=1e-2)


def test_project_is_linear_so_slopes_reach_the_genes(rng):
    values = rng.normal(size=(30, 6)).astype("float32")
    layer = Project(6, 2).fit(values)
    x = torch.tensor(values[:4], requires_grad=True)
    layer(x)[:, 1].sum().backward()
    assert torch.allclose(x.grad, layer.components[1].expand(4, 6))
    assert torch.allclose(layer(x) - layer(0 * x), (x @ layer.components.T), atol=1e-5)


def test_all_components_lose_nothing(rng):
    values = torch.tensor(rng.normal(size=(30, 6)), dtype=torch.float32)
    layer = Project(6, 6).fit(values)
    assert torch.allclose(layer.inverse(layer(values)), values, atol=1e-5)


@pytest.mark.parametrize("layer", [Standardize(6), Project(6, 2)], ids=["standardize", "project"])
def test_what_was_learned_is_saved_and_not_trained(layer, matrix, tmp_path):
    fresh = type(layer)(6) if isinstance(layer, Standardize) else Project(6, 2)
    assert fresh(torch.tensor(matrix)).isnan().all()  # an unfitted layer cannot be mistaken for a fitted one
    before = matrix.copy()
    assert layer.fit(matrix) is layer
    assert (matrix == before).all()
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(fresh(torch.tensor(matrix)), layer(torch.tensor(matrix)))
    assert list(layer.parameters()) == []


def test_project_twice_is_equal(rng):
    values = rng.normal(size=(1010, 1005))
    assert torch.equal(Project(1005, 3).fit(values).components, Project(1005, 3).fit(values).components)


@pytest.mark.parametrize("values", [np.zeros((3, 5)), np.zeros(6), np.zeros((0, 6)), np.full((4, 6), np.inf)])
def test_a_matrix_that_cannot_be_learned_from_is_refused(values):
    for layer in (Standardize(6), Project(6, 2)):
        with pytest.raises(ValueError, match=r"fitting needs .*; received"):
            layer.fit(values)


def test_project_refuses_missing_values_and_too_few_rows(matrix):
    with pytest.raises(ValueError, match="received 2 rows and 0 missing"):
        Project(6, 3).fit(matrix[:2])
    matrix[0, 0] = np.nan
    with pytest.raises(ValueError, match="received 200 rows and 1 missing"):
        Project(6, 3).fit(matrix)
    with pytest.raises(ValueError, match="n_components should be from 1"):
        Project(6, 7)
