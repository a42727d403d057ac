"""Encoders of cells: shapes of the publication, and an order of features that means nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from galenic.nn.encoders import ConvEncoder, DenseEncoder

BOTH = [lambda n: ConvEncoder(n, 5, n_filters=2), lambda n: DenseEncoder(n, 5, n_tokens=3, width=8)]


@pytest.mark.parametrize(("n_features", "flat"), [(1000, 4224), (735, 2944), (377, 1280), (378, 1280)])
def test_the_published_lengths(n_features, flat):
    encoder = ConvEncoder(n_features)
    assert (encoder.n_tokens * encoder.width, encoder.width) == (flat, 128)
    assert encoder.summary.weight.shape == (128, flat)
    assert [layer.out_channels for layer in encoder.layers if isinstance(layer, nn.Conv1d)] == [32, 64, 128]


@pytest.mark.parametrize("build", BOTH, ids=["conv", "dense"])
def test_tokens_and_vector_have_the_shapes_they_claim(build, rng):
    encoder = build(130).eval()
    x = torch.tensor(rng.normal(size=(4, 130)), dtype=torch.float32)
    tokens, vector = encoder(x)
    assert tokens.shape == (4, encoder.n_tokens, encoder.width)
    assert vector.shape == (4, 5)
    assert torch.equal(vector, encoder.vector(encoder.tokens(x)))
    for row in range(4):
        torch.testing.assert_close(encoder(x[row : row + 1])[1][0], vector[row], atol=1e-5, rtol=0)


@pytest.mark.parametrize("build", BOTH, ids=["conv", "dense"])
def test_every_tensor_gets_a_gradient_and_every_feature_counts(build, rng):
    torch.manual_seed(0)
    encoder = build(130)
    x = torch.tensor(rng.normal(size=(16, 130)), dtype=torch.float32, requires_grad=True)
    encoder(x)[1].square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())
    # Windows of eight at the very end may fall out of the last pooling.
    assert (x.grad[:, :118].abs().sum(dim=0) > 0).all()


def test_convolution_equals_the_loop(rng):
    encoder = ConvEncoder(118, 3, n_filters=2)
    x = rng.normal(size=118).astype("float32")
    channels = x[None]
    for layer in encoder.layers:
        if isinstance(layer, nn.Conv1d):
            weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
            starts = range(channels.shape[1] - 7)
            channels = np.stack([(weight * channels[:, s : s + 8]).sum(axis=(1, 2)) + bias for s in starts], axis=1)
            channels = np.maximum(channels, 0)
            channels = np.stack([channels[:, 3 * s : 3 * s + 3].max(axis=1) for s in range(len(starts) // 3)], axis=1)
    assert channels.shape == (8, 1)
    np.testing.assert_allclose(encoder.tokens(torch.tensor(x[None]))[0].detach(), channels.T, atol=1e-5)


def test_the_dense_encoder_has_no_order_of_features_and_the_convolution_has(rng):
    torch.manual_seed(0)
    x, order = torch.tensor(rng.normal(size=(4, 130)), dtype=torch.float32), torch.tensor(rng.permutation(130))
    dense, other = DenseEncoder(130).eval(), DenseEncoder(130).eval()
    other.load_state_dict(dense.state_dict())
    other.layers[1].weight.data = dense.layers[1].weight[:, order]
    for ours, theirs in zip(dense(x), other(x[:, order]), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    conv = ConvEncoder(130, 5, n_filters=2)
    assert (conv(x)[1] - conv(x[:, order])[1]).abs().max() > 1e-3


def test_too_few_features_are_refused():
    assert ConvEncoder(118).n_tokens == 1
    with pytest.raises(ValueError, match=r"needs 118 features or more; received 117\. Use DenseEncoder"):
        ConvEncoder(117)
