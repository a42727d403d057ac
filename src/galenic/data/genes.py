"""Gene names: what kind they are, how to bring them to one form, and what to do with repeats."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
import pandas as pd

from galenic.data.checks import first
from galenic.data.response import COVERAGE_COLUMNS

Kind = Literal["symbol", "ensembl", "entrez", "unknown"]

ENSEMBL = re.compile(r"(ENS[A-Z]*G\d{11})(\.\d+)?(_PAR_Y)?")
"""An Ensembl gene id of any species, with or without version; copies on the Y chromosome keep their mark."""
WITH_ID = re.compile(r"(\S.*?)\s*(?:\((?:\d+|ENS[A-Z]*G\d+)\)|\.\.(?:\d+|ENS[A-Z]*G\d+)\.)")
"""``TP53 (7157)`` as DepMap writes it, ``TP53..7157.`` as R does."""
DRUG_NAME = re.compile(r"BRD-\w.*|.*[a-z]{6,}.*")
"""Broad ids and words: ``erlotinib``, ``5-Fluorouracil``. No symbol of a gene has six small letters in a row."""
MOUSE_SYMBOL = re.compile(r"[A-Z][a-z]{1,}[a-z0-9]*")


def kind_of_names(names: Iterable[object]) -> Kind:
    """What most of ``names`` are.

    Returns
    -------
    "symbol", "ensembl", "entrez" (plain numbers) or "unknown"

    Examples
    --------
    >>> kind_of_names(["ENSG00000141510.16", "ENSG00000146648"])
    'ensembl'
    >>> kind_of_names(["TP53 (7157)", "EGFR (1956)"])
    'symbol'
    """
    texts = [str(name) for name in names]
    tests: dict[Kind, list[bool]] = {
        "ensembl": [ENSEMBL.fullmatch(text) is not None for text in texts],
        "entrez": [text.isdecimal() for text in texts],
        "symbol": [re.match(r"[A-Za-z][A-Za-z0-9.-]", text) is not None for text in texts],
    }
    return next((kind for kind, passed in tests.items() if sum(passed) > 0.5 * len(texts)), "unknown")


def look_like_mouse(names: Iterable[object]) -> bool:
    """Are most of ``names`` mouse genes (``Trp53``, ``ENSMUSG...``)? They are not human genes in other letters.

    Examples
    --------
    >>> look_like_mouse(["Trp53", "Egfr", "Kras"]), look_like_mouse(["TP53", "C1orf112"])
    (True, False)
    """
    texts = [str(name) for name in names]
    mouse = [name for name in texts if name.startswith("ENSMUSG") or MOUSE_SYMBOL.fullmatch(name)]
    # "Gene1", "Gene2", ... are placeholders: real symbols have many stems.
    stems = {name if name.startswith("ENS") else name.rstrip("0123456789") for name in mouse}
    return len(mouse) > 0.5 * len(texts) and len(stems) > 0.2 * len(texts)


def look_like_drugs(names: Iterable[object]) -> bool:
    """Are most of ``names`` those of compounds?

    Examples
    --------
    >>> look_like_drugs(["Erlotinib", "BRD-K1234", "MK-2206"]), look_like_drugs(["EGFR", "C1orf112", "Trp53"])
    (True, False)
    """
    texts = [str(name) for name in names]
    return sum(DRUG_NAME.fullmatch(name) is not None for name in texts) > 0.5 * len(texts)


def clean_names(names: Iterable[object]) -> list[str]:
    """Names without what other programs add: Entrez ids in brackets, versions of Ensembl ids, blanks.

    Examples
    --------
    >>> clean_names(["TP53 (7157)", "TP53..7157.", "ENSG00000141510.16", " EGFR "])
    ['TP53', 'TP53', 'ENSG00000141510', 'EGFR']
    """
    return [_clean("" if name is None or name is pd.NA or name != name else str(name)) for name in names]


def standardise_genes(
    table: pd.DataFrame,
    *,
    symbols: Mapping[str, str] | None = None,
    aliases: Mapping[str, str] | None = None,
    duplicates: Literal["mean", "refuse"] = "mean",
    what: str = "expression",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Bring the gene names of a matrix to one form.

    Parameters
    ----------
    table
        Cells x genes.
    symbols
        Ensembl or Entrez id to symbol. Ids that it does not have are dropped.
    aliases
        Old symbol to current symbol; applied where the current one is not in the table already.
    duplicates
        Genes that stand more than once (or become one): their mean, or a ``ValueError``.
    what
        The modality, for messages.

    Returns
    -------
    table : DataFrame
        Cells x genes, genes in the order of their first appearance, each once.
    coverage : DataFrame
        Columns ``step, kept, dropped, why, examples``.

    Raises
    ------
    ValueError
        If genes repeat and ``duplicates="refuse"``, or ``symbols`` knows none of the ids.

    Warns
    -----
    UserWarning
        If genes were averaged, or the names look like mouse genes.

    Examples
    --------
    >>> table = pd.DataFrame([[1.0, 2.0]], index=["A549"], columns=["ENSG00000141510.16", "ENSG00000146648.12"])
    >>> genes, coverage = standardise_genes(table, symbols={"ENSG00000141510": "TP53", "ENSG00000146648": "EGFR"})
    >>> list(genes.columns)
    ['TP53', 'EGFR']
    """
    if duplicates not in ("mean", "refuse"):
        raise ValueError(f"duplicates should be 'mean' or 'refuse'; received {duplicates!r}. Choose one.")
    steps: list[tuple[str, int, int, str, str]] = []
    names = np.array(clean_names(table.columns), dtype="object")
    kind = kind_of_names(names[:2000])
    if look_like_mouse(names[:2000]):
        warnings.warn(
            f"{what} should have human genes; its names look like mouse (first: {first(names)}). They are kept as they "
            "are: translate them by orthologs, not by capitals.",
            stacklevel=2,
        )
    if symbols and kind in ("ensembl", "entrez"):
        clean = {_clean(str(key)): str(value) for key, value in symbols.items() if _is_name(value)}
        names = np.array([clean.get(name, "") for name in names], dtype="object")
        if not (names != "").any():
            raise ValueError(
                f"the table of symbols should know the genes of {what} (first: {first(table.columns)}); it knows none "
                f"of them (its first: {first(clean)}). Use a table of the same kind of id."
            )
        kind = "symbol"
    lost = names == ""
    if lost.any():
        examples = first(pd.unique(table.columns[lost]))
        steps.append((f"{what} genes", int((~lost).sum()), int(lost.sum()), "they have no name or no symbol", examples))
    if aliases:
        present = set(names)
        names = np.array([_current(name, aliases, present) for name in names], dtype="object")
    tidy = table if not lost.any() else table.loc[:, ~lost]
    tidy = tidy.set_axis(pd.Index(names[~lost]), axis=1)
    repeated = tidy.columns.duplicated(keep=False)
    if repeated.any():
        tidy = _merge(tidy, repeated, duplicates, what)
        why = (
            f"{int(repeated.sum()):,} columns stand for {tidy.columns.size - int((~repeated).sum()):,} genes; averaged"
        )
        examples = first(pd.unique(names[~lost][repeated]))
        steps.append((f"{what} repeated genes", tidy.shape[1], int((~lost).sum()) - tidy.shape[1], why, examples))
    steps.append((f"{what} genes", tidy.shape[1], 0, f"names are of the kind {kind}", first(tidy.columns)))
    return tidy, pd.DataFrame(steps, columns=list(COVERAGE_COLUMNS))


def _clean(name: str) -> str:
    name = name.strip()
    ensembl = ENSEMBL.fullmatch(name)
    if ensembl:
        return ensembl[1] + (ensembl[3] or "")
    with_id = WITH_ID.fullmatch(name)
    return with_id[1] if with_id else name


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _current(name: str, aliases: Mapping[str, str], present: set[str]) -> str:
    current = aliases.get(name, name)
    return name if current in present else current


def _merge(table: pd.DataFrame, repeated: np.ndarray, duplicates: str, what: str) -> pd.DataFrame:
    twice = pd.unique(table.columns[repeated])
    if duplicates == "refuse":
        raise ValueError(
            f"each gene of {what} should stand once; {len(twice):,} stand more than once (first: {first(twice)}). "
            "Merge or drop the repeats, or read with duplicates='mean'."
        )
    warnings.warn(
        f"{len(twice):,} genes of {what} stand more than once (first: {first(twice)}); "
        "each becomes the mean of its columns.",
        stacklevel=3,
    )
    means = table.loc[:, repeated].T.groupby(level=0, sort=False).mean().T
    once = table.loc[:, ~table.columns.duplicated()]
    merged = once.copy()
    merged[means.columns] = means.astype(once.dtypes.iloc[0])
    return merged
