"""One set of column names for profiles and genes, whatever release of the Connectivity Map they come from."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from galenic.data.checks import first
from galenic.data.numbers import as_numbers

MISSING_NUMBER = -666.0
"""What the Connectivity Map writes where nothing is known."""
MISSING_TEXTS = frozenset({"", "-666", "-666.0", "-666.00", "na", "nan", "none", "<na>"})
"""In small letters."""
PROFILE_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "pert_id": ("pert",),
    "pert_name": ("pert_iname", "cmap_name"),
    "pert_type": (),
    "cell": ("cell_id", "cell_iname"),
    "dose": ("pert_dose", "pert_dose_uM"),
    "dose_unit": ("pert_dose_unit",),
    "time": ("pert_time", "pert_time_h"),
    "time_unit": ("pert_time_unit",),
    "plate": ("rna_plate", "det_plate"),
    "well": ("rna_well", "det_well"),
    "phase": (),
    "moa": (),
    "target": (),
    "smiles": ("canonical_smiles",),
}
"""Each column of ``obs`` with the names that releases give to it, the preferred one first."""
NUMBERS = ("dose", "time")
UNITS = {"pert_dose_uM": ("dose_unit", "uM"), "pert_time_h": ("time_unit", "h")}
"""Columns whose name says the unit."""
GENE_ID = ("gene_id", "pr_gene_id")
SYMBOL = ("symbol", "pr_gene_symbol", "gene_symbol")
LANDMARK = ("landmark", "pr_is_lm", "pr_is_lmark", "is_landmark", "feature_space")
TRUE = frozenset({"1", "1.0", "true", "y", "yes", "landmark"})
ROW_ID = "row_id"
"""The file's own id of a gene (often a probe), where genes are named otherwise."""


def typed(values: Iterable[object]) -> np.ndarray:
    """Numbers where every known value is one, otherwise text; missing is NaN or None.

    Returns
    -------
    ndarray, (n,)
        int64, float64 (also where nothing is known), or objects: text and None. Digits that start with 0 are text.

    Examples
    --------
    >>> typed(["10", "-666"]).tolist(), typed(["a", "na"]).tolist(), typed(["1", "2"]).tolist()
    ([10.0, nan], ['a', None], [1, 2])
    """
    array = np.asarray(values if isinstance(values, np.ndarray) else list(values))
    if array.dtype.kind == "b":
        return array
    if array.dtype.kind in "iu":
        array = array.astype(np.int64)
        return np.where(array == MISSING_NUMBER, np.nan, array) if (array == MISSING_NUMBER).any() else array
    if array.dtype.kind == "f":
        return np.where(array == MISSING_NUMBER, np.nan, array.astype(np.float64))
    # Metadata repeat: millions of profiles have a few thousand distinct values.
    codes, distinct = pd.factorize(as_text(array))
    texts = [_known(text) for text in distinct]
    numbers = _as_numbers(texts)
    return (np.array(texts, dtype="object") if numbers is None else numbers)[codes]


def as_text(values: Iterable[object]) -> np.ndarray:
    """Every value as text without blanks around it, ``(n,)``; whole numbers without ``.0``, missing as ``""``.

    Examples
    --------
    >>> as_text([5720.0, b"AB ", None]).tolist()
    ['5720', 'AB', '']
    """
    try:
        codes, distinct = pd.factorize(np.asarray(values, dtype="object"), use_na_sentinel=False)
    except (TypeError, ValueError) as error:  # lists, records, parts of HDF5 that are empty
        raise ValueError(
            f"metadata should be numbers and texts, one for each row; they hold something else ({error}). Leave that "
            "column out."
        ) from error
    return np.array([_text(value) for value in distinct], dtype="object")[codes]


def as_names(values: Iterable[object]) -> np.ndarray:
    """Every value as text, digits too; missing as None, or where nothing at all is known as NaN.

    Examples
    --------
    >>> as_names([5720.0, None]).tolist()
    ['5720', None]
    """
    texts = as_text(values)
    if not (texts != "").any():
        # Files have no column of text that is missing throughout; one of numbers they have.
        return np.full(len(texts), np.nan)
    texts[texts == ""] = None
    return texts


def canonical_profiles(raw: pd.DataFrame) -> pd.DataFrame:
    """The table of profiles under galenic's names; columns that have none keep theirs.

    Parameters
    ----------
    raw
        Index = ids of the profiles; columns as a release names them.

    Returns
    -------
    DataFrame
        Same rows. ``dose`` and ``time`` are float64, the other columns of :data:`PROFILE_COLUMNS` text; those that the
        table does not know are absent. Of several names for one column the first that has values is taken.

    Warns
    -----
    UserWarning
        If a dose or time is not a number; the texts are kept as ``dose_text`` or ``time_text``.

    Examples
    --------
    >>> canonical_profiles(pd.DataFrame({"cell_id": ["A549"], "pert_dose": ["-666"]}, index=["p1"])).to_dict("list")
    {'cell': ['A549'], 'dose': [nan]}
    """
    columns: dict[str, np.ndarray] = {str(name): typed(raw[name].to_numpy()) for name in raw.columns}
    found: dict[str, np.ndarray] = {}
    for name, aliases in PROFILE_COLUMNS.items():
        source = _chosen(columns, (name, *aliases))
        if source is None:
            continue
        values = columns.pop(source)
        if name in NUMBERS:
            found[name], lost = _numbers(values, source)
            columns |= {f"{name}_text": values} if lost else {}
        else:
            # Ids may be digits; they are names all the same.
            found[name] = as_names(values)
        if source in UNITS and not any(unit in raw for unit in (UNITS[source][0], *PROFILE_COLUMNS[UNITS[source][0]])):
            columns[UNITS[source][0]] = np.full(len(raw), UNITS[source][1], dtype="object")
    return pd.DataFrame({**found, **columns}, index=_index(raw.index))


