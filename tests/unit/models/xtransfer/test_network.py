"""The towers against the published network, number by number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from galenic.models.xtransfer.network import Towers, Weights
from galenic.nn.losses import discrepancy, orthogonality
from galenic.train import unreached

WIDTHS = (32, 24, 16, 8)
PARTS = {"encoderG_P": "effect", "encoderG_S": "state", "decoderG": "decoder"}


def published_name(name: str) -> str:
    """Place of a published tensor in our towers: units of four layers in a row there, nested here."""
    _, tower, _, number, *rest = name.replace("/", ".").split(".")
    place = int(number)
    if place < 8:
        ours = [str(place // 4), str(place % 4), *rest]
    elif place < 11:
        layer, value = rest
        ours = [str(place - 6), "first" if layer.endswith("1") else "second", "01"[layer.startswith("bn")], value]
    elif place < 15:
        ours = ["5", str(place - 11), *rest]
    else:
        ours = ["6", *rest]
    return ".".join([PARTS[tower], *ours])


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, np.ndarray]:
    return dict(np.load(shared / "golden" / "xtransfer_cell.npz"))


@pytest.fixture(scope="module")
def towers(golden: dict[str, np.ndarray]) -> Towers:
    net = Towers(40, WIDTHS, noise=0.0, dropout=0.0)
    state = {published_name(name): torch.from_numpy(golden[name]) for name in golden if name.startswith("weights/")}
    net.load_state_dict(state)
    return net.eval()


def batch_of(golden: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    names = {"left": "treated_left", "right": "treated_right"}
    return {
        name: torch.from_numpy(golden[names.get(name, name)])
        for name in ("left", "right", "control_left", "control_right")
    }


@pytest.mark.real
def test_all_published_terms_are_reproduced(golden: dict[str, np.ndarray], towers: Towers) -> None:
    with torch.no_grad():
        terms = towers(batch_of(golden), "cell", Weights())
    expected = {
        "reconstruction": golden["reconstruction_left"] + golden["reconstruction_right"],
        "swap": golden["swap_left"] + golden["swap_right"],
        "control": golden["control_left_loss"] + golden["control_right_loss"],
        "discrepancy": golden["discrepancy"],
    }
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(5 * float(value), rel=1e-5), name
    assert terms["orthogonality"].item() == pytest.approx(0.5 * float(golden["orthogonality"]), rel=1e-5)
    assert sum(terms.values()).item() == pytest.approx(float(golden["total"]), rel=1e-5)


@pytest.mark.real
def test_each_side_is_reproduced(golden: dict[str, np.ndarray], towers: Towers) -> None:
    """Left with left is a pair whose terms are twice those of one side."""
    batch = batch_of(golden)
    for side in ("left", "right"):
        alone = {
            "left": batch[side], "right": batch[side],
            "control_left": batch[f"control_{side}"], "control_right": batch[f"control_{side}"],
        }  # fmt: skip
        with torch.no_grad():
            terms = towers(alone, "cell", Weights())
        assert terms["reconstruction"].item() == pytest.approx(10 * float(golden[f"reconstruction_{side}"]), rel=1e-5)
        assert terms["control"].item() == pytest.approx(10 * float(golden[f"control_{side}_loss"]), rel=1e-5)
        # With both sides the same, swapping changes nothing.
        assert terms["swap"].item() == pytest.approx(terms["reconstruction"].item(), rel=1e-6)


@pytest.mark.real
def test_the_published_prediction_is_reproduced(golden: dict[str, np.ndarray], towers: Towers) -> None:
    batch = batch_of(golden)
    with torch.no_grad():
        found = towers.predict(batch["control_right"], [batch["left"]])
    np.testing.assert_allclose(found.numpy(), golden["prediction"], rtol=1e-5, atol=1e-5)


def random_batch(n: int = 6) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    names = ("left", "right", "control_left", "control_right")
    return {name: torch.rand(n, 40, generator=generator) for name in names}


@pytest.mark.parametrize("common", ["cell", "drug"])
def test_swapping_left_and_right_changes_nothing_but_the_discrepancy(common: str) -> None:
    net, batch = Towers(40, WIDTHS, noise=0.0, dropout=0.0, norm="layer").eval(), random_batch()
    turned = {
        "left": batch["right"], "right": batch["left"],
        "control_left": batch["control_right"], "control_right": batch["control_left"],
    }  # fmt: skip
    forth, back = net(batch, common, Weights()), net(turned, common, Weights())
    for name in set(forth) - {"discrepancy"}:
        torch.testing.assert_close(forth[name], back[name])


@pytest.mark.parametrize("common", ["cell", "drug"])
def test_one_stacked_decoder_call_equals_single_ones(common: str) -> None:
    """The swap in words: a profile from its own code of what is not shared and the other's code of what is."""
    net, batch = Towers(40, WIDTHS, noise=0.0, dropout=0.0, norm="layer").eval(), random_batch()
    states = {side: net.state(batch[side]) for side in ("left", "right")}
    effects = {side: net.effect(batch[side]) for side in ("left", "right")}
    total = 0.0
    for side, other in (("left", "right"), ("right", "left")):
        state = states[other] if common == "cell" else states[side]
        effect = effects[side] if common == "cell" else effects[other]
        total = total + (net.decoder(state + effect) - batch[side]).square().mean()
    torch.testing.assert_close(net(batch, common, Weights())["swap"], 5 * total)


