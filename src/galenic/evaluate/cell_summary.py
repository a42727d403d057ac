"""Predictions of cells summed up: by cluster or sample, and over drugs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from galenic.evaluate.checks import labels, require_columns

SUMMARY = ["group", "n", "answered", "abstained", "probability", "low", "high", "share_sensitive", "share_low",
           "share_high"]  # fmt: skip
RANKING = ["rank", "drug", *SUMMARY[1:]]


def summarise_cells(table: pd.DataFrame, by: str | None = None, *, level: float = 0.95) -> pd.DataFrame:
    """Mean probability and share of sensitive cells of each group, with intervals.

    Parameters
    ----------
    table
        One row a cell: ``probability``, ``label`` (1 = called sensitive), ``abstain``.
    by
        Column of clusters, samples, ...; ``None``: all cells are one group, ``"all"``. Cells without a value there form
        the group ``"unknown"``.
    level
        Of the intervals.

    Returns
    -------
    pandas.DataFrame
        ``group, n`` (cells), ``answered`` (cells that have a probability and were not abstained from), ``abstained``
        (share of the others); over answered cells: ``probability, low, high`` (mean and its interval) and
        ``share_sensitive, share_low, share_high`` (share called sensitive and its interval). NaN where none was
        answered; an interval of the mean needs two.

    Notes
    -----
    Mean: Student's t over cells. Share: Wilson, J. Am. Stat. Assoc. 1927, 22:209. Both hold for other cells of the
    *same* groups: cells of one sample are not independent, and what the model does not know is not in them.

    Examples
    --------
    >>> table = pd.DataFrame({"probability": [0.9, 0.8, 0.2, 0.5], "label": [1, 1, 0, 1],
    ...                       "abstain": [False, False, False, True], "cluster": list("aabb")})
    >>> summarise_cells(table, "cluster")[["group", "n", "answered", "probability", "share_sensitive"]]
      group  n  answered  probability  share_sensitive
    0     a  2         2         0.85              1.0
    1     b  2         1         0.20              0.0
    """
    require_columns(table, ["probability", "label", "abstain"], "summing up cells: the prediction table")
    if by is None:
        names = pd.Series("all", index=table.index)
    else:
        require_columns(table, [by], f"summing up cells by {by!r}: the prediction table")
        column = table[by].astype("object")
        names = labels(table.assign(**{by: column.where(column.notna(), "unknown")}), by, "summing up cells")
    codes, groups = pd.factorize(names, sort=True)
    there = table["probability"].notna().to_numpy() & ~table["abstain"].to_numpy(dtype=bool)
    n = np.bincount(codes, minlength=len(groups))
    kept, size = codes[there], len(groups)
    answered = np.bincount(kept, minlength=size)
    probability = table["probability"].to_numpy(dtype=np.float64)[there]
    called = table["label"].astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)[there]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(kept, probability, size) / answered
        squares = np.bincount(kept, (probability - mean[kept]) ** 2, size)
        error = np.sqrt(squares / (answered - 1) / answered)
        share = np.bincount(kept, called, size) / answered
    half = stats.t.ppf((1 + level) / 2, np.maximum(answered - 1, 1)) * error
    half = np.where(answered > 1, half, np.nan)
    low, high = _wilson(share, answered, level)
    return pd.DataFrame(
        {
            "group": groups, "n": n, "answered": answered, "abstained": 1 - answered / n, "probability": mean,
            "low": np.clip(mean - half, 0, 1), "high": np.clip(mean + half, 0, 1), "share_sensitive": share,
            "share_low": low, "share_high": high,
        },
        columns=SUMMARY,
    )  # fmt: skip


def rank_drugs(tables: Mapping[str, pd.DataFrame], *, level: float = 0.95) -> pd.DataFrame:
    """Drugs by the share of cells that each is predicted to hit.

    Parameters
    ----------
    tables
        For each drug a prediction of the same cells, as :func:`summarise_cells` takes them.
    level
        Of the intervals.

    Returns
    -------
    pandas.DataFrame
        ``rank, drug`` and the columns of :func:`summarise_cells`, the drug with the highest mean probability first;
        drugs for which every cell was abstained from come last, without a rank. Probabilities of two drugs are each
        calibrated on lines of their own: a rank is a suggestion what to test first, not a comparison of doses.

    Examples
    --------
    >>> def cells(probability):
    ...     return pd.DataFrame({"probability": probability, "label": [1, 0], "abstain": False})
    >>> rank_drugs({"erlotinib": cells([0.6, 0.2]), "cisplatin": cells([0.9, 0.4])})[["rank", "drug", "probability"]]
       rank       drug  probability
    0     1  cisplatin         0.65
    1     2  erlotinib         0.40
    """
    if not tables:
        return pd.DataFrame(columns=RANKING)
    rows = pd.concat([summarise_cells(table, level=level).assign(drug=name) for name, table in tables.items()])
    rows = rows.sort_values("probability", ascending=False, kind="stable", na_position="last", ignore_index=True)
    known = rows["probability"].notna()
    rows["rank"] = pd.array(np.where(known, np.arange(1, len(rows) + 1), 0), dtype="Int64")
    rows.loc[~known, "rank"] = pd.NA
    return rows[RANKING]


def _wilson(share: np.ndarray, n: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    z = stats.norm.ppf((1 + level) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
