"""Why a piece of work ended: what a user gave was refused, there is no room, or something of ours broke."""

from __future__ import annotations

import dis
import errno
from pathlib import Path
from types import TracebackType
from typing import Literal

from galenic.work.atomic import NoRoomError, causes, is_full

OURS = Path(__file__).parents[1]
ZARR = frozenset({"zarr", "numcodecs"})
RAISE = dis.opmap["RAISE_VARARGS"]


def is_ours(error: BaseException) -> bool:
    """Whether our own code raised an error, in our form: its words are for the user already.

    Examples
    --------
    >>> is_ours(ValueError("one is expected; received two. Leave one out."))  # that was raised nowhere
    False
    """
    trace = _last(error)
    in_parts = ";" in str(error) and str(error).rstrip().endswith((".", "?"))
    return in_parts and trace is not None and OURS in Path(trace.tb_frame.f_code.co_filename).parents


def why(error: BaseException) -> tuple[Literal["refused", "full", "failed"], str]:
    """Sort an error, and say it in words.

    Parameters
    ----------
    error
        As it was caught.

    Returns
    -------
    tuple
        ``"refused"``: what was given, or a file or place, is to be corrected by the user; ``"full"``: a disk is;
        ``"failed"``: something broke. And a sentence: our own refusals as they are; of what broke, the error itself.

    Examples
    --------
    >>> why(PermissionError(13, "Permission denied", "results"))[1].split(". ")[0]
    'a place that may be read and written is expected; results may not be (Permission denied)'
    >>> why(OSError(28, "No space left on device"))[0], why(KeyError("gene"))
    ('full', ('failed', "KeyError: 'gene'"))
    """
    if is_full(error):
        told = [one for one in causes(error) if isinstance(one, NoRoomError)]
        what = told[0] if told else f"writing needs room; the disk is full ({error}). Free some space and start again."
        return "full", str(what)
    if isinstance(error, RuntimeError):  # of jobs: the first of them that was refused says why
        error = next((one for one in causes(error) if isinstance(one, PermissionError) or _is_refusal(one)), error)
    if isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno == errno.EROFS):
        return "refused", (
            f"a place that may be read and written is expected; {error.filename or 'that place'} may not be "
            f"({error.strerror or error}). Choose another folder, or change its permissions."
        )
    if _is_refusal(error):
        return "refused", str(error)
    if isinstance(error, OSError) or _is_of_zarr(error):
        return "refused", f"a file that can be read is expected; {error}. Check that it is there and whole."
    return "failed", f"{type(error).__name__}: {error}"


def _is_refusal(error: BaseException) -> bool:
    """Whether a ``raise`` of our code ended it: what functions of C raise, called from there, are no words of ours."""
    trace = _last(error)
    if trace is None or not isinstance(error, (ValueError, TypeError, OSError)):
        return False
    code = trace.tb_frame.f_code
    return OURS in Path(code.co_filename).parents and code.co_code[trace.tb_lasti] == RAISE


def _is_of_zarr(error: BaseException) -> bool:
    """Whether a damaged part of a folder that stays on disk was met: its packers say so in errors of many kinds."""
    trace = _last(error)
    return trace is not None and not ZARR.isdisjoint(Path(trace.tb_frame.f_code.co_filename).parts)


def _last(error: BaseException) -> TracebackType | None:
    """Where it was raised."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return trace
