"""The towers against the published network, number by number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from galenic.models.xtransfer.network import Towers, Weights
from galenic.nn.losses import discrepancy, orthogonality

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


def test_every_tensor_learns_and_absent_terms_are_absent() -> None:
    net = Towers(40, WIDTHS, noise=0.0, norm="layer", output="softplus")
    terms = net(random_batch(), "cell", Weights(state_of_control=1.0, null_effect=1.0))
    assert {"state_of_control", "null_effect"} <= set(terms)
    assert not {"state_of_control", "null_effect"} & set(net(random_batch(), "cell", Weights()))
    sum(terms.values()).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


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
