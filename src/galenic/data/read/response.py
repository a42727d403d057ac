"""Response, cells and drugs from any tables: joined by id, with an account of what did not match."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data import units
from galenic.data.checks import first
from galenic.data.drugs import standardise
from galenic.data.numbers import as_numbers
from galenic.data.read.cells import read_cells
from galenic.data.read.columns import CELL, DRUG, REPLICATE, STUDY, as_ids, find, require_choice
from galenic.data.read.coverage import Step, coverage_table, step
from galenic.data.read.drug_table import named_smiles, read_drugs, unparsable
from galenic.data.read.join import id_columns
from galenic.data.read.matrices import Source
from galenic.data.read.tables import table, with_index_as_column
from galenic.data.response import PAIR_KEYS, ResponseData

TableSource: TypeAlias = str | Path | pd.DataFrame
WIDE = 8
"""Columns of numbers without a unit from which on a table is not one row a measurement."""
ROLES = ("cell", "drug", "response", "study", "replicate")
Repeats = Literal["refuse", "mean"]
Missing = Literal["refuse", "drop"]


def response_data(
    response: TableSource,
    *,
    expression: Source | None = None,
    modalities: Mapping[str, Source] | None = None,
    drugs: TableSource | None = None,
    cells: TableSource | None = None,
    columns: Mapping[str, str | None] | None = None,
    unit: str | None = None,
    repeats: Repeats = "refuse",
    missing: Missing = "refuse",
    study: str | None = None,
    symbols: Mapping[str, str] | None = None,
) -> ResponseData:
    """Join a response table with the matrices of its cells and the structures of its drugs.

    Parameters
    ----------
    response
        One row a measurement: a cell, a drug and a response. Columns are recognised by the names of the field
        (``cell``, ``COSMIC_ID``, ``CELL_LINE_NAME``, ``DepMap_ID``, ``ModelID``, ...; ``drug``, ``DRUG_ID``,
        ``broad_id``, ...; ``LN_IC50``, ``AUC``, ...).
    expression
        Log expression, cells x genes in either orientation: a file, a DataFrame or AnnData (whose ``obsm`` is kept).
    modalities
        Further matrices by name: ``{"mutation": file, "methylation": file}``.
    drugs
        One row a drug: ids, ``smiles``, ``name``, ``targets``, ``moa``. Without it, drugs are what the response table
        says.
    cells
        One row a cell: ids (several kinds make files with different ids joinable), ``tissue``, names.
    columns
        Overrides names of the response table: ``{"cell": "my column", "drug": ..., "response": ...}``.
        ``"response": None`` reads pairs without a response, to be predicted; ``"study": None`` ignores the study.
    unit
        What the response is in (see :func:`galenic.data.units.to_unit`). Chooses among several response columns, and
        overrules the name of a single one. Every IC50 becomes ln IC50.
    repeats
        Pairs that stand more than once with nothing (``study``, ``replicate``) to tell them apart, and cells that stand
        more than once in a matrix with different values: a ``ValueError``, or their mean.
    missing
        What to do with rows whose response is empty or infinite: a ``ValueError``, or drop them and report it.
    study
        Column that tells studies apart, or the name of the one study this is.
    symbols
        Ensembl or Entrez id to gene symbol, for the genes of ``expression``.

    Returns
    -------
    ResponseData
        ``cells``: those with a response and at least one matrix, sorted by id; ``coverage``: what was matched and
        dropped.

    Raises
    ------
    ValueError
        If a column is not found, the values contradict the unit, pairs repeat, or two tables share fewer than 10 % of
        their ids.

    Warns
    -----
    UserWarning
        If expression looks unlogged, genes or cells were merged, a SMILES does not parse (the structure is set
        missing), or several columns could be the response and neither ``columns`` nor ``unit`` says which.

    Notes
    -----
    Where several columns of ids could join two tables, the pair of columns that shares most ids is used, and named in
    the coverage. Names are compared letter by letter: ``KM-H2`` and ``KMH-2`` are different cells.

    Examples
    --------
    >>> cells = ["A549", "PC9", "HeLa"]
    >>> response = pd.DataFrame({"CELL_LINE_NAME": cells, "DRUG_NAME": "ethanol", "LN_IC50": [2.0, -1.0, 0.5]})
    >>> expression = pd.DataFrame({"EGFR": [5.0, 9.0]}, index=["A549", "PC9"])
    >>> drugs = pd.DataFrame({"drug": ["ethanol"], "smiles": ["OCC"]})
    >>> data = response_data(response, expression=expression, drugs=drugs)
    >>> data
    ResponseData(2 pairs: 2 cells x 1 drug, ln_ic50; expression 1)
    >>> data.coverage.query("dropped > 0")[["step", "dropped", "examples"]].values.tolist()
    [['expression', 1, "'HeLa'"], ['cells without matrices', 1, "'HeLa'"]]
    """
    steps: list[Step] = []
    frame = as_table(response)
    if frame.empty:
        raise ValueError("the response table should hold measurements, one a row; it has no rows. Export it again.")
    choice = dict(columns or {})
    require_choice(choice, ROLES, frame.columns)
    cell_ids = _ids_of(frame, "cell", CELL, choice)
    drug_ids = _ids_of(frame, "drug", DRUG, choice)
    values, out_unit = _response_values(frame, choice, unit, missing, steps)
    if expression is not None and "expression" in (modalities or {}):
        raise ValueError(
            "expression= (--expression) should be given once; it is in modalities= (--modality) as well. "
            "Remove it there."
        )
    sources = {**({} if expression is None else {"expression": expression}), **(modalities or {})}
    info = None if cells is None else as_table(cells)
    cell, adata = read_cells(cell_ids, frame, sources, info, symbols=symbols, repeats=repeats, steps=steps)
    info = None if drugs is None else as_table(drugs)
    drug, drug_table = read_drugs(drug_ids, frame, info, chosen=choice.get("drug"), steps=steps)

    pairs = pd.DataFrame({"cell": cell.to_numpy(), "drug": drug.to_numpy()})
    if values is not None:
        pairs["response"] = values
    for key, labels in _told_apart_by(frame, choice, study).items():
        pairs[key] = labels
    pairs = _drop(pairs, adata, drug_table, steps)
    pairs = _without_repeats(pairs, repeats, steps)
    adata = adata[adata.obs_names.isin(pairs["cell"])].copy()
    used = drug_table.loc[drug_table.index.isin(pairs["drug"])]
    standard, structures = standardise(used)
    _require_structures(used, standard)
    steps.append(step("pairs", len(pairs), 0, f"{adata.n_obs:,} cells x {len(standard):,} drugs", []))
    coverage = pd.concat([coverage_table(steps), structures], ignore_index=True)
    return ResponseData(pairs, adata, standard, unit=out_unit, coverage=coverage)


def _require_structures(given: pd.DataFrame, standard: pd.DataFrame) -> None:
    """A few SMILES that do not parse are warned of; a column of them is not one of SMILES."""
    bad, n_given = unparsable(given, standard), int(given["smiles"].notna().sum())
    if len(bad) > n_given / 2:
        raise ValueError(
            f"most SMILES of the drug table should parse; {len(bad):,} of {n_given:,} do not ({named_smiles(bad)}). "
            "Correct them, or rename the column if it does not hold SMILES."
        )
    if len(bad):
        warnings.warn(
            f"{len(bad):,} of {n_given:,} SMILES do not parse ({named_smiles(bad)}); these drugs have no structure.",
            stacklevel=3,
        )


def as_table(source: TableSource) -> pd.DataFrame:
    """A file or frame as a table with text names, its index (if it means something) as first column."""
    if not isinstance(source, pd.DataFrame):
        frame = table(source)
    elif source.index.name is None and source.index.inferred_type == "integer" and find(source, (*CELL, *DRUG[:-1])):
        frame = source  # rows were chosen or shuffled; the ids stand in columns
    else:
        frame = with_index_as_column(source)
    frame = frame.reset_index(drop=True)
    return frame.set_axis([str(column) for column in frame.columns], axis=1)


def _ids_of(frame: pd.DataFrame, role: str, aliases: tuple[str, ...], choice: Mapping[str, str | None]) -> pd.DataFrame:
    """The columns of ids that ``frame`` has for a role, as text."""
    chosen = choice.get(role)
    names = [chosen] if chosen is not None else find(frame.columns, aliases)
    if not names:
        raise ValueError(
            f"the response table needs a column for the {role}, such as {first(aliases, 4)}; it has "
            f"{first(frame.columns, 12)}. {_wide(frame)}"
            f"Rename one, or say which with columns={{{role!r}: ...}} (--{role}-column)."
        )
    return id_columns(frame, names)


def _wide(frame: pd.DataFrame) -> str:
    """What to do if the drugs seem to be the columns; ``""`` if they do not."""
    if len(frame.select_dtypes("number").columns) < WIDE:
        return ""
    return "It may be a wide table, cells x drugs: melt it to cell, drug, response (pandas.melt). "


def _response_values(
    frame: pd.DataFrame, choice: Mapping[str, str | None], unit: str | None, missing: Missing, steps: list[Step]
) -> tuple[np.ndarray | None, str]:
    if "response" in choice and choice["response"] is None:
        return None, units.family(unit or "ln_ic50")
    is_open = choice.get("response") is None and unit is None
    column, unit = response_column(frame, choice.get("response"), unit)
    others = other_responses(frame, column, unit) if is_open else []
    if others:
        warnings.warn(
            f"{len(others) + 1:,} columns could be the response; {column!r} is read, {first(others)} not. "
            "Say which with columns={'response': ...} (--response-column) or unit=... (--unit).",
            stacklevel=3,
        )
    numbers = as_numbers(frame[column])
    text = frame[column][numbers.isna() & frame[column].notna()]
    if len(text):
        raise ValueError(
            f"every response should be a number; {len(text):,} rows of column {column!r} hold text "
            f"(first: {first(text)}). "
            "Correct or remove them; censored values such as '>10' need a number, or to go."
        )
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    absent = np.flatnonzero(~np.isfinite(values))
    if len(absent) and missing == "refuse":
        raise ValueError(
            f"every response should be a finite number; {len(absent):,} rows of column {column!r} are empty or "
            f"infinite (first rows: {first(absent)}). Correct them, or drop them with missing='drop' (--missing drop)."
        )
    units.require_plausible(values, unit, f"column {column!r}")
    out_unit = units.family(unit)
    read = f"column {column!r} in {unit}" + ("" if unit == out_unit else f", converted to {out_unit}")
    steps.append(step("response table", len(frame), 0, read))
    finite = np.isfinite(values)
    converted = np.full(len(values), np.nan)
    converted[finite] = units.to_unit(values[finite], unit, out_unit)
    return converted, out_unit


def response_column(frame: pd.DataFrame, chosen: str | None, unit: str | None) -> tuple[str, str]:
    """The response column of a table and its unit; of several the first of ln IC50, IC50, AUC, viability."""
    if chosen is not None:
        return chosen, unit or units.guess_unit(chosen, as_numbers(frame[chosen]))
    named: dict[str, str] = {}
    for column in frame.columns:
        try:
            found = units.unit_of_name(column)
        except ValueError:
            if unit is None:
                raise
            found = unit
        if found is not None:
            named.setdefault(found, column)
    if not named:
        generic = find(frame.columns, ["response", "value"])
        if generic and unit is not None:
            return generic[0], unit
        raise ValueError(
            f"the response table needs a column of responses whose name says its unit, such as 'ln_ic50', 'ic50' or "
            f"'auc'; it has {first(frame.columns, 12)}. "
            "Say which with columns={'response': ...} (--response-column) and unit=... (--unit)."
        )
    if unit is not None and unit in named:
        return named[unit], unit
    first_unit = next(known for known in units.SPELLINGS if known in named)
    if unit is not None and units.family(unit) != units.family(first_unit):
        raise ValueError(
            f"unit={unit!r} should be the unit of a response column; the table has {first(named.values(), 5)}. "
            "Leave unit (--unit) out, or say which column with columns={'response': ...} (--response-column)."
        )
    return named[first_unit], unit or first_unit


def other_responses(frame: pd.DataFrame, column: str, unit: str) -> list[str]:
    """Columns that state another kind of response than ``column`` does."""
    known = {name: units.unit_of_name(name) for name in frame.columns if name != column}
    return [name for name, other in known.items() if other is not None and units.family(other) != units.family(unit)]


def _told_apart_by(frame: pd.DataFrame, choice: Mapping[str, str | None], study: str | None) -> dict[str, np.ndarray]:
    """Columns ``study`` and ``replicate`` of the pairs, where the table has them."""
    labels: dict[str, np.ndarray] = {}
    for key, aliases in (("study", STUDY), ("replicate", REPLICATE)):
        found = [choice[key]] if key in choice else find(frame.columns, aliases)
        if key == "study" and study is not None:
            labels[key] = (
                as_ids(frame[study]).to_numpy() if study in frame else np.full(len(frame), study, dtype="object")
            )
        elif found and found[0] is not None:
            labels[key] = as_ids(frame[found[0]]).to_numpy()
    return labels


def _drop(pairs: pd.DataFrame, adata: AnnData, drugs: pd.DataFrame, steps: list[Step]) -> pd.DataFrame:
    """Leave out what cannot be used, one reason after the other."""
    unnamed = pairs[["cell", "drug"]].isna().any(axis=1)
    tests = [
        ("rows without an id", unnamed, "the cell or the drug has no id", None),
        ("cells without matrices", ~unnamed & ~pairs["cell"].isin(adata.obs_names), "", "cell"),
        (
            "drugs not in the drug table",
            ~unnamed & ~pairs["drug"].isin(drugs.index),
            "the drug table does not have them",
            "drug",
        ),
    ]
    if "response" in pairs:
        tests.append(("missing responses", pairs["response"].isna(), "the response is empty or infinite", None))
    keep = np.ones(len(pairs), dtype=bool)
    for name, bad, why, shown in tests:
        lost = keep & bad.to_numpy()
        keep &= ~lost
        if lost.any() and why:
            examples = np.flatnonzero(lost) if shown is None else pd.unique(pairs.loc[lost, shown])
            steps.append(step(name, int(keep.sum()), int(lost.sum()), why, examples))
    if not keep.any():
        report = "; ".join(f"{row['step']}: {row['dropped']:,} dropped" for row in steps if row["dropped"])
        raise ValueError(
            f"some rows should be left after joining; none of {len(pairs):,} are ({report}). Check the ids."
        )
    return pairs[keep].reset_index(drop=True)


def _without_repeats(pairs: pd.DataFrame, repeats: str, steps: list[Step]) -> pd.DataFrame:
    keys = [key for key in PAIR_KEYS if key in pairs]
    twice = pairs.duplicated(keys, keep=False)
    if not twice.any():
        return pairs
    groups = pairs[twice].drop_duplicates(keys)
    names = groups["cell"] + " + " + groups["drug"]
    if repeats == "refuse":
        raise ValueError(
            f"each pair of cell and drug should stand once; {int(twice.sum()):,} rows repeat {len(groups):,} pairs "
            f"(first: {first(names)}). Average them with repeats='mean' (--repeats mean), or tell them apart by a "
            "'study' or 'replicate' column."
        )
    once = pairs.drop_duplicates(keys, ignore_index=True)
    if "response" in pairs:
        once = once.assign(response=pairs.groupby(keys, sort=False, dropna=False)["response"].mean().to_numpy())
    why = f"{len(groups):,} pairs stood more than once; averaged"
    steps.append(step("repeated pairs", len(once), len(pairs) - len(once), why, names))
    return once
