"""The one progress bar: on the standard error of a terminal, and nowhere else."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
_DRAWN = threading.RLock()
Listener = Callable[[str, float, float | None], None]
"""Told what is done, how much of it is done by now, and of how much."""
_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


class Advance(Protocol):
    """What a step calls as it goes on."""

    def __call__(self, n: float = 1, text: str = "") -> None:
        """``n`` more are done; ``text``, if there is one, stands in place of what the step is called."""


class _State:
    """Of this process: whether bars are wanted, and the display that all of them share."""

    wanted = False
    hushed = False
    display: Any = None


@contextmanager
def bars(wanted: bool) -> Iterator[None]:
    """Whether steps that are not asked show a bar inside the block: in a command they do, in a library they do not."""
    before = _State.wanted, _State.hushed
    _State.wanted, _State.hushed = wanted, _State.hushed or not wanted
    try:
        yield
    finally:
        _State.wanted, _State.hushed = before


@contextmanager
def listened(listener: Listener) -> Iterator[None]:
    """Steps of this thread inside the block tell ``listener`` how far they are, in place of a bar.

    Examples
    --------
    >>> with listened(lambda *far: print(*far)), progress_bar("genes", 2) as advance:
    ...     advance()
    genes 0 2
    genes 1 2
    """
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


@contextmanager
def no_bars() -> Iterator[None]:
    """No bar inside the block, whoever asks: for jobs beside each other, whose lines would run into one another."""
    before, _State.hushed = _State.hushed, True
    try:
        yield
    finally:
        _State.hushed = before


def is_shown(show: bool | None = None) -> bool:
    """Whether a bar would be drawn: wanted, not hushed, and the standard error is a terminal or a notebook.

    Examples
    --------
    >>> is_shown(False)
    False
    >>> with no_bars():
    ...     is_shown(True)
    False
    """
    if _State.hushed or not (_State.wanted if show is None else show):
        return False
    return "ipykernel" in sys.modules or bool(getattr(sys.stderr, "isatty", lambda: False)())


@contextmanager
def progress_bar(
    what: str, total: float | None = None, *, done: float = 0, unit: str = "", show: bool | None = None
) -> Iterator[Advance]:
    """A bar with count, rate and time left; the block is given the function that moves it.

    Bars inside one another stand below one another and are drawn by one thread; what is printed meanwhile stands above
    them. A bar leaves with its block. In a pipe, a file, or a job of :func:`~galenic.work.fan_out.fan_out` that runs
    beside others, nothing is drawn.

    Parameters
    ----------
    what
        What is done: ``"fits"``.
    total
        Steps in all; ``None``: unknown, so that only the count and the rate are shown.
    done
        Steps that were done earlier, 0 or more; they do not count in the rate.
    unit
        Of what is counted; ``"bytes"`` are shown as kB, MB, ...
    show
        ``None``: if the command line wants bars (:func:`bars`); ``True``: also in Python; ``False``: not at all.

    Examples
    --------
    >>> with progress_bar("genes", 3) as advance:  # where it is no terminal, nothing is drawn
    ...     for gene in ("TP53", "EGFR", "MYC"):
    ...         advance()
    """
    listener = _LISTENER.get()
    if listener is not None and show is not False:
        yield _telling(listener, what, done, total)
        return
    if not is_shown(show):
        yield _nothing
        return
    with _display() as display:
        task = display.add_task(what, total=total, completed=done, unit=unit)

        def advance(n: float = 1, text: str = "") -> None:
            display.update(task, advance=n, **({"description": text} if text else {}))

        try:
            yield advance
        finally:
            if len(display.tasks) == 1:
                display.refresh()  # its end is seen, too
            display.remove_task(task)


def counted(items: Iterable[T], what: str, total: int | None = None, *, show: bool | None = None) -> Iterator[T]:
    """The items, while a bar says how many were given.

    Examples
    --------
    >>> list(counted([1, 2], "numbers"))
    [1, 2]
    """
    if total is None:
        size = getattr(items, "__len__", None)
        total = size() if size is not None else None
    with progress_bar(what, total, show=show) as advance:
        for item in items:
            yield item
            advance()


def watcher(advance: Advance, before: int = 0) -> Callable[[int, int], None]:
    """For steps that tell how many are done by now, and of how many; ``before`` were done when the bar was opened.

    Examples
    --------
    >>> moved = []
    >>> tell = watcher(lambda n=1, text="": moved.append(n))
    >>> tell(10, 30), tell(30, 30), moved
    (None, None, [10, 20])
    """

    def tell(done: int, _: int) -> None:
        nonlocal before
        advance(done - before)
        before = done

    return tell


def _telling(listener: Listener, what: str, done: float, total: float | None) -> Advance:
    """A step that tells a listener."""

    def advance(n: float = 1, text: str = "") -> None:
        nonlocal done
        done += n
        listener(text or what, done, total)

    listener(what, done, total)
    return advance


def _nothing(n: float = 1, text: str = "") -> None:
    pass


@contextmanager
def _display() -> Iterator[Any]:
    """The display of this process: the first bar opens it and closes it; those inside are lines of it."""
    if _State.display is not None:
        yield _State.display
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), *_columns(), TimeRemainingColumn())
    with ExitStack() as opened:
        with _DRAWN:
            # What goes into a file must not be caught and drawn above the bar.
            caught = bool(getattr(sys.stdout, "isatty", lambda: False)())
            shown = Progress(
                *columns, console=Console(stderr=True), transient=True, redirect_stdout=caught, expand=False
            )
            _State.display = opened.enter_context(shown)
        try:
            yield _State.display
        finally:
            _State.display = None


def _columns() -> tuple[Any, ...]:
    """The bar, the count and the rate."""
    from rich.progress import BarColumn, ProgressColumn, Task
    from rich.text import Text

    class Count(ProgressColumn):
        def render(self, task: Task) -> Text:
            unit = task.fields.get("unit", "")
            if task.total is None and not task.completed:
                return Text("")  # nothing can be counted
            total = "" if task.total is None else f"/{_number(task.total, unit)}"
            return Text(f"{_number(task.completed, unit)}{total}", style="progress.download")

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            said = rate(task.speed, task.fields.get("unit", "")) if task.completed else f"{task.elapsed or 0:.0f} s"
            return Text(said, style="progress.data.speed")

    return BarColumn(), Count(), Rate()


def rate(speed: float | None, unit: str = "") -> str:
    """Steps a second; slow ones as seconds a step.

    Examples
    --------
    >>> rate(12.34), rate(0.25), rate(None), rate(2.5e6, "bytes")
    ('12.3/s', '4.0 s each', '', '2.5 MB/s')
    """
    if not speed:
        return ""
    if unit == "bytes":
        return f"{_number(speed, unit)}/s"
    return f"{speed:,.1f}/s" if speed >= 1 else f"{1 / speed:,.1f} s each"


def _number(value: float, unit: str) -> str:
    if unit == "bytes":
        for name, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
            if value >= size:
                return f"{value / size:,.1f} {name}"
    return f"{value:,.0f}"
