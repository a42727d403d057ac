"""Alignment of two domains feature by feature: mean and spread of one are given to the other."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
import pandas as pd
from scipy import sparse

from galenic.data.checks import first
from galenic.work.near import did_you_mean

Mode = Literal["stored", "as_published", "none"]
EPSILON = 1e-8
"""Added to a standard deviation before dividing by it, as published."""
FEWEST = 50
"""Cells below which means and standard deviations are told to be uncertain."""
ONE_SIDED = 0.9
"""Share of one group above which a composition is told to be extreme."""


@dataclass(frozen=True, eq=False)
class AlignedStatistics:
    """Mean and standard deviation of each feature in one domain.

    Parameters
    ----------
    mean, sd
        Of each feature, ``(n_features,)``; the standard deviation is that of the population (divided by n).
    n
        Number of cells they were learned from.

    Notes
    -----
    Adaptive instance normalisation (AdaIN; Huang and Belongie, ICCV 2017) over cells, as scATD uses it between bulk and
    single cells (there "Bi-AdaIN"). It takes for granted that both domains hold the same mixture of classes: a set of
    resistant cells only is given the mean of a balanced set. Where groups are known, ``groups`` of :meth:`of` takes
    their sizes out.

    Examples
    --------
    >>> cells, bulk = np.array([[1.0], [3.0]]), np.array([[10.0], [30.0]])
    >>> few = AlignedStatistics.of(cells, fewest=2)
    >>> few.restyle(cells, AlignedStatistics.of(bulk, fewest=2)).round(3).tolist()
    [[10.0], [30.0]]
    """

    mean: np.ndarray
    sd: np.ndarray
    n: int

    @classmethod
    def of(cls, matrix: Any, *, groups: Any = None, fewest: int = FEWEST) -> Self:
        """Learn from cells.

        Parameters
        ----------
        matrix
            Cells, ``(n_cells, n_features)``: array or scipy sparse (read without a dense copy).
        groups
            A label for each cell (cluster, cell type): every group then counts the same, whatever its size. The
            standard deviation holds the spread between group means as well.
        fewest
            Number of cells below which a warning is given.

        Raises
        ------
        ValueError
            For anything else than a matrix of finite numbers with at least one row, or labels that do not fit it.

        Warns
        -----
        UserWarning
            If there are fewer than ``fewest`` cells, or one group holds more than 90 % of them.
        """
        values: Any = matrix.tocsr() if sparse.issparse(matrix) else np.asarray(matrix)
        _check(values)
        n = values.shape[0]
        if n < fewest:
            warnings.warn(
                f"means and standard deviations need {fewest} cells or more to be trusted; received {n}. Learn them "
                "from more cells of this domain and keep them.",
                stacklevel=2,
            )
        weights = np.full(n, 1 / n) if groups is None else _balanced(groups, n)
        mean = np.asarray(values.T @ weights, dtype=np.float64).ravel()
        squares = _variance(values, weights, mean) if sparse.issparse(values) else weights @ (values - mean) ** 2
        return cls(mean, np.sqrt(squares), n)

    def restyle(self, x: Any, towards: AlignedStatistics) -> np.ndarray:
        """Give cells of this domain the mean and spread of another.

        Parameters
        ----------
        x
            Cells, ``(n_cells, n_features)``; any number, also one. Not changed.
        towards
            Statistics of the other domain, of the same features in the same order.

        Returns
        -------
        numpy.ndarray
            ``(x - mean) / (sd + 1e-8) * towards.sd + towards.mean``, float64; a feature that is constant here becomes
            ``towards.mean``. Each cell depends on the two statistics alone, not on the cells beside it.

        Raises
        ------
        ValueError
            If numbers of features differ.
        """
        values = x.toarray() if sparse.issparse(x) else np.asarray(x)
        _check(values, empty=True)
        if not values.shape[1] == len(self.mean) == len(towards.mean):
            raise ValueError(
                f"cells and both statistics should have the same features; received {values.shape[1]:,}, "
                f"{len(self.mean):,} and {len(towards.mean):,}. Align the genes first."
            )
        return (values - self.mean) / (self.sd + EPSILON) * towards.sd + towards.mean


@dataclass(frozen=True, eq=False)
class Alignment:
    """The statistics that a model is trained with and keeps, and how other cells are brought to them.

    Parameters
    ----------
    source
        Of the training cells (bulk) as they were.
    reference
        Of what the training cells were restyled to (single cells of many kinds); ``None``: they were left as they were.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> bulk, atlas, cells = (rng.normal(mean, 1, size=(200, 3)) for mean in (5.0, 0.0, 9.0))
    >>> alignment = Alignment(AlignedStatistics.of(bulk), AlignedStatistics.of(atlas))
    >>> np.allclose(alignment.of_target(cells).mean(axis=0), alignment.of_source(bulk).mean(axis=0))
    True
    >>> np.allclose(alignment.of_target(cells, mode="as_published").mean(axis=0), bulk.mean(axis=0))
    True
    """

    source: AlignedStatistics
    reference: AlignedStatistics | None = None

    def of_source(self, x: Any) -> np.ndarray:
        """Training cells, or others of their kind, as the model is trained on them.

        Parameters
        ----------
        x
            Cells x features.
        """
        reference = self.source if self.reference is None else self.reference
        return self.source.restyle(x, reference)

    def of_target(self, x: Any, *, mode: Mode = "stored", own: AlignedStatistics | None = None) -> np.ndarray:
        """Cells of another domain, as the model is to be given them.

        Parameters
        ----------
        x
            Cells, ``(n_cells, n_features)``.
        mode
            ``"stored"``: to the statistics that the model was trained on; ``"as_published"``: to those of the bulk as
            it was before it was restyled, which the model never saw; ``"none"``: as they are.
        own
            Statistics of the domain of ``x``; by default of ``x`` itself, which takes at least 50 cells.

        Raises
        ------
        ValueError
            For another mode, or other features.
        """
        if mode not in get_args(Mode):
            raise ValueError(
                f"mode should be one of {get_args(Mode)}; received {mode!r}. "
                f"{did_you_mean(mode, get_args(Mode), 'Choose one of those.')}"
            )
        if mode == "none":
            return np.array(x.toarray() if sparse.issparse(x) else x, dtype=np.float64)
        own = AlignedStatistics.of(x) if own is None else own
        trained_on = self.source if self.reference is None else self.reference
        return own.restyle(x, trained_on if mode == "stored" else self.source)


def histogram_kl(x: np.ndarray, reference: np.ndarray, *, n_bins: int = 30, epsilon: float = 1e-10) -> np.ndarray:
    r"""Divergence of the histogram of each feature from that of the reference, ``(n_features,)``.

    Parameters
    ----------
    x, reference
        Cells of two domains, ``(n, n_features)`` and ``(m, n_features)``.
    n_bins
        Bins of equal width over the range of both together, for each feature; published is 30.
    epsilon
        Added to each share of cells, so that empty bins do not make it infinite; what empty bins count depends on it.

    Returns
    -------
    numpy.ndarray
        :math:`\sum_b p_b \ln(p_b / q_b)`, at least 0; 0 for a feature that is the same number throughout.

    Examples
    --------
    >>> histogram_kl(np.array([[0.0], [1.0]]), np.array([[0.0], [0.0], [1.0], [1.0]])).tolist()
    [0.0]
    """
    x, reference = np.asarray(x, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    for side in (x, reference):
        _check(side)
    if x.shape[1] != reference.shape[1] or n_bins < 1:
        raise ValueError(
            f"both domains should have the same features, and n_bins be 1 or more; received {x.shape[1]:,} and "
            f"{reference.shape[1]:,} features and {n_bins} bins. Align the genes first."
        )
    low = np.minimum(x.min(axis=0), reference.min(axis=0))
    high = np.maximum(x.max(axis=0), reference.max(axis=0))
    width = np.where(high > low, high - low, 1.0) / n_bins
    p, q = (_shares(side, low, width, n_bins) + epsilon for side in (x, reference))
    p, q = p / p.sum(axis=1, keepdims=True), q / q.sum(axis=1, keepdims=True)
    return np.maximum((p * np.log(p / q)).sum(axis=1), 0.0)


def shift_by_feature(
    x: np.ndarray, aligned: np.ndarray, reference: np.ndarray, *, names: Any = None, n_bins: int = 30
) -> pd.DataFrame:
    """Distance of each feature from the reference before and after alignment.

    Parameters
    ----------
    x, aligned
        The same cells before and after, ``(n_cells, n_features)``.
    reference
        Cells of the domain they were brought to, ``(m, n_features)``.
    names
        Of the features; by default numbers.
    n_bins
        Of :func:`histogram_kl`.

    Returns
    -------
    pandas.DataFrame
        ``before``, ``after``, indexed by feature, in the order given.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> cells, bulk = rng.normal(size=(300, 2)), rng.normal(3.0, 2.0, size=(300, 2))
    >>> aligned = AlignedStatistics.of(cells).restyle(cells, AlignedStatistics.of(bulk))
    >>> table = shift_by_feature(cells, aligned, bulk, names=["TP53", "MYC"])
    >>> table.index.tolist(), bool((table["after"] < table["before"]).all())
    (['TP53', 'MYC'], True)
    """
    before, after = (histogram_kl(side, reference, n_bins=n_bins) for side in (x, aligned))
    index = pd.RangeIndex(len(before)) if names is None else pd.Index(names)
    return pd.DataFrame({"before": before, "after": after}, index=index.rename("feature"))


def _balanced(groups: Any, n: int) -> np.ndarray:
    """Weight of each cell, so that groups count the same; they sum to 1."""
    codes, names = pd.factorize(np.asarray(groups))
    if len(codes) != n or (codes < 0).any():
        raise ValueError(
            f"groups should hold a label for each of {n:,} cells; received {len(codes):,}, of which "
            f"{int((codes < 0).sum()):,} missing. Take both from the same AnnData."
        )
    sizes = np.bincount(codes)
    if sizes.max() > ONE_SIDED * n:
        warnings.warn(
            f"one group should not hold nearly all cells; {first([names[sizes.argmax()]])} holds {sizes.max():,} of "
            f"{n:,}. What is particular to it is taken for the domain: prefer stored statistics of a mixed set.",
            stacklevel=3,
        )
    return 1 / (len(sizes) * sizes[codes])


def _variance(values: Any, weights: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Weighted variance of the columns of a sparse matrix, by rows."""
    if not values.has_canonical_format:
        values = values.copy()
        values.sum_duplicates()
    n, width = values.shape
    weight = weights[np.repeat(np.arange(n), np.diff(values.indptr))]
    # Around the mean in two parts, stored values and zeros, so that little is lost where squares cancel.
    stored = np.bincount(values.indices, weight * (values.data - mean[values.indices]) ** 2, width)
    some_are_not = np.bincount(values.indices, minlength=width) < n
    zeros = np.where(some_are_not, 1 - np.bincount(values.indices, weight, width), 0.0)
    return np.asarray(stored + zeros.clip(0) * mean**2)


