"""``galenic doctor``: whether everything that galenic needs is there and works, problems first."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

import typer

from galenic.cli.health import EXTRAS, LEAST, Problem


def command() -> Any:
    """The verb, for the command line."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.command()
    def doctor(
        quick: bool = typer.Option(False, "--quick", help="Only look what is installed; import nothing (under 1 s)."),
    ) -> None:
        """Say whether everything that galenic needs is there and works; what is wrong comes first, with its remedy.

        Exit code 0: all core parts work, whatever else is missing; 1: a core part is broken.
        """
        from galenic.cli.voice import voice

        found = examine(quick=quick)
        wrong = problems(found)
        told = [{"what": one.what, "remedy": one.remedy, "is_core": one.is_core} for one in wrong]
        voice().give("" if voice().as_json else page(found, wrong), problems=told, **found)
        broken = [one for one in wrong if one.is_core]
        if broken:
            voice().error = f"every core part should work; {'; '.join(one.what for one in broken)}. {broken[0].remedy}"
            raise typer.Exit(1)

    return typer.main.get_command(app)


def examine(*, quick: bool) -> dict[str, Any]:
    """Everything that was found, as data."""
    from galenic.cli import completing, health
    from galenic.version import __version__

    needed = health.requirements()
    core = health.libraries(needed["core"])
    there = [one["name"] for one in core if one["installed"]]
    errors, torch = ({}, {}) if quick else health.probes(there)
    extras = {name: health.libraries(needed.get(name, [])) for name in EXTRAS if name in needed}
    return {
        "versions": {"galenic": __version__, "python": platform.python_version(), "executable": sys.executable},
        "core": [{**one, "error": errors.get(one["name"], "")} for one in core],
        "imported": not quick,
        "extras": {
            name: {
                "for": EXTRAS[name],
                "missing": [one["name"] for one in parts if not one["fits"]],
                "libraries": parts,
                "install": f"pip install 'galenic[{name}]'",
            }
            for name, parts in extras.items()
        },
        "machine": health.machine(),
        "torch": torch,
        "places": health.places(),
        "cached": health.cached(),
        "completion": completing.installed(),
        "terminal": {
            "encoding": sys.__stdout__.encoding if sys.__stdout__ else None,
            "is_terminal": bool(sys.__stdout__ and sys.__stdout__.isatty()),
            "shell": os.environ.get("SHELL", ""),
        },
    }


def problems(found: dict[str, Any]) -> list[Problem]:
    """What is wrong, the core parts first."""
    wrong = []
    if not found["core"]:
        wrong.append(Problem("galenic is not installed, so what it needs is not known", "pip install galenic."))
    for one in found["core"]:
        name, wanted = one["name"], f"{one['name']}{one['required']}"
        if one["installed"] is None:
            wrong.append(Problem(f"{name} is not installed", f"pip install '{wanted}'", is_core=True))
        elif one["error"]:
            remedy = f"pip install --force-reinstall '{wanted}'"
            wrong.append(
                Problem(f"{name} {one['installed']} cannot be imported ({one['error']})", remedy, is_core=True)
            )
        elif not one["fits"]:
            wrong.append(Problem(f"{name} {one['installed']} is installed, {one['required']} is needed",
                                 f"pip install '{wanted}'"))  # fmt: skip
    return wrong + _of_machine(found["machine"], found["torch"]) + _of_places(found)


def _of_machine(machine: dict[str, Any], torch: dict[str, Any]) -> list[Problem]:
    wrong = []
    usable = min(machine["cores_allowed"], max(1, int(machine["cores_of_container"] or machine["cores_allowed"])))
    for name, text in machine["threads"].items():
        if not text.isdecimal() or int(text) > usable:
            what = f"{name}={text}, and this process may use {usable} cores: threads wait for each other"
            wrong.append(Problem(what, f"export {name}={usable}"))
    if torch.get("threads", 0) > usable:
        what = f"torch starts {torch['threads']} threads, and this process may use {usable} cores"
        wrong.append(Problem(what, f"export OMP_NUM_THREADS={usable}"))
    left = machine["memory_left"]
    if left is not None and left < LEAST:
        wrong.append(Problem(f"{size(left)} of memory are left", "End other programs, or ask for more."))
    if torch and machine["gpu_devices"] and not torch.get("cuda"):
        what = f"this machine has {len(machine['gpu_devices'])} GPUs, and torch sees none"
        wrong.append(Problem(what, "Install a torch with CUDA that fits the driver: see pytorch.org/get-started"))
    return wrong


