"""What kind of file this is, and everything that is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from galenic.data import units
from galenic.data.checks import first, is_zarr
from galenic.data.diagnose_perturbations import beside, perturbation_findings
from galenic.data.diagnose_profiles import profile_findings
from galenic.data.drugs import standardise
from galenic.data.gctx.sniff import NAMED, format_of, holds_profiles, not_profiles
from galenic.data.genes import clean_names, kind_of_names, look_like_drugs, look_like_mouse
from galenic.data.numbers import as_numbers
from galenic.data.read.cells import LARGEST_LOG
from galenic.data.read.columns import CELL, DRUG, SMILES, STUDY, TISSUE, as_ids, find
from galenic.data.read.files import kind_of_file
from galenic.data.read.folder import MANIFEST, read_folder
from galenic.data.read.gdsc import events
from galenic.data.read.layout import Layout, files_by_layout, layout, long_table
from galenic.data.read.matrices import RawMatrix, default_entries, features_in_rows, id_column, read_raw
from galenic.data.read.response import other_responses, response_column
from galenic.data.read.tables import table
from galenic.data.store import is_store

RECORDS = {"run.json": ("run folder", "verb"), "model.json": ("model folder", "class")}
"""Files that tell a folder which galenic wrote, what it is, and the entry that says of what."""
FEWEST_CELLS = 5
"""Five folds, the usual split, need a cell each."""
CELLS_FOR_Z = 10
"""Below this the means of scaled genes say nothing."""
FARTHEST_MEAN = 0.25
"""In standard deviations, of the typical gene of a centred matrix; of log expression it is above 1."""
LARGEST_FLOOR = 0.01
"""Share of the values that may be the lowest one, where nothing is cut off."""
FEWEST_GENES = 1000
"""Below this, columns called by plain numbers are more likely drugs than genes."""
LARGEST_RATIO = 1.5
"""Between the upper and lower quartile of the genes' spreads in z-scores; of log expression it is about 2."""
Severity = Literal["ok", "note", "warning", "error"]
Finding = tuple[str, Severity, str, str]
COLUMNS = ("finding", "severity", "detail", "remedy")
MELT = (
    "If it holds responses, melt it to cell, drug, response (pandas.melt); if these are Entrez ids, give symbols= "
    "(--symbols) to translate them."
)
SMILES_REMEDIES = {
    "unparsable": "Correct the SMILES.",
    "no structure": "Add SMILES, or choose models that do not read structures.",
}
EXCEL_DATE = re.compile(r"\d{1,2}-(mar|sep|dec|oct|feb|apr|jan|jun|jul|aug|nov|may)|\d{4}-\d\d-\d\d.*", re.IGNORECASE)
"""What spreadsheets make of SEPT2 and MARCH1."""


def diagnose(path: str | Path) -> pd.DataFrame:
    """Say what a file or folder is, and what will trouble a model that is fitted on it.

    Parameters
    ----------
    path
        A file of any kind that galenic reads, or a folder.

    Returns
    -------
    DataFrame
        Columns ``finding, severity, detail, remedy``; the first row says what it is. Severity is ``"ok"``, ``"note"``
        (worth knowing), ``"warning"`` (readable, but likely wrong) or ``"error"`` (will be refused).

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.csv")
    ...     _ = path.write_text("cell,drug,ln_ic50" + chr(10) + "A549,erlotinib,2000")
    ...     diagnose(path)[["finding", "severity"]].values.tolist()
    [['response table', 'ok'], ['unit', 'error'], ['size', 'note'], ['few cells', 'note']]
    """
    path = Path(path)
    if path.is_dir() and not is_zarr(path):
        return _report(_folder(path))
    try:
        if _are_profiles(path):
            return _report(beside(profile_findings(path), _perturbed(path)))
        kind = layout(path)
        return _report(beside(CHECKS[kind](path), _perturbed(path)))
    except (ValueError, OSError) as error:
        detail, _, remedy = str(error).rstrip().rpartition(". ")
        return _report([("unreadable", "error", detail or str(error), remedy if detail else "")])