@pytest.mark.parametrize("common", ["cell", "drug"])
def test_a_profile_swapped_with_itself_is_reconstructed(common: str) -> None:
    net, batch = Towers(40, WIDTHS, noise=0.0, dropout=0.0, norm="batch").train(), random_batch()
    batch |= {"right": batch["left"], "control_right": batch["control_left"]}
    terms = net(batch, common, Weights())
    torch.testing.assert_close(terms["swap"], terms["reconstruction"])
    assert terms["discrepancy"].item() == pytest.approx(0, abs=1e-6)


def full_batch() -> dict[str, torch.Tensor]:
    """Everything that a batch may hold."""
    generator = torch.Generator().manual_seed(1)
    names = ("left", "right", "control_left", "control_right", "pair")
    every = [*names, *(f"base_{name}" for name in names), *(f"shift_{name}" for name in names)]
    return {name: torch.rand(6, 40, generator=generator) for name in every}


def test_each_term_in_words() -> None:
    """Bases are taken off what is to be decoded, and the effect encoder is given the shifts."""
    net, batch = Towers(40, WIDTHS, noise=0.0, dropout=0.0, norm="layer").eval(), full_batch()
    weights = Weights(state_of_control=2.0, null_effect=3.0)
    terms = net(batch, "drug", weights)
    expected = dict.fromkeys(("reconstruction", "control", "state_of_control", "null_effect"), 0.0)

    def error(code: torch.Tensor, name: str) -> torch.Tensor:
        return (net.decoder(code) + batch[f"base_{name}"] - batch[name]).square().mean()

    for side in ("left", "right"):
        state, effect = net.state(batch[side]), net.effect(batch[f"shift_{side}"])
        control = f"control_{side}"
        own, nothing = net.state(batch[control]), net.effect(batch[f"shift_{control}"])
        expected["reconstruction"] += 5 * error(state + effect, side)
        expected["control"] += 5 * error(state, control)
        expected["state_of_control"] += 2 * error(own, control)
        expected["null_effect"] += 3 * error(own + nothing, control)
    left, right = net.effect(batch["shift_left"]), net.effect(batch["shift_right"])
    expected["pair"] = 5 * error(net.state(batch["left"]) + left + right, "pair")
    expected["discrepancy"] = 5 * discrepancy(left, right, kind="kl")
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, msg=name)


