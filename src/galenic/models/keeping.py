"""Where a fit keeps what it has done, so that one that was killed goes on and ends as if it had not been."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from galenic.models.fields import to_dict
from galenic.work.kept import Kept


def opened(
    checkpoint: str | Path | None,
    model: Any,
    read: Callable[[], str],
    *,
    kinds: Sequence[type] = (),
    what: str = "members",
) -> Kept | None:
    """The folder that keeps the finished jobs of one fit; ``None`` where none is wanted.

    Parameters
    ----------
    checkpoint
        The folder, as ``fit`` was given it.
    model
        Its fields decide what is fitted.
    read
        Says what tells the data from others, as :func:`galenic.work.kept.digest` does; not asked without a folder.
    kinds, what
        As for :class:`galenic.work.kept.Kept`.

    Raises
    ------
    ValueError
        If the folder is of other data or other settings.
    """
    if checkpoint is None:
        return None
    settings = {"model": type(model).__name__, **to_dict(model), "data": read()}
    return Kept(checkpoint, settings, kinds=kinds, what=what)