def _of_places(found: dict[str, Any]) -> list[Problem]:
    wrong = []
    remedies = {
        "cache of public data": "Name another with GALENIC_CACHE.",
        "temporary files": "Name another with TMPDIR.",
    }
    for one in found["places"]:
        remedy, what = remedies.get(one["what"], "Work in another folder."), f"{one['path']} ({one['what']})"
        if not one["writable"]:
            wrong.append(Problem(f"{what} may not be written", remedy))
        elif one["free"] < LEAST:
            wrong.append(Problem(f"{what} has {size(one['free'])} left", f"Free some space. {remedy}"))
    encoding = found["terminal"]["encoding"] or ""
    if encoding.lower().replace("-", "") != "utf8":
        what = f"the terminal takes {encoding or 'an unknown encoding'}, so some signs will be lost"
        wrong.append(Problem(what, "export PYTHONUTF8=1"))
    return wrong


def page(found: dict[str, Any], wrong: list[Problem]) -> str:
    """All of it for people: what is wrong, then what there is."""
    core = [one for one in wrong if one.is_core]
    lines = [f"{'BROKEN' if one.is_core else 'problem'}: {one.what}\n    {one.remedy}" for one in wrong]
    said = "Nothing is wrong" if not wrong else "All core parts work" if not core else f"{len(core)} core parts broken"
    lines.append(f"{said}{'' if found['imported'] else ', as far as can be told without importing'}.")
    sections = {
        "Versions": _versions(found),
        "Extras": _extras(found["extras"]),
        "Devices": _devices(found["machine"], found["torch"]),
        "Threads": _threads(found["machine"], found["torch"]),
        "Memory": [_memory(found["machine"])],
        "Disk": _disk(found),
        "Shell": [
            f"completion: {', '.join(found['completion']) or 'not installed (galenic --install-completion)'}",
            f"encoding: {found['terminal']['encoding']}",
        ],
    }
    for title, rows in sections.items():
        lines += ["", title, *(f"  {row}" for row in rows)]
    return "\n".join(lines)


def _versions(found: dict[str, Any]) -> list[str]:
    told = found["versions"]
    rows = [f"{one['name']:<14} {one['installed'] or 'missing':<12} {one['required']}" for one in found["core"]]
    return [f"galenic {told['galenic']}, Python {told['python']} ({told['executable']})", *rows]


def _extras(extras: dict[str, Any]) -> list[str]:
    rows = []
    for name, about in extras.items():
        missing = f"missing: {', '.join(about['missing'])} ({about['install']})"
        rows.append(f"{f'[{name}]':<8} {about['for']}: {missing if about['missing'] else 'installed'}")
    return rows


def _devices(machine: dict[str, Any], torch: dict[str, Any]) -> list[str]:
    quota = machine["cores_of_container"]
    rows = [f"CPU: {machine['cores_allowed']} of {machine['cores']} cores may be used"]
    rows += [f"CPU: the container may use {quota:g} cores"] if quota else []
    rows += [f"CUDA: {', '.join(torch['cuda'])}"] if torch.get("cuda") else []
    rows += ["MPS: the GPU of this Mac"] if torch.get("mps") else []
    rows += ["GPU: none that torch can use"] if torch and not (torch.get("cuda") or torch.get("mps")) else []
    return rows


def _threads(machine: dict[str, Any], torch: dict[str, Any]) -> list[str]:
    rows = [f"{name}={value}" for name, value in machine["threads"].items()] or ["as the libraries choose"]
    return rows + ([f"torch: {torch['threads']}"] if torch.get("threads") else [])


def _memory(machine: dict[str, Any]) -> str:
    limit = machine["memory_of_container"]
    of = f" of {size(machine['memory'])}" + (f", the container may use {size(limit)}" if limit else "")
    return f"{size(machine['memory_left'])} left{of}"


def _disk(found: dict[str, Any]) -> list[str]:
    rows = [
        f"{one['what']:<21} {size(one['free']):>9} free{'' if one['writable'] else ', not writable'}  {one['path']}"
        for one in found["places"]
    ]
    sets = found["cached"]["sets"]
    return [*rows, f"in the cache: {', '.join(sets) or 'nothing yet'} ({size(found['cached']['bytes'])})"]


def size(n: float | None) -> str:
    """Bytes for people.

    Examples
    --------
    >>> size(2.5e9), size(3e6), size(None)
    ('2.5 GB', '3.0 MB', 'unknown')
    """
    if n is None:
        return "unknown"
    return f"{n / 1e9:,.1f} GB" if n >= 1e9 else f"{n / 1e6:,.1f} MB"
