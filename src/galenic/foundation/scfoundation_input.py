"""Counts of cells as the values and places that scFoundation reads."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from galenic.foundation.ragged import Ragged
from galenic.foundation.scfoundation_fields import ScFoundationFields, depth

PER_CELL = 1e4


def tokens(
    rows: sparse.csr_matrix,
    fields: ScFoundationFields,
    *,
    target_sum: float | None = None,
    totals: np.ndarray | None = None,
) -> Ragged:
    """Values and places of the genes that each cell expresses, and its two depths.

    Parameters
    ----------
    rows
        Cells x genes of the model, 0 or more, columns ascending, no zeros stored: counts, or logarithms with
        ``pre_normalised``.
    fields
        Kind of the data, depth and so on.
    target_sum
        Total that counts of bulk samples are scaled to.
    totals
        Counts of each cell, ``(n_cells,)``, where the values are logged and these are known otherwise.

    Returns
    -------
    Ragged
        ``"value"`` (float32) and ``"gene"`` (places, int32) of the genes above 0 in the order of the model, then T at
        place ``n_genes`` and S at place ``n_genes + 1``. Cells with fewer genes than ``min_genes`` or none have no
        tokens.

    Notes
    -----
    With ``c`` the counts and ``n`` their sum over the genes of the model, a single cell has values
    ``log(1 + 10 000 c / n)``, ``S = log10(n)`` and ``T`` after ``depth``: ``t<v>``: ``v``; ``f<v>``: ``log10(v n)``;
    ``a<v>``: ``S + v``. With ``pre_normalised``, ``n`` is the sum of the logarithms (as published), or ``totals``.

    A bulk sample has values ``x = log(1 + target_sum c / n)`` and ``T = S = log10(sum of x)``; with
    ``pre_normalised`` the values are taken as they are and ``T = S`` is their sum itself (as published).

    The depths of a cell enter whatever they are. Published code drops what is not above 0, depths too, and then takes
    two genes for them; with more than one count in a cell and a target above one count neither happens.

    Examples
    --------
    >>> cell = sparse.csr_matrix(np.array([[0.0, 1.0, 9.0]]))
    >>> found = tokens(cell, ScFoundationFields(depth="t4", min_genes=0))
    >>> found.fields["gene"].tolist(), found.fields["value"].astype(float).round(2).tolist()
    ([1, 2, 3, 4], [6.91, 9.11, 4.0, 1.0])
    """
    n_genes = rows.shape[1]
    expressed = np.diff(rows.indptr)
    sums = np.asarray(rows.sum(axis=1)).ravel()
    kept = (expressed >= max(1, fields.min_genes)) & (sums > 0)
    rows, sums, expressed = rows[kept], sums[kept], expressed[kept]
    values = rows.data
    if not fields.pre_normalised:
        total = PER_CELL if fields.kind == "single_cell" else target_sum
        values = np.log1p(values * np.repeat(total / sums, expressed))
    target, source = _depths(fields, sums, values, expressed, None if totals is None else totals[kept])
    starts = rows.indptr + 2 * np.arange(len(rows.indptr))
    places = np.arange(len(values)) + np.repeat(2 * np.arange(len(expressed)), expressed)
    n = len(values) + 2 * len(expressed)
    value, gene = np.empty(n, dtype=np.float32), np.empty(n, dtype=np.int32)
    value[places], gene[places] = values, rows.indices
    value[starts[1:] - 2], gene[starts[1:] - 2] = target, n_genes
    value[starts[1:] - 1], gene[starts[1:] - 1] = source, n_genes + 1
    lengths = np.zeros(len(kept), dtype=np.int64)
    lengths[kept] = np.diff(starts)
    return Ragged(np.concatenate([[0], np.cumsum(lengths)]), {"value": value, "gene": gene})


def _depths(
    fields: ScFoundationFields, sums: np.ndarray, values: np.ndarray, expressed: np.ndarray, totals: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The tokens T and S of each cell."""
    if fields.kind == "bulk":
        if fields.pre_normalised:
            return sums, sums
        starts = np.cumsum(expressed) - expressed
        logged = np.log10(np.add.reduceat(values, starts)) if len(starts) else sums
        return logged, logged
    source = np.log10(sums if totals is None else totals)
    how, value = depth(fields.depth)
    if how == "t":
        return np.full_like(source, value), source
    return source + (np.log10(value) if how == "f" else value), source
