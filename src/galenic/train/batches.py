"""Batches by index over anything that gives rows for sorted integers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

RESIDENT = 2**29  # bytes: smaller arrays are read once and kept as tensors, on the device during an epoch
Arrays = dict[str, Any]
T = TypeVar("T")


class Batches:
    """Rows of aligned arrays, a batch at a time, in a new random order each epoch.

    The order depends on the seed and the number of the epoch alone, so a run can be resumed anywhere.

    Parameters
    ----------
    arrays
        What to take rows of, by name (a single array is named ``"x"``): array, memory map, h5py dataset, ``X`` of a
        backed AnnData, sparse matrix, tensor, data frame of numbers. All with the same number of rows.
    batch_size
        Rows of a batch. None is dropped: the last batch is smaller, or larger by one where a single row would be left
        (a batch norm cannot learn from one row).
    rows
        The rows to use (numbers or a mask); all by default.
    shuffle
        A new order each epoch, sorted inside a batch. Otherwise the order of ``rows``, always.
    together
        Group of each row of the arrays, whole numbers: rows of a group follow each other, groups in a new order each
        epoch, so that a batch holds most of a group.
    resident
        Arrays of fewer bytes (dense, as float32) are read whole; of others only the rows of the batch are ever read.

    Yields
    ------
    dict of Tensor
        By name ``(batch, ...)``: fractions as float32 (torch's default), whole numbers as int64, booleans as they are.

    Raises
    ------
    ValueError
        If arrays are not aligned, hold no numbers or rows are out of range.

    Examples
    --------
    >>> batches = Batches({"x": np.eye(5), "label": np.arange(5)}, batch_size=2, shuffle=False)
    >>> [batch["label"].tolist() for batch in batches]
    [[0, 1], [2, 3, 4]]
    """

    def __init__(
        self,
        arrays: Any,
        *,
        batch_size: int,
        rows: Any = None,
        shuffle: bool = True,
        together: np.ndarray | None = None,
        resident: int = RESIDENT,
    ) -> None:
        self.arrays = _aligned(arrays if isinstance(arrays, Mapping) else {"x": arrays}, resident, "the arrays")
        n = _length(next(iter(self.arrays.values())))
        self.rows = _row_numbers(np.arange(n) if rows is None else rows, n, "rows")
        if batch_size < 1 or not len(self.rows):
            raise ValueError(
                "batches need one row and a batch_size of 1 at least; "
                f"received {len(self.rows):,} rows and batch_size={batch_size}. Check which rows were selected."
            )
        self.batch_size, self.shuffle = batch_size, shuffle
        self.together = None if together is None else np.unique(together, return_inverse=True)[1]

    def __len__(self) -> int:
        return len(self.sizes())

    def sizes(self, world_size: int = 1) -> np.ndarray:
        """Rows of each batch of an epoch, those of all processes together.

        Parameters
        ----------
        world_size
            Number of processes.
        """
        return np.diff(self._cuts(world_size), prepend=0, append=len(self.rows))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.epoch()

    def epoch(
        self,
        epoch: int = 0,
        *,
        seed: int = 0,
        device: str | torch.device = "cpu",
        rank: int = 0,
        world_size: int = 1,
    ) -> Iterator[dict[str, Any]]:
        """The batches of one epoch on ``device``.

        Several processes divide each batch among them, so that they learn what one process learns. Rows left over that
        are fewer than the processes join the batch before.

        Parameters
        ----------
        epoch, seed
            Decide the order of the rows.
        rank, world_size
            Number of this process, and of all.
        device
            Where the batches are put.

        Raises
        ------
        ValueError
            If a batch has fewer rows than there are processes.
        """
        order = self._order(np.random.default_rng([seed, epoch])) if self.shuffle else self.rows
        batches = np.split(order, self._cuts(world_size))
        if min(map(len, batches)) < world_size:
            raise ValueError(
                f"a batch should have a row for each of {world_size:,} processes at least; the smallest has "
                f"{min(map(len, batches)):,}. Use a larger training.batch_size, or fewer devices."
            )
        placed = self._place(device)
        # Files are read faster, and some only, in ascending order; inside a batch order means nothing.
        ordered = (np.sort(rows) if self.shuffle else rows for rows in batches)
        found = (self._batch(rows, np.array_split(rows, world_size)[rank], placed, device) for rows in ordered)
        return found if self._is_resident() else ahead(found)

    def _cuts(self, world_size: int = 1) -> np.ndarray:
        cuts = np.arange(self.batch_size, len(self.rows), self.batch_size)
        few = len(cuts) and self.batch_size > 1 and len(self.rows) - cuts[-1] < max(2, world_size)
        return cuts[:-1] if few else cuts

    def _is_resident(self) -> bool:
        return all(isinstance(array, Tensor) for array in self.arrays.values())

    def _order(self, rng: np.random.Generator) -> np.ndarray:
        order = rng.permutation(self.rows)
        return order if self.together is None else _grouped(order, self.together, rng)

    def _place(self, device: str | torch.device) -> dict[str, Any]:
        return _on(self.arrays, device)

    def _batch(
        self, whole: np.ndarray, own: np.ndarray, placed: dict[str, Any], device: str | torch.device
    ) -> dict[str, Any]:
        """Of the rows of a whole batch those of this process."""
        return _rows_of(placed, own, device)


class PairBatches(Batches):
    """Pairs of a cell and a drug; each distinct cell and drug of a batch stands once, with the places to gather from.

    A network encodes ``batch["cells"]`` and ``batch["drugs"]`` and gathers ``encoded[batch["cell"]]``: the same as
    encoding each pair, for a fraction of the work.

    Parameters
    ----------
    cells, drugs
        Arrays of the cells, ``(n_cells, ...)``, and of the drugs, ``(n_drugs, ...)``, by name.
    pairs
        Arrays of the pairs, ``(n_pairs, ...)``: ``"cell"`` and ``"drug"`` (row numbers in ``cells`` and ``drugs``),
        and any others (``"response"``, ...).
    block
        ``"cell"``: an epoch goes cell by cell through all pairs of a cell, so that a batch has few distinct cells and
        many drugs; ``"drug"``: the other way round; ``None``: pairs in any order.
    batch_size, rows, shuffle, resident
        Of the pairs, as for :class:`Batches`.

    Yields
    ------
    dict
        ``"cells"``, ``"drugs"``: dicts of tensors, a row for each distinct one. ``"cell"``, ``"drug"``: places in
        these, int64 ``(batch,)``. Other arrays of the pairs ``(batch, ...)``.

    Raises
    ------
    ValueError
        As for :class:`Batches`, and if a pair names a cell or drug that is not there.

    Examples
    --------
    >>> pairs = {"cell": [0, 0, 2], "drug": [1, 0, 1], "response": [0.5, 1.0, 2.0]}
    >>> batch = next(iter(PairBatches({"x": np.eye(3)}, {"x": np.eye(2)}, pairs, batch_size=3, shuffle=False)))
    >>> batch["cells"]["x"].shape, batch["cell"].tolist(), batch["response"].tolist()
    (torch.Size([2, 3]), [0, 0, 1], [0.5, 1.0, 2.0])
    """

    def __init__(
        self,
        cells: Mapping[str, Any],
        drugs: Mapping[str, Any],
        pairs: Mapping[str, Any],
        *,
        batch_size: int,
        rows: Any = None,
        shuffle: bool = True,
        block: Literal["cell", "drug"] | None = None,
        resident: int = RESIDENT,
    ) -> None:
        if not {"cell", "drug"} <= set(pairs) or {"cells", "drugs"} & set(pairs):
            raise ValueError(
                "pairs should have 'cell' and 'drug' (row numbers), and neither 'cells' nor 'drugs'; "
                f"received {', '.join(map(repr, pairs)) or 'none'}. Add or rename them."
            )
        if block not in ("cell", "drug", None):
            raise ValueError(f"block should be 'cell', 'drug' or None; received {block!r}. Choose one of them.")
        self.cells, self.drugs = _aligned(cells, resident, "the cells"), _aligned(drugs, resident, "the drugs")
        self.places = {
            name: _row_numbers(pairs[name], _length(next(iter(of.values()))), f"{name} of the pairs")
            for name, of in (("cell", self.cells), ("drug", self.drugs))
        }
        others = {name: array for name, array in pairs.items() if name not in self.places}
        super().__init__(
            {**self.places, **others}, batch_size=batch_size, rows=rows, shuffle=shuffle, resident=resident
        )
        self.arrays = {name: self.arrays[name] for name in others}
        self.block = block

    def _order(self, rng: np.random.Generator) -> np.ndarray:
        order = rng.permutation(self.rows)
        return order if self.block is None else _grouped(order, self.places[self.block], rng)

    def _is_resident(self) -> bool:
        arrays = (*self.cells.values(), *self.drugs.values())
        return super()._is_resident() and all(isinstance(array, Tensor) for array in arrays)

    def _place(self, device: str | torch.device) -> dict[str, Any]:
        return {"cells": _on(self.cells, device), "drugs": _on(self.drugs, device), "pairs": _on(self.arrays, device)}

    def _batch(
        self, whole: np.ndarray, own: np.ndarray, placed: dict[str, Any], device: str | torch.device
    ) -> dict[str, Any]:
        batch: dict[str, Any] = {**_rows_of(placed["pairs"], own, device)}
        for name, many in (("cell", "cells"), ("drug", "drugs")):
            # Every process has all cells and drugs of the batch: what is random in encoding them is then the same.
            distinct = np.unique(self.places[name][whole])
            batch[name] = torch.from_numpy(np.searchsorted(distinct, self.places[name][own])).to(device)
            batch[many] = _rows_of(placed[many], distinct, device)
        return batch


def ahead(items: Iterator[T], depth: int = 2) -> Iterator[T]:
    """Items in their order, the next ones made in another thread while the last one is worked with.

    Examples
    --------
    >>> list(ahead(iter("abc")))
    ['a', 'b', 'c']
    """
    end: Any = object()
    with ThreadPoolExecutor(1) as reader:
        waiting = deque(reader.submit(next, items, end) for _ in range(depth))
        while (found := waiting.popleft().result()) is not end:
            waiting.append(reader.submit(next, items, end))
            yield found


def _grouped(order: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The rows of an order, those of one group one after the other, the groups in random order."""
    own = groups[order]
    rank = rng.permutation(own.max() + 1)
    result: np.ndarray = order[np.argsort(rank[own], kind="stable")]
    return result


def _aligned(arrays: Mapping[str, Any], resident: int, what: str) -> Arrays:
    """The arrays, small ones as tensors; ``ValueError`` unless all have the same number of rows."""
    ready = {name: _ready(name, array, resident) for name, array in arrays.items()}
    lengths = {name: _length(array) for name, array in ready.items()}
    if len(set(lengths.values())) != 1:
        came = ", ".join(f"{name!r} {n:,}" for name, n in lengths.items()) or "no array"
        raise ValueError(f"{what} should have the same number of rows; received {came}. Align them first.")
    return ready


def _ready(name: str, array: Any, resident: int) -> Any:
    if hasattr(array, "iloc"):  # a data frame would give columns for numbers
        array = array.to_numpy()
    if hasattr(array, "tocsr"):  # other sparse formats give rows slowly or not at all
        array = array.tocsr()
    if not hasattr(array, "shape"):
        array = np.asarray(array)
    if not array.shape or not hasattr(array, "__getitem__"):
        raise ValueError(
            f"{name!r} should give rows for sorted integers; "
            f"received {type(array).__name__} of shape {tuple(array.shape)}. "
            "Pass an array, a memory map or a sparse matrix."
        )
    if isinstance(array, Tensor):
        if array.nbytes <= resident or array.device.type != "cpu":
            return array.detach().to(torch.get_default_dtype()) if array.is_floating_point() else array
        array = array.detach().numpy()
    if np.prod(array.shape, dtype=float) * 4 <= resident and array.shape[0]:
        whole = isinstance(array, np.ndarray)
        return _tensor(array if whole else array[np.arange(array.shape[0])], name)
    return array


def _length(array: Any) -> int:
    return int(array.shape[0])


def _row_numbers(rows: Any, n: int, what: str) -> np.ndarray:
    """Rows (numbers or a mask) as checked numbers."""
    rows = np.asarray(rows)
    if rows.dtype == bool and rows.shape == (n,):
        rows = np.flatnonzero(rows)
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        raise ValueError(
            f"{what} should be row numbers or a mask of {n:,} rows; received {rows.dtype} of shape {rows.shape}. "
            "Turn names into row numbers first."
        )
    outside = (rows < 0) | (rows >= n)
    if outside.any():
        raise ValueError(
            f"{what} should be from 0 to {n - 1:,}; {int(outside.sum()):,} of {rows.size:,} are not "
            f"(first: {rows[outside][0]}). "
            "A -1 comes from a name that was not found."
        )
    return rows.astype(np.int64)


def _on(arrays: Arrays, device: str | torch.device) -> Arrays:
    return {name: array.to(device) if isinstance(array, Tensor) else array for name, array in arrays.items()}


def _rows_of(arrays: Arrays, rows: np.ndarray, device: str | torch.device) -> dict[str, Tensor]:
    return {name: _take(array, rows, device) for name, array in arrays.items()}


def _take(array: Any, rows: np.ndarray, device: str | torch.device) -> Tensor:
    """Rows of anything, as a tensor on the device."""
    if isinstance(array, Tensor):
        return array.index_select(0, torch.from_numpy(rows).to(array.device))
    if (np.diff(rows) > 0).all():
        return _tensor(array[rows]).to(device)
    distinct, places = np.unique(rows, return_inverse=True)
    return _tensor(array[distinct]).to(device)[torch.from_numpy(places).to(device)]


def _tensor(values: Any, name: str = "x") -> Tensor:
    """Numbers as a tensor in the type networks expect, without a copy where possible."""
    values = np.asarray(values.toarray() if hasattr(values, "toarray") else values)
    if values.dtype.kind not in "fiub":
        raise ValueError(
            f"{name!r} should hold numbers; received {values.dtype}. "
            "Turn labels into whole numbers first (np.unique(..., return_inverse=True))."
        )
    if values.dtype.kind == "f":
        values = values.astype(torch.zeros(0).numpy().dtype, copy=False)
    elif values.dtype.kind != "b":
        values = values.astype(np.int64, copy=False)
    return torch.from_numpy(values if values.flags.writeable else values.copy())
