"""What a machine has of what galenic needs; nothing here imports what it looks at."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

EXTRAS = {
    "app": "the web app, 'galenic app'",
    "scale": "several devices or machines: --devices, --backend dask or ray",
    "fm": "loading Geneformer by transformers",
    "hpo": "search for hyperparameters",
    "sc": "scanpy and MuData beside galenic, and figures by matplotlib",
}
"""What the extras that users want are for; those of developers are not asked about."""
MODULES = {"scikit-learn": "sklearn"}
"""Names to import where they are not those of the distribution."""
LEAST = 1e9
"""Bytes of memory or disk below which work is likely to stop."""
LONGEST = 120
"""Seconds that importing may take."""
PROBE = """
import importlib, json, sys
for name in sys.argv[1:]:
    print(json.dumps({"begun": name}), flush=True)
    try:
        module, error = importlib.import_module(name), ""
    except BaseException as raised:
        error = f"{type(raised).__name__}: {str(raised).strip().splitlines()[0] if str(raised).strip() else ''}"
    print(json.dumps({"name": name, "error": error}), flush=True)
    if name == "torch" and not error:
        found = {"cuda": [], "mps": False, "threads": 0}
        try:
            found["threads"] = module.get_num_threads()
            found["mps"] = bool(module.backends.mps.is_available())
            found["cuda"] = [module.cuda.get_device_name(i) for i in range(module.cuda.device_count())]
        except Exception as raised:
            found["error"] = str(raised)
        print(json.dumps({"torch": found}), flush=True)
