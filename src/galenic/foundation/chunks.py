"""Encoded cells on disk, chunk by chunk, so that interrupted work goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from galenic.work.atomic import is_draft, written

MANIFEST, KIND, FORMAT = "manifest.json", "galenic encoded cells", 1


class Chunks:
    """A folder of chunks of vectors, each written whole or not at all.

    A chunk carries the checksum of the tokens that it was made from, and is used again for the same tokens only: data
    that changed in the meantime are encoded anew, wherever they lie.

    Parameters
    ----------
    folder
        Made if it is not there.
    settings
        Everything else that decides the numbers (weights, fields, width, size of a chunk), as plain JSON.

    Raises
    ------
    ValueError
        If the folder holds other files, or chunks made with other settings.
    """

    def __init__(self, folder: str | Path, settings: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        wanted = json.loads(json.dumps({"kind": KIND, "format": FORMAT, **settings}))
        if self.folder.is_dir() and (self.folder / MANIFEST).is_file():
            _require_same(self.folder, wanted)
            return
        if self.folder.exists() and (not self.folder.is_dir() or not all(map(is_draft, self.folder.iterdir()))):
            raise ValueError(
                f"encoded cells are kept in a folder of their own; {self.folder} holds something else. "
                "Name a new folder for checkpoint= (--checkpoint)."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        with written(self.folder / MANIFEST) as draft:
            draft.write_text(json.dumps(wanted, indent=1), encoding="utf-8")

    def read(self, number: int, digest: str, shape: tuple[int, int]) -> np.ndarray | None:
        """Vectors of chunk ``number``, if they were made from tokens with this checksum."""
        try:
            found = np.load(self._place(number, digest), allow_pickle=False)
        except Exception:  # headers are parsed as Python text, which fails in many ways
            return None
        whole = found.shape == shape and found.dtype == np.float32
        return found if whole else None

    def write(self, number: int, digest: str, vectors: np.ndarray) -> None:
        """Keep the vectors of chunk ``number``; those of other tokens leave."""
        place = self._place(number, digest)
        with written(place) as draft:
            np.save(draft, vectors, allow_pickle=False)
        for old in self.folder.glob(f"chunk-{number:06d}-*.npy"):
            if old != place:
                old.unlink(missing_ok=True)

    def _place(self, number: int, digest: str) -> Path:
        return self.folder / f"chunk-{number:06d}-{digest[:20]}.npy"


def _require_same(folder: Path, wanted: dict[str, Any]) -> None:
    try:
        found = dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{folder} should hold chunks of encoded cells; its {MANIFEST} cannot be read ({error}). "
            "Remove the folder, or name a new one."
        ) from error
    other = [name for name in sorted(wanted.keys() | found.keys()) if found.get(name) != wanted.get(name)]
    if other:
        said = "; ".join(f"{name} was {_short(found.get(name))}, now {_short(wanted.get(name))}" for name in other[:3])
        raise ValueError(
            f"chunks should come from the same encoder and settings; {folder} differs in {len(other)}: {said}. "
            "Use the former settings to go on, or name a new folder."
        )


def _short(value: object, limit: int = 40) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + "..."