def _shares(x: np.ndarray, low: np.ndarray, width: np.ndarray, n_bins: int) -> np.ndarray:
    """Share of the cells in each bin of each feature, ``(n_features, n_bins)``."""
    edges = low + width * np.arange(n_bins + 1)[:, None]
    place = np.clip(((x - low) / width).astype(np.intp), 0, n_bins - 1)
    # Division may put a value that lies on an edge one bin too low or high; the edge itself decides.
    place -= x < np.take_along_axis(edges, place, axis=0)
    place += (x >= np.take_along_axis(edges, place + 1, axis=0)) & (place < n_bins - 1)
    n_features = x.shape[1]
    counts = np.bincount((place + n_bins * np.arange(n_features)).ravel(), minlength=n_features * n_bins)
    return counts.reshape(n_features, n_bins) / len(x)


def _check(values: Any, *, empty: bool = False) -> None:
    if values.ndim != 2 or not (values.shape[0] or empty):
        raise ValueError(
            f"cells should be a matrix (n_cells, n_features) with a row at least; received shape {values.shape}. "
            "Give a single cell as one row."
        )
    numbers = values.data if sparse.issparse(values) else values
    if not np.isfinite(numbers).all():
        raise ValueError(
            f"cells should hold finite numbers; received {int((~np.isfinite(numbers)).sum()):,} missing or infinite "
            f"ones in a matrix of shape {values.shape}. Leave those cells or genes out."
        )
