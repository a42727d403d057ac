"""A reader, the valid files it is given, and how these are spoiled."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hostile.edits import Edit, as_json, edited, edited_json

HEADS = (b"", b"#1.3\n", b"#1.2\n", b"\x1f\x8b\x08\x00", b"BZh9", b"\xfd7zXZ\x00", b"PK\x03\x04", b"PAR1",
         b"\x89HDF\r\n\x1a\n", b"\x80\x04", b"\x93NUMPY\x01\x00",
         b"\x10\x00\x00\x00\x00\x00\x00\x00{", b"{", b"[")  # fmt: skip
"""What files begin with."""
WHOLE: set[int] = set()
"""Hashes of files that libraries may open to change them: what was spoilt byte by byte may keep them for ever."""
Files = Mapping[str, bytes]
Spoil = Callable[[bytes, Sequence[Edit], bytes], bytes]


@dataclass(frozen=True)
class Target:
    """One kind of reader.

    Attributes
    ----------
    name
        What it reads.
    valid
        Contents that it reads; each a file, or a folder as a mapping of names to files.
    read
        Reads a path, and does with what it got what its users do.
    file
        Name of the file that is written.
    spoil
        Changes the content of a file by edits; for files of a folder by the ending of their names.
    finish
        Puts right what would hide the damage (checksums), of a folder.
    """

    name: str
    valid: Sequence[bytes | Files]
    read: Callable[[Path], object]
    file: str = "file"
    spoil: Spoil | None = None
    finish: Callable[[dict[str, bytes]], None] | None = None

    def __post_init__(self) -> None:
        for valid in self.valid:
            for content in (valid,) if isinstance(valid, bytes) else valid.values():
                WHOLE.add(hash(content))

    def case(self, folder: Path, start: int, edits: Sequence[Edit]) -> Path:
        """The file or folder that these numbers stand for, written."""
        valid = self.valid[start % len(self.valid)]
        if isinstance(valid, bytes):
            other = self.valid[(start // len(self.valid)) % len(self.valid)]
            return self.written(
                folder, self._spoilt(self.file, valid, edits, other if isinstance(other, bytes) else b"")
            )
        files = dict(valid)
        names = sorted(files)
        for edit in edits:
            name = names[edit[1] // 7 % len(names)]
            if name in files:
                if edit[0] % 97 == 96:
                    del files[name]
                else:
                    files[name] = self._spoilt(name, files[name], [edit], files.get(names[edit[2] % len(names)], b""))
        if self.finish is not None:
            self.finish(files)
        return self.written(folder, files)

    def _spoilt(self, name: str, content: bytes, edits: Sequence[Edit], other: bytes) -> bytes:
        # Every other case is changed where its format allows, the others byte by byte.
        if edits and edits[0][2] % 2:
            # What was spoilt byte by byte before may have no format any more.
            with contextlib.suppress(Exception):
                if name.endswith(".json"):
                    return as_json(edited_json(json.loads(content), edits))
                if self.spoil is not None:
                    return self.spoil(content, edits, other)
        return edited(content, edits, other)

    def written(self, folder: Path, content: bytes | Files) -> Path:
        """``content`` in ``folder``."""
        place = folder / self.file
        if isinstance(content, bytes):
            place.write_bytes(content)
            return place
        for old in place.rglob("*"):
            if old.is_file() and old.relative_to(place).as_posix() not in content:
                old.unlink()
        for name, part in content.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(part)
        return place

    def drawn(self, folder: Path, rng: random.Random) -> Path:
        """A case by chance: one in ten arbitrary bytes, the others a valid file after one to six edits."""
        if rng.random() < 0.1 and isinstance(self.valid[0], bytes):
            return self.written(folder, rng.choice(HEADS) + rng.randbytes(rng.randrange(300)))
        edits = [(rng.getrandbits(16), rng.getrandbits(16), rng.getrandbits(16)) for _ in range(rng.randint(1, 6))]
        return self.case(folder, rng.getrandbits(16), edits)


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
