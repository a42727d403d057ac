"""L1000 profiles out of GCT, GCTX, h5ad, tables and converted folders."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import is_zarr, require_unique, steps_of
from galenic.data.gctx.gct import GctFile
from galenic.data.gctx.gctx import GctxFile, dense_rows
from galenic.data.gctx.selection import Genes, Rows, Selection, select
from galenic.data.gctx.sniff import damage_explained, format_of, not_profiles, open_hdf5
from galenic.data.gctx.source import Block, Source, sorted_places, windows
from galenic.data.read.matrices import open_h5ad
from galenic.data.read.profile_tables import is_profile_table, profile_table
from galenic.data.read.tables import table
from galenic.data.read.zarr_folders import open_zarr
from galenic.data.store import open_store

SideTable: TypeAlias = str | Path | pd.DataFrame | None


class AnnDataSource:
    """Profiles that lie in an AnnData, in memory or on disk.

    Parameters
    ----------
    name
        For messages.
    opened
        Opens it; its matrix is read while it is open, a block at a time.

    Raises
    ------
    ValueError
        If ids of profiles or of genes repeat.
    """

    def __init__(self, name: str, opened: Callable[[], AbstractContextManager[AnnData]]) -> None:
        self.name = name
        self._opened = opened
        with opened() as adata:
            self.profiles, self.genes = adata.obs.copy(), adata.var.copy()
            require_unique(self.profiles.index, f"profile ids of {name}")
            require_unique(self.genes.index, f"gene ids of {name}")
            self.steps = tuple(steps_of(adata.uns))

    def blocks(self, rows: np.ndarray, genes: np.ndarray, size: int) -> Iterator[Block]:
        """Blocks of profiles; see :meth:`galenic.data.gctx.source.Source.blocks`."""
        rows, order = sorted_places(rows)
        everywhere = np.arange(len(genes))
        with self._opened() as adata:
            for part, places in windows(rows, max(1, size // max(adata.n_vars, 1))):
                yield Block(order[part], everywhere, partial(_take, adata, places, genes, self.name))


def profiles(
    path: str | Path,
    *,
    genes: Genes = None,
    rows: Rows = None,
    gene_info: SideTable = None,
    sample_info: SideTable = None,
) -> AnnData:
    """Profiles of the L1000 assay, or of any other in its formats.

    What a file is, is told by its content: GCT 1.2 or 1.3 (compressed by gzip or not), GCTX, h5ad, a zarr folder, or
    a folder that :func:`galenic.data.convert.convert` wrote; of these only the wanted genes and profiles are held in
    memory. Also a table with a row a profile (:func:`galenic.data.read.profile_tables.profile_table`).

    Parameters
    ----------
    path
        The file or folder.
    genes
        All (None), ``"landmark"``, or ids: Entrez ids, the file's own ids, or symbols. Landmarks are those that the
        file or ``gene_info`` marks; where nothing marks any and the file has exactly 978 genes, all of them.
    rows
        All (None), ids of profiles, their places, a slice or a mask.
    gene_info
        Table of genes (``pr_gene_id, pr_gene_symbol, pr_is_lm`` or ``gene_id, gene_symbol, feature_space``), joined by
        id; of a table of profiles it tells the columns of genes, by id or symbol.
    sample_info
        Table of profiles (``inst_id, pert_id, pert_type, cell_id, ...``), joined by id; what it says comes before what
        the file says.

    Returns
    -------
    AnnData
        Profiles x genes, ``X`` float32, NaN where missing (-666). ``var_names``: Entrez ids where the file knows them,
        else its own ids; ``var``: ``symbol``, ``landmark`` where known. ``obs``: ``pert_id, pert_name, pert_type, cell,
        dose, dose_unit, time, time_unit, plate, well, phase, moa, target, smiles`` where known, and all other columns
        under their own names. ``uns["steps"]`` says where it came from.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is of another kind or damaged, ids repeat or are unknown, or nothing says which genes are landmarks.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> text = "#1.3,2,1,0,1,id,p1,pert_iname,erlotinib,5720,0.5,466,-666".split(",")
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "one.gct")
    ...     lines = [text[:1], text[1:5], text[5:7], text[7:9], text[9:11], text[11:]]
    ...     _ = path.write_text("".join(chr(9).join(line) + chr(10) for line in lines))
    ...     adata = profiles(path)
    >>> adata.X.tolist(), adata.obs["pert_name"].tolist()
    ([[0.5, nan]], ['erlotinib'])
    """
    return selection(path, genes=genes, rows=rows, gene_info=gene_info, sample_info=sample_info).read()


def selection(
    source: str | Path | AnnData,
    *,
    genes: Genes = None,
    rows: Rows = None,
    gene_info: SideTable = None,
    sample_info: SideTable = None,
) -> Selection:
    """What :func:`profiles` reads, before the numbers are read."""
    info = _side_table(gene_info)
    if not isinstance(source, AnnData):
        opened = open_source(source, info)
        info = None if isinstance(opened, ProfileTable) else info
    elif source.X is None:
        raise ValueError("the AnnData should hold a matrix in X; it has none. Write the profiles into X.")
    else:
        opened = AnnDataSource("the AnnData", lambda: nullcontext(source))
    return select(opened, genes=genes, rows=rows, gene_info=info, sample_info=_side_table(sample_info))


def open_source(path: str | Path, gene_info: pd.DataFrame | None = None) -> Source:
    """Ids and metadata of a file or folder of profiles; ``gene_info`` is read of tables alone."""
    path = Path(path)
    if is_zarr(path):
        adata = open_zarr(path)
        _require_matrix(path, adata.X is not None)
        return AnnDataSource(path.name, lambda: nullcontext(adata))
    if path.is_dir():
        # That module writes such folders out of whatever is read here, so it imports this one.

        adata = open_store(path)
        return AnnDataSource(path.name, lambda: nullcontext(adata))
    kind = format_of(path)
    if kind == "h5ad":
        return AnnDataSource(path.name, lambda: _backed(path))
    if kind == "unknown":
        if not is_profile_table(path):
            raise not_profiles(path)
        return ProfileTable(path, gene_info)
    return GctFile(path) if kind == "gct" else GctxFile(path)


class ProfileTable(AnnDataSource):
    """Profiles of a table, with what a table of genes says of them."""

    def __init__(self, path: Path, gene_info: pd.DataFrame | None) -> None:
        adata = profile_table(path, gene_info)
        super().__init__(path.name, lambda: nullcontext(adata))


@contextmanager
def _backed(path: Path) -> Iterator[AnnData]:
    with open_hdf5(path) as file:
        _require_matrix(path, "X" in file)
    with warnings.catch_warnings():
        # Ids that repeat are refused in words; that anndata would take them is no news.
        warnings.filterwarnings("ignore", ".* names are not unique", UserWarning)
        adata = open_h5ad(path, backed=True)
    try:
        yield adata
    finally:
        adata.file.close()


def _require_matrix(path: Path, there: bool) -> None:
    if not there:
        raise ValueError(f"{path.name} should hold a matrix in X; it has none. Write the profiles into X.")


def _take(adata: AnnData, rows: np.ndarray, genes: np.ndarray, name: str) -> np.ndarray:
    start = int(rows[0])
    with damage_explained(name):
        return dense_rows(adata, start, int(rows[-1]) + 1)[np.ix_(rows - start, genes)]


def _side_table(source: SideTable) -> pd.DataFrame | None:
    return source if source is None or isinstance(source, pd.DataFrame) else table(source)