def canonical_genes(raw: pd.DataFrame, name: str) -> pd.DataFrame:
    """The table of genes, named by their Entrez ids where it knows them.

    Parameters
    ----------
    raw
        Index = the file's own ids; columns as a release names them.
    name
        Of the file, for messages.

    Returns
    -------
    DataFrame
        Same rows; ``symbol`` (text) and ``landmark`` (bool) where known, ``row_id`` where the file's own id is another.

    Warns
    -----
    UserWarning
        If Entrez ids are there but missing or repeated, so that the file's own ids must serve.

    Examples
    --------
    >>> raw = pd.DataFrame({"pr_gene_id": [5720.0], "pr_is_lm": ["1"]}, index=["200814_at"])
    >>> genes = canonical_genes(raw, "a file")
    >>> list(genes.index), genes["landmark"].tolist()
    (['5720'], [True])
    """
    columns = {str(column): typed(raw[column].to_numpy()) for column in raw.columns}
    names = as_text(raw.index)
    ids = _chosen(columns, GENE_ID)
    if ids is not None:
        entrez = as_text(columns[ids])
        unknown, repeated = int((entrez == "").sum()), int(pd.Index(entrez[entrez != ""]).duplicated().sum())
        if unknown or repeated:
            warnings.warn(
                f"genes of {name} should each have their own Entrez id in {ids!r}; {unknown:,} of {len(entrez):,} have "
                f"none and {repeated:,} repeat one. They are called by the ids of the rows (first: {first(names)}).",
                stacklevel=2,
            )
        else:
            if ROW_ID not in columns and (entrez != names).any():
                columns[ROW_ID] = names
            del columns[ids]
            names = entrez
    symbol, landmark = _chosen(columns, SYMBOL), _chosen(columns, LANDMARK)
    if symbol is not None:
        columns["symbol"] = as_names(columns.pop(symbol))
    if landmark is not None:
        flags = as_text(columns[landmark] if landmark == "feature_space" else columns.pop(landmark))
        columns["landmark"] = np.array([text.lower() in TRUE for text in flags], dtype=bool)
    return pd.DataFrame(columns, index=pd.Index(names))


def released_names(table: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The table under the names that CMap tools know: what :func:`canonical_profiles` and its sister undo."""
    if axis == "profiles":
        names = {name: aliases[0] for name, aliases in PROFILE_COLUMNS.items() if aliases and name != "pert_id"}
    else:
        names = {"symbol": "pr_gene_symbol", "landmark": "pr_is_lm"}
    renamed = {own: other for own, other in names.items() if own in table and other not in table}
    return table.rename(columns=renamed)


def _known(text: str) -> str | None:
    return None if text.lower() in MISSING_TEXTS else text


def _text(value: object) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8").strip()
        except UnicodeDecodeError:
            # Files written by MATLAB: micro signs and names of people in Latin-1.
            return value.decode("latin-1").strip()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value).strip()


def _as_numbers(texts: list[str | None]) -> np.ndarray | None:
    known = [text for text in texts if text is not None]
    if any((text[0] == "0" and text[1:2].isdigit()) or "_" in text for text in known):
        return None
    try:
        if len(known) == len(texts) and known:
            return np.array([int(text) for text in texts if text is not None], dtype=np.int64)
    except (ValueError, OverflowError):
        pass
    try:
        return np.array([np.nan if text is None else float(text) for text in texts], dtype=np.float64)
    except ValueError:
        return None


def _chosen(columns: Mapping[str, np.ndarray], names: Iterable[str]) -> str | None:
    """The first of ``names`` that has values, else the first that is there."""
    present = [name for name in names if name in columns]
    filled = [name for name in present if not pd.isna(columns[name]).all()]
    return next(iter([*filled, *present]), None)


def _numbers(values: np.ndarray, source: str) -> tuple[np.ndarray, bool]:
    """As float64, and whether texts were lost on the way."""
    numbers = as_numbers(pd.Series(values)).to_numpy(dtype=np.float64)
    lost = np.isnan(numbers) & ~pd.isna(values)
    if lost.any():
        warnings.warn(
            f"{source} should hold numbers; {int(lost.sum()):,} of {len(values):,} profiles have text (first: "
            f"{first(pd.unique(values[lost]))}). They count as missing there; the texts are kept beside it.",
            stacklevel=3,
        )
    return numbers, bool(lost.any())


def _index(names: pd.Index) -> pd.Index:
    return pd.Index(as_text(names))
