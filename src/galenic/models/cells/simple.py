"""The simplest floors of models of cells: the share of sensitive lines, nearest centroid, signature score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from galenic.models.cells.cell_model import CellModel
from galenic.models.cells.linear import LinearCellModel
from galenic.models.fields import param


@dataclass(kw_only=True, repr=False)
class CellPrior(CellModel):
    """The share of sensitive lines, for every cell: chance, to which any score should be held.

    Learned from a few cells alone it says 0.5.

    Parameters
    ----------
    use_rep
        Key of ``obsm`` that bulk and cells both have; None: genes.
    align
        "own": cells are standardised by the statistics of their own domain, as lines are by theirs; "none": by those of
        the lines.
    n_folds
        Folds of cell lines; a member is fitted without each, and predictions are the mean over members.
    seed
        Of folds, and of everything random.

    Examples
    --------
    >>> from galenic.data.simulate.single_cell import bulk_and_cells
    >>> bulk, cells = bulk_and_cells(n_genes=50, n_lines=60, n_cells=100, bulk_share=0.25)
    >>> CellPrior().fit(bulk, target=cells).predict(cells)["probability"].round(2).unique().tolist()
    [0.27]
    """

    def _learn(
        self, x: np.ndarray, y: np.ndarray, response: np.ndarray, weight: np.ndarray, seed: int
    ) -> dict[str, np.ndarray]:
        return {"nothing": np.zeros(1)}

    def _scores(self, learned: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        return np.zeros(len(x))


@dataclass(kw_only=True, repr=False)
class CellCentroid(LinearCellModel):
    r"""Nearest centroid: how much nearer a cell is to the mean of sensitive lines than to that of resistant ones.

    .. math::

        \lVert z - \mu_0 \rVert^2 - \lVert z - \mu_1 \rVert^2 = 2 (\mu_1 - \mu_0)^\top z + \lVert \mu_0 \rVert^2
        - \lVert \mu_1 \rVert^2

    in standardised features; divided by their number.

    Parameters
    ----------
    use_rep
        Key of ``obsm`` that bulk and cells both have; None: genes.
    align
        "own": cells are standardised by the statistics of their own domain, as lines are by theirs; "none": by those of
        the lines.
    n_folds
        Folds of cell lines; a member is fitted without each, and predictions are the mean over members.
    seed
        Of folds, and of everything random.

    Examples
    --------
    >>> from galenic.data.simulate.single_cell import bulk_and_cells
    >>> from galenic.evaluate import auroc
    >>> bulk, cells = bulk_and_cells(n_genes=50, n_lines=60, n_cells=100)
    >>> table = CellCentroid().fit(bulk, target=cells).predict(cells)
    >>> bool(auroc(cells.obs["label"], table["probability"]) > 0.9)
    True
    """

    def _learn(
        self, x: np.ndarray, y: np.ndarray, response: np.ndarray, weight: np.ndarray, seed: int
    ) -> dict[str, np.ndarray]:
        resistant, sensitive = (np.average(x[y == one], axis=0, weights=weight[y == one]) for one in (0, 1))
        n = x.shape[1]
        intercept = (resistant @ resistant - sensitive @ sensitive) / n
        return {"coef": 2 * (sensitive - resistant) / n, "intercept": np.array([intercept])}


@dataclass(kw_only=True, repr=False)
class CellSignature(LinearCellModel):
    r"""Signature score: mean of the genes that are highest in sensitive lines less the mean of those that are lowest.

    .. math::

        \frac{1}{k} \sum_{g \in \text{up}} z_g - \frac{1}{k} \sum_{g \in \text{down}} z_g

    Genes are ranked by their correlation with the response (lower = more sensitive), or with the label where no
    response is given, which ranks them as the t statistic does. No weights are learned.

    Parameters
    ----------
    n_genes
        k: genes of each side; at most half of those there are.
    use_rep
        Key of ``obsm`` that bulk and cells both have; None: genes.
    align
        "own": cells are standardised by the statistics of their own domain, as lines are by theirs; "none": by those of
        the lines.
    n_folds
        Folds of cell lines; a member is fitted without each, and predictions are the mean over members.
    seed
        Of folds, and of everything random.

    Examples
    --------
    >>> from galenic.data.simulate.single_cell import bulk_and_cells
    >>> from galenic.evaluate import auroc
    >>> bulk, cells = bulk_and_cells(n_genes=50, n_lines=60, n_cells=100)
    >>> table = CellSignature(n_genes=5).fit(bulk, target=cells).predict(cells)
    >>> bool(auroc(cells.obs["label"], table["probability"]) > 0.9)
    True
    """

    n_genes: int = param(50, low=1)

    def _learn(
        self, x: np.ndarray, y: np.ndarray, response: np.ndarray, weight: np.ndarray, seed: int
    ) -> dict[str, np.ndarray]:
        share = weight / weight.sum()
        centred = x - share @ x
        spread = np.sqrt(share @ centred**2)
        with np.errstate(divide="ignore", invalid="ignore"):
            correlation = (share * (response - share @ response)) @ centred / spread
        correlation = np.where(spread > 0, correlation, 0.0)
        k = max(min(self.n_genes, x.shape[1] // 2), 1)
        order = np.argsort(correlation, kind="stable")
        coef = np.zeros(x.shape[1])
        coef[order[:k]], coef[order[-k:]] = 1 / k, -1 / k
        return {"coef": coef, "intercept": np.zeros(1)}
