"""The conditions that perturbations are scored on: arrays and table checked once, at the door."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from galenic.evaluate.checks import first, labels, require_columns
from galenic.evaluate.deltas import slices


@dataclass(frozen=True)
class Conditions:
    """Checked arrays of the conditions of one table, float64, all ``(n_conditions, n_genes)``."""

    truth: np.ndarray
    prediction: np.ndarray
    control: np.ndarray
    perturbed_mean: np.ndarray | None
    codes: np.ndarray
    names: pd.Index

    def __len__(self) -> int:
        return len(self.truth)

    def blocks(self) -> Iterator[tuple[slice, tuple[np.ndarray, ...]]]:
        """Rows, and their truth, prediction and control."""
        for rows in slices(*self.truth.shape):
            yield rows, (self.truth[rows], self.prediction[rows], self.control[rows])


def conditions_of(
    table: pd.DataFrame,
    truth: np.ndarray,
    prediction: np.ndarray,
    control: np.ndarray,
    contexts: str,
    perturbations: str,
    perturbed_mean: np.ndarray | None,
) -> Conditions:
    """Check the arrays that `perturbation` is given; raise ``ValueError`` for what it says it does."""
    require_columns(table, [contexts, perturbations], "scoring perturbations: the table of conditions")
    context, name = (labels(table, column, "scoring perturbations") for column in (contexts, perturbations))
    twice = pd.DataFrame({"context": context, "perturbation": name}).duplicated().to_numpy()
    if twice.any():
        raise ValueError(
            f"each perturbation should stand once in a context; {int(twice.sum()):,} of {len(table):,} rows repeat one "
            f"(first: {first(context[twice] + ' + ' + name[twice])}). Average them, or put dose and time in the name."
        )
    true = np.asarray(truth, dtype=np.float64)
    if true.ndim != 2 or len(true) != len(table) or not true.size:
        raise ValueError(
            f"truth should be (n_conditions, n_genes), a row a condition of the table, at least one of each; the table "
            f"has {len(table):,} rows, truth has the shape {true.shape}. "
            "Average the cells of each condition, in the order of the table."
        )
    codes, names = pd.factorize(context, sort=True)
    return Conditions(
        _numbers(true, true.shape, "truth"),
        _numbers(prediction, true.shape, "prediction", one_row=False),
        _numbers(control, true.shape, "control"),
        None if perturbed_mean is None else _numbers(perturbed_mean, true.shape, "perturbed_mean"),
        codes,
        names,
    )


def _numbers(values: np.ndarray, shape: tuple[int, ...], what: str, one_row: bool = True) -> np.ndarray:
    """Finite float64 numbers of the shape; a single row stands for all of them."""
    given = np.asarray(values, dtype=np.float64)
    if given.shape != shape and not (one_row and given.shape == shape[1:]):
        raise ValueError(
            f"{what} should have the shape of the truth, {shape}{' or ' + str(shape[1:]) if one_row else ''}; received "
            f"{given.shape}. Bring both to the same conditions and genes, in the same order."
        )
    bad = ~np.isfinite(np.atleast_2d(given))
    if bad.any():
        raise ValueError(
            f"{what} should be finite; {int(bad.sum()):,} numbers in {int(bad.any(axis=1).sum()):,} conditions are "
            f"missing or infinite (first rows: {first(np.flatnonzero(bad.any(axis=1)))}). Leave those conditions or "
            "genes out, for every model alike."
        )
    return np.broadcast_to(given, shape)
