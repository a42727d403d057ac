"""Batches of pairs of profiles, drawn by row number from one matrix: nothing is stored twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from galenic.data.condition_pairs import Over, PairIndex

SIDES = ("left", "right", "control_left", "control_right")


@dataclass(frozen=True, eq=False)
class Scale:
    """Units of a network: profiles less ``centre`` (n_genes,), over ``size``; as they are with 0 and 1."""

    centre: np.ndarray
    size: float

    def __call__(self, profiles: Any) -> Tensor:
        """Profiles in the units of the network, float32."""
        return torch.from_numpy(((profiles - self.centre) / self.size).astype(np.float32))


@dataclass(frozen=True, eq=False)
class Profiles:
    """Rows that pairs are drawn from, and what else a network is told of each.

    Parameters
    ----------
    X
        Expression, ``(n_rows, n_genes)``: array, sparse matrix, or matrix of a backed file.
    group
        Row of ``base`` and ``origin`` that belongs to each row, ``(n_rows,)``.
    base
        What the network's output is added to, ``(n_groups, n_genes)``; None = nothing.
    origin
        What the effect encoder's input is counted from, ``(n_groups, n_genes)``; None = nothing.
    scale
        Units of the network.
    """

    X: Any
    group: np.ndarray
    base: np.ndarray | None
    origin: np.ndarray | None
    scale: Scale

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """Dense rows, in any order and with repeats; of a file each is read once."""
        if isinstance(self.X, np.ndarray):
            return self.X[numbers]
        distinct, places = np.unique(numbers, return_inverse=True)
        part = self.X[distinct]
        part = part.toarray() if hasattr(part, "toarray") else np.asarray(part)
        result: np.ndarray = part[places]
        return result

    def batch(self, rows: dict[str, np.ndarray]) -> dict[str, Any]:
        """Profiles of some rows by name, with their ``base_`` and ``shift_`` where there are any."""
        found = self.rows(np.concatenate(list(rows.values())))
        parts = np.split(found, np.cumsum([len(numbers) for numbers in rows.values()])[:-1])
        batch: dict[str, Any] = {}
        for (name, numbers), profiles in zip(rows.items(), parts, strict=True):
            group = self.group[numbers]
            batch[name] = self.scale(profiles)
            if self.base is not None:
                batch[f"base_{name}"] = self.scale(self.base[group])
            if self.origin is not None:
                shift = (profiles - self.origin[group]) / self.scale.size
                batch[f"shift_{name}"] = torch.from_numpy(shift.astype(np.float32))
        return batch


@dataclass(frozen=True, eq=False)
class Triples:
    """Rows of combinations ``A+B`` and of their parts in the same context, by combination: lists of row numbers."""

    one: list[np.ndarray]
    other: list[np.ndarray]
    both: list[np.ndarray]

    def draw(self, rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
        """Row numbers of ``left`` (A), ``right`` (B) and ``pair`` (A+B)."""
        chosen = rng.integers(len(self.both), size=n)
        places = rng.random((3, n))
        sides = zip(("left", "right", "pair"), (self.one, self.other, self.both), places, strict=True)
        return {
            name: np.array(
                [lists[which][int(place * len(lists[which]))] for which, place in zip(chosen, at, strict=True)]
            )
            for name, lists, at in sides
        }


class Pairs:
    """Batches of pairs, every one of a single kind: pairs that share the cell, or the drug, or that are summed.

    Parameters
    ----------
    profiles
        Where rows come from.
    index
        Which rows make a pair.
    triples
        Combinations and their parts, if there are any.
    batch_size, n_batches
        Pairs of a batch, and batches of an epoch.
    over
        Is every condition as likely as every other, or every row?

    Notes
    -----
    A batch depends on the seed, the epoch and its number alone: training can be resumed anywhere. Several processes
    divide each batch.
    """

    def __init__(
        self,
        profiles: Profiles,
        index: PairIndex,
        triples: Triples | None,
        *,
        batch_size: int,
        n_batches: int,
        over: Over = "conditions",
    ) -> None:
        self.profiles, self.index, self.triples, self.over = profiles, index, triples, over
        self.batch_size, self.n_batches = batch_size, n_batches
        self.kinds = sorted(index.pools) + (["pair"] if triples is not None else [])

    def __len__(self) -> int:
        return self.n_batches

    def sizes(self, world_size: int = 1) -> np.ndarray:
        """Pairs of each batch of an epoch, those of all processes together."""
        return np.full(self.n_batches, self.batch_size)

    def epoch(
        self, epoch: int = 0, *, seed: int = 0, device: Any = "cpu", rank: int = 0, world_size: int = 1
    ) -> Iterator[dict[str, Any]]:
        """The batches of one epoch; ``batch["kind"]`` is "cell", "drug" or "pair"."""
        for number in range(self.n_batches):
            rng = np.random.default_rng([seed, epoch, number])
            kind = self.kinds[number % len(self.kinds)]
            rows = self._rows(rng, kind)
            own = {name: np.array_split(numbers, world_size)[rank] for name, numbers in rows.items()}
            batch = self.profiles.batch(own)
            yield {"kind": kind, **{name: tensor.to(device) for name, tensor in batch.items()}}

    def _rows(self, rng: np.random.Generator, kind: str) -> dict[str, np.ndarray]:
        if kind == "pair" and self.triples is not None:
            rows = self.triples.draw(rng, self.batch_size)
            controls = {f"control_{side}": self.index.controls_of(rng, rows[side]) for side in ("left", "right")}
            return rows | controls
        drawn = self.index.draw(rng, self.batch_size, kind, over=self.over)  # type: ignore[arg-type]
        return {side: drawn[side] for side in SIDES}
