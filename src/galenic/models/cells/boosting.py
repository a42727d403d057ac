"""Boosted trees as a floor of models of cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from galenic.models.baselines.forest import answer, flatten_boosting
from galenic.models.cells.cell_model import CellModel
from galenic.models.fields import param

ROWS_PER_LEAF = 10
"""Of fewer than this many rows for each of ``min_leaf``, leaves may be smaller: a few labelled cells can be split."""


@dataclass(kw_only=True, repr=False)
class CellBoosting(CellModel):
    r"""Histogram gradient boosting on labels (Ke et al. 2017, as in scikit-learn).

    The score is the log-odds :math:`F(z) = F_0 + \eta \sum_t h_t(z)` of trees :math:`h_t`, each grown on the gradient
    of the log loss of those before it.

    Parameters
    ----------
    n_trees
        Trees.
    learning_rate
        Weight of each tree.
    max_leaves
        Leaves of each tree, at most.
    min_leaf
        Rows in a leaf, at least; with few rows a tenth of them, and at least one.
    l2
        Ridge penalty of the leaf values.
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
    >>> table = CellBoosting(n_trees=20).fit(bulk, target=cells).predict(cells)
    >>> bool(auroc(cells.obs["label"], table["probability"]) > 0.8)
    True
    """

    n_trees: int = param(100, low=1)
    learning_rate: float = param(0.1, low=0.0001, high=1)
    max_leaves: int = param(8, low=2)
    min_leaf: int = param(20, low=1)
    l2: float = param(1.0, low=0)

    def _learn(
        self, x: np.ndarray, y: np.ndarray, response: np.ndarray, weight: np.ndarray, seed: int
    ) -> dict[str, np.ndarray]:
        trees = HistGradientBoostingClassifier(
            max_iter=self.n_trees,
            learning_rate=self.learning_rate,
            max_leaf_nodes=self.max_leaves,
            min_samples_leaf=max(1, min(self.min_leaf, len(x) // ROWS_PER_LEAF)),
            l2_regularization=self.l2,
            early_stopping=False,
            random_state=seed,
        )
        # Weights make the library look for bins in a slow way, feature by feature; the same ones say nothing.
        return flatten_boosting(trees.fit(x, y, sample_weight=weight if np.ptp(weight) else None))

    def _scores(self, learned: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        return answer(learned, x)
