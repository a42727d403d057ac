"""What lies in a folder: the class of its model without loading it, and one model or one for each drug."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

SEVERAL = "models"
"""Folder of a run that holds one model a drug."""


def class_in(folder: str | Path) -> str:
    """Class of the model that a run or model folder holds; empty where that cannot be told.

    Examples
    --------
    >>> class_in("/no/such/folder")
    ''
    """
    place = model_folder(folder)
    try:
        header = {} if place is None else json.loads((place / "model.json").read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError):
        return ""  # what is wrong with it is told when it is loaded
    return str(header.get("class", "")) if isinstance(header, dict) else ""


def model_folder(folder: str | Path) -> Path | None:
    """The folder itself, or the one called ``model`` in it: whichever holds ``model.json``; else ``None``."""
    places = (Path(folder), Path(folder, "model"))
    return next((place for place in places if (place / "model.json").is_file()), None)


def several(folder: str | Path) -> list[Path]:
    """Model folders of a run that fitted one model a drug, by name; empty where it did not."""
    inside = Path(folder) / SEVERAL
    return sorted(place for place in inside.iterdir() if (place / "model.json").is_file()) if inside.is_dir() else []


def models_by_drug(folder: str | Path) -> dict[str, Any]:
    """Models of cells by drug: the one of a model folder, or all of a run that fitted one a drug.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`galenic.models.base.load`.
    """
    from galenic.models.base import load

    places = several(folder)
    record = Path(folder) / "run.json"
    state = json.loads(record.read_text(encoding="utf-8")).get("state") if places and record.is_file() else "done"
    if state != "done":
        warnings.warn(
            f"the run should be finished; {folder} was stopped after {len(places):,} of its drugs. Fit it again for "
            "the others.",
            stacklevel=2,
        )
    if not places:
        model = load(folder)
        return {str(model.spec_.get("drug") or "the drug"): model}
    return {str(model.spec_.get("drug") or place.name): model for place in places for model in [load(place)]}
