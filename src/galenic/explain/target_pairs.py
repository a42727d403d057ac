"""Known pairs of targets by disease: three tables joined, the pairs among measured genes, and how popular genes are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from galenic.work.near import nearest

NAMES = {"genename1": "gene_a", "genename2": "gene_b", "fd_name": "disease"}
"""What the published tables call the columns that are read here."""
KEYS = ["gene_a", "gene_b", "disease"]


def known_pairs(pairs: pd.DataFrame, mapping: pd.DataFrame, combinations: pd.DataFrame) -> pd.DataFrame:
    """Known pairs of targets, one row for each pair and disease, from three tables.

    Parameters
    ----------
    pairs
        Pairs of targets: ``tpid, genename1, genename2`` (or ``gene_a, gene_b``), and what else is known of them.
    mapping
        ``tpid, dcid``: which pair each combination of drugs hits; many to many.
    combinations
        Combinations of drugs: ``dcid, fd_name`` (or ``disease``), and what else is known of them.

    Returns
    -------
    DataFrame
        ``gene_a, gene_b, disease`` and all other columns: the tables joined on ``tpid`` and on ``dcid``, in the order
        of ``pairs``, the first row of each ``(gene_a, gene_b, disease)``.

    Raises
    ------
    ValueError
        If a column is missing, or the tables share no id.

    Examples
    --------
    >>> pairs = pd.DataFrame({"tpid": ["T1", "T2"], "genename1": ["EGFR", "CDK4"], "genename2": ["ERBB2", "CDK6"]})
    >>> mapping = pd.DataFrame({"dcid": ["D1", "D2", "D2"], "tpid": ["T1", "T1", "T2"]})
    >>> combinations = pd.DataFrame({"dcid": ["D1", "D2"], "fd_name": ["Lung Cancer", "Lung Cancer"]})
    >>> known_pairs(pairs, mapping, combinations)[["gene_a", "gene_b", "disease"]].to_numpy().tolist()
    [['EGFR', 'ERBB2', 'Lung Cancer'], ['CDK4', 'CDK6', 'Lung Cancer']]
    """
    tables = {"target pairs": pairs, "the mapping of pairs to drugs": mapping, "drug combinations": combinations}
    needed = (["tpid", "gene_a", "gene_b"], ["tpid", "dcid"], ["dcid", "disease"])
    read = []
    for (what, table), columns in zip(tables.items(), needed, strict=True):
        table = table.rename(columns=NAMES)
        _require(table, columns, what)
        read.append(table)
    joined = read[0].merge(read[1], on="tpid").merge(read[2], on="dcid")
    if joined.empty:
        raise ValueError(
            f"the three tables should share tpid and dcid; none of {len(pairs):,} pairs (first tpid: "
            f"{first(pairs['tpid'])}) is joined to a disease through {len(mapping):,} rows of the mapping (first: "
            f"{first(mapping['tpid'])}). Take all three from one release."
        )
    joined = joined.drop_duplicates(KEYS, ignore_index=True)
    return joined[[*KEYS, *joined.columns.difference(KEYS, sort=False)]]


def read_known(known: pd.DataFrame) -> pd.DataFrame:
    """``gene_a, gene_b, disease`` of a table of known pairs, each pair once a disease, genes in upper case and order.

    Pairs of a gene with itself are left out. ``ValueError`` if a column is missing.

    Examples
    --------
    >>> read_known(pd.DataFrame({"gene_a": ["b", "A"], "gene_b": ["a", "B"], "disease": "x"})).to_numpy().tolist()
    [['A', 'B', 'x']]
    """
    known = known.rename(columns=NAMES)
    _require(known, KEYS, "known pairs")
    both = np.sort(known[["gene_a", "gene_b"]].astype(str).apply(lambda genes: genes.str.strip().str.upper()), axis=1)
    table = pd.DataFrame(
        {"gene_a": both[:, 0], "gene_b": both[:, 1], "disease": known["disease"].astype(str).to_numpy()}
    )
    return table[table["gene_a"] != table["gene_b"]].drop_duplicates(ignore_index=True)


def of_disease(known: pd.DataFrame, disease: str) -> tuple[pd.DataFrame, str]:
    """Pairs of one disease from :func:`read_known`, and its name as the table spells it.

    Raises
    ------
    ValueError
        If the table knows no such disease; the nearest names are told.
    """
    names = pd.unique(known["disease"])
    spelled = {str(name).casefold(): str(name) for name in names}
    name = spelled.get(str(disease).strip().casefold())
    if name is None:
        raise ValueError(
            f"disease should be one of the {len(names):,} of the known pairs; received {disease!r}. "
            f"{near([disease], names)}"
        )
    return known[known["disease"] == name], name


def known_matrix(pairs: pd.DataFrame, genes: Sequence[str]) -> np.ndarray:
    """Which pairs of ``genes`` are among ``pairs``, from :func:`read_known`: ``(n, n)``, symmetric."""
    places = pd.Index([gene.upper() for gene in genes])
    rows, columns = (places.get_indexer(pairs[name]) for name in ("gene_a", "gene_b"))
    there = (rows >= 0) & (columns >= 0)
    result = np.zeros((len(genes), len(genes)), dtype=bool)
    result[rows[there], columns[there]] = True
    return result | result.T


def popularity(known: pd.DataFrame, genes: Sequence[str], *, without: str) -> pd.Series:
    """In how many known pairs of other diseases each gene stands: a floor that reads no expression.

    Parameters
    ----------
    known
        Known pairs: ``gene_a, gene_b, disease``.
    genes
        Symbols, in any case.
    without
        The disease that is judged; none of its rows counts.

    Returns
    -------
    Series
        Distinct partners in the other diseases together, by gene; 0 where there is none.

    Examples
    --------
    >>> known = pd.DataFrame({"gene_a": ["A", "A", "B"], "gene_b": ["B", "C", "C"], "disease": ["x", "y", "y"]})
    >>> popularity(known, ["A", "B", "C"], without="x").tolist()
    [1, 1, 2]
    """
    table, (_, name) = read_known(known), of_disease(read_known(known), without)
    others = table[table["disease"] != name].drop_duplicates(["gene_a", "gene_b"])
    counts = pd.concat([others["gene_a"], others["gene_b"]]).value_counts()
    return pd.Series([int(counts.get(gene.upper(), 0)) for gene in genes], index=pd.Index(genes), name="popularity")


def first(names: Iterable[object], n: int = 3) -> str:
    """Name a few of many: ``'A', 'B', 'C' and 34 more``."""
    names = [str(name) for name in names]
    shown = ", ".join(repr(name) for name in names[:n])
    return shown + (f" and {len(names) - n:,} more" if len(names) > n else "")


def near(asked: Iterable[object], known: Iterable[object], n: int = 3) -> str:
    """What the first names that were asked for may have meant, as a sentence.

    Examples
    --------
    >>> near(["EGFRR"], ["EGFR", "CDK4"])
    "Near 'EGFRR': 'EGFR'."
    >>> near(["ovar"], ["Lung Cancer", "Ovarian Cancer"])
    "Near 'ovar': 'Ovarian Cancer'."
    >>> near(["?"], ["EGFR", "CDK4"])
    "Known are 'EGFR', 'CDK4'."
    """
    names = list(dict.fromkeys(map(str, known)))
    said = []
    for name in [str(name) for name in asked][:n]:
        close = nearest(name, names)
        said += [f"Near {name!r}: {', '.join(map(repr, close))}."] if close else []
    return " ".join(said) or f"Known are {first(names, 8)}."


def _require(table: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Raise ``ValueError`` unless ``table`` has every one of ``columns``, under these or the published names."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        published = {name: key for key, name in NAMES.items()}
        words = [f"{name!r} (or {published[name]!r})" if name in published else repr(name) for name in missing]
        raise ValueError(
            f"{what} should have the column(s) {', '.join(words)}; it has {first(table.columns, 8)}. Rename them."
        )
