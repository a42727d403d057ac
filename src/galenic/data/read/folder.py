"""ResponseData as a folder: written whole or not at all, read back equal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first
from galenic.data.read.matrices import open_h5ad
from galenic.data.read.tables import from_parquet
from galenic.data.response import ResponseData, empty_coverage
from galenic.work.atomic import written_folder

FORMAT = 1
UNNAMED = "Unnamed: 0"
"""What pandas calls the column of ids, which has no name because any name may be a column's."""
MANIFEST = "data.json"
FILES = ("pairs.parquet", "cells.h5ad", "drugs.csv", "coverage.csv", MANIFEST)


def write(data: ResponseData, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write ``data`` to a folder: ``pairs.parquet, cells.h5ad, drugs.csv, coverage.csv, data.json``.

    The folder appears complete or not at all.

    Parameters
    ----------
    data
        What to write; it is not changed.
    folder
        A new folder, or with ``overwrite`` one that an earlier call wrote.
    overwrite
        Replace it.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileExistsError
        If it exists and may not be replaced.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from galenic.data.simulate import screen
    >>> with TemporaryDirectory() as place:
    ...     data, _ = screen(50, 8, 100)
    ...     read_folder(write(data, Path(place, "screen")))
    ResponseData(360 pairs: 50 cells x 8 drugs, ln_ic50; expression 100, mutation 20, methylation 20)
    """
    folder = Path(folder)
    if folder.exists() and not (overwrite and (folder / MANIFEST).is_file()):
        remedy = "Choose another folder"
        if not overwrite:
            remedy += ", or overwrite=True from Python if it holds ResponseData"
        raise FileExistsError(f"{folder} should be a new folder; it exists already. {remedy}.")
    with written_folder(folder) as draft:
        _write_files(data, draft)
    return folder


def read_folder(folder: str | Path) -> ResponseData:
    """Read what :func:`write` wrote.

    Parameters
    ----------
    folder
        A data folder.

    Raises
    ------
    FileNotFoundError
        If a file of the folder is missing.
    ValueError
        If it was written by a later version.
    """
    folder = Path(folder)
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"a folder of ResponseData holds {', '.join(FILES)}; {folder} lacks {first(missing, 5)}. "
            "Check the path, or write it again with galenic.data.read.write."
        )
    with _damage_explained(folder):
        manifest = dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
        if not isinstance(manifest.get("obsm", {}), dict):
            raise TypeError("its obsm is no table")
    if manifest.get("format") != FORMAT:
        raise ValueError(
            f"{folder} should be of format {FORMAT}; it is of format {manifest.get('format')}. "
            "Read it with the version of galenic that wrote it, or a later one."
        )
    with _damage_explained(folder):
        parts = {
            "pairs": from_parquet(folder / "pairs.parquet"),
            "cells": _read_cells(folder / "cells.h5ad", manifest),
            "drugs": _read_csv(folder / "drugs.csv", manifest["drugs"]).set_index(UNNAMED).rename_axis(None),
            "unit": manifest["unit"],
            "coverage": _read_coverage(folder / "coverage.csv"),
        }
        return ResponseData(**parts)


@contextmanager
def _damage_explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # what three libraries say of damage may be anything
        raise ValueError(
            f"{folder} should hold whole files, as galenic.data.read.write leaves them; one cannot be read "
            f"({type(error).__name__}: {str(error)[:200]}). It was cut off or edited: write or copy it again."
        ) from error


def _write_files(data: ResponseData, folder: Path) -> None:
    data.pairs.to_parquet(folder / "pairs.parquet", index=False)
    drugs = data.drugs
    drugs.to_csv(folder / "drugs.csv", index_label="")
    data.coverage.to_csv(folder / "coverage.csv", index=False)
    cells, obsm = data.cells, dict(data.cells.obsm.items())
    # Frames as arrays, because h5ad takes no slash in the name of a column; their names go to the manifest.
    arrays = {name: found.to_numpy() if isinstance(found, pd.DataFrame) else found for name, found in obsm.items()}
    (obs, obs_kinds), (var, var_kinds) = _writable(cells.obs), _writable(cells.var)
    AnnData(X=cells.X, obs=obs, var=var, obsm=arrays).write_h5ad(
        folder / "cells.h5ad", compression="gzip", compression_opts=1
    )
    manifest = {
        "format": FORMAT,
        "unit": data.unit,
        "drugs": {str(column): str(drugs[column].dtype) for column in drugs},
        "obs": obs_kinds,
        "var": var_kinds,
        "obsm": {
            name: [str(column) for column in found.columns] if isinstance(found, pd.DataFrame) else None
            for name, found in obsm.items()
        },
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))


def _writable(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """A copy without columns that hold nothing (h5ad cannot tell their type), and what each column was."""
    kinds = {str(column): _kind(table[column]) for column in table}
    kept = {column: table[column] for column, kind in kinds.items() if kind != "empty"}
    for column, kind in kinds.items():
        if kind == "text":
            values = [np.nan if pd.isna(value) else str(value) for value in table[column]]
            kept[column] = pd.Series(values, index=table.index, dtype="object")
    return pd.DataFrame(kept, index=table.index), kinds


def _kind(column: pd.Series) -> str:
    if isinstance(column.dtype, pd.CategoricalDtype) or pd.api.types.is_numeric_dtype(column):
        return "as is"
    return "empty" if column.isna().all() else "text"


def _restored(table: pd.DataFrame, kinds: dict[str, str]) -> pd.DataFrame:
    # By way of lists, so that text has the type that this version of pandas gives to text.
    table = table.set_axis(pd.Index(table.index.tolist()), axis=0)
    columns = {}
    for name, kind in kinds.items():
        if kind == "text":
            columns[name] = pd.Series(table[name].tolist(), index=table.index)
        else:
            columns[name] = table[name] if kind == "as is" else pd.Series(np.nan, table.index, dtype="object")
    return pd.DataFrame(columns, index=table.index)


def _read_cells(path: Path, manifest: dict[str, Any]) -> AnnData:
    cells = open_h5ad(path)
    obs, var = _restored(cells.obs, manifest["obs"]), _restored(cells.var, manifest["var"])
    restored = AnnData(X=cells.X, obs=obs, var=var)
    for name, columns in manifest["obsm"].items():
        found = cells.obsm[name]
        restored.obsm[name] = found if columns is None else pd.DataFrame(found, restored.obs_names, pd.Index(columns))
    return restored


def _read_csv(path: Path, kinds: dict[str, str]) -> pd.DataFrame:
    numbers = {name: kind for name, kind in kinds.items() if kind.startswith(("int", "float", "bool", "uint"))}
    text = {name: "str" for name in kinds if name not in numbers}
    return pd.read_csv(
        path,
        dtype={UNNAMED: "str", **numbers, **text},
        keep_default_na=False,
        na_values=[""],
        float_precision="round_trip",
    )


def _read_coverage(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, keep_default_na=False, float_precision="round_trip")
    return table if len(table) else empty_coverage()
