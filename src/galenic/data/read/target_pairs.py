"""Files of target combinations: weights of genes, tables of known pairs, lists of genes."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from galenic.data.checks import first, require_columns
from galenic.data.read.columns import GENE, as_ids, find
from galenic.data.read.files import kind_of_file, open_bytes, text_layout
from galenic.data.read.tables import parse_errors_explained, table


def pair_tables(
    pairs: str | Path, mapping: str | Path, combinations: str | Path
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    r"""The three tables that known pairs of targets are joined from, ids as text.

    Parameters
    ----------
    pairs
        Pairs of targets: ``tpid, genename1, genename2``.
    mapping
        Which combination of drugs hits which pair: ``dcid, tpid``.
    combinations
        Combinations of drugs in the clinic: ``dcid, fd_name``.

    Raises
    ------
    FileNotFoundError
        If a file is not there.
    ValueError
        If it cannot be read, or lacks an id.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name, text in {"p": "tpid,genename1,genename2\n1,A,B\n", "m": "dcid,tpid\n7,1\n"}.items():
    ...         _ = Path(folder, name).write_text(text)
    ...     _ = Path(folder, "c").write_text("dcid,fd_name\n7,Glioma\n")
    ...     [list(one.iloc[0]) for one in pair_tables(*(Path(folder, name) for name in "pmc"))]
    [['1', 'A', 'B'], ['7', '1'], ['7', 'Glioma']]
    """
    read = []
    for path, ids in ((pairs, ["tpid"]), (mapping, ["dcid", "tpid"]), (combinations, ["dcid"])):
        frame = table(path)
        require_columns(frame, ids, Path(path).name)
        read.append(frame.assign(**{name: as_ids(frame[name]) for name in ids}))
    return read[0], read[1], read[2]


def gene_weights(path: str | Path, genes: Collection[str]) -> pd.DataFrame:
    r"""Weights of genes on latent variables, whichever way round the file has them.

    Parameters
    ----------
    path
        Table whose first column names genes (the others are latent variables) or latent variables (the others are
        genes).
    genes
        Symbols that tell which: known targets and candidates, in any case.

    Returns
    -------
    DataFrame
        Genes x latent variables, float64.

    Raises
    ------
    ValueError
        If neither side holds any of ``genes``, or a weight is no number.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "w.tsv").write_text("\tEGFR\tCDK4\n0\t0.5\t1\n1\t2\t3\n")
    ...     gene_weights(Path(folder, "w.tsv"), ["egfr"]).loc["EGFR"].tolist()
    [0.5, 2.0]
    """
    frame = _numbered(path)
    names = as_ids(frame.iloc[:, 0]).astype(str)
    wide = frame.iloc[:, 1:].set_axis(names.to_numpy(), axis=0)
    upper = {str(gene).upper() for gene in genes}
    in_rows, in_columns = (sum(str(name).upper() in upper for name in side) for side in (wide.index, wide.columns))
    if not max(in_rows, in_columns):
        raise ValueError(
            f"{Path(path).name} should name genes in its first column or its header; none of {len(upper):,} targets "
            f"(first: {first(sorted(upper))}) is among its rows (first: {first(wide.index)}) or columns (first: "
            f"{first(wide.columns)}). Use gene symbols."
        )
    text = [name for name, kind in wide.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    if text:
        raise ValueError(
            f"every weight of {Path(path).name} should be a number; column {text[0]!r} holds text. Remove that column."
        )
    return (wide if in_rows >= in_columns else wide.T).astype(np.float64)


def _numbered(path: str | Path) -> pd.DataFrame:
    """A table whose columns may be called 0, 1, 2, ...: latent variables often are."""
    if kind_of_file(path) == "text":
        layout = text_layout(path)
        start, rest = layout.names[0], layout.names[1:]
        # Numbers that differ are a header; a first line of weights would hold fractions.
        if not start.isdecimal() and rest and all(map(str.isdecimal, rest)) and len(set(rest)) == len(rest):
            with parse_errors_explained(path, layout), open_bytes(path, whole=True) as stream:
                return pd.read_csv(
                    stream,
                    sep=layout.delimiter,
                    header=0,
                    names=[start, *rest],
                    dtype={start: str},
                    float_precision="round_trip",
                )
    return table(path)


def gene_list(path: str | Path) -> list[str]:
    r"""Genes of a file: its column of symbols, or its first column; blank rows are left out.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "genes.csv").write_text("no,SYMBOL\n1,FASN\n2,ACACB\n")
    ...     gene_list(Path(folder, "genes.csv"))
    ['FASN', 'ACACB']
    """
    frame = table(path)
    named = find(frame.columns, ("symbol", *GENE))
    return [str(gene) for gene in as_ids(frame[named[0] if named else frame.columns[0]]).dropna()]
