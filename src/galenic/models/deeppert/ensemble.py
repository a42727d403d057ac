"""Many members, at the same time, kept as they finish: nothing is fitted twice, nothing is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from galenic.models.deeppert.member import Lesson, Member, Task, fit_member
from galenic.train import Where
from galenic.work.bar import progress_bar
from galenic.work.fan_out import fan_out
from galenic.work.kept import Kept

WHAT = "members of an ensemble"


def tasks(families: Sequence[str], sizes: Sequence[int], runs: int) -> list[Task]:
    """Every fit of an ensemble: families outermost, then sizes, then runs.

    Principal components have no seed, and those of a small size are among those of a large one: one fit of the largest.

    Examples
    --------
    >>> [task.name for task in tasks(["vae", "pca"], [2, 5], 2)]
    ['vae-2-0', 'vae-2-1', 'vae-5-0', 'vae-5-1', 'pca-5-0']
    """
    found = []
    for family in families:
        if family == "pca":
            found.append(Task(family, max(sizes), 0))
        else:
            found += [Task(family, size, run) for size in sizes for run in range(runs)]
    return found


def fit_all(
    wanted: Sequence[Task],
    lesson: Lesson,
    *,
    folder: str | Path | None = None,
    n_jobs: int = 1,
    device: str = "cpu",
    progress: bool = False,
) -> list[Member]:
    """Fit every task, or read it from ``folder`` where it is there; in the order of ``wanted``.

    Parameters
    ----------
    wanted
        What to fit.
    lesson
        What all learn from.
    folder
        Where each member is kept as soon as it is finished. More members than wanted may be there.
    n_jobs
        Fits at the same time.
    device
        Where networks are trained.
    progress
        Show a progress bar.

    Raises
    ------
    ValueError
        If the folder is of other profiles or other settings, or a file in it is damaged.
    RuntimeError
        If a member cannot be fitted; it is named, and those that are finished are kept.
    """
    kept = None if folder is None else Kept(folder, _settings(lesson), kinds=(Member, Task), what=WHAT)
    where, done = Where(device=device), {}
    jobs = {task.name: (task, lesson, where.of(kept, task.name)) for task in wanted}
    with progress_bar("members", len(wanted), show=progress or None) as advance:
        for name, member in fan_out(fit_member, jobs, n_jobs=n_jobs, kept=kept):
            done[name] = member
            advance(text=f"{name}: {member.loss:.4g}")
    return [done[task.name] for task in wanted]


def _settings(lesson: Lesson) -> dict[str, Any]:
    """All that decides what a member becomes."""
    plain = {name: value for name, value in vars(lesson).items() if name not in ("scores", "context", "unit")}
    return plain | {"training": asdict(lesson.training)}
