"""Reading pickles of strangers: a short list of what they may name, and nothing of theirs is run.

A pickle is a program. It may ask for any function of any library and call it, which is how a file of "weights" can
delete a folder. Here it may ask only for what numbers, text and tables are made of.
"""

from __future__ import annotations

import pickle
import pickletools
import struct
import sys
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, BinaryIO, ClassVar

import numpy as np
import torch

PLAIN = (dict, list, set, frozenset, tuple, float, complex, bool)
NUMBERS = "biufcSU"
"""Kinds of NumPy's types that may be read: numbers and text, whose bytes can be given without harm."""
REBUILT = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")
ARRAY = object()
"""Stands for the class of arrays, so that a file can name it and not call it."""


LONGEST_NUMBER = 400
EXPANDED = 100
"""Times that what a pickle stands for may be larger than its number of steps."""
PARTS = 5
"""Pickles that a file of old versions of torch holds, one after the other."""


class NotAllowedError(pickle.UnpicklingError):
    """A pickle asked for something that is not on the list; ``wanted`` says for what."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"it asks for {wanted}")
        self.wanted = wanted


def unpickler(allow: Iterable[Any] = ()) -> type[pickle._Unpickler]:
    """A class that reads pickles and refuses what is not on the list.

    Parameters
    ----------
    allow
        Classes and functions to add to the list. What they do with what the file gives them is up to them.
    """
    more = {(one.__module__, one.__qualname__): one for one in allow}
    trusted = tuple(one for one in more.values() if isinstance(one, type))

    class Restricted(pickle._Unpickler):
        dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

        def find_class(self, module_name: str, global_name: str) -> Any:
            key = (module_name, global_name)
            if key not in GLOBALS and key not in more:
                raise NotAllowedError(f"{module_name}.{global_name}")
            return more[key] if key in more else GLOBALS[key]

        def load_build(self) -> None:
            """Give an object its inside. Of a function or class this would change what everybody uses."""
            state, made = self.stack[-1], self.stack[-2]  # type: ignore[attr-defined]
            plain = type(made) is OrderedDict and isinstance(state, dict) and state.keys() <= {"_metadata"}
            if isinstance(made, np.dtype):
                self.stack[-1] = _harmless(made, state)  # type: ignore[attr-defined]
            elif not plain and not isinstance(made, (np.ndarray, *trusted)):
                raise NotAllowedError(f"a change of {getattr(made, '__qualname__', type(made).__qualname__)}")
            pickle._Unpickler.load_build(self)  # type: ignore[attr-defined]

        dispatch[pickle.BUILD[0]] = load_build

        def load_bytearray8(self) -> None:
            """Bytes as they are read: Python's own makes room for all that are declared, and fills it."""
            (size,) = struct.unpack("<Q", self.read(8))  # type: ignore[attr-defined]
            if size > sys.maxsize:
                raise pickle.UnpicklingError("more bytes are declared than there can be")
            self.append(bytearray(self.read(size)))  # type: ignore[attr-defined]

        dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8

    return Restricted


def as_module(allow: Iterable[Any] = ()) -> Any:
    """What ``torch.load(pickle_module=)`` takes: ``Unpickler`` and ``load`` that are restricted."""
    reader = unpickler(allow)

    def load(stream: BinaryIO, **how: Any) -> Any:
        return reader(stream, **how).load()

    return SimpleNamespace(__name__=__name__, Unpickler=reader, load=load)


def loads(stream: BinaryIO) -> Any:
    """The object in a pickle.

    Raises
    ------
    NotAllowedError
        If it asks for anything but plain containers, numbers, text and arrays of these.
    """
    start = stream.tell()
    require_small(stream)
    stream.seek(start)
    return unpickler()(stream).load()


def require_small(stream: BinaryIO) -> None:
    """Raise :class:`NotAllowedError` where a pickle of a few lines stands for something endless.

    A tuple of two tuples of two tuples ... takes a few bytes a level, and twice the time of the level before to be
    compared or hashed. Steps that are none, or end too early, are left to the reader that comes after.

    Examples
    --------
    >>> import io
    >>> pair = ("x",)
    >>> for _ in range(64):
    ...     pair = (pair, pair)
    >>> require_small(io.BytesIO(pickle.dumps(pair)))
    Traceback (most recent call last):
        ...
    galenic.foundation.unpickling.NotAllowedError: it asks for ... values out of ... steps
    """
    with suppress(ValueError, OverflowError, EOFError, MemoryError):  # what pickletools says of damage
        for _ in range(PARTS):
            steps = pickletools.genops(stream)
            try:
                _follow(steps)
            except (TypeError, LookupError) as error:
                raise NotAllowedError("a value that was never made") from error


