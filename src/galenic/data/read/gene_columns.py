"""Which columns of a table of profiles are genes, told by their names."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from galenic.data.checks import first
from galenic.data.gctx.metadata import GENE_ID, PROFILE_COLUMNS, SYMBOL, as_text
from galenic.data.gctx.selection import PROBE
from galenic.data.genes import ENSEMBL, WITH_ID, clean_names, look_like_mouse
from galenic.data.numbers import as_numbers
from galenic.data.read.columns import GENE, find, plain

GRAMMAR = {
    "ensembl": re.compile(ENSEMBL),
    "entrez": re.compile(r"[1-9]\d*"),
    "symbol": re.compile(r"[A-Z][A-Z0-9]*(orf\d+[A-Z]?)?([-.][A-Z0-9]+)*(?<!^.)"),
    "mouse symbol": re.compile(r"[A-Z][a-z0-9]*([-.][A-Za-z0-9]+)*(?<!^.)"),
}
"""How genes are called. Symbols in capitals are human ones, with the small letters of ``C1orf112``."""
COORDINATE = re.compile(r"(PC|IC|LV|LD|UMAP|TSNE|DIM|COMPONENT|FACTOR|LATENT|X|Y|Z|V)\.?\d+", re.IGNORECASE)
"""Coordinates of an embedding, and the names that programs give to columns without any."""
# fmt: off
WORDS = frozenset((
    "dose", "doses", "dosage", "conc", "concentration", "time", "hour", "hours", "hrs", "day", "days", "week",
    "minute", "minutes", "um", "nm", "ugml", "weight", "mw", "molweight", "logp", "alogp", "clogp", "xlogp", "mlogp",
    "slogp", "logd", "tpsa", "qed", "formula", "smiles", "inchi", "inchikey", "structure", "id", "cid", "sid",
    "chembl", "pubchem", "cas", "barcode", "index", "row", "column", "number", "no", "rank", "order", "position",
    "label", "labels", "class", "classes", "target", "targets", "moa", "mechanism", "pathway", "group", "cluster",
    "category", "type", "status", "split", "fold", "name", "names", "drug", "compound", "perturbagen", "perturbation",
    "pert", "treatment", "vehicle", "control", "cell", "cells", "line", "tissue", "lineage", "organ", "species",
    "donor", "patient", "sample", "subject", "age", "sex", "gender", "bmi", "plate", "well", "batch", "lot", "pool",
    "site", "run", "lane", "replicate", "replicates", "rep", "repeat", "experiment", "study", "source",
    "date", "year", "month", "score", "scores", "viability", "ic50", "ec50", "gi50", "ac50", "auc", "aac", "gr50",
    "dss", "ld50", "pld50", "pic50", "response", "effect", "toxicity", "synergy", "loewe", "bliss", "zip", "hsa",
    "tas", "cc", "n", "count", "counts", "total", "mean", "median", "average", "std", "sd", "sem", "cv", "variance",
    "min", "minimum", "maximum", "pvalue", "qvalue", "fdr", "quality", "qc", "pass", "flag", "rin", "ph",
))
# fmt: on
"""Words, in small letters, of which the name of a column about a sample or a compound has one; no gene is called so."""
KNOWN = frozenset(plain(name) for own, others in PROFILE_COLUMNS.items() for name in (own, *others))
REMEDY = (
    "Name the genes in a table with the column gene_symbol or gene_id (gene_info=, --gene-info), or rename the columns."
)
ENTREZ = re.compile(r".*?(?:\((\d+)\)|\.\.(\d+)\.)")


class NoGenesError(ValueError):
    """No column of a table is called as genes are."""


@dataclass(frozen=True, eq=False)
class GeneColumns:
    """The columns of a table by what they are.

    Parameters
    ----------
    genes
        Places of the columns of genes, ``(n_genes,)``.
    var
        A row a gene: index = its name, and what is known of it.
    others
        Names of the columns that say something of the profiles.
    """

    genes: np.ndarray
    var: pd.DataFrame
    others: list[str]


def is_annotation(name: str) -> bool:
    """Whether a column says something of a profile, whatever it is made of: dose, time, weights, ids, labels, scores.

    Examples
    --------
    >>> [is_annotation(name) for name in ("DOSE", "dose_um", "molecular_weight", "ALOGP", "pubchem_cid", "TIME.H")]
    [True, True, True, True, True, True]
    >>> [is_annotation(name) for name in ("DDR1", "HLA-DRA", "C1orf112", "CAT", "REST", "5720")]
    [False, False, False, False, False, False]
    """
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()
    words = [re.sub(r"(?<=[a-z]{4})\d+$", "", word) for word in re.split(r"[^a-z0-9]+", spaced) if word]
    return plain(name) in KNOWN or any(word in WORDS for word in (*words, plain(name)))


def gene_columns(table: pd.DataFrame, name: str, gene_info: pd.DataFrame | None = None) -> GeneColumns:
    """The columns of a table of profiles that are genes, and those that are not.

    With ``gene_info`` the genes are the columns that it names: in ``gene_id``, ``gene_symbol``, ``ensembl_id`` or the
    like. Without, they are the columns of numbers that are called as genes are (:data:`GRAMMAR`), all in one way, and
    that :func:`is_annotation` does not know.

    Parameters
    ----------
    table
        A row a profile. Not changed.
    name
        Of the file, for messages.
    gene_info
        A row a gene.

    Raises
    ------
    NoGenesError
        If no column is a gene.
    ValueError
        If most columns of numbers cannot be told, a gene holds text, or a gene stands twice.

    Examples
    --------
    >>> table = pd.DataFrame({"drug": ["a", "b"], "dose_um": [0.1, 10.0], "TP53": [0.5, -1.0], "EGFR": [2.0, 1.0]})
    >>> found = gene_columns(table, "a table")
    >>> list(found.var.index), found.others
    (['TP53', 'EGFR'], ['drug', 'dose_um'])
    """
    names = [str(column) for column in table.columns]
    numbers = np.array([_numbers(table.iloc[:, i]) for i in range(len(names))], dtype=bool)
    if gene_info is not None:
        chosen, var = _listed(names, gene_info, name)
    else:
        chosen, kind = _called_so(names, numbers, table, name)
        var = _table_of([names[i] for i in chosen], kind)
    _require_numbers(table, chosen[~numbers[chosen]], name)
    if not var.index.is_unique:
        twice = var.index[var.index.duplicated()].unique()
        raise ValueError(
            f"each gene of {name} should be one column; {len(twice):,} are several (first: {first(twice)}). "
            "Merge or remove the repeats."
        )
    taken = set(chosen.tolist())
    return GeneColumns(chosen, var, [column for i, column in enumerate(names) if i not in taken])


def _numbers(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _called_so(names: list[str], numbers: np.ndarray, table: pd.DataFrame, name: str) -> tuple[np.ndarray, str]:
    """Places of the columns that are called as most of those are that could be genes, and how."""
    left = np.array([not (is_annotation(one) or COORDINATE.fullmatch(one)) for one in names], dtype=bool)
    free = np.flatnonzero(numbers & left)
    cleaned = clean_names(names)
    by_kind = {
        kind: np.array([i for i in free if grammar.fullmatch(cleaned[i])], dtype=int)
        for kind, grammar in GRAMMAR.items()
    }
    if not look_like_mouse([cleaned[i] for i in free]):
        del by_kind["mouse symbol"]
    if {cleaned[i] for i in by_kind["entrez"]} == {str(number + 1) for number in range(len(by_kind["entrez"]))}:
        del by_kind["entrez"]  # columns without names that were counted
    kind = max(by_kind, key=lambda one: len(by_kind[one]))
    found = by_kind[kind]
    coordinates = [one for one in np.array(names, dtype=object)[numbers] if COORDINATE.fullmatch(one)]
    unclear = [*(names[i] for i in np.setdiff1d(free, found)), *coordinates]
    if not len(found):
        raise NoGenesError(_none(names, unclear, table, name))
    if len(unclear) > len(found):
        shown = first([names[i] for i in found])
        raise ValueError(
            f"columns of numbers in {name} should be called as genes are (symbols, Entrez or Ensembl ids); of those "
            f"that could be genes {len(found):,} are (first: {shown}) and {len(unclear):,} are not (first: "
            f"{first(unclear)}). {REMEDY}"
        )
    # Of a gene that was spoiled the name still tells; columns that are text throughout are no genes.
    spoiled = [
        i for i in np.flatnonzero(~numbers & left) if GRAMMAR[kind].fullmatch(cleaned[i]) and _mostly(table.iloc[:, i])
    ]
    return np.sort(np.r_[found, np.array(spoiled, dtype=int)]), kind


def _none(names: list[str], unclear: list[str], table: pd.DataFrame, name: str) -> str:
    """What to say of a table without genes."""
    labels = [
        column for column in ("", *find(names, GENE)) if column in names and table[column].dtype.kind not in "biuf"
    ]
    for column in labels:
        rows = clean_names(table[column].dropna().head(200))
        if sum(bool(re.fullmatch(GRAMMAR["symbol"], one) or ENSEMBL.fullmatch(one)) for one in rows) > 0.9 * len(rows):
            return (
                f"rows of {name} should be profiles and its columns genes; it has genes in its rows (column "
                f"{column!r}: {first(rows)}). Transpose it."
            )
    has = f"columns that could be genes are {first(unclear)}" if unclear else f"its columns are {first(names, 6)}"
    return (
        f"columns of numbers in {name} should be called as genes are (symbols, Entrez or Ensembl ids); none is "
        f"({has}). {REMEDY}"
    )


def _mostly(column: pd.Series) -> bool:
    """Whether most of what a column of text holds are numbers."""
    known = column.dropna()
    return len(known) > 0 and float(as_numbers(known).notna().mean()) > 0.5


def _require_numbers(table: pd.DataFrame, places: np.ndarray, name: str) -> None:
    if not len(places):
        return
    column = table.iloc[:, places[0]]
    wrong = column[as_numbers(column).isna() & column.notna()]
    shown = f"{column.name!r} holds {first(pd.unique(wrong))}" if len(wrong) else f"{column.name!r} is {column.dtype}"
    raise ValueError(
        f"every gene of {name} should hold numbers; {len(places):,} of its genes hold something else ({shown}). "
        "Correct these values, or leave them empty where nothing is known."
    )


def _table_of(names: list[str], kind: str) -> pd.DataFrame:
    """What the names of the genes say of them."""
    cleaned = clean_names(names)
    var = pd.DataFrame(index=pd.Index(cleaned, dtype=object))
    if kind in ("symbol", "mouse symbol"):
        var["symbol"] = cleaned
    marked = [ENTREZ.fullmatch(one.strip()) if WITH_ID.fullmatch(one.strip()) else None for one in names]
    ids = [match[1] or match[2] if match else None for match in marked]
    return var.assign(gene_id=ids) if ids and all(ids) else var


def _listed(names: list[str], info: pd.DataFrame, name: str) -> tuple[np.ndarray, pd.DataFrame]:
    """Places of the columns that a table of genes names, and what it says of them."""
    keys = [key for key in (*GENE_ID, *SYMBOL, *PROBE) if key in info]
    keys += [key for key in find(info.columns, GENE) if key not in keys]
    cleaned = pd.Index(clean_names(names))
    counts = {key: int(cleaned.isin(_ids(info[key])).sum()) for key in keys}
    key = max(counts, key=lambda one: counts[one], default="")
    if not key or not counts[key]:
        has = f"{key!r}: {first(info[key])}" if key else first(info.columns, 6)
        raise ValueError(
            f"the table of genes should name columns of {name} (first: {first(names, 6)}) in a column such as "
            f"gene_symbol or gene_id; it names none of them (it has {has}). Give the table that belongs to the file."
        )
    known = info.set_axis(pd.Index(as_text(info[key])), axis=0)
    known = known[known.index.isin(cleaned)]
    if not known.index.is_unique:
        twice = known.index[known.index.duplicated()].unique()
        raise ValueError(
            f"each gene of the table of genes should stand once in {key!r}; {len(twice):,} of the columns of {name} "
            f"stand more than once (first: {first(twice)}). Remove the repeats."
        )
    chosen = np.flatnonzero(cleaned.isin(known.index))
    others = [one for one in cleaned if one not in known.index and GRAMMAR["symbol"].fullmatch(one)]
    others = [one for one in others if not (is_annotation(one) or COORDINATE.fullmatch(one))]
    if others:
        warnings.warn(
            f"the table of genes should name every gene of {name}; {len(others):,} columns that are called like genes "
            f"are not in its {key!r} (first: {first(others)}). They are not read as genes.",
            stacklevel=2,
        )
    var = known.reindex(cleaned[chosen]).drop(columns=[key] if key in PROBE else [])
    return chosen, var.rename_axis(index=None)


def _ids(values: Iterable[object]) -> pd.Index:
    return pd.Index(as_text(values)).drop([""], errors="ignore")
