"""Whether new samples lie outside what a model of responses was fitted on: another scale, another platform."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first
from galenic.data.expression import SMALLEST_SHARE, align, modality
from galenic.models.saved import explained

USUAL = "usual.expression"
"""Array of a fitted model: distance and level of each of its training cells."""
MEASURES = ("distance", "level")
EXTREME = 3.0
"""Standard deviations from the training mean beyond which a gene counts as extreme."""
FAR = 2.0
"""Reach beyond which a sample is called far: twice as far out as 99 of 100 training cells."""
SHARE = 0.1
"""Share of far samples above which a warning is given."""
FEWEST_CELLS, FEWEST_SAMPLES = 10, 3
"""Training cells below which nothing is told, and samples below which what they have in common is not."""
NARROWEST = 0.01
"""Least width of what is usual, in standard deviations of a gene: where cells hardly differ, less means nothing."""


def usual(z: np.ndarray) -> np.ndarray:
    r"""Distance and level of each training cell as it would have them if it had been left out of the fit.

    Parameters
    ----------
    z
        Training cells, standardised by their own means and standard deviations, ``(n_cells, n_genes)``; NaN where a
        gene was not measured.

    Returns
    -------
    numpy.ndarray
        ``(n_cells, 2)``, without the cells that have no expression.

    Notes
    -----
    A cell pulls mean and standard deviation towards itself. Without it, z would be
    :math:`z \frac{n}{n-1} \Big/ \sqrt{\frac{n - n z^2 / (n-1)}{n-1}}`.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(12, 4))
    >>> left_out = (x[0] - x[1:].mean(axis=0)) / x[1:].std(axis=0)
    >>> found = usual((x - x.mean(axis=0)) / x.std(axis=0))[0]
    >>> bool(np.allclose(found, [np.sqrt((left_out**2).mean()), left_out.mean()]))
    True
    """
    n = np.maximum((~np.isnan(z)).sum(axis=0), 2)
    spread = np.sqrt(np.maximum(n - n / (n - 1) * z**2, 1e-6) / (n - 1))
    found = _measures(z * n / (n - 1) / spread)
    return found[~np.isnan(found).any(axis=1)]


@explained
def shift(model: Any, cells: AnnData) -> pd.DataFrame:
    """Measure how far new samples lie from the cells that a model was fitted on, and warn where they are outside.

    Parameters
    ----------
    model
        Fitted model of responses.
    cells
        The samples, with expression on whatever scale it is.

    Returns
    -------
    pandas.DataFrame
        A row for each sample: ``cell``; ``distance`` (root mean square of z over genes; z = expression less the
        training mean, in training standard deviations) and ``level`` (mean of z); ``extreme`` (share of genes with
        ``|z| > 3``); ``reach``: how far the distance exceeds that of the median training cell, or the level is from
        it (the larger of the two), in units of what 99 of 100 training cells reach; ``far``: whether that is above 2.
        Without rows where it cannot be told: of models that read no expression, that were fitted on fewer than 10
        cells, or that an earlier version saved; of samples with less than half of the genes.

    Warns
    -----
    UserWarning
        If more than a tenth of the samples are far, or the median of three samples or more lies farther out than 99 of
        100 training cells; or if an earlier version saved the model, so that nothing can be told.

    Notes
    -----
    The thresholds are those of the training cells, each judged as if it had been left out. Of random parts
    of GDSC (RNA-seq and arrays, 60 draws each of 1, 3, 10 and 100 samples) none was warned of with 400 training
    cells, 1 % with 100 or 50, and 4 % with 20 (12 % of those of three samples). A shift that moves
    genes up and down by one standard deviation, and leaves the level where it is, stays unseen: with training cells to
    compare with, :func:`galenic.evaluate.domain_shift` sees more.

    Examples
    --------
    >>> from galenic.data.simulate import screen
    >>> from galenic.models.baselines.ridge import Ridge
    >>> data, _ = screen(40, 8, 60)
    >>> model = Ridge().fit(data.trim())
    >>> bool(shift(model, data.cells)["far"].any())
    False
    """
    features = model.spec_.get("inputs")
    genes = features.get("expression", []) if isinstance(features, dict) else []
    mean, scale, known = (model.arrays_.get(name) for name in ("mean.expression", "scale.expression", USUAL))
    nothing = pd.DataFrame(columns=["cell", *MEASURES, "extreme", "reach", "far"])
    if not len(genes) or mean is None or scale is None:
        return nothing
    if known is None:
        warnings.warn(
            "the model was saved by a version that did not keep how its training cells are spread; whether these "
            "samples lie outside them cannot be told. Fit it anew to be warned.",
            stacklevel=3,
        )
        return nothing
    if len(known) < FEWEST_CELLS or np.isin(genes, cells.var_names.astype(str)).mean() < SMALLEST_SHARE:
        return nothing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # missing genes are told by the prediction
        z = (align(modality(cells, "expression"), genes) - mean) / scale
    found = _measures(z)
    low, middle, high = np.quantile(known, [0.01, 0.5, 0.99], axis=0)
    low[0] = -np.inf  # a sample cannot be too near: the mean of several is nearer than any cell
    above = found > middle
    reach = (np.where(above, found - middle, middle - found) /
             np.maximum(np.where(above, high - middle, middle - low), NARROWEST)).max(axis=1)  # fmt: skip
    table = pd.DataFrame(found, columns=list(MEASURES))
    table.insert(0, "cell", cells.obs_names.astype(str))
    table = table.assign(extreme=_share(np.abs(z) > EXTREME, ~np.isnan(z)), reach=reach, far=reach > FAR)
    _warn_of(table, low, high)
    return table


def _measures(z: np.ndarray) -> np.ndarray:
    """Distance and level of each row, ``(n, 2)``; NaN where nothing is measured."""
    measured = ~np.isnan(z)
    z = np.where(measured, z, 0.0)
    return np.column_stack([np.sqrt(_share(z**2, measured)), _share(z, measured)])


def _share(values: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Mean over what is measured of each row; NaN where nothing is."""
    n = measured.sum(axis=1)
    return np.where(n > 0, values.sum(axis=1) / np.maximum(n, 1), np.nan)


def _warn_of(table: pd.DataFrame, low: np.ndarray, high: np.ndarray) -> None:
    told = table[table["reach"].notna()]
    far = told[told["far"]]
    if len(far) > SHARE * len(told):
        who = (
            f"{len(far):,} of {len(told):,} (first: {first(far['cell'])}) lie more than {FAR:g} times as far out as 99 "
            "of 100 of them do"
        )
    elif len(told) >= FEWEST_SAMPLES and told["reach"].median() > 1:
        who = f"the median of these {len(told):,} lies farther out than 99 of 100 of them do"
    else:
        return
    warnings.warn(
        f"samples should resemble the cells that the model was fitted on; {who}. In standard deviations of a gene, the "
        f"median sample is {told['level'].median():+.2f} from their mean (98 of 100 training cells: {low[1]:+.2f} to "
        f"{high[1]:+.2f}) and at a distance of {told['distance'].median():.2f} (99 of 100: up to {high[0]:.2f}), and "
        f"{100 * told['extreme'].median():.0f} % of its genes lie more than {EXTREME:g} out. Check that expression is "
        "on the scale of the fit (counts or a logarithm, and which; z-scores) and of its platform, or doubt the ranks.",
        stacklevel=4,
    )
