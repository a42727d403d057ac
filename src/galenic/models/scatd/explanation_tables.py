"""Tables of an explanation, short enough to be read and drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData

N_GENES, N_CELLS = 50, 500
"""Genes and cells whose contributions are kept one by one; all others are in the whole matrix."""
N_FORCES = 14
"""Genes of a single cell that are named; the others are summed."""


def explained(attributed: AnnData, predicted: pd.DataFrame) -> pd.DataFrame:
    """A row a cell: ``cell, prediction, baseline, gap``, and what the model predicted of it.

    Parameters
    ----------
    attributed
        As :func:`~galenic.models.scatd.explaining.attribute` returns.
    predicted
        As :meth:`ScATD.predict` returns, of the same cells.
    """
    told = attributed.obs[["prediction", "baseline", "gap"]]
    columns = [name for name in ("probability", "sd", "label", "abstain") if name in predicted]
    return told.join(predicted[columns]).rename_axis("cell").reset_index()


def top_contributions(
    attributed: AnnData, genes: pd.DataFrame, *, n_genes: int = N_GENES, n_cells: int = N_CELLS
) -> pd.DataFrame:
    """Contributions and values of the most important genes in cells spread over the logits.

    Parameters
    ----------
    attributed
        Contributions, cells x features.
    genes
        Features by importance.
    n_genes, n_cells
        How many; cells are taken at even steps from the lowest logit to the highest.

    Returns
    -------
    DataFrame
        ``cell, gene, contribution, value`` (standardised), a row a cell and gene.

    Examples
    --------
    >>> obs, var = pd.DataFrame({"prediction": [0.0, 2.0, 1.0]}, index=list("xyz")), pd.DataFrame(index=["A", "B"])
    >>> found = AnnData(np.arange(6.0).reshape(3, 2), obs=obs, var=var, layers={"value": np.zeros((3, 2))})
    >>> top_contributions(found, pd.DataFrame({"gene": ["B", "A"]}), n_genes=1, n_cells=2).values.tolist()
    [['x', 'B', 1.0, 0.0], ['y', 'B', 3.0, 0.0]]
    """
    order = np.argsort(attributed.obs["prediction"].to_numpy(), kind="stable")
    rows = order[np.linspace(0, len(order) - 1, min(n_cells, len(order))).round().astype(int)]
    columns = attributed.var_names.get_indexer(pd.Index(genes["gene"].head(n_genes)))
    parts = {
        "contribution": np.asarray(attributed.X)[np.ix_(rows, columns)],
        "value": np.asarray(attributed.layers["value"])[np.ix_(rows, columns)],
    }
    names = {
        "cell": np.repeat(attributed.obs_names.to_numpy()[rows], len(columns)),
        "gene": np.tile(attributed.var_names.to_numpy()[columns], len(rows)),
    }
    return pd.DataFrame(names | {name: values.ravel() for name, values in parts.items()})


def forces(attributed: AnnData, predicted: pd.DataFrame, *, n_genes: int = N_FORCES) -> pd.DataFrame:
    """What carries single cells to their logit: the most sensitive, the median, the most resistant, and one abstained.

    Parameters
    ----------
    attributed, predicted
        As for :func:`explained`.
    n_genes
        Genes of each cell that are named, by the size of their contribution.

    Returns
    -------
    DataFrame
        ``cell, why, gene, contribution, value, prediction, baseline, rest`` (the sum of all other genes),
        ``probability``.
    """
    logit = attributed.obs["prediction"].to_numpy(dtype=np.float64)
    abstained = predicted["abstain"].reindex(attributed.obs_names).to_numpy(dtype=bool)
    order = np.argsort(logit, kind="stable")
    chosen = {"the most sensitive": order[-1], "the median": order[len(order) // 2], "the most resistant": order[0]}
    if abstained.any() and not abstained.all():
        unsure = np.flatnonzero(abstained)
        chosen["abstained"] = unsure[np.argmin(np.abs(logit[unsure] - np.median(logit[unsure])))]
    parts = [_one(attributed, predicted, int(row), why, n_genes) for why, row in chosen.items()]
    return pd.concat(parts, ignore_index=True)


def _one(attributed: AnnData, predicted: pd.DataFrame, row: int, why: str, n_genes: int) -> pd.DataFrame:
    own = np.asarray(attributed.X)[row].astype(np.float64)
    first = np.argsort(-np.abs(own), kind="stable")[:n_genes]
    cell, told = attributed.obs_names[row], attributed.obs.iloc[row]
    return pd.DataFrame(
        {
            "cell": cell,
            "why": why,
            "gene": attributed.var_names.to_numpy()[first],
            "contribution": own[first],
            "value": np.asarray(attributed.layers["value"])[row, first],
            "prediction": float(told["prediction"]),
            "baseline": float(told["baseline"]),
            "rest": float(own.sum() - own[first].sum()),
            "probability": predicted["probability"].get(cell, np.nan),
        }
    )
