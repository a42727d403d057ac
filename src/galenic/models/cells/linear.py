"""Linear floors of models of cells: logistic and ridge regression on standardised features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.linear_model import LogisticRegression

from galenic.models.cells.cell_model import CellModel
from galenic.models.fields import param

PENALTIES = np.logspace(4, -3, 22)
"""Penalties that are tried, in units of the mean squared singular value; of equal ones the strongest is taken."""


@dataclass(kw_only=True, repr=False)
class LinearCellModel(CellModel):
    """Base of the models whose score is a weighted sum of standardised features."""

    def _scores(self, learned: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        return x @ learned["coef"] + learned["intercept"][0]


@dataclass(kw_only=True, repr=False)
class CellLogistic(LinearCellModel):
    r"""Logistic regression on the lines, applied to cells as they are: no adaptation at all.

    .. math::

        \min_{w, b}\; \tfrac{1}{2} \lVert w \rVert^2 + C \sum_i v_i \ln\!\big(1 + e^{-s_i (w^\top z_i + b)}\big)

    over lines with standardised features :math:`z_i`, :math:`s_i = 1` for sensitive and -1 for resistant ones, and
    weights :math:`v_i` of 1 but for a few labelled cells. Cells are standardised by means and standard deviations of
    the *lines* (``align="none"``); :class:`AlignedLogistic` takes those of their own domain.

    Parameters
    ----------
    align
        "none": cells are standardised by the statistics of the lines; "own": by those of their own domain.
    inverse_penalty
        C of the equation, above 0: less shrinks more.
    use_rep
        Key of ``obsm`` that bulk and cells both have; None: genes.
    n_folds
        Folds of cell lines; a member is fitted without each, and predictions are the mean over members.
    seed
        Of folds, and of everything random.

    Examples
    --------
    >>> from galenic.data.simulate.single_cell import bulk_and_cells
    >>> from galenic.evaluate import auroc
    >>> bulk, cells = bulk_and_cells(n_genes=50, n_lines=60, n_cells=100)
    >>> table = CellLogistic().fit(bulk, target=cells).predict(cells)
    >>> list(table.columns), bool(auroc(cells.obs["label"], table["probability"]) > 0.8)
    (['probability', 'sd', 'label', 'abstain'], True)
    """

    align: Literal["own", "none"] = "none"
    inverse_penalty: float = param(1.0, low=1e-12)

    def _learn(
        self, x: np.ndarray, y: np.ndarray, response: np.ndarray, weight: np.ndarray, seed: int
    ) -> dict[str, np.ndarray]:
        axes = None
        if x.shape[1] > len(x):
            # The weights are a sum of rows: in the coordinates of the rows the problem is the same and small.
            left, values, axes = np.linalg.svd(x, full_matrices=False)
            x = left * values
        fitted = LogisticRegression(C=self.inverse_penalty, max_iter=2000, tol=1e-6).fit(x, y, sample_weight=weight)
        coef = fitted.coef_[0] if axes is None else fitted.coef_[0] @ axes
        return {"coef": coef, "intercept": fitted.intercept_}


@dataclass(kw_only=True, repr=False)
class AlignedLogistic(CellLogistic):
    """:class:`CellLogistic` on cells that are standardised by their own domain: plain AdaIN and a linear map.

    What a method of transfer has to beat. See :class:`galenic.data.alignment.AlignedStatistics` for what it takes for
    granted: that both domains hold the same mixture of classes.

    Parameters
    ----------
    align
        "own": cells are standardised by the statistics of their own domain, as lines are by theirs; "none": by those of
        the lines.
    use_rep
        Key of ``obsm`` that bulk and cells both have; None: genes.
    n_folds
        Folds of cell lines; a member is fitted without each, and predictions are the mean over members.
    seed
        Of folds, and of everything random.
    inverse_penalty
        C of :class:`CellLogistic`, above 0: less shrinks more.

    Examples
    --------
    >>> from galenic.data.simulate.single_cell import bulk_and_cells
    >>> from galenic.evaluate import auroc
    >>> bulk, cells = bulk_and_cells(n_genes=50, n_lines=60, n_cells=100, shift=2.0)
    >>> models = CellLogistic(), AlignedLogistic()
    >>> scores = [auroc(cells.obs["label"], m.fit(bulk, target=cells).predict(cells)["probability"]) for m in models]
    >>> bool(scores[1] > scores[0])
    True
    """

    align: Literal["own", "none"] = "own"


@dataclass(kw_only=True, repr=False)
class CellRidge(LinearCellModel):
    r"""Ridge regression of the response on standardised features; the score of a cell is minus its prediction.

    .. math::

        \min_{w, b}\; \sum_i v_i (r_i - w^\top z_i - b)^2 + \lambda \lVert w \rVert^2

    with responses :math:`r_i` (ln IC50; lower = more sensitive), or 1 - label where none are given. The penalty
    :math:`\lambda` has the least squared leave-one-out error among the training rows, in closed form: with hat matrix
    :math:`H`, the error of a left-out row is :math:`(r_i - \hat r_i) / (1 - H_{ii})`.

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
    >>> model = CellRidge().fit(bulk, response="ln_ic50", target=cells)
    >>> bool(auroc(cells.obs["label"], model.predict(cells)["probability"]) > 0.9)
    True
    """

    def _learn(
        self, x: np.ndarray, y: np.ndarray, response: np.ndarray, weight: np.ndarray, seed: int
    ) -> dict[str, np.ndarray]:
        coef, intercept = ridge(x, response, weight)
        return {"coef": -coef, "intercept": np.array([-intercept])}


def ridge(x: np.ndarray, t: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
    """Weighted ridge regression whose penalty has the least leave-one-out error.

    Parameters
    ----------
    x, t, weight
        Rows ``(n, n_features)``, what is to be said of them, and how much each counts, ``(n,)``.

    Returns
    -------
    coef, intercept

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 2))
    >>> coef, intercept = ridge(x, 3 * x[:, 0] + 1, np.ones(200))
    >>> coef.round(1).tolist(), round(intercept, 1)
    ([3.0, 0.0], 1.0)
    """
    share = weight / weight.sum()
    mean, level = share @ x, float(share @ t)
    root = np.sqrt(weight)
    left, values, axes = np.linalg.svd(root[:, None] * (x - mean), full_matrices=False)
    target = root * (t - level)
    squares = values**2
    penalties = PENALTIES * max(float(squares.mean()), 1e-12)
    shrunk = squares / (squares + penalties[:, None])
    residual = target - (shrunk * (left.T @ target)) @ left.T
    # The intercept is a column of its own, at right angles to the centred ones: it adds the row's share.
    hat = shrunk @ (left**2).T + share
    errors = ((residual / np.maximum(1 - hat, 1e-12)) ** 2).sum(axis=1)
    best = penalties[int(np.argmin(errors))]
    coef = (values / (squares + best) * (left.T @ target)) @ axes
    return coef, level - float(coef @ mean)
