"""Autoencoders: folded layers give the same latents, noise is fresh and ends with training, the loss is its formula."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from galenic.nn.autoencoders import Autoencoder, Kind, autoencoder_terms, beta_at, kl_divergence, widths_of
from galenic.train import Batches, Training, seeded, train
from galenic.train.terms import unreached

KINDS: tuple[Kind, ...] = get_args(Kind)
every_kind = pytest.mark.parametrize("kind", KINDS)


def network(kind: Kind, **how: object) -> Autoencoder:
    with seeded(0):
        return Autoencoder(12, 3, kind=kind, widths=(8, 6), **how)


def values(n: int = 20) -> torch.Tensor:
    with seeded(1):
        return 2 * torch.randn(n, 12) + 1


def used(net: Autoencoder) -> Autoencoder:
    """After a few training passes: running means and variances are no longer 0 and 1."""
    with seeded(2):
        for _ in range(5):
            net(values(), torch.zeros(20, net.decoder[0].in_features - 3))
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm1d):
                nn.init.normal_(layer.weight)
                nn.init.normal_(layer.bias)
    return net.eval()


@every_kind
def test_folded_layers_are_the_encoder(kind: Kind) -> None:
    net = used(network(kind))
    x = y = values()
    for number, (weight, bias) in enumerate(net.layers()):
        y = (y.relu() if number else y) @ weight.T + bias
    assert len(net.layers()) == (2 if kind in ("ae", "dae") else 3)
    torch.testing.assert_close(y, net.encode(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(net(x)[1], net.encode(x))


@every_kind
def test_a_row_alone_is_encoded_as_among_others(kind: Kind) -> None:
    net = used(network(kind))
    torch.testing.assert_close(net.encode(values()[:1]), net.encode(values())[:1])


@every_kind
def test_every_tensor_learns(kind: Kind) -> None:
    net = network(kind, n_context=2)
    batch = {"x": values(), "context": torch.ones(20, 2)}
    assert unreached(net, batch, lambda net, b, progress: autoencoder_terms(net, b, progress, beta=1, warmup=0)) == []


@every_kind
def test_draws_differ_in_training_only(kind: Kind) -> None:
    net = network(kind, dropout=0.0)
    with seeded(3):
        assert torch.equal(net(values())[0], net(values())[0]) == (kind == "ae")
        net.eval()
        assert torch.equal(net(values())[0], net(values())[0])


def test_noise_has_the_size_that_was_asked_for() -> None:
    net = network("dae", noise=3.0)
    seen = []
    net.body.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with seeded(0):
        net(torch.zeros(2000, 12))
    assert seen[0].std().item() == pytest.approx(3, rel=0.03)


def widths(net: Autoencoder) -> list[int]:
    return [layer.out_features for layer in net.decoder if isinstance(layer, nn.Linear)]


def test_decoders() -> None:
    assert widths(network("vae")) == [6, 8, 12]
    assert widths(network("vae", as_published=True)) == [8, 6, 12]
    assert widths(network("linear")) == [12]
    assert widths(network("ae")) == [8, 12]
    assert widths_of(5) == (100, 25)
    assert widths_of(10) == (250, 50)
    assert widths_of(7) == widths_of(100) == (250, 100)


def test_context_reaches_the_reconstruction_and_not_the_latents() -> None:
    net = used(network("vae", n_context=1))
    one, other = net(values(), torch.zeros(20, 1)), net(values(), torch.ones(20, 1))
    assert not torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])


def test_kl_is_that_of_two_normal_distributions() -> None:
    with seeded(4):
        mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
    ours = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected)


@every_kind
def test_the_loss_is_its_formula(kind: Kind) -> None:
    net, x = used(network(kind)), values()
    found = autoencoder_terms(net, {"x": x}, 0.25, beta=4.0, warmup=0.5, unit=2.0)
    reconstruction, mean, log_variance = net(x)
    by_hand = 4 * sum(((a - b) ** 2).sum() for a, b in zip(reconstruction, x, strict=True)) / len(x)
    torch.testing.assert_close(found["error"], by_hand)
    if log_variance is None:
        assert set(found) == {"error"}
    else:
        torch.testing.assert_close(found["kl"], 2 * kl_divergence(mean, log_variance).mean())


@pytest.mark.parametrize("progress", [0.0, 0.3, 0.9])
def test_without_warm_up_beta_stays(progress: float) -> None:
    assert beta_at(progress, 3.0, 0.0) == 3.0


def test_beta_rises_to_its_end() -> None:
    betas = [beta_at(step / 100, 2.0, 0.4) for step in range(101)]
    assert betas[0] == 0
    assert betas[20] == pytest.approx(1)
    assert betas[40:] == [2.0] * 61
    assert betas == sorted(betas)


@every_kind
def test_training_explains_what_there_is_to_explain(kind: Kind) -> None:
    """Rows on a plane are reconstructed from two latents."""
    with seeded(5):
        x = torch.randn(200, 2) @ (3 * torch.randn(2, 12))
        net = Autoencoder(12, 2, kind=kind, widths=(32, 16), noise=0.1, dropout=0.0)

    def step(net: nn.Module, batch: dict[str, torch.Tensor], progress: float) -> dict[str, torch.Tensor]:
        return autoencoder_terms(net, batch, progress, beta=1.0, warmup=0.5)

    how = Training(lr=5e-3, max_epochs=150, patience=0, schedule="cosine", monitor="none")
    train(net, Batches(x, batch_size=50), step, how, device="cpu")
    assert (net(x)[0] - x).square().sum().item() < 0.1 * x.square().sum().item()


@pytest.mark.parametrize(
    "how", [{"kind": "gan"}, {"widths": (0, 4)}, {"dropout": 1.0}, {"noise": -1.0}, {"n_context": -1}]
)
def test_what_is_not_allowed_is_refused(how: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"should be .*; received .*\. Correct these\."):
        Autoencoder(12, 3, **how)
