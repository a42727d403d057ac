"""The residual autoencoder: the published networks number by number, and the laws that the published code breaks."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from galenic.nn.freezable import Freezable
from galenic.nn.residual_vae import (
    Activation,
    Coded,
    ResidualBlock,
    ResidualVAE,
    Spectral,
    Swish,
    drawn,
    residual_vae_terms,
)
from galenic.nn.residual_vae_published import PUBLISHED, from_published, published_vae, renamed
from galenic.nn.transfer_losses import distill_direction
from galenic.train import Batches, Training, seeded, train
from galenic.train.terms import unreached

ACTIVATIONS: tuple[Activation, ...] = ("leaky_relu", "swish", "shared_swish")
SPECTRAL: tuple[Spectral, ...] = ("none", "all", "skips_and_heads")
every_shape = pytest.mark.parametrize(
    ("activation", "spectral"), [(activation, spectral) for activation in ACTIVATIONS for spectral in SPECTRAL]
)


def network(activation: Activation = "swish", spectral: Spectral = "none", **how: object) -> ResidualVAE:
    with seeded(0):
        return ResidualVAE(12, 3, encoder=(10, 8, 8), decoder=(8, 10), activation=activation, spectral=spectral, **how)


def values(n: int = 20) -> torch.Tensor:
    with seeded(1):
        return 2 * torch.randn(n, 12) + 1


def used(net: ResidualVAE) -> ResidualVAE:
    """After some training passes, with batch norms that do something."""
    with seeded(2):
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm1d):
                nn.init.normal_(layer.weight)
                nn.init.normal_(layer.bias)
            if isinstance(layer, Swish):
                nn.init.uniform_(layer.beta, 0.5, 2)
        net.train()
        for _ in range(5):
            net(values())
    return net.eval()


def golden_of(shared: Path, name: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Published weights, and inputs with the numbers that came of them."""
    numbers = {key: torch.from_numpy(value) for key, value in np.load(shared / "golden" / f"{name}.npz").items()}
    state = {key.removeprefix("weights/"): value for key, value in numbers.items() if key.startswith("weights/")}
    return state, {key: value for key, value in numbers.items() if not key.startswith("weights/")}


def block_by_hand(block: ResidualBlock, x: torch.Tensor) -> torch.Tensor:
    """One block in evaluation mode by its formula."""
    norm = block.norm
    y = x @ block.linear.weight.T + block.linear.bias
    y = (y - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
    if isinstance(block.activation, Swish):
        y = y / (1 + (-block.activation.beta * y).exp())
    else:
        y = torch.maximum(y, 0.01 * y)
    skip = block.shortcut
    return y + (x if isinstance(skip, nn.Identity) else x @ skip.weight.T + skip.bias)


@every_shape
def test_the_network_is_its_formula(activation: Activation, spectral: Spectral) -> None:
    net = used(network(activation, spectral))
    hidden = x = values()
    for block in net.encoder.blocks:
        hidden = block_by_hand(block, hidden)
    mean, log_variance = ((hidden @ head.weight.T + head.bias) for head in (net.encoder.mean, net.encoder.log_variance))
    hidden = mean
    for block in net.decoder.blocks:
        hidden = block_by_hand(block, hidden)
    coded = net(x)
    torch.testing.assert_close(coded.mean, mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(coded.log_variance, log_variance, rtol=1e-4, atol=1e-5)
    expected = hidden @ net.decoder.out.weight.T + net.decoder.out.bias
    torch.testing.assert_close(coded.reconstruction, expected, rtol=1e-4, atol=1e-5)


@every_shape
def test_outside_training_latents_are_means_and_rows_stand_alone(activation: Activation, spectral: Spectral) -> None:
    net, x = used(network(activation, spectral)), values()
    coded = net(x)
    assert torch.equal(coded.z, coded.mean)
    assert torch.equal(net.encode(x), coded.mean)
    assert torch.equal(net(x).reconstruction, coded.reconstruction)
    torch.testing.assert_close(net.encode(x[:1]), coded.mean[:1])
    torch.testing.assert_close(net.decode(coded.mean), coded.reconstruction)


def test_latents_are_drawn_in_training_with_the_spread_they_say() -> None:
    net = network()
    with seeded(3):
        assert not torch.equal(net(values()).z, net(values()).z)
    mean, log_variance = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 2 * np.log(3.0)]])
    many = drawn(mean.expand(20_000, 2), log_variance.expand(20_000, 2), torch.Generator().manual_seed(0))
    np.testing.assert_allclose(many.mean(0), [1, -2], atol=0.1)
    np.testing.assert_allclose(many.std(0), [1, 3], rtol=0.03)


