"""What is public is listed in the reference, and every parameter of it is documented."""

from __future__ import annotations

import inspect
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpydoc", reason="numpydoc is in the extra [docs]")
from numpydoc.docscrape import NumpyDocString

DOCS = Path(__file__).parents[2] / "docs"
ROOMS = ("", "data.fetch", "data.prepare", "data.read", "data.simulate", "evaluate", "explain", "foundation",
         "models.reference", "plots", "report", "search", "tasks", "train")  # fmt: skip
"""Modules with a list of public names."""
TOLD_ONCE = {"backend"}
"""Of every figure, told in the docstring of ``galenic.plots``."""
OF_OTHERS = {"FetchError": "an exception", "Task": "a protocol, which nobody constructs", "Freezable": "torch's own"}
"""Classes whose constructor has no parameters of ours."""
AS_ANOTHER = re.compile(r":(meth|func|class):")
"""A method that has the parameters of another one says of which."""


def is_ours(thing: object) -> bool:
    return (inspect.isclass(thing) or inspect.isfunction(thing)) and thing.__module__.startswith("galenic")


@cache
def listed() -> dict[str, Any]:
    """What the reference lists, by the path that it is listed under."""
    paths = re.findall(r"^   ([a-z]\w*(?:\.\w+)+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.M)
    found = {}
    for path in paths:
        module, name = f"galenic.{path}".rsplit(".", 1)
        found[path] = getattr(import_module(module), name)
    return found


@cache
def public() -> dict[str, Any]:
    """Public functions and classes of all rooms, and whatever else the reference lists."""
    rooms = [import_module(f"galenic.{room}".rstrip(".")) for room in ROOMS]
    things = [getattr(room, name) for room in rooms for name in room.__all__]
    return {f"{one.__module__}.{one.__qualname__}": one for one in [*things, *listed().values()] if is_ours(one)}


def parameters(thing: Any) -> list[str]:
    names = [name for name in inspect.signature(thing).parameters if name not in ("self", "cls")]
    return [name for name in names if not name.startswith("_") and name not in TOLD_ONCE]


def documented(text: str) -> set[str]:
    """Names in the sections of parameters and attributes of a docstring."""
    page = NumpyDocString(text)
    entries = [one.name for section in ("Parameters", "Other Parameters", "Attributes") for one in page[section]]
    return {name.strip().lstrip("*") for entry in entries for name in entry.split(",")}


def missing(thing: Any, also: tuple[str, ...] = ()) -> list[str]:
    """Parameters that neither the docstring nor one of ``also`` tells of."""
    text = inspect.getdoc(thing) or ""
    # A method of few words names its parameters in them, or says whose parameters it has.
    known = set(re.findall(r"``(\w+)``", text)).union(*(documented(one) for one in (text, *also)))
    return [] if AS_ANOTHER.search(text) else [name for name in parameters(thing) if name not in known]


def test_public_things_are_listed_in_the_reference() -> None:
    there = {id(thing) for thing in listed().values()}
    assert [name for name, thing in public().items() if id(thing) not in there] == []
    assert len(public()) > 200


def test_every_parameter_of_public_functions_and_classes_is_documented() -> None:
    plain = {name: one for name, one in public().items() if one.__name__ not in OF_OTHERS}
    lacking = {name: [p for p in parameters(one) if p not in documented(inspect.getdoc(one) or "")]
               for name, one in plain.items()}  # fmt: skip
    assert {name: names for name, names in lacking.items() if names} == {}
    assert sum(len(parameters(one)) for one in plain.values()) > 1000


def methods(owner: type) -> dict[str, Any]:
    """Public methods of a class that were written here, as functions."""
    ours = [base for base in owner.__mro__ if base.__module__.startswith("galenic")]
    names = {name for base in ours for name in vars(base) if not name.startswith("_")}
    found = {name: inspect.unwrap(getattr(member, "__func__", member)) for name in names
             for member in [inspect.getattr_static(owner, name)]}  # fmt: skip
    return {name: one for name, one in found.items() if inspect.isfunction(one) and is_ours(one)}


def test_every_parameter_of_public_methods_is_documented() -> None:
    """In its own docstring, or in that of the base class or protocol whose method it is."""
    protocol = methods(public()["galenic.tasks.task.Task"])
    lacking = {}
    for name, owner in public().items():
        for word, method in methods(owner).items() if inspect.isclass(owner) else ():
            inherited = [vars(base)[word] for base in owner.__mro__[1:] if word in vars(base)]
            inherited += [protocol[word]] if word in protocol and "Task" in owner.__name__ else []
            gaps = missing(method, tuple(inspect.getdoc(one) or "" for one in inherited))
            lacking |= {f"{name}.{word}": gaps} if gaps or not inspect.getdoc(method) else {}
    assert lacking == {}


def test_an_undocumented_parameter_would_be_found() -> None:
    def half(told: int, forgotten: int) -> None:
        """Do something.

        Parameters
        ----------
        told
            A number.
        """

    assert missing(half) == ["forgotten"]


METHODS = sorted((DOCS / "methods").glob("*.md"))


@pytest.mark.parametrize("page", METHODS, ids=lambda page: page.stem)
def test_a_method_page_says_when_not_to_use_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    heads = re.findall(r"^#+ (.+)$", text, re.M)
    assert "When not to use it" in heads
    assert re.search("differ|otherwise than published|repaired", text, re.I), "what differs from the publication"
    assert "benchmarks.md" in text or "What was measured" in heads, "where its numbers are"
    assert "api.md" in text, "the way to the reference"


PAGES = [*DOCS.glob("*.md"), *DOCS.glob("*/*.md"), *DOCS.parent.glob("CONTRIBUTING.md")]


def test_links_between_pages_lead_somewhere() -> None:
    """To a file that is there, and to a heading that is in it."""
    broken = []
    for page in (one for one in PAGES if "_build" not in one.parts and one.parent.name != "api"):
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
        for path, anchor in re.findall(r"\]\(([\w./-]*\.md)(?:#([\w-]+))?\)", text):
            target = (page.parent / path).resolve()
            if not target.is_file() or (anchor and anchor not in anchors(target)):
                broken.append(f"{page.relative_to(DOCS.parent)}: {path}#{anchor}")
    assert broken == []


@cache
def anchors(page: Path) -> set[str]:
    """As GitHub and the documentation make them of headings."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", head.strip().lower())) for head in heads}
