"""What a file is, told by its header and first lines."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from galenic.data import units
from galenic.data.checks import first, is_zarr
from galenic.data.expression import dense
from galenic.data.read.columns import CELL, DRUG, GENE, SMILES, TARGETS, TISSUE, find, plain
from galenic.data.read.files import kind_of_file, text_layout
from galenic.data.read.matrices import ANNOTATION_NAMES, open_h5ad
from galenic.data.read.tables import MISSING, first_rows, table

Layout = Literal[
    "response", "drugs", "cells", "expression", "events", "long events", "CTRP curves", "CTRP experiments", "unknown"
]
MANY = 8
"""Columns of numbers from which on a file is a matrix, where nothing else tells."""


def layout(path: str | Path) -> Layout:
    """What the file at ``path`` is.

    Parameters
    ----------
    path
        A table or matrix; only its head is read.

    Returns
    -------
    "response"
        One row a measurement: a cell, a drug and a response (GDSC, PRISM and plain tables).
    "drugs", "cells"
        Tables of what is known of each.
    "expression", "events"
        Matrices, of numbers and of 0/1.
    "long events"
        One row an event: a cell, a feature and 0/1.
    "CTRP curves", "CTRP experiments"
        The tables of CTRPv2 that others need to be read with.
    "unknown"

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.csv")
    ...     _ = path.write_text("drug,smiles" + chr(10) + "ethanol,CCO")
    ...     layout(path)
    'drugs'
    """
    kind = kind_of_file(path)
    if kind == "h5ad":
        adata = open_h5ad(path, backed=True)
        head = adata[:20].to_memory()
        adata.file.close()
        return _kind_of_matrix(np.zeros((head.n_obs, 0)) if head.X is None else dense(head.X))
    return layout_of(peek(path))


def layout_of(rows: pd.DataFrame) -> Layout:
    """What a table with these columns and first rows is, see :func:`layout`."""
    columns = [str(column) for column in rows.columns]
    names = {plain(column) for column in columns}
    if {"experimentid", "areaundercurve", "mastercpdid"} <= names:
        return "CTRP curves"
    if {"experimentid", "mastercclid"} <= names:
        return "CTRP experiments"
    if {"geneticfeature", "ismutated"} <= names or names - {""} == {"v1", "v2", "v3"}:
        return "long events"
    cells, drugs = find(columns, CELL), find(columns, DRUG)
    if cells and drugs and any(_states_unit(column) for column in columns):
        return "response"
    features = [
        i
        for i, column in enumerate(columns)
        if i and plain(column) not in ANNOTATION_NAMES and _numbers(rows.iloc[:, i])
    ]
    if find(columns, SMILES):
        return "drugs"
    if not cells and not drugs and not find(columns[:1], GENE) and long_table(rows):
        return "unknown"
    is_matrix = len(features) >= MANY or bool(find(columns[:1], GENE))
    if not is_matrix and drugs and find(columns, TARGETS):
        return "drugs"
    if not is_matrix and cells and (find(columns, TISSUE) or len(cells) > 1):
        return "cells"
    if features and len(features) > 0.5 * (len(columns) - 1):
        return _kind_of_matrix(rows.iloc[:, features].to_numpy(dtype=np.float64))
    return "drugs" if drugs and not cells and rows[drugs[0]].is_unique else "unknown"


def long_table(rows: pd.DataFrame) -> tuple[str, str, str] | None:
    """The likely cell, drug and response of a table that is one row a measurement; ``None`` if it does not look so.

    Two columns of ids (text or whole numbers above zero), of which one repeats, and then one of fractions.

    Examples
    --------
    >>> long_table(pd.DataFrame({"Zelle": ["A", "A"], "Wirkstoff": ["x", "y"], "Wert": [0.5, 1.5]}))
    ('Zelle', 'Wirkstoff', 'Wert')
    """
    if not 3 <= rows.shape[1] < MANY:
        return None
    is_id = [_ids(rows.iloc[:, i]) for i in range(rows.shape[1])]
    ids = rows.columns[is_id]
    if len(ids) < 2 or rows.columns.has_duplicates:
        return None
    numbers = rows.loc[:, [_numbers(rows[column]) for column in rows.columns]]
    values = [column for column in numbers if (numbers[column].dropna() % 1 != 0).any()]
    if not values:
        return None
    cell, drug = ids[:2]
    repeat = rows[cell].duplicated().any() or rows[drug].duplicated().any()
    return (str(cell), str(drug), str(values[0])) if repeat else None


def peek(path: str | Path) -> pd.DataFrame:
    """The first rows of a table or matrix, numbers as numbers."""
    kind = kind_of_file(path)
    if kind == "xlsx":
        rows = table(path).head(20)
        return rows.set_axis([_unnamed(column) for column in rows.columns], axis=1)
    if kind == "parquet":
        return first_rows(path, 20)
    text = text_layout(path)
    lines = [row for row in text.rows if len(row) == len(text.names)]
    comma = text.delimiter == ";"
    columns = {i: _typed([row[i] for row in lines], decimal_comma=comma) for i in range(len(text.names))}
    return pd.DataFrame(columns).set_axis(text.names, axis=1)


def files_by_layout(folder: str | Path, wanted: Iterable[Layout]) -> dict[Layout, list[Path]]:
    """The files of a folder that are one of ``wanted``; files that are no tables are passed over."""
    found: dict[Layout, list[Path]] = {kind: [] for kind in wanted}
    for path in sorted(Path(folder).iterdir()):
        if path.name.startswith(".") or not (path.is_file() or is_zarr(path)):
            continue
        try:
            kind = layout(path)
        except (ValueError, OSError):
            continue
        if kind in found:
            found[kind].append(path)
    return found


def only(paths: list[Path], what: str, folder: str | Path, argument: str) -> Path | None:
    """The one file there is, ``None`` if there is none; raise ``ValueError`` if there are several."""
    if len(paths) > 1:
        raise ValueError(
            f"{folder} should hold one file of {what}; it holds {len(paths)} "
            f"({first([path.name for path in paths], 5)}). Say which with {argument}=."
        )
    return paths[0] if paths else None


def _typed(values: list[str], *, decimal_comma: bool) -> np.ndarray:
    known = [None if value.strip() in MISSING else value for value in values]
    try:
        texts = [value.replace(",", ".") if value and decimal_comma else value for value in known]
        return np.array([np.nan if text is None else float(text) for text in texts])
    except ValueError:
        return np.array(known, dtype="object")


def _ids(column: pd.Series) -> bool:
    known = column.dropna()
    if not _numbers(column):
        return len(known) > 0
    return bool((known > 0).all() and (known == known.round()).all() and known.max() > 1) if len(known) else False


def _states_unit(column: str) -> bool:
    try:
        return units.unit_of_name(column) is not None
    except ValueError:
        return True


def _numbers(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column)


def _kind_of_matrix(values: np.ndarray) -> Layout:
    known = values[np.isfinite(values)]
    return "events" if known.size and np.isin(known, (0.0, 1.0)).all() else "expression"


def _unnamed(column: object) -> str:
    return "" if str(column).startswith("Unnamed: ") else str(column)