@every_shape
def test_every_tensor_learns(activation: Activation, spectral: Spectral) -> None:
    net = network(activation, spectral)
    assert unreached(net, values(), lambda net, x, _: residual_vae_terms(net(x), x, beta=1.0)) == []


def test_swish_is_learned_in_each_block_or_once() -> None:
    betas = {name: [n for n, _ in network(name).named_parameters() if n.endswith("beta")] for name in ACTIVATIONS}
    assert [len(betas[name]) for name in ACTIVATIONS] == [0, 5, 1]
    net = network("shared_swish")
    assert net.encoder.blocks[0].activation is net.decoder.blocks[1].activation
    x = torch.linspace(-3, 3, 7)
    swish = Swish()
    torch.testing.assert_close(swish(x), nn.functional.silu(x))
    nn.init.constant_(swish.beta, 50.0)
    torch.testing.assert_close(swish(x), x.relu())


def test_the_shortcut_is_the_input_where_the_width_stays() -> None:
    net = network()
    assert [type(block.shortcut) for block in net.encoder.blocks] == [nn.Linear, nn.Linear, nn.Identity]


@pytest.mark.parametrize("spectral", SPECTRAL[1:])
def test_weights_are_set_before_they_are_wrapped(spectral: Spectral) -> None:
    """What is wrapped is the very weight of the plain network, and it counts with a largest singular value of 1."""
    plain, net = network("swish"), network("swish", spectral)
    wrapped = set()
    layers = {name: layer for name, layer in net.named_modules() if isinstance(layer, nn.Linear)}
    for name, layer in layers.items():
        weight = plain.get_submodule(name).weight
        if hasattr(layer, "parametrizations"):
            wrapped.add(name)
            assert torch.equal(layer.parametrizations.weight.original, weight)
        else:
            assert torch.equal(layer.weight, weight)
    inside = {name for name in layers if name.endswith(".linear")}
    assert wrapped == (set(layers) if spectral == "all" else set(layers) - inside)
    for _ in range(100):
        net.train()(values())
    for name in wrapped:
        assert torch.linalg.matrix_norm(layers[name].weight, 2).item() == pytest.approx(1, abs=0.01), name


def test_weights_start_as_published() -> None:
    with seeded(0):
        net = ResidualVAE(2000, 300, encoder=(1000,), decoder=(1000,))
    block, decoder = net.encoder.blocks[0], net.decoder.blocks[0]
    for layer in (block.linear, block.shortcut, decoder.linear, decoder.shortcut):
        assert layer.weight.std().item() == pytest.approx((2 / layer.in_features) ** 0.5, rel=0.01)
    for layer in (net.encoder.mean, net.encoder.log_variance, net.decoder.out):
        expected = (2 / (layer.in_features + layer.out_features)) ** 0.5
        assert layer.weight.std().item() == pytest.approx(expected, rel=0.01)


def test_published_numbers_of_parameters() -> None:
    """25.7, 15.9 and 99.1 million, counted without making the tensors."""
    for name, millions in (("VAE_sf", 25.7), ("VAE_gf", 15.9), ("Dist_VAE", 99.1)):
        with torch.device("meta"):
            net = published_vae(name)
        assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.05), name
        assert net.encoder.blocks[0].linear.in_features == PUBLISHED[name].n_features


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_published_shapes_take_any_input(name: str) -> None:
    shape = PUBLISHED[name]
    with torch.device("meta"):
        net = published_vae(name, 15)
    assert tuple(block.linear.out_features for block in net.encoder.blocks) == shape.encoder
    assert tuple(block.linear.out_features for block in net.decoder.blocks) == shape.decoder
    assert net.decoder.out.out_features == net.encoder.blocks[0].linear.in_features == 15
    assert net.encoder.mean.out_features == shape.n_latent > shape.encoder[-1]


def test_more_latents_than_the_layer_before_them_is_wide_is_said() -> None:
    with pytest.warns(UserWarning, match="9 latents are read from a layer of width 8"):
        net = ResidualVAE(12, 9, encoder=(8,), decoder=())
    with torch.no_grad():
        means = net.eval().encode(values(200))
    assert torch.linalg.matrix_rank(means - means.mean(0), rtol=1e-4).item() <= 8
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ResidualVAE(12, 8, encoder=(8,), decoder=())


