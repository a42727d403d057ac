"""Fields of a model: checked, written to JSON, changed and documented from one definition."""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from galenic.work.near import nearest_name

T = TypeVar("T")


def param(default: Any, *, low: float | None = None, high: float | None = None) -> Any:
    """A field with a range: ``low <= value <= high``."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


def field_types(cls: type) -> dict[str, Any]:
    """The type of each field, resolved."""
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def check(instance: Any) -> None:
    """Raise ``TypeError`` or ``ValueError`` for a field of the wrong type, choice or range."""
    name = type(instance).__name__
    types_ = field_types(type(instance))
    for field in dataclasses.fields(instance):
        value, kind = getattr(instance, field.name), types_[field.name]
        if not _fits(value, kind):
            hint = nearest_name(value, _choices(kind)) if isinstance(value, str) else "."
            raise TypeError(f"{name}.{field.name} should be {describe(kind)}; received {value!r}{hint}")
        low, high = field.metadata.get("low"), field.metadata.get("high")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, (int, float)) and (
                (low is not None and not number >= low) or (high is not None and not number <= high)
            ):
                span = f"from {low}" if high is None else f"from {low} to {high}"
                raise ValueError(f"{name}.{field.name} should be {span}; received {value!r}.")


def _fits(value: Any, kind: Any) -> bool:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value in args
    if origin in (types.UnionType, Union):
        return any(_fits(value, arg) for arg in args)
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(item, args[0]) for item in value)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is type(None):
        return value is None
    return isinstance(value, kind)


def _choices(kind: Any) -> list[str]:
    """The words among which a field of this type chooses."""
    if get_origin(kind) is Literal:
        return [one for one in get_args(kind) if isinstance(one, str)]
    return [one for arg in get_args(kind) for one in _choices(arg)]


def describe(kind: Any) -> str:
    """A type in words: ``one of 'rbf', 'linear'``; ``int or None``."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(repr(arg) for arg in args)
    if origin in (types.UnionType, Union):
        return " or ".join(describe(arg) for arg in args)
    if origin is tuple:
        return f"a tuple of {describe(args[0])}"
    return "None" if kind is type(None) else str(kind.__name__)


def to_dict(instance: Any) -> dict[str, Any]:
    """Fields as plain JSON values."""
    return {
        field.name: to_dict(value)
        if dataclasses.is_dataclass(value)
        else list(value)
        if isinstance(value, tuple)
        else value
        for field in dataclasses.fields(instance)
        for value in [getattr(instance, field.name)]
    }


def with_params(instance: T, changes: Mapping[str, Any]) -> T:
    """A new instance with some fields changed; nested fields are written ``"training.lr"`` or as a mapping.

    Nested changes start from *this* instance's nested value, not from the class default.

    Parameters
    ----------
    instance
        A model, or any dataclass; not changed.
    changes
        New values by name: ``{"rank": 3, "training.lr": 1e-3}``.

    Raises
    ------
    ValueError
        For a name that is not a field, naming the nearest.
    """
    known = field_types(type(instance))
    new: dict[str, Any] = {}
    for key, value in changes.items():
        name, _, rest = key.partition(".")
        if name not in known:
            hint = nearest_name(name, known, f"; it has {', '.join(known)}.")
            raise ValueError(f"{type(instance).__name__} has no parameter {name!r}{hint}")
        current = new.get(name, getattr(instance, name))
        if rest and not dataclasses.is_dataclass(current):
            raise ValueError(
                f"only settings have parts; {type(instance).__name__}.{name} is {current!r:.60} and has no {rest!r}. "
                f"Give {name} itself."
            )
        if rest:
            new[name] = with_params(current, {rest: value})
        elif dataclasses.is_dataclass(current) and isinstance(value, Mapping):
            new[name] = with_params(current, value)
        else:
            new[name] = tuple(value) if isinstance(value, list) else value
    return dataclasses.replace(instance, **new)  # type: ignore[type-var]


def short_repr(instance: Any) -> str:
    """The class and the fields that differ from their defaults."""
    shown = []
    for field in dataclasses.fields(instance):
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        value = getattr(instance, field.name)
        if value != default:
            shown.append(f"{field.name}={value!r}")
    return f"{type(instance).__name__}({', '.join(shown)})"


def helps(cls: type) -> dict[str, str]:
    """What the docstring says of each field: its *Parameters* section, one line each."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        section = re.search(r"Parameters\n\s*-+\n(.*?)(?:\n\s*\n\s*\w[\w ]*\n\s*-{3,}|\Z)", base.__doc__ or "", re.S)
        if section is None:
            continue
        indent = len(section[1]) - len(section[1].lstrip())
        names: list[str] = []
        for line in section[1].splitlines():
            depth = len(line) - len(line.lstrip())
            if not line.strip():
                continue
            if depth == indent:
                names = [name.strip() for name in line.split(":")[0].split(",")]
                found.update(dict.fromkeys(names, ""))
            else:
                for name in names:
                    found[name] = f"{found[name]} {line.strip()}".strip()
    return {name: text.replace("``", "").replace('"', "'") for name, text in found.items()}
