"""Matrices out of AnnData, in the gene order that a model was fitted on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from galenic.data.checks import first

SMALLEST_SHARE = 0.5
"""Below this share of a model's genes a prediction is refused."""


def dense(X: Any) -> np.ndarray:
    """``X`` as a float64 array, whatever matrix type it is."""
    if sparse.issparse(X):
        X = X.toarray()
    return np.asarray(X, dtype=np.float64)


def modality(cells: AnnData, name: str) -> pd.DataFrame:
    """One modality as a data frame: ``"expression"`` is ``X``, any other name a key of ``obsm``.

    Raises
    ------
    ValueError
        If the cells do not carry it.
    """
    if name == "expression":
        if cells.X is None or cells.n_vars == 0:
            raise ValueError(
                f"the cells should carry expression; these {cells.n_obs:,} have none. "
                "Read it with expression=FILE (--expression)."
            )
        return pd.DataFrame(dense(cells.X), index=cells.obs_names, columns=cells.var_names)
    if name not in cells.obsm:
        raise ValueError(
            f"the cells should carry the modality {name!r}; they have {first(['expression', *cells.obsm], 8)}. "
            "Read it with modalities={name: file} (--modality), or choose another model."
        )
    table = cells.obsm[name]
    if not isinstance(table, pd.DataFrame):
        table = pd.DataFrame(dense(table), index=cells.obs_names)
        table.columns = [f"{name}_{i}" for i in range(table.shape[1])]
    return table


def align(table: pd.DataFrame, features: Sequence[str], what: str = "expression") -> np.ndarray:
    """Columns of ``table`` in the order of ``features``; NaN where a feature is missing.

    Parameters
    ----------
    table
        Cells x features, in any order.
    features
        What a model was fitted on.
    what
        The modality, for the message.

    Returns
    -------
    ndarray, (n_cells, n_features), float64

    Raises
    ------
    ValueError
        If fewer than half of the features are there.

    Warns
    -----
    UserWarning
        If some are missing.
    """
    wanted = pd.Index(features)
    columns = pd.Index([str(column) for column in table.columns])
    where = columns.get_indexer(wanted)
    missing = wanted[where < 0]
    if len(missing) > (1 - SMALLEST_SHARE) * len(wanted):
        hint = " The names look like Ensembl ids: translate them to symbols first." if _looks_ensembl(columns) else ""
        raise ValueError(
            f"the model was fitted on {len(wanted):,} features of {what} and needs at least half of them; "
            f"{len(wanted) - len(missing):,} are here (missing first: {first(missing)}; here first: {first(columns)})."
            f"{hint} Use the same kind of names as at fitting."
        )
    if len(missing):
        warnings.warn(
            f"{len(missing):,} of {len(wanted):,} features of {what} are missing (first: {first(missing)}); "
            "each is taken at its average over the cells that the model was fitted on.",
            stacklevel=3,
        )
    values = np.full((len(table), len(wanted)), np.nan)
    found = where >= 0
    values[:, found] = table.to_numpy(dtype=np.float64)[:, where[found]]
    return values


def _looks_ensembl(names: pd.Index) -> bool:
    return len(names) > 0 and bool(np.mean([str(name).startswith("ENSG") for name in names[:100]]) > 0.5)
