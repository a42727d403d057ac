"""Many members, at the same time, kept as they finish: nothing is fitted twice, nothing is left out."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from galenic.models.deeppert.member import Lesson, Member, Task, fit_member
from galenic.train.bar import progress_bar

MANIFEST = "ensemble.json"


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
    place = None if folder is None else _opened(Path(folder), lesson)
    done = {} if place is None else {task: member for task in wanted if (member := _read(place, task, lesson))}
    waiting = [task for task in wanted if task not in done]
    fits = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(
        joblib.delayed(_fit_one)(task, lesson, device, place) for task in waiting
    )
    with progress_bar(progress, len(wanted), len(done)) as advance:
        for member in fits:
            done[member.task] = member
            advance(f"{member.task.name}: {member.loss:.4g}")
    return [done[task] for task in wanted]


def _fit_one(task: Task, lesson: Lesson, device: str, place: Path | None) -> Member:
    try:
        member = fit_member(task, lesson, device)
    except Exception as error:
        kept = f"those that are finished are kept in {place}" if place else "no folder was given to keep the others in"
        raise RuntimeError(
            f"every member of the ensemble should be fitted; {task.name} (family, size, run) was not: {error} "
            f"Correct this and fit again; {kept}."
        ) from error
    if place is not None:
        _write(place / f"{task.name}.npz", member.arrays())
    return member


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write beside the place and move there whole, so that a crash leaves no half of a member."""
    number, draft = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as handle:
            np.savez(handle, **arrays)  # type: ignore[arg-type]
        os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _read(place: Path, task: Task, lesson: Lesson) -> Member | None:
    path = place / f"{task.name}.npz"
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            member = Member.of(task, {name: arrays[name] for name in arrays.files})
        if (len(member.layers[-1][1]), member.layers[0][0].shape[1]) != (task.size, lesson.scores.shape[1]):
            raise ValueError("it has other widths")
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"a kept member should be a file that an earlier fit wrote; {path} is not ({error}). Delete it: it will "
            "be fitted again."
        ) from error
    return member


def _opened(folder: Path, lesson: Lesson) -> Path:
    """The folder, made where it is not there, refused where it is of another ensemble."""
    now = json.loads(json.dumps(_settings(lesson)))
    if folder.is_file():
        raise ValueError(f"members are kept in a folder; {folder} is a file. Name a folder.")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MANIFEST
    if not path.exists():
        # A draft is what a process leaves that was killed while it wrote.
        if any(file.suffix != ".part" for file in folder.iterdir()):
            raise ValueError(f"members are kept in a folder of their own; {folder} holds other files. Name a new one.")
        draft = folder / f".{MANIFEST}.part"
        draft.write_text(json.dumps(now, indent=1), encoding="utf-8")
        os.replace(draft, path)
        return folder
    try:
        before = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path} should say what its members were fitted to; it cannot be read ({error}). Name a new folder."
        ) from error
    other = [name for name in now if before.get(name) != now[name]]
    if other:
        shown = "; ".join(f"{name} was {before.get(name)!r:.60}, now {now[name]!r:.60}" for name in other[:3])
        raise ValueError(
            f"members of one ensemble should have the same profiles and settings; those in {folder} differ: {shown}. "
            "Use the former ones to go on, or name a new folder."
        )
    return folder


def _settings(lesson: Lesson) -> dict[str, Any]:
    """All that decides what a member becomes."""
    plain = {name: value for name, value in vars(lesson).items() if name not in ("scores", "context", "unit")}
    return plain | {"training": asdict(lesson.training)}


def digest(*arrays: np.ndarray) -> str:
    """What tells numbers from others.

    Examples
    --------
    >>> digest(np.zeros(2)) == digest(np.zeros(2)), digest(np.zeros(2)) == digest(np.zeros((2, 1)))
    (True, False)
    """
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.shape} {array.dtype}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
