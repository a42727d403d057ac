"""A run on disk: written whole or not at all, read only if it belongs to the same run."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from galenic.work.atomic import written

SHARE = 0.05
"""Of the time at most goes into writing."""


class Saves:
    """When a run is written to disk: after the first epoch, then never so often that it costs more than ``SHARE``.

    Parameters
    ----------
    path
        The file; ``None`` writes nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path, self.next, self.is_current = path, -math.inf, False

    def after_epoch(self, content: Callable[[], dict[str, Any]]) -> None:
        """Write, if it is time."""
        self.is_current = False
        began = perf_counter()
        if self.path is not None and began >= self.next:
            write(self.path, content())
            ended = perf_counter()
            self.next, self.is_current = ended + (ended - began) * (1 / SHARE - 1), True

    @contextmanager
    def told(self) -> Iterator[None]:
        """Where training breaks off because a number is not finite, say where the last good state is."""
        try:
            yield
        except FloatingPointError as error:
            if self.path is None or not self.path.is_file():
                raise
            raise FloatingPointError(f"{error} The last good state is kept in {self.path}.") from error

    def at_end(self, content: Callable[[], dict[str, Any]]) -> None:
        """Write what a finished run has come to, unless it is there."""
        if self.path is not None and not self.is_current:
            write(self.path, content())


def write(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values to ``path``; a crash leaves the former file as it was."""
    # To a stream of Python, whose errors say what the system said.
    with written(path) as draft, draft.open("wb") as stream:
        torch.save(content, stream)


def read(path: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """What :func:`write` left at ``path``, or ``None`` if there is no file.

    Raises
    ------
    ValueError
        If the file is not a checkpoint, is damaged, or ``content["settings"]`` are not ``settings``.
    """
    if not path.exists():
        return None
    try:
        _require_whole(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        found = dict(content["settings"])
    except PermissionError:
        raise
    except Exception as error:  # there is nothing that a damaged file does not make its readers raise
        raise ValueError(
            f"a checkpoint should be a file that training wrote; {path} cannot be read ({type(error).__name__}: "
            f"{error}). Delete it to start again, or name another file."
        ) from error
    other = [name for name in settings if found.get(name) != settings[name]]
    if other:
        shown = "; ".join(f"{name} was {_short(found.get(name))}, now {_short(settings[name])}" for name in other[:3])
        raise ValueError(
            f"the checkpoint should come from the same run; {path} differs in {len(other)} setting(s): {shown}. "
            "Use the former settings to resume, or delete the file to start again."
        )
    return content


def _require_whole(path: Path) -> None:
    """Compare what a file holds with its checksums: ``torch.load`` does not, and takes changed numbers as they are."""
    with zipfile.ZipFile(path) as parts:
        broken = parts.testzip()
    if broken is not None:
        raise ValueError(f"{broken} is not what was written")


def _short(value: object, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + "..."
