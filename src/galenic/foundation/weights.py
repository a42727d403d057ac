"""Weights in files that others wrote: read without running anything of theirs, and matched by name and shape."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors.torch import load_file
from torch import Tensor

from galenic.data.checks import first, require_file
from galenic.data.limits import require_room
from galenic.foundation import unpickling

WEB_PAGE = (b"<!doctype", b"<html", b"<?xml", b"<head")
OTHERS = {b"\x1f\x8b": "a gzip file", b"\x89HDF": "an HDF5 file", b"version https://git-lfs": "a Git LFS pointer"}
OTHERS |= {b"BZh": "a bz2 file", b"\xfd7zXZ": "an xz file", b"\x93NUMPY": "a NumPy array", b"PAR1": "a Parquet file"}
REMEDY = "Download the file itself again, and compare its size with what its publisher says."


def read_tensors(path: str | Path, *, allow: Iterable[Any] = ()) -> tuple[dict[str, Any], str]:
    """Read a file of weights; nothing in it is executed.

    Parameters
    ----------
    path
        ``.safetensors``, or what ``torch.save`` wrote (``.ckpt``, ``.bin``, ``.pt``, ...; told by content).
    allow
        Classes and functions that the file may use beyond the list of :mod:`galenic.foundation.unpickling`. Name only
        what you trust with the content of the file.

    Returns
    -------
    tensors : dict
        Names to tensors on the CPU, or nested dictionaries of such, as they were saved. Tensors of large files stay on
        disk until they are used (memory map); they should not be written to.
    how : str
        ``"safetensors"``, ``"weights only"`` (torch's own restricted reader) or ``"restricted"`` (ours, for files that
        hold numbers of NumPy or were written with other protocols).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is cut off, a web page or of another kind, holds no dictionary, or asks for anything that is not on the
        list: the message names it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save({"cell": {"weight": torch.ones(2)}}, f"{folder}/models.ckpt")
    ...     tensors, how = read_tensors(f"{folder}/models.ckpt")
    ...     tensors["cell"]["weight"].tolist(), how
    ([1.0, 1.0], 'weights only')
    """
    path = require_file(path, "weights")
    kind = _kind(path)
    if kind == "safetensors":
        try:
            return load_file(path), kind
        except Exception as error:
            _damaged(path, error)
    found, how = _read_torch(path, kind, tuple(allow))
    _require_own_numbers(found, path)
    if not isinstance(found, Mapping):
        raise ValueError(
            f"weights should be a dictionary of tensors; {path.name} holds a {type(found).__name__}. "
            "Save the state_dict() of the network, by name."
        )
    return dict(found), how


def read_pickle(path: str | Path) -> Any:
    """Read a dictionary (or list, number, text, array) from a pickle; nothing in it is executed.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    object
        Dictionaries, lists, tuples, sets, text, numbers and arrays of NumPy.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no pickle, cut off, or asks for anything else: the message names it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     place = Path(folder, "tokens.pkl")
    ...     _ = place.write_bytes(pickle.dumps({"ENSG00000141510": 7}))
    ...     read_pickle(place)
    {'ENSG00000141510': 7}
    """
    path = require_file(path, "a pickled dictionary")
    if _kind(path) != "pickle":
        raise ValueError(
            f"a pickled dictionary should be a pickle; {path.name} is weights (a zip or safetensors). Name the file "
            "of the dictionary."
        )
    require_room(path.stat().st_size, path.name, REMEDY)
    try:
        with path.open("rb") as stream:
            return unpickling.loads(stream)
    except unpickling.NotAllowedError as error:
        _refused(path, error.wanted)
    except Exception as error:
        _damaged(path, error)


@dataclass(frozen=True)
class Matched:
    """Tensors that have a place in a network, and what does not fit."""

    state: dict[str, Tensor]
    """Ready for ``load_state_dict``, by the names of the network."""
    missing: tuple[str, ...]
    """Names that the network needs and the file does not have."""
    unexpected: tuple[str, ...]
    """Names in the file that have no place and are not known to be unneeded."""
    wrong_shape: tuple[str, ...]
    """``"name (3, 4), not (3, 5)"``: found and needed."""

    def require(self, what: str) -> dict[str, Tensor]:
        """The state, if everything fits.

        Parameters
        ----------
        what
            The file and network, for the message.

        Raises
        ------
        ValueError
            Naming the first that are missing, unexpected or of another shape.
        """
        if not (self.missing or self.unexpected or self.wrong_shape):
            return self.state
        parts = {"missing": self.missing, "without a place": self.unexpected, "of another shape": self.wrong_shape}
        n = len(self.state) + len(self.missing) + len(self.wrong_shape)
        said = "; ".join(f"{len(names):,} {how} (first: {first(names)})" for how, names in parts.items() if names)
        raise ValueError(
            f"{what} should hold {n:,} tensors of known names and shapes; {said}. "
            "Check that this is the published file of that model, and whole."
        )


def match(wanted: Mapping[str, Sequence[int]], given: Mapping[str, Any], *, ignore: Sequence[str] = ()) -> Matched:
    """Compare the tensors of a file with those that a network needs.

    Parameters
    ----------
    wanted
        Shape of each tensor of the network.
    given
        Tensors of the file, under the names of the network.
    ignore
        Patterns (``*``, ``?``) of names in the file that are known and not needed.

    Examples
    --------
    >>> found = match({"norm.weight": (2,), "norm.bias": (2,)}, {"norm.weight": torch.ones(2), "decoder.a": 0},
    ...               ignore=["decoder.*"])
    >>> found.missing, found.unexpected
    (('norm.bias',), ())
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in given.items() if isinstance(tensor, Tensor)}
    wrong = {name for name, shape in wanted.items() if name in shapes and shapes[name] != tuple(shape)}
    return Matched(
        state={name: given[name] for name in wanted if name in shapes and name not in wrong},
        missing=tuple(name for name in wanted if name not in shapes),
        unexpected=tuple(
            name for name in given if name not in wanted and not any(fnmatchcase(name, one) for one in ignore)
        ),
        wrong_shape=tuple(f"{name} {shapes[name]}, not {tuple(wanted[name])}" for name in wanted if name in wrong),
    )


