"""Predicted conditions beside the measured controls: the form in which other tools read predictions."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from galenic.data.checks import first, require_columns
from galenic.data.genes import clean_names
from galenic.data.perturbation import perturbation_columns


def with_controls(
    predicted: AnnData,
    adata: AnnData,
    *,
    context: str = "cell_type",
    perturbation: str = "perturbation",
    control: str = "control",
) -> AnnData:
    """Predicted expression of conditions, and the controls that were measured in their contexts.

    This is what ``cell-eval`` (``pert_col``, ``control_pert="control"``, ``celltype_col``) and ``pertpy`` read: treated
    and control rows in one matrix, with the names of the measured cells. Use the same controls on the measured side.

    Parameters
    ----------
    predicted
        What ``predict`` of a model of perturbations returned.
    adata
        The measured cells that hold the controls.
    context, perturbation, control
        As given to ``fit``.

    Returns
    -------
    AnnData, (n_controls + n_conditions, n_genes)
        ``X`` float32; ``obs``: the columns of contexts and perturbations under the names that ``adata`` has for them
        (controls are called ``"control"``), and ``is_control``; genes as predicted.

    Raises
    ------
    ValueError
        If a predicted context has no controls in ``adata``, or genes are missing from it.

    Examples
    --------
    >>> import galenic
    >>> cells = galenic.simulate.perturbations(n_contexts=2, n_perturbations=3, n_genes=10, n_cells=4)
    >>> both = with_controls(galenic.MeanShift().fit(cells).predict(cells), cells)
    >>> both.shape, int(both.obs["is_control"].sum()), list(both.obs)
    ((14, 10), 8, ['cell_type', 'perturbation', 'is_control'])
    """
    require_columns(predicted.obs, ["context", "perturbation"], "predictions: their table")
    columns = perturbation_columns(
        adata, context=context, perturbation=perturbation, control=control, without_controls="keep"
    )
    asked = set(predicted.obs["context"].astype(str))
    names = np.array(columns.contexts, dtype="object")[columns.context]
    rows = np.flatnonzero(columns.is_control & np.isin(names, sorted(asked)))
    lacking = sorted(asked - set(names[rows].tolist()))
    places = pd.Index(clean_names(adata.var_names)).get_indexer(pd.Index(clean_names(predicted.var_names)))
    if lacking or (places < 0).any():
        what = (
            f"contexts without controls: {first(lacking)}"
            if lacking
            else f"{int((places < 0).sum()):,} genes missing (first: {first(predicted.var_names[places < 0])})"
        )
        raise ValueError(f"controls of every predicted context, with all genes, are expected; {what}. Add them.")
    part = adata.X[rows]
    part = (part.toarray() if sparse.issparse(part) else np.asarray(part))[:, places].astype(np.float32)
    keys = [columns.names["context"], columns.names["perturbation"]]
    control_table = pd.DataFrame({keys[0]: names[rows], keys[1]: "control"}, index=adata.obs_names[rows].astype(str))
    table = predicted.obs[["context", "perturbation"]].astype(str).set_axis(keys, axis=1)
    obs = pd.concat([control_table.assign(is_control=True), table.assign(is_control=False)])
    X = np.concatenate([part, np.asarray(predicted.X, dtype=np.float32)])
    result = AnnData(X, obs=obs, var=pd.DataFrame(index=predicted.var_names))
    result.obs_names = anndata.utils.make_index_unique(result.obs_names)
    return result
