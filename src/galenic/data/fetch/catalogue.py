"""The table of public data sets: ``catalogue.toml``, read strictly."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from galenic.work.near import did_you_mean

SHIPPED = Path(__file__).with_name("catalogue.toml")
VARIABLE = "GALENIC_CATALOGUE"
"""Environment variable that names another table of addresses."""
HOUSES = (
    "gdsc responses",
    "prism responses",
    "prism primary responses",
    "expression",
    "depmap expression",
    "gdsc events",
    "cells",
    "profiles",
    "drugs",
    "patients",
    "cells as they are",
)
"""How files become galenic's own format; each is a function of :mod:`galenic.data.fetch.house`."""
DIGITS = {"md5": 32, "sha256": 64, "sha512": 128}
"""Digits of a hash, by its kind."""
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
"""A name that cannot leave its folder, and that every file system takes."""
COHORT = "{cohort}"


@dataclass(frozen=True, kw_only=True)
class Licence:
    """What data may be used for.

    Parameters
    ----------
    name
        In words.
    url
        Where it is written.
    accept
        Whether it must be accepted before the data are fetched.
    """

    name: str
    url: str
    accept: bool


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file of a set.

    Parameters
    ----------
    name
        What it is called here.
    role
        What it is to the converter.
    urls
        Addresses, in the order in which they are tried.
    bytes
        Its size; 0 where it is not known.
    about_bytes
        A rounded size, where only that is known.
    hashes
        ``"sha256:..."``, ``"md5:..."``; the file must have one of them. Empty where none is public.
    sums
        Name of the file of the same set that lists SHA-512 sums.
    seen
        The day on which a maintainer last saw every address answer (``2026-11-25``); empty where nobody has.
    note
        What one should know.
    """

    name: str
    role: str
    urls: tuple[str, ...]
    bytes: int = 0
    about_bytes: int = 0
    hashes: tuple[str, ...] = ()
    sums: str = ""
    seen: str = ""
    note: str = ""

    @property
    def size(self) -> int:
        """Bytes as far as they are known; 0 where they are not."""
        return self.bytes or self.about_bytes


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A public data set.

    Parameters
    ----------
    name
        What the user types.
    title, holds, organism, version, note
        In words.
    licence
        Of the data.
    citation
        Author, journal, year.
    doi
        Of what is cited.
    house
        How it becomes galenic's format, one of :data:`HOUSES`.
    files
        In the order in which they are fetched.
    needs
        Sets that the converter reads too.
    then
        The next command; ``{out}`` is what was converted.
    family
        The name with ``{cohort}`` for cohort, where it is one of several alike.
    """

    name: str
    title: str
    holds: str
    organism: str
    version: str
    licence: Licence
    citation: str
    doi: tuple[str, ...]
    house: str
    files: tuple[RemoteFile, ...]
    then: str
    needs: tuple[str, ...] = ()
    note: str = ""
    family: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files, as far as they are known."""
        return sum(file.size for file in self.files)

    @property
    def unsized(self) -> int:
        """Files whose size is not known."""
        return sum(not file.size for file in self.files)


def read_catalogue(path: str | Path | None = None) -> dict[str, DataSet]:
    """The data sets by name.

    Parameters
    ----------
    path
        Another table of the same form; that of ``GALENIC_CATALOGUE`` or the one that came with galenic where absent.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no TOML, an entry lacks or misspells a key, a name could leave its folder, an address is neither https
        nor http, or a hash is none.

    Examples
    --------
    >>> sets = read_catalogue()
    >>> sets["kang"].files[0].name, sets["kang"].licence.accept
    ('kang_2018.h5ad', False)
    """
    path = Path(path or os.environ.get(VARIABLE) or SHIPPED)
    if not path.is_file():
        raise FileNotFoundError(
            f"a table of public data sets should be a file; {path} is none. Correct --catalogue or {VARIABLE}."
        )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} should be TOML; it is not ({error}). Correct that line.") from error
    _require_keys(table, ("licences", "sets"), ("licences", "sets"), path.name)
    licences = {name: _made(Licence, values, f"licence {name!r}") for name, values in table["licences"].items()}
    sets = {}
    for name, values in table["sets"].items():
        for one in _cohorts(name, values):
            made = _data_set(one, licences)
            sets[made.name] = made
    for data in sets.values():
        for needed in data.needs:
            find(needed, sets)
    return sets


def find(name: str, sets: Mapping[str, DataSet]) -> DataSet:
    """The set of that name.

    Parameters
    ----------
    name
        Of a data set, as the catalogue writes it.
    sets
        The catalogue, by name.

    Raises
    ------
    ValueError
        If there is none; says which is nearest.

    Examples
    --------
    >>> find("kangg", read_catalogue())
    Traceback (most recent call last):
        ...
    ValueError: a public data set should be one of those that 'galenic data list' shows; received 'kangg'. Did you ...
    """
    if name in sets:
        return sets[name]
    remedy = did_you_mean(name, sets, "Choose one of these.")
    raise ValueError(
        f"a public data set should be one of those that 'galenic data list' shows; received {name!r}. {remedy}"
    )


def _cohorts(name: str, values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The entry, or one for each cohort, with its code in place of ``{cohort}``."""
    if "cohorts" not in values:
        yield {"name": name, **values}
        return
    rest = {key: value for key, value in values.items() if key != "cohorts"}
    for code in values["cohorts"]:
        yield {"name": name.replace(COHORT, code), **_filled(rest, code.upper()), "family": name}


