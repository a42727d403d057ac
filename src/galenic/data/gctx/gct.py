"""GCT 1.2 and 1.3: profiles as text, genes in the rows."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from functools import partial
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first, require_unique
from galenic.data.gctx.gctx import dense_rows, require_content, without_missing
from galenic.data.gctx.metadata import MISSING_TEXTS, as_text, released_names
from galenic.data.gctx.sniff import GZIP, open_lines, written_whole
from galenic.data.gctx.source import Block, sorted_places
from galenic.data.limits import LONGEST_LINE, line_of, require_room

TAB = b"\t"
SHORT = 1 << 16
"""Bytes of the first two lines, at most."""
OF_A_TEXT = 60
"""Bytes that a short text takes in memory."""
TO_GCTX = "Convert it to GCTX where there is more memory."
LARGEST_RATIO = 1100
"""No gzip makes more of a byte; a declared size beyond it cannot be in the file."""


class GctFile:
    """A GCT file: ids and metadata are read at once, numbers when asked.

    Parameters
    ----------
    path
        The file; compressed by gzip or not.

    Raises
    ------
    ValueError
        If it is cut off, its parts do not have the declared sizes, or ids are missing or repeated.
    """

    steps: tuple[str, ...] = ()

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = self.path.name
        with open_lines(self.path) as stream:
            self._read_header(stream)
            self.genes = self._read_genes(stream)

    def blocks(self, rows: np.ndarray, genes: np.ndarray, size: int) -> Iterator[Block]:
        """Blocks of genes, of which the lines of the file have one each.

        See :meth:`galenic.data.gctx.source.Source.blocks`.
        """
        genes, gene_order = sorted_places(genes)
        columns = (rows + self._n_fields).tolist()
        height = max(1, size // max(len(rows), 1))
        everywhere = np.arange(len(rows))
        with open_lines(self.path) as stream:
            lines = enumerate(line for line in islice(stream, self._n_header, None) if line.strip())
            for start in range(0, len(genes), height):
                wanted = genes[start : start + height]
                texts = _lines(lines, wanted)
                load = partial(self._numbers, texts, wanted, columns)
                yield Block(everywhere, gene_order[start : start + height], load)

    def _numbers(self, lines: list[bytes], wanted: np.ndarray, columns: list[int]) -> np.ndarray:
        take = itemgetter(*columns) if len(columns) > 1 else (lambda fields: (fields[columns[0]],))
        # 1e300 in a text becomes infinite, which is refused where blocks are put together.
        with np.errstate(over="ignore"):
            values = np.empty((len(columns), len(lines)), dtype=np.float32)
            for i, line in enumerate(lines):
                fields = take(line.rstrip(b"\r\n").split(TAB))
                try:
                    values[:, i] = list(map(float, fields))
                except ValueError:
                    values[:, i] = self._with_missing(fields, int(wanted[i]))
        return values

    def _with_missing(self, fields: tuple[bytes, ...], gene: int) -> list[float]:
        values = []
        for field in fields:
            text = field.decode(errors="replace").strip()
            try:
                values.append(np.nan if text.lower() in MISSING_TEXTS else float(text))
            except ValueError:
                raise ValueError(
                    f"every value of {self.name} should be a number; gene {self.genes.index[gene]!r} holds {text!r}. "
                    "Correct it, or write NA where nothing was measured."
                ) from None
        return values

    def _read_header(self, stream: IO[bytes]) -> None:
        version, sizes = self._line(stream, SHORT), self._line(stream, SHORT)
        self._version = version[0].strip().removeprefix("\ufeff")
        parts = 4 if self._version == "#1.3" else 2
        try:
            numbers = [int(text) for text in sizes if text.strip()]
        except ValueError:
            numbers = []
        if len(numbers) < parts or min(numbers) < 0:
            raise ValueError(
                f"the second line of {self.name} should hold {parts} whole numbers, parted by tabs; it holds "
                f"{chr(9).join(sizes)[:60]!r}. Write the file again."
            )
        self.n_genes, self.n_profiles = numbers[:2]
        n_gene_fields, n_profile_fields = numbers[2:4] if parts == 4 else (1, 0)
        self._n_fields = 1 + n_gene_fields
        self._n_header = 3 + n_profile_fields
        names = [text.strip() for text in self._line(stream, fields=self._n_fields + self.n_profiles)]
        self._require_room(n_gene_fields, n_profile_fields)
        self._fields = names[1 : self._n_fields]
        ids = pd.Index(names[self._n_fields :])
        self._require_ids(ids, "profile ids")
        columns = {}
        for _ in range(n_profile_fields):
            name, *values = self._line(stream, fields=len(names))
            columns[name.strip()] = np.array(values[self._n_fields - 1 :], dtype="object")
        self.profiles = pd.DataFrame(columns, index=ids)

    def _line(self, stream: IO[bytes], most: int = LONGEST_LINE, fields: int | None = None) -> list[str]:
        line = line_of(stream, self.name, most)
        if not line:
            raise ValueError(
                f"{self.name} should have a version, its sizes, a header and metadata; it ends before. "
                "Download or write it again."
            )
        if fields is not None and line.count(TAB) + 1 != fields:
            raise ValueError(
                f"the header and the metadata of {self.name} should have {fields:,} fields for {self.n_profiles:,} "
                f"declared profiles; {line.split(TAB, 1)[0][:40].decode(errors='replace')!r} has "
                f"{line.count(TAB) + 1:,}. The file is cut off, or its second line is wrong: write it again."
            )
        require_room(OF_A_TEXT * line.count(TAB), f"a line of {self.name}", TO_GCTX)
        try:
            return line.decode("utf-8").rstrip("\r\n").split("\t")
        except UnicodeDecodeError:
            # Names of people and micro signs in files of the first years.
            return line.decode("latin-1").rstrip("\r\n").split("\t")

    def _require_room(self, n_gene_fields: int, n_profile_fields: int) -> None:
        """The declared sizes must be possible before anything is allocated."""
        expected = self._n_fields + self.n_profiles
        with self.path.open("rb") as stream:
            ratio = LARGEST_RATIO if stream.read(2) == GZIP else 1
        if (self.n_genes + n_profile_fields) * expected > ratio * self.path.stat().st_size:
            raise ValueError(
                f"{self.name} should hold {self.n_genes:,} genes x {self.n_profiles:,} profiles, as its second line "
                f"says; its {self.path.stat().st_size:,} bytes cannot. Correct the line, or download the file again."
            )
        n_texts = expected * (1 + n_profile_fields) + self.n_genes * (2 + n_gene_fields)
        require_room(OF_A_TEXT * n_texts, f"the ids and metadata of {self.name}", TO_GCTX)

    def _read_genes(self, stream: IO[bytes]) -> pd.DataFrame:
        rows: list[list[bytes]] = []
        n, n_tabs = 0, self._n_fields + self.n_profiles - 1
        for line in iter(partial(line_of, stream, self.name), b""):
            if not line.strip():
                continue
            if line.count(TAB) != n_tabs:
                name = line.split(TAB, 1)[0][:40].decode(errors="replace")
                raise ValueError(
                    f"each gene of {self.name} should have {n_tabs + 1:,} fields, as the header has; {name!r} has "
                    f"{line.count(TAB) + 1:,}. The file is cut off or damaged: write or download it again."
                )
            n += 1
            if n <= self.n_genes:  # memory was found to be enough for so many
                rows.append(line.split(TAB, self._n_fields)[: self._n_fields])
        if n != self.n_genes:
            raise ValueError(
                f"{self.name} should hold {self.n_genes:,} genes, as its second line says; it holds {n:,}. "
                "The file is cut off, or the line is wrong: write or download it again."
            )
        index = pd.Index(as_text([row[0] for row in rows]) if rows else [])
        self._require_ids(index, "gene ids")
        columns = {name: as_text([row[i + 1] for row in rows]) for i, name in enumerate(self._fields)}
        return pd.DataFrame(columns, index=index)

    def _require_ids(self, ids: pd.Index, what: str) -> None:
        if len(ids) == 0 or (ids == "").any():
            raise ValueError(
                f"{what} of {self.name} should all be known; of {len(ids):,} {int((ids == '').sum()):,} are empty. "
                "Write the file again."
            )
        require_unique(ids, f"{what} of {self.name}")


def write_gct(adata: AnnData, path: str | Path) -> Path:
    """Write profiles as GCT 1.3 text, with every digit that a float32 needs.

    Parameters
    ----------
    adata
        Profiles x genes; ``obs`` and ``var`` are written under the names of CMap, missing as -666. It is not changed.
    path
        The file; compressed by gzip if it ends in .gz. It appears whole or not at all, in place of any that was there.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If there is nothing to write, or a name holds a tab or a line break.
    OSError
        If the system does not let it be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> adata = AnnData(pd.DataFrame({"5720": [1.5]}, index=["p1"]).astype("float32"))
    >>> with TemporaryDirectory() as folder:
    ...     write_gct(adata, Path(folder, "one.gct")).read_text().split()
    ['#1.3', '1', '1', '0', '0', 'id', 'p1', '5720', '1.5']
    """
    path = Path(path)
    require_content(adata, path.name)
    obs, var = released_names(adata.obs, "profiles"), released_names(adata.var, "genes")
    profiles = {str(name): _texts(obs[name]) for name in obs}
    genes = {str(name): _texts(var[name]) for name in var}
    rows = [["id", *genes, *map(str, adata.obs_names)]]
    rows += [[name, *["na"] * len(genes), *texts] for name, texts in profiles.items()]
    labels = list(zip(map(str, adata.var_names), *genes.values(), strict=True))
    _require_plain([text for row in [*rows, *labels] for text in row], path.name)
    values = dense_rows(adata, 0, adata.n_obs).T
    with (
        written_whole(path) as part,
        gzip.open(part, "wt", encoding="utf-8") if path.suffix == ".gz" else part.open("w", encoding="utf-8") as stream,
    ):
        stream.write(f"#1.3\n{adata.n_vars}\t{adata.n_obs}\t{len(genes)}\t{len(profiles)}\n")
        stream.writelines("\t".join(row) + "\n" for row in rows)
        for label, row in zip(labels, values, strict=True):
            # str of a float32 is the shortest text that reads back as the same float32.
            stream.write("\t".join([*label, *map(str, row)]) + "\n")
    return path


def _texts(values: pd.Series) -> list[str]:
    return [str(value) for value in without_missing(values).tolist()]


def _require_plain(texts: list[str], name: str) -> None:
    wrong = [text for text in texts if "\t" in text or "\n" in text or "\r" in text]
    if wrong:
        raise ValueError(
            f"names and metadata in {name} should have no tab and no line break; {len(wrong):,} have (first: "
            f"{first(wrong)}). Replace them by blanks, or write GCTX."
        )


def _lines(lines: Iterator[tuple[int, bytes]], wanted: np.ndarray) -> list[bytes]:
    """The next lines of the file that hold the wanted genes, which ascend."""
    found: list[bytes] = []
    for place in wanted.tolist():
        found += [next(line for number, line in lines if number == place)]
    return found
