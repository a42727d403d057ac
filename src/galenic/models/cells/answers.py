"""What models of cells say of one set of cells, drug by drug, as tables and beside the cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.cell_matrix import CellMatrix
from galenic.data.neighbourhood import components

PLACES = ("X_umap", "X_tsne")
"""Where cells are drawn at, the first that they have."""
KEPT = ("probability", "sd", "label", "abstain")
"""Columns of each drug where there are several."""


def answers_by_drug(
    models: Mapping[str, Any],
    cells: AnnData,
    *,
    statistics: Literal["stored", "own"] | None = None,
    alone: bool = False,
) -> dict[str, pd.DataFrame]:
    """Predictions of the same cells by the model of each drug.

    Parameters
    ----------
    models
        Fitted models of cells by drug.
    cells
        Cells x genes.
    statistics
        As :meth:`galenic.models.cells.cell_model.CellModel.predict`.
    alone
        Judge each by itself: neighbours of a tumour are other people's.
    """
    asked = {drug: _alone(model) if alone else model for drug, model in models.items()}
    return {drug: model.predict(cells, statistics=statistics) for drug, model in asked.items()}


def columns_of(answers: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Predictions of one drug as they are; of several with the drug before the name of each column.

    Examples
    --------
    >>> one = pd.DataFrame({"probability": [0.5], "sd": [0.1], "label": [1], "abstain": [False]}, index=["a"])
    >>> list(columns_of({"x": one, "y": one}))[:3]
    ['x_probability', 'x_sd', 'x_label']
    """
    if len(answers) == 1:
        return next(iter(answers.values()))
    return pd.concat(
        {f"{drug}_{name}": table[name] for drug, table in answers.items() for name in KEPT}, axis=1
    )  # fmt: skip


def with_columns(cells: AnnData, joined: pd.DataFrame) -> AnnData:
    """A copy of the cells in memory, with predictions as columns of ``obs``."""
    whole = cells.to_memory() if cells.isbacked else cells.copy()
    whole.obs = whole.obs.drop(columns=list(joined), errors="ignore").join(joined)
    return whole


def prediction_table(
    table: pd.DataFrame, cells: AnnData, *, by: Sequence[str] = (), truth: pd.Series | None = None
) -> pd.DataFrame:
    """Predictions with ids as a column, groups that were asked for, and the truth where it is known."""
    found = table.rename_axis("cell").reset_index()
    for name in by:
        found[name] = cells.obs[name].to_numpy()
    if truth is not None:
        found["truth"] = truth.reindex(cells.obs_names).to_numpy()
    return found


def with_places(table: pd.DataFrame, cells: AnnData, use_rep: str | None) -> pd.DataFrame:
    """The table with two columns to draw cells at: their UMAP where the file has one, else principal components."""
    places = places_of(cells, use_rep)
    return table.assign(x=places[:, 0], y=places[:, 1])


def places_of(cells: AnnData, use_rep: str | None) -> np.ndarray:
    """``(n_cells, 2)``."""
    for name in PLACES:
        if name in cells.obsm:
            return np.asarray(cells.obsm[name], dtype=np.float64)[:, :2]
    found = components(CellMatrix.of(cells, use_rep=use_rep), 2)
    return found if found.shape[1] > 1 else np.column_stack([found[:, 0], np.zeros(len(found))])


def _alone(model: Any) -> Any:
    """The model with each cell judged by itself."""
    if not getattr(model, "neighbours", 0):
        return model
    copied = replace(model, neighbours=0)
    copied._restore(model.spec_, model.arrays_)
    return copied