@every_shape
def test_what_is_frozen_stays_as_it_is_while_the_rest_learns(activation: Activation, spectral: Spectral) -> None:
    """Inside another network whose train() is called each epoch, as a classifier on the encoder is trained."""
    whole = nn.ModuleDict({"vae": used(network(activation, spectral)), "head": nn.Linear(3, 1)})
    whole["vae"].encoder.freeze()
    before = {name: tensor.clone() for name, tensor in whole["vae"].encoder.state_dict().items()}
    head, x = whole["head"].weight.clone(), values()
    expected = whole["vae"].encode(x).detach()

    def step(net: nn.ModuleDict, batch: dict[str, torch.Tensor], _: float) -> dict[str, torch.Tensor]:
        return {"error": (net["head"](net["vae"].encode(batch["x"]))[:, 0] - batch["x"][:, 0]).square().mean()}

    training = Training(lr=1e-2, max_epochs=3)
    train(whole, Batches(x.numpy(), batch_size=5), step, training, seed=0, device="cpu")
    whole.train()
    assert not whole["vae"].encoder.training
    assert whole["head"].training
    for name, tensor in whole["vae"].encoder.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert torch.equal(whole["vae"].encode(x), expected)
    assert not torch.equal(whole["head"].weight, head)


def test_a_thawed_part_moves_again() -> None:
    net = used(network())
    net.encoder.freeze().unfreeze()
    assert all(parameter.requires_grad for parameter in net.parameters())
    before = net.encoder.blocks[0].norm.running_mean.clone()
    net.train()(values())
    assert not torch.equal(net.encoder.blocks[0].norm.running_mean, before)
    assert not net.eval().encoder.training


def test_a_shared_slope_stops_with_either_part() -> None:
    for name, stopped in (("swish", False), ("shared_swish", True)):
        net = network(name)
        net.encoder.freeze()
        assert net.decoder.blocks[0].activation.beta.requires_grad is not stopped


def test_freezing_is_needed() -> None:
    """Without it the statistics of a part whose gradients are off drift in training: the published fault."""
    net = used(network())
    net.encoder.requires_grad_(False).eval()
    before = net.encode(values())
    net.train()
    net(values() + 3)
    assert not torch.allclose(net.eval().encode(values()), before)
    assert isinstance(net.encoder, Freezable)


def test_terms_by_loops(rng: np.random.Generator) -> None:
    x, y, mean, log_variance = (torch.tensor(rng.normal(size=(5, n))) for n in (4, 4, 3, 3))
    error = sum((float(y[i, j]) - float(x[i, j])) ** 2 for i in range(5) for j in range(4)) / 20
    kl = -0.5 * sum(
        1 + float(log_variance[i, k]) - float(mean[i, k]) ** 2 - np.exp(float(log_variance[i, k]))
        for i in range(5)
        for k in range(3)
    ) / 15  # fmt: skip
    terms = residual_vae_terms(Coded(y, mean, log_variance, mean), x, beta=7.0)
    assert terms["error"].item() == pytest.approx(7 * (error + 1e-8))
    assert terms["kl"].item() == pytest.approx(kl)
    root = residual_vae_terms(Coded(y, mean, log_variance, mean), x, beta=7.0, error="rmse")
    assert root["error"].item() == pytest.approx(7 * (error + 1e-8) ** 0.5)
    same = Coded(x.requires_grad_(), mean, log_variance, mean)
    slope = torch.autograd.grad(residual_vae_terms(same, x.detach(), beta=1.0, error="rmse")["error"], x)[0]
    assert torch.isfinite(slope).all()


@pytest.mark.real
@pytest.mark.parametrize("name", ["scatd_vae_sf", "scatd_vae_dist"])
def test_the_published_network_is_reproduced(shared: Path, name: str) -> None:
    state, golden = golden_of(shared, name)
    kept = copy.deepcopy(state)
    net = from_published(state)
    with torch.no_grad():
        coded = net(golden["x"])
    for ours, theirs in (("mean", "mu"), ("log_variance", "logvar"), ("reconstruction", "decoded_from_mu")):
        torch.testing.assert_close(getattr(coded, ours), golden[theirs], rtol=1e-5, atol=1e-5)
    terms = residual_vae_terms(coded, golden["x"], beta=10.0)
    if name == "scatd_vae_sf":
        assert terms["error"].item() / 10 == pytest.approx(golden["reconstruction"].item(), rel=1e-5)
        assert terms["kl"].item() == pytest.approx(golden["kl"].item(), rel=1e-5)
        assert sum(terms.values()).item() == pytest.approx(golden["loss_beta10"].item(), rel=1e-5)
    else:
        total = sum(terms.values()) + 3 * distill_direction(coded.mean, golden["teacher_z"])
        assert total.item() == pytest.approx(golden["loss_beta10_cos3"].item(), rel=1e-5)
        beta = state["Encoder_resblocks.0.swish.beta"]
        assert [p.item() for n, p in net.named_parameters() if n.endswith("beta")] == [beta.item()]
    assert all(torch.equal(state[key], kept[key]) for key in kept)


