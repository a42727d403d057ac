"""What is shipped of a run folder: the tables and the model that a page shows, without times and machines."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from galenic.report.words import GROUPS

OF_A_MACHINE = ("seconds", "started", "finished", "peak_memory_mb", "versions")
"""Entries of a record that are others on every machine."""


def packed(run: Path, place: Path, names: Sequence[str]) -> None:
    """Copy the named tables (those that are there) and folders of a run, and its record.

    Numbers are written with five digits, so that a table is the same wherever it was computed, and small.
    """
    place.mkdir(parents=True, exist_ok=True)
    outputs = []
    for name in names:
        if (run / name).is_dir():
            shutil.copytree(run / name, place / name)
            outputs += [file.relative_to(place).as_posix() for file in sorted((place / name).rglob("*"))]
        elif (run / f"{name}.csv").is_file():
            table = pd.read_csv(run / f"{name}.csv")
            # Scores within single groups (cell types, say) are many, and no page shows them.
            table = table[table["group"].isin(GROUPS)] if name in ("metrics", "comparison") else table
            table.to_csv(place / f"{name}.csv", index=False, float_format="%.5g")
            outputs.append(f"{name}.csv")
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    record = {key: value for key, value in record.items() if key not in OF_A_MACHINE} | {"outputs": outputs}
    (place / "run.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
