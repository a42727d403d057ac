"""One fit of one family at one latent size."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from galenic.nn.autoencoders import Autoencoder, autoencoder_terms, beta_at
from galenic.train import Batches, Training, Where, seeded

NETWORKS = ("ae", "dae", "vae", "linear")
LINEAR = ("pca", "ica", "rp")
FAMILIES = (*NETWORKS, *LINEAR)
IDLE = 0.01
"""Variance over profiles below which a latent of a variational autoencoder says nothing."""
N_TURNS = 200
"""Iterations of FastICA at most."""
MIXED = 2**17
"""Profiles from which independent components are learned, at most."""
ROWS = 2**14
"""Profiles that pass through an encoder at once."""
Layers = list[tuple[np.ndarray, np.ndarray]]
HERE = Where(device="cpu")


@dataclass(frozen=True, order=True)
class Task:
    """A fit to be made."""

    family: str
    size: int
    run: int

    @property
    def name(self) -> str:
        """As files and messages call it."""
        return f"{self.family}-{self.size}-{self.run}"


@dataclass(frozen=True)
class Lesson:
    """What every member learns from, and how.

    Attributes
    ----------
    scores
        Component scores over ``unit``, ``(n, n_components)`` float32.
    context
        What decoders are given besides, ``(n, n_context)`` float32.
    unit
        Errors are told times its square.
    unmix
        Rotate the latents of a network to independent components: they are defined up to a linear map only.
    source
        What scores and context were computed from, and how.
    """

    scores: np.ndarray
    context: np.ndarray
    unit: float
    training: Training
    beta: float
    warmup: float
    noise: float
    dropout: float
    unmix: bool
    as_published: bool
    seed: int
    source: str


@dataclass(frozen=True)
class Member:
    """A finished fit.

    Attributes
    ----------
    layers
        The encoder: affine maps ``(weight, bias)`` of ``x @ weight.T + bias``, a ReLU between two of them.
    loss
        Mean squared error of a profile's components, summed over these, after training.
    history
        One row an epoch; empty where nothing was trained step by step.
    """

    task: Task
    layers: Layers
    loss: float
    history: pd.DataFrame


def layers_of(arrays: Mapping[str, np.ndarray], head: str = "") -> Layers:
    """The layers among arrays whose names begin with ``head``."""
    n = sum(name.startswith(head) and name.endswith("/weight") for name in arrays)
    return [(arrays[f"{head}{number}/weight"], arrays[f"{head}{number}/bias"]) for number in range(n)]


def encoded(layers: Layers, scores: np.ndarray) -> np.ndarray:
    """Latents ``(n, n_latent)`` of component scores, in double precision."""
    latents = np.empty((len(scores), len(layers[-1][1])))
    for start in range(0, len(scores), ROWS):
        x = scores[start : start + ROWS].astype(np.float64)
        for number, (weight, bias) in enumerate(layers):
            x = (np.maximum(x, 0) if number else x) @ weight.T.astype(np.float64) + bias
        latents[start : start + ROWS] = x
    return latents


def fit_member(task: Task, lesson: Lesson, where: Where = HERE) -> Member:
    """Fit one member; torch computes in one thread, so that members do not fight for cores."""
    seed = int(
        np.random.SeedSequence([lesson.seed, FAMILIES.index(task.family), task.size, task.run]).generate_state(1)[0]
    )
    if task.family in LINEAR:
        weight, bias = _linear(task, lesson.scores, seed)
        layers = [(weight.astype(np.float32), bias.astype(np.float32))]
        return Member(task, layers, _left_over(encoded(layers, lesson.scores), lesson), pd.DataFrame())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _trained(task, lesson, seed, where)
    finally:
        torch.set_num_threads(threads)


def new_network(task: Task, lesson: Lesson) -> Autoencoder:
    """An untrained network of a family."""
    return Autoencoder(
        lesson.scores.shape[1],
        task.size,
        kind=task.family,  # type: ignore[arg-type]
        n_context=lesson.context.shape[1],
        noise=lesson.noise / lesson.unit,
        dropout=lesson.dropout,
        as_published=lesson.as_published,
    )


def _trained(task: Task, lesson: Lesson, seed: int, where: Where) -> Member:
    with seeded(seed):
        net = new_network(task, lesson)
    arrays = {"x": lesson.scores} | ({"context": lesson.context} if lesson.context.shape[1] else {})
    batches = Batches(arrays, batch_size=lesson.training.batch_size)
    step = partial(autoencoder_terms, beta=lesson.beta, warmup=lesson.warmup, unit=lesson.unit)
    history = where.train("network", net, batches, step, lesson.training, seed=seed)
    if net.variational:
        epochs, n = lesson.training.max_epochs, len(batches)
        done = (np.arange(epochs * n) / (epochs * n)).tolist()
        betas = np.array([beta_at(share, lesson.beta, lesson.warmup) for share in done]).reshape(epochs, n)
        history["beta"] = betas.mean(axis=1)[: len(history)]
    layers = [(weight.cpu().numpy().copy(), bias.cpu().numpy().copy()) for weight, bias in net.layers()]
    layers[-1] = _settled(layers, lesson, net.variational, seed)
    net = net.to("cpu")
    return Member(task, layers, _error(net, lesson), history.drop(columns=["seconds"]).astype(np.float64))


def _error(net: Autoencoder, lesson: Lesson) -> float:
    """Mean squared error of a profile's components, summed over these."""
    total, n = 0.0, len(lesson.scores)
    with torch.no_grad():
        for start in range(0, n, ROWS):
            # Copies: those of another process may not be written to.
            x, context = (torch.from_numpy(np.array(a[start : start + ROWS])) for a in (lesson.scores, lesson.context))
            given = context if context.shape[1] else None
            total += float((net(x, given)[0] - x).square().sum(dim=1).sum(dtype=torch.float64))
    return total / n * lesson.unit**2


