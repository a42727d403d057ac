"""How large the sheets of a spreadsheet are, before a library that holds every cell reads them."""

from __future__ import annotations

import re
import zipfile
from contextlib import suppress
from pathlib import Path
from xml.parsers import expat

from galenic.data.limits import memory_left

PLACE = re.compile(r"([A-Z]{0,9})(\d{1,12})", re.ASCII)
"""How a cell or a row says where it is."""
NOWHERE = 10**12
"""A row that no sheet has, for places that are said otherwise."""
FEW, LARGEST_SHARE = 1 << 20, 20
"""Each cell of the rectangle is read, empty ones too: of more than these, one in twenty should hold something."""
OF_A_CELL = 8
"""Bytes of an empty cell in memory."""
LARGEST_RATIO = 200
"""Sheets are rarely packed smaller; what is, and unpacks to more than SMALL, was made to fill the memory."""
SMALL = 1 << 26
PART = 1 << 20


def require_sheets(path: Path) -> None:
    """Raise ``ValueError`` if the sheets of an xlsx file unpack to more than sheets do, or have cells too far out."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(part.file_size for part in archive.infolist())
            most = max(SMALL, LARGEST_RATIO * path.stat().st_size)
            # Which parts are sheets is said elsewhere in the file, by whatever names.
            parts = archive.infolist() if size <= most else []
            cells, filled = max((_extent(archive, part) for part in parts), default=(0, 0))
    except Exception as error:
        raise ValueError(
            f"{path.name} should be a whole xlsx file; it cannot be read ({type(error).__name__}: {str(error)[:200]}). "
            "Save it again."
        ) from error
    if size > most or OF_A_CELL * cells > memory_left() // 4 or cells > max(FEW, LARGEST_SHARE * filled):
        what = f"unpacks to {size:,} bytes" if size > most else f"spans {cells:,} cells and fills {filled:,} of them"
        raise ValueError(
            f"{path.name} should be a spreadsheet with one table a sheet; it {what}. Delete what lies far outside of "
            "the table, or save the sheet as CSV."
        )


def _extent(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> tuple[int, int]:
    """Rows x columns of the rectangle that holds every cell, and how many cells there are; 0 of what is no XML."""
    n_rows = n_columns = n_cells = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal n_rows, n_columns, n_cells
        what = name.rpartition(":")[2]
        n_cells += what == "c"
        named = attributes.get("r", "").upper().lstrip("0") if what in ("c", "row") else ""
        place = PLACE.fullmatch(named)
        if named and place is None:
            n_rows = NOWHERE  # 1e308 is a row to some readers
        elif place is not None:
            n_rows = max(n_rows, int(place[2]))
            n_columns = max(n_columns, _number(place[1])) if what == "c" else n_columns

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    with archive.open(part) as stream, suppress(expat.ExpatError):
        while block := stream.read(PART):
            parser.Parse(block, False)
    return n_rows * max(n_columns, 1), n_cells


def _number(letters: str) -> int:
    """A column by its letters: A is 1, AA is 27."""
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - 64
    return number
