"""From numbers of drugs to features of rows: learned and standardised on training rows, symmetric in two drugs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from galenic.tasks.downstream_splits import drug_columns
from galenic.tasks.representations import Learned, Representation, keys_of, require_numbers, table_of


class Columns:
    """Features of the rows of a table of labels.

    Parameters
    ----------
    labels
        ``drug``, or ``drug_a`` and ``drug_b``; ``cell`` where there is one.
    train
        Row numbers of what may be learned from.
    """

    def __init__(self, labels: pd.DataFrame, train: np.ndarray) -> None:
        self.labels, self.train = labels, train
        self.columns = drug_columns(labels)

    def of(self, representation: Representation) -> np.ndarray:
        """Features from one representation, ``(n_rows, n_features)`` float32."""
        table = require_numbers("representation", table_of(representation))
        places = [table.index.get_indexer(keys_of(self.labels, column, table)) for column in self.columns]
        used, where = np.unique(np.concatenate(places), return_inverse=True)
        known = np.unique(np.concatenate([place[self.train] for place in places]))
        if isinstance(representation, Learned):
            transform = representation.fit(table.iloc[known])
            values = np.asarray(transform(table.iloc[used]), dtype=np.float64)
        else:
            values = table.iloc[used].to_numpy(dtype=np.float64)
        if len(self.columns) == 1:
            return np.asarray(values[where], dtype=np.float32)
        sides = np.split(where, 2)
        if np.isin(values, (0.0, 1.0)).all():
            return np.asarray(values[sides[0]] + values[sides[1]], dtype=np.float32)
        seen = values[np.searchsorted(used, known)]
        spread = seen.std(axis=0)
        values = (values - seen.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0)
        values = values.astype(np.float32)
        return symmetric(values[sides[0]], values[sides[1]])


def symmetric(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Features of pairs that do not depend on which is first: ``a + b``, ``|a - b|``, ``a * b``.

    Parameters
    ----------
    a, b
        Numbers of the two drugs of each row, ``(n, k)``.

    Returns
    -------
    ndarray, (n, 3 k)

    Examples
    --------
    >>> symmetric(np.array([[1.0]]), np.array([[3.0]])).tolist()
    [[4.0, 2.0, 3.0]]
    """
    return np.concatenate([a + b, np.abs(a - b), a * b], axis=1)


def side_by_side(blocks: Sequence[np.ndarray]) -> np.ndarray:
    """Blocks of features of the same rows as one array."""
    return np.concatenate(blocks, axis=1)
