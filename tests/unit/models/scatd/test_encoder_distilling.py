"""Distillation: a student on genes points its latents along those of a teacher on an embedding, and leaves it alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from anndata import AnnData

from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.models.base import NotFittedError
from galenic.models.scatd.distilling import agreement, teacher_latents
from galenic.models.scatd.encoder import ScATDEncoder
from galenic.models.scatd.presets import recipe_of
from galenic.models.scatd.pretraining import Step
from galenic.nn.residual_vae import residual_vae_terms
from galenic.train import Training, seeded

TRAINING = Training(max_epochs=30, schedule="cosine")
STUDENT = ScATDEncoder(encoder=(64, 32), training=TRAINING)


@cache
def _cells() -> tuple[AnnData, AnnData]:
    """Cells with an embedding that is a bent and noisy map of what varies in genes; 400 to learn from, 200 not."""
    cells = bulk_and_cells(n_genes=100, n_cells=600, seed=1)[1]
    rng = np.random.default_rng(0)
    x = np.asarray(cells.X, dtype=float)
    u, s, _ = np.linalg.svd((x - x.mean(axis=0)) / x.std(axis=0), full_matrices=False)
    state = u[:, :8] * s[:8] / (s[0] / np.sqrt(len(x)))
    cells.obsm["X_rep"] = np.tanh(state @ rng.normal(size=(8, 48)) / np.sqrt(8)) + 0.1 * rng.normal(size=(600, 48))
    return cells[:400].copy(), cells[400:].copy()


@cache
def teacher() -> ScATDEncoder:
    return ScATDEncoder(use_rep="X_rep", n_latent=8, encoder=(32,), training=TRAINING).fit(_cells()[0].copy())


def learned(cells: AnnData, model: ScATDEncoder = STUDENT) -> ScATDEncoder:
    return replace(model).fit(cells, teacher=teacher())


def test_a_student_learns_directions_that_hold_for_other_cells() -> None:
    """Planted: far above an untrained student, and one whose teacher speaks of other cells."""
    cells, others = _cells()
    wrong = cells.copy()
    wrong.obsm["X_rep"] = cells.obsm["X_rep"][np.random.default_rng(0).permutation(400)]
    student = learned(cells)
    found = agreement(student, teacher(), others)
    assert found.shape == (200,)
    assert found.mean() > 0.8
    untrained = learned(cells, replace(STUDENT, training=Training(max_epochs=1, lr=1e-12)))
    assert found.mean() > agreement(untrained, teacher(), others).mean() + 0.5
    assert found.mean() > agreement(learned(wrong), teacher(), others).mean() + 0.5
    without = learned(cells, replace(STUDENT, cosine=0.0))
    assert found.mean() > agreement(without, teacher(), others).mean() + 0.5
    assert student.spec_["agreement"] == pytest.approx(found.mean(), abs=0.1)


def test_the_teacher_is_bit_identical_afterwards() -> None:
    before = {name: value.copy() for name, value in teacher().arrays_.items()}
    spec, fields = dict(teacher().spec_), repr(teacher())
    learned(_cells()[0].copy(), replace(STUDENT, training=Training(max_epochs=2), sampled_teacher=True))
    assert (teacher().spec_, repr(teacher())) == (spec, fields)
    assert teacher().arrays_.keys() == before.keys()
    for name, value in teacher().arrays_.items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("sampled", [False, True])
def test_terms_of_a_batch_by_hand(sampled: bool) -> None:
    recipe = replace(recipe_of(replace(STUDENT, cosine=7.0, beta=3.0), 8), sampled=sampled)
    student = learned(_cells()[0].copy(), replace(STUDENT, training=Training(max_epochs=1)))
    net, x = student.net(), torch.from_numpy(student.rows(_cells()[0])[:32])
    latents = torch.from_numpy(teacher().embed(_cells()[0])[:32])
    net.train()
    with seeded(5):
        terms = Step(recipe)(net, {"x": x, "teacher": latents}, 0.5)
    again = student.net().train()
    with seeded(5):
        coded = again(x)
    ours = coded.z if sampled else coded.mean
    cosines = [
        float(a @ b / (a.norm() * b.norm())) for a, b in zip(ours.detach(), latents, strict=True)
    ]  # fmt: skip
    assert terms["direction"].item() == pytest.approx(7 * (1 - np.mean(cosines)), rel=1e-4)
    expected = residual_vae_terms(coded, x, beta=3.0)
    assert terms["error"].item() == pytest.approx(expected["error"].item(), rel=1e-5)
    assert terms["kl"].item() == pytest.approx(expected["kl"].item(), rel=1e-5)
    assert set(Step(recipe)(net, {"x": x}, 0.5)) == {"error", "kl"}


def test_latents_of_the_teacher_are_means_or_one_draw_of_each() -> None:
    cells = _cells()[0]
    mean, log_variance = teacher().distribution(cells)
    how = {"seed": 3, "device": "cpu"}
    np.testing.assert_array_equal(teacher_latents(teacher(), cells, sampled=False, **how), mean)
    drawn = teacher_latents(teacher(), cells, sampled=True, **how)
    np.testing.assert_array_equal(teacher_latents(teacher(), cells, sampled=True, **how), drawn)
    scaled = (drawn - mean) / np.exp(log_variance / 2)
    assert abs(scaled.mean()) < 0.1
    assert scaled.std() == pytest.approx(1, abs=0.05)


def test_a_student_has_the_latents_of_its_teacher_and_reads_genes_alone() -> None:
    cells = _cells()[0].copy()
    student = learned(cells, replace(STUDENT, training=Training(max_epochs=1)))
    assert student.spec_["recipe"]["n_latent"] == 8
    del cells.obsm["X_rep"]
    assert student.embed(cells).shape == (400, 8)
    with pytest.raises(ValueError, match=r"as its teacher, 8; received n_latent=5\. Leave n_latent out"):
        ScATDEncoder(n_latent=5).fit(cells, teacher=teacher())
    with pytest.raises(ValueError, match=r"should carry obsm\['X_rep'\]"):
        learned(cells)
    with pytest.raises(TypeError, match="a teacher should be a ScATDEncoder; received str"):
        STUDENT.fit(cells, teacher="VAE_sf")  # type: ignore[arg-type]
    with pytest.raises(NotFittedError, match="the teacher should be fitted"):
        STUDENT.fit(cells, teacher=ScATDEncoder())
    other = ScATDEncoder(n_latent=4, encoder=(8,), training=Training(max_epochs=1)).fit(cells)
    with pytest.raises(ValueError, match="as many latents; received 4 and 8"):
        agreement(other, teacher(), _cells()[0])


def test_cells_that_the_teacher_knows_nothing_of_teach_no_direction() -> None:
    cells = _cells()[0][:60].copy()
    cells.obsm["X_rep"][:5] = 0
    assert not teacher_latents(teacher(), cells, sampled=True, seed=0, device="cpu")[:5].any()
    student = learned(cells, replace(STUDENT, training=Training(max_epochs=2)))
    assert np.isnan(agreement(student, teacher(), cells)).tolist() == [True] * 5 + [False] * 55


def test_valid_cells_are_told_of_by_the_teacher_too() -> None:
    cells, others = _cells()
    student = replace(STUDENT, training=Training(max_epochs=2)).fit(cells, teacher=teacher(), valid=others)
    assert student.spec_["n_valid"] == 200
    assert student.spec_["agreement"] == pytest.approx(agreement(student, teacher(), others).mean(), abs=1e-5)
    history = student.history_
    direction = history.loc[history["best"], "valid_direction"].item() / student.spec_["recipe"]["cosine"]
    assert 1 - direction == pytest.approx(student.spec_["agreement"], abs=1e-4)
