"""Numbers that stand for a drug: given tables, or learned in each fold from the profiles of its training drugs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from galenic.data.checks import first

Fit = Callable[[pd.DataFrame], Callable[[pd.DataFrame], np.ndarray]]


@dataclass(frozen=True)
class Learned:
    """A representation that is learned anew in each fold, from the rows of its training drugs alone.

    Parameters
    ----------
    table
        What it is learned from, such as profiles: a row a drug (or a drug and cell), columns of numbers.
    fit
        ``fit(rows)`` learns from some rows of ``table`` and returns a function from rows to an array with as many
        rows. See :func:`components` and :func:`embedding`.

    Examples
    --------
    >>> table = pd.DataFrame(np.eye(4), index=list("abcd"))
    >>> halves = Learned(table, lambda rows: lambda asked: asked.to_numpy() / 2)
    >>> halves.fit(table)(table.iloc[:1]).tolist()
    [[0.5, 0.0, 0.0, 0.0]]
    """

    table: pd.DataFrame
    fit: Fit


Representation: TypeAlias = pd.DataFrame | Learned


def components(n: int) -> Fit:
    """Principal components: learned in each fold, for :class:`Learned`.

    Parameters
    ----------
    n
        How many; fewer where there are fewer training drugs or columns.

    Examples
    --------
    >>> table = pd.DataFrame([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])
    >>> np.abs(components(1)(table)(table)).tolist()
    [[2.0], [0.0], [2.0]]
    """

    def fit(rows: pd.DataFrame) -> Callable[[pd.DataFrame], np.ndarray]:
        values = rows.to_numpy(dtype=np.float64)
        mean = values.mean(axis=0)
        axes = np.linalg.svd(values - mean, full_matrices=False)[2][:n]
        return lambda asked: np.asarray((asked.to_numpy(dtype=np.float64) - mean) @ axes.T)

    return fit


def embedding(model: Any) -> Fit:
    """Vectors of a model of profiles (:class:`~galenic.DeepPert`, ...), fitted in each fold; for :class:`Learned`.

    Each profile is a perturbagen of its own. Genes are divided by the spread of all values of the training profiles, as
    such models expect z-scores.

    Parameters
    ----------
    model
        Has ``fit(adata)``, and ``embed(adata)`` that gives a row a profile. It is copied, never changed.
    """

    def fit(rows: pd.DataFrame) -> Callable[[pd.DataFrame], np.ndarray]:
        from copy import deepcopy

        unit = float(rows.to_numpy(dtype=np.float64).std()) or 1.0
        learned = deepcopy(model)
        learned.fit(_profiles(rows, unit))
        return lambda asked: np.asarray(learned.embed(_profiles(asked, unit)))

    return fit


def _profiles(rows: pd.DataFrame, unit: float) -> Any:
    from anndata import AnnData

    names = pd.Index([f"profile{i}" for i in range(len(rows))])
    values = (rows.to_numpy(dtype=np.float64) / unit).astype(np.float32)
    obs = pd.DataFrame({"pert_id": names.to_numpy()}, index=names)
    return AnnData(values, obs=obs, var=pd.DataFrame(index=rows.columns.astype(str)))


def table_of(representation: Representation) -> pd.DataFrame:
    """The table behind a representation, learned or not."""
    return representation.table if isinstance(representation, Learned) else representation


def keys_of(labels: pd.DataFrame, column: str, table: pd.DataFrame) -> pd.Index:
    """What the rows of ``labels`` are called in ``table``: drugs, or drugs and cells."""
    if table.index.nlevels == 1:
        return pd.Index(labels[column].astype(str))
    return pd.MultiIndex.from_arrays([labels[column].astype(str), labels["cell"].astype(str)])


def require_numbers(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """The table with its index as text; raise ``ValueError`` unless rows stand once and hold finite numbers."""
    levels = table.index.nlevels
    if levels > 2 or not table.index.is_unique:
        twice = table.index[table.index.duplicated()].unique()
        raise ValueError(
            f"the representation {name!r} should have one row a drug, or a drug and cell; {len(twice):,} stand twice "
            f"(first: {first(twice)}). Average the profiles of each: table.groupby(level=0).mean()."
        )
    text = table.select_dtypes(exclude=["number", "bool"]).columns.tolist()
    if text or not len(table.columns) or not np.isfinite(table.to_numpy(dtype=np.float64)).all():
        what = f"columns of text (first: {first(text)})" if text else f"{table.shape[1]} columns, with empty entries"
        raise ValueError(
            f"the representation {name!r} should hold finite numbers only; it has {what}. Leave those columns out, and "
            "fill or drop what is empty."
        )
    named = table.copy(deep=False)
    values = [table.index.get_level_values(level).astype(str) for level in range(levels)]
    named.index = values[0] if levels == 1 else pd.MultiIndex.from_arrays(values)
    return named


def represented(
    labels: pd.DataFrame, representations: Mapping[str, Representation]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The labels whose drugs every representation knows, and what was left out.

    Parameters
    ----------
    labels
        ``drug``, or ``drug_a`` and ``drug_b``; ``cell`` where there is one.
    representations
        By name.

    Returns
    -------
    labels : DataFrame
        The rows that are left, numbered anew.
    coverage : DataFrame
        ``step, kept, dropped, why, examples``, a row for each representation that lacks drugs.

    Examples
    --------
    >>> labels = pd.DataFrame({"drug": ["a", "b"], "label": [0, 1]})
    >>> kept, coverage = represented(labels, {"genes": pd.DataFrame({"TP53": [0.5]}, index=["b"])})
    >>> kept["drug"].tolist(), coverage["dropped"].tolist()
    (['b'], [1])
    """
    columns = [column for column in ("drug", "drug_a", "drug_b") if column in labels]
    kept = np.ones(len(labels), dtype=bool)
    rows = []
    for name, representation in representations.items():
        table = require_numbers(name, table_of(representation))
        known = np.logical_and.reduce([keys_of(labels, column, table).isin(table.index) for column in columns])
        lost = kept & ~known
        kept &= known
        if lost.any():
            absent = pd.unique(labels.loc[lost, columns].astype(str).to_numpy().ravel())
            absent = [drug for drug in absent if drug not in set(table.index.get_level_values(0))]
            why = f"a drug (or drug and cell) of the row has no {name}"
            rows.append((f"represented by {name}", int(kept.sum()), int(lost.sum()), why, first(absent)))
    table = pd.DataFrame(rows, columns=["step", "kept", "dropped", "why", "examples"])
    return labels[kept].reset_index(drop=True), table
