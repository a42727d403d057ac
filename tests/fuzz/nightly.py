"""Read many spoilt files: python tests/fuzz/nightly.py [--cases N] [--reader NAME] [--seconds S] [--seed N].

Each reader runs in a process of its own with little memory; each case has a few seconds. What breaks the law is kept,
with the numbers that make it again, and the exit code is 1. Where a case ends the process itself, another goes on after
it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOM = 12 << 30
"""Bytes of addresses of a process; its libraries take half of it."""
SHOWN = 5
MOST_ENDED = 20


def run(name: str, cases: int, seconds: float, seed: int, kept: Path, after: int) -> dict[str, Any]:
    """Cases of one reader, in this process; those up to ``after`` are drawn and not read, and the last of them kept."""
    from hostile import registry
    from hostile.law import CrashError, outcome

    target, rng = registry.target(name), random.Random(seed)
    resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))
    counts, crashes = {"read": 0, "refused": 0, "crash": 0}, {}
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=place) as folder, at_file(kept, name).open("w") as at:
        number = 0
        while number < cases and time.perf_counter() - began < seconds:
            path = target.drawn(Path(folder), rng)
            number += 1
            if number <= after:
                if number == after:
                    keep(path, kept, name, seed, number)
                continue
            os.pwrite(at.fileno(), f"{number:9}".encode(), 0)
            try:
                counts[outcome(target.read, path)] += 1
            except CrashError as error:
                counts["crash"] += 1
                where = str(error).partition(": ")[0]
                if where not in crashes:
                    crashes[where] = {"case": number, "seed": seed, "said": str(error)}
                    keep(path, kept, name, seed, number)
    spent = time.perf_counter() - began
    return {"cases": number, **counts, "spent": spent, "crashes": list(crashes.values())}


def keep(path: Path, kept: Path, name: str, seed: int, number: int) -> None:
    """A copy of a case."""
    copy = kept / f"{name.replace(' ', '-')}-{seed}-{number}"
    if not copy.exists():
        (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)


def at_file(kept: Path, name: str) -> Path:
    """Says which case is being read."""
    return kept / f".{name.replace(' ', '-')}.at"


def watched(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Cases of one reader, in a process that is begun again after each case that ends it or lets it hang."""
    how = ["--reader", name, "--cases", asked.cases, "--seconds", asked.seconds, "--seed", asked.seed]
    command = [sys.executable, "-W", "ignore", __file__, *map(str, how), "--kept", str(asked.kept), "--here", "--after"]
    ended: list[dict[str, Any]] = []
    after = asked.after
    while True:
        try:
            # A hang inside a library cannot be stopped from inside.
            done = subprocess.run([*command, str(after)], capture_output=True, text=True, timeout=asked.seconds + 600)
            if done.returncode == 0:
                found = json.loads(done.stdout.splitlines()[-1])
                found["crash"] += len(ended)
                found["crashes"] = ended + found["crashes"]
                return found
            said = f"ended with {done.returncode}: {done.stderr[-500:]}"
        except subprocess.TimeoutExpired:
            said = "hangs"
        told = at_file(asked.kept, name).read_text() if at_file(asked.kept, name).exists() else ""
        before, after = after, int(told) if told else 0
        ended.append({"case": after, "seed": asked.seed, "said": said})
        if after <= before or len(ended) > MOST_ENDED:  # it ended before a case, or does so again and again
            return {"cases": after, "read": 0, "refused": 0, "crash": len(ended), "spent": 1.0, "crashes": ended}


def main() -> int:
    """Every reader or one; print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--reader")
    parser.add_argument("--seconds", type=float, default=36_000.0, help="at most, for each reader")
    parser.add_argument("--seed", type=int, default=0)
    place = Path(tempfile.gettempdir(), "galenic-fuzz-crashes")
    parser.add_argument("--kept", type=Path, default=place, help="folder for what breaks the law")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--after", type=int, default=0, help="leave the first cases out")
    asked = parser.parse_args()
    asked.kept.mkdir(parents=True, exist_ok=True)
    if asked.here:
        print(
            json.dumps(run(asked.reader, asked.cases, asked.seconds, asked.seed, asked.kept, asked.after)), flush=True
        )
        return 0
    from hostile import registry

    broken = 0
    print(f"{'reader':22}{'cases':>9}{'read':>9}{'refused':>9}{'crashes':>9}{'cases/s':>9}", flush=True)
    for name in [asked.reader] if asked.reader else registry.NAMES:
        found = watched(name, asked)
        numbers = "".join(f"{found[key]:>9,}" for key in ("cases", "read", "refused", "crash"))
        print(f"{name:22}{numbers}{found['cases'] / found['spent']:>9,.0f}", flush=True)
        broken += found["crash"]
        for crash in found["crashes"][:SHOWN]:
            print(f"    case {crash['case']:,} of seed {crash['seed']}: {crash['said'][:300]}", flush=True)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
