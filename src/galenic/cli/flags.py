"""Flags from dataclass fields: the name, type, default and help of a parameter are written once, in its class."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import typer

from galenic.cli.completing import values_of
from galenic.cli.compute import DeviceFlags, EngineFlags
from galenic.models.fields import field_types, helps

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFlags(EngineFlags, DeviceFlags):
    """How a run that judges models is divided, computed and kept.

    Parameters
    ----------
    seeds
        One division into folds for each, separated by commas.
    overwrite
        Replace an earlier run in the same folder.
    resume
        Go on with an interrupted run in the same folder.
    """

    seeds: tuple[int, ...] = (0,)
    overwrite: bool = False
    resume: bool = False


def add(function: Callable[..., None], *classes: type) -> Callable[..., None]:
    """Give ``function(**flags)`` one flag for each field of ``classes``, after its own parameters.

    Parameters
    ----------
    function
        Takes its own parameters and ``**flags``.
    classes
        Dataclasses; a field that is a dataclass itself becomes ``--field.name``.
    """
    own = inspect.signature(function, eval_str=True).parameters.values()
    kept = [parameter for parameter in own if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    made = [parameter for cls in classes for parameter in _flags(cls, "")]

    def command(**values: Any) -> None:
        function(**values)

    signature = inspect.Signature([p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in [*kept, *made]])
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    command.__doc__, command.__name__ = function.__doc__, function.__name__
    return command


def collect(cls: type[T], flags: dict[str, Any], prefix: str = "") -> T:
    """Build ``cls`` from the flags that :func:`add` made."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        kind, key = field_types(cls)[field.name], prefix + field.name
        if dataclasses.is_dataclass(kind):
            values[field.name] = collect(kind, flags, f"{key}__")  # type: ignore[arg-type]
        elif _is_tuple(kind):
            none = None if get_origin(kind) is not tuple else ()
            values[field.name] = _items(kind, flags[key]) if flags[key] is not None else none
        else:
            values[field.name] = flags[key]
    return cls(**values)


def _flags(cls: type, prefix: str, values: Any = None) -> Iterator[inspect.Parameter]:
    """One flag for each field; its default is that of ``values``, an instance, if it is given."""
    said = helps(cls)
    for field in dataclasses.fields(cls):
        kind, key = field_types(cls)[field.name], prefix + field.name
        made = field.default_factory
        default: Any = field.default if isinstance(made, dataclasses._MISSING_TYPE) else made()
        default = default if values is None else getattr(values, field.name)
        if dataclasses.is_dataclass(kind):
            # A model's own settings, not those of the class they are written in.
            yield from _flags(kind, f"{key}__", default)  # type: ignore[arg-type]
            continue
        if _is_tuple(kind):
            kind, default = str | None, ",".join(str(item) for item in default) or None
        name = "--" + key.replace("__", ".").replace("_", "-")
        # What is off unless it is asked for needs no flag to turn it off.
        spelled = f"{name}/--no-{name[2:]}" if kind is bool and default else name
        option = typer.Option(
            spelled,
            help=said.get(field.name, ""),
            show_default=default is not None and default is not False,
            autocompletion=values_of(cls.__name__, field.name),
        )
        yield inspect.Parameter(
            key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
        )


def _is_tuple(kind: Any) -> bool:
    if get_origin(kind) in (types.UnionType, Union):
        return any(_is_tuple(arg) for arg in get_args(kind))
    return get_origin(kind) is tuple


def _items(kind: Any, text: str) -> tuple[Any, ...]:
    """``"a,b"`` as a tuple of what ``kind`` holds."""
    convert = get_args(kind)[0] if get_origin(kind) is tuple else str
    try:
        return tuple(convert(item.strip()) for item in text.split(",") if item.strip())
    except ValueError as error:
        raise ValueError(
            f"a list of {convert.__name__} separated by commas is expected; received {text!r}. Correct the flag."
        ) from error
