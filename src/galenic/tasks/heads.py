"""What turns numbers about drugs into a label: a forest, boosted trees or a small network, with fixed settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from galenic.models.fields import check, param, short_repr

Head = Literal["forest", "boosting", "network"]
HEADS: tuple[str, ...] = get_args(Head)
Answering = Callable[[np.ndarray], np.ndarray]

N_TREES = 100
MEMBERS = 3
WIDTH = 64
STEPS = 300
CLIP = 5.0


@dataclass(frozen=True, kw_only=True, repr=False)
class Predictor:
    """Which numbers about a drug are read, and what reads them.

    Parameters
    ----------
    features
        Names of representations, side by side; none: the mean label of the training rows.
    head
        "forest": 100 trees, square root of the features at a split (at least 4), at least two rows in a leaf (one for
        numbers).
        "boosting": 100 histogram trees of at most 8 leaves, learning rate 0.05, at least five rows in a leaf.
        "network": mean of 3 networks of one hidden layer of 64 (dropout 0.3, weight decay 0.01, 300 steps of 32 rows)
        on standardised inputs. Classes weigh the same in all three. Nothing is tuned, so nothing can leak.
    seed
        Of trees and first weights.

    Examples
    --------
    >>> Predictor(features=("genes", "onehot"), head="boosting")
    Predictor(features=('genes', 'onehot'), head='boosting')
    """

    features: tuple[str, ...] = ()
    head: Head = "forest"
    seed: int = param(0, low=0)

    def __post_init__(self) -> None:
        check(self)

    def __repr__(self) -> str:
        return short_repr(self)


def fitted(head: str, X: np.ndarray, y: np.ndarray, *, is_class: bool, seed: int) -> Answering:
    """Fit a head and return what answers for new rows.

    Parameters
    ----------
    head
        One of ``HEADS``.
    X
        Numbers, ``(n, n_features)``; without columns, the mean of ``y`` is the answer.
    y
        Labels, ``(n,)``: 0 and 1 if ``is_class``.
    is_class
        Whether answers are chances of 1, or numbers.
    seed
        Of trees and first weights.

    Examples
    --------
    >>> X = np.linspace(0, 1, 40)[:, None]
    >>> answer = fitted("forest", X, (X[:, 0] > 0.5).astype(float), is_class=True, seed=0)
    >>> answer(np.array([[0.1], [0.9]])).round().tolist()
    [0.0, 1.0]
    """
    if not X.shape[1]:
        return lambda rows: np.full(len(rows), float(np.mean(y)))
    if is_class and len(np.unique(y)) < 2:
        raise ValueError(
            f"a classifier needs training rows of both classes; all {len(y):,} of a fold are {y[0]:g}. "
            "Use fewer folds, or split by something finer."
        )
    if head == "network":
        return _network(X, y, is_class, seed)
    model = _forest(is_class, X.shape[1], seed) if head == "forest" else _boosting(is_class, seed)
    model.fit(X, y)
    if is_class:
        return lambda rows: np.asarray(model.predict_proba(rows)[:, 1])
    return lambda rows: np.asarray(model.predict(rows))


def _forest(is_class: bool, n_features: int, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    tried = min(max(int(np.sqrt(n_features)), 4), n_features)
    shared: dict[str, Any] = {"n_estimators": N_TREES, "max_features": tried, "random_state": seed, "n_jobs": 1}
    if is_class:
        return RandomForestClassifier(min_samples_leaf=2, class_weight="balanced", **shared)
    return RandomForestRegressor(**shared)


def _boosting(is_class: bool, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    shared: dict[str, Any] = {
        "max_iter": 100,
        "learning_rate": 0.05,
        "max_leaf_nodes": 8,
        "min_samples_leaf": 5,
        "max_features": 0.3,
        "early_stopping": False,
        "random_state": seed,
    }
    if is_class:
        return HistGradientBoostingClassifier(class_weight="balanced", **shared)
    return HistGradientBoostingRegressor(**shared)


def _network(X: np.ndarray, y: np.ndarray, is_class: bool, seed: int) -> Answering:
    """Mean of small networks; inputs, and labels that are numbers, are standardised by the training rows."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    from galenic.train import Batches, Training, seeded, train

    mean, spread = X.mean(axis=0), X.std(axis=0)
    varies = spread > 1e-9
    if not varies.any():
        return lambda rows: np.full(len(rows), float(np.mean(y)))

    def scaled(rows: np.ndarray) -> np.ndarray:
        return np.clip((rows[:, varies] - mean[varies]) / spread[varies], -CLIP, CLIP).astype(np.float32)

    centre, unit = (0.0, 1.0) if is_class else (float(y.mean()), float(y.std()) or 1.0)
    arrays = {"x": scaled(X), "y": ((y - centre) / unit).astype(np.float32)}
    weight = torch.tensor(float((y == 0).sum() / max((y == 1).sum(), 1)) if is_class else 1.0)

    def step(net: nn.Module, batch: dict[str, Any], progress: float) -> dict[str, Any]:
        found = net(batch["x"])[:, 0]
        if is_class:
            return {"error": F.binary_cross_entropy_with_logits(found, batch["y"], pos_weight=weight)}
        return {"error": F.mse_loss(found, batch["y"])}

    batches = Batches(arrays, batch_size=32)
    epochs = max(STEPS // len(batches), 1)
    training = Training(max_epochs=epochs, weight_decay=0.01, patience=0, lr=2e-3, monitor="none", schedule="cosine")
    nets = []
    for member in range(MEMBERS):
        with seeded(seed * MEMBERS + member):
            net = nn.Sequential(nn.Linear(int(varies.sum()), WIDTH), nn.ReLU(), nn.Dropout(0.3), nn.Linear(WIDTH, 1))
        train(net, batches, step, training, seed=seed * MEMBERS + member, device="cpu")
        nets.append(net)

    def answer(rows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            outs = torch.stack([net(torch.from_numpy(scaled(rows)))[:, 0] for net in nets])
            value = (torch.sigmoid(outs) if is_class else outs).mean(dim=0).numpy().astype(np.float64)
        return np.asarray(value * unit + centre)

    return answer
