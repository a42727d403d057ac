"""Files that a browser hands over: checked, and kept in a folder that goes with the window."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from galenic.app.settings import SETTINGS
from galenic.app.windows import window
from galenic.work.atomic import written

TABLES = ("csv", "tsv", "txt", "csv.gz", "tsv.gz", "txt.gz", "parquet", "xlsx")
"""Endings of tables."""
MATRICES = (*TABLES, "h5ad")
"""Endings of matrices, samples x genes."""
CELLS = ("h5ad",)
"""Endings of files of single cells."""
LONGEST = 200
"""Characters of a name."""
LARGER = "For larger files start the app with: galenic app --max-upload-mb N"


@dataclass(frozen=True)
class Upload:
    """A file that was uploaded.

    Attributes
    ----------
    name
        As the user called it; for showing (through :func:`galenic.app.words.plain`), never for opening.
    path
        Where it lies: in the folder of this browser window, under a name of ours.
    sha256
        Checksum of its content.
    """

    name: str
    path: Path
    sha256: str


def session_folder() -> Path:
    """The temporary folder of this browser window."""
    return window().path


def uploader(label: str, endings: Sequence[str] = MATRICES, *, key: str, hint: str = "") -> Upload | None:
    """Ask for one file.

    Parameters
    ----------
    label
        What it is to hold.
    endings
        Which files are taken.
    key
        Of the widget.
    hint
        What the rows and columns are, in a sentence below the label.

    Returns
    -------
    Upload or None
        ``None`` until there is one.

    Raises
    ------
    ValueError
        If the file is empty, too large, of another kind or badly named.
    """
    # Without the kinds, or Streamlit refuses other ones itself, by a type of media and without a remedy.
    given = st.file_uploader(label, key=key, help=LARGER)
    st.caption(f"{hint} {limits(endings)}".strip())
    if given is None:
        return None
    folder = window()
    if given.file_id not in folder.known:
        content = given.getbuffer()
        require(given.name, len(content), endings, SETTINGS.max_upload_mb)
        folder.known[given.file_id] = stored(folder.path, given.name, content)
    found: Upload = folder.known[given.file_id]
    return found


def limits(endings: Sequence[str] = MATRICES) -> str:
    """Kinds and sizes that are taken, in a sentence.

    Examples
    --------
    >>> limits(("h5ad",))
    'h5ad, up to 500 MB.'
    """
    said = [ending for ending in endings if not ending.endswith(".gz")]
    packed = " (also .gz)" if len(said) < len(endings) else ""
    return f"{', '.join(said)}{packed}, up to {SETTINGS.max_upload_mb:,} MB."


def require(name: str, size: int, endings: Sequence[str], most_mb: int) -> None:
    """Raise ``ValueError`` where a file is not to be taken.

    Examples
    --------
    >>> require("cells.csv", 0, ("csv",), 10)
    Traceback (most recent call last):
        ...
    ValueError: an uploaded file should hold something; 'cells.csv' has 0 bytes. Export it again, and upload that.
    """
    shown = "".join(character if character.isprintable() else "?" for character in name)[:60]
    odd = any(not character.isprintable() or character in '/\\:*?"<>|' for character in name)
    if odd or not name.strip(" .") or len(name) > LONGEST:
        raise ValueError(
            f'an uploaded file should have a plain name of {LONGEST} characters at most, without / \\ : * ? " < > |; '
            f"received {shown!r} ({len(name):,} characters). Rename it, and upload it again."
        )
    if not any(name.lower().endswith(f".{ending}") for ending in endings):
        raise ValueError(
            f"an uploaded file should end in {', '.join(f'.{ending}' for ending in endings)}; received {shown!r}. "
            "Save it as one of these, and upload that."
        )
    if size == 0:
        raise ValueError(
            f"an uploaded file should hold something; {shown!r} has 0 bytes. Export it again, and upload that."
        )
    if size > most_mb * 1_000_000:
        raise ValueError(
            f"an uploaded file should have {most_mb:,} MB at most; {shown!r} has {size / 1e6:,.0f}. Upload a part of "
            "it, or start the app with a larger limit: galenic app --max-upload-mb N"
        )


def require_different(*uploads: Upload | None) -> None:
    """Raise ``ValueError`` where one file was uploaded in two places."""
    seen: dict[str, Upload] = {}
    for one in filter(None, uploads):
        if one.sha256 in seen:
            raise ValueError(
                f"each place takes a file of its own; {one.name!r} and {seen[one.sha256].name!r} are the same file. "
                "Replace one of them."
            )
        seen[one.sha256] = one


def checksum(path: Path) -> str:
    """Of the content of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def stored(folder: Path, name: str, content: bytes | memoryview) -> Upload:
    """Write what was uploaded under its checksum and its ending; the name that the browser gave is only shown."""
    found = hashlib.sha256(content).hexdigest()
    endings = Path(name.lower()).suffixes
    ending = "".join(endings[-2:] if endings[-1:] == [".gz"] else endings[-1:])
    path = folder / f"{found[:32]}{ending}"
    if not path.exists():
        with written(path) as draft:
            draft.write_bytes(content)
    return Upload(name, path, found)
