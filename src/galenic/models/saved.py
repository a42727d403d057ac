"""What is read from the folder of a model: its own files alone, and in words where its parts do not fit together."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from galenic.work.ends import is_ours

ANSWERS = ("predict", "embed", "attribute", "explain", "importance", "codes", "offsets")
"""What models are asked for."""
F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def parts_explained(name: str, folder: Path, remedy: str = "Fit the model anew") -> Iterator[None]:
    """Turn what goes wrong with parts that do not fit together into the user's words.

    Checksums tell damage by chance; what someone wrote by hand has the right ones.
    """
    try:
        yield
    except Exception as error:
        told = isinstance(error, (ValueError, TypeError, OSError)) and is_ours(error)
        if told or isinstance(error, Warning) or type(error).__name__ == "OutOfMemoryError":
            raise
        raise ValueError(
            f"the parts of a saved {name} should fit together and to what it is asked; those in {folder} do not "
            f"({type(error).__name__}: {str(error).strip()[:160]}). {remedy}; if galenic wrote that folder as it "
            "is, the fault is ours: please report it."
        ) from error


def explained(answer: F) -> F:
    """An answer of a model under :func:`parts_explained`, where it was read from a folder."""

    @functools.wraps(answer)
    def asked(self: Any, *args: Any, **how: Any) -> Any:
        folder = self.__dict__.get("_folder")
        if folder is None:
            return answer(self, *args, **how)
        with parts_explained(type(self).__name__, folder):
            return answer(self, *args, **how)

    return asked  # type: ignore[return-value]
