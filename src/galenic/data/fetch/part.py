"""A file that is being fetched: what has arrived of it, from where, and its hashes so far."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from galenic.work.atomic import synced, written

BLOCK = 1 << 16
"""Bytes that are taken at a time: what has not filled a block when a process is killed is lost."""


class FetchError(OSError):
    """A file is not in the cache, and was not to be, or could not be, fetched."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a part came from, and what the server said of that version of the file.

    Parameters
    ----------
    url
        The address, before redirects.
    etag
        The server's mark of this version, if it is a strong one.
    modified
        When the server says that the file was changed.
    """

    url: str = ""
    etag: str = ""
    modified: str = ""

    @property
    def validator(self) -> str:
        """What to send as ``If-Range``, so that a changed file is sent whole; empty where the server gave nothing."""
        return self.etag or self.modified

    def differs_from(self, other: Origin) -> bool:
        """Whether the server marks this version otherwise than that one, where it marks both."""
        pairs = ((self.etag, other.etag), (self.modified, other.modified))
        return any(one and another and one != another for one, another in pairs)


class Part:
    """What has arrived of a file, beside where it will lie.

    Parameters
    ----------
    target
        Where the whole file will lie. The part is ``.<name>.part``, its origin ``.<name>.part.json``; both are hidden
        and stay when a download is interrupted.
    """

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f".{target.name}.part")
        self._record = target.with_name(f".{target.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def origin(self) -> Origin:
        """Where they came from; empty where nothing tells."""
        with suppress(OSError, ValueError, TypeError):
            found = Origin(**json.loads(self._record.read_text(encoding="utf-8")))
            if self.size and all(isinstance(value, str) for value in asdict(found).values()):
                return found
        return Origin()

    def begin(self, origin: Origin) -> None:
        """Forget what arrived, and note where the next bytes come from."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(b"")
        with written(self._record) as draft:
            draft.write_text(json.dumps(asdict(origin)), encoding="utf-8")

    def open(self) -> IO[bytes]:
        """To append to."""
        return self.path.open("ab")

    def hashes(self, kinds: Iterable[str]) -> Hashes:
        """Of what has arrived; more may follow."""
        found = Hashes(kinds)
        if self.size:
            with self.path.open("rb") as stream:
                while block := stream.read(BLOCK):
                    found.update(block)
        return found

    def move_to(self, place: Path) -> None:
        """Give the whole file its name; it is on the disk before it has it."""
        synced(self.path)
        os.replace(self.path, place)
        self.discard()

    def discard(self) -> None:
        """Forget everything."""
        self.path.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)


class Hashes:
    """Several hashes of one stream of bytes.

    Parameters
    ----------
    kinds
        ``"sha256"``, ``"sha512"``, ``"md5"``.

    Examples
    --------
    >>> found = Hashes(["md5"])
    >>> found.update(b"drug")
    >>> found.digests["md5"]
    '05b2815ccf6592b0f62fe89851e114fa'
    """

    def __init__(self, kinds: Iterable[str]) -> None:
        self._all = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}

    def update(self, block: bytes) -> None:
        """The next bytes."""
        for one in self._all.values():
            one.update(block)

    @property
    def digests(self) -> dict[str, str]:
        """Digits by kind, of all bytes so far."""
        return {kind: one.hexdigest() for kind, one in self._all.items()}


def hash_file(path: Path, kinds: Iterable[str]) -> dict[str, str]:
    """Digits by kind of a whole file."""
    found = Hashes(kinds)
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            found.update(block)
    return found.digests


def kinds_of(hashes: Iterable[str]) -> tuple[str, ...]:
    """The kinds of hashes that have to be computed: those listed, and always sha256, by which a file is remembered.

    Examples
    --------
    >>> kinds_of(["md5:00", "sha256:11"])
    ('md5', 'sha256')
    """
    return tuple(dict.fromkeys([*(one.partition(":")[0] for one in hashes), "sha256"]))


def is_one_of(digests: dict[str, str], hashes: Iterable[str]) -> bool:
    """Whether a file with these digits is one of those that may be; anything may where no hash is listed.

    Examples
    --------
    >>> is_one_of({"md5": "00", "sha256": "22"}, ["md5:00", "sha256:11"]), is_one_of({"sha256": "22"}, [])
    (True, True)
    """
    wanted = list(hashes)
    return not wanted or any(digests.get(one.partition(":")[0]) == one.partition(":")[2] for one in wanted)
