"""What codes of states and effects say: maps, nearest perturbations, and departures from the additive solution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData


def placed(spec: dict[str, Any], states: np.ndarray, effects: np.ndarray) -> pd.DataFrame:
    """Codes of contexts and of conditions as points: ``kind, name, context, x, y``."""
    conditions = np.array(spec["conditions"], dtype="object").reshape(-1, 2)
    names = conditions[:, 1].copy()
    if spec["dose"] is not None:
        names = np.array(
            [f"{name} {dose:g}" if dose is not None else name for name, dose in zip(names, spec["doses"], strict=True)]
        )
    parts = [
        pd.DataFrame({"kind": "state", "name": spec["contexts"], "context": spec["contexts"]}),
        pd.DataFrame({"kind": "effect", "name": names, "context": conditions[:, 0]}),
    ]
    for part, codes in zip(parts, (states, effects), strict=True):
        part[["x", "y"]] = two_axes(codes)
    return pd.concat(parts, ignore_index=True)


def two_axes(codes: np.ndarray) -> np.ndarray:
    """Scores on the first two principal axes, ``(n, 2)``; zeros where there are fewer."""
    left, sizes, _ = np.linalg.svd(codes - codes.mean(axis=0), full_matrices=False)
    scores = (left * sizes)[:, :2]
    return np.pad(scores, ((0, 0), (0, 2 - scores.shape[1])))


def nearest(spec: dict[str, Any], effects: np.ndarray, n: int) -> pd.DataFrame:
    """The ``n`` most similar perturbations of each: ``perturbation, rank, neighbour, similarity``."""
    numbers, names = pd.factorize(np.array([name for _, name in spec["conditions"]], dtype="object"))
    means = np.zeros((len(names), effects.shape[1]))
    np.add.at(means, numbers, effects / np.maximum(np.linalg.norm(effects, axis=1, keepdims=True), 1e-12))
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    n = min(n, len(names) - 1)
    tables = []
    for start in range(0, len(names) if n else 0, 1024):
        similarity = means[start : start + 1024] @ means.T
        own = np.arange(len(similarity))
        similarity[own, start + own] = -np.inf
        order = np.argsort(-similarity, axis=1, kind="stable")[:, :n]
        tables.append(
            pd.DataFrame(
                {
                    "perturbation": np.repeat(names[start + own], n),
                    "rank": np.tile(np.arange(1, n + 1), len(own)),
                    "neighbour": names[order.ravel()],
                    "similarity": np.take_along_axis(similarity, order, axis=1).ravel(),
                }
            )
        )
    empty = pd.DataFrame(columns=["perturbation", "rank", "neighbour", "similarity"])
    return pd.concat(tables, ignore_index=True) if tables else empty


def interactions(predicted: AnnData, additive: AnnData, n: int) -> pd.DataFrame:
    """The ``n`` genes of each condition with the largest difference of two predictions."""
    residual = np.asarray(predicted.layers["effect"]) - np.asarray(additive.layers["effect"])
    n = min(n, residual.shape[1])
    order = np.argsort(-np.abs(residual), axis=1, kind="stable")[:, :n]
    return pd.DataFrame(
        {
            "context": np.repeat(predicted.obs["context"].to_numpy(), n),
            "perturbation": np.repeat(predicted.obs["perturbation"].to_numpy(), n),
            "gene": predicted.var_names.to_numpy()[order.ravel()],
            "residual": np.take_along_axis(residual, order, axis=1).ravel(),
        }
    )
