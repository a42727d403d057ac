"""Read many spoilt files: python tests/fuzz/nightly.py [--cases N] [--reader NAME] [--seconds S] [--seed N].

Each reader runs in a process of its own with little memory; each case has a few seconds. What breaks the law is kept,
with the numbers that make it again, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOM = 12 << 30
"""Bytes of addresses of a process; its libraries take half of it."""
SHOWN = 5


def run(name: str, cases: int, seconds: float, seed: int, kept: Path) -> dict[str, object]:
    """Cases of one reader, in this process."""
    from hostile import registry
    from hostile.law import CrashError, outcome

    target, rng = registry.target(name), random.Random(seed)
    resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))
    counts, crashes = {"read": 0, "refused": 0, "crash": 0}, {}
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=place) as folder:
        number = 0
        while number < cases and time.perf_counter() - began < seconds:
            path = target.drawn(Path(folder), rng)
            number += 1
            try:
                counts[outcome(target.read, path)] += 1
            except CrashError as error:
                counts["crash"] += 1
                where = str(error).partition(": ")[0]
                if where not in crashes:
                    crashes[where] = {"case": number, "seed": seed, "said": str(error)}
                    copy = kept / f"{name.replace(' ', '-')}-{seed}-{number}"
                    (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
    spent = time.perf_counter() - began
    return {
        "reader": name,
        "cases": number,
        **counts,
        "per_s": round(number / spent),
        "crashes": list(crashes.values()),
    }


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
    asked = parser.parse_args()
    if asked.here:
        print(json.dumps(run(asked.reader, asked.cases, asked.seconds, asked.seed, asked.kept)), flush=True)
        return 0
    from hostile import registry

    asked.kept.mkdir(parents=True, exist_ok=True)
    broken = 0
    print(f"{'reader':22}{'cases':>9}{'read':>9}{'refused':>9}{'crashes':>9}{'cases/s':>9}", flush=True)
    for name in [asked.reader] if asked.reader else registry.NAMES:
        how = ["--reader", name, "--cases", asked.cases, "--seconds", asked.seconds, "--seed", asked.seed]
        command = [sys.executable, "-W", "ignore", __file__, *map(str, how), "--kept", str(asked.kept), "--here"]
        try:
            # A hang inside a library cannot be stopped from inside.
            shown = subprocess.run(command, capture_output=True, text=True, timeout=asked.seconds + 600)
            found = json.loads(shown.stdout.splitlines()[-1]) if shown.returncode == 0 else None
            how_ended = f"ended with {shown.returncode}: {shown.stderr[-500:]}"
        except subprocess.TimeoutExpired:
            found, how_ended = None, "hangs"
        if found is None:
            broken += 1
            print(f"{name:22} {how_ended}", flush=True)
            continue
        numbers = "".join(f"{found[key]:>9,}" for key in ("cases", "read", "refused", "crash", "per_s"))
        print(f"{name:22}{numbers}", flush=True)
        broken += found["crash"]
        for crash in found["crashes"][:SHOWN]:
            print(f"    case {crash['case']:,} of seed {crash['seed']}: {crash['said'][:300]}", flush=True)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
