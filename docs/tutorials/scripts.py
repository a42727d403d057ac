"""The tutorials as plain programs: ``python docs/tutorials/scripts.py`` lists them, ``... NAME`` prints one.

``... --out FOLDER`` writes all of them, to be run anywhere that galenic is installed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
NAMES = ("bulk_response", "single_cells", "untested_cell_types", "search", "targets")
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.S | re.M)


def cells_of(name: str) -> list[str]:
    """The code of each cell of a tutorial, in order."""
    return CELL.findall((HERE / f"{name}.md").read_text(encoding="utf-8"))


def script_of(name: str) -> str:
    """The cells of a tutorial as one program."""
    return "\n".join(cells_of(name))


def write(folder: Path) -> list[Path]:
    """Write every tutorial as ``NAME.py`` into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.py" for name in NAMES]
    for name, path in zip(NAMES, paths, strict=True):
        path.write_text(script_of(name), encoding="utf-8")
    return paths


def main(words: list[str]) -> int:
    """What the command line asks for."""
    if len(words) == 2 and words[0] == "--out":
        print(*write(Path(words[1])), sep="\n")
    elif len(words) == 1 and words[0] in NAMES:
        print(script_of(words[0]), end="")
    else:
        print(*NAMES, sep="\n")
        return 0 if not words else 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
