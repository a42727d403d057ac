"""Cells, or patients in place of cells, as models of single cells read them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from anndata import AnnData

from galenic.data.checks import require_file
from galenic.data.diagnose_cells import findings_of_cells
from galenic.data.genes import standardise_genes
from galenic.data.read.matrices import is_large, matrix, open_h5ad, to_anndata
from galenic.data.read.xena import xena


def single_cells(
    path: str | Path, what: str = "cells", notes: list[str] | None = None, *, use_rep: str | None = None
) -> AnnData:
    """Cells out of h5ad or zarr, a large file a block at a time; what would be refused later is refused now.

    Parameters
    ----------
    path
        Of the file or folder.
    what
        What it holds, for messages.
    notes
        Warnings are added to it, for a run that has not begun yet.
    use_rep
        Where only an embedding is read, nothing is said of the scale of the genes.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not fit to be read: names that stand twice, values that are no numbers, ...
    """
    place = require_file(path, what, or_zarr=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(Observation|Variable) names are not unique")  # is told below
        adata = open_h5ad(place, backed=is_large(place))
    for name, severity, detail, remedy in findings_of_cells(adata, rep=""):
        if severity == "error":
            raise ValueError(f"{what} should be fit to be read; {name} in {path}: {detail}. {remedy}")
        if severity == "warning" and (use_rep is None or name != "values"):
            said = f"{name} of {path}: {detail}. {remedy}"
            warnings.warn(said, stacklevel=2)
            if notes is not None:
                notes.append(said)
    return adata


def bulk_as_cells(source: str | Path, *, natural: bool, symbols: Mapping[str, str] | None = None) -> AnnData:
    """Bulk expression of patients: TCGA as Xena publishes it (log2(TPM + 1)), or any matrix of logs.

    Parameters
    ----------
    source
        Table, samples x genes or genes x samples.
    natural
        Undo log2(x + 1): for models that were fitted on counts or natural units.
    symbols
        From ids of genes to symbols.
    """
    frame = matrix(source)
    if frame.index.str.match(r"^TCGA-\w{2}-\w{4}-\d{2}").all():
        patients = xena(source, symbols=symbols)
    else:
        patients = to_anndata(standardise_genes(frame, symbols=symbols)[0])
    X = np.asarray(patients.X, dtype=np.float64)
    absent = np.isnan(X).any(axis=0)
    patients, X = patients[:, ~absent].copy(), X[:, ~absent]
    patients.X = np.exp2(X) - 1 if natural else X
    return patients