@pytest.mark.real
@pytest.mark.parametrize("name", ["scatd_vae_sf", "scatd_vae_dist"])
def test_a_published_encoder_loads_alone_and_beside_a_classifier(shared: Path, name: str) -> None:
    state, golden = golden_of(shared, name)
    encoder = copy.deepcopy(from_published(state).encoder)
    nn.init.zeros_(encoder.blocks[0].linear.weight)
    shapes = {"fc3.weight": (3, 7), "fc4.weight": (2, 3), "fc4.bias": (2,), "bn3.bias": (3,), "swish.beta": ()}
    mine = {key: value for key, value in state.items() if not key.startswith(("Decoder", "fc4"))}
    found = renamed(mine | {key: torch.ones(shape) for key, shape in shapes.items()}, encoder)
    assert found.missing == ()
    assert set(found.unexpected) == set(shapes)
    encoder.load_state_dict(found.state)
    torch.testing.assert_close(encoder(golden["x"])[0], golden["mu"], rtol=1e-5, atol=1e-5)


def old_names(net: ResidualVAE) -> dict[str, torch.Tensor]:
    """The state of our network as older torch and the published modules name it."""
    short = {
        "parametrizations.weight.original": "weight_orig",
        "parametrizations.weight.0._u": "weight_u",
        "parametrizations.weight.0._v": "weight_v",
        "encoder.blocks": "Encoder_resblocks",
        "decoder.blocks": "Decoder_resblocks",
        "encoder.mean": "fc21",
        "encoder.log_variance": "fc22",
        "decoder.out": "fc4",
        ".linear.": ".fc.",
        ".norm.": ".bn.",
        ".activation.": ".swish.",
        ".shortcut.": ".downsample.",
    }
    state = {}
    for name, tensor in net.state_dict().items():
        for ours, theirs in short.items():
            name = name.replace(ours, theirs)
        state[f"module.{name}"] = tensor
    return state


@every_shape
def test_every_published_layout_loads(activation: Activation, spectral: Spectral) -> None:
    net = used(network(activation, spectral))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = from_published(old_names(net))
    torch.testing.assert_close(again(values()).reconstruction, net(values()).reconstruction)
    assert again.state_dict().keys() == net.state_dict().keys()


def test_spectral_norm_is_folded_where_the_network_has_none() -> None:
    """Published pretraining wraps layers that the published classifier has plain."""
    net = used(network("swish", "all"))
    for spectral in ("none", "skips_and_heads"):
        other = network("swish", spectral)
        found = renamed(old_names(net), other)
        assert found.missing == found.unexpected == ()
        other.load_state_dict(found.state)
        torch.testing.assert_close(other.eval()(values()).reconstruction, net(values()).reconstruction)


def test_what_does_not_fit_is_reported() -> None:
    net = used(network())
    state = old_names(net)
    del state["module.fc22.bias"]
    found = renamed(state | {"module.fc5.bias": torch.ones(1)}, net)
    assert found.missing == ("encoder.log_variance.bias",)
    assert found.unexpected == ("fc5.bias",)
    with pytest.raises(ValueError, match=r"1 are missing \(first: encoder.log_variance.bias\).*Load the whole file"):
        from_published(state)
    with pytest.raises(ValueError, match=r"should hold fc21.*received 1 tensors.*Pass the state"):
        from_published({"epoch": torch.ones(1)})


@pytest.mark.parametrize(
    "wrong",
    [{"n_features": 0}, {"n_latent": 0}, {"encoder": (0,)}, {"decoder": (5, -1)}, {"n_power_iterations": 0},
     {"activation": "relu"}, {"spectral": "some"}],
)  # fmt: skip
def test_what_is_no_shape_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"should be .*; received .*\. (Correct these|Choose among these)\."):
        ResidualVAE(**{"n_features": 5, "n_latent": 2, **wrong})
    with pytest.raises(ValueError, match=r"VAE_sf, VAE_gf, Dist_VAE; received 'VAE'"):
        published_vae("VAE")
