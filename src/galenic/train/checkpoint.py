"""A run on disk: written whole or not at all, read only if it belongs to the same run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch


def write(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values to ``path``; a crash leaves the former file as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    torch.save(content, part)
    os.replace(part, path)


def read(path: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """What :func:`write` left at ``path``, or ``None`` if there is no file.

    Raises
    ------
    ValueError
        If the file is not a checkpoint, or ``content["settings"]`` are not ``settings``.
    """
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found = dict(content["settings"])
    except (RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"a checkpoint should be a file that training wrote; {path} cannot be read ({type(error).__name__}). "
            "Delete it to start again, or name another file."
        ) from error
    other = [name for name in settings if found.get(name) != settings[name]]
    if other:
        shown = "; ".join(f"{name} was {_short(found.get(name))}, now {_short(settings[name])}" for name in other[:3])
        raise ValueError(
            f"the checkpoint should come from the same run; {path} differs in {len(other)} setting(s): {shown}. "
            "Use the former settings to resume, or delete the file to start again."
        )
    return content


def _short(value: object, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + "..."