def test_every_tensor_learns() -> None:
    def step(net: Towers, batch: dict[str, torch.Tensor], progress: float) -> dict[str, torch.Tensor]:
        return net(batch, "cell", Weights())

    net = Towers(40, WIDTHS, noise=0.0, norm="layer", output="softplus")
    assert unreached(net, random_batch(), step) == []
    assert unreached(net, full_batch(), step) == []


def test_terms_that_do_not_count_are_absent() -> None:
    net, optional = Towers(40, WIDTHS, norm="layer"), {"state_of_control", "null_effect"}
    assert not optional & set(net(random_batch(), "cell", Weights()))
    for name in optional:
        assert optional & set(net(random_batch(), "cell", Weights(**{name: 1.0}))) == {name}
    assert "pair" in net(full_batch(), "cell", Weights())
    assert "pair" not in net(random_batch(), "cell", Weights())


def test_noise_is_of_training_alone() -> None:
    net, batch = Towers(40, WIDTHS, noise=0.5, dropout=0.0, norm="layer"), random_batch()
    first, second = (net.train()(batch, "cell", Weights())["reconstruction"] for _ in range(2))
    assert first != second
    first, second = (net.eval()(batch, "cell", Weights())["reconstruction"] for _ in range(2))
    assert first == second


def test_a_transfer_is_a_prediction_from_weighted_effects() -> None:
    net, batch = Towers(40, WIDTHS, norm="layer").eval(), random_batch()
    treated = torch.cat([batch["left"], batch["right"]])
    both = torch.cat([torch.eye(6), torch.eye(6)], dim=1)
    torch.testing.assert_close(
        net.transfer(batch["control_left"], treated, both),
        net.predict(batch["control_left"], [batch["left"], batch["right"]]),
    )
    code = net.state(batch["control_left"]) + 0.25 * net.effect(batch["left"]).sum(dim=0)
    mean = net.transfer(batch["control_left"], batch["left"], torch.full((6, 6), 0.25))
    torch.testing.assert_close(mean, net.decoder(code))


def test_a_correction_begins_at_nothing() -> None:
    net, batch = Towers(40, WIDTHS, norm="layer", output="identity", noise=0.0), full_batch()
    assert net.predict(batch["control_left"], [batch["left"]]).abs().max() > 0
    net.start_from_nothing()
    assert net.predict(batch["control_left"], [batch["left"]]).abs().max() == 0
    expected = sum((batch[side] - batch[f"base_{side}"]).square().mean() for side in ("left", "right"))
    torch.testing.assert_close(net(batch, "cell", Weights())["reconstruction"], 5 * expected)


@pytest.mark.parametrize("wrong", [{"swap": -1}, {"pair": -0.5}, {"control": float("nan")}, {"kind": "js"}])
def test_weights_that_are_none_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"0 or more, and kind one of .*; received .*\. Correct"):
        Weights(**wrong)


def test_effects_are_summed() -> None:
    net, batch = Towers(40, WIDTHS, norm="layer").eval(), random_batch()
    both = net.predict(batch["control_left"], [batch["left"], batch["right"]])
    code = net.state(batch["control_left"]) + net.effect(batch["left"]) + net.effect(batch["right"])
    torch.testing.assert_close(both, net.decoder(code))


def test_orthogonality_equals_the_diagonal() -> None:
    a, b = torch.rand(7, 3), torch.rand(7, 3)
    torch.testing.assert_close(orthogonality(a, b), (a @ b.T).diagonal().square().mean())
    torch.testing.assert_close(orthogonality(a, b, cosine=True), orthogonality(3 * a, b / 5, cosine=True))


def test_discrepancies() -> None:
    a, b = torch.rand(7, 3), torch.rand(7, 3)
    p, q = b.softmax(1), a.softmax(1)
    torch.testing.assert_close(discrepancy(a, b), (p * (p / q).log()).sum(1).mean())
    torch.testing.assert_close(discrepancy(a, b, kind="symmetric"), discrepancy(b, a, kind="symmetric"))
    torch.testing.assert_close(discrepancy(a, b, kind="mse"), (a - b).square().mean())
