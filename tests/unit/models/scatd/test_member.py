"""One network: frozen parts stand still, rows are added inside the fold, domains are pulled together."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from galenic.models.scatd.member import Lesson, _Step, augmented, train_member
from galenic.models.scatd.model import ScATD
from galenic.models.scatd.network import CellClassifier, Placed, encoder_of
from galenic.nn.residual_vae import ResidualVAE
from galenic.nn.transfer_losses import mmd
from galenic.train import Training, Where, seeded
from galenic.train.terms import unreached

BRIEF = Training(lr=1e-2, max_epochs=3, batch_size=32, patience=0, monitor="none")
D = 12


def lesson(rng: np.random.Generator, *, spectral: Any = "none", target: float | None = 1.0) -> Lesson:
    with seeded(0):
        vae = ResidualVAE(D, 6, encoder=(10,), decoder=(10,), activation="swish", spectral=spectral).eval()
    cells = None if target is None else rng.normal(size=(90, D)) + target
    return Lesson(vae, Placed(range(D), D, None, None), cells, None)


def rows(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y = (np.arange(100) < 25).astype(np.intp)
    return rng.normal(size=(100, D)) + y[:, None], y


def trained(rng: np.random.Generator, given: Lesson | None = None, **fields: Any) -> tuple[CellClassifier, Any]:
    given = lesson(rng) if given is None else given
    x, y = rows(rng)
    model = ScATD(training=BRIEF, **fields)
    return train_member(model, given, x, y, y.astype(float), 0, Where(device="cpu"))


@pytest.mark.parametrize("spectral", ["none", "all"])
def test_the_frozen_encoder_stands_still_with_its_statistics(spectral: Any, rng: np.random.Generator) -> None:
    given = lesson(rng, spectral=spectral)
    before = copy.deepcopy(given.vae.state_dict())
    net, _ = trained(rng, given)
    for name, tensor in net.encoder.state_dict().items():
        torch.testing.assert_close(tensor, before[f"encoder.{name}"], rtol=0, atol=0)


def test_the_last_epochs_tune_the_encoder_of_the_member_alone(rng: np.random.Generator) -> None:
    given = lesson(rng)
    before = copy.deepcopy(given.vae.state_dict())
    net, history = trained(rng, given, tuned_epochs=2)
    assert len(history) == BRIEF.max_epochs + 2
    assert not torch.equal(net.encoder.mean.weight, before["encoder.mean.weight"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in given.vae.state_dict().items())
    assert not net.encoder.mean.weight.requires_grad


def test_a_term_of_weight_zero_or_without_cells_is_absent(rng: np.random.Generator) -> None:
    assert "train_domain" in trained(rng)[1]
    assert "train_domain" not in trained(rng, adapt_weight=0.0)[1]
    assert "train_domain" not in trained(rng, adapt_by="none")[1]
    assert "train_domain" not in trained(rng, lesson(rng, target=None))[1]


@pytest.mark.parametrize("how", ["mmd", "coral", "adversarial"])
def test_every_trainable_tensor_is_reached(how: Any, rng: np.random.Generator) -> None:
    given = lesson(rng)
    net = CellClassifier(encoder_of(given.vae), 6, critic=how == "adversarial")
    net.encoder.unfreeze()
    x, y = rows(rng)
    batch = {
        "x": torch.from_numpy(x).float(), "y": torch.from_numpy(y).float(), "weight": torch.ones(100),
    }  # fmt: skip
    target = torch.from_numpy(np.asarray(given.target)).float()
    missed = unreached(net, batch, _Step(how, 0.1, True, target))
    assert missed == []


def test_mmd_pulls_domains_together_where_the_encoder_may_learn(rng: np.random.Generator) -> None:
    given = lesson(rng, target=3.0)
    distance = []
    for weight in (0.0, 5.0):
        net, _ = trained(np.random.default_rng(1), given, tuned_epochs=30, adapt_weight=weight, augment="none")
        x = torch.from_numpy(rows(np.random.default_rng(1))[0]).float()
        with torch.no_grad():
            z = [net(part)[1] for part in (x, torch.from_numpy(np.asarray(given.target)).float())]
        distance.append(float(mmd(z[0], z[1])))
    assert distance[1] < 0.8 * distance[0]


def test_cells_never_move_the_statistics_of_the_head(rng: np.random.Generator) -> None:
    given, far = lesson(rng, target=0.0), lesson(rng, target=100.0)
    means = [trained(np.random.default_rng(1), part, adapt_by="coral", adapt_weight=1e-12)[0].head.norm.running_mean
             for part in (given, far)]  # fmt: skip
    torch.testing.assert_close(means[0], means[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("how", ["decoder", "smote", "none"])
def test_rows_are_added_to_the_rare_class_and_known_by_their_origin(how: Any, rng: np.random.Generator) -> None:
    x, y = rows(rng)
    model = ScATD(augment=how, tomek=False)
    more, origin = augmented(model, lesson(rng), x, y, 0)
    np.testing.assert_array_equal(more[: len(x)], x)
    np.testing.assert_array_equal(origin[: len(x)], np.arange(len(x)))
    # 75 resistant and 25 sensitive: both grow, the rare class by more.
    wanted = {0: 112, 1: 100} if how != "none" else {0: 75, 1: 25}
    assert np.bincount(y[origin]).tolist() == list(wanted.values())


def test_tomek_links_are_of_the_larger_class(rng: np.random.Generator) -> None:
    x, y = rows(rng)
    kept, origin = augmented(ScATD(augment="none", tomek=True), lesson(rng), x[:, :1], y, 0)
    assert (y[origin] == 1).sum() == 25
    assert len(kept) < len(x)


def test_decoded_expression_is_not_below_zero(rng: np.random.Generator) -> None:
    x, y = rows(rng)
    low = np.full(D, -0.5)
    given = lesson(rng)
    more, _ = augmented(ScATD(tomek=False), Lesson(given.vae, given.placed, None, low), x, y, 0)
    assert more[len(x) :].min() >= -0.5


def test_classes_weigh_the_same_however_many_they_are(rng: np.random.Generator) -> None:
    """A head that cannot tell anything says that both are as likely."""
    y = (np.arange(200) < 20).astype(np.intp)
    x = np.zeros((200, D))
    model = ScATD(training=Training(lr=1e-2, max_epochs=40, batch_size=50, monitor="none"), augment="none", tomek=False)
    net, _ = train_member(model, lesson(rng, target=None), x, y, y.astype(float), 0, Where(device="cpu"))
    with torch.no_grad():
        # By the sizes of the classes alone it would be ln(20 / 180) = -2.2.
        assert abs(float(net(torch.zeros(1, D))[0])) < 1.0
