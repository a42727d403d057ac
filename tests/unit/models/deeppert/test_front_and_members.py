"""The linear front, and one member: what is removed is gone, families are what they are called, beta moves."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from galenic.models.deeppert.front import Front
from galenic.models.deeppert.member import IDLE, Lesson, Member, Task, encoded, fit_member
from galenic.train import Training
from galenic.work import plain as files

NONE = np.zeros((80, 0), dtype=np.float32)


@pytest.fixture
def values(rng: np.random.Generator) -> np.ndarray:
    return (rng.normal(size=(80, 4)) @ rng.normal(size=(4, 30)) + rng.normal(size=(80, 30))).astype(np.float32)


def names(n: int) -> list[str]:
    return [f"G{i}" for i in range(n)]


def lesson(scores: np.ndarray, **how: object) -> Lesson:
    training = Training(lr=5e-3, max_epochs=10, batch_size=20, patience=0, monitor="none")
    plain = Lesson(scores, scores[:, :0], 1.0, training, 1.0, 0.5, 1.0, 0.1, True, False, 0, "test")
    return replace(plain, **how)


def test_scores_are_principal_components_over_one_number(values: np.ndarray) -> None:
    front = Front.fit(values, NONE, names(30), n_components=5)
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    theirs = PCA(5).fit_transform(scaled.astype(np.float64))
    ours = front.scores(front.deviations(values, NONE))
    np.testing.assert_allclose(np.abs(ours) * front.unit, np.abs(theirs), atol=1e-3)
    assert (ours**2).mean() == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(ours, front.deviations(values, NONE) @ front.matrix())
    raw = Front.fit(values, NONE, names(30), n_components=5, scale_genes=False)
    theirs = PCA(5).fit_transform(values.astype(np.float64))
    np.testing.assert_allclose(np.abs(raw.scores(raw.deviations(values, NONE))) * raw.unit, np.abs(theirs), atol=1e-3)


def test_what_covariates_add_is_removed(values: np.ndarray, rng: np.random.Generator) -> None:
    dose = rng.normal(size=(80, 2)).astype(np.float32)
    moved = values + (dose @ rng.normal(size=(2, 30))).astype(np.float32)
    front = Front.fit(moved, dose, names(30), n_components=5)
    left = front.deviations(moved, dose)
    assert np.abs(left.T @ (dose - dose.mean(axis=0))).max() / 80 < 1e-4
    apart = Front.fit(moved, NONE, names(30), n_components=5).deviations(moved, NONE)
    assert np.abs(np.corrcoef(apart.T, dose.T)[:30, 30:]).max() > 0.2


def test_constant_genes_are_said_and_count_for_nothing(values: np.ndarray) -> None:
    values[:, 7] = 3.1
    with pytest.warns(UserWarning, match=r"1 of 30 are constant \(first: 'G7'\) and count for nothing\. Drop them"):
        front = Front.fit(values, NONE, names(30), n_components=5)
    other = values.copy()
    other[:, 7] = 99
    np.testing.assert_array_equal(
        front.scores(front.deviations(other, NONE)), front.scores(front.deviations(values, NONE))
    )
    with pytest.raises(ValueError, match=r"at least two genes should vary.*30 of 30 are constant.*Give more profiles"):
        Front.fit(values * 0, NONE, names(30), n_components=5)


@pytest.fixture
def scores(values: np.ndarray) -> np.ndarray:
    front = Front.fit(values, NONE, names(30), n_components=8)
    return front.scores(front.deviations(values, NONE)).astype(np.float32)


@pytest.mark.parametrize("family", ["ae", "dae", "vae", "linear", "pca", "ica", "rp"])
def test_a_member_comes_back_from_its_file_and_from_its_seed(family: str, scores: np.ndarray, tmp_path: Path) -> None:
    member = fit_member(Task(family, 3, 1), lesson(scores))
    files.save(tmp_path / "member.npz", member)
    back = files.load(tmp_path / "member.npz", [Member, Task])
    assert back.task == member.task
    again = fit_member(Task(family, 3, 1), lesson(scores))
    for other in (back, again):
        np.testing.assert_array_equal(encoded(other.layers, scores), encoded(member.layers, scores))
        assert other.loss == member.loss
        assert other.history.equals(member.history)
    assert encoded(member.layers, scores).shape == (80, 3)
    other = fit_member(Task(family, 3, 2), lesson(scores))
    assert np.array_equal(encoded(other.layers, scores), encoded(member.layers, scores)) == (family == "pca")


def test_linear_families(scores: np.ndarray) -> None:
    latents = {f: encoded(fit_member(Task(f, 3, 0), lesson(scores)).layers, scores) for f in ("pca", "ica", "rp")}
    np.testing.assert_allclose(latents["pca"], scores[:, :3], atol=1e-6)
    np.testing.assert_allclose(np.cov(latents["ica"].T, bias=True), np.eye(3), atol=1e-4)
    assert np.linalg.matrix_rank(latents["rp"]) == 3
    loss = {f: fit_member(Task(f, 3, 0), lesson(scores)).loss for f in latents}
    assert loss["pca"] == pytest.approx(float((scores[:, 3:] ** 2).sum(axis=1).mean()), rel=1e-5)
    assert loss["ica"] == pytest.approx(loss["pca"], rel=1e-4)  # another basis of the same space
    assert loss["rp"] > loss["pca"]
    assert fit_member(Task("pca", 3, 0), lesson(scores, unit=2.0)).loss == pytest.approx(4 * loss["pca"])


def test_beta_moves_and_is_on_record(scores: np.ndarray) -> None:
    history = fit_member(Task("vae", 3, 0), lesson(scores, beta=2.0)).history
    assert history["beta"].iloc[0] < 0.5
    assert history["beta"].is_monotonic_increasing
    assert (history["beta"].iloc[-5:] == 2).all()
    assert history["train_kl"].iloc[0] < history["train_kl"].iloc[4]
    flat = fit_member(Task("vae", 3, 0), lesson(scores, beta=2.0, warmup=0.0)).history
    assert (flat["beta"] == 2).all()
    assert "beta" not in fit_member(Task("ae", 3, 0), lesson(scores)).history


def test_a_heavy_prior_leaves_idle_latents_at_zero(scores: np.ndarray) -> None:
    latents = encoded(fit_member(Task("vae", 4, 0), lesson(scores, beta=500.0, warmup=0.0)).layers, scores)
    assert (latents == 0).all(axis=0).any()
    assert ((latents == 0).all(axis=0) | (latents.var(axis=0) > IDLE)).all()


@pytest.mark.parametrize("family", ["ae", "vae"])
def test_unmixing_is_a_linear_map_of_the_same_latents(family: str, scores: np.ndarray) -> None:
    plain, turned = (
        encoded(fit_member(Task(family, 3, 0), lesson(scores, unmix=unmix, beta=0.1)).layers, scores)
        for unmix in (False, True)
    )
    design = np.column_stack([plain, np.ones(80)])
    np.testing.assert_allclose(design @ np.linalg.lstsq(design, turned, rcond=None)[0], turned, atol=1e-4)
    np.testing.assert_allclose(np.cov(turned.T, bias=True), np.eye(3), atol=1e-3)
    np.testing.assert_allclose(turned.mean(axis=0), 0, atol=1e-3)
    assert np.abs(np.cov(plain.T, bias=True) - np.eye(3)).max() > 0.05


def test_decoders_that_are_given_a_covariate_free_latents_of_it(rng: np.random.Generator) -> None:
    """Dose moves every profile along one direction; a decoder that knows dose need not be told by a latent."""
    dose = rng.normal(size=(600, 1)).astype(np.float32)
    signal = rng.normal(size=(600, 1)).astype(np.float32)
    scores = 3 * np.concatenate([dose, signal], axis=1) @ np.array([[1.0, 1, 0, 0], [0, 1, 1, 0]], dtype=np.float32)
    scores += 0.1 * rng.normal(size=scores.shape).astype(np.float32)
    how = Training(lr=5e-3, max_epochs=40, batch_size=50, patience=0, monitor="none")

    def carried(context: np.ndarray) -> float:
        member = fit_member(Task("vae", 1, 0), lesson(scores, context=context, training=how))
        return float(abs(np.corrcoef(encoded(member.layers, scores)[:, 0], dose[:, 0])[0, 1]))

    assert carried(dose[:, :0]) > 0.5
    assert carried(dose) < 0.2


def test_threads_and_random_numbers_of_the_caller_stay(scores: np.ndarray) -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_member(Task("vae", 3, 0), lesson(scores))
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
