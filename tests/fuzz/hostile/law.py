"""The law: whatever a file holds, it is read, or refused in words with exit code 2. Everything else is a crash."""

from __future__ import annotations

import contextlib
import io
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import galenic
from galenic.cli.main import _explain
from galenic.work.ends import why

LONGEST, WAITED = 5, 60
"""Seconds of the processor that a reader may take for a small file, and seconds that it may wait."""


class CrashError(AssertionError):
    """A reader neither read nor refused."""


class HangError(BaseException):
    """A reader took too long; not an ``Exception``, so that no reader takes it for damage."""


def outcome(read: Callable[..., Any], *arguments: Any) -> str:
    """``"read"`` or ``"refused"``; raises :class:`CrashError` for all that breaks the law.

    Refused is what the command line says with exit code 2, in three parts: what is expected; what came. What to do.
    """
    try:
        with warnings.catch_warnings(), alarm():
            warnings.simplefilter("ignore")
            read(*arguments)
    except HangError as error:
        raise CrashError(f"a file of a few hundred bytes took more than {LONGEST} s") from error
    except Exception as error:
        require_refusal(error)
        return "refused"
    return "read"


def require_refusal(error: Exception) -> None:
    """Raise :class:`CrashError` unless the command line would refuse in words of ours."""
    said, place = why(error)[1], place_of(error)
    in_parts = ";" in said and said.rstrip().endswith((".", "?", "...", ")"))
    of_zarr = not {"numcodecs", "zarr"}.isdisjoint(Path(place).parts)
    if in_parts and (is_ours(error) or isinstance(error, PermissionError) or of_zarr):
        with contextlib.redirect_stderr(io.StringIO()):
            code = _explain(error)
        if code == 2:
            return
    raise CrashError(f"{type(error).__name__} at {place}: {str(error)[:300]}") from error


def is_ours(error: Exception) -> bool:
    """Whether our code refused: the rule of the command line, for errors of the system as well."""
    return str(Path(galenic.__file__).parent) in place_of(error)


def place_of(error: BaseException) -> str:
    """File and line that raised."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else "nowhere"


@contextlib.contextmanager
def alarm() -> Iterator[None]:
    """Stop what takes longer: by the time of the processor, because a machine may be busy with other work."""

    def stop(*_: object) -> None:
        raise HangError

    kinds = ((signal.SIGPROF, signal.ITIMER_PROF, LONGEST), (signal.SIGALRM, signal.ITIMER_REAL, WAITED))
    before = [signal.signal(number, stop) for number, _, _ in kinds]
    for _, timer, seconds in kinds:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for (number, timer, _), former in zip(kinds, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, former)
