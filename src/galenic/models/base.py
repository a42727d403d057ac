"""What every model shares: fields that are checked, a folder to be saved in, and a way back."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from galenic.data.limits import own_file, require_room
from galenic.models import find
from galenic.models.fields import check, short_repr, to_dict, with_params
from galenic.models.params import Params
from galenic.models.saved import ANSWERS, explained, parts_explained
from galenic.version import __version__
from galenic.work.atomic import written_folder

FORMAT = 1
"""Number of the folder layout written by this version; later versions read every earlier number."""


class NotFittedError(ValueError):
    """A model was asked for an answer before it was fitted."""


@dataclass(kw_only=True, repr=False)
class Model(Params):
    """A keyword-only dataclass: fields are what changes the numbers, names that end in ``_`` are learned.

    Where and how fast (``device``, ``n_jobs``, ``progress``) are arguments of ``fit`` and are never saved.
    ``spec_`` is what the data decided (gene names, drugs), plain JSON; ``arrays_`` are the learned numbers.
    """

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        for name in ANSWERS:
            if callable(vars(cls).get(name)):
                setattr(cls, name, explained(vars(cls)[name]))

    def __post_init__(self) -> None:
        check(self)

    def __repr__(self) -> str:
        return short_repr(self)

    def _check_fitted(self) -> None:
        if not hasattr(self, "spec_"):
            name = type(self).__name__
            raise NotFittedError(f"this {name} is not fitted; call fit(data) or galenic.load(folder) first.")

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What was learned, as plain JSON and as arrays."""
        return self.spec_, self.arrays_

    def _restore(self, spec: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Take back what :meth:`_state` gave."""
        self.spec_: dict[str, Any] = spec
        # In one memory order before and after saving: sums in another order differ in the last bit.
        self.arrays_: dict[str, np.ndarray] = {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    def save(self, folder: str | Path) -> Path:
        """Write the model to ``folder`` as ``model.json`` and ``weights.safetensors``; no pickle, nothing executable.

        A folder that already holds a model is replaced whole; any other folder with content is refused.

        Raises
        ------
        NotFittedError
            If there is nothing to save.
        ValueError
            If ``folder`` holds something that is not a model.
        """
        self._check_fitted()
        folder = Path(folder)
        occupied = folder.is_file() or (folder.is_dir() and any(folder.iterdir()))
        if occupied and not (folder / "model.json").is_file():
            raise ValueError(f"a model is saved in a folder of its own; {folder} holds other files. Name a new folder.")
        spec, arrays = self._state()
        header = {
            "format": FORMAT,
            "class": type(self).__name__,
            "fields": to_dict(self),
            "spec": spec,
            "galenic": __version__,
        }
        with written_folder(folder) as draft:
            save_file(arrays, draft / "weights.safetensors")
            (draft / "weights.safetensors").chmod(0o644)  # it is written for its owner alone; others read models too
            header["weights_sha256"] = _sha256(draft / "weights.safetensors")
            (draft / "model.json").write_text(json.dumps(header, indent=1, allow_nan=False), encoding="utf-8")
        return folder

    @classmethod
    def _from_folder(cls, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        model = with_params(cls(), header["fields"])
        model._restore(header["spec"], arrays)
        return model


def load(folder: str | Path) -> Any:
    """Read a model that :meth:`Model.save` wrote; also from a run folder that holds one as ``model/``.

    Parameters
    ----------
    folder
        A model folder, or a run folder.

    Returns
    -------
    Model
        Of the class it was saved from, fitted.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If the folder holds no model, a damaged one, or one of a newer format.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"a model folder is expected; {folder} does not exist. Check the path.")
    if not (folder / "model.json").is_file() and (folder / "model" / "model.json").is_file():
        folder = folder / "model"
    if not (folder / "model.json").is_file():
        raise ValueError(
            f"a model folder holds model.json and weights.safetensors; {folder} has no model.json. "
            "Name the folder that 'galenic fit' or model.save wrote."
        )
    header = _read_header(own_file(folder, "model.json"))
    weights = own_file(folder, "weights.safetensors")
    require_room(weights.stat().st_size, weights.name, "Use it where there is more memory.")
    try:
        if _sha256(weights) != header.get("weights_sha256"):
            raise ValueError("it is not the file that was saved")
        arrays = load_file(weights)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{weights} should be the file that was saved; it cannot be read as saved weights ({error}). "
            "Copy the whole folder again, or fit anew."
        ) from error
    with parts_explained(header["class"], folder):
        model = find(header["class"])._from_folder(header, arrays)
    model.__dict__["_folder"] = folder
    return model


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _read_header(path: Path) -> dict[str, Any]:
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        number, needed = header["format"], [header[key] for key in ("class", "fields", "spec")]
        kinds = (int, str, dict, dict)
        if not all(isinstance(one, kind) for one, kind in zip([number, *needed], kinds, strict=True)):
            raise TypeError("its entries are of other kinds")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} should be a model header (JSON with format, class, fields, spec); it cannot be read ({error!r}). "
            "Copy the whole folder again, or fit anew."
        ) from error
    if not isinstance(number, int) or number > FORMAT or not all(needed[:1]):
        raise ValueError(
            f"this galenic ({__version__}) reads models up to format {FORMAT}; {path.parent} has format {number!r}. "
            "Update galenic, or fit the model anew."
        )
    return dict(header)
