"""How a command speaks: as usual, quietly, at length, or as one JSON document. Decided once, for every verb."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

    from galenic.report.run import Run

FLAGS = {
    "--verbose": "Say more: versions, seconds, files.",
    "--quiet": "Say only what was asked for, and errors.",
    "--json": "Answer as one JSON document.",
}
"""Flags of every verb, before or after it, and what they do."""
PLAIN = ("--help", "--version", "--show-completion", "--install-completion")
"""What asks for a text, which is then all that is said."""


@dataclass
class Voice:
    """One command, as it speaks.

    Parameters
    ----------
    quiet, verbose, as_json
        What the flags say.
    said
        Lines that the verb wrote for people, where they are kept for the document.
    warnings
        As they were told.
    data
        What the verb gave as data, by name.
    error
        What it ended with, if it failed.
    run
        The run folder that it wrote.
    out
        The standard output, while the command speaks.
    """

    quiet: bool = False
    verbose: bool = False
    as_json: bool = False
    said: io.StringIO = field(default_factory=io.StringIO)
    warnings: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    run: Run | None = None
    began: float = field(default_factory=time.perf_counter)
    out: TextIO | None = None

    @property
    def asked(self) -> TextIO:
        """Where what was asked for goes: to the standard output, unless that is for the document."""
        return sys.stdout if self.as_json or self.out is None else self.out

    def give(self, text: str = "", **data: Any) -> None:
        """Write what was asked for, also quietly; in the document ``data`` stand in its place."""
        self.data |= data
        if text:
            print(text, file=self.asked)

    def screen(self, width: int | None = None) -> Console:
        """A console for tables that were asked for."""
        from rich.console import Console

        return Console(file=self.asked, width=width)

    def tell(self, text: str) -> None:
        """Say something on the standard error that is worth knowing only with ``--verbose``."""
        if self.verbose:
            print(text, file=sys.stderr)


class _State:
    voice = Voice()


def voice() -> Voice:
    """That of the command which runs now."""
    return _State.voice


def without_flags(words: Sequence[str]) -> tuple[Voice, list[str]]:
    """The voice that the words of a command ask for, and the words without its flags.

    Raises
    ------
    ValueError
        If it should be both quiet and verbose.

    Examples
    --------
    >>> spoken, rest = without_flags(["fit", "ridge", "--quiet", "--out", "run"])
    >>> spoken.quiet, spoken.as_json, rest
    (True, False, ['fit', 'ridge', '--out', 'run'])
    >>> without_flags(["fit", "--json", "--help"])[0].as_json
    False
    """
    end = words.index("--") if "--" in words else len(words)
    given = {word for word in words[:end] if word in FLAGS}
    rest = [*(word for word in words[:end] if word not in FLAGS), *words[end:]]
    if {"--quiet", "--verbose"} <= given:
        raise ValueError("a command is either quiet or verbose; received --quiet and --verbose. Leave one of them out.")
    if any(word in PLAIN for word in rest[:end]):
        return Voice(), rest
    return Voice("--quiet" in given, "--verbose" in given, "--json" in given), rest


@contextmanager
def speaking(spoken: Voice) -> Iterator[Voice]:
    """Have everything inside the block speak with this voice."""
    from galenic.work.bar import bars

    before, shown = _State.voice, sys.stdout
    _State.voice, spoken.out = spoken, shown
    if spoken.as_json:
        sys.stdout = _Kept(spoken.said, None if spoken.quiet else sys.stderr)
    elif spoken.quiet:
        sys.stdout = _Kept(None, None)
    try:
        with bars(not spoken.quiet):
            yield spoken
    finally:
        if isinstance(sys.stdout, _Kept):  # a pipe that was closed has put something else there
            sys.stdout = shown
        _State.voice = before


class _Kept(io.TextIOBase):
    """A standard output whose text is kept, or goes elsewhere, or nowhere."""

    encoding, errors = "utf-8", "strict"

    def __init__(self, kept: io.StringIO | None, elsewhere: TextIO | None) -> None:
        self.places = [place for place in (kept, elsewhere) if place is not None]

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        for place in self.places:
            place.write(text)
        return len(text)

    def flush(self) -> None:
        for place in self.places:
            place.flush()
