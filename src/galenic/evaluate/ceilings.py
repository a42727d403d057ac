"""Ceilings: how well the data agree with themselves, where one compound was measured more than once."""

from __future__ import annotations

import numpy as np
import pandas as pd

from galenic.evaluate.checks import finite, first, labels, require_columns
from galenic.evaluate.metrics import grouped


def ceiling(
    table: pd.DataFrame,
    *,
    compound: str = "structure",
    cell: str = "cell",
    screen: str = "drug",
    truth: str = "response",
    minimum: int = 10,
) -> pd.DataFrame:
    """Agreement of repeated screens of one compound: Pearson over the cells that both measured.

    Parameters
    ----------
    table
        One row a measurement.
    compound
        Column that tells compounds apart. Rows without a value are left out.
    cell
        Column of the cell.
    screen
        Column that tells the screens of one compound apart: ``"drug"`` (one structure under two drug ids),
        ``"replicate"``, ``"study"``. Several rows of one cell in one screen are averaged.
    truth
        Column of the measured response.
    minimum
        Fewest shared cells; below it the agreement is NaN.

    Returns
    -------
    pandas.DataFrame
        ``between, drug, metric, value, n, screens``: one row for each pair of screens of a compound, whose
        name stands in ``drug``; ``n`` shared cells. No rows where nothing was screened twice.

    Raises
    ------
    ValueError
        For a missing column, or a response that is not finite.

    Examples
    --------
    >>> table = pd.DataFrame({"cell": list("ABC") * 2, "drug": ["1017"] * 3 + ["1495"] * 3, "structure": "CCO",
    ...                       "response": [1.0, 2.0, 3.0, 1.0, 2.0, 4.0]})
    >>> ceiling(table, minimum=3).round(2)
                between drug   metric  value  n        screens
    0  repeated screens  CCO  pearson   0.98  3  1017 and 1495
    """
    require_columns(table, [compound, cell, screen, truth], "a ceiling: the table")
    measured = _averaged(table[table[compound].notna()], [compound, cell, screen], truth)
    both = measured.merge(measured, on=[compound, cell], suffixes=("_first", "_second"))
    both = both[both[f"{screen}_first"] < both[f"{screen}_second"]]
    return _agreement(both, [compound, f"{screen}_first", f"{screen}_second"], "repeated screens", minimum)


def agreement(
    a: pd.DataFrame,
    b: pd.DataFrame,
    *,
    on: tuple[str, str] = ("cell", "drug"),
    names: tuple[str, str] = ("first", "second"),
    truth: str = "response",
    minimum: int = 10,
) -> pd.DataFrame:
    """Agreement of two studies: Pearson of each drug over the cells that both measured.

    Parameters
    ----------
    a, b
        One row a measurement, with the same ids. Several rows of one cell and drug are averaged.
    on
        Columns of the cell and of the drug, in both tables.
    names
        What the studies are called.
    truth, minimum
        As in :func:`ceiling`.

    Returns
    -------
    pandas.DataFrame
        ``between, drug, metric, value, n``: one row a shared drug; ``n`` shared cells.

    Raises
    ------
    ValueError
        For a missing column or value, or if the studies share no (cell, drug) pair.

    Examples
    --------
    >>> a = pd.DataFrame({"cell": list("ABC"), "drug": "x", "response": [1.0, 2.0, 3.0]})
    >>> agreement(a, a.assign(response=[1.0, 2.0, 4.0]), names=("GDSC1", "GDSC2"), minimum=3).round(2)
               between drug   metric  value  n
    0  GDSC1 and GDSC2    x  pearson   0.98  3
    """
    for study, name in zip((a, b), names, strict=True):
        require_columns(study, [*on, truth], f"agreement of studies: {name}")
    sides = [_averaged(study, list(on), truth) for study in (a, b)]
    both = sides[0].merge(sides[1], on=list(on), suffixes=("_first", "_second"))
    if both.empty:
        raise ValueError(
            f"two studies should share (cell, drug) pairs; {names[0]} has {len(sides[0]):,} "
            f"(first: {_example(a, on)}), {names[1]} has {len(sides[1]):,} (first: {_example(b, on)}), none in common. "
            "Bring both to the same ids."
        )
    return _agreement(both, [on[1]], f"{names[0]} and {names[1]}", minimum)


def summary(ceilings: pd.DataFrame) -> pd.DataFrame:
    """Mean agreement of repeated measurements, and the score that a perfect predictor would reach on them.

    Parameters
    ----------
    ceilings
        From :func:`ceiling` or :func:`agreement`, or both together.

    Returns
    -------
    pandas.DataFrame
        A row for each ``between`` and ``metric``: ``agreement`` (mean over compounds, each first averaged over its
        pairs of screens), ``ceiling`` = its square root (NaN if negative) and ``n`` compounds where it is defined.

    Notes
    -----
    Two measurements of one truth, with independent errors of equal size, correlate r = (variance of the truth) /
    (variance of a measurement). A predictor that knows the truth correlates with *one* measurement sqrt(r), more than
    r, as only one of the two is noisy (the classical correction for attenuation; Spearman, Am. J. Psychol. 1904).
    Screens that differ in assay or site do not measure quite the same truth: a model can learn the habits of one
    study, so agreement *between* studies bounds what carries over to another study, not the score within one.

    Examples
    --------
    >>> table = pd.DataFrame({"between": "repeated screens", "drug": ["x", "y"], "metric": "pearson"})
    >>> table["value"] = [0.50, 0.48]
    >>> summary(table)
                between   metric  agreement  ceiling  n
    0  repeated screens  pearson       0.49      0.7  2
    """
    require_columns(ceilings, ["between", "drug", "metric", "value"], "a summary of ceilings: the table")
    compounds = ceilings.groupby(["between", "drug", "metric"], sort=False)["value"].mean().reset_index()
    table = compounds.groupby(["between", "metric"], sort=False)["value"].agg(agreement="mean", n="count").reset_index()
    table["ceiling"] = np.sqrt(table["agreement"].where(table["agreement"] >= 0))
    return table[["between", "metric", "agreement", "ceiling", "n"]]


def _averaged(table: pd.DataFrame, keys: list[str], truth: str) -> pd.DataFrame:
    """One mean response for each combination of ``keys``, as text."""
    columns = {key: labels(table, key, "agreement of measurements").to_numpy() for key in keys}
    measured = pd.DataFrame({**columns, "value": finite(table, truth, "agreement of measurements")})
    return measured.groupby(keys)["value"].mean().reset_index()


def _example(table: pd.DataFrame, on: tuple[str, str]) -> str:
    return first(table[list(on)].astype(str).agg(" + ".join, axis=1), 2) if len(table) else "none"


def _agreement(both: pd.DataFrame, keys: list[str], between: str, minimum: int) -> pd.DataFrame:
    groups = both.groupby(keys)
    table = groups.size().rename("n").reset_index()
    first_values, second_values = both["value_first"].to_numpy(), both["value_second"].to_numpy()
    values = grouped("pearson", first_values, second_values, groups.ngroup().to_numpy(), len(table))
    compound, *screens = keys
    result = pd.DataFrame(
        {
            "between": between,
            "drug": table[compound],
            "metric": "pearson",
            "value": np.where(table["n"] >= minimum, values, np.nan),
            "n": table["n"],
        }
    )
    return result.assign(screens=table[screens[0]] + " and " + table[screens[1]]) if screens else result