def _are_profiles(path: Path) -> bool:
    """Whether a file is of profiles; raise ``ValueError`` if its name says so and its content does not."""
    if not is_zarr(path) and not (path.is_file() and path.stat().st_size):
        return False
    kind = format_of(path)
    if kind == "unknown" and path.name.lower().endswith(NAMED):
        raise not_profiles(path)
    return kind in ("gct", "gctx") or (kind == "h5ad" and holds_profiles(path))


def _perturbed(path: Path) -> list[Finding]:
    """What an h5ad file says of perturbations, if it does."""
    return perturbation_findings(path) if kind_of_file(path) == "h5ad" and format_of(path) == "h5ad" else []


def _report(findings: Iterable[Finding]) -> pd.DataFrame:
    return pd.DataFrame(list(findings), columns=list(COLUMNS))


def _folder(path: Path) -> list[Finding]:
    if is_store(path):
        return _store(path)
    if (path / MANIFEST).is_file():
        try:
            data = read_folder(path)
        except (ValueError, OSError) as error:
            return [("folder of ResponseData", "error", str(error), "Write it again.")]
        return [("folder of ResponseData", "ok", repr(data), "")]
    for file, (name, entry) in RECORDS.items():
        if (path / file).is_file():
            return [_record(path / file, name, entry)]
    kinds: tuple[Layout, ...] = ("response", "drugs", "cells", "expression", "events", "long events", "CTRP curves")
    found = {kind: paths for kind, paths in files_by_layout(path, kinds).items() if paths}
    if not found:
        return [("folder", "error", "no file in it is a table of the field", "Name a file, or unpack the download.")]
    text = "; ".join(f"{kind}: {first([file.name for file in paths], 5)}" for kind, paths in found.items())
    return [("folder of tables", "ok", text, "")]


def _store(path: Path) -> list[Finding]:
    try:
        return profile_findings(path)
    except (ValueError, OSError) as error:
        return [("folder of profiles", "error", *_parted(ValueError(str(error))))]


