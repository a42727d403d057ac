"""The fields of the models as they were when this file was last written, so that help needs no library.

``model_fields.json`` is made of the classes by ``python -m galenic.cli.model_fields``, and a test holds it to them. It
is read for ``--help`` and completion alone: what runs takes the classes themselves.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import types
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

FILE = Path(__file__).with_suffix(".json")
PLAIN: dict[str, Any] = {"str": str, "int": int, "float": float, "bool": bool, "None": type(None)}


def stand_in(name: str) -> type | None:
    """A class with the fields, defaults and help of the model ``name``, but not its methods.

    Examples
    --------
    >>> [field.name for field in dataclasses.fields(stand_in("DrugMean"))]
    ['new_drugs']
    """
    told = _told().get(name)
    return None if told is None else _made(name, told)


def is_asked_for() -> bool:
    """Whether a page of help, or a completion, is all that is wanted of a model."""
    import os

    from galenic.cli.completing import COMPLETES

    return "--help" in sys.argv or COMPLETES in os.environ


@cache
def _told() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def _made(name: str, told: dict[str, Any]) -> type:
    fields: list[Any] = []
    lines = ["Parameters", "----------"]
    for key, about in told["fields"].items():
        lines += [key, f"    {about['help']}"]
        if "fields" in about:
            inner = _made(about["class"], about)
            fields.append((key, inner, dataclasses.field(default_factory=inner)))
        else:
            value = about["default"]
            default = tuple(value) if isinstance(value, list) else value
            fields.append((key, _kind(about["kind"]), dataclasses.field(default=default)))
    made = dataclasses.make_dataclass(name, fields, kw_only=True, repr=False)
    made.__doc__ = "\n".join(lines)
    if told.get("is_ensemble"):
        made.latents_ = None  # type: ignore[attr-defined]
    made.fit = _with_encoder if told.get("has_encoder") else _without  # type: ignore[attr-defined]
    return made


def _with_encoder(self: Any, *, encoder: Any = None) -> None:
    """In place of a ``fit`` that takes an encoder."""


def _without(self: Any) -> None:
    """In place of any other."""


def _kind(told: Any) -> Any:
    if isinstance(told, str):
        return PLAIN[told]
    ((word, of),) = told.items()
    if word == "one of":
        return Literal[tuple(of)]
    if word == "tuple of":
        return tuple[_kind(of), ...]  # type: ignore[misc]
    return Union[tuple(_kind(one) for one in of)]  # noqa: UP007


def told_of(cls: type, values: Any = None) -> dict[str, Any]:
    """What the file says of one class: kind, default and help of each field.

    Parameters
    ----------
    cls
        A dataclass.
    values
        An instance whose values are the defaults; otherwise those of the class.
    """
    from galenic.models.fields import field_types, helps

    kinds, said = field_types(cls), helps(cls)
    values = cls() if values is None else values
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        kind, value = kinds[field.name], getattr(values, field.name)
        about: dict[str, Any] = {"help": said.get(field.name, "")}
        if dataclasses.is_dataclass(kind):
            about |= told_of(kind, value)  # type: ignore[arg-type]
        else:
            about |= {"kind": _words(kind), "default": list(value) if isinstance(value, tuple) else value}
        fields[field.name] = about
    return {"class": cls.__name__, "fields": fields}


def _words(kind: Any) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"one of": list(args)}
    if origin is tuple:
        return {"tuple of": _words(args[0])}
    if origin in (types.UnionType, Union):
        return {"any of": [_words(arg) for arg in args]}
    return "None" if kind is type(None) else kind.__name__


def everything() -> dict[str, Any]:
    """What the file should say of all models."""
    from galenic.cli.fit_cells import has_encoder
    from galenic.cli.fit_profiles import is_ensemble
    from galenic.models import CELL_MODELS, ENCODERS, MODELS, find

    found = {name: told_of(find(name)) for name in (*MODELS, *ENCODERS)}
    for name, told in found.items():
        told |= {"is_ensemble": True} if is_ensemble(find(name)) else {}
        told |= {"has_encoder": True} if name in CELL_MODELS and has_encoder(find(name)) else {}
    return found


if __name__ == "__main__":
    from galenic.work.atomic import written

    with written(FILE) as draft:
        draft.write_text(json.dumps(everything(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
