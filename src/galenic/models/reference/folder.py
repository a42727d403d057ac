"""The folder of a reference: written beside its place and moved there whole, and read again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from galenic.data.checks import first
from galenic.version import __version__

FORMAT = 1
RECORD = "reference.json"
PARTS = ("profiles", "perturbagens", "model", "reversed.npy", "usual.npz", "coverage.csv")


def free_place(folder: Path, overwrite: bool) -> Path:
    """The folder, if a reference may be written there."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        if not (folder / RECORD).is_file():
            raise ValueError(
                f"a reference is written to a folder of its own; {folder} holds other files. Name a new folder."
            )
        if not overwrite:
            raise ValueError(
                f"a reference should be a new folder; {folder} holds an earlier one. Name another, or overwrite it."
            )
    return folder


def write_record(draft: Path, about: dict[str, Any]) -> None:
    """What the reference is, last of all."""
    with (draft / "profiles" / "vectors.npy").open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    record = {"format": FORMAT, "galenic": __version__, **about, "sha256": digest}
    (draft / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def read_record(folder: Path) -> dict[str, Any]:
    """What ``reference.json`` says, if the folder is whole."""
    if not folder.exists():
        raise FileNotFoundError(f"a reference is a folder; {folder} does not exist. Check the path.")
    if not (folder / RECORD).is_file():
        raise ValueError(
            f"a reference is a folder with {RECORD}; {folder} has none. Name the folder that 'galenic search build' "
            "wrote."
        )
    try:
        about = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        number = int(about["format"])
        unsaid = [name for name in ("gene_sets", "how") if name not in about]
        if unsaid:
            raise KeyError(unsaid[0])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{folder / RECORD} should be the record of a reference; it cannot be read ({error!r}). Copy the folder "
            "again, or build anew."
        ) from error
    if number > FORMAT:
        raise ValueError(
            f"this galenic ({__version__}) reads references up to format {FORMAT}; {folder} has format {number}. "
            "Update galenic, or build anew."
        )
    missing = [name for name in PARTS if not (folder / name).exists()]
    missing += [] if (folder / "ranked").is_dir() or not about["gene_sets"] else ["ranked"]
    # References of earlier versions do not say what chance gives.
    missing += [] if (folder / "chance.npz").is_file() or not about.get("chance") else ["chance.npz"]
    if missing:
        raise ValueError(
            f"a reference should be whole; {folder} lacks {first(missing)}. Copy the folder again, or build anew."
        )
    return dict(about)
