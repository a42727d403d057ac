"""What a command said, as one JSON document."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galenic.cli.voice import Voice

if TYPE_CHECKING:
    from galenic.report.run import Run

STATES = {0: "done", 1: "failed", 2: "refused", 130: "stopped", 143: "stopped"}
"""What an exit code means."""
FIRST = 10
"""Rows of a table that are shown; the file has all of them."""
LARGEST = 1 << 22
"""Bytes of a table that is looked into."""
LONG = ("history", "coverage", "metrics")
"""Tables that are not shown row by row: scores are told as means, the others are long and no answers."""


def document(spoken: Voice, verb: str, words: Sequence[str], code: int) -> dict[str, Any]:
    """The document of a command that has ended.

    Parameters
    ----------
    spoken
        With what it said, warned of and gave as data.
    verb
        ``"fit ridge"``.
    words
        The command, without its flags of voice.
    code
        Its exit code.

    Examples
    --------
    >>> told = document(Voice(error="one kind is expected; received two. Name one."), "search query", [], 2)
    >>> told["state"], told["error"]["received"], told["error"]["remedy"]
    ('refused', 'two', 'Name one.')
    """
    from galenic.version import __version__

    told: dict[str, Any] = {
        "galenic": __version__,
        "verb": verb,
        "exit_code": code,
        "state": STATES.get(code, "failed"),
        "out": _out(words),
        **spoken.data,
    }
    if spoken.run is not None:
        told |= _of_run(spoken.run)
    said = [line.rstrip() for line in spoken.said.getvalue().splitlines()]
    told |= {"said": [line for line in said if line], "warnings": spoken.warnings}
    if code:
        told["error"] = parts_of(spoken.error or f"ended with exit code {code}")
    return told


def write(told: dict[str, Any], spoken: Voice) -> None:
    """Put it on the standard output."""
    # NaN is no JSON, and numbers of numpy are no numbers of Python.
    out = spoken.out or sys.stdout
    try:
        print(json.dumps(_plain(told), indent=1 if out.isatty() else None, ensure_ascii=False), file=out, flush=True)
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def parts_of(message: str) -> dict[str, str]:
    """An error in its parts, as far as it has them: what is expected, what was received, what to do.

    Examples
    --------
    >>> told = parts_of("n_folds should be at least 2; received 1. Raise it.")
    >>> told["expected"], told["received"], told["remedy"]
    ('n_folds should be at least 2', '1', 'Raise it.')
    >>> parts_of("cell should be one of two; received 'a594'; did you mean 'A549'?")["remedy"]
    "did you mean 'A549'?"
    >>> parts_of("No such option: --x. Did you mean '--y'?")["remedy"]
    "Did you mean '--y'?"
    """
    told = {"message": message}
    expected, semicolon, rest = message.partition("; ")
    found = re.search(r"\.\s+(?=[A-Z])|; (?=did you mean)", rest or message)  # where the sentence ends
    if found:
        told["remedy"] = (rest or message)[found.end() :]
    if semicolon:
        received = rest[: found.start()] if found else rest
        told |= {"expected": expected, "received": received.removeprefix("received ").rstrip(".")}
    return told


def _out(words: Sequence[str]) -> str | None:
    """What ``--out`` names."""
    for number, word in enumerate(words):
        if word == "--out":
            return words[number + 1] if number + 1 < len(words) else None
        if word.startswith("--out="):
            return word.partition("=")[2]
    return None


def _of_run(run: Run) -> dict[str, Any]:
    """The run folder: its state, its scores as means over folds and seeds, its answers, and the heads of its tables."""
    from galenic.report.run import REPORT
    from galenic.report.sections import answers

    record = run.record
    told: dict[str, Any] = {"out": str(run.folder)}
    kept = ("title", "data", "seed", "started", "finished", "seconds", "peak_memory_mb", "outputs")
    told |= {name: record[name] for name in kept if name in record}
    told |= {"report": str(run.folder / REPORT)} if (run.folder / REPORT).is_file() else {}
    with suppress(ValueError, KeyError, OSError):  # a run that was stopped may have half of what its page shows
        told["scores"] = _scores(run)
        told["answers"] = [said for _, said in answers(run)]
    tables = {name: _head(run, name) for name in record["outputs"] if name.endswith((".csv", ".parquet"))}
    return told | {"tables": {Path(name).stem: head for name, head in tables.items() if head is not None}}


def _scores(run: Run) -> dict[str, Any] | None:
    metrics = run.table("metrics")
    if metrics is None:
        return None
    keys = ["split", "model", "group", "metric"]
    means = metrics.groupby(keys, sort=False, dropna=False).agg(value=("value", "mean"), n=("n", "mean"))
    floors = run.record["fields"].get("floors") or ()
    table = means.reset_index().assign(is_floor=lambda table: table["model"].isin(floors))
    return {"columns": list(table), "rows": table.astype(object).to_numpy().tolist()}


def _head(run: Run, name: str) -> dict[str, Any] | None:
    """Columns, number of rows and first rows of a table of the run."""
    import pandas as pd

    path = run.folder / name
    if "/" in name or not path.is_file() or path.stat().st_size > LARGEST:
        return {"file": name} if path.is_file() else None
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, float_precision="round_trip")
    except (ValueError, OSError):
        return {"file": name}
    about = {"file": name, "n_rows": len(table), "columns": list(map(str, table.columns))}
    shown = [] if path.stem in LONG else table.head(FIRST).astype(object).to_numpy().tolist()
    return about | {"first": shown}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist") and not isinstance(value, str):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    return value if value is None or isinstance(value, str | int) else str(value)


def steps(spoken: Voice) -> list[str]:
    """What ``--verbose`` says at the end: seconds of each step, where files are, and how long it took."""
    import time

    lines = []
    if spoken.run is not None:
        record = spoken.run.record
        lines += [f"{seconds:9.2f} s  {name}" for name, seconds in record.get("seconds", {}).items()]
        files = [spoken.run.folder / name for name in record.get("outputs", ())]
        lines += [f"wrote {file} ({file.stat().st_size:,} bytes)" for file in files if file.is_file()]
        if record.get("peak_memory_mb"):
            lines.append(f"at most {record['peak_memory_mb']:,.0f} MB of memory")
    return [*lines, f"{time.perf_counter() - spoken.began:9.2f} s  in all"]


def about() -> str:
    """What ``--verbose`` says first: versions and threads; nothing is imported for it."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from galenic.version import __version__

    known = []
    for name in ("numpy", "pandas", "scipy", "scikit-learn", "anndata", "torch"):
        with suppress(PackageNotFoundError):
            known.append(f"{name} {version(name)}")
    threads = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name in os.environ}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    said = ", ".join(f"{name}={value}" for name, value in threads.items()) or "threads as the libraries choose"
    return (
        f"galenic {__version__}, Python {platform.python_version()}, {', '.join(known)}\n"
        f"{cores} cores, {said}; in {os.getcwd()}, {sys.executable}"
    )
