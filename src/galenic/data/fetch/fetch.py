"""Public data into a cache folder: whole, checked, once."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote

from galenic.data.fetch.catalogue import DataSet, RemoteFile, find, read_catalogue, require_web
from galenic.data.fetch.part import FetchError, Part, hash_file, is_one_of
from galenic.work.atomic import NoRoomError, written
from galenic.work.bar import progress_bar, watcher
from galenic.work.lock import Lock

if TYPE_CHECKING:
    from galenic.data.fetch.download import Resuming

CACHE, OFFLINE, MIRROR = "GALENIC_CACHE", "GALENIC_OFFLINE", "GALENIC_MIRROR"
"""Environment variables: the cache folder; 1 to use nothing but it; an address that holds copies as NAME/FILE."""
NOTE = "LICENCE.txt"
MOST_SUMS = 1 << 20
"""Bytes of a list of sums that are read."""
Watch: TypeAlias = Callable[[str, int, int], None]


def fetch(
    name: str,
    *,
    cache: str | Path | None = None,
    accept_licence: bool = False,
    offline: bool | None = None,
    mirrors: Sequence[str] = (),
    catalogue: str | Path | None = None,
    progress: bool | Watch = False,
) -> list[Path]:
    """Fetch the files of a public data set into a cache folder.

    What is there already, and is what it was, is not fetched again. An interrupted download goes on where it stopped.
    A file whose hash is published must have it; of any other the SHA-256 is noted beside it (``NAME.sha256``) the
    first time, and later downloads must have that one.

    Parameters
    ----------
    name
        As :func:`galenic.data.fetch.read_catalogue` lists it.
    cache
        The folder; each set has one of its own in it. Else that of ``GALENIC_CACHE``, else the user's cache folder.
    accept_licence
        You have read the licence of the data and accept it; needed once, where the licence asks for it.
    offline
        Fetch nothing: the files must be in the cache. Else if ``GALENIC_OFFLINE`` is 1.
    mirrors
        Addresses that hold copies as ``NAME/FILE``, tried before those of the catalogue. Else that of
        ``GALENIC_MIRROR``.
    catalogue
        Another table of addresses, see :func:`galenic.data.fetch.read_catalogue`.
    progress
        Show a bar, if standard error is a terminal; or a function that is called with the name of the file, the bytes
        that have arrived and the bytes in all (0 where nobody says).

    Returns
    -------
    list of Path
        The files, in the order of the catalogue.

    Raises
    ------
    ValueError
        If there is no such set, its licence is not accepted, or another process fetches it.
    OSError
        If no address gives a file (:class:`FetchError`), the disk is too small, or it is not in the cache and
        ``offline`` is set.

    Warns
    -----
    UserWarning
        If no hash of a file is published, or a file in the cache was no longer what it had been.

    Examples
    --------
    >>> fetch("kang", offline=True, cache="nowhere")
    Traceback (most recent call last):
        ...
    galenic.data.fetch.part.FetchError: offline, kang_2018.h5ad should be in nowhere/kang; it is not. ...
    """
    data = find(name, read_catalogue(catalogue))
    folder = cache_folder(cache) / data.name
    offline = is_offline() if offline is None else offline
    require_licence(data, folder, accept_licence)
    if offline:
        return [_cached(file, folder) for file in data.files]
    bases = [require_web(base, "a mirror") for base in mirrors or [os.environ.get(MIRROR, "")] if base]
    with Lock(folder):
        _sweep(folder)
        _require_room(data, folder)
        _note_licence(data, folder)
        with watched(progress) as watch:
            return [_file(file, data.name, folder, bases, watch) for file in data.files]


def cache_folder(cache: str | Path | None = None) -> Path:
    """Where public data lie: ``cache``, else the folder of ``GALENIC_CACHE``, else the user's cache folder."""
    if cache or os.environ.get(CACHE):
        return Path(cache or os.environ[CACHE]).expanduser()
    import pooch  # type: ignore[import-untyped]

    return Path(pooch.os_cache("galenic"))


def is_offline() -> bool:
    """Whether ``GALENIC_OFFLINE`` says that nothing is to be fetched."""
    return os.environ.get(OFFLINE, "").lower() in ("1", "true", "yes")


def is_accepted(data: DataSet, folder: Path) -> bool:
    """Whether the licence needs no acceptance, or was accepted when files were fetched into ``folder``."""
    if not data.licence.accept:
        return True
    try:
        return data.licence.name in (folder / NOTE).read_text(encoding="utf-8")
    except OSError:
        return False


def require_licence(data: DataSet, folder: Path, accepted: bool) -> None:
    """Raise ``ValueError`` unless the licence is accepted, now or earlier, or needs no acceptance."""
    if not accepted and not is_accepted(data, folder):
        raise ValueError(
            f"the licence of {data.name} should be accepted before it is fetched; it is not ({data.licence.name}: "
            f"{data.licence.url}). Read it, and say accept_licence=True (--accept-licence)."
        )


