"""``galenic data list`` and ``galenic data fetch NAME``: public data under their licences."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from galenic.cli.voice import voice

if TYPE_CHECKING:
    from galenic.data.fetch.catalogue import DataSet

UNSEEN = "no maintainer has seen it answer yet"
LARGE = 1e8
"""Bytes of a file beside which tables of genes and drugs are small."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where files are looked for.

    Parameters
    ----------
    cache
        Folder in which they are kept.
    offline
        Only there.
    mirrors
        Addresses that hold copies.
    catalogue
        The table of addresses.
    """

    cache: str | None = None
    offline: bool = False
    mirrors: tuple[str, ...] = ()
    catalogue: str | None = None


def show(*, as_json: bool, verbose: bool, catalogue: str | None) -> None:
    """Print what can be fetched, one row for cohorts that are alike."""
    from rich.table import Table

    from galenic.data.fetch.catalogue import read_catalogue

    sets = read_catalogue(catalogue)
    if as_json:
        plain = [_plain(data) for data in sets.values()]
        # In a document of the command line the list is one entry of it.
        voice().give("" if voice().as_json else json.dumps(plain, indent=1, ensure_ascii=False), sets=plain)
        return
    table = Table(show_lines=True)
    for column in ("name", "what", "size", "licence", "citation"):
        table.add_column(column, overflow="fold")
    families: set[str] = set()
    for data in sets.values():
        if data.family not in families or not data.family:
            table.add_row(*_row(data, sum(one.family == data.family for one in sets.values())))
        families.add(data.family)
    voice().screen(width=None if sys.stdout.isatty() else 160).print(table)
    if verbose:
        voice().give("\n".join(line for data in sets.values() for line in _files(data)))
    typer.echo(
        f"{_unseen(sets.values())}\nFetch one with 'galenic data fetch NAME'; with --convert as other commands take it."
    )


def _row(data: DataSet, n_alike: int) -> list[str]:
    name, title = data.name, data.title
    if data.family:
        code = data.name.removeprefix(data.family.partition("{")[0])
        name, title = data.family.replace("{cohort}", "COHORT"), title.replace(code.upper(), "COHORT")
        name += f"\n({n_alike} cohorts, such as {data.name})"
    licence = data.licence.name + ("\n(must be accepted)" if data.licence.accept else "")
    return [name, f"{title}: {data.holds}; {data.version}", size_in_words(data), licence, data.citation]


def size_in_words(data: DataSet) -> str:
    """Size of all files, as far as it is known.

    Examples
    --------
    >>> from galenic.data.fetch.catalogue import read_catalogue
    >>> sets = read_catalogue()
    >>> size_in_words(sets["kang"]), size_in_words(sets["prism-secondary"]), size_in_words(sets["tcga-brca"])
    ('38.4 MB', 'about 252.0 MB', 'not stated')
    >>> size_in_words(sets["repurposing-hub"])
    'over 662.0 kB (1 of 2 files not stated)'
    """
    if data.unsized == len(data.files):
        return "not stated"
    # Beside a matrix the size of small tables does not count.
    if data.unsized and not any(file.size > LARGE for file in data.files):
        return f"over {_bytes(data.size)} ({data.unsized} of {len(data.files)} files not stated)"
    return f"{'about ' if any(file.about_bytes for file in data.files) else ''}{_bytes(data.size)}"


def _bytes(n: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= size:
            return f"{n / size:,.1f} {unit}"
    return f"{n} bytes"


def _files(data: DataSet) -> list[str]:
    lines = [f"\n{data.name}", *([f"  {data.note}"] if data.note else [])]
    lines += [f"  https://doi.org/{one}" for one in data.doi]
    for file in data.files:
        size = _bytes(file.size) if file.size else "size not stated"
        kinds = [one.partition(":")[0] for one in file.hashes] + (["sha512 in " + file.sums] if file.sums else [])
        seen = f"seen to answer on {file.seen}" if file.seen else UNSEEN
        lines.append(f"  {file.name} ({size}; hash: {', '.join(dict.fromkeys(kinds)) or 'none published'}; {seen})")
        lines += [f"    {url}" for url in file.urls] + ([f"    {file.note}"] if file.note else [])
    return lines


def _unseen(sets: Iterable[DataSet]) -> str:
    files = {file.name: file for data in sets for file in data.files}
    unseen = sum(not file.seen for file in files.values())
    return (
        f"The addresses of {unseen} of {len(files)} files were read in public code, and no maintainer has seen them "
        "answer yet; correct one that is dead with --catalogue (see docs/data.md)."
        if unseen
        else f"A maintainer has seen the addresses of all {len(files)} files answer."
    )


def _plain(data: DataSet) -> dict[str, Any]:
    return {**asdict(data), "size": data.size, "files_without_size": data.unsized}


def fetch(name: str, out: str | None, places: Places, *, accept_licence: bool, convert: bool) -> None:
    """Fetch a set and, to convert it, those that it needs; print the files and the next command."""
    from galenic.data.fetch.catalogue import find, read_catalogue

    sets = read_catalogue(places.catalogue)
    data = find(name, sets)
    target = Path(out or name)
    if (out or convert) and target.exists():
        raise FileExistsError(f"--out should name a new folder; {target} exists. Name another, or remove it.")
    wanted = [*(sets[needed] for needed in data.needs if convert), data]
    for one in wanted:
        typer.echo(_terms(one), err=True)
        _ask(one, places, accept_licence)
    try:
        found = {one.name: _files_by_role(one, places) for one in wanted}
    except KeyboardInterrupt as stopped:
        raise KeyboardInterrupt("stopped; the same command goes on where it was") from stopped
    if convert:
        _convert(data, found, target)
        return
    if out:
        _copy(list(found[name].values()), target)
    again = f"next: galenic data fetch {name} --convert --out {shlex.quote(name)}"
    typer.echo(again if data.house != "cells as they are" else _next(data, found[name]["h5ad"]))


def _ask(data: DataSet, places: Places, accepted: bool) -> None:
    """Refuse unless the licence is accepted: by flag, earlier, or now where somebody can be asked."""
    from galenic.data.fetch.fetch import cache_folder, is_accepted, require_licence

    folder = cache_folder(places.cache) / data.name
    if not (accepted or is_accepted(data, folder)) and _can_ask():
        accepted = typer.confirm(f"Do you accept the licence of {data.name}?", err=True)
    require_licence(data, folder, accepted)


def _can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _files_by_role(data: DataSet, places: Places) -> dict[str, Path]:
    """Fetch one set, whose licence is accepted."""
    from galenic.data.fetch.fetch import fetch as get
    from galenic.data.fetch.fetch import is_offline

    paths = get(
        data.name,
        cache=places.cache,
        accept_licence=True,
        offline=places.offline or is_offline(),
        mirrors=places.mirrors,
        catalogue=places.catalogue,
        progress=True,
    )
    voice().give("\n".join(map(str, paths)), files=[*voice().data.get("files", []), *map(str, paths)])
    return dict(zip([file.role for file in data.files], paths, strict=True))


def _terms(data: DataSet) -> str:
    """What one should know of data before they are fetched."""
    lines = [
        f"{data.name}: {data.title}, {data.version}; {size_in_words(data)}",
        f"  licence: {data.licence.name}",
        f"           {data.licence.url}",
        f"  cite:    {data.citation}; {', '.join('https://doi.org/' + one for one in data.doi)}",
    ]
    return "\n".join(lines + ([f"  {data.note}"] if data.note else []))


def _copy(paths: list[Path], target: Path) -> None:
    import shutil

    from galenic.work.atomic import written_folder

    with written_folder(target) as draft:
        for path in paths:
            shutil.copyfile(path, draft / path.name)
    typer.echo(f"copies: {target}")


def _convert(data: DataSet, found: dict[str, dict[str, Path]], target: Path) -> None:
    from galenic.data.fetch.house import to_house

    typer.echo(f"converting {data.name}", err=True)
    made = to_house(data, found, target)
    typer.echo(f"converted: {made}\n{_next(data, made)}")


def _next(data: DataSet, made: Path) -> str:
    return f"next: {data.then.format(out=shlex.quote(str(made)))}"
