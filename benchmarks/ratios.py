"""What a script of speed measured, kept as JSON: its lines, its ratios, and the machine and versions they are of.

    kept = Ratios("search_speed")
    kept.say("a line that is printed too")
    kept.ratio("WTCS of one query", 65.2, against="a loop over profiles")
    kept.keep(Path("runs/speed"))

benchmarks/speed_page.py reads the files, compares the ratios with the stored ones and writes the page. As a program it
keeps the lines of a script that only prints, without ratios:

    python benchmarks/ratios.py runs/speed benchmarks/engines.py --engines loky
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from contextlib import suppress
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from galenic.work.atomic import written

PACKAGES = ("numpy", "torch", "galenic")


class Ratios:
    """Lines and ratios of one script; each name once."""

    def __init__(self, script: str) -> None:
        self.script, self.busy = script, Busy()
        self.lines: list[str] = []
        self.ratios: dict[str, dict[str, Any]] = {}
        self.growth: dict[str, float] = {}
        self.tables: list[dict[str, Any]] = []

    def say(self, line: str) -> None:
        """Print a line and keep it."""
        print(line, flush=True)
        self.lines.append(line)

    def ratio(self, what: str, times: float, *, against: str, wall: bool = False) -> None:
        """How many times as fast (or as small) ``what`` is as what it is held ``against``; more is better.

        ``wall``: of seconds on the wall, which other work changes, in place of those of the processor.
        """
        self._require_new(f"{what}, against {against}")
        self.ratios[f"{what}, against {against}"] = {"what": what, "against": against, "times": float(times),
                                                     "wall": wall}  # fmt: skip

    def exponent(self, what: str, value: float) -> None:
        """Exponent with which ``what`` grows with the size; less is better."""
        self._require_new(what)
        self.growth[what] = float(value)

    def table(self, title: str, header: list[str], rows: list[list[str]]) -> None:
        """A table for the page."""
        self.tables.append({"title": title, "header": header, "rows": rows})

    def keep(self, folder: Path | None, others: float | None = None) -> None:
        """Write ``<folder>/<script>.json``; nothing without a folder. ``others``: how busy they were, where it is known
        better than from the processes that ended.
        """
        if folder is None:
            return
        others = self.busy.others() if others is None else others
        kept = {
            "script": self.script, "measured": date.today().isoformat(), "machine": machine(), "versions": versions(),
            "threads": threads(), "others": others, "lines": self.lines, "ratios": self.ratios,
            "growth": self.growth, "tables": self.tables,
        }  # fmt: skip
        with written(folder / f"{self.script}.json") as draft:
            draft.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")

    def _require_new(self, name: str) -> None:
        if name in self.ratios or name in self.growth:
            raise ValueError(f"figures of {self.script} need a name each; received {name!r} twice. Rename one.")


class Busy:
    """How much of the machine others use, from here on."""

    def __init__(self) -> None:
        self.before = self._now()

    def others(self) -> float | None:
        """Cores that others were busy with, on average; None where the system does not tell."""
        if self.before is None or (now := self._now()) is None:
            return None
        wall, every, own = (after - before for after, before in zip(now, self.before, strict=True))
        return round(max(0.0, every - own) / max(wall, 1e-9), 2)

    @staticmethod
    def _now() -> tuple[float, float, float] | None:
        """Wall seconds; busy seconds of all cores; those of this process and of the ended ones that it started."""
        told = Path("/proc/stat")
        if not told.is_file():
            return None
        user, nice, system, _, _, irq, softirq = map(int, told.read_text().split("\n", 1)[0].split()[1:8])
        every = (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), every, sum(os.times()[:4])


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, memory and system; what cannot be told is left out."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {"processor": platform.processor() or platform.machine(), "cores": cores,
             "system": f"{platform.system()} {platform.release()}"}  # fmt: skip
    told = Path("/proc/cpuinfo")
    if told.is_file():
        lines = dict(part for line in told.read_text().splitlines() if len(part := line.split(":", 1)) == 2)
        named = {name.strip(): value.strip() for name, value in lines.items()}
        codes = f"family {named.get('cpu family', '?')}, model {named.get('model', '?')}"
        found["processor"] = f"{named.get('model name', found['processor'])} ({codes})"
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found["memory GB"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    return found


def versions() -> dict[str, str]:
    """Of Python, the packages that matter, and the commit where there is one."""
    found = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    here = Path(__file__).parent
    asked = ["git", "-C", str(here), "describe", "--always", "--dirty", "--exclude", "*"]
    with suppress(OSError, subprocess.CalledProcessError):
        found["commit"] = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    return found


def threads() -> int | None:
    """That torch uses in this process, or that libraries were told to use; None where neither says."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return sys.modules["torch"].get_num_threads() if "torch" in sys.modules else int(told) if told.isdigit() else None


def main() -> None:
    """Run another script; show its lines and keep them."""
    folder, script, *arguments = sys.argv[1:]
    kept = Ratios(Path(script).stem)
    with subprocess.Popen([sys.executable, script, *arguments], stdout=subprocess.PIPE, text=True) as running:
        for line in running.stdout or ():
            kept.say(line.rstrip())
    if running.returncode:
        raise SystemExit(f"{script} ended with {running.returncode}; nothing is kept of it.")
    kept.keep(Path(folder))


if __name__ == "__main__":
    main()
