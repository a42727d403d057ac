"""Profiles that are searched for, read from a file of profiles or a table of z-scores."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from anndata import AnnData

from galenic.data.checks import first, require_unique
from galenic.data.genes import clean_names, kind_of_names, look_like_mouse

MOST = 100
"""Profiles of one file that are queries at once."""
REMEDY = "Name genes by Entrez id or symbol."


def profile_names(path: str, genes: pd.DataFrame) -> list[str]:
    """What the profiles of a file are called, in their order; arguments as in :func:`query_profiles`."""
    from galenic.data.gctx.sniff import format_of
    from galenic.data.read.profiles import selection

    if not Path(path).is_dir() and format_of(path) == "unknown":
        return list(map(str, score_table(path, genes, "z-scores", REMEDY).obs_names))
    return list(map(str, selection(path).obs.index))


def query_profiles(path: str, row: str | None, genes: pd.DataFrame) -> AnnData:
    r"""The profiles of a file that are searched for.

    Parameters
    ----------
    path
        File of profiles (GCT, GCTX, h5ad, a folder of 'galenic data convert') or table of z-scores, genes either way.
    row
        The one that is wanted; ``None`` for all of them, at most ``MOST``.
    genes
        Of the reference: index = ids, columns = other names.

    Raises
    ------
    ValueError
        If no gene is known, names repeat, the row is absent, or there are too many.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> genes = pd.DataFrame({"symbol": ["TP53", "MYC"]}, index=["7157", "4609"])
    >>> with TemporaryDirectory() as folder:
    ...     path = str(Path(folder, "own.csv"))
    ...     _ = Path(path).write_text("gene,a,b\nTP53,1.5,0.2\nMYC,-2.0,0.1\n")
    ...     query_profiles(path, "a", genes).X.tolist()
    [[1.5, -2.0]]
    """
    from galenic.data.gctx.sniff import format_of
    from galenic.data.read.profiles import selection

    if not Path(path).is_dir() and format_of(path) == "unknown":
        adata = score_table(path, genes, "z-scores", REMEDY)
        return one_profile(adata, row, path)
    chosen = selection(path)
    if row is None and len(chosen.obs) > MOST:
        raise ValueError(
            f"at most {MOST} profiles are searched for at once; {Path(path).name} has {len(chosen.obs):,}. Name one "
            f"with --row (first: {first(chosen.obs.index)}), or search from Python."
        )
    return (chosen if row is None else selection(path, rows=[known_row(row, chosen.obs.index, path)])).read()


def genes_said(names: pd.Index) -> str:
    """The first names of genes, with what they are where that hinders."""
    names, kind = names[:2000], ""
    if kind_of_names(names) == "ensembl":
        kind = ", Ensembl ids"
    if look_like_mouse(names):
        kind = ", mouse genes: translate them by orthologs first"
    return f"{first(names)}{kind}"


def score_table(path: str, genes: pd.DataFrame, what: str, remedy: str) -> AnnData:
    """A table of numbers with the genes across, whichever way round the file has them."""
    from galenic.data import read
    from galenic.data.read.matrices import to_anndata

    frame = read.matrix(path)
    # Ids and symbols, and what else a table of genes knows.
    known = {*map(str, genes.index), *(str(name) for column in genes for name in genes[column].dropna())}
    across, down = (sum(name in known for name in clean_names(axis)) for axis in (frame.columns, frame.index))
    if not max(across, down):
        raise ValueError(
            f"{Path(path).name} should hold {what} of the reference's genes; none of its columns (first: "
            f"{genes_said(frame.columns)}) or rows (first: {genes_said(frame.index)}) is called as one "
            f"({first(genes.index)}). {remedy}"
        )
    frame = frame if across >= down else frame.T
    twice = pd.Index(clean_names(frame.columns))
    if not twice.is_unique:
        raise ValueError(
            f"each gene of {Path(path).name} should stand once; {int(twice.duplicated().sum()):,} are repeated (first: "
            f"{first(twice[twice.duplicated()].unique())}). Merge or drop the repeats."
        )
    require_unique(frame.index, f"names in {Path(path).name}")
    return to_anndata(frame)


def one_profile(adata: AnnData, row: str | None, path: str) -> AnnData:
    """The profile that is named, or all of a few."""
    if row is not None:
        return adata[[known_row(row, adata.obs_names, path)]].copy()
    if adata.n_obs > MOST:
        raise ValueError(
            f"at most {MOST} profiles are searched for at once; {Path(path).name} has {adata.n_obs:,}. Name one with "
            f"--row (first: {first(adata.obs_names)}), or search from Python."
        )
    return adata


def known_row(name: str, known: pd.Index, path: str) -> str:
    """The name, if it is there; else an error with the nearest."""
    from galenic.search.names import nearest_names

    if name not in known:
        near = nearest_names(name, map(str, known)) or list(map(str, known[:3]))
        raise ValueError(
            f"{name!r} should be one of the {len(known):,} of {Path(path).name}; it is none. Near it: {first(near)}."
        )
    if (n := int((known == name).sum())) > 1:
        raise ValueError(
            f"each name of {Path(path).name} should stand once; {name!r} stands {n:,} times. Rename or drop repeats."
        )
    return name
