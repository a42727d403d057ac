"""Several processes as one fit: which of them this is, and what they share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_CURRENT: ContextVar[Any] = ContextVar("fabric", default=None)


def current() -> Any:
    """The ``lightning.Fabric`` of several processes that fits run on here, or ``None``."""
    return _CURRENT.get()


def leads() -> bool:
    """Whether this process writes files and speaks: the only one, or the first of several."""
    fabric = current()
    return fabric is None or bool(fabric.is_global_zero)


def told(value: Any) -> Any:
    """What the first process holds, in every process."""
    fabric = current()
    return value if fabric is None else fabric.broadcast(value)


@contextmanager
def on(fabric: Any) -> Iterator[None]:
    """Inside the block every network is trained by all processes of a launched ``lightning.Fabric`` together.

    Every process runs the same block with the same data; each gets the same result. The devices decide how fast, not
    what is found: each batch is divided among the processes.

    Parameters
    ----------
    fabric
        A launched ``lightning.Fabric``; ``None`` changes nothing.

    Examples
    --------
    >>> with on(None):
    ...     current() is None
    True
    """
    token = _CURRENT.set(fabric)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def gathered(rows: Tensor) -> Tensor:
    """The rows of all processes, in their order; gradients find their way back to each.

    A loss that compares the rows of a batch with each other sees the whole batch so, in every process alike.

    Parameters
    ----------
    rows
        ``(n, ...)``; ``n`` may differ between processes.

    Returns
    -------
    Tensor
        ``(sum of n, ...)``; ``rows`` itself in one process.
    """
    fabric = current()
    if fabric is None or fabric.world_size == 1:
        return rows
    from galenic.work.gathering import gather

    return gather(rows)