def _note_licence(data: DataSet, folder: Path) -> None:
    """Leave beside the files what they may be used for and how they are cited."""
    note = folder / NOTE
    if note.is_file() and data.licence.name in note.read_text(encoding="utf-8"):
        return
    lines = [
        f"{data.title}, {data.version}",
        f"Licence: {data.licence.name}",
        data.licence.url,
        f"Cite: {data.citation}",
        *(f"https://doi.org/{one}" for one in data.doi),
        *([f"Accepted by the user on {date.today().isoformat()}."] if data.licence.accept else []),
    ]
    with written(note) as draft:
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _require_room(data: DataSet, folder: Path) -> None:
    """Raise before anything is fetched if the files that are missing would not fit."""
    needed = sum(
        max(file.size - Part(folder / file.name).size, 0) for file in data.files if not (folder / file.name).exists()
    )
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise NoRoomError(
            f"{data.name} needs {needed / 1e9:,.1f} GB more in {folder}; {free / 1e9:,.1f} GB are free. Free some "
            f"space, or name another folder with cache= (--cache, {CACHE})."
        )


def _sweep(folder: Path) -> None:
    """Delete the empty files that pooch had made for downloads that were killed."""
    for path in folder.glob("tmp*"):
        if re.fullmatch(r"tmp\w{8}", path.name) and path.is_file() and not path.stat().st_size:
            path.unlink()


def _cached(file: RemoteFile, folder: Path) -> Path:
    """The file in the cache; raise where it is not there, or not what it was."""
    path = folder / file.name
    if not path.is_file():
        raise FetchError(
            f"offline, {file.name} should be in {folder}; it is not. Fetch it once on a machine with a network, and "
            f"copy the folder; or work without --offline and {OFFLINE}."
        )
    if not is_right(path, expected_hashes(file, folder)):
        raise FetchError(
            f"{path} should be the file that was fetched; it was changed or damaged since. Delete it, and fetch it "
            "again with a network."
        )
    return path


def is_right(path: Path, hashes: Sequence[str]) -> bool:
    """Whether a file has one of the hashes; any may be where none is known."""
    kinds = {one.partition(":")[0] for one in hashes}
    return is_one_of(hash_file(path, kinds), hashes) if hashes else path.stat().st_size > 0


def expected_hashes(file: RemoteFile, folder: Path) -> tuple[str, ...]:
    """The published hashes of a file, else the one that was noted when it was first fetched; empty where neither is."""
    return published_hashes(file, folder) or _noted(folder / file.name)


def published_hashes(file: RemoteFile, folder: Path) -> tuple[str, ...]:
    """Hashes by the catalogue, and by the list of sums that was published with the file and lies in ``folder``."""
    listed = folder / file.sums if file.sums else None
    if listed is None or not listed.is_file():
        return file.hashes
    opened = gzip.open if listed.read_bytes()[:2] == b"\x1f\x8b" else open
    with opened(listed, "rb") as stream:
        lines = stream.read(MOST_SUMS).decode("utf-8", errors="replace").splitlines()
    pairs = [line.split(maxsplit=1) for line in lines if len(line.split(maxsplit=1)) == 2]
    found = [digits.lower() for digits, name in pairs if name.strip().lstrip("*").rpartition("/")[2] == file.name]
    return (*file.hashes, *(f"sha512:{digits}" for digits in found if len(digits) == 128))


def _noted(path: Path) -> tuple[str, ...]:
    try:
        return (f"sha256:{_beside(path).read_text(encoding='utf-8').split()[0]}",)
    except (OSError, IndexError):
        return ()


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _file(file: RemoteFile, name: str, folder: Path, bases: Sequence[str], watch: Watch) -> Path:
    """One file, from the cache or the first address that gives it."""
    from galenic.data.fetch.download import Resuming

    path = folder / file.name
    hashes = expected_hashes(file, folder)
    if path.is_file():
        if is_right(path, hashes):
            if not hashes:  # somebody put it there
                _remember(path, hash_file(path, ["sha256"])["sha256"])
            return path
        warnings.warn(f"{path} was changed or damaged since it was fetched; it is fetched again.", stacklevel=4)
        path.unlink()
    copies = [f"{base.rstrip('/')}/{name}/{quote(file.name)}" for base in bases]
    downloader = Resuming(path, [*copies, *file.urls], hashes, watch=watch)
    _through_pooch(path, downloader)
    if not published_hashes(file, folder):
        _remember(path, downloader.digests["sha256"])
    return path


def _through_pooch(path: Path, downloader: Resuming) -> None:
    """Have pooch put the file in its place in the folder that it looks after."""
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("ERROR")  # it would say where a file goes, which is said here
    try:
        keeper = pooch.create(path=path.parent, base_url="", registry={path.name: None}, urls={path.name: "https://"})
        keeper.fetch(path.name, downloader=downloader)
    finally:
        logger.setLevel(level)


def _remember(path: Path, digits: str) -> None:
    """Note the hash of a file that has no published one."""
    if _noted(path):
        return  # it was compared with it
    with written(_beside(path)) as draft:
        draft.write_text(f"{digits}  {path.name}\n", encoding="utf-8")
    warnings.warn(
        f"no hash of {path.name} is published, so nobody can tell whether this is what its authors put there; its "
        f"SHA-256 is noted in {_beside(path).name}, and later downloads are compared with it.",
        stacklevel=5,
    )


@contextmanager
def watched(progress: bool | Watch) -> Iterator[Watch]:
    """A function to call with each block; with True, one that draws a bar where standard error is a terminal."""
    if not isinstance(progress, bool):
        yield progress
        return
    with ExitStack() as open_bars:
        tells: dict[str, Callable[[int, int], None]] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tells:
                open_bars.close()  # that of the file before
                # What lay there already was not fetched now, and would make the rate look good.
                bar = progress_bar(name, total or None, done=done, unit="bytes", show=progress or None)
                tells[name] = watcher(open_bars.enter_context(bar), done)
            tells[name](done, total)

        yield show