def _filled(value: Any, code: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, code) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, code) for item in value]
    return value.replace(COHORT, code) if isinstance(value, str) else value


def _data_set(values: dict[str, Any], licences: Mapping[str, Licence]) -> DataSet:
    what = f"set {values['name']!r}"
    licence = str(values.get("licence"))
    if licence not in licences:
        raise ValueError(f"{what} should have a licence, one of {', '.join(licences)}; it has {licence!r}. Add it.")
    raw = values.get("files") or []
    files = tuple(_file(one, f"{what}, file {i + 1}") for i, one in enumerate(raw))
    data = _made(DataSet, {**values, "licence": licences[licence], "files": files}, what)
    names = [file.name for file in data.files]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{what} should have files with different names; it has {names}. Correct them.")
    if not PLAIN_NAME.fullmatch(data.name) or data.house not in HOUSES:
        raise ValueError(
            f"a set should have a plain name and be converted by one of {', '.join(HOUSES)}; {what} has "
            f"{data.house!r}. Correct it."
        )
    unknown = sorted({file.sums for file in data.files if file.sums} - set(names))
    if unknown:
        raise ValueError(f"the sums of {what} should be one of its files; {unknown[0]!r} is none. Add it.")
    return data


def _file(values: dict[str, Any], what: str) -> RemoteFile:
    file = _made(RemoteFile, values, what)
    if not PLAIN_NAME.fullmatch(file.name):
        raise ValueError(
            f"the name of {what} should be letters, digits, '.', '_', '+' and '-', so that it stays in its folder; it "
            f"is {file.name!r}. Correct it."
        )
    if not file.urls:
        raise ValueError(f"{what} should have an address; it has none. Add it to urls.")
    for url in file.urls:
        require_web(url, what)
    for one in file.hashes:
        kind, _, digits = one.partition(":")
        if not re.fullmatch(r"[0-9a-f]+", digits) or len(digits) != DIGITS.get(kind):
            raise ValueError(
                f"a hash of {what} should be sha256:, sha512: or md5: and its digits; it is {one!r}. Correct it."
            )
    return file


def require_web(url: str, what: str) -> str:
    """Return the address if it is one of http or https; raise ``ValueError`` otherwise."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"the address of {what} should start with https:// or http://; it is {url!r}. Correct the table."
        )
    return url


def _made(cls: type[Any], values: Mapping[str, Any], what: str) -> Any:
    """An instance of a dataclass of this module, if the keys and their types are its own."""
    known = {one.name: one for one in fields(cls)}
    required = tuple(name for name, one in known.items() if one.default is MISSING)
    _require_keys(values, tuple(known), required, what)
    made = {}
    for key, value in values.items():
        kind = str(known[key].type)
        if kind.startswith("tuple[str") and isinstance(value, list):
            value = tuple(value)
        plain = {"str": str, "int": int, "bool": bool, "Licence": Licence}.get(kind, tuple)
        if not isinstance(value, plain) or (plain is int and isinstance(value, bool)):
            raise ValueError(f"{key} of {what} should be {kind}; it is {value!r}. Correct the table.")
        made[key] = value
    return cls(**made)


def _require_keys(values: Mapping[str, Any], known: tuple[str, ...], required: tuple[str, ...], what: str) -> None:
    unknown = [key for key in values if key not in known]
    if unknown:
        hint = did_you_mean(unknown[0], known, "Remove it.")
        raise ValueError(f"{what} should have the keys {', '.join(known)}; it has {unknown[0]!r}. {hint}")
    missing = [key for key in required if key not in values]
    if missing:
        raise ValueError(f"{what} should have the keys {', '.join(required)}; it lacks {', '.join(missing)}. Add them.")