"""


@dataclass(frozen=True)
class Problem:
    """What is wrong and what to do; without the core part that is broken nothing can be computed."""

    what: str
    remedy: str
    is_core: bool = False


def requirements() -> dict[str, list[tuple[str, str]]]:
    """``(distribution, versions)`` that galenic says it needs, by extra; those of no extra are the core.

    Examples
    --------
    >>> "torch" in [name for name, _ in requirements()["core"]]
    True
    """
    found: dict[str, list[tuple[str, str]]] = {"core": []}
    try:
        said = metadata.requires("galenic") or []
    except metadata.PackageNotFoundError:
        return found
    for line in said:
        name, versions, marker = _read(line)
        if (python := re.search(r"python_version\s*<\s*['\"]([\d.]+)['\"]", marker)) and not _is_below(python[1]):
            continue
        extra = re.search(r"extra\s*==\s*['\"](\w+)['\"]", marker)
        if name != "galenic":
            found.setdefault(extra[1] if extra else "core", []).append((name, versions))
    return found


def _read(line: str) -> tuple[str, str, str]:
    """Name, versions and marker of a requirement.

    >>> _read("ray>=2.44; python_version < '3.14' and extra == 'scale'")
    ('ray', '>=2.44', "python_version < '3.14' and extra == 'scale'")
    """
    wanted, _, marker = line.partition(";")
    name = re.match(r"[\w.-]+", wanted.strip())
    return (name[0] if name else wanted.strip()), wanted.strip()[len(name[0]) if name else 0 :].strip(), marker.strip()


def _is_below(version: str) -> bool:
    return sys.version_info[:2] < tuple(int(part) for part in version.split(".")[:2])


def libraries(names: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """``name, installed, required, fits`` of distributions; ``installed`` is ``None`` where one is missing."""
    found = []
    for name, required in names:
        try:
            installed: str | None = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed = None
        fits = installed is not None and fits_in(installed, required)
        found.append({"name": name, "installed": installed, "required": required, "fits": fits})
    return found


def fits_in(version: str, required: str) -> bool:
    """Whether a version is one of those that are required.

    Examples
    --------
    >>> fits_in("2.6.1+cpu", "<3,>=2.6"), fits_in("1.9", ">=1.10"), fits_in("3.0", "<3,>=2.6"), fits_in("1.0", "")
    (True, False, False, True)
    """
    own = _numbers(version)
    for one in filter(None, required.replace(" ", "").split(",")):
        found = re.match(r"(>=|<=|==|<|>|!=)(.*)", one)
        if found is None:
            continue
        other = _numbers(found[2])
        size = max(len(own), len(other))
        a, b = (numbers + (0,) * (size - len(numbers)) for numbers in (own, other))
        if not {">=": a >= b, "<=": a <= b, "==": a == b, "<": a < b, ">": a > b, "!=": a != b}[found[1]]:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def probes(names: list[str]) -> tuple[dict[str, str], dict[str, Any]]:
    """What each distribution says when it is imported (empty: nothing is wrong), and what torch finds.

    It is done in processes of their own, torch in one and the others in another at the same time: what crashes there
    is a line here.
    """
    modules = {MODULES.get(name, name): name for name in names}
    groups = [group for group in ([m for m in modules if m == "torch"], [m for m in modules if m != "torch"]) if group]
    told: dict[str, Any] = {}
    errors: dict[str, str] = {}
    begun = [_begun(group) for group in groups]
    for process in begun:
        try:
            shown, _ = process.communicate(timeout=LONGEST)
            end = f"the process that imported it ended with {process.returncode}"
        except subprocess.TimeoutExpired:
            process.kill()
            shown, end = process.communicate()[0], f"not imported after {LONGEST} s"
        open_one = ""
        for line in shown.splitlines():
            with suppress(ValueError):  # libraries may print too
                about = json.loads(line)
                if not isinstance(about, dict):
                    continue
                open_one = about.get("begun", open_one)
                if "name" in about:
                    errors[modules[about["name"]]], open_one = about["error"], ""
                told |= about.get("torch", {})
        if open_one:
            errors[modules[open_one]] = end
    return errors, told


def _begun(modules: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROBE, *modules],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def machine() -> dict[str, Any]:
    """Cores, memory and threads, with the limits that a container or a scheduler sets."""
    cores = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return {
        "platform": platform.platform(),
        "cores": cores,
        "cores_allowed": allowed,
        "cores_of_container": _quota(),
        "threads": {name: os.environ[name] for name in names if name in os.environ},
        "memory": _memory("MemTotal:"),
        "memory_left": _memory_left(),
        "memory_of_container": _number("/sys/fs/cgroup/memory.max"),
        "gpu_devices": sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*")),
    }


def _memory(name: str) -> int | None:
    with suppress(OSError, ValueError), open("/proc/meminfo", encoding="ascii") as lines:
        return next((1024 * int(line.split()[1]) for line in lines if line.startswith(name)), None)
    with suppress(AttributeError, ValueError, OSError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def _memory_left() -> int | None:
    try:
        from galenic.data.limits import memory_left
    except ImportError:  # numpy may be what is broken
        return _memory("MemAvailable:")
    return memory_left()


def _number(path: str) -> int | None:
    with suppress(OSError, ValueError):  # "max": no limit
        return int(Path(path).read_text(encoding="ascii"))
    return None


def _quota() -> float | None:
    """Cores that a container may use; ``None`` without a limit."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return int(quota) / int(period)
    return None


def places() -> list[dict[str, Any]]:
    """The folders that galenic writes to: where, room in bytes, whether they may be written."""
    from galenic.data.fetch.fetch import cache_folder

    try:
        cache: Path | None = cache_folder()
    except ImportError:  # pooch knows where
        cache = None
    named = {"cache of public data": cache, "temporary files": Path(tempfile.gettempdir()), "this folder": Path.cwd()}
    return [{"what": what, **_place(path)} for what, path in named.items() if path is not None]


def _place(path: Path) -> dict[str, Any]:
    there = next((one for one in (path, *path.parents) if one.is_dir()), Path("/"))
    about: dict[str, Any] = {"path": str(path), "free": shutil.disk_usage(there).free, "writable": False}
    with suppress(OSError), tempfile.TemporaryFile(dir=there):
        about["writable"] = True
    return about


def cached() -> dict[str, Any]:
    """What of the public data is in the cache: names and bytes."""
    from galenic.data.fetch.fetch import cache_folder

    with suppress(ImportError, OSError):
        folder = cache_folder()
        sets = sorted(path for path in folder.iterdir() if path.is_dir())
        size = sum(file.stat().st_size for one in sets for file in one.rglob("*") if file.is_file())
        return {"sets": [one.name for one in sets], "bytes": size}
    return {"sets": [], "bytes": 0}
