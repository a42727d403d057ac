"""One pass of an encoder over any number of cells: in batches of like length, in chunks, resumable, on any machine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import delayed
from torch import nn

from galenic.foundation.chunks import Chunks
from galenic.foundation.jobs import How, Precision, Shipped, encode_chunk, encode_elsewhere, nothing, results
from galenic.foundation.ragged import Ragged
from galenic.train.devices import pick
from galenic.work.bar import progress_bar
from galenic.work.engines import active
from galenic.work.parcel import sent

Source = Callable[[int, int], Ragged]
"""Gives the tokens of the cells from a row to before another."""


def encode_cells(
    source: Source,
    net: nn.Module,
    *,
    n_cells: int,
    width: int,
    chunk_cells: int = 256,
    max_tokens_in_batch: int = 16_384,
    precision: Precision = "float32",
    device: str | torch.device = "auto",
    n_jobs: int = 1,
    fabric: Any = None,
    checkpoint: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    out: np.ndarray | None = None,
    progress: bool = False,
) -> np.ndarray:
    """Vectors of cells, in the order of the cells.

    Parameters
    ----------
    source
        ``source(start, stop)`` gives the :class:`~galenic.foundation.ragged.Ragged` tokens of rows ``start`` to before
        ``stop``. Only one chunk is asked for at a time, in ascending order.
    net
        ``net(fields, real)`` gives ``(n, width)``: ``fields`` are the tables of tokens by name, ``(n, longest)``, int64
        or float32; ``real`` is False at padding. It must not let padding change a vector. Everything that it knows must
        be in its ``state_dict()``. It is put into evaluation mode, and ends on the device.
    n_cells, width
        Rows of the result and numbers in each.
    chunk_cells
        Cells that are read, sorted by length and kept on disk together.
    max_tokens_in_batch
        Most tokens that are encoded at once, padding included; decides the memory, not the numbers.
    precision
        ``"bfloat16"``: products in half the bits, about twice as fast on devices that have them and right to about
        three digits.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...
    n_jobs
        Chunks at the same time, each in a process with the encoder on ``device``. joblib does it: inside
        :func:`~galenic.work.engines.engine`, or ``joblib.parallel_config(backend="dask")`` (or ``"ray"``), the
        processes are those of a cluster.
    fabric
        A launched ``lightning.Fabric``: of ``k`` processes each encodes every ``k``-th chunk on its own device. The
        first one returns all vectors, the others none: ``(0, width)``.
    checkpoint
        Folder in which finished chunks are kept. The same call later reads them in place of encoding again; that the
        tokens are the same is checked chunk by chunk. Remove it when the result is safe.
    settings
        What else decides the numbers (weights, fields), plain JSON: a folder of other settings is refused.
    out
        Where to write, ``(n_cells, width)`` float32, such as a ``numpy.memmap`` for more cells than memory holds.
    progress
        Show a bar with the rate and the time left; on a terminal only.

    Returns
    -------
    ndarray, (n_cells, width), float32
        ``out``, or a new array. Cells without tokens are rows of NaN.

    Raises
    ------
    ValueError
        If an argument is not allowed, the folder belongs to other work, or vectors are not finite.

    Examples
    --------
    >>> class Mean(nn.Module):
    ...     def forward(self, fields, real):
    ...         return (fields["x"] * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)
    >>> tokens = Ragged(np.array([0, 2, 3]), {"x": np.array([1.0, 2.0, 5.0])})
    >>> encode_cells(lambda start, stop: tokens, Mean(), n_cells=2, width=1, device="cpu").tolist()
    [[1.5], [5.0]]
    """
    _check(chunk_cells, max_tokens_in_batch, n_jobs, fabric, precision)
    rank, world = (fabric.global_rank, fabric.world_size) if fabric is not None else (0, 1)
    where = fabric.device if fabric is not None else pick(device)
    how = How(str(where), precision, max_tokens_in_batch, width)
    kept = None
    if checkpoint is not None:
        size = {"n_cells": n_cells, "width": width, "chunk_cells": chunk_cells, "precision": precision}
        kept = _chunks(checkpoint, {**size, **(settings or {})}, fabric)
    result = _place(out, n_cells, width) if rank == 0 else np.empty((0, width), dtype=np.float32)
    starts = range(0, n_cells, chunk_cells)
    work = _Work(source, net, how, kept, n_cells, chunk_cells)
    numbers = range(rank, len(starts), world)
    n_mine = sum(work.n_rows(number) for number in numbers)
    with progress_bar("cells", n_mine, show=(progress or None) if rank == 0 else False) as work.advance:
        try:
            done = work.parallel(numbers, n_jobs) if n_jobs != 1 else work.serial(numbers)
            for number, vectors in done if world == 1 else _gathered(done, work, fabric, len(starts)):
                if rank == 0:
                    result[starts[number] : starts[number] + len(vectors)] = vectors
        except KeyboardInterrupt as stopped:
            remedy = "the same command goes on from there" if kept else "name a checkpoint folder to be able to go on"
            raise KeyboardInterrupt(f"stopped after {work.n_done:,} of {n_cells:,} cells; {remedy}") from stopped
    return result


@dataclass
class _Work:
    source: Source
    net: nn.Module
    how: How
    kept: Chunks | None
    n_cells: int
    chunk_cells: int
    n_done: int = 0
    advance: Callable[[int], None] = field(default=lambda n: None)

    def n_rows(self, number: int) -> int:
        """Cells of a chunk."""
        return min(self.chunk_cells, self.n_cells - number * self.chunk_cells)

    def serial(self, numbers: range) -> Iterator[tuple[int, np.ndarray]]:
        """Numbers and vectors of chunks, one after the other."""
        for number in numbers:
            tokens, digest, vectors = self.read(number)
            if vectors is None:
                vectors = encode_chunk(self.net, tokens, self.how, self.advance)
                self.keep(number, digest, vectors)
            else:
                self.advance(len(vectors))
            self.n_done += len(vectors)
            yield number, vectors

    def parallel(self, numbers: range, n_jobs: int) -> Iterator[tuple[int, np.ndarray]]:
        """The same from several processes."""
        shipped = sent(Shipped.of(self.net), active())
        asked: deque[tuple[int, str]] = deque()

        def jobs() -> Iterator[Any]:
            for number in numbers:
                tokens, digest, vectors = self.read(number)
                asked.append((number, digest))
                yield (
                    delayed(nothing)() if vectors is not None else delayed(encode_elsewhere)(shipped, tokens, self.how)
                )

        for vectors in results(jobs(), n_jobs):
            number, digest = asked.popleft()
            if vectors is None:  # kept before; read again here, so that not all of them wait in memory
                yield next(self.serial(range(number, number + 1)))
                continue
            self.keep(number, digest, vectors)
            self.advance(len(vectors))
            self.n_done += len(vectors)
            yield number, vectors

    def read(self, number: int) -> tuple[Ragged, str, np.ndarray | None]:
        """Tokens of a chunk, their checksum, and the vectors if they were kept."""
        start, n = number * self.chunk_cells, self.n_rows(number)
        tokens = self.source(start, start + n)
        if len(tokens) != n:
            raise ValueError(f"source should give tokens of {n:,} cells; it gave {len(tokens):,}. Give one entry each.")
        digest = tokens.digest() if self.kept else ""
        return tokens, digest, self.kept.read(number, digest, (n, self.how.width)) if self.kept else None

    def keep(self, number: int, digest: str, vectors: np.ndarray) -> None:
        """Write the vectors of a chunk, where a folder was named."""
        if self.kept:
            self.kept.write(number, digest, vectors)


def _gathered(
    done: Iterator[tuple[int, np.ndarray]], work: _Work, fabric: Any, n_chunks: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Chunks of all processes, brought together round by round, so that nobody holds more than a round."""
    for round_ in range(0, n_chunks, fabric.world_size):
        block = torch.zeros(work.chunk_cells, work.how.width, device=fabric.device)
        mine = round_ + fabric.global_rank
        if mine < n_chunks:
            _, vectors = next(done)
            block[: len(vectors)] = torch.from_numpy(vectors)
        every = fabric.all_gather(block).cpu().numpy()
        for number in range(round_, min(round_ + fabric.world_size, n_chunks)):
            yield number, every[number - round_][: work.n_rows(number)]


