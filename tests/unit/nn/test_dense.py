"""The densely connected network."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from galenic.nn.dense import Dense


def test_every_layer_sees_all_before_it() -> None:
    net, x = Dense(6, 3, n_layers=3, growth=4).eval(), torch.randn(5, 6)
    seen = [x]
    for layer in net.layers:
        seen.append(F.selu(layer(torch.cat(seen, dim=1))))
    torch.testing.assert_close(net(x), torch.cat(seen, dim=1) @ net.out.weight.T)


def test_without_gradients_one_buffer_gives_the_same() -> None:
    net, x = Dense(6, 3, n_layers=3, growth=4).eval(), torch.randn(5, 6)
    with torch.no_grad():
        torch.testing.assert_close(net(x), net(x.requires_grad_()))


def test_64_layers_keep_the_variance() -> None:
    torch.manual_seed(0)
    net = Dense(978, 32, n_layers=64, growth=16).eval()
    out = net(torch.randn(500, 978)).detach()
    assert 0.5 < out.std().item() < 2
    assert net.n_seen == 978 + 64 * 16


def test_no_layers_is_a_linear_map() -> None:
    net, x = Dense(6, 3, n_layers=0), torch.randn(5, 6)
    torch.testing.assert_close(net(2 * x), 2 * net(x))


def test_widths_are_checked() -> None:
    with pytest.raises(ValueError, match="should be 1 or more"):
        Dense(6, 0)
