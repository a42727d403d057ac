"""Where ``galenic fit`` keeps what a fit has done so far, until the model is saved."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from galenic.report.run import Run

UNFINISHED = "unfinished"


@contextmanager
def unfinished(run: Run, *, resume: bool) -> Iterator[Path]:
    """A folder of the run for ``fit(checkpoint=...)``; it leaves when the block ends well, with the model saved.

    Parameters
    ----------
    run
        The run that is being written.
    resume
        Go on from what is there; otherwise it is deleted first.
    """
    from galenic.work.kept import MANIFEST

    place = run.folder / UNFINISHED
    if not resume:
        shutil.rmtree(place, ignore_errors=True)
    try:
        yield place
    except Exception:
        if place.is_dir() and {file.name for file in place.rglob("*") if file.is_file()} <= {MANIFEST}:
            shutil.rmtree(place, ignore_errors=True)  # nothing was finished
        raise
    shutil.rmtree(place, ignore_errors=True)