def _chunks(folder: str | Path, settings: Mapping[str, Any], fabric: Any) -> Chunks:
    """The folder of chunks; of several processes the first makes it, and the others then look at it."""
    if fabric is None:
        return Chunks(folder, settings)
    kept = Chunks(folder, settings) if fabric.global_rank == 0 else None
    fabric.barrier()
    return kept or Chunks(folder, settings)


def _place(out: np.ndarray | None, n_cells: int, width: int) -> np.ndarray:
    if out is None:
        return np.empty((n_cells, width), dtype=np.float32)
    if out.shape != (n_cells, width) or out.dtype != np.float32 or not out.flags.writeable:
        raise ValueError(
            f"out should be a writable float32 array of {n_cells:,} x {width:,}; received {out.dtype} of "
            f"{' x '.join(f'{n:,}' for n in out.shape)}. Make it so, or leave it out."
        )
    return out


def _check(chunk_cells: int, max_tokens: int, n_jobs: int, fabric: Any, precision: str) -> None:
    if chunk_cells < 1 or max_tokens < 1:
        raise ValueError(
            "chunk_cells and max_tokens_in_batch should be 1 or more; "
            f"received {chunk_cells} and {max_tokens}. Leave them at their defaults."
        )
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"precision should be 'float32' or 'bfloat16'; received {precision!r}. Choose one of them.")
    if fabric is not None and n_jobs != 1:
        raise ValueError(
            f"either fabric or n_jobs divides the work; received a fabric and n_jobs={n_jobs}. Leave one of them out."
        )
    if n_jobs == 0:
        raise ValueError("n_jobs should be 1 or more, or -1 for all cores; received 0. Give one of them.")