def _follow(steps: Iterable[tuple[Any, Any, Any]]) -> None:
    """Sizes of what each step makes, as if nothing were shared."""
    stack: list[Any] = []
    memo: dict[Any, int] = {}
    for number, (code, argument, _) in enumerate(steps, start=1):
        name = code.name
        if name == "POP":
            stack.pop()
        elif name in ("PROTO", "FRAME", "STOP"):
            pass
        elif name == "MARK":
            stack.append(None)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else int(argument)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument)])
        elif name == "DUP":
            stack.append(stack[-1])
        else:
            taken = 0
            if pickletools.markobject in code.stack_before:
                while (one := stack.pop()) is not None:
                    taken += one
                rest = code.stack_before.index(pickletools.markobject)
            else:
                rest = len(code.stack_before)
            taken += sum(stack.pop() for _ in range(rest))
            stack += [1 + taken] * len([one for one in code.stack_after if one is not pickletools.markobject])
            if taken > EXPANDED * (number + 1000):
                raise NotAllowedError(f"{taken:,} values out of {number:,} steps")


def _encoded(text: str, encoding: str) -> bytes:
    """Bytes, as Python 3 writes them for Python 2. Other codecs unpack, and could fill the memory."""
    if encoding not in ("latin1", "latin-1"):
        raise NotAllowedError(f"the codec {encoding!r}")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    return b""


def _text(content: Any = "") -> str:
    """Text of text. That of containers within containers would be endless."""
    if not isinstance(content, str):
        raise NotAllowedError("text of something else")
    return content


def _whole(content: Any = 0) -> int:
    if not isinstance(content, int | float) and not (isinstance(content, str) and len(content) < LONGEST_NUMBER):
        raise NotAllowedError("a number of something else")
    return int(content)


def _dtype(code: str, *copying: bool) -> np.dtype:
    """A type of numbers or text. Types with fields or objects can be made to read memory as they please."""
    made = np.dtype(str(code), copy=True)
    if made.kind not in NUMBERS:
        raise NotAllowedError(f"arrays of the type {code!r}")
    return made


def _harmless(made: np.dtype, state: tuple[Any, ...]) -> tuple[Any, ...]:
    """The order of the bytes and, of text, its length; nothing else of what a file says of a type."""
    _, order, *structure = state
    if order not in ("<", ">", "|", "=") or structure[:3] != [None, None, None]:
        raise NotAllowedError(f"a type with fields ({made})")
    sizes = structure[3:5] if made.kind in "SU" else [-1, -1]
    return (3, order, None, None, None, *sizes, made.flags)


def _array(kind: object, shape: object, code: object) -> np.ndarray:
    """An empty array, to be given its inside."""
    if kind is not ARRAY:
        raise NotAllowedError("an array of another class")
    return np.empty(0, dtype=np.int8)


def _scalar(kind: np.dtype, content: bytes) -> Any:
    return np.frombuffer(bytes(content), dtype=_checked(kind), count=1)[0]


def _from_buffer(content: Any, kind: np.dtype, shape: tuple[int, ...], order: Any) -> np.ndarray:
    return np.frombuffer(content, dtype=_checked(kind)).reshape(shape, order=order)


def _checked(kind: np.dtype) -> np.dtype:
    if not isinstance(kind, np.dtype) or kind.kind not in NUMBERS:
        raise NotAllowedError(f"arrays of the type {kind!r}")
    return kind


def _globals() -> dict[tuple[str, str], Any]:
    """What a pickle may name, by module and name as they stand in files of old and new versions."""
    found: dict[tuple[str, str], Any] = {("collections", "OrderedDict"): OrderedDict, ("_codecs", "encode"): _encoded}
    for module in ("builtins", "__builtin__"):
        found |= {(module, kind.__name__): kind for kind in PLAIN}
        found |= {(module, "bytes"): _no_bytes, (module, "str"): _text, (module, "int"): _whole}
    for package in ("numpy.core", "numpy._core"):
        found[f"{package}.multiarray", "_reconstruct"] = _array
        found[f"{package}.multiarray", "scalar"] = _scalar
        found[f"{package}.numeric", "_frombuffer"] = _from_buffer
    found |= {("numpy", "ndarray"): ARRAY, ("numpy", "dtype"): _dtype}
    found |= {("torch._utils", name): getattr(torch._utils, name) for name in REBUILT}
    found |= {("torch", name): getattr(torch, name) for name in ("Size", "device")}
    kinds = [kind for kind in vars(torch).values() if isinstance(kind, torch.dtype)]
    found |= {("torch", str(kind).partition(".")[2]): kind for kind in kinds}
    return found | {("torch.storage", "UntypedStorage"): torch.storage.UntypedStorage}


GLOBALS = _globals()
