"""Regression trees as flat arrays: saved without pickle, answered without their library."""

from __future__ import annotations

from typing import Any

import numpy as np

NODES_AT_ONCE = 4_000_000


def flatten_forest(trees: list[Any]) -> dict[str, np.ndarray]:
    """Arrays of scikit-learn decision trees; the ensemble's answer is their mean."""
    parts = [tree.tree_ for tree in trees]
    offset = np.cumsum([0, *[part.node_count for part in parts]])
    left = [
        np.where(part.children_left < 0, -1, part.children_left + start)
        for part, start in zip(parts, offset, strict=False)
    ]
    right = [
        np.where(part.children_right < 0, -1, part.children_right + start)
        for part, start in zip(parts, offset, strict=False)
    ]
    return {
        "root": offset[:-1].astype(np.int32),
        "feature": np.concatenate([np.maximum(part.feature, 0) for part in parts]).astype(np.int32),
        "threshold": np.concatenate([part.threshold for part in parts]),
        "left": np.concatenate(left).astype(np.int32),
        "right": np.concatenate(right).astype(np.int32),
        "value": np.concatenate([part.value[:, 0, 0] for part in parts]) / len(parts),
        "start": np.zeros(1),
    }


def flatten_boosting(model: Any) -> dict[str, np.ndarray]:
    """Arrays of scikit-learn histogram gradient boosting; the ensemble's answer is a start plus their sum."""
    # The library keeps the grown trees in a private attribute only; a test compares answers with its own predict.
    parts = [step[0].nodes for step in model._predictors]
    offset = np.cumsum([0, *[len(part) for part in parts]])
    leaf = np.concatenate([part["is_leaf"] for part in parts]).astype(bool)
    shift = np.repeat(offset[:-1], [len(part) for part in parts])
    return {
        "root": offset[:-1].astype(np.int32),
        "feature": np.where(leaf, 0, np.concatenate([part["feature_idx"] for part in parts])).astype(np.int32),
        "threshold": np.concatenate([part["num_threshold"] for part in parts]),
        "left": np.where(leaf, -1, np.concatenate([part["left"] for part in parts]) + shift).astype(np.int32),
        "right": np.where(leaf, -1, np.concatenate([part["right"] for part in parts]) + shift).astype(np.int32),
        "value": np.concatenate([part["value"] for part in parts]),
        "start": np.asarray(model._baseline_prediction, dtype=np.float64).reshape(1),
    }


def answer(forest: dict[str, np.ndarray], X: np.ndarray) -> np.ndarray:
    """The ensemble's answer for each row of ``X``, ``(n,)``.

    Raises
    ------
    ValueError
        If a node leads back, so that a row would never end.
    """
    _require_ends(forest)
    root, feature, threshold = forest["root"], forest["feature"], forest["threshold"]
    left, right, value = forest["left"], forest["right"], forest["value"]
    out = np.full(len(X), float(forest["start"][0]))
    size = max(NODES_AT_ONCE // max(len(root), 1), 1)
    for begin in range(0, len(X), size):
        rows = X[begin : begin + size]
        node = np.tile(root, (len(rows), 1))
        at = np.arange(len(rows))[:, None]
        inner = left[node] >= 0
        while inner.any():
            down = np.where(rows[at, feature[node]] <= threshold[node], left[node], right[node])
            node = np.where(inner, down, node)
            inner = left[node] >= 0
        out[begin : begin + size] += value[node].sum(axis=1)
    return out


def _require_ends(forest: dict[str, np.ndarray]) -> None:
    number, left, right = np.arange(len(forest["left"])), forest["left"], forest["right"]
    back = np.flatnonzero((left >= 0) & ((left <= number) | (right <= number)))
    if len(back):
        node = back[0]
        raise ValueError(
            f"nodes of saved trees should lead to later ones; {len(back):,} do not (node {node:,} leads to "
            f"{left[node]:,} and {right[node]:,}). Save the model again."
        )