def _linear(task: Task, scores: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights ``(size, n_components)`` and biases of principal or independent components, or a random projection."""
    n = scores.shape[1]
    if task.family == "pca":
        return np.eye(task.size, n), np.zeros(task.size)
    if task.family == "rp":
        return np.random.default_rng(seed).normal(size=(task.size, n)) / np.sqrt(task.size), np.zeros(task.size)
    return _independent(scores, task.size, seed)


def _settled(layers: Layers, lesson: Lesson, variational: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The last layer with idle latents at 0 and the others rotated to independent components."""
    weight, bias = layers[-1]
    latents = encoded(layers, lesson.scores)
    active = latents.var(axis=0) > (IDLE if variational else 0)
    new_weight, new_bias = np.zeros_like(weight), np.zeros_like(bias)
    new_weight[active], new_bias[active] = weight[active], bias[active]
    if lesson.unmix and active.sum() > 1:
        turn, shift = _independent(latents[:, active], int(active.sum()), seed)
        new_weight[active] = turn @ weight[active].astype(np.float64)
        new_bias[active] = turn @ bias[active].astype(np.float64) + shift
    return new_weight, new_bias


def _independent(values: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases of ``n`` independent components of rows (FastICA), each of variance 1."""
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    how: dict[str, Any] = {"whiten": "unit-variance", "max_iter": N_TURNS, "tol": 1e-3, "random_state": seed}
    if len(values) > MIXED:
        values = values[np.sort(np.random.default_rng([seed, 3]).choice(len(values), MIXED, replace=False))]
    with warnings.catch_warnings():
        # Directions that do not settle are noise; the agreement between members shows it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = FastICA(n_components=n, **how).fit(values.astype(np.float64))
    return found.components_, -found.components_ @ found.mean_


def _left_over(latents: np.ndarray, lesson: Lesson) -> float:
    """Mean squared error of the best linear reconstruction of the scores from latents."""
    n = len(latents)
    centre, middle = latents.mean(axis=0), lesson.scores.mean(axis=0, dtype=np.float64)
    products, across, squares = 0.0, 0.0, 0.0
    for start in range(0, n, ROWS):
        x = latents[start : start + ROWS] - centre
        y = lesson.scores[start : start + ROWS] - middle
        products, across, squares = products + x.T @ x, across + x.T @ y, squares + float((y**2).sum())
    slopes = np.linalg.lstsq(products, across, rcond=None)[0]
    return max(squares - float((slopes * across).sum()), 0.0) / n * lesson.unit**2
