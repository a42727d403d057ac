"""The matrix of an AnnData as models of cells read it: chosen features, one normalisation, in blocks of cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from galenic.data.alignment import AlignedStatistics
from galenic.data.checks import first
from galenic.data.genes import clean_names, kind_of_names, look_like_mouse

Kind = Literal["counts", "log", "linear", "scaled", "embedding"]
NAMES = ("symbol", "gene_symbol", "gene_symbols", "gene_name", "feature_name")
"""Columns of ``var`` that hold symbols where ``var_names`` do not."""
LOOKED_AT = 500
"""Cells from which the kind of values is told."""
LOG_AT_MOST = 30.0
"""No logarithm of expression is larger; natural units soon are."""
VALUES = 2**23
"""Values that are held dense at a time: 64 MB, a few times over while they are worked on."""
PER = 1e4


@dataclass(frozen=True, eq=False)
class CellMatrix:
    """Cells x features out of an AnnData, in memory or on disk, sparse or dense, read a block of cells at a time.

    Use :meth:`of`.

    Parameters
    ----------
    values
        The matrix as it lies in memory or on disk.
    gather
        Which columns of the file are summed into which feature, ``(n_columns, n_features)``.

    Attributes
    ----------
    features
        Names of the columns.
    kind
        What the values of the file are: ``"counts"`` and ``"linear"`` (TPM, ...) become ln(1 + 10,000 x share of the
        cell's total over **all** genes of the file); ``"log"``, ``"scaled"`` (some below 0) and ``"embedding"`` stay.
    found
        Which features the file has; the others are NaN.
    n
        Number of cells.
    """

    features: list[str]
    kind: Kind
    found: np.ndarray
    n: int
    values: Any
    gather: sparse.csr_matrix
    """Columns of the file x features: 1 where a column counts for a feature, less where several are averaged."""

    @classmethod
    def of(
        cls,
        adata: AnnData,
        *,
        use_rep: str | None = None,
        features: Sequence[str] | None = None,
        kind: Kind | None = None,
    ) -> CellMatrix:
        """Look at a file without reading it whole.

        Parameters
        ----------
        adata
            Cells x genes. Not changed.
        use_rep
            Key of ``obsm`` to take instead of ``X``.
        features
            Wanted, in this order; by default all there are, in the order of their first column.
        kind
            Of the values; by default told from 500 cells.

        Raises
        ------
        ValueError
            If there is no such representation, genes are those of mice, or values are missing or infinite.

        Notes
        -----
        Genes are named by ``var_names``, or by a column of ``var`` (symbol, gene_symbol, gene_name, feature_name)
        where those are no symbols. Columns of one gene are summed, logarithms and scaled values averaged.

        Examples
        --------
        >>> var = pd.DataFrame({"symbol": ["TP53", "EGFR", "TP53"]}, index=["7157", "1956", "7158"])
        >>> adata = AnnData(np.array([[3.0, 1.0, 6.0]]), var=var)
        >>> matrix = CellMatrix.of(adata, features=["TP53", "MYC"])
        >>> matrix.kind, matrix.found.tolist(), matrix.dense().round(2).tolist()
        ('counts', [True, False], [[9.11, nan]])
        """
        values, names = _values(adata, use_rep)
        kind = ("embedding" if use_rep is not None else kind_of_values(values)) if kind is None else kind
        wanted = list(dict.fromkeys(names)) if features is None else [str(name) for name in features]
        place = {name: number for number, name in enumerate(wanted)}
        columns = np.array([number for number, name in enumerate(names) if name in place], dtype=np.intp)
        targets = np.array([place[names[number]] for number in columns], dtype=np.intp)
        times = np.bincount(targets, minlength=len(wanted))
        share = np.ones(len(columns)) if kind in ("counts", "linear") else 1 / times[targets]
        gather = sparse.csr_matrix((share, (columns, targets)), shape=(len(names), len(wanted)))
        return cls(wanted, kind, times > 0, adata.n_obs, values, gather)

    def parts(self) -> Iterator[slice]:
        """Blocks of rows in the order of the cells, so small that each may be dense."""
        size = max(1, VALUES // max(1, self.gather.shape[0]))
        for start in range(0, self.n, size):
            yield slice(start, min(start + size, self.n))

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows and their values, ``(rows, n_features)`` float64, in the order of the cells."""
        for rows in self.parts():
            yield rows, self.rows(rows)

    def rows(self, rows: Any) -> np.ndarray:
        """Values of some cells (a slice or sorted numbers), ``(rows, n_features)`` float64.

        Parameters
        ----------
        rows
            Which cells.
        """
        numbers = np.arange(*rows.indices(self.n)) if isinstance(rows, slice) else np.asarray(rows)
        size = max(1, VALUES // max(1, self.gather.shape[0]))
        if len(numbers) <= size:
            return self._some(rows)
        # Whole rows of the file are dense for a moment: never more of them than a block.
        x = np.empty((len(numbers), len(self.features)))
        for start in range(0, len(numbers), size):
            x[start : start + size] = self._some(numbers[start : start + size])
        return x

    def _some(self, rows: Any) -> np.ndarray:
        part = self.values[rows]
        part = part.tocsr() if sparse.issparse(part) else np.asarray(part, dtype=np.float64)
        numbers = part.data if sparse.issparse(part) else part
        if not np.isfinite(numbers).all():
            raise ValueError(
                f"values of cells should be finite; received {int((~np.isfinite(numbers)).sum()):,} missing or "
                "infinite ones. Leave those cells or genes out, or fill them in."
            )
        taken = part @ self.gather
        x = np.asarray(taken.toarray() if sparse.issparse(taken) else taken, dtype=np.float64)
        if self.kind in ("counts", "linear"):
            total = np.asarray(part.sum(axis=1), dtype=np.float64).reshape(-1, 1)
            x = np.log1p(PER * x / np.where(total > 0, total, 1.0))
        x[:, ~self.found] = np.nan
        return x

    def dense(self) -> np.ndarray:
        """All cells at once, ``(n, n_features)`` float64."""
        x = np.empty((self.n, len(self.features)))
        for rows, part in self.blocks():
            x[rows] = part
        return x

    def empty(self, rows: slice | None = None) -> np.ndarray:
        """Which cells (of some, or of all) have nothing but zeros in the whole file.

        Parameters
        ----------
        rows
            Which cells; None: all.
        """
        found = []
        for block in self.parts() if rows is None else [rows]:
            part = self.values[block]
            some = abs(part.tocsr()).sum(axis=1) if sparse.issparse(part) else np.asarray(part).any(axis=1)
            found.append(np.asarray(some).ravel() == 0)
        return np.concatenate(found) if found else np.zeros(0, dtype=bool)

    def statistics(self, *, fewest: int = 0) -> AlignedStatistics:
        """Mean and standard deviation of each feature over all cells, in one pass; NaN for features not found.

        Parameters
        ----------
        fewest
            Number of cells below which a warning is given.
        """
        if self.n * self.gather.shape[0] <= VALUES:
            return AlignedStatistics.of(np.nan_to_num(self.dense()), fewest=fewest)
        total = squares = around = None
        for _, part in self.blocks():
            if around is None:
                around = part.mean(axis=0)
                total, squares = np.zeros_like(around), np.zeros_like(around)
            total = total + (part - around).sum(axis=0)
            squares = squares + ((part - around) ** 2).sum(axis=0)
        mean = np.asarray(total) / self.n
        sd = np.sqrt(np.maximum(np.asarray(squares) / self.n - mean**2, 0.0))
        return AlignedStatistics(np.nan_to_num(np.asarray(around) + mean), np.nan_to_num(sd), self.n)


def kind_of_values(values: Any) -> Kind:
    """What the values of a matrix of expression are, told from up to 500 of its cells.

    Whole numbers of 0 or more are counts; numbers below 0 are scaled; others are logarithms if none is above 30.

    Examples
    --------
    >>> kind_of_values(np.array([[0.0, 3.0]])), kind_of_values(np.array([[0.5, 3.2]]))
    ('counts', 'log')
    >>> kind_of_values(np.array([[-0.5, 3.2]])), kind_of_values(np.array([[0.5, 320.0]]))
    ('scaled', 'linear')
    """
    n = values.shape[0]
    rows = np.unique(np.linspace(0, max(n - 1, 0), min(n, LOOKED_AT)).astype(np.intp))
    part = values[rows]
    numbers = np.asarray(part.tocsr().data if sparse.issparse(part) else part, dtype=np.float64)
    if not numbers.size:
        return "counts"
    if np.nanmin(numbers) < 0:
        return "scaled"
    if not np.nanmax(np.abs(numbers - np.round(numbers))):
        return "counts"
    return "log" if np.nanmax(numbers) <= LOG_AT_MOST else "linear"


def gene_names(adata: AnnData) -> list[str]:
    """Names of the genes of an AnnData: its ``var_names``, or symbols from ``var`` where those are none.

    Raises
    ------
    ValueError
        If they are genes of mice.

    Examples
    --------
    >>> gene_names(AnnData(np.zeros((1, 2)), var=pd.DataFrame({"symbol": ["TP53", "EGFR"]}, index=["7157", "1956"])))
    ['TP53', 'EGFR']
    """
    names: Any = adata.var_names
    if kind_of_names(names) != "symbol":
        names = next((adata.var[column] for column in NAMES if column in adata.var), names)
    if look_like_mouse(names):
        raise ValueError(
            f"genes should be human; {first(names)} look like those of a mouse. Map them to human orthologues first: "
            "upper case is not a map."
        )
    return clean_names(names)


def _values(adata: AnnData, use_rep: str | None) -> tuple[Any, list[str]]:
    """The matrix, read or not, and names of its columns."""
    if not isinstance(adata, AnnData):
        mod = getattr(adata, "mod", None)
        remedy = "Build one: AnnData(X, obs, var)." if mod is None else "Pass that of expression: cells.mod['rna']."
        raise TypeError(
            f"cells should be an AnnData, cells x genes; received {type(adata).__name__}"
            f"{'' if mod is None else ' of ' + first(list(mod))}. {remedy}"
        )
    if use_rep is None:
        if adata.X is None or not adata.n_vars:
            raise ValueError(
                f"cells should carry expression in X; these {adata.n_obs:,} have none. Name an embedding with use_rep."
            )
        return adata.X, gene_names(adata)
    if use_rep not in adata.obsm:
        raise ValueError(
            f"cells should carry obsm[{use_rep!r}]; they have {first(list(adata.obsm), 8) or 'no embedding'}. Compute "
            "it ('galenic embed'), or leave use_rep out to use genes."
        )
    values = adata.obsm[use_rep]
    names = list(map(str, values.columns)) if isinstance(values, pd.DataFrame) else None
    values = values.to_numpy(dtype=np.float64) if isinstance(values, pd.DataFrame) else values
    return values, [f"{use_rep}_{number}" for number in range(values.shape[1])] if names is None else names
