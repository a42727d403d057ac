"""Splits as files, by id, and what the two sides of a fold share that they should not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from galenic.evaluate.checks import first, require_columns
from galenic.evaluate.perturbation_splits import rows_of
from galenic.evaluate.splits import Fold

SIDES = ("train", "test", "out")


def write_split(table: pd.DataFrame, folds: Sequence[Fold], path: str | Path) -> None:
    """Write folds to a CSV file: ``id`` (index of the table) and a column a fold that says train, test or out.

    Parameters
    ----------
    table
        What was divided; its index names each row once.
    folds
        Its folds.
    path
        File to write; its folder exists.

    Raises
    ------
    ValueError
        If an id stands twice.

    Examples
    --------
    >>> import tempfile
    >>> table = pd.DataFrame(index=["a", "b", "c"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_split(table, [Fold(np.array([0]), np.array([2]))], Path(folder) / "split.csv")
    ...     print((Path(folder) / "split.csv").read_text())
    id,fold_0
    a,train
    b,out
    c,test
    <BLANKLINE>
    """
    columns = {"id": _ids(table)}
    for number, fold in enumerate(folds):
        side = np.full(len(table), "out", dtype=object)
        side[fold.train], side[fold.test] = "train", "test"
        columns[f"fold_{number}"] = side
    pd.DataFrame(columns).to_csv(path, index=False)


def read_split(table: pd.DataFrame, path: str | Path) -> list[Fold]:
    """Read the folds that :func:`write_split` wrote, as row positions of a table with the same ids in any order.

    Parameters
    ----------
    table
        Its index names each row once.
    path
        The file.

    Returns
    -------
    list of Fold

    Raises
    ------
    ValueError
        If table and file do not hold the same ids, or the file says something but train, test or out.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "split.csv"
    ...     write_split(pd.DataFrame(index=["a", "b"]), [Fold(np.array([0]), np.array([1]))], path)
    ...     read_split(pd.DataFrame(index=["b", "a"]), path)
    [Fold(train=array([1]), test=array([0]))]
    """
    try:
        saved = pd.read_csv(path, dtype=str, keep_default_na=False, encoding_errors="strict")
    except FileNotFoundError:
        raise FileNotFoundError(f"a split is a CSV file; {path} does not exist. Check the path.") from None
    except Exception as error:
        raise ValueError(
            f"a split should be a CSV file that write_split() wrote; {path} cannot be read ({type(error).__name__}: "
            f"{str(error).strip()[:120]}). Write it again."
        ) from error
    require_columns(saved, ["id"], f"a split: {path}")
    ids = _ids(table)
    saved = saved.set_index("id")
    apart = pd.Index(ids).symmetric_difference(saved.index)
    if len(apart) or saved.index.has_duplicates:
        raise ValueError(
            f"the split {path} should hold each id of the table once; the table has {len(ids):,}, the file "
            f"{len(saved):,}, and {len(apart):,} stand in one only (first: {first(apart)}). "
            "Take the table that was split, or split again."
        )
    strange = sorted(set(np.unique(saved.to_numpy(dtype=str))) - set(SIDES))
    if strange:
        raise ValueError(
            f"a fold of {path} should say {', '.join(SIDES)} of each id; it holds {first(strange)}. "
            "Write the file with write_split()."
        )
    sides = saved.loc[ids]
    return [
        Fold(*(np.flatnonzero((sides[name] == side).to_numpy()) for side in ("train", "test")))
        for name in sides.columns
    ]


def leakage(
    table: pd.DataFrame,
    fold: Fold,
    columns: Mapping[str, Sequence[str]] | None = None,
    *,
    context: str = "context",
    perturbation: str = "perturbation",
    control: str | None = "control",
    separator: str | None = "+",
) -> pd.DataFrame:
    """What the treated rows of train and test share: the condition, a well, a plate, a replicate, a cell.

    Parameters
    ----------
    table, context, perturbation, control, separator
        As in :func:`perturbation_split`. Controls, which always train, are not looked at.
    fold
        Row positions. For what a prediction is given and what it is scored on: ``Fold(given rows, test rows)``.
    columns
        What to look at: a name, and the columns whose combination must not repeat. By default, as far as the table has
        them, ``well`` (``plate`` and ``well``), ``replicate plate`` (``plate``), ``replicate``, ``donor`` and
        ``cell barcode`` (``barcode``). Always looked at: ``condition`` and ``id``, the index.

    Returns
    -------
    pandas.DataFrame
        One row each: ``shares``, ``columns``, ``n_shared`` (values on both sides), ``n_test`` (test rows that have one)
        and ``examples``. A shared *condition*, *well*, *cell barcode* or *id* means that the answer was seen. A shared
        plate or donor is only what the question allows or not: noise common to a plate helps.

    Raises
    ------
    ValueError
        For a missing column.

    Examples
    --------
    >>> table = pd.DataFrame({"context": ["A", "A", "A"], "perturbation": ["control", "x", "x"], "plate": "P1",
    ...                       "well": ["A01", "A02", "A03"]})
    >>> leakage(table, Fold(np.array([0, 1]), np.array([2])))[["shares", "n_shared", "n_test"]]
                shares  n_shared  n_test
    0        condition         1       1
    1             well         0       0
    2  replicate plate         1       1
    3               id         0       0
    """
    rows = rows_of(table, context, perturbation, control, separator)
    if columns is None:
        known = {
            "well": ("plate", "well"),
            "replicate plate": ("plate",),
            "replicate": ("replicate",),
            "donor": ("donor",),
            "cell barcode": ("barcode",),
        }
        columns = {what: names for what, names in known.items() if set(names) <= set(table.columns)}
    treated = ~rows["is_control"].to_numpy()
    train, test = (side[treated[side]] for side in (np.asarray(fold.train), np.asarray(fold.test)))
    found = [("condition", f"{context} + {perturbation}", *_shared(rows[["context", "perturbation"]], train, test))]
    for what, names in columns.items():
        require_columns(table, names, f"leakage by {what}")
        found.append((what, " + ".join(names), *_shared(table[list(names)], train, test)))
    found.append(("id", "index", *_shared(pd.DataFrame({"id": table.index}), train, test)))
    return pd.DataFrame(found, columns=["shares", "columns", "n_shared", "n_test", "examples"])


def _shared(values: pd.DataFrame, train: np.ndarray, test: np.ndarray) -> tuple[int, int, str]:
    """Number of values on both sides, of test rows that have one, and examples; a missing value is not shared."""
    known = values.notna().all(axis=1).to_numpy()
    texts = [values[column].astype(str).reset_index(drop=True) for column in values.columns]
    names = texts[0].str.cat(texts[1:], sep=" + ").to_numpy() if len(texts) > 1 else texts[0].to_numpy()
    seen, asked = pd.Index(np.unique(names[train[known[train]]])), pd.Series(names[test[known[test]]])
    both = asked[asked.isin(seen).to_numpy()]
    return both.nunique(), len(both), first(sorted(both.unique()))


def _ids(table: pd.DataFrame) -> np.ndarray:
    ids = table.index.astype(str)
    twice = ids.duplicated()
    if twice.any():
        raise ValueError(
            f"the index should name each row once; {int(twice.sum()):,} of {len(ids):,} repeat one (first: "
            f"{first(ids[twice])}). Make them unique: obs_names_make_unique()."
        )
    return ids.to_numpy()
