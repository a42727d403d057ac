"""What the models of the examples say: written beside them when they are made, and compared in the tests."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd

SEARCHED = "compound 4"
"""Compound of the shipped reference that is searched for by name."""
N_HITS = 10


def of_response(folder: Path) -> pd.DataFrame:
    """Predicted responses of samples that are new: ``cell, drug, prediction, low, high``."""
    from galenic.data import read
    from galenic.models.answering import answers
    from galenic.models.base import load

    model = load(folder)
    data = read.cells_to_predict(folder / "cells.csv", known=model.drugs_)
    return answers(model, data)[["cell", "drug", "prediction", "low", "high"]]


def of_cells(folder: Path) -> pd.DataFrame:
    """What is said of each single cell: ``cell, probability, label``."""
    from galenic.data.read.matrices import open_h5ad
    from galenic.models.base import load

    table = load(folder).predict(open_h5ad(folder / "cells.h5ad"))
    return table.rename_axis("cell").reset_index()[["cell", "probability", "label"]]


def of_search(folder: Path) -> pd.DataFrame:
    """First hits by name, by profile and by lists of genes: ``query, rank, pert_id, similarity``."""
    from anndata import AnnData

    from galenic.models.reference import open_reference

    reference = open_reference(folder)
    profiles = pd.read_csv(folder / "query.csv", index_col=0)
    up, down = ((folder / f"{name}.txt").read_text(encoding="utf-8").split() for name in ("up", "down"))
    found = (
        reference.by_name(SEARCHED, k=N_HITS),
        reference.by_profiles(AnnData(profiles.astype("float32")), k=N_HITS),
        reference.by_gene_sets(up, down, k=N_HITS),
    )
    return pd.concat([one.hits for one in found], ignore_index=True)[["query", "rank", "pert_id", "similarity"]]


def of_perturbation(folder: Path) -> pd.DataFrame:
    """Predicted effects of conditions that the model has not seen: one row each, one column a gene."""
    from galenic.data.read.matrices import open_h5ad
    from galenic.models.base import load

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        predicted = load(folder).predict(open_h5ad(folder / "cells.h5ad"))
    effects = pd.DataFrame(predicted.layers["effect"], predicted.obs_names, predicted.var_names)
    return effects.rename_axis("condition").reset_index()


ANSWERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    "response": of_response,
    "cells": of_cells,
    "search": of_search,
    "perturbation": of_perturbation,
}
"""By kind of example."""
