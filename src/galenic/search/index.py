"""Exact similarity search with filters, in bounded memory; results do not depend on how the work was divided."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from galenic.search.checks import first, matrix, unit
from galenic.search.filters import Filter, rows_that_fit
from galenic.search.names import nearest_names
from galenic.work.atomic import written_folder
from galenic.work.bar import counted

FORMAT = 2  # 1 had no offsets
BLOCK = 4_000_000  # similarities at a time: bounds memory at about 50 MB beyond the index and the result
ROWS = 131_072  # reference vectors at a time, so that a filter over millions of rows copies few of them
UNIT = 1e-5  # vectors this close to length 1 are taken as they are, so that a saved index loads bit for bit
SLACK = 1e-5  # single-precision products this close to the last hit are computed again in double precision
RESULT = ("query", "rank", "id", "similarity")


class Hits(NamedTuple):
    """Rows of the index and their similarity, best first: ``(n_queries, k)`` each.

    Parameters
    ----------
    rows
        Row numbers of the index, ``(n_queries, k)``.
    similarity
        Their similarity, ``(n_queries, k)``.
    """

    rows: np.ndarray
    similarity: np.ndarray


class SimilarityIndex:
    """Reference vectors that are searched exactly.

    Parameters
    ----------
    vectors
        One row a profile or drug, ``(n, n_dims)``, kept as float32.
    table
        What is known of each row; its index holds their ids, which must be unique. Its columns come back with the hits
        and can be filtered by.
    metric
        ``"cosine"``, or ``"euclidean"``, whose similarity is minus the distance.
    offsets
        Subtracted from every cosine with a row, ``(n,)``, kept as float32: a correction for rows that resemble
        everything. Cosine only.

    Raises
    ------
    ValueError
        For vectors that are not finite or, under cosine, zero; repeated ids; columns with the names of results; or
        offsets that are not one finite number a row.

    Notes
    -----
    Single-precision products narrow each block of rows down to candidates; these are compared again in double precision
    and ordered by similarity and then id. So one query or many, filtered or searched in a smaller index, give the same
    answer to the last bit. Memory beyond vectors and result: about 50 MB; with a filter, another 131,072 rows.

    Examples
    --------
    >>> table = pd.DataFrame({"cell": ["A375", "PC3", "A375"]}, index=["x", "y", "z"])
    >>> index = SimilarityIndex(np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), table)
    >>> index.search(np.array([1.0, 0.0]), k=2, where={"cell": "A375"}).round(2)
       query  rank id  similarity  cell
    0      0     1  x         1.0  A375
    1      0     2  z         0.0  A375
    """

    def __init__(
        self, vectors: np.ndarray, table: pd.DataFrame, *, metric: str = "cosine", offsets: np.ndarray | None = None
    ) -> None:
        if metric not in ("cosine", "euclidean"):
            raise ValueError(f"metric should be 'cosine' or 'euclidean'; received {metric!r}. Choose one of those.")
        vectors = matrix(vectors, "vectors of an index", n_rows=len(table))
        _require_ids(table)
        if vectors.dtype != np.float32:
            vectors = vectors.astype(np.float32)
        if metric == "cosine" and np.abs(np.einsum("ij,ij->i", vectors, vectors) - 1).max(initial=0) > UNIT:
            vectors = unit(vectors, "vectors of an index")
        self.vectors = vectors
        self.table = table
        self.metric = metric
        self.offsets = None if offsets is None else _checked_offsets(offsets, len(table), metric)
        order = np.argsort(table.index.to_numpy(), kind="stable")
        self._place = np.empty(len(table), dtype=np.int64)  # of each row's id among all ids
        self._place[order] = np.arange(len(table))

    def __len__(self) -> int:
        """Number of reference vectors."""
        return len(self.vectors)

    def search(
        self,
        queries: np.ndarray,
        k: int = 50,
        *,
        where: Filter | None = None,
        names: Sequence[object] | None = None,
    ) -> pd.DataFrame:
        """Find the ``k`` most similar rows for each query.

        Parameters
        ----------
        queries
            Vectors, ``(n_queries, n_dims)`` or one ``(n_dims,)``.
        k
            Number of hits, or all where the filter leaves fewer.
        where
            Search only rows of these values: ``{"cell": ["A375", "PC3"], "time": 24, "dose": (1, 10)}``; a list means
            any of it, a pair in round brackets a range with both ends. Or a boolean mask ``(n,)``, see :meth:`mask`.
        names
            Name of each query, for the column ``query``; by default 0, 1, 2, ...

        Returns
        -------
        pandas.DataFrame
            ``query, rank`` (from 1) ``, id, similarity`` and the columns of the table. Ties are ordered by id.
        """
        hits = self.nearest(queries, k, where=where)
        n_queries, k = hits.rows.shape
        labels = np.arange(n_queries) if names is None else np.asarray(names)
        if len(labels) != n_queries:
            raise ValueError(
                f"each query needs one name; received {len(labels):,} names for {n_queries:,} queries. Leave names out "
                "or give one a query."
            )
        found = self.table.iloc[hits.rows.ravel()].reset_index(drop=True)
        start = {
            "query": np.repeat(labels, k),
            "rank": np.tile(np.arange(1, k + 1), n_queries),
            "id": self.table.index[hits.rows.ravel()],
            "similarity": hits.similarity.ravel(),
        }
        return pd.concat([pd.DataFrame(start), found], axis=1)

    def nearest(self, queries: np.ndarray, k: int = 50, *, where: Filter | None = None) -> Hits:
        """Rows and similarities of :meth:`search`, without the table: the fast way in.

        Examples
        --------
        >>> index = SimilarityIndex(np.eye(3), pd.DataFrame(index=list("abc")))
        >>> index.nearest(np.array([0.0, 0.6, 0.8]), k=2).rows.tolist()
        [[2, 1]]
        """
        queries = self._queries(queries)
        if k < 1:
            raise ValueError(f"k should be at least 1; received {k}. 50 is usual.")
        rows = None if where is None else np.flatnonzero(self.mask(where))
        n = len(self) if rows is None else len(rows)
        size = max(1, BLOCK // max(1, min(n, ROWS)))
        found = [
            self._top(queries[start : start + size], min(k, n), rows)
            for start in counted(range(0, max(len(queries), 1), size), "blocks of queries")
        ]
        return Hits(np.concatenate([hits.rows for hits in found]), np.concatenate([hits.similarity for hits in found]))

    def similarities(self, queries: np.ndarray, *, where: Filter | None = None) -> np.ndarray:
        """Similarity of each query to every row that a filter leaves, in the order of the table; as exact as a search.

        Parameters
        ----------
        queries, where
            As for :meth:`search`.

        Returns
        -------
        numpy.ndarray
            ``(n_queries, n_rows)``, float64.

        Examples
        --------
        >>> index = SimilarityIndex(np.eye(3), pd.DataFrame(index=list("abc")))
        >>> index.similarities(np.array([0.0, 0.6, 0.8])).tolist()
        [[0.0, 0.6, 0.8]]
        """
        queries = self._queries(queries)
        rows = np.arange(len(self)) if where is None else np.flatnonzero(self.mask(where))
        query, row = np.divmod(np.arange(len(queries) * len(rows)), max(len(rows), 1))
        return self._exact(queries, query, rows[row]).reshape(len(queries), len(rows))

    def mask(self, where: Filter) -> np.ndarray:
        """Rows that a filter leaves, boolean ``(n,)``; compute it once for many searches.

        Parameters
        ----------
        where
            As for :meth:`search`.

        Raises
        ------
        ValueError
            For an unknown column, a value that no row has (with the nearest that exist), or a mask of another length.

        Examples
        --------
        >>> table = pd.DataFrame({"dose": [0.1, 1.0, 10.0]}, index=list("abc"))
        >>> SimilarityIndex(np.eye(3), table).mask({"dose": (1, 10)}).tolist()
        [False, True, True]
        """
        return rows_that_fit(self.table, where)

    def vectors_of(self, ids: Sequence[object]) -> np.ndarray:
        """Vectors of known ids, to search for what is like them, ``(n_ids, n_dims)``.

        Parameters
        ----------
        ids
            Ids of rows, each of which must be there.

        Raises
        ------
        KeyError
            For ids that are not there, with the nearest that are.
        """
        rows = self.table.index.get_indexer(pd.Index(ids))
        unknown = [name for name, row in zip(ids, rows, strict=True) if row < 0]
        if unknown:
            raise KeyError(
                f"{len(unknown):,} of {len(ids):,} ids are not among the {len(self):,} of the index (first: "
                f"{first(unknown)}). Near {unknown[0]!r}: {first(nearest_names(str(unknown[0]), self.table.index))}."
            )
        return self.vectors[rows]

    def save(self, folder: str | Path) -> None:
        """Write ``vectors.npy``, ``table.parquet``, ``index.json`` and, if there are any, ``offsets.npy``; no code.

        A folder that already holds an index is replaced whole.

        Raises
        ------
        ValueError
            If ``folder`` holds something that is no index.
        """
        folder = Path(folder)
        if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / "index.json").is_file()):
            raise ValueError(
                f"an index is saved in a folder of its own; {folder} holds other files. Name a new folder."
            )
        about = {"format": FORMAT, "metric": self.metric, "n": len(self), "n_dims": self.vectors.shape[1]}
        about["offsets"] = self.offsets is not None
        with written_folder(folder) as draft:
            np.save(draft / "vectors.npy", self.vectors, allow_pickle=False)
            self.table.to_parquet(draft / "table.parquet")
            if self.offsets is not None:
                np.save(draft / "offsets.npy", self.offsets, allow_pickle=False)
            (draft / "index.json").write_text(json.dumps(about, indent=2) + "\n")

    @classmethod
    def load(cls, folder: str | Path, *, memory_map: bool = False) -> SimilarityIndex:
        """Read a folder that :meth:`save` wrote.

        Parameters
        ----------
        folder
            Where it lies.
        memory_map
            Leave the vectors on disk and read them as they are needed.

        Raises
        ------
        FileNotFoundError
            Where the folder holds no index.
        ValueError
            Where it is of a newer format, or its parts do not belong together.
        """
        folder = Path(folder)
        if not (folder / "index.json").is_file():
            raise FileNotFoundError(
                f"an index is a folder with index.json; {folder} has none. Give the folder that save() wrote."
            )
        about = _read_about(folder)
        try:
            vectors, offsets = _array(folder / "vectors.npy"), None
            table = pd.read_parquet(folder / "table.parquet")
            if about["offsets"]:
                offsets = np.array(_array(folder / "offsets.npy"))
        except Exception as error:  # headers and schemas that someone else wrote fail in many ways
            raise _damaged(folder, error) from error
        if vectors.shape != (about["n"], about["n_dims"]) or len(table) != about["n"]:
            raise ValueError(
                f"index.json tells of {about['n']:,} vectors of {about['n_dims']} numbers; {folder} holds shape "
                f"{vectors.shape} and a table of {len(table):,} rows. Save the index again."
            )
        try:
            return cls(
                vectors if memory_map else np.array(vectors), table, metric=str(about["metric"]), offsets=offsets
            )
        except (TypeError, MemoryError) as error:  # ids that cannot be compared
            raise _damaged(folder, error) from error

    def _queries(self, queries: np.ndarray) -> np.ndarray:
        queries = matrix(np.atleast_2d(np.asarray(queries)), "queries", self.vectors.shape[1]).astype(np.float64)
        return unit(queries, "queries") if self.metric == "cosine" else queries

    def _top(self, queries: np.ndarray, k: int, rows: np.ndarray | None) -> Hits:
        if not k or not len(queries):
            return Hits(np.zeros((len(queries), 0), dtype=np.intp), np.zeros((len(queries), 0)))
        best = np.full((len(queries), k), -np.inf, dtype=np.float32)
        slack = SLACK * self._scale(queries)[:, None]
        kept: list[tuple[np.ndarray, np.ndarray]] = []
        for at, part in self._blocks(rows):
            rough = self._rough(queries.astype(np.float32), part)
            top = np.partition(rough, -k, axis=1)[:, -k:] if rough.shape[1] > k else rough
            best = np.partition(np.concatenate([best, top], axis=1), top.shape[1], axis=1)[:, -k:]
            least = (best.min(axis=1, keepdims=True) - slack).astype(np.float32)
            query, column = np.divmod(np.flatnonzero(rough >= least), rough.shape[1])
            kept.append((query, column + at))
        query, place = (np.concatenate(part) for part in zip(*kept, strict=True))
        found = place if rows is None else rows[place]
        return self._ordered(queries, query, found, k)

    def _ordered(self, queries: np.ndarray, query: np.ndarray, found: np.ndarray, k: int) -> Hits:
        """The first ``k`` candidates of each query in double precision, ties by id."""
        similarity = self._exact(queries, query, found)
        order = np.lexsort((self._place[found], -similarity, query))
        starts = np.searchsorted(query[order], np.arange(len(queries)))
        chosen = order[starts[:, None] + np.arange(k)]
        return Hits(found[chosen], similarity[chosen])

    def _exact(self, queries: np.ndarray, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Similarity of pairs, a query and a row by number each, in double precision, ``(n_pairs,)``."""
        similarity = np.empty(len(rows))
        size = max(1, BLOCK // self.vectors.shape[1] // 4)
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            similarity[part] = self._similarity(queries[query[part]], self.vectors[rows[part]].astype(np.float64))
        return similarity if self.offsets is None else similarity - self.offsets[rows]

    def _blocks(self, rows: np.ndarray | None) -> Iterator[tuple[int, slice | np.ndarray]]:
        """Where each block starts among the rows that are searched, and its places in the index."""
        n = len(self) if rows is None else len(rows)
        for start in range(0, n, ROWS):
            part = slice(start, start + ROWS)
            yield start, part if rows is None else rows[part]

    def _rough(self, queries: np.ndarray, part: slice | np.ndarray) -> np.ndarray:
        """Single-precision similarity that orders rows as the exact one does, but for rounding."""
        vectors = self.vectors[part]
        products = queries @ vectors.T
        if self.metric == "cosine":
            return products if self.offsets is None else products - self.offsets[part]
        return 2 * products - np.einsum("ij,ij->i", vectors, vectors)

    def _scale(self, queries: np.ndarray) -> np.ndarray:
        """Size of the numbers that rounding is relative to, a query."""
        if self.metric == "cosine":
            largest = 0.0 if self.offsets is None else float(np.abs(self.offsets).max(initial=0))
            return np.full(len(queries), 1 + largest)
        longest = float(np.einsum("ij,ij->i", self.vectors, self.vectors).max(initial=0))
        return np.einsum("ij,ij->i", queries, queries) + longest

    def _similarity(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """Exact similarity of pairs of rows; each pair is summed by itself, so that its neighbours do not matter."""
        if self.metric == "cosine":
            return np.einsum("ij,ij->i", queries, vectors) / np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        return -np.sqrt(np.einsum("ij,ij->i", queries - vectors, queries - vectors))


def _read_about(folder: Path) -> dict[str, Any]:
    """What ``index.json`` says, each entry of its kind."""
    try:
        about = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        number = about["format"]
        found = {"metric": about["metric"], "offsets": bool(about.get("offsets")), "format": number}
        found |= {name: about[name] for name in ("n", "n_dims")}
        if not all(isinstance(found[name], int) for name in ("format", "n", "n_dims")):
            raise TypeError("format, n and n_dims are no whole numbers")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(folder, error) from error
    if number > FORMAT:
        raise ValueError(f"this version reads indexes up to format {FORMAT}; {folder} has {number}. Update galenic.")
    return found


def _array(path: Path) -> np.ndarray:
    """Numbers that stay on disk until they are used: what is declared but not there takes no memory."""
    found: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
        raise TypeError(f"{path.name} holds no numbers")
    return found


def _damaged(folder: Path, error: BaseException) -> ValueError:
    return ValueError(
        f"{folder} should hold an index as save() wrote it, whole; it cannot be read ({type(error).__name__}: "
        f"{str(error)[:160]}). Copy the folder again, or save the index anew."
    )


def _checked_offsets(offsets: np.ndarray, n: int, metric: str) -> np.ndarray:
    offsets = np.asarray(offsets, dtype=np.float32)
    if metric != "cosine" or offsets.shape != (n,) or not np.isfinite(offsets).all():
        raise ValueError(
            f"offsets should be one finite number for each of {n:,} rows of a cosine index; received shape "
            f"{offsets.shape} for metric {metric!r}, {int((~np.isfinite(offsets)).sum()):,} not finite. Leave them "
            "out, or compute one a row."
        )
    return offsets


def _require_ids(table: pd.DataFrame) -> None:
    repeated = table.index[table.index.duplicated()].unique()
    if len(repeated) or table.index.hasnans:
        raise ValueError(
            f"ids of an index should be unique and none missing; {len(repeated):,} of {len(table):,} repeat (first: "
            f"{first(repeated)}). Set the table's index to the profile or drug ids."
        )
    taken = [name for name in RESULT if name in table.columns]
    if taken:
        raise ValueError(f"the columns {first(taken)} are those of results; the table has them too. Rename them.")