def shapes_of(net: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor that a network saves, for :func:`match`."""
    return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}


def _kind(path: Path) -> str:
    """``"safetensors"``, ``"zip"`` or ``"pickle"``, told by the first bytes."""
    with path.open("rb") as stream:
        head = stream.read(64)
    start = head.lstrip().lower()
    other = next((what for mark, what in OTHERS.items() if head.startswith(mark)), None)
    if start.startswith(WEB_PAGE):
        other = "a web page: the link led to a page (a login, a preview or an error)"
    if other is None and head.startswith(b"PK\x03\x04"):
        return "zip"
    length = int.from_bytes(head[:8], "little")
    if other is None and (path.suffix == ".safetensors" or (head[8:9] == b"{" and length < 2**27)):
        return "safetensors"
    if other is None and head[:1] == b"\x80":
        return "pickle"
    other = other or ("text" if head.isascii() and b"\x00" not in head else "of no kind that is known here")
    raise ValueError(f"weights should be .safetensors, or what torch or pickle wrote; {path.name} is {other}. {REMEDY}")


def _read_torch(path: Path, kind: str, allow: tuple[Any, ...]) -> tuple[Any, str]:
    try:
        if kind == "zip":
            _require_archive(path)
        else:
            with path.open("rb") as stream:
                unpickling.require_small(stream)
    except unpickling.NotAllowedError as error:
        _refused(path, error.wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other protocols, which the restricted reader knows
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=kind == "zip"), "weights only"
        except pickle.UnpicklingError:
            pass  # it asks for more than torch's list: the numbers of NumPy, or something bad
        except Exception as error:
            _damaged(path, error)
        try:
            reader = unpickling.as_module(allow)
            mapped = {"mmap": True} if kind == "zip" else {}
            found = torch.load(path, map_location="cpu", weights_only=False, pickle_module=reader, **mapped)
            return found, "restricted"
        except unpickling.NotAllowedError as error:
            _refused(path, error.wanted)
        except Exception as error:
            _damaged(path, error)


def _require_own_numbers(content: Any, path: Path) -> None:
    """Raise ``ValueError`` where a tensor says that it is larger than the numbers it has, which repeat."""
    waiting, seen = [content], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one
        elif isinstance(one, Tensor) and one.layout == torch.strided and _repeats(one):
            raise ValueError(
                f"tensors of {path.name} should hold all their numbers; one of shape {tuple(one.shape)} repeats "
                f"fewer. {REMEDY}"
            )


def _repeats(tensor: Tensor) -> bool:
    return tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes()


def _require_archive(path: Path) -> None:
    """Raise ``ValueError`` unless a zip holds the records of ``torch.save``. Compiled programs would be run."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            names = {part.filename.partition("/")[2] for part in parts}
            is_stored = all(part.compress_type == zipfile.ZIP_STORED for part in parts)
            is_stored &= sum(part.file_size for part in parts) <= path.stat().st_size
            for part in parts if is_stored else ():
                if part.filename.endswith("/data.pkl"):
                    unpickling.require_small(io.BytesIO(archive.read(part)))
    except unpickling.NotAllowedError:
        raise
    except Exception as error:
        _damaged(path, error)
    if not is_stored:
        raise ValueError(
            f"weights should be what torch.save wrote, which packs nothing; records of {path.name} are packed, "
            f"or larger than the file. {REMEDY}"
        )
    if "data.pkl" not in names or "constants.pkl" in names:
        holds = "a compiled program (TorchScript)" if "constants.pkl" in names else "a zip of other files"
        raise ValueError(
            f"weights should be what torch.save wrote of a dictionary of tensors; {path.name} is {holds}. "
            "Ask for the state_dict, or unpack the zip and name the file inside."
        )


def _refused(path: Path, wanted: str) -> NoReturn:
    raise ValueError(
        f"a file of weights or tables should be made of tensors, numbers, text and plain containers; {path.name} asks "
        f"for {wanted}, which could run anything. Nothing of it was run: get it from its publisher, or ask for "
        "safetensors."
    )


def _damaged(path: Path, error: Exception) -> NoReturn:
    said = str(error).strip().partition("\n")[0][:120] or "it ends too early"
    raise ValueError(
        f"{path.name} should be a whole file; it is cut off or damaged ({type(error).__name__}: {said}). {REMEDY}"
    ) from error
