"""Fetched files in galenic's own formats."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data import read
from galenic.data.checks import first, require_columns
from galenic.data.convert import convert as to_store
from galenic.data.fetch.catalogue import DataSet
from galenic.data.fetch.unpack import unpack
from galenic.data.genes import standardise_genes
from galenic.data.read.columns import find
from galenic.data.read.matrices import to_anndata
from galenic.work.atomic import written, written_folder

Files: TypeAlias = Mapping[str, Path]
"""Files of a set by their role."""
LEAST_SYMBOLS = 2
"""Columns of a table of symbols: ids and symbols."""
CORE = 13
"""Characters of a Broad id that name the compound; the rest names the batch."""
SYMBOL_COLUMNS = ("gene", "symbol", "gene_symbol")


def to_house(data: DataSet, files: Mapping[str, Files], out: str | Path) -> Path:
    """Convert the files of a set into what the commands of galenic take.

    Parameters
    ----------
    data
        The set.
    files
        Files by set and role, of the set and of those that it needs.
    out
        A new folder.

    Returns
    -------
    Path
        What the next command is given: the folder, or the file in it.

    Raises
    ------
    FileExistsError
        If ``out`` exists.
    ValueError
        If a file is not of the expected layout.
    """
    out = Path(out)
    if os.path.exists(out):
        raise FileExistsError(f"data are converted into a new folder; {out} exists. Name another, or remove it.")
    return CONVERTERS[data.house](data, files, out)


def _gdsc(data: DataSet, files: Mapping[str, Files], out: Path) -> Path:
    expression = files["gdsc-expression"]["expression"]
    found = read.gdsc(files[data.name]["response"], expression=expression, repeats="mean")
    return read.write(found, out)


def _prism(data: DataSet, files: Mapping[str, Files], out: Path) -> Path:
    expression, cells = files["depmap-expression"]["expression"], files["depmap-models"]["cells"]
    return read.write(read.prism(files[data.name]["response"], expression=expression, cells=cells), out)


def _prism_primary(data: DataSet, files: Mapping[str, Files], out: Path) -> Path:
    """One dose, as a fraction of the viability of untreated cells: 2 to the power of the log2 fold change."""
    changes = read.matrix(files[data.name]["response"])
    changes = changes[~changes.index.str.contains("FAILED")]  # lines that did not pass STR profiling
    drugs = read.table(files[data.name]["drugs"])
    require_columns(drugs, ["broad_id", "smiles"], "the table of treatments")
    ids = changes.columns.str.split("::").str[0]
    rows = {
        "depmap_id": np.repeat(changes.index.to_numpy(dtype="object"), changes.shape[1]),
        "broad_id": np.tile(ids.to_numpy(dtype="object"), len(changes)),
        "viability": np.exp2(changes.to_numpy(dtype=np.float64)).ravel(),
    }
    found = read.response_data(
        pd.DataFrame(rows).dropna(),
        expression=files["depmap-expression"]["expression"],
        cells=files["depmap-models"]["cells"],
        drugs=drugs.drop_duplicates("broad_id"),
        unit="viability",
        repeats="mean",
    )
    return read.write(found, out)


def _expression(data: DataSet, files: Mapping[str, Files], out: Path) -> Path:
    genes, _ = standardise_genes(read.matrix(files[data.name]["expression"], repeats="mean"))
    return _with_copies(to_anndata(genes), out, ())


def _depmap_expression(data: DataSet, files: Mapping[str, Files], out: Path) -> Path:
    found = files[data.name]
    return _with_copies(
        read.depmap_expression(found["expression"]), out, [found[key] for key in found if key == "cells"]
    )


def _patients(data: DataSet, files: Mapping[str, Files], out: Path) -> Path:
    found = files[data.name]
    symbols = _symbols(found["symbols"]) if "symbols" in found else None
    tables = [found[role] for role in ("survival", "phenotype") if role in found]
    return _with_copies(read.xena(found["expression"], symbols=symbols), out, tables)


def _symbols(path: Path) -> dict[str, str]:
    """Ensembl id to symbol, from a probe map of Xena."""
    table = read.table(path)
    symbols = find(table.columns, SYMBOL_COLUMNS)
    if table.shape[1] < LEAST_SYMBOLS or not symbols:
        raise ValueError(
            f"{path.name} should have ids and a column of symbols ({first(SYMBOL_COLUMNS)}); it has "
            f"{first(table.columns, 8)}. Fetch it again, or correct its address."
        )
    return dict(zip(table.iloc[:, 0].astype(str), table[symbols[0]].astype(str), strict=True))


def _events(data: DataSet, files: Mapping[str, Files], out: Path) -> Path:
    with written_folder(out) as draft:
        _mutations(files[data.name]["mutation"]).to_csv(draft / "mutation.csv")
        _methylation(files[data.name]["alterations"]).to_csv(draft / "methylation.csv")
    return out


def _mutations(path: Path) -> pd.DataFrame:
    """Events of a table in which columns of factors and names stand between the id and the events."""
    table = read.table(path)
    ids = find(table.columns, ("cosmic_id",))
    if not ids:
        raise ValueError(
            f"{path.name} should have a column COSMIC_ID; it has {first(table.columns, 8)}. Fetch it again, or correct "
            "its address."
        )
    is_event = [pd.api.types.is_numeric_dtype(table[name]) and "factor" not in name.lower() for name in table.columns]
    events = [name for name, yes in zip(table.columns, is_event, strict=True) if yes and name != ids[0]]
    return _whole(read.events(table[[ids[0], *events]]))


def _methylation(path: Path) -> pd.DataFrame:
    """Hypermethylated islands, from a table of alterations; lines without any are left out: were they measured?"""
    table = read.table(path)
    roles = {role: find(table.columns, names) for role, names in ALTERATIONS.items()}
    missing = [role for role, columns in roles.items() if not columns]
    if missing:
        raise ValueError(
            f"{path.name} should have columns for {first(ALTERATIONS)}; it has {first(table.columns, 8)}, none for "
            f"{first(missing)}. Fetch it again, or correct its address."
        )
    rows = table[table[roles["type"][0]].astype(str).str.lower().str.startswith("meth")]
    long = {"V1": rows[roles["cell"][0]], "V2": rows[roles["feature"][0]].astype(str), "V3": 1}
    return _whole(read.events(pd.DataFrame(long)))


ALTERATIONS = {"cell": ("cosmic_id",), "type": ("type",), "feature": ("identifier", "gene")}
"""Columns of a table of alterations, by their role."""


def _whole(events: pd.DataFrame) -> pd.DataFrame:
    return events.fillna(0).astype(np.int8).rename_axis(index="COSMIC_ID", columns=None)


def _cells(data: DataSet, files: Mapping[str, Files], out: Path) -> Path:
    table = read.table(files[data.name]["cells"])
    with written_folder(out) as draft:
        table.to_csv(draft / "cells.csv", index=False)
    return out


def _profiles(data: DataSet, files: Mapping[str, Files], out: Path) -> Path:
    """A store of the landmark genes; an interrupted conversion goes on, and the unpacked matrix leaves after it."""
    found = files[data.name]
    plain = unpack(found["matrix"])
    store = to_store(plain, out, gene_info=found["genes"], sample_info=found["profiles"], progress=True)
    if plain != found["matrix"]:
        plain.unlink()
    return store


def _drugs(data: DataSet, files: Mapping[str, Files], out: Path) -> Path:
    drugs, samples = (_commented(files[data.name][role]) for role in ("drugs", "samples"))
    require_columns(drugs, ["pert_iname", "moa", "target"], "the table of drugs")
    require_columns(samples, ["broad_id", "pert_iname", "smiles"], "the table of samples")
    # Several batches of a compound: one row for each.
    samples = samples.assign(pert_id=samples["broad_id"].str[:CORE]).dropna(subset=["smiles"])
    one = samples.drop_duplicates("pert_id")[["pert_id", "pert_iname", "smiles"]]
    joined = one.merge(drugs.drop_duplicates("pert_iname"), on="pert_iname", how="left", validate="many_to_one")
    joined["smiles"] = joined["smiles"].str.split(", ").str[0]
    with written_folder(out) as draft:
        joined.rename(columns={"pert_iname": "pert_name"}).to_csv(draft / "drugs.csv", index=False)
    return out


def _commented(path: Path) -> pd.DataFrame:
    """A table below lines that start with an exclamation mark."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = [line for line in text.splitlines() if not line.lstrip('"').startswith("!")]
    return pd.read_csv(io.StringIO("\n".join(lines)), sep="\t", dtype="str", keep_default_na=False, na_values=[""])


def _as_they_are(data: DataSet, files: Mapping[str, Files], out: Path) -> Path:
    """Cells as their authors wrote them: h5ad is galenic's own format of cells."""
    with written_folder(out) as draft:
        shutil.copyfile(files[data.name]["h5ad"], draft / "cells.h5ad")
    return out / "cells.h5ad"


def _with_copies(adata: AnnData, out: Path, tables: list[Path] | tuple[Path, ...]) -> Path:
    with written_folder(out) as draft:
        with written(draft / "expression.h5ad") as file:
            adata.write_h5ad(file)
        for table in tables:
            shutil.copyfile(table, draft / table.name)
    return out


CONVERTERS: dict[str, Callable[[DataSet, Mapping[str, Files], Path], Path]] = {
    "gdsc responses": _gdsc,
    "prism responses": _prism,
    "prism primary responses": _prism_primary,
    "expression": _expression,
    "depmap expression": _depmap_expression,
    "gdsc events": _events,
    "cells": _cells,
    "profiles": _profiles,
    "drugs": _drugs,
    "patients": _patients,
    "cells as they are": _as_they_are,
}
