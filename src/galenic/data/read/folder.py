"""ResponseData as a folder: written whole or not at all, read back equal."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData, read_h5ad

from galenic.data.checks import first
from galenic.data.response import ResponseData, empty_coverage

FORMAT = 1
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
    >>> from galenic.data.simulate import screen
    >>> with tempfile.TemporaryDirectory() as place:
    ...     data, _ = screen(50, 8, 100)
    ...     read_folder(write(data, Path(place, "screen")))
    ResponseData(360 pairs: 50 cells x 8 drugs, ln_ic50; expression 100, mutation 20, methylation 20)
    """
    folder = Path(folder)
    if folder.exists() and not (overwrite and (folder / MANIFEST).is_file()):
        remedy = "Choose another name" + ("" if overwrite else ", or say overwrite=True if it holds ResponseData")
        raise FileExistsError(f"{folder} should be a new folder; it exists already. {remedy}.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        # Folders for one person's eyes only would surprise those who share the place.
        draft.chmod(0o777 & ~_umask())
        _write_files(data, draft)
        if folder.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
            os.replace(folder, old)
            os.replace(draft, folder)
            shutil.rmtree(old)
        else:
            os.replace(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def read_folder(folder: str | Path) -> ResponseData:
    """Read what :func:`write` wrote.

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
    manifest = json.loads((folder / MANIFEST).read_text())
    if manifest.get("format") != FORMAT:
        raise ValueError(
            f"{folder} should be of format {FORMAT}; it is of format {manifest.get('format')}. "
            "Read it with the version of galenic that wrote it, or a later one."
        )
    return ResponseData(
        pairs=pd.read_parquet(folder / "pairs.parquet"),
        cells=_read_cells(folder / "cells.h5ad", manifest),
        drugs=_read_csv(folder / "drugs.csv", manifest["drugs"]).set_index("drug").rename_axis(None),
        unit=manifest["unit"],
        coverage=_read_coverage(folder / "coverage.csv"),
    )


def _write_files(data: ResponseData, folder: Path) -> None:
    data.pairs.to_parquet(folder / "pairs.parquet", index=False)
    drugs = data.drugs.rename_axis("drug").reset_index()
    drugs.to_csv(folder / "drugs.csv", index=False)
    data.coverage.to_csv(folder / "coverage.csv", index=False)
    frames = {name: table for name, table in data.cells.obsm.items() if isinstance(table, pd.DataFrame)}
    # A copy, because writing turns text into categories; frames as arrays, because h5ad takes no slash in a column's name.
    cells = AnnData(X=data.cells.X, obs=data.cells.obs.copy(), var=data.cells.var.copy())
    for name, table in data.cells.obsm.items():
        cells.obsm[name] = table.to_numpy() if name in frames else table
    empty = [column for column in cells.obs if cells.obs[column].isna().all()]
    text = [column for column in cells.obs if _is_text(cells.obs[column])]
    cells.obs = cells.obs.drop(columns=empty)
    cells.write_h5ad(folder / "cells.h5ad", compression="gzip", compression_opts=1)
    manifest = {
        "format": FORMAT,
        "unit": data.unit,
        "drugs": {str(column): str(drugs[column].dtype) for column in drugs},
        "obs": {"columns": list(data.cells.obs.columns), "text": text, "empty": empty},
        "obsm": {name: [str(column) for column in table.columns] for name, table in frames.items()},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))


def _read_cells(path: Path, manifest: dict[str, Any]) -> AnnData:
    cells = read_h5ad(path)
    obs = cells.obs.copy()
    for column in manifest["obs"]["text"]:
        if column in obs:
            obs[column] = obs[column].astype("object")
    for column in manifest["obs"]["empty"]:
        obs[column] = pd.Series(np.nan, index=obs.index, dtype="object")
    cells.obs = obs[manifest["obs"]["columns"]]
    for name, columns in manifest["obsm"].items():
        cells.obsm[name] = pd.DataFrame(cells.obsm[name], index=cells.obs_names, columns=pd.Index(columns))
    return cells


def _is_text(column: pd.Series) -> bool:
    return not (pd.api.types.is_numeric_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype))


def _read_csv(path: Path, kinds: dict[str, str]) -> pd.DataFrame:
    numbers = {name: kind for name, kind in kinds.items() if kind.startswith(("int", "float", "bool", "uint"))}
    text = {name: "str" for name in kinds if name not in numbers}
    return pd.read_csv(
        path, dtype={**numbers, **text}, keep_default_na=False, na_values=[""], float_precision="round_trip"
    )


def _read_coverage(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, keep_default_na=False)
    return table if len(table) else empty_coverage()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
