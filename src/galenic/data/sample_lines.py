"""Which cell line a sample is: ids of several kinds, joined by written rules and never by position."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first
from galenic.data.read.columns import CELL, CELL_NAME, as_ids, find, plain
from galenic.data.read.response import TableSource, as_table

GDSC_SAMPLE = re.compile(r"DATA\.(\d+)(?:\.\d+)?")
"""A COSMIC id as GDSC's expression table writes it."""
DEPMAP_SAMPLE = re.compile(r"ACH-\d{6}")
PLATFORM = ("platform", "source", "study", "dataset", "batch")


def lines_of(samples: pd.Index, cells: AnnData, table: TableSource | None = None) -> pd.DataFrame:
    """The line and platform of each sample.

    Parameters
    ----------
    samples
        Ids, each once.
    cells
        Lines; ``obs_names`` and any columns of ids in ``obs`` (``cosmic_id``, ``depmap_id``, names, ...).
    table
        Further ids of the samples: a column of sample ids and others of lines (``name``, ...); ``platform`` or
        ``source`` where known.

    Returns
    -------
    pandas.DataFrame
        Index = samples; ``line`` (of ``cells.obs_names``, missing where none is found) and ``platform`` (missing where
        not known).

    Notes
    -----
    Of these rules the first that finds a line counts:

    1. the sample is a line, by its own name or by an id in ``obs``;
    2. ``DATA.<number>`` is COSMIC id ``<number>``;
    3. another id of the sample in ``table`` is a line, by name or id;
    4. a name of the sample equals a name of a line without case and marks (``639-V``, ``639V``).

    An id that stands for two lines is not used. Without a column in ``table``, samples ``DATA.<number>`` are of
    platform ``"GDSC"`` and ``ACH-<number>`` of ``"CCLE"``, where both kinds occur.

    Examples
    --------
    >>> obs = pd.DataFrame({"depmap_id": ["ACH-000001", "ACH-000002"]}, index=["683665", "683667"])
    >>> lines_of(pd.Index(["DATA.683665", "ACH-000002"]), AnnData(obs=obs)).to_numpy().tolist()
    [['683665', 'GDSC'], ['683667', 'CCLE']]
    """
    text = pd.Series(samples.astype(str), index=samples)
    info = None if table is None else _rows_of(text, as_table(table))
    others = [] if info is None else [info[column] for column in info if column not in find(info, PLATFORM)]
    exact, loose = _known(cells, exact=True), _known(cells, exact=False)
    cosmic = text.str.extract(rf"^{GDSC_SAMPLE.pattern}$", expand=False)
    found = [as_ids(ids).map(exact) for ids in (text, cosmic, *others)]
    found += [as_ids(ids).map(plain, na_action="ignore").map(loose) for ids in (text, *others)]
    line = pd.concat([ids.astype("object") for ids in found], axis=1).to_numpy(dtype="object")
    first_known = (~pd.isna(line)).argmax(axis=1)
    line = pd.Series(line[np.arange(len(line)), first_known], index=samples, dtype="object")
    return pd.DataFrame({"line": line, "platform": _platform(text, info)})


def require_some(lines: pd.DataFrame, cells: AnnData, what: str) -> None:
    """Raise ``ValueError`` if no sample is a line."""
    if not lines["line"].notna().any():
        raise ValueError(
            f"{what} should be of cell lines with expression; 0 of {len(lines):,} samples (first: "
            f"{first(lines.index)}) are among {cells.n_obs:,} lines (first: {first(cells.obs_names)}). Use the same "
            "ids (DATA.<COSMIC id> and <COSMIC id> are the same), or give a table of sample ids (--label-samples)."
        )


def _known(cells: AnnData, *, exact: bool) -> pd.Series:
    """From an id to the line that it means; ids that mean several are left out."""
    parts = []
    for ids in _ids_of_lines(cells, exact):
        pairs = pd.Series(cells.obs_names.astype(str).to_numpy(), pd.Index(ids), dtype="object")
        parts.append(pairs[pairs.index.notna() & (pairs.index != "") & ~pairs.index.duplicated(keep=False)])
    everything = pd.concat(parts)
    return everything[~everything.index.duplicated()]


def _ids_of_lines(cells: AnnData, exact: bool) -> Iterator[pd.Series]:
    columns = [cells.obs_names.to_series(), *(cells.obs[name] for name in find(cells.obs.columns, (*CELL, *CELL_NAME)))]
    for column in columns:
        ids = as_ids(column.astype("object"))
        yield ids if exact else ids.map(plain, na_action="ignore")


def _rows_of(samples: pd.Series, info: pd.DataFrame) -> pd.DataFrame:
    """The row of each sample in a table of ids, by the column that knows most of them."""
    columns = {name: as_ids(info[name]) for name in info}
    key = max(columns, key=lambda name: int(columns[name].isin(samples).sum()))
    if not columns[key].isin(samples).any():
        raise ValueError(
            f"the table of sample ids should have the labelled samples (first: {first(samples)}); none of its columns "
            f"({first(info.columns, 5)}) does. Use the table that came with the labels."
        )
    rows = info.assign(**{key: columns[key]}).drop_duplicates(key).set_index(key)
    return rows.reindex(samples.to_numpy()).set_axis(samples.index, axis=0)


def _platform(samples: pd.Series, info: pd.DataFrame | None) -> pd.Series:
    named = [] if info is None else find(info.columns, PLATFORM)
    if info is not None and named:
        return info[named[0]].astype("object")
    gdsc, depmap = (samples.str.fullmatch(pattern) for pattern in (GDSC_SAMPLE, DEPMAP_SAMPLE))
    if not (gdsc.any() and depmap.any()):
        return pd.Series(np.nan, index=samples.index, dtype="object")
    return pd.Series(np.where(gdsc, "GDSC", np.where(depmap, "CCLE", "other")), index=samples.index, dtype="object")