def _record(path: Path, name: str, entry: str) -> Finding:
    """What the record of a folder says, which galenic wrote."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return (name, "ok", f"{entry}: {record[entry]}; written by galenic {record.get('galenic', 'unknown')}", "")
    except (ValueError, OSError, KeyError, TypeError) as error:
        detail = f"{path.name} should be JSON with the entry {entry!r}; it cannot be read ({error!r})"
        return (name, "error", detail, "Copy the folder again, or repeat the command that wrote it.")


def _response(path: Path) -> list[Finding]:
    frame = table(path)
    columns = set(frame.columns)
    known = {"NLME_RESULT_ID": "GDSC fitted dose responses", "ccle_name": "PRISM secondary screen"}
    name = next((text for column, text in known.items() if column in columns), "plain table")
    cells, drugs = find(frame.columns, CELL), find(frame.columns, DRUG)
    found: list[Finding] = [
        ("response table", "ok", f"{name}; cells: {first(cells)}; drugs: {first(drugs)}", ""),
        *_missing_ids(frame, cells[0], "cell"),
        *_missing_ids(frame, drugs[0], "drug"),
    ]
    try:
        column, unit = response_column(frame, None, None)
    except ValueError as error:
        return [*found, ("unit", "error", *_parted(error))]
    found += _response_values(frame[column], column, unit, refused=name == "plain table")
    others = other_responses(frame, column, unit)
    if others:
        detail = f"{column!r} is read, {first(others)} not"
        found.append(("several responses", "note", detail, "Choose with --response-column or --unit."))
    # Ids of several kinds repeat together; the first kind stands for all.
    ids = [cells[0], drugs[0]]
    twice = frame.duplicated([*find(frame.columns, STUDY)[:1], *ids], keep=False) & frame[ids].notna().all(axis=1)
    if twice.any():
        names = frame.loc[twice, ids].drop_duplicates().astype(str).agg(" + ".join, axis=1)
        detail = f"{int(twice.sum()):,} rows repeat {len(names):,} pairs (first: {first(names)})"
        remedy = "Read with repeats='mean' (--repeats mean), or add a 'replicate' column."
        found.append(("repeated pairs", "error", detail, remedy))
    n_cells, n_drugs = (frame[column].nunique() for column in ids)
    filled = len(frame.drop_duplicates(ids)) / max(n_cells * n_drugs, 1)
    found.append(
        ("size", "note", f"{len(frame):,} rows: {n_cells:,} cells x {n_drugs:,} drugs, {filled:.0%} filled", "")
    )
    return [*found, *_few(n_cells), *_smiles(frame.drop_duplicates(drugs[0]))]


def _missing_ids(frame: pd.DataFrame, column: str, what: str) -> list[Finding]:
    missing = as_ids(frame[column]).isna()
    if not missing.any():
        return []
    detail = f"{int(missing.sum()):,} rows have none (first rows: {first(np.flatnonzero(missing))})"
    return [(f"{what} ids", "warning", detail, "These rows are dropped; fill in the ids to keep them.")]


def _response_values(values: pd.Series, column: str, unit: str, *, refused: bool) -> list[Finding]:
    numbers = as_numbers(values)
    text, infinite = values[numbers.isna() & values.notna()], np.isinf(numbers.to_numpy(dtype=np.float64, na_value=0))
    found: list[Finding] = []
    if len(text):
        detail = f"{len(text):,} rows of {column!r} hold text (first: {first(text)})"
        found.append(("text in the response", "error", detail, "Write numbers; remove censored values such as '>10'."))
    if values.isna().any() or infinite.any():
        detail = f"{int(values.isna().sum()):,} responses are missing, {int(infinite.sum()):,} infinite"
        remedy = "Correct them, or drop them with missing='drop' (--missing drop)."
        found.append(
            ("missing responses", "error", detail, remedy) if refused else ("missing responses", "note", detail, "")
        )
    try:
        units.require_plausible(numbers, unit, f"column {column!r}")
    except ValueError as error:
        return [*found, ("unit", "error", *_parted(error))]
    finite = numbers[np.isfinite(numbers.to_numpy(dtype=np.float64, na_value=np.nan))]
    detail = f"{column!r} is {unit}, {finite.min():,.4g} to {finite.max():,.4g}" if len(finite) else "no number at all"
    return [*found, ("unit", "ok" if len(finite) else "error", detail, "" if len(finite) else "Export it again.")]


def _drugs(path: Path) -> list[Finding]:
    frame = table(path)
    ids = find(frame.columns, DRUG) or [str(frame.columns[0])]
    found: list[Finding] = [("drug table", "ok", f"{len(frame):,} drugs; ids: {first(ids)}", "")]
    twice = as_ids(frame[ids[0]]).dropna().loc[lambda names: names.duplicated()]
    if len(twice):
        detail = f"{len(twice):,} rows repeat an id of {ids[0]!r} (first: {first(twice.unique())})"
        found.append(("repeated drugs", "error", detail, "Keep one row for each drug."))
    if not find(frame.columns, SMILES):
        found.append(
            ("no structures", "warning", "there is no column 'smiles'", "Models of drugs need SMILES; add it.")
        )
    return [*found, *_missing_ids(frame, ids[0], "drug"), *_smiles(frame)]


def _smiles(frame: pd.DataFrame) -> list[Finding]:
    columns = find(frame.columns, SMILES)
    if not columns:
        return []
    _, coverage = standardise(pd.DataFrame({"smiles": frame[columns[0]].to_numpy()}, index=range(len(frame))))
    found: list[Finding] = []
    for row in coverage.to_dict("records"):
        detail = f"{row['dropped']:,} drugs: {row['why']}" if row["dropped"] else str(row["why"])
        remedy = SMILES_REMEDIES.get(row["step"], "")
        severity: Severity = "warning" if remedy else "note"
        found.append((row["step"], severity, f"{detail} (rows: {row['examples']})", remedy))
    return found


def _cells(path: Path) -> list[Finding]:
    frame = table(path)
    ids, tissue = find(frame.columns, CELL), find(frame.columns, TISSUE)
    detail = f"{len(frame):,} cells; ids: {first(ids, 6)}; tissue: {first(tissue[:1]) or 'none'}"
    found: list[Finding] = [("table of cells", "ok", detail, "")]
    if not ids:
        found.append(
            ("no ids", "error", f"columns: {first(frame.columns, 8)}", "Name a column 'cell', 'cosmic_id', ...")
        )
    return found + [finding for column in ids[:1] for finding in _missing_ids(frame, column, "cell")]


def _events_in_rows(path: Path) -> list[Finding]:
    found: list[Finding] = [("table of events", "ok", f"{len(table(path)):,} rows, one an event", "")]
    try:
        matrix = events(path)
    except ValueError as error:
        return [*found, ("events", "error", *_parted(error))]
    detail = f"{len(matrix):,} cells x {matrix.shape[1]:,} features; read it with galenic.data.read.events"
    return [*found, ("size", "note", detail, ""), *_few(len(matrix))]


def _matrix(path: Path) -> list[Finding]:
    raw = read_raw(path)
    by_gene = features_in_rows(raw)
    raw = raw.flipped() if by_gene else default_entries(raw)
    known = raw.X[np.isfinite(raw.X)]
    binary = bool(known.size) and bool(np.isin(known, (0, 1)).all())
    kind = "binary events" if binary else "expression"
    place = "rows" if by_gene else "columns"
    detail = (
        f"{raw.X.shape[0]:,} cells x {raw.X.shape[1]:,} features (features in {place}); ids: {first(raw.labels, 5)}"
    )
    found: list[Finding] = [(kind, "ok", detail, "")]
    key = id_column(raw)
    found += _missing_ids(raw.labels, key, "cell")
    twice = as_ids(raw.labels[key]).dropna().duplicated()
    if twice.any():
        detail = f"{int(twice.sum()):,} rows repeat an id of {key!r}"
        remedy = "Choose one row for each, or read with repeats='mean' (--repeats mean)."
        found.append(("repeated cells", "warning", detail, remedy))
    return [
        *found,
        *_numbers(raw),
        *([] if binary else [*_scale(raw.X, known), *_genes(raw.columns)]),
        *_few(len(raw.X)),
    ]


def _numbers(raw: RawMatrix) -> list[Finding]:
    X, found = raw.X, list[Finding]()
    names = np.array(raw.columns)
    missing, infinite = np.isnan(X), np.isinf(X)
    if infinite.any():
        detail = f"{int(infinite.sum()):,} values (first: {first(names[infinite.any(axis=0)])})"
        found.append(("infinite values", "error", detail, "log of 0? Add 1 before the logarithm."))
    if missing.any():
        detail = f"{missing.mean():.1%} of the values, in {int(missing.any(axis=0).sum()):,} features"
        empty = int(missing.all(axis=1).sum())
        detail += f"; {empty:,} cells are empty" if empty else ""
        found.append(("missing values", "warning", detail, "Fill them in, or drop features or cells that lack many."))
    if len(X) > 1:
        constant = ~missing.all(axis=0) & (np.fmax.reduce(X, axis=0) == np.fmin.reduce(X, axis=0))
        if constant.any():
            detail = f"{int(constant.sum()):,} features (first: {first(names[constant])})"
            found.append(("constant features", "note", detail, "They carry nothing; models ignore them."))
    return found


def _scale(X: np.ndarray, known: np.ndarray) -> list[Finding]:
    if not known.size:
        return [("no numbers", "error", "every value is missing", "Export it again.")]
    low, high = float(known.min()), float(known.max())
    span = f"{low:,.4g} to {high:,.4g}"
    relative = _relative_scale(X) or _around_zero(known) if low < 0 else ""
    if relative:
        remedy = "New cells must be brought to the same scale; give log expression where you have it."
        return [("scale", "note", f"{relative}, {span}", remedy)]
    if high <= LARGEST_LOG:
        return [("scale", "ok", f"log scale, {span}", "")]
    counts = low >= 0 and bool((known[:100_000] == np.round(known[:100_000])).all())
    name = "counts" if counts else "unlogged expression"
    remedy = "Normalise to counts per million and take log2(x + 1)." if counts else "Take log2(x + 1)."
    return [(name, "warning", f"log expression is expected; values are {span}", remedy)]


def _relative_scale(X: np.ndarray) -> str:
    """Whether genes were centred, and scaled too, over the cells; ``""`` if neither."""
    varying = np.fmax.reduce(X, axis=0) > np.fmin.reduce(X, axis=0)
    if len(X) < CELLS_FOR_Z or not varying.any() or np.isinf(X).any():
        return ""
    means, spreads = np.nanmean(X[:, varying], axis=0), np.nanstd(X[:, varying], axis=0)
    if np.median(np.abs(means) / spreads) > FARTHEST_MEAN:
        return ""
    # Not "a spread of 1": published z-scores were scaled over other cells, but all genes by the same.
    narrow, wide = np.quantile(spreads, [0.25, 0.75])
    return "z-scores of each gene" if wide < LARGEST_RATIO * narrow else "centred on each gene"


def _around_zero(known: np.ndarray) -> str:
    """What values far on both sides of zero are, however few or odd the cells."""
    low, mean, spread = float(known.min()), float(known.mean()), float(known.std())
    # Logs of 0.001 have a mean near zero too, but also a floor at which many values stand.
    floor = int((known == low).sum()) > max(2, LARGEST_FLOOR * known.size)
    centred = np.isfinite(spread) and low < -1 and abs(mean) < FARTHEST_MEAN * spread and not floor
    return "z-scores or centred values" if centred else ""


def _few(n_cells: int) -> list[Finding]:
    if n_cells >= FEWEST_CELLS:
        return []
    detail = f"{n_cells:,} cells; fitting and scoring by cell need at least {FEWEST_CELLS}"
    return [("few cells", "note", detail, "Enough to predict for, not to fit on.")]


def _genes(columns: list[str]) -> list[Finding]:
    kind, names = kind_of_names(columns), pd.Index(clean_names(columns))
    if (kind == "entrez" and len(columns) < FEWEST_GENES) or look_like_drugs(columns):
        detail = f"{len(columns):,} columns, whose names are ids or drugs and not genes: {first(columns)}"
        return [("may be a wide response table", "warning", detail, MELT)]
    found: list[Finding] = [("gene names", "ok" if kind == "symbol" else "warning", f"{kind}: {first(columns)}", "")]
    if kind in ("ensembl", "entrez"):
        remedy = "Give symbols= (--symbols) to translate them to symbols."
        found = [("gene names", "warning", f"{kind} ids: {first(columns)}", remedy)]
    if look_like_mouse(columns):
        found.append(("mouse genes", "warning", first(columns), "Translate them to human orthologs."))
    dates = [name for name in names if EXCEL_DATE.fullmatch(name)]
    if dates:
        found.append(("gene names as dates", "warning", first(dates), "A spreadsheet changed SEPT and MARCH genes."))
    unnamed, twice = int((names == "").sum()), names[names.duplicated() & (names != "")].unique()
    if unnamed:
        found.append(("genes without a name", "note", f"{unnamed:,} are dropped", ""))
    if len(twice):
        detail = f"{len(twice):,} genes stand more than once (first: {first(twice)})"
        found.append(("repeated genes", "note", detail, "Each becomes the mean of its columns."))
    return found


def _unknown(path: Path) -> list[Finding]:
    frame = table(path)
    cells, drugs = find(frame.columns, CELL), find(frame.columns, DRUG)
    detail = f"columns: {first(frame.columns, 10)}"
    missing = [what for what, there in (("a cell", cells), ("a drug", drugs)) if not there] or [
        "a response with a unit"
    ]
    remedy = (
        f"A response table needs {' and '.join(missing)}: rename columns ('cell', 'drug', 'ln_ic50'), or name them "
        "with --cell-column, --drug-column, --response-column (and --unit)."
    )
    found = long_table(frame.head(20))
    if found is None:
        return [("no table of responses, drugs or cells, and no matrix", "error", detail, remedy)]
    detail += "; perhaps cell {!r}, drug {!r}, response {!r}".format(*found)
    return [("looks like a response table whose columns have other names", "error", detail, remedy)]


def _ctrp(path: Path) -> list[Finding]:
    return [("CTRPv2 table", "ok", path.name, "Read the folder of the release with galenic.data.read.ctrp.")]


def _parted(error: ValueError) -> tuple[str, str]:
    detail, _, remedy = str(error).rpartition(". ")
    return detail or str(error), remedy


CHECKS: Mapping[Layout, Callable[[Path], list[Finding]]] = {
    "response": _response,
    "drugs": _drugs,
    "cells": _cells,
    "expression": _matrix,
    "events": _matrix,
    "long events": _events_in_rows,
    "CTRP curves": _ctrp,
    "CTRP experiments": _ctrp,
    "unknown": _unknown,
}
