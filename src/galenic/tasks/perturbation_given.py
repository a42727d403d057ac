"""What a model is given with the conditions that it is asked, so that it never holds the answer."""

from __future__ import annotations

import numpy as np
import pandas as pd

from galenic.data.perturbation import PerturbationColumns
from galenic.evaluate.perturbation_splits import given_profiles
from galenic.evaluate.splits import Fold

JOINT = "\x1f"
"""Between the parts of a combination where names may hold a plus of their own."""
COLUMNS = {"context": "context", "perturbation": "perturbation", "control": "is_control", "separator": JOINT}
"""Of :func:`spelled`, as the functions of ``galenic.evaluate`` take them."""


def spelled(obs: pd.DataFrame, columns: PerturbationColumns) -> pd.DataFrame:
    """The table of the rows with ``context, perturbation, is_control``: one spelling for each perturbation.

    The parts of a combination are joined by :data:`JOINT`, so that they are told apart whatever their names hold.
    """
    names = [JOINT.join(sorted(parts)) for parts in columns.parts]
    own = {
        "context": np.array(columns.contexts, dtype="object")[columns.context],
        "perturbation": np.array([*names, "control"], dtype="object")[columns.perturbation],
        "is_control": columns.is_control,
    }
    return obs.assign(**own)


def calls(
    table: pd.DataFrame, columns: PerturbationColumns, train: np.ndarray, test: np.ndarray, context: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Which conditions are asked at once, and which rows are given with them.

    Controls, and profiles of asked perturbations in other contexts that neither train nor are tested. A single
    perturbation of which nothing trains is asked one context at a time; then its tested profiles in the other contexts
    are given too. Of combinations nothing more is given: their parts are.

    Parameters
    ----------
    table
        Of :func:`spelled`.
    columns
        What it was made of.
    train, test
        Row numbers.
    context
        Code of the context of each asked condition, ``(n_asked,)``.

    Returns
    -------
    list of (places, rows)
        Places among the asked conditions, each once in all, and row numbers.
    """
    trains, tested = np.zeros((2, len(table)), dtype=bool)
    trains[train], tested[test] = True, True
    allowed = given_profiles(table, Fold(train, test), **COLUMNS)
    sources = pd.MultiIndex.from_frame(allowed[["source", "perturbation"]].drop_duplicates())
    is_source = pd.MultiIndex.from_frame(table[["context", "perturbation"]]).isin(sources)
    is_source &= ~columns.is_control & ~trains
    always = columns.is_control | (is_source & ~tested)
    elsewhere = np.r_[_apart(columns, train), False][columns.perturbation] & is_source & tested
    if not elsewhere.any():
        return [(np.arange(len(context)), np.flatnonzero(always))]
    return [
        (np.flatnonzero(context == code), np.flatnonzero(always | (elsewhere & (columns.context != code))))
        for code in np.unique(context)
    ]


def _apart(columns: PerturbationColumns, train: np.ndarray) -> np.ndarray:
    """Which perturbations are single and train nowhere, not even as a part, ``(n_perturbations,)`` bool."""
    known = np.unique(columns.perturbation[train])
    trained = {part for code in known[known >= 0] for part in columns.parts[code]}
    return np.array([len(parts) == 1 and parts[0] not in trained for parts in columns.parts], dtype=bool)
